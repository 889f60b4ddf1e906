"""Workers do sooner what a search would ask for next; nothing else changes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.compute.device import Hardware
from autospace.compute.executor import Executor
from autospace.compute.pool import Job, OnMessage
from autospace.compute.worker import Plain
from autospace.progress import Silent
from autospace.searchers import driver, trials
from autospace.searchers.driver import run_search
from autospace.searchers.folder import SearchFolder, SearchResult
from autospace.spaces.files.families import family_space
from tests.evaluators.setups import computed
from tests.searchers.problems import SKELETON, settings

SPACE = family_space("mbconv", SKELETON)
ALONE: dict[str, dict[str, Any]] = {
    "random": {},
    "evolution": {"fitness": "alone", "population": 3, "sample": 2},
    "pnas": {"fitness": "alone", "epochs": 3},
}


class Packed:
    """Three workers in this process, which see nothing but what was packed; the last is first."""

    count = 3
    memory = 2**30
    hardware = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.shares = {"10.0.0.1": 0}
        self.batches: list[int] = []

    def results(
        self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
    ) -> Iterator[tuple[int, Plain]]:
        self.batches.append(len(requests))
        work = job.begin_packed(job.pack(self._folder, whole=True), self._folder, lambda _: None)
        for place in reversed(range(len(requests))):
            self.shares["10.0.0.1"] += 1
            yield place, work(requests[place])


class Hearing(Silent):
    def __init__(self) -> None:
        self.done: dict[str, int] = {}

    def nodes(self, done: Mapping[str, int]) -> None:
        self.done = dict(done)


def _searched(
    path: Path, method: str, workers: Executor | int | None = 1, observer: Silent | None = None
) -> SearchResult:
    chosen = settings(method=method, options=ALONE[method], evaluations=8)
    folder = SearchFolder.create(path, chosen)
    return run_search(folder, SPACE, observer or Silent(), workers=workers)


def _timeless(result: SearchResult) -> dict[str, Any]:
    whole = result.model_dump(mode="json", exclude={"seconds", "memory_mb"})
    return whole | {"trajectory": [each | {"seconds": 0} for each in whole["trajectory"]]}


@pytest.mark.parametrize("method", ["random", "spos"])
def test_what_is_trained_alone_is_trained_in_the_precision(method: str, tmp_path: Path) -> None:
    chosen = settings(method=method, evaluator={"precision": "bfloat16"}, finalists=1)
    folder = SearchFolder.create(tmp_path / "run", chosen)
    with computed() as found:
        result = run_search(folder, SPACE, Silent())
    assert {dtype for training, dtype in found if not training} == {torch.float32}
    shared = {torch.float32} if method == "spos" else set()
    assert {dtype for training, dtype in found if training} == {torch.bfloat16} | shared
    assert result.config.evaluator.precision == "bfloat16"
    assert 'precision = "bfloat16"' in (folder.path / "config.toml").read_text()


@pytest.mark.parametrize("method", ALONE)
def test_workers_change_nothing_but_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    alone = _searched(tmp_path / "alone", method)
    pool, observer = Packed(tmp_path / "pool"), Hearing()
    monkeypatch.setattr(driver, "trial_pool", lambda *_: nullcontext(pool))
    shared = _searched(tmp_path / "shared", method, observer=observer)
    assert _timeless(shared) == _timeless(alone)
    # Where no result decides what comes next, all workers have something to do.
    assert pool.batches.count(3) >= (1 if method == "evolution" else 2)
    # Nothing is trained twice: the finalists were trained with the same recipe and seed.
    assert sum(pool.batches) <= shared.evaluations
    assert observer.done == pool.shares


@pytest.mark.parametrize("method", ["random", "pnas"])
def test_what_a_worker_has_trained_is_not_trained_again_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    class Stopped(Packed):
        """Is stopped when two workers have finished their first networks."""

        def results(self, *given: Any) -> Iterator[tuple[int, Plain]]:
            for index, each in enumerate(super().results(*given)):
                yield each
                if index == 1:
                    raise KeyboardInterrupt

    alone = _searched(tmp_path / "alone", method)
    stopped, after = Stopped(tmp_path / "pool"), Packed(tmp_path / "again")
    monkeypatch.setattr(driver, "trial_pool", lambda *_: nullcontext(stopped))
    with pytest.raises(KeyboardInterrupt):
        _searched(tmp_path / "shared", method)
    monkeypatch.setattr(driver, "trial_pool", lambda *_: nullcontext(after))
    resumed = run_search(SearchFolder.open(tmp_path / "shared"), None, Silent())
    assert _timeless(resumed) == _timeless(alone)
    assert sum(after.batches) <= resumed.evaluations - 2


@pytest.mark.slow
def test_processes_give_the_numbers_of_this_one(tmp_path: Path) -> None:
    alone = _searched(tmp_path / "alone", "random")
    assert _timeless(_searched(tmp_path / "two", "random", 2)) == _timeless(alone)


def test_workers_on_other_devices_do_all_that_is_trained_alone(tmp_path: Path) -> None:
    class Elsewhere(Packed):
        hardware: Any = Hardware("cuda", "float32", "")

    packed = Elsewhere(tmp_path / "packed")
    chosen = settings(method="evolution", options=ALONE["evolution"], evaluations=8)
    folder = SearchFolder.create(tmp_path / "run", chosen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials, "open_pool", lambda *_, **__: nullcontext(packed))
        patch.setattr(trials, "evaluator_of", lambda _: _Nobody())
        run_search(folder, SPACE, Silent(), workers=2)
    assert sum(packed.batches) >= 8
    assert 1 in packed.batches


class _Nobody:
    def evaluate(self, *_: object) -> None:
        raise AssertionError("this process has another device")
