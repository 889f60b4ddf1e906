"""A budget divided into shares."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.spaces import Budget, Cell, Skeleton, mbconv
from autospace.spaces.cells.family import cell_cost
from autospace.spaces.cells.operations import Cost
from autospace.spaces.cost import (
    BudgetError,
    Share,
    fixed_cost,
    layer_shares,
    most_expensive_reference,
)
from autospace.spaces.space import network_cost
from tests.strategies import cells, skeletons
from tests.tiny import SKELETON

references = st.lists(cells(nodes=4, zero=False), min_size=1, max_size=3)
slacks = st.none() | st.integers(0, 10**6)


def _most_expensive(skeleton: Skeleton, some: list[Cell]) -> Cost:
    """By the definition: over all networks of reference cells, layer by layer."""
    madds = params = 0
    for index in range(len(skeleton.layers)):
        others = [some[0]] * len(skeleton.layers)
        alone = [
            network_cost(skeleton, [*others[:index], cell, *others[index + 1 :]]) for cell in some
        ]
        base = network_cost(skeleton, others)
        madds += max(cost.madds for cost in alone) - base.madds
        params += max(cost.params for cost in alone) - base.params
    base = network_cost(skeleton, [some[0]] * len(skeleton.layers))
    return Cost(base.madds + madds, base.params + params)


@given(skeletons(), references)
def test_the_most_expensive_reference_is_the_most_expensive_of_all_choices(
    skeleton: Skeleton, some: list[Cell]
) -> None:
    assert most_expensive_reference(skeleton, some) == _most_expensive(skeleton, some)


@given(skeletons(), references, slacks, slacks)
def test_cells_within_their_shares_keep_the_budget_and_references_always_fit(
    skeleton: Skeleton, some: list[Cell], madds: int | None, params: int | None
) -> None:
    most = most_expensive_reference(skeleton, some)
    budget = Budget(
        None if madds is None else most.madds + madds,
        None if params is None else most.params + params,
    )
    shares = layer_shares(skeleton, some, budget).shares
    fixed = fixed_cost(skeleton)
    if budget.max_madds is not None:
        assert fixed.madds + sum(share.madds or 0 for share in shares) <= budget.max_madds
    if budget.max_params is not None:
        assert fixed.params + sum(share.params or 0 for share in shares) <= budget.max_params
    for share, shape in zip(shares, skeleton.shapes, strict=True):
        assert all(share.allows(cell_cost(cell, shape)) for cell in some)
        assert (share.madds is None) == (madds is None)
        assert (share.params is None) == (params is None)


def test_what_is_left_over_is_divided_in_proportion() -> None:
    some = [mbconv(3, 3)]
    most = most_expensive_reference(SKELETON, some)
    shares = layer_shares(SKELETON, some, Budget(most.madds + 10_000)).shares
    needs = [cell_cost(some[0], shape).madds for shape in SKELETON.shapes]
    assert [share.madds for share in shares] == [
        need + int(10_000 * need / sum(needs)) for need in needs
    ]


def test_a_limit_exactly_at_the_reference_gives_every_layer_what_its_reference_costs() -> None:
    some = [mbconv(3, 3), mbconv(7, 3)]
    most = most_expensive_reference(SKELETON, some)
    shares = layer_shares(SKELETON, some, Budget(most.madds, most.params)).shares
    dear = [cell_cost(mbconv(7, 3), shape) for shape in SKELETON.shapes]
    assert shares == tuple(Share(cost.madds, cost.params) for cost in dear)


@pytest.mark.parametrize(("unit", "index"), [("MAdds", 0), ("params", 1)])
def test_a_reference_over_the_limit_is_an_error_that_names_both_numbers(
    unit: str, index: int
) -> None:
    most = most_expensive_reference(SKELETON, [mbconv(3, 3)])
    limit = most[index] - 1
    budget = Budget(limit) if index == 0 else Budget(None, limit)
    with pytest.raises(BudgetError) as caught:
        layer_shares(SKELETON, [mbconv(3, 3)], budget)
    assert str(caught.value) == (
        f"budget: the limit is {limit:,} {unit}, but the reference cells need "
        f"{most[index]:,}; raise the limit, or choose smaller reference cells or a "
        "smaller skeleton"
    )


@pytest.mark.parametrize(
    ("share", "allowed"),
    [
        (Share(), True),
        (Share(100, 50), True),
        (Share(99, None), False),
        (Share(None, 49), False),
        (Share(100, 49), False),
    ],
)
def test_a_share_allows_up_to_its_limits(share: Share, allowed: bool) -> None:
    assert share.allows(Cost(100, 50)) is allowed
