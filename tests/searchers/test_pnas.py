"""PNAS: the predictor on known tables, levels and prefixes, limits; the planted space."""

import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.bench.ranking import kendall
from autospace.searchers.make import make_method
from autospace.searchers.sampling.pnas import Pnas, Predictor, _Ensemble
from autospace.spaces import Budget, load
from autospace.spaces.choices import Choice, Choices
from autospace.spaces.files.families import family_space
from tests.searchers.planted import (
    LAYERS,
    PlantedFitness,
    mean_share,
    planted_problem,
    share_found,
    solved,
)
from tests.searchers.problems import SKELETON, make_problem

ALONE = {"fitness": "alone"}
MBCONV = family_space("mbconv", SKELETON)


def predictor(choices: Choices, epochs: int = 150) -> Predictor:
    return Predictor(choices, members=3, hidden=24, epochs=epochs, seed=0)


def worths(choices: Choices, seed: int) -> list[list[float]]:
    """Per layer and candidate what it adds to the accuracy, with no regard to its likes."""
    rng = random.Random(seed)
    return [[rng.gauss(0, 0.02) for _ in range(size)] for size in choices.sizes]


def drawn(choices: Choices, count: int, table: list[list[float]]) -> dict[Choice, float]:
    paths = [choices.draw(random.Random(1000 + index)) for index in range(count)]
    return {p: 0.5 + sum(row[i] for row, i in zip(table, p, strict=True)) for p in paths}


def test_the_predictor_ranks_paths_that_it_has_not_seen() -> None:
    choices = Choices(load("mbconv@digits"))
    known = drawn(choices, 120, worths(choices, 0))
    seen, unseen = dict([*known.items()][:80]), dict([*known.items()][80:])
    found = predictor(choices).fitted(seen, list(unseen))
    assert kendall(found, list(unseen.values())) > 0.6
    spread = max(seen.values()) - min(seen.values())
    off = [abs(a - b) for a, b in zip(found, unseen.values(), strict=True)]
    assert sum(off) / len(off) < 0.15 * spread


def test_what_is_learned_of_cells_holds_at_layers_not_yet_tried() -> None:
    """Accuracy falls with the kernels' size; only the first two layers were ever varied."""
    choices = Choices(MBCONV)
    space = choices.space

    def accuracy(path: Choice) -> float:
        cells = [layer.candidates[i].cell for layer, i in zip(space.layers, path, strict=True)]
        wide = sum(name in ("dw_conv_5x5", "dw_conv_7x7") for c in cells for name in c.operations)
        return 0.5 - 0.1 * wide

    sizes = choices.sizes
    paths = [(i, j, 0) for i, j in itertools.product(range(sizes[0]), range(sizes[1]))]
    later = [(0, 0, index) for index in range(sizes[2])]
    found = predictor(choices).fitted({path: accuracy(path) for path in paths}, later)
    assert kendall(found, [accuracy(path) for path in later]) > 0.5


def test_predictions_follow_from_what_is_known_and_the_seed() -> None:
    choices = Choices(MBCONV)
    known = drawn(choices, 12, worths(choices, 1))
    paths = [choices.draw(random.Random(index)) for index in range(5)]
    one = predictor(choices, 20)
    assert one.fitted(known, paths) == one.fitted(known, paths)
    assert one.fitted(known, paths) == predictor(choices, 20).fitted(known, paths)
    single = one.fitted(dict([*known.items()][:1]), paths)
    assert single == pytest.approx([next(iter(known.values()))] * 5, abs=1e-4)


def run(evaluations: int, seed: int = 0, **options: Any) -> tuple[Pnas, list[list[Choice]]]:
    """A search by the perfect fitness of the planted space, and what each level planned."""
    problem = planted_problem(seed, method="pnas", options=options, evaluations=evaluations)
    method = make_method(problem)
    assert isinstance(method, Pnas)
    method.fitness = PlantedFitness(problem)
    plans: list[list[Choice]] = []
    for index in range(method.steps):
        method.step(index)
        if not plans or method.planned is not plans[-1]:
            plans.append(method.planned)
    return method, plans


def test_only_candidates_of_the_paths_are_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    # A space whose nodes are chosen has thousands of others: each would cost as much.
    choices = Choices(load("mbconv@digits"))
    paths = [choices.draw(random.Random(seed)) for seed in range(3)]
    embedded: list[int] = []
    linear = _Ensemble._linear

    def counted(self: _Ensemble, index: int, x: Any) -> Any:
        if index == 0:
            embedded.append(len(x))
        return linear(self, index, x)

    monkeypatch.setattr(_Ensemble, "_linear", counted)
    predictor(choices, epochs=2).fitted(dict.fromkeys(paths[:2], 0.5), paths[2:])
    parts = [set(enumerate(path)) for path in paths]
    assert embedded == [len(parts[0] | parts[1])] * 2 + [len(parts[2])]


def test_levels_extend_the_best_prefixes_and_leave_the_rest_at_the_reference() -> None:
    method, plans = run(23, epochs=30)
    known = method.fitness.known
    assert len(plans) == LAYERS
    assert sum(map(len, plans)) == len(known) <= 23
    assert len(plans[0]) == 3  # every candidate of the first layer
    earlier: list[Choice] = []
    for level, paths in enumerate(plans):
        for path in paths:
            assert path[level + 1 :] == (0,) * (LAYERS - level - 1)
            assert level == 0 or path[:level] in {each[:level] for each in earlier}
        earlier += paths
    best = max(known, key=known.__getitem__)
    assert method.ranked()[0].path == best


def test_a_perfect_predictor_leads_to_the_best_path(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = planted_problem(0, method="pnas", evaluations=3 + (LAYERS - 1))
    method = make_method(problem)
    assert isinstance(method, Pnas)
    method.fitness = PlantedFitness(problem)
    perfect = PlantedFitness(problem)
    monkeypatch.setattr(
        method.predictor, "fitted", lambda _known, paths: [perfect.accuracy(p) for p in paths]
    )
    for index in range(method.steps):
        method.step(index)
    assert share_found(problem, method.ranked()[0].path) == 1
    assert method.evaluations <= 6


@settings(max_examples=40)
@given(st.floats(0, 1), st.integers(0, 99).map(random.Random))
def test_completions_keep_their_prefix_and_the_limits(share: float, rng: random.Random) -> None:
    low, high = MBCONV.madds.min, MBCONV.madds.max
    budget = Budget(max_madds=int(low + share * (high - low)))
    method = make_method(make_problem(MBCONV, budget, method="pnas", options=ALONE))
    assert isinstance(method, Pnas)
    choices = method.problem.choices
    prefix = tuple(rng.randrange(size) for size in choices.sizes[: rng.randint(1, 3)])
    found = method.completed(prefix)
    rests = itertools.product(*map(range, choices.sizes[len(prefix) :]))
    if found is None:
        assert not any(choices.allows((*prefix, *rest)) for rest in rests)
    else:
        assert choices.allows(found)
        assert found[: len(prefix)] == prefix


@pytest.mark.slow
def test_it_beats_random_search_at_equal_evaluations() -> None:
    found = mean_share("pnas", 12, 16, epochs=40, members=3)
    assert found > mean_share("random", 40, 16) + 0.05


def test_the_planted_candidates_are_found() -> None:
    assert solved("pnas", 0, 250, evaluations=16, epochs=60).share >= 0.8
