"""Spaces of decoders of captions: sizes and costs by formula, by enumeration and by counting."""

import itertools
import json
import math
import random

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.networks.network import build_network
from autospace.spaces import SpaceError, from_json, json_schema, load, to_json
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.family import FAMILIES
from autospace.spaces.cells.recurrent import RecurrentPrior, link_choices
from autospace.spaces.cells.recurrent_cell import FUNCTIONS, RecurrentCell
from autospace.spaces.files.families import family_space

FAMILY = FAMILIES["recurrent"]


def _size(depth: int, nodes: int) -> int:
    links = math.prod(2**layer - 1 for layer in range(1, depth + 1))
    return int(links * (4**nodes * math.factorial(nodes)) ** depth)


@pytest.mark.parametrize(
    ("name", "depth", "nodes"),
    [("autocaption@autocaption", 3, 4), ("autocaption@captions-small", 2, 2)],
)
def test_sizes_by_formula(name: str, depth: int, nodes: int) -> None:
    space = load(name)
    assert space.size == _size(depth, nodes)
    assert space.size == math.prod(len(layer.candidates) for layer in space.layers)


def test_the_smallest_space_by_enumeration() -> None:
    space = family_space("autocaption", CaptionSkeleton.of("tiny", 7, 3, 1, depth=3, resolution=4))
    assert space.size == _size(3, 1) == 1344
    every = itertools.product(*(range(len(layer.candidates)) for layer in space.layers))
    found = [space.at(path) for path in every]
    assert len({architecture.keys for architecture in found}) == space.size
    counts = {architecture.cost.params for architecture in found}
    assert (min(counts), max(counts)) == (space.params.min, space.params.max)
    mean = sum(architecture.cost.params for architecture in found) / space.size
    assert mean == pytest.approx(space.params.mean)


def test_params_of_the_full_space_by_hand() -> None:
    space = load("autocaption@autocaption")
    convolutions = sum(9 * a * b + 2 * b for a, b in itertools.pairwise((3, 32, 64, 128, 256, 256)))
    linear = (256 * 7 * 7 + 1) * 512
    words = 10_000 * 512 + 10_000
    matrix = 2 * 512**2
    least = convolutions + linear + words + 3 * (1 + 1 + 4) * matrix
    assert space.params.min == least
    # The second and the third layer may have one and two links more.
    assert space.params.max == least + 3 * matrix


@pytest.mark.parametrize("root", ["tanh", None])
def test_costs_are_those_of_the_module(root: str | None) -> None:
    skeleton = CaptionSkeleton.of(
        "tiny", 9, 5, 3, depth=3, channels=3, resolution=9, encoder=(4, 6), root=root
    )
    space = family_space("autocaption", skeleton)
    for seed in range(8):
        architecture = space.sample(random.Random(seed))
        network = build_network(architecture.skeleton, architecture.cells)
        assert sum(each.numel() for each in network.parameters()) == architecture.cost.params


@pytest.mark.parametrize("name", ["autocaption@autocaption", "autocaption@captions-small"])
def test_spaces_and_architectures_are_read_back(name: str) -> None:
    space = load(name)
    architecture = space.sample(random.Random(0))
    for value, kind in (
        (space, "space"),
        (architecture, "architecture"),
        (space.skeleton, "skeleton"),
    ):
        text = to_json(value)
        assert from_json(text) == value
        jsonschema.validate(json.loads(text), json_schema(f"autospace.{kind}", kind="recurrent"))


@st.composite
def _cells(draw: st.DrawFn) -> RecurrentCell:
    nodes = draw(st.integers(1, 4))
    names = st.sampled_from(list(FUNCTIONS))
    pairs = [(draw(st.integers(0, node)), draw(names)) for node in range(nodes)]
    return RecurrentCell.of(pairs, draw(names), draw(st.sampled_from(link_choices(3))))


@given(_cells(), _cells(), st.integers(0, 2**20))
def test_variation_stays_in_the_space(one: RecurrentCell, two: RecurrentCell, seed: int) -> None:
    rng = random.Random(seed)
    prior = RecurrentPrior(tuple(FUNCTIONS), one.nodes, one.functions[0], depth=3)
    child = FAMILY.mutate(one, prior, rng)
    (shape,) = CaptionSkeleton.of("s", 9, 4, one.nodes, depth=3, root=one.functions[0], whole=True,
                                  resolution=4).shapes[2:]  # fmt: skip
    FAMILY.check(child, shape)
    assert child != one
    other = FAMILY.crossover(one, two, rng)
    assert other.links in (one.links, two.links)
    assert FAMILY.decoded(FAMILY.document.model_validate(FAMILY.encoded(one))) == one
    drawn = FAMILY.random_cell(prior, rng)
    FAMILY.check(drawn, shape)


def test_links_are_chosen_kept_and_shown() -> None:
    cell = RecurrentCell.of([(0, "relu")], links=(0, 2))
    skeleton = CaptionSkeleton.of("s", 9, 4, 1, depth=3, resolution=4)
    shapes = skeleton.shapes[6:]
    assert [shape.name for shape in shapes] == [
        "layer_3_links", "layer_3_node_01_input", "layer_3_node_01_function",
    ]  # fmt: skip
    pieces = [FAMILY.at(cell, shape) for shape in shapes]
    assert [FAMILY.notation(piece) for piece in pieces] == ["in=0+2", "1<0", "1=relu"]
    assert FAMILY.joined(pieces, shapes[0]) == cell
    assert FAMILY.notation(cell) == "in=0+2 0=tanh 1=relu(0)"
    other = RecurrentCell.of([(0, "relu")], links=(1,))
    assert FAMILY.differences(cell, other) == ["in=1→in=0+2"]
    assert FAMILY.key(cell, skeleton.cell_layers[2]) == "in=0+2 (tanh[(relu)])"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d["layers"][0]["candidate"].update(links=[1]), r"links\[0\]: 1; allowed"),
        (lambda d: d["layers"][5]["candidate"].update(links=[]), "1 or more entries"),
        (lambda d: d["layers"][5]["candidate"].update(links=[1, 0]), "in their order"),
        (lambda d: d["layers"][5]["candidate"].update(links=[0, 0]), "in their order"),
        (lambda d: d["layers"][5]["candidate"].update(links=[9]), "links"),
        (lambda d: d["layers"][5]["candidate"].update(links=None), "0 choices"),
        (lambda d: d["layers"][5]["candidate"].update(links=["a"]), "links"),
        (lambda d: d["skeleton"].update(depth=3), "layers"),
        (lambda d: d["skeleton"].update(image=None), "depth: 2; allowed: 1 without an image"),
        (lambda d: d["skeleton"]["image"].update(encoder=[]), "encoder"),
        (lambda d: d["skeleton"]["image"].update(encoder=[0]), "encoder"),
        (lambda d: d["skeleton"]["image"].update(resolution=-1), "resolution"),
        (lambda d: d["skeleton"]["image"].update(colour=3), "colour"),
    ],
)
def test_wrong_files_are_one_line(change: object, problem: str) -> None:
    plain = json.loads(to_json(load("autocaption@captions-small").sample(random.Random(0))))
    change(plain)  # type: ignore[operator]
    with pytest.raises(SpaceError, match=problem) as found:
        from_json(json.dumps(plain))
    assert "\n" not in str(found.value)


def test_families_and_skeletons_that_do_not_fit_are_one_line() -> None:
    for name, problem in (
        ("enas-rnn@captions-small", "reads captions, but enas-rnn reads text"),
        ("autocaption@rnn-small", "reads text, but autocaption describes images"),
        ("autocaption@cifar", "reads images, but autocaption describes images"),
        ("mbconv@captions-small", "which reads captions; allowed: autocaption"),
    ):
        with pytest.raises(SpaceError, match=problem):
            load(name)


def test_links_have_no_place_in_a_language_model() -> None:
    plain = json.loads(to_json(load("enas-rnn@rnn-small").sample(random.Random(0))))
    plain["skeleton"]["whole"] = True
    cell = {"sources": [None, 0, 0, 0, 0], "functions": ["tanh"] * 5, "links": [0]}
    first = {**plain["layers"][0]["candidate"], **cell, "params": 40960, "madds": 40960}
    plain["layers"] = [{"name": "cell", "candidate": first}]
    with pytest.raises(SpaceError, match=r"links\[0\]: 0; allowed at cell: null"):
        from_json(json.dumps(plain))
