from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autospace.cli.display.drawing import draw_cell
from autospace.exporters.cell_layout import CellLayout, cell_layout
from autospace.spaces import Cell, LayerShape, mbconv
from autospace.spaces.cells.family import notation
from autospace.spaces.cells.notation import edge_label
from autospace.spaces.text import human
from tests.cli.samples import DOWN, SAME, cells, full_cell

CHOSEN: dict[str, tuple[Cell, LayerShape | None]] = {
    "MBConv k3": (mbconv(3, 6), SAME),
    "MnasNet's block, stride 2": (mbconv(5, 3, se=True), DOWN),
    "no layer": (mbconv(7, 6), None),
    "all six edges": (full_cell(4), DOWN),
    "side by side": (
        Cell.from_edges(
            [
                (0, 1, "dw_conv_3x3"),
                (1, 3, "skip_connect"),
                (0, 2, "dw_conv_7x7"),
                (2, 3, "max_pool_3x3"),
            ],
            mix=("gate", "se", "sum"),
            expansion=1,
        ),
        SAME,
    ),
    "a dead edge": (
        Cell.from_edges([(0, 2, "avg_pool_3x3"), (0, 3, "dw_conv_3x3_d3")], expansion=3),
        SAME,
    ),
    "no path": (Cell.from_edges([(0, 1, "dw_conv_3x3")], expansion=1), SAME),
    "eight nodes, planar": (
        Cell.from_edges(
            [(at, at + 1, "dw_conv_3x3") for at in range(7)] + [(0, 7, "skip_connect")],
            nodes=8,
        ),
        DOWN,
    ),
    "eight nodes, all edges": (full_cell(8), DOWN),
}


def test_drawings_of_chosen_cells(golden: Callable[[str, str], None]) -> None:
    drawn = [
        f"{title}\n{notation(cell)}\n\n{draw_cell(cell, shape)}\n"
        for title, (cell, shape) in CHOSEN.items()
    ]
    golden("drawings.txt", "\n\n".join(drawn))


@given(cells(), st.sampled_from([None, SAME, DOWN]), st.integers(60, 200))
@example(full_cell(8), DOWN, 80)
@example(full_cell(5), None, 60)
@example(full_cell(8), DOWN, 60)
def test_any_cell_fits_and_shows_every_live_edge(
    cell: Cell, shape: LayerShape | None, width: int
) -> None:
    picture = draw_cell(cell, shape, width)
    lines = picture.splitlines()
    assert all(len(line) <= width for line in lines)
    assert all(line == line.rstrip() for line in lines)
    body = picture.partition("\ndead, not drawn:")[0]
    words = body.replace("│", " ").split()
    live = [edge_label(edge, cell, shape) for edge in cell.pruned().edges]
    for label in set(live):
        assert words.count(label) == live.count(label)


@given(cells())
def test_wires_join_their_bars_and_nothing_overlaps(cell: Cell) -> None:
    if cell.is_zero:
        return
    layout = cell_layout(cell)
    bars = {bar.node: bar for bar in layout.bars}
    assert set(bars) == cell.live_nodes
    assert set(layout.columns) == set(cell.pruned().edges)
    for edge, column in layout.columns.items():
        source, target = bars[edge.source], bars[edge.target]
        assert source.row < target.row
        assert source.first <= column <= source.last
        assert target.first <= column <= target.last
    _assert_no_wire_on_a_wire(layout)
    if layout.crossing_free:
        _assert_no_wire_through_a_bar(layout)


def _row_of(layout: CellLayout, node: int) -> int:
    return next(bar.row for bar in layout.bars if bar.node == node)


def _assert_no_wire_on_a_wire(layout: CellLayout) -> None:
    taken: set[tuple[int, int]] = set()
    for edge, column in layout.columns.items():
        rows = range(_row_of(layout, edge.source), _row_of(layout, edge.target))
        gaps = {(row, column) for row in rows}
        assert not gaps & taken
        taken |= gaps


def _assert_no_wire_through_a_bar(layout: CellLayout) -> None:
    for edge, column in layout.columns.items():
        passed = range(_row_of(layout, edge.source) + 1, _row_of(layout, edge.target))
        for bar in layout.bars:
            assert bar.row not in passed or not bar.first <= column <= bar.last
    for row in range(layout.rows):
        here = sorted((bar.first, bar.last) for bar in layout.bars if bar.row == row)
        assert all(left[1] < right[0] for left, right in pairwise(here))


@given(cells().filter(lambda cell: cell.nodes <= 4 and not cell.is_zero))
@example(full_cell(4))
def test_up_to_four_nodes_nothing_ever_crosses(cell: Cell) -> None:
    layout = cell_layout(cell)
    assert layout.crossing_free
    assert layout.width <= 4
    assert "┌" in draw_cell(cell, DOWN, 44)


def test_a_row_is_the_longest_path() -> None:
    pairs = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]
    cell = Cell.from_edges([(source, target, "skip_connect") for source, target in pairs])
    assert [bar.row for bar in cell_layout(cell).bars] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (mbconv(3, 6), "e6: 0>3 dw3"),
        (mbconv(5, 1, se=True), "e1: 0>3 dw5 | 3:se"),
        (Cell.from_edges([]), "zero"),
        (
            Cell.from_edges(
                [(0, 1, "dw_conv_3x3"), (1, 3, "skip_connect"), (0, 3, "dw_conv_5x5")],
                mix=("gate", "se", "sum"),
            ),
            "e6: 0>1 dw3, 0>3 dw5, 1>3 id | 1:gate",
        ),
    ],
)
def test_notation(cell: Cell, expected: str) -> None:
    assert notation(cell) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (999, "999"),
        (999.7, "1.00k"),
        (1000, "1.00k"),
        (43_520_000, "43.5M"),
        (214_230.57, "214k"),
        (999_700, "1.00M"),
        (1_234_000_000, "1.23G"),
        (10**15, "1000T"),
        (0.5, "0.5"),
    ],
)
def test_human_numbers(value: float, expected: str) -> None:
    assert human(value) == expected
