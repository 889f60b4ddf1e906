"""Blocks of one hidden size of which only the last layers are skipped, against a list of all."""

import json
import random
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.exporters.json_clients import to_configspace
from autospace.spaces import (
    FAMILIES,
    Architecture,
    Budget,
    Candidate,
    Layer,
    Space,
    SpaceError,
    cell_cost,
    from_json,
    json_schema,
    load,
    mbconv,
    to_json,
)
from autospace.spaces.cells.bert import SKIPPED, SYMBOLS, WIDTHS, BertCell
from autospace.spaces.choices import Choices, limits_of
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.space import network_cost
from autospace.supernets.interference import draw_pair
from autospace.supernets.path_training import neighbour
from tests.spaces.bert.spaces import SKELETON, every_path, small_space

SEEDS = st.integers(0, 10_000)
BLOCK = 97_650


def made(seed: int) -> Space:
    try:
        return small_space(seed)
    except SpaceError:
        # A block without an option is refused; the fixed one always has some.
        return small_space()


def test_a_block_has_the_published_number_of_architectures() -> None:
    space = load("nas-bert@nas-bert")
    assert 5 * sum(5**depth for depth in range(1, 7)) == BLOCK
    assert [part.size for part in space.parts] == [BLOCK] * 4
    assert space.size == BLOCK**4
    # 26 candidates as in the paper: five kinds at five hidden sizes, and the identity.
    assert [len(layer.candidates) for layer in space.layers] == [25, 26, 26, 26, 26, 26] * 4


def test_the_small_space_has_as_many_as_are_listed() -> None:
    space = small_space()
    # Two widths: of three layers 2 + 4 + 8, of two layers 2 + 4.
    assert space.size == len(every_path(space)) == (2 * 14) * (2 * 6)


def chi_square(counts: Counter[Any], options: int) -> float:
    mean = counts.total() / options
    return sum((n - mean) ** 2 / mean for n in counts.values()) + (options - len(counts)) * mean


@given(SEEDS)
@settings(max_examples=15)
def test_size_and_ranges_are_those_of_the_list(seed: int) -> None:
    space = made(seed)
    paths = every_path(space)
    assert space.size == len(paths)
    costs = [network_cost(SKELETON, space.at(path).cells) for path in paths]
    for index, found in enumerate((space.madds, space.params)):
        values = [each[index] for each in costs]
        assert (found.min, found.max) == (min(values), max(values))
        assert found.mean == pytest.approx(float(Fraction(sum(values), len(values))), rel=1e-12)


@given(SEEDS, st.integers(0, 99))
@settings(max_examples=10)
def test_draws_are_uniform_with_and_without_a_limit(seed: int, other: int) -> None:
    space, rng = made(seed), random.Random(other)
    paths = every_path(space)
    limit = int((space.madds.min + space.madds.max) / 2)
    fitting = [path for path in paths if space.at(path).cost.madds <= limit]
    limited = Choices(space, limits_of(space, Budget(max_madds=limit)))
    for choices, known in ((Choices(space), paths), (limited, fitting)):
        counts = Counter(choices.draw(rng) for _ in range(20 * len(known)))
        assert counts.keys() <= set(known)
        free = len(known) - 1
        assert chi_square(counts, len(known)) <= free + 6 * (2 * free) ** 0.5 + 6


@given(SEEDS, SEEDS)
@settings(max_examples=15)
def test_mutants_children_and_neighbours_never_leave_the_space(seed: int, other: int) -> None:
    space, rng = made(seed), random.Random(other)
    choices, known = Choices(space), set(every_path(space))
    path, second = choices.draw(rng), choices.draw(rng)
    for _ in range(20):
        assert choices.mutated(path, rng, 0.3) in known
        assert choices.crossed(path, second, rng) in known
        path = neighbour(choices, path, rng)
        assert path in known


def test_mutations_reach_every_hidden_size_and_keep_the_other_kinds() -> None:
    space, rng = small_space(), random.Random(0)
    choices = Choices(space)
    path = choices.draw(rng)
    kinds = [cell.operations for cell in space.at(path).cells]
    seen = Counter()  # type: ignore[var-annotated]
    for _ in range(300):
        child = space.at(choices.mutated(path, rng, 0.0)).cells
        seen[child[0].group, child[3].group] += 1
        differing = sum(a != b.operations for a, b in zip(kinds, child, strict=True))
        assert differing <= 2
    widths = {group for pair in seen for group in pair}
    assert widths == {4, 8}


def test_the_walk_of_magic_visits_all_architectures_equally_often() -> None:
    space, rng = small_space(), random.Random(3)
    choices, paths = Choices(space), every_path(small_space())
    path, counts = choices.draw(rng), Counter()  # type: ignore[var-annotated]
    for step in range(120 * len(paths)):
        path = neighbour(choices, path, rng)
        if step % 6 == 0:
            counts[path] += 1
    assert counts.keys() == set(paths)
    mean = counts.total() / len(paths)
    assert max(counts.values()) < 3 * mean


@pytest.mark.parametrize("differing", range(6))
def test_pairs_differ_in_as_many_layers_as_asked_for(differing: int) -> None:
    choices = Choices(small_space())
    pair = draw_pair(choices, differing, random.Random(differing))
    assert pair is not None
    assert sum(a != b for a, b in zip(*pair, strict=True)) == differing
    assert all(choices.allows(path) for path in pair)


def test_costs_are_the_formulas() -> None:
    h, s, t = 8, 8, 6
    first, later = SKELETON.shapes[0], SKELETON.shapes[1]
    wanted = {
        "attention": (4 * h * h * t + 2 * t * t * h, 4 * h * h + 4 * h + 2 * h),
        "feed_forward": (8 * h * h * t, 8 * h * h + 5 * h + 2 * h),
        **{
            f"conv1d_separable_{k}": (2 * (k * h + h * h) * t, 2 * (k * h + h * h + h) + 4 * h)
            for k in (3, 5, 7)
        },
    }
    for kind, cost in wanted.items():
        assert cell_cost(BertCell(kind, h), later)[:2] == cost
        around = (2 * s * h * t, 2 * s * h + s + h)
        found = cell_cost(BertCell(kind, h), first)
        assert found[:2] == (cost[0] + around[0], cost[1] + around[1])
    assert cell_cost(SKIPPED, later)[:2] == (0, 0)


@given(SEEDS)
@settings(max_examples=15)
def test_files_give_back_what_was_written(seed: int) -> None:
    space = made(seed)
    one = space.sample(random.Random(seed))
    for value in (space, one, SKELETON):
        assert from_json(to_json(value)) == value


def test_the_schema_knows_the_kinds_and_the_skeleton() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json_schema(kind="nas-bert")
    plain = json.loads(to_json(small_space()))
    jsonschema.validate(plain, schema)
    plain["layers"][0]["candidates"][0]["operation"] = "conv9"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain, schema)


def changed(plain: Any, place: list[Any], value: Any) -> Any:
    at = plain
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    return plain


CELL = ["layers", 0, "candidates", 0]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ([*CELL, "operation"], "conv9", "unknown kind of layer"),
        ([*CELL, "width"], 0, r"width: 0; allowed: 1 to"),
        ([*CELL, "width"], 6, "madds: 1056; allowed: 1872"),
        ([*CELL, "operation"], "none", "width"),
        (["skeleton", "blocks"], [3, 3], "6, as in the skeleton"),
        (["skeleton", "blocks"], [], "1 or more entries"),
        (["skeleton", "blocks"], [0, 5], "1 or more"),
        (["skeleton", "vocabulary"], 2, "3 or more"),
        (["skeleton", "heads"], 0, "1 or more"),
        (["skeleton", "heads"], 3, "multiples of 3"),
        (["skeleton", "length"], 0, "1 or more"),
        (["skeleton", "nodes"], 3, "unknown key"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(place: list[Any], value: Any, message: str) -> None:
    plain = changed(json.loads(to_json(small_space())), place, value)
    with pytest.raises(SpaceError, match=message) as caught:
        from_json(json.dumps(plain))
    assert "\n" not in str(caught.value)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@given(JUNK, st.sampled_from(["operation", "width", "madds", "params", "id"]))
@settings(max_examples=60)
def test_junk_in_a_cell_is_read_or_refused(value: Any, key: str) -> None:
    plain = changed(json.loads(to_json(small_space())), [*CELL, key], value)
    try:
        from_json(json.dumps(plain))
    except SpaceError as error:
        assert "\n" not in str(error)  # noqa: PT017


@given(JUNK, st.sampled_from(["blocks", "heads", "width", "length", "vocabulary", "classes"]))
@settings(max_examples=60)
def test_junk_in_a_skeleton_is_read_or_refused(value: Any, key: str) -> None:
    plain = changed(json.loads(to_json(SKELETON)), [key], value)
    try:
        from_json(json.dumps(plain))
    except SpaceError as error:
        assert "\n" not in str(error)  # noqa: PT017


def chosen(*cells: BertCell) -> tuple[Candidate, ...]:
    return tuple(Candidate("c", cell) for cell in cells)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("widths", "message"),
    [
        ((4, 8, 4, 4, 4), r"layers\[1\].candidate: hidden size 8, but layer_00 of the same stage"),
        ((4, 0, 4, 4, 4), r"layers\[1\].candidate: skipped, but layer_02"),
        ((0, 0, 0, 4, 4), "layer_00, which is never skipped"),
    ],
)
def test_an_architecture_outside_the_rule_is_refused(widths: tuple[int, ...], message: str) -> None:
    cells = [BertCell("attention", width) if width else SKIPPED for width in widths]
    with pytest.raises(SpaceError, match=message):
        Architecture(SKELETON, chosen(*cells))


@pytest.mark.parametrize("kind", [kind for kind in FAMILIES if kind != "nas-bert"])
def test_no_cell_of_another_family_stands_in_a_block(kind: str) -> None:
    family = FAMILIES[kind]
    cell = family.random_cell(family.prior(family.usual), random.Random(0))
    with pytest.raises(SpaceError, match="allowed here: nas-bert"):
        Layer(SKELETON.shapes[0], (Candidate("c", cell),))


def test_a_hidden_size_is_a_number_of_heads() -> None:
    with pytest.raises(SpaceError, match=r"width: 6 at layer_00.*allowed: multiples of 4"):
        Layer(SKELETON.shapes[0], chosen(BertCell("attention", 6)))


def test_no_layer_of_a_block_stands_elsewhere() -> None:
    shape = load("mbconv@digits").layers[0].shape
    with pytest.raises(SpaceError, match="allowed: skeletons that read sentences"):
        Layer(shape, chosen(BertCell("attention", 8)))
    with pytest.raises(SpaceError, match="which reads sentences; allowed: nas-bert"):
        load("mbconv@bert-small")
    with pytest.raises(SpaceError, match="reads images, but nas-bert reads sentences"):
        load("nas-bert@digits")
    with pytest.raises(SpaceError, match="nas-bert"):
        Architecture(SKELETON, (Candidate("c", mbconv(3, 3)),) * 5)


def test_a_space_on_a_skeleton_of_ones_own_has_hidden_sizes_that_fit() -> None:
    from autospace.spaces.files.families import family_space

    wide = family_space("nas-bert", EncoderSkeleton.of("own", 9, 4, 2, 300, (2,), heads=64))
    widths = {each.cell.group for each in wide.layers[0].candidates}
    assert widths == {width for width in WIDTHS if width <= 300}
    narrow = family_space("nas-bert", EncoderSkeleton.of("own", 9, 4, 2, 16, (2,), heads=4))
    assert {each.cell.group for each in narrow.layers[0].candidates} == {8, 16}


@pytest.mark.parametrize(
    ("width", "heads", "sizes"),
    [(48, 16, {16, 48}), (20, 8, {8, 16}), (100, 64, {64}), (16, 16, {16}), (64, 16, {32, 64})],
)
def test_hidden_sizes_of_ones_own_skeleton_are_whole_heads(
    width: int, heads: int, sizes: set[int]
) -> None:
    from autospace.spaces.files.families import family_space

    own = EncoderSkeleton.of("own", 9, 4, 2, width, (2,), heads=heads)
    space = family_space("nas-bert", own)
    assert {each.cell.group for each in space.layers[0].candidates} == sizes
    assert from_json(to_json(space)) == space


def test_a_head_is_no_wider_than_the_tokens() -> None:
    with pytest.raises(SpaceError, match=r"^heads: 64; allowed: 1 to 32$"):
        EncoderSkeleton.of("own", 9, 4, 2, 32, (2,))


def test_configspace_draws_only_what_is_in_the_space() -> None:
    configspace = pytest.importorskip("ConfigSpace")
    space = load("nas-bert@bert-small")
    plain = json.loads(to_configspace(space))
    found = configspace.ConfigurationSpace.from_serialized_dict(plain)
    found.seed(0)
    for one in found.sample_configuration(30):
        space.architecture(dict(one))
    with pytest.raises(SpaceError, match="choices of all layers is allowed"):
        to_configspace(load("nas-bert@nas-bert"))


@pytest.mark.parametrize("kind", SYMBOLS)
def test_cells_vary_within_the_prior(kind: str) -> None:
    family, rng = FAMILIES["nas-bert"], random.Random(1)
    prior = family.prior(SYMBOLS, [BertCell(kind, 4), BertCell(kind, 8)])
    cell = BertCell(kind, 4)
    for _ in range(30):
        child = family.mutate(cell, prior, rng)
        assert child != cell
        assert not child.is_zero
        assert child.group in (4, 8)
        both = family.crossover(cell, child, rng)
        assert both.operations[0] in (cell.operation, *child.operations)
        cell = child
    assert family.notation(BertCell("attention", 4)) == "attn 4"
    found = family.differences(BertCell("attention", 4), BertCell("feed_forward", 8))
    assert found == ["ffn -> attn", "8 -> 4"]
