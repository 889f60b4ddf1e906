"""Search by scores of untrained networks: bins, costs, the planted space."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.searchers.make import make_method
from autospace.searchers.sampling.zero_cost import ScoreOptions, Scores, ZeroCost, in_bins
from autospace.spaces.choices import SearchError
from autospace.spaces.files.families import family_space
from tests.searchers.planted import mixing_pools, planted_problem, share_found
from tests.searchers.problems import SKELETON, make_problem

TABLES = st.dictionaries(
    st.tuples(st.integers(0, 30)),
    st.tuples(st.floats(-100, 100), st.integers(0, 9)),
    min_size=1,
)


@given(TABLES, st.integers(1, 8))
def test_bins_hold_equal_numbers_and_their_best_come_first(
    table: dict[tuple[int, ...], tuple[float, int]], bins: int
) -> None:
    scores = {path: score for path, (score, _) in table.items()}
    costs = {path: cost for path, (_, cost) in table.items()}
    found = in_bins(scores, costs, bins)
    assert sorted(found) == sorted(table)
    full = min(bins, len(table))
    firsts = found[:full]
    assert sorted((costs[path] for path in firsts), reverse=True) == [costs[p] for p in firsts]
    if bins == 1:
        assert all(scores[one] >= scores[other] for one, other in pairwise(found))
    if full == len(table):
        assert [costs[p] for p in found] == sorted(costs.values(), reverse=True)


def test_inside_bins_size_no_longer_decides() -> None:
    """With params as the score, one ranking is by size; of three bins each has its largest."""
    found = {}
    for bins in (1, 3):
        options = {"score": "params", "bins": bins}
        problem = make_problem(method="zero-cost", evaluations=30, options=options, finalists=3)
        method = make_method(problem)
        for index in range(method.steps):
            method.step(index)
        found[bins] = [problem.choices.cost(each.path).madds for each in method.ranked()]
    assert sorted(found[1]) == sorted(found[3])
    third = sorted(found[1])[20]
    assert min(found[1][:3]) >= third
    assert found[3][0] >= third > found[3][1] > found[3][2]


def test_more_bins_than_finalists_are_refused_as_the_cheapest_would_have_none() -> None:
    options = {"score": "params", "bins": 4}
    with pytest.raises(SearchError, match=r"^options.bins: 4, .*; allowed: up to 3, or .*=4$"):
        make_method(make_problem(method="zero-cost", options=options, finalists=3))
    make_method(make_problem(method="zero-cost", options=options, finalists=4))


def test_bins_of_binary_networks_are_of_ops() -> None:
    options = {"score": "params", "bins": 3}
    space = family_space("binary", SKELETON)
    problem = make_problem(space, method="zero-cost", evaluations=9, options=options, finalists=3)
    method = make_method(problem)
    for index in range(method.steps):
        method.step(index)
    # All have the same MAdds; the best of three bins are ahead of all others.
    ops = [problem.choices.cost(each.path).ops for each in method.ranked()]
    thirds = sorted(ops, reverse=True)
    assert [value in thirds[3 * i : 3 * i + 3] for i, value in enumerate(ops[:3])] == [True] * 3


@pytest.mark.parametrize("score", ["params", "madds"])
def test_sizes_are_those_of_the_cost_table(score: str) -> None:
    problem = make_problem()
    path = (0,) * len(problem.choices.sizes)
    scores = Scores(problem, ScoreOptions.model_validate({"score": score}))
    assert scores.of(path) == getattr(problem.choices.cost(path), score)


def test_the_mean_over_initialisations_counts() -> None:
    problem = make_problem()
    path = (1,) * len(problem.choices.sizes)
    one = Scores(problem, ScoreOptions(score="snip"))
    two = Scores(problem, ScoreOptions(score="snip", initialisations=2))
    assert two.of(path) != one.of(path) > 0
    assert two.of(path) == Scores(problem, ScoreOptions(score="snip", initialisations=2)).of(path)


def test_nothing_is_scored_twice() -> None:
    problem = make_problem(method="zero-cost", evaluations=40, options={"score": "madds"})
    method = make_method(problem)
    assert isinstance(method, ZeroCost)
    for index in range(method.steps):
        method.step(index)
    assert method.evaluations == len(method.scores.known) == 40


@pytest.mark.parametrize("score", ["naswot", "params"])
def test_the_planted_candidates_are_found_without_training(score: str) -> None:
    """They have the activations and the weights; what mixes images up has neither."""
    with mixing_pools():
        problem = planted_problem(0, method="zero-cost", evaluations=60, options={"score": score})
        method = make_method(problem)
        for index in range(method.steps):
            method.step(index)
        best = method.ranked()[0].path
    # Of the 81 networks one is right in all layers: three drawn at random, as many as a search
    # trains at its end, hold it with a chance of 0.04.
    assert share_found(problem, best) == 1


@pytest.mark.parametrize(
    ("method", "options"),
    [("zero-cost", {"score": "synflow"}), ("evolution", {"start": "synflow"})],
)
def test_synflow_is_refused_for_binary_cells(method: str, options: dict[str, str]) -> None:
    problem = make_problem(family_space("binary", SKELETON), method=method, options=options)
    with pytest.raises(SearchError, match=r"synflow, but binary .*; allowed: naswot, jacob_cov"):
        make_method(problem)
