"""Sums over a table, and the budget that they promise."""

import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.latency.budget import LatencyError, Prediction, latency_budget
from autospace.latency.parts import Part, parts_of_skeleton
from autospace.latency.table import Correction
from autospace.spaces import Cell, Skeleton, mbconv
from autospace.spaces.cells.cost import se_channels
from autospace.spaces.cost import BudgetError
from tests.latency.tables import CORRECTION, milliseconds, network_ns, table_for
from tests.strategies import cells, skeletons
from tests.tiny import SKELETON

REFERENCES = [mbconv(3, 3), mbconv(7, 3)]


def nanoseconds(part: Part, correction: Correction = CORRECTION) -> int:
    return round(1e6 * (correction.scale * milliseconds(part) + correction.overhead_ms))


def test_an_mbconv_is_the_sum_of_its_written_out_parts() -> None:
    prediction = Prediction(table_for(SKELETON), SKELETON)
    first, second = SKELETON.shapes
    cell = mbconv(5, 6, se=True)
    inner = 24
    same = [
        Part("expand", 4, inner, 8),
        Part("dw_conv_5x5", inner, inner, 8),
        Part("se", inner, se_channels(4), 8),
        Part("project", inner, 4, 8),
        Part("sum", 4, 4, 8),  # the shortcut
    ]
    assert prediction.cell_ns(cell, first) == sum(map(nanoseconds, same))
    strided = [
        Part("expand", 4, inner, 8),
        Part("dw_conv_5x5", inner, inner, 8, 2),
        Part("se", inner, se_channels(4), 4),
        Part("project", inner, 6, 4),
    ]
    assert prediction.cell_ns(cell, second) == sum(map(nanoseconds, strided))
    fixed = [Part("stem", 1, 4, 8), Part("classifier", 6, 4, 4)]
    assert prediction.fixed_ns == sum(map(nanoseconds, fixed))
    whole = [*same, *strided, *fixed]
    assert network_ns(prediction, [cell, cell]) == sum(map(nanoseconds, whole))


def test_a_cell_without_a_path_costs_its_shortcut() -> None:
    prediction = Prediction(table_for(SKELETON), SKELETON)
    zero = Cell.from_edges([], expansion=1)
    expected = nanoseconds(Part("sum", 4, 4, 8))
    assert prediction.cell_ns(zero, SKELETON.shapes[0]) == expected


@given(
    skeletons(most_layers=3),
    st.lists(cells(most_nodes=4, zero=False), min_size=1, max_size=3),
    st.floats(1, 5),
    st.lists(cells(most_nodes=5), min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_no_network_of_allowed_cells_is_over_the_limit(
    skeleton: Skeleton,
    references: list[Cell],
    factor: float,
    offered: list[Cell],
    rng: random.Random,
) -> None:
    table = table_for(skeleton)
    prediction = Prediction(table, skeleton)
    tightest = latency_budget(table, skeleton, references, "reference")
    limit = tightest.limit_ms * factor
    budget = latency_budget(table, skeleton, references, limit)
    layers = range(len(skeleton.layers))
    allowed = [[c for c in [*references, *offered] if budget.allows(c, i)] for i in layers]
    for layer in layers:
        assert all(reference in allowed[layer] for reference in references)
    most_expensive = [
        max(some, key=lambda cell: prediction.cell_ns(cell, shape))
        for some, shape in zip(allowed, skeleton.shapes, strict=True)
    ]
    for network in (most_expensive, [rng.choice(some) for some in allowed]):
        assert network_ns(prediction, network) <= Fraction(repr(limit)) * 10**6


def test_reference_is_what_the_most_expensive_reference_architecture_takes() -> None:
    table = table_for(SKELETON)
    prediction = Prediction(table, SKELETON)
    budget = latency_budget(table, SKELETON, REFERENCES, "reference")
    twice = latency_budget(table, SKELETON, REFERENCES, "reference", factor=2.0)
    assert twice.limit_ms == pytest.approx(2 * budget.limit_ms, rel=1e-9)
    pairs = [(a, b) for a in REFERENCES for b in REFERENCES]
    assert budget.limit_ns == max(network_ns(prediction, pair) for pair in pairs)


def test_a_reference_over_the_limit_is_an_error_that_names_both_numbers() -> None:
    table = table_for(SKELETON)
    need = latency_budget(table, SKELETON, REFERENCES, "reference").limit_ms
    with pytest.raises(BudgetError) as caught:
        latency_budget(table, SKELETON, REFERENCES, need / 2)
    expected = f"the limit is {need / 2:,.6g} ms, but the reference cells need {need:,.6g};"
    assert expected in str(caught.value)


def test_a_table_of_another_network_is_refused_with_the_command_that_makes_the_right_one() -> None:
    table = table_for(SKELETON.fitted(in_channels=3, resolution=8, classes=4))
    with pytest.raises(LatencyError) as caught:
        latency_budget(table, SKELETON, REFERENCES, "reference")
    assert "no stem from 1 to 4 channels at 8x8" in str(caught.value)
    assert "autospace profile --skeleton tiny --resolution 8 --channels 1 --classes 4" in str(
        caught.value
    )


def test_a_table_without_some_operation_is_refused_before_anything_is_trained() -> None:
    rows = [row for row in table_for(SKELETON).rows if row.part != "dw_conv_7x7"]
    table = table_for(SKELETON, rows=rows)
    prediction = Prediction(table, SKELETON)
    prediction.cell_ns(mbconv(3, 3), SKELETON.shapes[0])
    with pytest.raises(LatencyError, match="no dw_conv_7x7"):
        prediction.require(parts_of_skeleton(SKELETON))
