"""The cost that an architecture drawn from the probabilities of all candidates has on average."""

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Annotated, Final, Literal

import torch
from pydantic import Field

from autospace.searchers.settings import Section
from autospace.spaces.choices import Choices, Limit, SearchError
from autospace.spaces.cost import fixed_cost

CostUnit = Literal["madds", "params", "latency"]
LIMITS: Final[dict[CostUnit, str]] = {
    "madds": "max_madds",
    "params": "max_params",
    "latency": "max_latency_ms",
}


class CostOptions(Section):
    """How the loss that moves alpha grows with the expected cost."""

    cost: CostUnit = "madds"
    cost_form: Literal["excess", "additive", "multiplicative"] = "excess"
    cost_weight: Annotated[float, Field(ge=0, le=1000, description="0 for no cost term")] = 0.0
    cost_exponent: Annotated[float, Field(gt=0, le=10, description="multiplicative only")] = 0.3
    cost_target: (
        Annotated[float, Field(gt=0, description="by default the limit, else the mean cost")] | None
    ) = None


class ExpectedCost:
    """E[C] = fixed + sum_l sum_k p_lk C_lk, and the losses that it makes (ProxylessNAS, 2019).

    With target T and costs in MAdds, params or milliseconds, the forms are

        excess          CE + weight max(0, E - T) / T
        additive        CE + weight (E - T) / T
        multiplicative  weight CE (log E / log T)^exponent

    The last two are published. They go on making networks cheaper below the target, where Adam
    makes a small but steady slope as strong as a large one that varies; the first does not.

    Raises:
        SearchError: latency without a limit on it; multiplicative with costs that have no
            logarithm above 0.
    """

    def __init__(self, choices: Choices, options: CostOptions, device: torch.device) -> None:
        limit = cost_table(choices, options.cost)
        self._options = options
        self._fixed = limit.fixed
        self._tables = [
            torch.tensor(row, dtype=torch.float64, device=device) for row in limit.table
        ]
        mean = limit.fixed + sum(sum(row) / len(row) for row in limit.table)
        self._target = options.cost_target or min(limit.most, mean)
        wants_logarithm = options.cost_weight and options.cost_form == "multiplicative"
        if wants_logarithm and min(limit.cheapest, self._target) <= 1:
            lowest = min(limit.cheapest, self._target)
            raise SearchError(
                f"options.cost_form: multiplicative with {options.cost} of {lowest:g}; allowed: "
                "excess, additive, or costs and target above 1"
            )

    def expected(self, probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
        """E[C] of a tensor [K] of probabilities per layer: a scalar."""
        pairs = zip(probabilities, self._tables, strict=True)
        return self._fixed + reduce(add, ((p * table).sum() for p, table in pairs))

    def joined(self, loss: torch.Tensor, probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
        """The loss with the cost term; the loss itself where its weight is 0."""
        weight, target = self._options.cost_weight, self._target
        if not weight:
            return loss
        expected = self.expected(probabilities)
        form = self._options.cost_form
        if form == "multiplicative":
            ratio = expected.log() / math.log(target)
            return weight * loss * ratio**self._options.cost_exponent
        excess = (expected - target) / target
        return loss + weight * (excess.relu() if form == "excess" else excess)


def cost_table(choices: Choices, unit: CostUnit) -> Limit:
    """What every candidate costs, and the most that is allowed: infinite without a limit.

    Raises:
        SearchError: latency, and no limit brought a table of it.
    """
    for limit in choices.limits:
        if limit.name == LIMITS[unit]:
            return limit
    if unit == "latency":
        raise SearchError(
            "options.cost: latency without a table of it; allowed: madds, params, or latency "
            "together with budget.max_latency_ms"
        )
    space = choices.space
    table = tuple(tuple(getattr(cost, unit) for cost in layer.costs) for layer in space.layers)
    return Limit(LIMITS[unit], math.inf, getattr(fixed_cost(space.skeleton), unit), table)
