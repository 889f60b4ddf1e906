"""Stages of which only the last layers are skipped, against a list of all architectures."""

import json
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.spaces import (
    Architecture,
    Budget,
    Candidate,
    Space,
    SpaceError,
    from_json,
    load,
    to_json,
)
from autospace.spaces.cells.ofa import SKIPPED, OfaCell
from autospace.spaces.choices import Choices, SearchError, limits_of
from autospace.spaces.sampling import sample_within
from autospace.spaces.space import network_cost
from tests.spaces.ofa.spaces import SKELETON, every_path, small_space
from tests.tiny import fitted_space

SEEDS = st.integers(0, 10_000)


def made(seed: int) -> Space:
    try:
        return small_space(seed)
    except SpaceError:
        # A stage without an option is refused; the fixed one always has some.
        return small_space()


def costs_of(space: Space, paths: list[tuple[int, ...]]) -> list[tuple[int, int]]:
    found = []
    for path in paths:
        cells = [layer.candidates[i].cell for layer, i in zip(space.layers, path, strict=True)]
        cost = network_cost(SKELETON, cells)
        found.append((cost.madds, cost.params))
    return found


def chi_square(counts: Counter[Any], options: int) -> float:
    mean = counts.total() / options
    missing = options - len(counts)
    return sum((n - mean) ** 2 / mean for n in counts.values()) + missing * mean


@given(SEEDS)
@settings(max_examples=15)
def test_size_and_ranges_are_those_of_the_list(seed: int) -> None:
    space = made(seed)
    paths = every_path(space)
    assert space.size == len(paths)
    costs = costs_of(space, paths)
    for index, found in enumerate((space.madds, space.params)):
        values = [each[index] for each in costs]
        assert (found.min, found.max) == (min(values), max(values))
        assert found.mean == pytest.approx(float(Fraction(sum(values), len(values))), rel=1e-12)


@given(SEEDS, st.integers(0, 99))
@settings(max_examples=15)
def test_every_draw_is_in_the_space_and_draws_are_uniform(seed: int, other: int) -> None:
    space = made(seed)
    paths = every_path(space)
    rng = random.Random(other)
    choices = Choices(space)
    counts = Counter(choices.draw(rng) for _ in range(20 * len(paths)))
    assert counts.keys() <= set(paths)
    # Mean K - 1, standard deviation sqrt(2 (K - 1)): five of them, and some for few options.
    free = len(paths) - 1
    assert chi_square(counts, len(paths)) <= free + 6 * (2 * free) ** 0.5 + 6


@given(SEEDS, st.floats(0, 1), st.integers(0, 99))
@settings(max_examples=15)
def test_draws_within_a_limit_are_uniform_over_what_fits(
    seed: int, share: float, other: int
) -> None:
    space = made(seed)
    paths = every_path(space)
    low, high = space.madds.min, space.madds.max
    limit = int(low + share * (high - low))
    budget = Budget(max_madds=limit, max_params=space.params.max)
    costs = costs_of(space, paths)
    fitting = [path for path, (madds, _) in zip(paths, costs, strict=True) if madds <= limit]
    choices = Choices(space, limits_of(space, budget))
    rng = random.Random(other)
    # By the list, and by tilted rejection.
    for draw in (choices.draw, choices._feasible.drawn):
        counts = Counter(draw(rng) for _ in range(20 * len(fitting)))
        assert counts.keys() <= set(fitting)
        free = len(fitting) - 1
        assert chi_square(counts, len(fitting)) <= free + 6 * (2 * free) ** 0.5 + 6
    assert {path for path in paths if choices.allows(path)} == set(fitting)
    drawn = sample_within(space, budget, len(fitting) + 1, rng)
    assert {choices.path(each) for each in drawn} == set(fitting)


@given(SEEDS, SEEDS)
@settings(max_examples=20)
def test_mutants_and_children_never_leave_the_space(seed: int, other: int) -> None:
    space = made(seed)
    choices, rng = Choices(space), random.Random(other)
    known = set(every_path(space))
    parent, second = choices.draw(rng), choices.draw(rng)
    for _ in range(20):
        child = choices.mutated(parent, rng, 0.3)
        assert child in known
        assert choices.crossed(child, second, rng) in known
        parent = child


def test_a_repaired_path_has_its_cells_in_order_and_the_skips_last() -> None:
    space = small_space()
    first, second = OfaCell.of(3, 3), OfaCell.of(5, 4)

    def at(layer: int, cell: OfaCell | None) -> int:
        cells = [each.cell for each in space.layers[layer].candidates]
        return cells.index(SKIPPED if cell is None else cell)

    broken = (at(0, first), at(1, None), at(2, second), at(3, first), at(4, second))
    wanted = (at(0, first), at(1, second), at(2, None), at(3, first), at(4, second))
    assert Choices(space).repaired(broken, random.Random(0)) == wanted


@given(SEEDS, SEEDS)
@settings(max_examples=20)
def test_every_architecture_is_a_neighbour_of_a_neighbour(seed: int, other: int) -> None:
    space = made(seed)
    choices, rng = Choices(space), random.Random(other)
    paths = every_path(space)
    reached, front = {paths[0]}, [paths[0]]
    # Mutation of one layer at a time, from any architecture to all others.
    while front:
        path = front.pop()
        for layer, size in enumerate(choices.sizes):
            for index in range(size):
                moved = choices.repaired((*path[:layer], index, *path[layer + 1 :]), rng)
                if moved not in reached:
                    reached.add(moved)
                    front.append(moved)
    assert reached == set(paths)


@given(SEEDS, SEEDS, st.floats(0, 1))
@settings(max_examples=20)
def test_the_best_is_that_of_the_list(seed: int, other: int, share: float) -> None:
    space, rng = made(seed), random.Random(other)
    paths = every_path(space)
    scores = [[rng.gauss(0, 1) for _ in layer.candidates] for layer in space.layers]
    limit = int(space.madds.min + share * (space.madds.max - space.madds.min))
    for budget in (Budget(), Budget(max_madds=limit)):
        choices = Choices(space, limits_of(space, budget))
        costs = costs_of(space, paths)
        fitting = [
            path
            for path, (madds, _) in zip(paths, costs, strict=True)
            if budget.max_madds is None or madds <= budget.max_madds
        ]

        def score(path: tuple[int, ...]) -> float:
            return sum(row[index] for row, index in zip(scores, path, strict=True))

        assert score(choices.best(scores)) == pytest.approx(max(map(score, fitting)))


@given(SEEDS, SEEDS)
@settings(max_examples=20)
def test_a_prefix_is_continued_within_the_space(seed: int, other: int) -> None:
    space = made(seed)
    choices, rng = Choices(space), random.Random(other)
    paths = set(every_path(space))
    whole, rest = choices.draw(rng), tuple(rng.randrange(size) for size in choices.sizes)
    for count in range(len(whole) + 1):
        found = choices.continued((*whole[:count], *rest[count:]), count)
        assert found in paths
        assert found[:count] == whole[:count]


def test_limits_below_the_cheapest_name_the_cheapest_in_the_space() -> None:
    space = small_space()
    paths = every_path(space)
    least = min(madds for madds, _ in costs_of(space, paths))
    assert space.madds.min == least
    with pytest.raises(SearchError, match=f"cheapest architecture of the space has {least:,}"):
        Choices(space, limits_of(space, Budget(max_madds=least - 1)))
    with pytest.raises(SpaceError, match=f"cheapest architecture of the space has {least}"):
        sample_within(space, Budget(max_madds=least - 1), 1, random.Random(0))


@given(SEEDS)
@settings(max_examples=15)
def test_files_keep_spaces_and_architectures(seed: int) -> None:
    space = made(seed)
    text = to_json(space)
    assert from_json(text) == space
    architecture = space.sample(random.Random(seed))
    assert from_json(to_json(architecture)) == architecture
    assert from_json(to_json(space.skeleton)) == SKELETON
    assert to_json(from_json(text)) == text


def test_an_architecture_that_skips_in_front_of_a_cell_is_refused() -> None:
    space = load("ofa@ofa-small")
    choices = dict.fromkeys((layer.shape.name for layer in space.layers), "ofa_k3_e6")
    with pytest.raises(SpaceError, match=r"^layers\[1\]\.candidate: skipped, but layer_02 of the "):
        space.architecture(choices | {"layer_01": "skip"})
    found = space.architecture(choices | {"layer_01": "skip", "layer_02": "skip"})
    assert [cell.is_zero for cell in found.cells] == [False, True, True, False, False, False]
    with pytest.raises(SpaceError, match="unknown cell"):
        space.architecture(choices | {"layer_00": "skip"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": [{"layers": 5, "least": 1}]}, "stages: 5 layers in all; allowed: 6"),
        ({"stages": [{"layers": 6, "least": 7}]}, "stages[0].least: 7; allowed: 1 to 6"),
        (
            {"stages": [{"layers": 6, "least": 1}]},
            "layers[3]: layer_03 may be skipped, but",
        ),
        ({"stages": []}, "activation: h_swish; allowed: relu6 without stages"),
        ({"last": -1}, "last: "),
        ({"activation": "swish"}, "activation: "),
        (
            {"preactivation": True, "head": 0, "stem": {"channels": 8, "stride": 1}},
            "stages: 2 stage",
        ),
        ({"stages": [{"layers": 6, "least": 4, "attention": 1}]}, "stages[0].attention: "),
    ],
)
def test_a_wrong_stage_is_one_line(changes: dict[str, Any], message: str) -> None:
    plain = json.loads(to_json(load("ofa@ofa-small").skeleton))
    with pytest.raises(SpaceError) as caught:
        from_json(json.dumps(plain | changes))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_stage_without_an_option_is_refused() -> None:
    space = load("ofa@ofa-small")
    layers = list(space.layers)
    skip = (layers[1].by_id["skip"],)
    layers[1] = replace(layers[1], candidates=skip)
    layers[2] = replace(layers[2], candidates=layers[2].candidates[:1])
    with pytest.raises(SpaceError, match="no depth of this stage is possible"):
        replace(space, layers=tuple(layers), reference={})


def test_other_families_do_not_fit_stages_and_the_other_way_round() -> None:
    for name, message in (
        (
            "mbconv@ofa-small",
            "no cell of mbconv fits layer_00 of the skeleton ofa-small; allowed: ofa@",
        ),
        ("reference@ofa-small", "no cell of reference fits layer_00"),
        ("ofa@cifar", '"ofa" at layer_00; allowed here: dense, mobile'),
        ("nasbench201@ofa-small", "allowed: nasbench201@nasbench201"),
        ("darts@ofa-small", "allowed: darts@darts"),
    ):
        with pytest.raises(SpaceError) as caught:
            load(name)
        assert message in str(caught.value)


def test_stages_stay_when_the_images_change() -> None:
    space = load("ofa@ofa-small")
    fitted = fitted_space(space, in_channels=1, resolution=16, classes=3)
    assert fitted.skeleton.stages == space.skeleton.stages
    assert fitted.size == space.size == (9 + 81 + 729) ** 2


def test_an_architecture_is_made_from_cells_of_any_expansion() -> None:
    skeleton = load("ofa@ofa-small").skeleton
    cells = [OfaCell.of(7, 8)] * 6
    found = Architecture(skeleton, tuple(Candidate("c", cell) for cell in cells))
    assert found.cost.params > 0
