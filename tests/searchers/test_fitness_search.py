"""Searches by a fitness: what is counted, remembered and rated, with options that add state."""

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from autospace.compute.executor import Executor
from autospace.runs.state import load_state, save_state
from autospace.searchers.fitness_search import FitnessSearch
from autospace.searchers.forecast import make_plan
from autospace.searchers.make import make_method
from autospace.searchers.method import SearchMethod
from tests.searchers.problems import make_problem

ALONE = {"fitness": "alone"}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "evolution alone": ("evolution", ALONE | {"population": 2, "sample": 2}),
    "evolution from scores": ("evolution", {"start": "snip", "start_pool": 3, "population": 2}),
    "pnas alone": ("pnas", ALONE | {"epochs": 3}),
    "zero-cost in bins": ("zero-cost", {"bins": 2, "initialisations": 2}),
}


def _made(variant: str) -> SearchMethod:
    name, options = VARIANTS[variant]
    return make_method(make_problem(method=name, options=options, evaluations=5))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_state_taken_up_after_every_step_changes_nothing(variant: str, tmp_path: Path) -> None:
    whole, parts = _made(variant), _made(variant)
    for index in range(whole.steps):
        whole.step(index)
        parts.step(index)
        save_state(tmp_path / "state", parts.state())
        parts = _made(variant)
        parts.restore(load_state(tmp_path / "state", parts.problem.device))
    assert parts.ranked() == whole.ranked()
    assert parts.evaluations == whole.evaluations == 5
    assert parts.incumbent == whole.incumbent


def test_what_is_evaluated_is_counted_once_and_ranked() -> None:
    method = make_method(make_problem(method="random", evaluations=3))
    assert isinstance(method, FitnessSearch)
    for index in range(method.steps):
        method.step(index)
    known = method.fitness.known
    first = next(iter(known))
    assert method.evaluated(first) == known[first]
    assert method.evaluations == len(known) == 3
    scores = [each.score for each in method.ranked()]
    assert scores == sorted(known.values(), reverse=True)
    assert method.rated(list(known)) == list(known.values())


def test_few_are_evaluated_by_default_where_each_is_trained_alone() -> None:
    defaults = {
        fitness: make_method(
            make_problem(method="evolution", evaluations=None, options={"fitness": fitness})
        ).most_evaluations
        for fitness in ("alone", "supernet")
    }
    assert defaults == {"alone": 32, "supernet": 200}


def test_the_plan_counts_no_more_networks_than_the_space_has() -> None:
    for evaluations, planned in ((3, 3), (500, 7 * 6 * 7), (None, 32)):
        problem = make_problem(method="random", evaluations=evaluations)
        plan = make_plan(make_method(problem), partial(make_method, problem), Executor())
        assert plan.record["evaluations"] == planned == plan.record["trained_alone"]


def test_more_parents_than_a_result_ranks_are_all_parents() -> None:
    method = make_method(
        make_problem(method="spos", evaluations=300, options={"population": 300, "parents": 200})
    )
    assert isinstance(method, FitnessSearch)
    paths = list(itertools.product(*(range(size) for size in method.problem.choices.sizes)))
    known: Any = method.fitness.known
    known.update({path: place / 1000 for place, path in enumerate(paths)})
    assert method.best(200) == paths[::-1][:200]
    assert [each.path for each in method.ranked()] == method.best(200)[:100]
