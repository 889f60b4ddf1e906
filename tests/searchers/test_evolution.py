"""Regularised evolution: who is a parent, who dies, what is never tried; the planted space."""

from typing import Any

import pytest

from autospace.searchers.fitness_search import AloneFitness, SharedFitness
from autospace.searchers.make import make_method
from autospace.searchers.sampling.regularised_evolution import Evolution
from tests.searchers.planted import PlantedFitness, mean_share, planted_problem, solved
from tests.searchers.problems import make_problem
from tests.slow import slowly


def run(evaluations: int, seed: int = 0, **options: Any) -> Evolution:
    """A search by the perfect fitness of the planted space."""
    problem = planted_problem(seed, method="evolution", options=options, evaluations=evaluations)
    method = make_method(problem)
    assert isinstance(method, Evolution)
    method.fitness = PlantedFitness(problem)
    for index in range(method.steps):
        method.step(index)
    return method


def distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def test_children_are_mutants_in_one_layer_of_the_fittest_that_is_alive() -> None:
    """A sample so large that it holds the whole queue: the parent is its fittest."""
    method = run(40, population=6, sample=500)
    known = method.fitness.known
    order = list(known)
    assert len(order) == 40
    forgotten = 0
    for place in range(6, 40):
        queue = order[place - 6 : place]
        best = max(known[path] for path in queue)
        parents = [path for path in queue if known[path] == best]
        child = order[place]
        # Once all neighbours of a parent are known, a random architecture comes instead.
        spent = min(
            sum(distance(path, parent) == 1 for path in order[:place]) for parent in parents
        )
        assert min(distance(child, parent) for parent in parents) == 1 or spent >= 7
        forgotten += max(known[path] for path in order[:place]) > best
    assert forgotten  # the fittest ever has died of age at some time, and was no parent then
    assert method.queue == order[-6:]
    assert known[method.ranked()[0].path] == max(known.values())


def test_nothing_is_evaluated_twice_until_there_is_nothing_new() -> None:
    method = run(200, population=10, sample=3)
    assert method.evaluations == len(method.fitness.known) == 81


def test_a_score_chooses_the_first_queue() -> None:
    method = run(5, start="params", start_pool=40, population=5, sample=2)
    assert method.scores is not None
    scored = method.scores.known
    assert len(scored) == 40
    assert method.evaluations == 5
    best = sorted(scored.values(), reverse=True)[:5]
    assert [scored[path] for path in method.fitness.known] == best


def test_fitness_is_by_shared_weights_or_alone() -> None:
    shared = make_method(make_problem(method="evolution"))
    alone = make_method(make_problem(method="evolution", options={"fitness": "alone"}))
    assert isinstance(shared, Evolution)
    assert isinstance(shared.fitness, SharedFitness)
    assert isinstance(alone, Evolution)
    assert isinstance(alone.fitness, AloneFitness)
    assert (shared.steps, alone.steps) == (8, 4)
    for index in range(4):
        alone.step(index)
    assert alone.evaluations == 4


def test_it_beats_random_search_at_equal_evaluations() -> None:
    options = {"population": 6, "sample": 4}
    found = mean_share("evolution", 40, 24, **options)
    at_random = mean_share("random", 40, 24)
    assert found > at_random + 0.05


@pytest.mark.parametrize("start", ["random", *slowly("naswot")])
def test_the_planted_candidates_are_found(start: str) -> None:
    options: dict[str, Any] = {"population": 8, "sample": 4, "start": start, "start_pool": 20}
    assert solved("evolution", 0, 250, evaluations=48, **options).share >= 0.8
