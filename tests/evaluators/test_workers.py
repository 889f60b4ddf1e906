"""Processes that make evaluations: the same numbers, and an end for every trouble."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch

from autospace.compute.processes import Processes
from autospace.evaluators.evaluator import Evaluation, EvaluationError, EvaluationRequest
from autospace.evaluators.make import make_evaluator
from autospace.evaluators.workers import InProcess, Workers, default_workers, evaluating, making
from autospace.spaces import Architecture
from tests.evaluators.setups import CELLS, architecture, setup, space

TASKS = [
    EvaluationRequest(architecture(a, b), seed) for a, b, seed in ((0, 1, 0), (1, 1, 0), (2, 0, 1))
]


@pytest.mark.slow
def test_two_processes_say_what_one_says_and_leave_nobody_behind(tmp_path: Path) -> None:
    some = setup(tmp_path, space(CELLS[:1]))
    here = dict(InProcess(lambda: make_evaluator(some, some.images())).made(TASKS))
    with making(some, 2, lambda: make_evaluator(some, some.images())) as maker:
        assert isinstance(maker, Workers)
        assert dict(maker.made(TASKS)) == here
        # They stay for the next round.
        processes = list(maker._processes._running.values())
        assert dict(maker.made(TASKS[:1])) == {0: here[0]}
        assert list(maker._processes._running.values()) == processes
    assert [process.is_alive() for process in processes] == [False, False]


def test_a_worker_that_dies_is_an_error_and_not_a_silence(tmp_path: Path) -> None:
    processes = Processes(partial(evaluating, setup(tmp_path, steps=10**7)), 1)
    try:
        processes.start(1)
        (process,) = processes._running.values()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(EvaluationError, match="exit code -9; out of memory"):
            list(Workers(processes).made(TASKS[:1]))
    finally:
        processes.close()


@pytest.mark.slow
def test_errors_of_a_worker_are_raised_here(tmp_path: Path) -> None:
    other = setup(tmp_path, space(CELLS[:1]), method="supernet")
    with (
        making(other, 2, lambda: make_evaluator(other, other.images()), shared=True) as maker,
        pytest.raises(EvaluationError, match="a cell that the supernet does not hold"),
    ):
        list(maker.made(TASKS))


class _Threads:
    def evaluate(self, architecture: Architecture, seed: int) -> Evaluation:
        return Evaluation(float(torch.get_num_threads()))


def test_one_thread_here_and_those_of_before_afterwards() -> None:
    torch.set_num_threads(2)
    try:
        maker = InProcess(_Threads)
        assert [each.score for _, each in maker.made(TASKS)] == [1, 1, 1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_a_gpu_gets_one_process_and_a_core_one_each() -> None:
    assert default_workers(torch.device("cuda:0")) == 1
    assert default_workers(torch.device("cpu")) == len(os.sched_getaffinity(0))
