"""Evaluations by a pool: the same numbers from every pool, and an end for every trouble."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospace.compute.executor import Executor
from autospace.compute.pool import InProcess, ProcessPool
from autospace.evaluators import evaluate
from autospace.evaluators.evaluate import EvaluationJob, default_workers, executor_of, pooled
from autospace.evaluators.evaluator import (
    Evaluation,
    EvaluationError,
    EvaluationRequest,
    EvaluatorConfig,
)
from autospace.evaluators.make import Setup, make_evaluator
from autospace.evaluators.tabular import read_table
from autospace.spaces import Architecture
from autospace.spaces.files.codec import to_json
from tests.evaluators.setups import CELLS, architecture, setup, space

TASKS = [
    EvaluationRequest(architecture(a, b), seed) for a, b, seed in ((0, 1, 0), (1, 1, 0), (2, 0, 1))
]


@contextmanager
def of(count: int, folder: Path) -> Iterator[ProcessPool]:
    found = ProcessPool(count, folder / "pool", errors=(EvaluationError,))
    try:
        yield found
    finally:
        found.close()


def job(made: Setup) -> EvaluationJob:
    return EvaluationJob(made, made.images())


@pytest.mark.slow
def test_two_processes_find_what_one_finds_and_leave_nobody_behind(tmp_path: Path) -> None:
    some = job(setup(tmp_path, space(CELLS[:1])))
    evaluator = make_evaluator(some.setup, some.basis)
    expected = {
        place: evaluator.evaluate(task.architecture, task.seed) for place, task in enumerate(TASKS)
    }
    assert dict(pooled(InProcess(1), some)(TASKS)) == expected
    with of(2, tmp_path) as pool:
        assert dict(pooled(pool, some)(TASKS)) == expected
        # They stay for the next round.
        processes = list(pool._workers.values())
        assert dict(pooled(pool, some)(TASKS[:1])) == {0: expected[0]}
        assert list(pool._workers.values()) == processes
    assert [process.is_alive() for process in processes] == [False, False]


@pytest.mark.parametrize("method", ["train", "supernet", "naswot"])
def test_what_is_packed_evaluates_as_what_is_there(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = job(setup(tmp_path, space(), method=method, seed=3))
    evaluator = make_evaluator(some.setup, some.basis)
    expected = evaluator.evaluate(TASKS[0].architecture, 7)
    assert dict(pooled(InProcess(), some)([EvaluationRequest(TASKS[0].architecture, 7)])) == {
        0: expected
    }
    packed = some.pack(tmp_path / "pool", whole=False)
    assert Setup.unpacked(packed["setup"]) == some.setup
    # Workers find the weights of a supernet: nobody trains another one.
    monkeypatch.setattr("autospace.evaluators.make.train_supernet", pytest.fail)
    work = some.begin_packed(packed, tmp_path / "pool", lambda _: None)
    for place, task in enumerate(TASKS):
        score, loss = work({"architecture": to_json(task.architecture), "seed": task.seed + place})
        expected = evaluator.evaluate(task.architecture, task.seed + place)
        assert Evaluation(score, loss) == expected


def test_a_worker_that_dies_is_an_error_and_not_a_silence(tmp_path: Path) -> None:
    with of(1, tmp_path) as pool:
        pool.start(1)
        (process,) = pool._workers.values()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(EvaluationError, match="exit code -9, perhaps for lack of memory"):
            list(pooled(pool, job(setup(tmp_path, steps=10**7)))(TASKS[:1]))


@pytest.mark.slow
def test_errors_of_a_worker_are_raised_here(tmp_path: Path) -> None:
    other = job(setup(tmp_path, space(CELLS[:1]), method="supernet"))
    with (
        of(2, tmp_path) as pool,
        pytest.raises(EvaluationError, match="the supernet does not hold this cell"),
    ):
        list(pooled(pool, other)(TASKS))


class _Threads:
    def evaluate(self, architecture: Architecture, seed: int) -> Evaluation:
        return Evaluation(float(torch.get_num_threads()))


def test_one_thread_here_and_those_of_before_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "make_evaluator", lambda *_: _Threads())
    torch.set_num_threads(2)
    try:
        found = pooled(InProcess(1), job(setup(tmp_path)))(TASKS)
        assert [each.score for _, each in found] == [1, 1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_gpu_gets_one_process_and_a_core_one_each(tmp_path: Path) -> None:
    some = setup(tmp_path)
    assert default_workers(some) == len(os.sched_getaffinity(0))
    assert executor_of(replace(some, device="cuda:0"), Executor()).workers == 1


def test_a_table_is_packed_by_its_name(tmp_path: Path) -> None:
    config = EvaluatorConfig(method="table", table="nasbench-macro")
    made = replace(setup(tmp_path), config=config)
    some = EvaluationJob(made, made.basis())
    best = read_table("nasbench-macro").choices.architecture((2, 2, 2, 1, 2, 2, 2, 0))
    tasks = [EvaluationRequest(best, seed) for seed in range(3)]
    wanted = {place: Evaluation(score) for place, score in enumerate((0.9328, 0.9333, 0.9277))}
    assert dict(pooled(InProcess(1), some)(tasks)) == wanted
    work = some.begin_packed(
        some.pack(tmp_path / "pool", whole=False), tmp_path / "pool", lambda _: None
    )
    request = {"architecture": to_json(best), "seed": 1}
    assert work(request) == [0.9333, None]


def test_a_table_gets_one_process(tmp_path: Path) -> None:
    config = EvaluatorConfig(method="table", table="nasbench-macro")
    assert default_workers(replace(setup(tmp_path), config=config)) == 1
