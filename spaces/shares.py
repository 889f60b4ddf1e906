"""A budget for the network as a share for every layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autospace.spaces.cells.cell import Cell
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
    open_ended: list[int | None] = [None] * len(costs)
    madds = params = open_ended
    if budget.max_madds is not None:
        needs = [max(cost.madds for cost in layer) for layer in costs]
        madds = [*shares_of("MAdds", budget.max_madds, fixed.madds, needs)]
    if budget.max_params is not None:
        needs = [max(cost.params for cost in layer) for layer in costs]
        params = [*shares_of("params", budget.max_params, fixed.params, needs)]
    return tuple(Share(*pair) for pair in zip(madds, params, strict=True))


def shares_of(
    unit: str,
    limit: int,
    fixed: int,
    needs: Sequence[int],
    shown: Callable[[int], str] = "{:,}".format,
) -> tuple[int, ...]:
    """What each layer may cost, at least what it needs; with `fixed` all is within the limit.

    `shown` writes an amount in the unit.

    Raises:
        BudgetError: the needs alone are over the limit.
    """
    needed = sum(needs)
    slack = limit - fixed - needed
    if slack < 0:
        raise BudgetError(
            f"budget: at most {shown(limit)} {unit} are allowed, but the reference cells need "
            f"{shown(fixed + needed)}; raise the limit, or choose smaller reference cells or "
            "skeleton"
        )
    return tuple(need + slack * need // max(1, needed) for need in needs)
