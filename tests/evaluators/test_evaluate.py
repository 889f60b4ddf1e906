"""Many evaluations: each made once, kept at once, handed back in order."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.evaluators.evaluate import EvaluationCache, evaluate_all
from autospace.evaluators.evaluator import Evaluation, EvaluationError, EvaluationRequest
from tests.evaluators.setups import architecture

NETWORKS = [architecture(a, b) for a in range(3) for b in range(3)]


def _value(task: EvaluationRequest) -> Evaluation:
    return Evaluation(float(task.seed), float(len(task.key)))


class Backwards:
    """Makes evaluations, the last first, and fails after a while if told so."""

    def __init__(self, fail_after: int = 1000) -> None:
        self.asked: list[EvaluationRequest] = []
        self._left = fail_after

    def __call__(self, tasks: Sequence[EvaluationRequest]) -> Iterator[tuple[int, Evaluation]]:
        for place in reversed(range(len(tasks))):
            if not self._left:
                raise EvaluationError("no more")
            self._left -= 1
            self.asked.append(tasks[place])
            yield place, _value(tasks[place])


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 2)), max_size=12))
def test_every_evaluation_is_made_once_and_all_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int]]
) -> None:
    cache = EvaluationCache(tmp_path_factory.mktemp("cache"), {})
    tasks = [EvaluationRequest(NETWORKS[network], seed) for network, seed in drawn]
    maker = Backwards()
    assert evaluate_all(tasks, cache, maker) == [_value(task) for task in tasks]
    assert len(maker.asked) == len(set(drawn))
    again = Backwards()
    assert evaluate_all(tasks, cache, again) == [_value(task) for task in tasks]
    assert again.asked == []


def test_what_was_made_before_a_failure_is_not_made_again(tmp_path: Path) -> None:
    cache = EvaluationCache(tmp_path, {})
    tasks = [EvaluationRequest(each, 0) for each in NETWORKS]
    with pytest.raises(EvaluationError):
        evaluate_all(tasks, cache, Backwards(fail_after=4))
    rest = Backwards()
    evaluate_all(tasks, cache, rest)
    assert len(rest.asked) == 5


def test_the_count_starts_with_what_is_known_and_ends_with_all(tmp_path: Path) -> None:
    cache = EvaluationCache(tmp_path, {})
    tasks = [EvaluationRequest(each, 0) for each in NETWORKS[:4]]
    evaluate_all(tasks[:2], cache, Backwards())
    ticks: list[tuple[int, int]] = []
    evaluate_all(tasks, cache, Backwards(), lambda done, total: ticks.append((done, total)))
    assert ticks == [(2, 4), (3, 4), (4, 4)]


def test_stopping_between_two_evaluations_keeps_them(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    cache = EvaluationCache(tmp_path, {})
    tasks = [EvaluationRequest(each, 0) for each in NETWORKS]
    with pytest.raises(KeyboardInterrupt):
        evaluate_all(tasks, cache, Backwards(), stop)
    assert sum(cache.get(task) is not None for task in tasks) == 3
