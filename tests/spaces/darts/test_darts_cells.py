"""DARTS cells as values: their key, cost, variation, notation and document."""

import itertools
import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.evaluators.evaluator import skeleton_key
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
    load,
    load_skeleton,
    mbconv,
    to_json,
)
from autospace.spaces.cells.darts import DartsPrior
from autospace.spaces.cells.darts_cell import OPERATIONS, USUAL, DartsCell, choices_of
from autospace.spaces.cells.dense_cell import DenseCell
from autospace.spaces.cells.family import changes, notation
from autospace.spaces.cost import fixed_cost
from autospace.spaces.difference import difference
from tests.spaces.darts.genotypes import TINY, V2_NORMAL, V2_REDUCE, darts_v2

DARTS = FAMILIES["darts"]
NORMAL, REDUCE = DartsCell.of(V2_NORMAL), DartsCell.of(V2_REDUCE)
PRIOR = DartsPrior(USUAL)
SMALL = load("darts@darts-small")
SHAPE, HALF = TINY.cell_layers[:2]
SEP, DIL, SKIP, MAX, AVG, NONE = (
    "sep_conv_3x3", "dil_conv_5x5", "skip_connect", "max_pool_3x3", "avg_pool_3x3", "none",
)  # fmt: skip


@st.composite
def cells(draw: st.DrawFn, nodes: int = 4, operations: Any = tuple(OPERATIONS)) -> DartsCell:
    """Whole cells, also with equal sources and with some nodes only at their end."""
    pairs = [
        (draw(st.sampled_from(operations)), draw(st.integers(0, node - 1)))
        for node in range(2, 2 + nodes)
        for _ in range(2)
    ]
    every = list(range(2, 2 + nodes))
    return DartsCell.of(pairs, draw(st.permutations(every))[: draw(st.integers(1, nodes))])


def chosen(seed: int) -> DartsCell:
    drawn = DARTS.random_cell(PRIOR, random.Random(seed))
    assert isinstance(drawn, DartsCell)
    return drawn


# Counts that others published.


@pytest.mark.parametrize(
    ("name", "params", "madds"),
    [("darts", 3_349_342, 528_359_040), ("darts-imagenet", 4_718_752, 529_911_552)],
)
def test_darts_v2_has_the_published_params(name: str, params: int, madds: int) -> None:
    # Published as 3.3 and 4.7 million; counted in the authors' network without auxiliary head.
    assert darts_v2(name).cost == Cost(madds, params)


def test_the_space_has_the_published_size() -> None:
    sizes = [len(choices_of(node)) for node in (2, 3, 4, 5)]
    assert sizes == [49, 147, 294, 490]
    assert 49 * 147 * 294 * 490 == 1_037_664_180
    for name in ("darts", "darts-imagenet", "darts-small"):
        assert load(f"darts@{name}").size == 1_037_664_180**2


def test_a_cost_is_the_sum_over_nodes_and_the_sum_over_layers() -> None:
    space = load("darts@darts-small")
    found = space.sample(random.Random(1))
    by_node = fixed_cost(space.skeleton)
    for layer, candidate in zip(space.layers, found.candidates, strict=True):
        by_node = by_node.plus(cell_cost(candidate.cell, layer.shape))
    assert by_node == found.cost
    assert len(found.cells) == 6
    assert len(set(found.cells)) == 2
    assert from_json(to_json(found)) == found


def test_a_node_costs_what_its_operations_cost_by_hand() -> None:
    # 4 channels at 9x9: two of (9 * 4 + 16) weights and 8 of normalisation; 25 * 4 + 16, and 8.
    pairs = [(SEP, 0), (DIL, 1), *[(SKIP, 0), (MAX, 1)] * 3]
    separable, dilated = Cost(2 * 52 * 81, 2 * 60), Cost(116 * 81, 124)
    assert cell_cost(DartsCell.of(pairs), SHAPE) == separable.plus(dilated)
    # At stride 2 to 5x5, 6 channels: skips from inputs are convolutions with 36 weights.
    separable, dilated = Cost(2 * 90 * 25, 2 * 102), Cost(186 * 25, 198)
    skips = Cost(3 * 36 * 25, 3 * 48)
    assert cell_cost(DartsCell.of(pairs), HALF) == separable.plus(dilated).plus(skips)


# Keys.

PLAIN = [(MAX, 0), (MAX, 1)]
CASES = [
    # The order of the two edges of a node.
    ([(SEP, 0), (SKIP, 1), *PLAIN], [(SKIP, 1), (SEP, 0), *PLAIN], True),
    # Nodes that do not read each other can change places.
    ([(SEP, 0), (SKIP, 1), *PLAIN], [*PLAIN, (SEP, 0), (SKIP, 1)], True),
    # A node that reads another is renamed with it.
    (
        [(SEP, 0), (SEP, 1), (DIL, 0), (DIL, 1), (SEP, 2), (SKIP, 0)],
        [(DIL, 0), (DIL, 1), (SEP, 0), (SEP, 1), (SEP, 3), (SKIP, 0)],
        True,
    ),
    # What has weights is not shared, what has none is the same.
    ([(SEP, 0), (SEP, 1), (SKIP, 2), (MAX, 1)], [(SEP, 0), (SEP, 1), (SEP, 0), (MAX, 1)], False),
    ([(MAX, 0), (AVG, 1), (SEP, 2), (MAX, 0)], [(AVG, 1), (MAX, 0), (SEP, 2), (MAX, 0)], True),
    # The two inputs are not alike.
    ([(SEP, 0), (SKIP, 1), *PLAIN], [(SEP, 1), (SKIP, 0), *PLAIN], False),
    ([(SEP, 0), (SKIP, 1), *PLAIN], [(DIL, 0), (SKIP, 1), *PLAIN], False),
    # A sum of means is the mean of the sum.
    (
        [(SKIP, 0), (SKIP, 1), (AVG, 2), (NONE, 0)],
        [(SKIP, 0), (SKIP, 1), (AVG, 0), (AVG, 1)],
        True,
    ),
]


@pytest.mark.parametrize(("first", "second", "alike"), CASES)
def test_cells_are_alike_exactly_if_their_functions_are(
    first: list[tuple[str, int]], second: list[tuple[str, int]], alike: bool
) -> None:
    keys = [cell_key(DartsCell.of(each), SHAPE) for each in (first, second)]
    assert (keys[0] == keys[1]) is alike


def test_an_identity_of_stride_2_has_weights() -> None:
    same = DartsCell.of([(SKIP, 0), (NONE, 1), (SKIP, 0), (NONE, 1)])
    chain = DartsCell.of([(SKIP, 0), (NONE, 1), (SKIP, 2), (NONE, 1)])
    assert cell_key(same, SHAPE) == cell_key(chain, SHAPE)
    assert cell_key(same, HALF) != cell_key(chain, HALF)


@given(cells(), st.randoms(use_true_random=False))
def test_a_key_does_not_depend_on_how_a_cell_is_written(cell: DartsCell, rng: Any) -> None:
    """Nodes in any order that their edges allow, the edges of each in any order."""
    waiting, order = list(range(2, 6)), []
    while waiting:
        ready = [n for n in waiting if all(e.source < 2 or e.source in order for e in cell.into(n))]
        order.append(rng.choice(ready))
        waiting.remove(order[-1])
    label = {0: 0, 1: 1, **{node: index for index, node in enumerate(order, 2)}}
    pairs = [
        (edge.operation, label[edge.source])
        for node in order
        for edge in rng.sample(cell.into(node), 2)
    ]
    ends = [label[node] for node in cell.concat]
    rng.shuffle(ends)
    other = DartsCell.of(pairs, ends)
    for shape in (SHAPE, HALF):
        assert cell_key(other, shape) == cell_key(cell, shape)
    assert DARTS.canonical(DARTS.canonical(cell)) == DARTS.canonical(cell)
    assert cell_key(DARTS.canonical(cell), SHAPE) == cell_key(cell, SHAPE)


def test_keys_tell_all_cells_of_two_nodes_apart_by_their_terms() -> None:
    """With weights everywhere, two cells are alike if they are as multisets of nodes."""
    names = (SEP, DIL)
    pairs = [
        (one, other)
        for one in choices_of(2, names)
        for other in choices_of(3, names)
    ]  # fmt: skip
    keys, forms = set(), set()
    for first, second in pairs:
        cell = DartsCell(2, (*first, *second), (2, 3))
        keys.add(cell_key(cell, SHAPE))
        nodes = [sorted((e.operation, e.source) for e in cell.into(node)) for node in (2, 3)]
        reads = any(source == 2 for _, source in nodes[1])
        forms.add(str(nodes if reads else sorted(nodes)))
    assert len(keys) == len(forms)


# Variation.


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_mutation_changes_one_edge_of_one_node(seed: int, other: int) -> None:
    cell = chosen(seed)
    child = DARTS.mutate(cell, PRIOR, random.Random(other))
    changed = [n for n in range(2, 6) if sorted(child.into(n)) != sorted(cell.into(n))]
    assert len(changed) == 1
    (node,) = changed
    before, after = Counter(cell.into(node)), Counter(child.into(node))
    assert sum((before - after).values()) == 1
    assert len({edge.source for edge in child.into(node)}) == 2
    DARTS.check(child, SHAPE)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_crossover_takes_each_node_from_a_parent(a: int, b: int, seed: int) -> None:
    first, second = chosen(a), chosen(b)
    child = DARTS.crossover(first, second, random.Random(seed))
    assert all(child.into(node) in (first.into(node), second.into(node)) for node in range(2, 6))
    DARTS.check(child, SHAPE)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 7))
def test_choices_of_a_node_stay_choices_of_this_node(a: int, b: int, place: int) -> None:
    layer = SMALL.layers[place]
    rng = random.Random(b)
    one, other = (DARTS.at(chosen(seed), layer.shape) for seed in (a, b))
    for child in (DARTS.mutate(one, PRIOR, rng), DARTS.crossover(one, other, rng)):
        DARTS.check(child, layer.shape)
        assert len({edge.source for edge in child.chosen}) == 2
        assert cell_key(child, layer.shape) in layer.keys


def test_random_cells_have_every_choice_equally_often() -> None:
    rng = random.Random(0)
    drawn = [DARTS.random_cell(PRIOR, rng) for _ in range(4900)]
    counts = Counter(cell.into(2) for cell in drawn)
    # 100 expected of each of 49; chi-square of 48 degrees, 1 in 10,000 above 94.
    assert len(counts) == 49
    assert sum((count - 100) ** 2 / 100 for count in counts.values()) < 94
    sources = Counter(tuple(edge.source for edge in cell.into(5)) for cell in drawn)
    # 490 of each of 10; 9 degrees, 1 in 10,000 above 34.
    assert set(sources) == set(itertools.combinations(range(5), 2))
    assert sum((count - 490) ** 2 / 490 for count in sources.values()) < 34


# Files.


@given(cells() | st.integers(1, 6).flatmap(lambda nodes: cells(nodes)))
def test_a_document_gives_the_cell_back(cell: DartsCell) -> None:
    plain = DARTS.encoded(cell)
    document = DARTS.document.model_validate(plain)
    assert DARTS.decoded(document) == cell


def test_the_notation_names_nodes_and_what_is_concatenated() -> None:
    assert notation(NORMAL) == (
        "2: sep3~0 sep3~1, 3: sep3~0 sep3~1, 4: sep3~1 id~0, 5: id~0 dil3~2"
    )
    part = DartsCell.of([(SEP, 0), (NONE, 1), (MAX, 2), (AVG, 2)], [3])
    assert notation(part) == "2: sep3~0 ·~1, 3: max3~2 avg3~2 | 3"
    other = NORMAL.with_edges([Edge(1, 5, MAX), Edge(2, 5, "dil_conv_3x3")])
    assert changes(other, NORMAL) == "5: id~0 dil3~2→max3~1 dil3~2"
    assert changes(NORMAL, NORMAL) == ""


def test_a_space_validates_against_its_schema_and_reads_back_equal() -> None:
    space = load("darts@darts-small")
    text = to_json(space)
    assert from_json(text) == space
    schema = json_schema(kind="darts")
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))
    names = [f"layer_{place}_node_{node}" for place in ("00", "02") for node in (2, 3, 4, 5)]
    assert [layer.shape.name for layer in space.layers] == names


@pytest.mark.parametrize(
    ("nodes", "edges", "concat", "message"),
    [
        (1, [(0, 2, SEP), (2, 2, SEP)], (2,), r"^edges\[1\]: 2 -> 2; allowed: 0 <= source < ta"),
        (1, [(0, 2, SEP), (0, 1, SEP)], (2,), r"^edges\[1\]: 0 -> 1; allowed: 0 <= source < ta"),
        (2, [(0, 2, SEP)] * 3 + [(0, 3, SEP)], (2,), r"^edges\[2\]: 0 -> 2; allowed here: an ed"),
        (2, [(0, 2, SEP)] * 3, (2,), r"^edges: 3 edges; allowed: 2 of one node, or 4 of 2 nodes$"),
        (1, [(0, 2, SEP), (0, 2, "sep")], (2,), r'^edges\[1\].operation: unknown operation "sep"'),
        (1, [(0, 2, SEP)] * 2, (2, 2), r"^concat\[1\]: 2 is given twice$"),
        (1, [(0, 2, SEP)] * 2, (1,), r"^concat\[0\]: 1; allowed: 2 to 2$"),
        (1, [(0, 2, SEP)] * 2, (), "^concat: no nodes; allowed: nodes 2 to 2$"),
        (9, [(0, 2, SEP)] * 2, (2,), "^nodes: 9; allowed: 1 to 8$"),
    ],
)
def test_a_wrong_cell_is_refused(
    nodes: int, edges: list[tuple[int, int, str]], concat: tuple[int, ...], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        DartsCell(nodes, tuple(Edge(*edge) for edge in edges), concat)


NODE = SMALL.layers[1].shape


@pytest.mark.parametrize(
    ("cell", "shape", "message"),
    [
        (NORMAL, LayerShape("a", 4, 4, 1, 8), '^kind: "darts" at a, whose cells have one input'),
        (NORMAL, NODE, "^edges: into 2, 3, 4, 5; allowed here: into 3 alone$"),
        (DartsCell.on(choices_of(3)[0]), SHAPE, "^edges: 2 edges; allowed: 8, all of 4 nodes$"),
        (DartsCell.on(choices_of(2)[0]), NODE, "^edges: into 2; allowed here: into 3 alone$"),
        (DartsCell.of(V2_NORMAL[:2]), SHAPE, "^concat: 1 nodes; allowed at layer_00: 4, as in"),
        (mbconv(3, 3), SHAPE, '^kind: "mobile" at layer_00; allowed here: darts$'),
        (DenseCell.of([NONE] * 6), SHAPE, '^kind: "dense" at layer_00; allowed here: darts$'),
    ],
)
def test_a_cell_that_does_not_fit_is_refused(cell: Any, shape: LayerShape, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        FAMILIES[cell.kind].check(cell, shape)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("darts@digits", "no cell of darts fits|whose cells have one input"),
        ("mbconv@darts", "no cell of mbconv fits layer_00_node_2 of the skeleton darts; allowed"),
        ("nasbench201@darts", "no cell of nasbench201 fits layer_00_node_2 of the skeleton darts"),
        ("darts@nasbench201", "no cell of darts fits edge_0_1 of the skeleton nasbench201; allo"),
    ],
)
def test_families_and_skeletons_that_do_not_fit_are_named(name: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        load(name)


# Skeletons.


def test_a_layer_reads_the_two_layers_before_it() -> None:
    found = [(s.in_channels, s.before, s.width, s.resolution) for s in TINY.cell_layers]
    assert found == [
        (6, (6, 9), 4, 9),
        (16, (6, 9), 6, 9),
        (24, (16, 9), 6, 5),
        (24, (24, 5), 6, 5),
    ]
    first, second, third = load_skeleton("darts-imagenet").cell_layers[:3]
    assert (first.before, first.resolution) == ((48, 56), 28)
    assert (second.before, third.before) == ((48, 28), (192, 28))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"concat": 0}, "^concat: 0; allowed: 1 to 8$"),
        ({"chain": 3}, "^chain: 3; allowed: 1 to 2$"),
        ({"chain": 1}, "^concat: 4; allowed: 1 to 1$"),
        ({"nodes": 3}, "^nodes: 3; allowed: 4, all nodes that are concatenated$"),
        ({"head": 8}, "^head: 8; allowed: 0 with chain 2$"),
        ({"preactivation": True}, "^preactivation: true; allowed: false with chain 2$"),
        ({"ties": (0, 0, 0, 0)}, r"^ties\[1\]: 0: layer_01 and layer_00 differ in stride"),
        ({"stem": replace(TINY.stem, block=4)}, "^stem.block: 4; allowed: none with chain 2$"),
        ({"stem": replace(TINY.stem, convolutions=2)}, "^stem.convolutions: 2; allowed: 1 or 3$"),
        ({"stem": replace(TINY.stem, convolutions=3)}, "^stem.stride: 1; allowed: 2, of each of"),
        (
            {"layers": (replace(TINY.layers[0], channels=4000), *TINY.layers[1:])},
            r"^layers\[0\].channels: 4000; allowed: 2048 or less, as 4 are concatenated$",
        ),
    ],
)
def test_a_skeleton_that_makes_no_sense_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        replace(TINY, **change)


def test_three_convolutions_are_for_two_inputs() -> None:
    skeleton = load_skeleton("digits")
    with pytest.raises(SpaceError, match=r"^stem\.convolutions: 3; allowed: 1 without chain 2$"):
        replace(skeleton, stem=replace(skeleton.stem, convolutions=3))


def test_skeletons_that_differ_are_told_apart() -> None:
    """In stored scores, in differences and where weights are loaded, by every one of their keys."""
    deep = replace(TINY, stem=replace(TINY.stem, stride=2))
    changed = [
        replace(TINY, concat=2),
        deep,
        replace(deep, stem=replace(deep.stem, convolutions=3)),
        replace(TINY, ties=()),
    ]
    keys = {skeleton_key(skeleton) for skeleton in (TINY, *changed)}
    assert len(keys) == 5
    one = replace(SMALL, skeleton=SMALL.skeleton)
    assert difference(one, SMALL).equal


# Hostile files.


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where the values of a document are."""
    found = [path]
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        inner = (*path, key)
        found += _paths(part, inner) if isinstance(part, dict | list) else [inner]
    return found


FILE = json.loads(to_json(darts_v2("darts-small")))
PATHS = [path for path in _paths(FILE) if path]
VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats()


@given(st.sampled_from(PATHS), VALUES | st.lists(VALUES, max_size=3))
def test_a_file_with_any_wrong_value_is_refused_in_a_line(
    path: tuple[Any, ...], value: Any
) -> None:
    changed = json.loads(json.dumps(FILE))
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
