"""Cells as values: edges, pruning, and what the constructors refuse."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given

from autospace.spaces import OPERATIONS, Cell, SpaceError, mbconv
from tests.strategies import cells

ALL = "none, skip_connect, dw_conv_3x3, dw_conv_5x5, dw_conv_7x7, dw_conv_3x3_d2, dw_conv_3x3_d3, "
ALL += "avg_pool_3x3, max_pool_3x3, dw_conv_1x1"


def reached(cell: Cell, start: int, *, backward: bool = False) -> set[int]:
    """Nodes that a walk from `start` can get to."""
    found, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        for source, target, _ in cell.edges:
            here, there = (target, source) if backward else (source, target)
            if here == node and there not in found:
                found.add(there)
                waiting.append(there)
    return found


@given(cells())
def test_a_cell_is_made_again_from_its_edges(cell: Cell) -> None:
    again = Cell.from_edges(
        reversed(cell.edges), nodes=cell.nodes, mix=cell.mix, expansion=cell.expansion
    )
    assert again == cell


@given(cells())
def test_live_nodes_are_those_on_a_path_from_end_to_end(cell: Cell) -> None:
    last = cell.nodes - 1
    between = reached(cell, 0) & reached(cell, last, backward=True)
    assert cell.live_nodes == (between if last in between else set())


@given(cells())
def test_pruning_leaves_exactly_the_edges_on_paths(cell: Cell) -> None:
    live = cell.live_nodes
    wanted = tuple(edge for edge in cell.edges if {edge.source, edge.target} <= live)
    assert cell.pruned().edges == wanted


@given(cells())
def test_pruning_is_idempotent(cell: Cell) -> None:
    assert cell.pruned().pruned() == cell.pruned()


def test_operations_are_listed_by_target_then_by_source() -> None:
    cell = Cell.from_edges([(1, 2, "dw_conv_5x5"), (0, 2, "dw_conv_3x3")], nodes=3)
    assert cell.operations == ("none", "dw_conv_3x3", "dw_conv_5x5")


def test_a_cell_sums_and_expands_by_six_unless_told() -> None:
    cell = Cell.from_edges([(0, 3, "skip_connect")])
    assert (cell.nodes, cell.mix, cell.expansion) == (4, ("sum", "sum", "sum"), 6)


def test_mbconv_is_one_depthwise_edge_with_an_optional_squeeze_at_the_end() -> None:
    cell = mbconv(5, 3, se=True)
    assert cell.edges == ((0, 3, "dw_conv_5x5"),)
    assert (cell.mix, cell.expansion) == (("sum", "sum", "se"), 3)


def test_the_vocabulary_in_this_file_is_the_real_one() -> None:
    assert list(OPERATIONS) == ALL.split(", ")


def made(*edges: object, **options: object) -> Callable[[], object]:
    return lambda: Cell.from_edges(edges, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (made((0, 4, "none")), "edges[0]: 0 -> 4; allowed: 0 <= source < target <= 3"),
        (
            made((0, 1, "none"), (2, 2, "none")),
            "edges[1]: 2 -> 2; allowed: 0 <= source < target <= 3",
        ),
        (made((2, 1, "none")), "edges[0]: 2 -> 1; allowed: 0 <= source < target <= 3"),
        (made((-1, 1, "none")), "edges[0]: -1 -> 1; allowed: 0 <= source < target <= 3"),
        (made((0, 1, "none"), (0, 1, "none")), "edges[1]: 0 -> 1 is given twice"),
        (
            made((0, 3, "none"), (0, 1, "conv")),
            f'edges[1].operation: unknown operation "conv"; allowed: {ALL}',
        ),
        (
            made((0, 1, ["none"])),
            f"edges[0].operation: unknown operation a list; allowed: {ALL}",
        ),
        (made(nodes=1), "nodes: 1; allowed: 2 to 8"),
        (made(nodes=10**9), "nodes: 1000000000; allowed: 2 to 8"),
        (made(nodes=10**5000), "nodes: an integer of about 5000 digits; allowed: 2 to 8"),
        (made((0, 10**5000, "none")), "edges[0]: 0 -> an integer of about 5000 digits; allowed"),
        (made(mix=("sum",)), "mix: 1 entries; allowed: 3 for 4 nodes"),
        (made(mix=()), "mix: 0 entries; allowed: 3 for 4 nodes"),
        (
            made(mix=("sum", "max", "sum")),
            'mix[1]: unknown mix "max"; allowed: sum, gate, se',
        ),
        (made(expansion=9), "expansion: 9; allowed: 1 to 8"),
        (made(expansion=True), "expansion: true; allowed: 1 to 8"),
        (made(expansion=3.0), "expansion: 3.0; allowed: 1 to 8"),
        (
            lambda: Cell(("none",), ("sum", "sum"), 1),
            "operations: 1 operations; allowed: 3, one per edge",
        ),
        (lambda: Cell((), (), 1), "mix: 1 nodes; allowed: 2 to 8"),
        (
            lambda: Cell(("conv",), ("sum",), 1),
            f'operations[0]: unknown operation "conv"; allowed: {ALL}',
        ),
    ],
)
def test_what_is_no_cell_is_refused_with_place_value_and_what_is_allowed(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(SpaceError, match=f"^{re.escape(message)}"):
        make()
