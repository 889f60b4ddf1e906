"""A budget for the network as a share for every layer."""

from collections.abc import Sequence
from dataclasses import dataclass

from autospace.spaces.cell import Cell
from autospace.spaces.cost import Cost, cell_cost, fixed_cost
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Budget


class BudgetError(ValueError):
    """The reference does not fit the budget; the message names both numbers."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one cell of a layer may cost; None for no limit."""

    madds: int | None = None
    params: int | None = None

    def allows(self, cost: Cost) -> bool:
        """Whether a cell of this cost may enter the layer."""
        return (self.madds is None or cost.madds <= self.madds) and (
            self.params is None or cost.params <= self.params
        )


def dearest_reference(skeleton: Skeleton, references: Sequence[Cell]) -> Cost:
    """Most MAdds and most params that a network of reference cells can have."""
    layers = [[cell_cost(cell, shape) for cell in references] for shape in skeleton.shapes]
    fixed = fixed_cost(skeleton)
    madds = sum(max(cost.madds for cost in layer) for layer in layers)
    params = sum(max(cost.params for cost in layer) for layer in layers)
    return Cost(fixed.madds + madds, fixed.params + params)


def layer_shares(
    skeleton: Skeleton, references: Sequence[Cell], budget: Budget
) -> tuple[Share, ...]:
    """A share per layer such that the dearest cells of all layers together keep the budget.

    What the dearest reference cells leave over is divided in proportion to what they cost.

    Raises:
        BudgetError: the reference cells alone are over a limit.
    """
    fixed = fixed_cost(skeleton)
    costs = [[cell_cost(cell, shape) for cell in references] for shape in skeleton.shapes]
    madds = _divide(
        "MAdds", budget.max_madds, fixed.madds, [max(c.madds for c in layer) for layer in costs]
    )
    params = _divide(
        "params", budget.max_params, fixed.params, [max(c.params for c in layer) for layer in costs]
    )
    return tuple(Share(*pair) for pair in zip(madds, params, strict=True))


def _divide(unit: str, limit: int | None, fixed: int, needs: list[int]) -> list[int | None]:
    if limit is None:
        return [None] * len(needs)
    needed = sum(needs)
    slack = limit - fixed - needed
    if slack < 0:
        raise BudgetError(
            f"budget: at most {limit:,} {unit} are allowed, but the reference cells need "
            f"{fixed + needed:,}; raise the limit, or choose smaller reference cells or skeleton"
        )
    return [need + slack * need // max(1, needed) for need in needs]
