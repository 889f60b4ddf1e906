"""Fitness of cells that layers share, from a scorer of single layers."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from autospace.scorers.make import SharedScorer
from autospace.spaces import Cell, Edge
from autospace.spaces.cells.dense_cell import DenseCell
from tests.spaces.dense.nasbench201 import SPACE, whole
from tests.spaces.dense.test_shared_layers import SMALL

CONV, POOL, SKIP = "nor_conv_3x3", "avg_pool_3x3", "skip_connect"


class ByLayer:
    """A scorer that gives every layer its own value: the layer, and what its cell consists of."""

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []

    def score(self, candidates: Sequence[Sequence[Any]], repeat: int) -> list[list[float]]:
        self.seen = [list(row) for row in candidates]
        return [
            [100 * layer + cell.operations.count(POOL) + repeat for cell in row]
            for layer, row in enumerate(candidates)
        ]


def test_whole_cells_have_the_mean_over_the_layers_that_share_them() -> None:
    inner = ByLayer()
    scorer = SharedScorer(inner, SMALL, (whole(CONV), whole(CONV)))
    found = scorer.score([[whole(POOL), whole(SKIP)], [whole(POOL)]], repeat=7)
    # Layers 0 and 1 share the first cell, layer 2 has the second: (0 + 100) / 2, and 200.
    assert found == [[50 + 1 + 7, 50 + 7], [200 + 1 + 7]]
    assert inner.seen == [[whole(POOL), whole(SKIP)]] * 2 + [[whole(POOL)]]


def test_an_edge_is_tried_in_the_cell_of_the_reference() -> None:
    inner, reference = ByLayer(), whole(*[CONV] * 6)
    scorer = SharedScorer(inner, SPACE.skeleton, (reference,))
    rows: list[list[Cell]] = [[] for _ in range(6)]
    for place, name in ((0, POOL), (5, SKIP), (5, POOL)):
        shape = SPACE.layers[place].shape
        assert shape.edge is not None
        chosen: Any = DenseCell.on(Edge(*shape.edge, name))
        rows[place].append(chosen)
    found = scorer.score(rows, repeat=0)
    # The mean of 0, 100, ..., 1400, and 1 for each pool of the tried cell.
    assert found == [[701.0], [], [], [], [], [700.0, 701.0]]
    assert [cell.operations for cell in inner.seen[14]] == [
        (POOL, *[CONV] * 5),
        (*[CONV] * 5, SKIP),
        (*[CONV] * 5, POOL),
    ]


def test_edges_of_two_groups_keep_apart() -> None:
    skeleton = replace(SMALL, nodes=2)
    inner = ByLayer()
    scorer = SharedScorer(inner, skeleton, (whole(CONV), whole(SKIP)))
    assert scorer.score([[whole(POOL)], []], repeat=0) == [[51.0], []]
    assert [len(row) for row in inner.seen] == [1, 1, 0]
