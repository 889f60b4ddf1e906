"""What differs from the reference: applied to the reference, it gives the cell again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.spaces import OPERATIONS, Cell, mbconv
from autospace.spaces.cells.family import changes
from tests.strategies import cells

NAMES = {operation.symbol: name for name, operation in OPERATIONS.items()}


def applied(reference: Cell, text: str) -> Cell:
    """The changes read back from their text, part by part."""
    pruned = reference.pruned()
    edges = {(edge.source, edge.target): edge.operation for edge in pruned.edges}
    mix, expansion = list(pruned.mix), pruned.expansion
    for part in filter(None, text.split(", ")):
        if found := re.fullmatch(r"e(\d)→e(\d)", part):
            assert int(found[1]) == expansion
            expansion = int(found[2])
        elif found := re.fullmatch(r"(\d):(\w+)→(\w+)", part):
            assert mix[int(found[1]) - 1] == found[2]
            mix[int(found[1]) - 1] = found[3]
        elif found := re.fullmatch(r"\+(\d)>(\d) (\w+)", part):
            assert (int(found[1]), int(found[2])) not in edges
            edges[int(found[1]), int(found[2])] = NAMES[found[3]]
        elif found := re.fullmatch(r"-(\d)>(\d) (\w+)", part):
            assert edges.pop((int(found[1]), int(found[2]))) == NAMES[found[3]]
        elif found := re.fullmatch(r"(\d)>(\d) (\w+)→(\w+)", part):
            slot = (int(found[1]), int(found[2]))
            assert edges[slot] == NAMES[found[3]]
            edges[slot] = NAMES[found[4]]
        else:
            pytest.fail(f"cannot be read: {part}")
    flat = [(*slot, name) for slot, name in edges.items()]
    return Cell.from_edges(flat, nodes=pruned.nodes, mix=tuple(mix), expansion=expansion)


@given(st.data(), st.integers(2, 6))
def test_changes_turn_the_reference_into_the_cell(data: st.DataObject, nodes: int) -> None:
    cell, reference = (data.draw(cells(nodes=nodes, zero=False)) for _ in range(2))
    assert applied(reference, changes(cell, reference)) == cell.pruned()


@given(cells())
def test_nothing_differs_from_itself(cell: Cell) -> None:
    assert changes(cell, cell) == ""
    assert changes(cell.pruned(), cell) == ""


@pytest.mark.parametrize(
    ("cell", "reference", "expected"),
    [
        (mbconv(5, 3), mbconv(3, 6), "e6→e3, 0>3 dw3→dw5"),
        (mbconv(3, 6, se=True), mbconv(3, 6), "3:sum→se"),
        (mbconv(3, 6, nodes=2), mbconv(3, 6), ""),
        (mbconv(3, 6, nodes=6), mbconv(5, 6, se=True), "0>5 dw5→dw3, 5:se→sum"),
        (Cell.from_edges([]), mbconv(3, 6), "e6: 0>3 dw3 → zero"),
        (mbconv(3, 6), Cell.from_edges([]), "zero → e6: 0>3 dw3"),
        (
            Cell.from_edges([(0, 2, "skip_connect"), (2, 3, "dw_conv_3x3")]),
            mbconv(3, 6),
            "+0>2 id, -0>3 dw3, +2>3 dw3",
        ),
    ],
)
def test_changes_of_chosen_cells(cell: Cell, reference: Cell, expected: str) -> None:
    assert changes(cell, reference) == expected
