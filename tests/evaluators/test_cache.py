"""Evaluations on disk: found again under equal conditions only, never half-written."""

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.evaluators.evaluate import EvaluationCache
from autospace.evaluators.evaluator import Evaluation, EvaluationRequest
from tests.evaluators.setups import architecture

TASK = EvaluationRequest(architecture(0, 1), 7)


@given(st.floats(allow_nan=False, allow_infinity=False), st.none() | st.floats(0, 1e9))
def test_what_was_put_is_found(
    tmp_path_factory: pytest.TempPathFactory, score: float, loss: float | None
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    EvaluationCache(folder, {"a": 1}).put(TASK, Evaluation(score, loss))
    assert EvaluationCache(folder, {"a": 1}).get(TASK) == Evaluation(score, loss)


@pytest.mark.parametrize(
    ("task", "conditions"),
    [
        (EvaluationRequest(architecture(0, 1), 8), {"a": 1}),
        (EvaluationRequest(architecture(1, 1), 7), {"a": 1}),
        (TASK, {"a": 2}),
        (TASK, {}),
    ],
)
def test_nothing_else_is_found(
    tmp_path: Path, task: EvaluationRequest, conditions: dict[str, int]
) -> None:
    EvaluationCache(tmp_path, {"a": 1}).put(TASK, Evaluation(1.0))
    assert EvaluationCache(tmp_path, conditions).get(task) is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"score": 1}', "\x00", "[" * 100_000, '{"key": {}, "score": 1}'],
)
def test_a_damaged_file_counts_as_absent(tmp_path: Path, text: str) -> None:
    cache = EvaluationCache(tmp_path, {})
    cache.put(TASK, Evaluation(1.0))
    (path,) = tmp_path.iterdir()
    path.write_text(text)
    assert cache.get(TASK) is None
    cache.put(TASK, Evaluation(2.0))
    assert cache.get(TASK) == Evaluation(2.0)


@pytest.mark.parametrize("score", ["high", None, 1e999, 10**400])
def test_a_score_that_is_no_number_counts_as_absent(tmp_path: Path, score: object) -> None:
    cache = EvaluationCache(tmp_path, {})
    cache.put(TASK, Evaluation(1.0))
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "score": score}))
    assert cache.get(TASK) is None


def test_many_may_write_at_once(tmp_path: Path) -> None:
    cache = EvaluationCache(tmp_path, {})
    stop = threading.Event()
    seen: set[Evaluation | None] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add(cache.get(TASK))

    def write(score: float) -> None:
        for _ in range(20):
            cache.put(TASK, Evaluation(score))

    cache.put(TASK, Evaluation(0.0))
    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(float(each),)) for each in (1, 2, 3)]
    reader.start()
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    stop.set()
    reader.join()
    assert seen <= {Evaluation(float(each)) for each in range(4)}
    assert [each.suffix for each in tmp_path.iterdir()] == [".json"]
