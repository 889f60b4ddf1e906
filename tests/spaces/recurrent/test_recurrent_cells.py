"""The family `recurrent`: published counts, canonical trees, files, variation and errors."""

import json
import math
import random
from dataclasses import replace
from itertools import product

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.cli.display.drawing import draw_cell
from autospace.exporters.svg import cell_svg, network_svg
from autospace.exporters.targets import TARGETS
from autospace.spaces import SpaceError, from_json, json_schema, load, to_json
from autospace.spaces.cells.family import FAMILIES
from autospace.spaces.cells.recurrent import RecurrentPrior
from autospace.spaces.cells.recurrent_cell import FUNCTIONS, RecurrentCell, tree_key
from autospace.spaces.sequence import SequenceSkeleton

FAMILY = FAMILIES["recurrent"]


@st.composite
def cells(draw: st.DrawFn, most: int = 6) -> RecurrentCell:
    nodes = draw(st.integers(1, most))
    names = st.sampled_from(list(FUNCTIONS))
    pairs = [(draw(st.integers(0, node)), draw(names)) for node in range(nodes)]
    return RecurrentCell.of(pairs, draw(names))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        # The published language models: 10^4 H + 4 H^2 + 8 * 2 H^2, and DARTS's bias.
        ("enas-rnn@enas-rnn", 20_800_000),
        ("darts-rnn@darts-rnn", 22_960_000),
        ("enas-rnn@enas-rnn-paper", 22_027_104),
    ],
)
def test_params_are_the_published_ones(name: str, params: int) -> None:
    space = load(name)
    assert (space.params.min, space.params.max) == (params, params)
    # A token takes a multiplication by every weight; the bias is added.
    bias = space.skeleton.classes if name.startswith("darts") else 0
    assert space.madds.max == params - bias


def test_the_space_of_the_paper_has_its_size() -> None:
    assert load("enas-rnn@enas-rnn-paper").size == 4**12 * math.factorial(11) == 669_692_775_628_800
    assert load("enas-rnn@enas-rnn").size == 4**8 * math.factorial(8)


def test_equal_trees_are_found_by_hand() -> None:
    one = RecurrentCell.of([(0, "tanh"), (0, "relu"), (2, "tanh")])
    same = RecurrentCell.of([(0, "relu"), (1, "tanh"), (0, "tanh")])
    other = RecurrentCell.of([(0, "relu"), (1, "relu"), (0, "tanh")])
    assert tree_key(one) == tree_key(same) == "(tanh[(relu[(tanh)])(tanh)])"
    assert tree_key(other) != tree_key(one)
    assert FAMILY.canonical(one) == FAMILY.canonical(same)


def test_keys_are_exact_on_all_small_cells() -> None:
    """Two cells have one key exactly if some renumbering makes them equal: tried out here."""
    names = ("tanh", "relu")
    small = [
        RecurrentCell.of(zip(sources, functions, strict=True))
        for sources in product([0], [0, 1], [0, 1, 2])
        for functions in product(names, repeat=3)
    ]
    for first in small:
        equal = {tree_key(other) == tree_key(first) for other in small if _isomorphic(first, other)}
        unequal = {tree_key(o) == tree_key(first) for o in small if not _isomorphic(first, o)}
        assert equal == {True}
        assert unequal == {False}


def _isomorphic(one: RecurrentCell, two: RecurrentCell) -> bool:
    from itertools import permutations

    nodes = range(1, one.nodes + 1)
    wanted = {(node, *pair) for node, pair in enumerate(two.pairs, 1)}
    for order in permutations(nodes):
        place = {0: 0, **dict(zip(nodes, order, strict=True))}
        moved = {(place[n], place[s], f) for n, (s, f) in enumerate(one.pairs, 1)}
        if moved == wanted:
            return True
    return False


@given(cells(), st.integers(0, 2**20))
def test_numbers_of_nodes_do_not_matter(cell: RecurrentCell, seed: int) -> None:
    rng = random.Random(seed)
    assert FAMILY.canonical(FAMILY.canonical(cell)) == FAMILY.canonical(cell)
    assert tree_key(FAMILY.canonical(cell)) == tree_key(cell)
    prior = RecurrentPrior(tuple(FUNCTIONS), cell.nodes, cell.functions[0])
    child = FAMILY.mutate(cell, prior, rng)
    assert tree_key(child) != tree_key(cell)
    assert child.functions[0] == cell.functions[0]


@pytest.mark.parametrize("name", ["enas-rnn@rnn-small", "darts-rnn@darts-rnn"])
def test_spaces_and_architectures_are_read_back(name: str) -> None:
    space = load(name)
    assert from_json(to_json(space)) == space
    architecture = space.sample(random.Random(0))
    assert from_json(to_json(architecture)) == architecture
    assert from_json(to_json(space.skeleton)) == space.skeleton
    for value, kind in ((space, "space"), (architecture, "architecture")):
        schema = json_schema(f"autospace.{kind}", kind="recurrent")
        jsonschema.validate(json.loads(to_json(value)), schema)
    schema = json_schema("autospace.skeleton", kind="recurrent")
    jsonschema.validate(json.loads(to_json(space.skeleton)), schema)


@settings(max_examples=30, deadline=None)
@given(cells())
def test_whole_cells_are_candidates_too(cell: RecurrentCell) -> None:
    skeleton = SequenceSkeleton.of("s", 20, 8, cell.nodes, root=cell.functions[0], whole=True)
    (shape,) = skeleton.shapes
    FAMILY.check(cell, shape)
    assert FAMILY.cost(cell, shape).params == cell.nodes * 2 * 8**2
    parts = replace(skeleton, whole=False)
    pieces = [FAMILY.at(cell, each) for each in parts.shapes]
    assert FAMILY.joined(pieces, parts.shapes[0]) == cell
    for piece, each in zip(pieces, parts.shapes, strict=True):
        FAMILY.check(piece, each)
    assert (
        sum(
            FAMILY.cost(piece, each).params
            for piece, each in zip(pieces, parts.shapes, strict=True)
        )
        == FAMILY.cost(cell, shape).params
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d["layers"][2]["candidate"].update(sources=[None, None, 5, None, None]), "5;"),
        (
            lambda d: d["layers"][1]["candidate"].update(functions=[None, "cosine", *[None] * 3]),
            "unknown function",
        ),
        (lambda d: d["layers"][0]["candidate"].update(sources=[None, None, 1, None, None]), "node"),
        (lambda d: d["layers"][0]["candidate"].update(sources=[None, 0]), "entries"),
        (lambda d: d["skeleton"].update(nodes=0), "1 or more"),
        (lambda d: d["skeleton"].update(width="9"), "an integer"),
        (lambda d: d["skeleton"].update(root="sine"), "unknown function"),
        (lambda d: d["layers"][0]["candidate"].update(madds=7), "7; allowed"),
    ],
)
def test_wrong_files_are_one_line(change: object, problem: str) -> None:
    plain = json.loads(to_json(load("enas-rnn@rnn-small").sample(random.Random(0))))
    change(plain)  # type: ignore[operator]
    with pytest.raises(SpaceError, match=problem) as found:
        from_json(json.dumps(plain))
    assert "\n" not in str(found.value)


def test_images_and_text_do_not_mix() -> None:
    with pytest.raises(SpaceError, match="reads text"):
        load("mbconv@enas-rnn")
    with pytest.raises(SpaceError, match="reads images"):
        load("enas-rnn@digits")
    with pytest.raises(SpaceError, match="reads text, but the data are 8x8 images"):
        load("enas-rnn@rnn-small").skeleton.fitted(in_channels=1, resolution=8, classes=10)


def test_cells_are_drawn() -> None:
    space = load("enas-rnn@rnn-small")
    architecture = space.sample(random.Random(1))
    (cell,) = architecture.cells
    (shape,) = space.skeleton.cell_layers
    picture = draw_cell(cell, shape)
    for node, (source, name) in enumerate(cell.pairs, 1):  # type: ignore[attr-defined]
        assert f"{node} = {name}({source})" in picture
    svg = network_svg(architecture, "x")
    assert svg.count("as-node") >= 5
    assert "<svg" in cell_svg(space.layers[0].candidates[0], space.layers[0].shape)
    dot = TARGETS["dot"].architecture
    assert dot is not None
    assert "input and state" in dot(architecture)
