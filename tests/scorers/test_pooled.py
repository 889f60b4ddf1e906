"""Candidates handed out to processes: not a bit of their scores changes."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autospace.compute.device import Hardware
from autospace.compute.execution import Execution, Microbatches
from autospace.compute.pool import Job, OnMessage, Pool, ProcessPool
from autospace.compute.worker import Plain
from autospace.data import storage
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.examples import make_data_set
from autospace.data.readers.image_folder import read_cache, write_cache
from autospace.networks.operations import ConvNorm
from autospace.runs.errors import RoomError
from autospace.scorers import pooled
from autospace.scorers.make import make_scorer
from autospace.scorers.pooled import FILE, Position, ScoringJob, fitting_count, in_order, one_by_one
from autospace.scorers.scorer import ScoringMethod
from autospace.scorers.whole import packed_cell
from autospace.spaces import Cell
from tests.scorers.conftest import SKELETON, MakeSetting, examples
from tests.slow import slowly

Cells = list[list[Cell]]
GB = 2**30

works = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 7)), st.integers(1, 10**9), min_size=1
).map(lambda found: dict(sorted(found.items())))


@contextmanager
def of_two(path: Path) -> Iterator[ProcessPool]:
    found = ProcessPool(2, path / "pool")
    try:
        yield found
    finally:
        found.close()


@pytest.mark.slow  # tests/evolution/test_shared_runs.py is the quick one
@pytest.mark.parametrize(
    ("method", "kept_bytes"), [("probe", None), ("probe", 0), ("local", None), ("in-place", None)]
)
def test_two_processes_score_as_one_does(
    method: ScoringMethod,
    kept_bytes: int | None,
    make_setting: MakeSetting,
    cells: Cells,
    tmp_path: Path,
) -> None:
    ticks: list[int] = []
    setting = make_setting(method, cost_weight=0.5)
    here = make_scorer(setting)
    watched = replace(setting, tick=lambda done, total: ticks.append(done))
    if kept_bytes is not None:
        watched = replace(watched, kept_bytes=kept_bytes)
    some = [[], cells[1], []]
    with of_two(tmp_path) as both:
        beside = make_scorer(watched, both)
        assert beside.score(cells, 0) == here.score(cells, 0)
        assert beside.score(some, 1) == here.score(some, 1)
        processes = list(both._workers.values())
        assert len(processes) == 2
    # Baselines and candidates of both calls: four times from nothing to all steps.
    assert ticks.count(setting.options.steps) == 4
    assert not any(process.is_alive() for process in processes)
    assert list(tmp_path.iterdir()) == []


class Packed:
    """A pool of `count` workers in this process: whatever reaches them was packed."""

    def __init__(self, folder: Path, count: int, *, whole: bool = True) -> None:
        self.count, self._folder, self._whole = count, folder, whole
        self.hardware: Hardware | None = None
        self.memory, self.shares = 4 * GB, dict[str, int]()
        self.requests: list[Plain] = []

    def results(
        self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
    ) -> Iterator[tuple[int, Plain]]:
        self.requests += requests
        assert on_message is not None
        packed = job.pack(self._folder, whole=self._whole)
        work = job.begin_packed(packed, self._folder, lambda message: on_message(0, message))
        # The last first, as if it had been the quickest.
        for place in reversed(range(len(requests))):
            yield place, work(requests[place])


@pytest.mark.parametrize("precision", [torch.float32, *slowly(torch.bfloat16)])
@pytest.mark.parametrize("method", ["probe", "local", "in-place"])
@pytest.mark.parametrize("kept_bytes", [0, GB])
def test_what_is_packed_scores_as_what_is_there(
    method: ScoringMethod,
    kept_bytes: int,
    precision: torch.dtype,
    make_setting: MakeSetting,
    cells: Cells,
    tmp_path: Path,
) -> None:
    setting = replace(
        make_setting(method, inherit=True),
        kept_bytes=kept_bytes,
        execution=Execution(precision=precision),
    )
    # Augmented images in the other memory format, too: all settings of the batches travel.
    norm = Normaliser((100.0, 90.0, 80.0), (50.0, 51.0, 52.0))
    augment = Augment(crop=1, flip=True, cutout=2)
    training = Batches(examples(99, 7), 16, 3, "cpu", norm, augment, channels_last=False)
    setting = replace(setting, training=training)
    expected = [make_scorer(setting).score(cells, repeat) for repeat in (0, 1)]
    pool = Packed(tmp_path, 3)
    found = make_scorer(setting, pool)
    assert [found.score(cells, repeat) for repeat in (0, 1)] == expected
    # One candidate a request where features are kept, else one part for each worker.
    sizes = [sum(map(len, request["candidates"])) for request in pool.requests]
    assert (max(sizes) == 1) == bool(kept_bytes)
    assert sum(sizes) == 2 * (3 + 5)


@contextmanager
def short_of_memory(channels: int, images: int) -> Iterator[None]:
    """As long as it lasts, convolutions of so many channels have room for so many images."""
    plain: Callable[[ConvNorm, torch.Tensor], torch.Tensor] = ConvNorm.forward

    def forward(self: ConvNorm, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] == channels and len(x) > images:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return plain(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConvNorm, "forward", forward)
        yield


@pytest.mark.parametrize("method", ["probe", "local", "in-place"])
def test_memory_that_one_cell_is_short_of_changes_no_score_of_others(
    method: ScoringMethod, make_setting: MakeSetting, cells: Cells, tmp_path: Path
) -> None:
    """Whether they come before it, after it, beside it, or in another process."""
    alone = make_scorer(make_setting(method)).score(cells, 0)
    said: list[str] = []
    parts = Microbatches(said.append)
    setting = replace(
        make_setting(method), execution=Execution(parts=parts), on_message=said.append
    )
    with short_of_memory(48, 8):  # mbconv(7, 6) of 8 channels, the last cell
        here = make_scorer(setting).score(cells, 0)
        beside = make_scorer(setting, Packed(tmp_path, 3)).score(cells, 0)
    assert beside == here
    assert [row[:1] for row in here] == [row[:1] for row in alone]
    assert here[2][1] != alone[2][1]
    assert any("are divided into 2 parts" in line for line in said), said


def test_a_worker_scores_as_if_it_had_no_past(
    make_setting: MakeSetting, cells: Cells, tmp_path: Path
) -> None:
    setting, done = make_setting("probe"), list[Plain]()
    job = ScoringJob(setting)
    packed = job.pack(tmp_path, whole=True)
    large, other = ([[], [], [cell]] for cell in (cells[2][1], cells[2][0]))
    requests = [
        {"candidates": [_packed(row) for row in each], "repeat": 0} for each in (large, other)
    ]
    with short_of_memory(48, 8):
        first, second = (job.begin_packed(packed, tmp_path, done.append) for _ in range(2))
        found = [first(requests[0]), first(requests[1])]
        assert [second(requests[1]), second(requests[0])] == found[::-1]
    assert any(isinstance(each, str) and "divided into" in each for each in done)


def _packed(row: list[Cell]) -> list[Plain]:
    return [packed_cell(cell) for cell in row]


def test_the_images_of_a_large_split_are_packed_once(
    make_setting: MakeSetting, cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, results = examples(384, 1), []
    norm, fitness = Normaliser.from_examples(whole), torch.arange(0, 384, 3)
    rest = torch.tensor([each for each in range(384) if each % 3])
    for limit in (GB, 0):
        monkeypatch.setattr(storage, "IN_MEMORY", limit)
        training = Batches(whole.take(rest), 16, 3, "cpu", norm)
        validation = Batches(whole.take(fitness), 32, 4, "cpu", norm)
        setting = replace(make_setting(), training=training, validation=validation)
        results.append(make_scorer(setting).score(cells, 0))
        results.append(make_scorer(setting, Packed(tmp_path / str(limit), 3)).score(cells, 0))
    assert results == [results[0]] * 4
    sizes = [(tmp_path / str(limit) / FILE).stat().st_size for limit in (GB, 0)]
    # Rows come on top, eight bytes each; another copy of the images would be more.
    assert abs(sizes[1] - sizes[0]) < 384 * 8 + 1000 < whole.store.nbytes / 2


@pytest.mark.parametrize("whole", [False, True])
def test_images_of_a_file_are_not_written_again(
    make_setting: MakeSetting,
    cells: Cells,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    whole: bool,
) -> None:
    data = make_data_set("images", ("a", "b", "c"), examples(384, 1), examples(3, 2))
    monkeypatch.setattr(storage, "IN_MEMORY", 0)
    write_cache(tmp_path, "key", data)
    kept = read_cache(tmp_path, "key", "images")
    assert kept is not None
    results, norm = [], Normaliser.from_examples(data.train)
    place = tmp_path / "pack"
    for train in (data.train, kept.train):
        halves = (train.take(torch.arange(start, 384, 2)) for start in (0, 1))
        training, validation = (
            Batches(half, size, size, "cpu", norm)
            for half, size in zip(halves, (16, 32), strict=True)
        )
        setting = replace(make_setting(), training=training, validation=validation)
        results.append(make_scorer(setting).score(cells, 0))
    results.append(make_scorer(setting, Packed(place, 3, whole=whole)).score(cells, 0))
    assert results == [results[0]] * 3
    written = [path for path in place.iterdir() if not path.is_symlink()]
    assert [path.name for path in written] == [FILE]
    assert written[0].stat().st_size < data.train.store.nbytes
    # Workers that see nothing else follow the link.
    assert [path.name for path in place.iterdir() if path.is_symlink()] == (
        ["key.safetensors"] if whole else []
    )


def test_a_disk_without_room_for_the_workers_is_an_error(
    make_setting: MakeSetting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(RoomError, match=r"workers need a copy of the data .*allowed: less data"):
        ScoringJob(make_setting()).pack(tmp_path, whole=False)


def test_remarks_of_workers_are_said_and_steps_are_ticked(
    make_setting: MakeSetting, cells: Cells
) -> None:
    said: list[str] = []
    ticks: list[tuple[int, int]] = []

    class Talking:
        count = 2
        memory = GB
        shares = MappingProxyType[str, int]({})
        hardware = None

        def results(
            self, job: object, requests: Sequence[Plain], on_message: OnMessage | None = None
        ) -> Iterator[tuple[int, Plain]]:
            assert on_message is not None
            on_message(0, "out of memory")
            on_message(0, 3)
            for place, request in enumerate(requests):
                yield place, [[0.5] * len(row) for row in request["candidates"]]

    watched = replace(
        make_setting("probe", steps=6),
        on_message=said.append,
        tick=lambda *tick: ticks.append(tick),
    )
    pool: Pool = Talking()
    assert make_scorer(watched, pool).score(cells, 0) == [[0.0, 0.0], [0.0], [0.0, 0.0]]
    assert said == ["out of memory"]  # of all workers, in both calls
    assert all(total == 6 for _, total in ticks)
    done = [done for done, _ in ticks]
    assert done.count(6) == 2
    first = done[: done.index(6) + 1]
    assert first == sorted(first)


def test_batches_that_no_file_holds_are_refused(make_setting: MakeSetting, tmp_path: Path) -> None:
    class Endless:
        def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
            raise NotImplementedError

    setting = replace(make_setting("probe"), training=Endless())
    with pytest.raises(TypeError, match="Endless: cannot be sent to workers; allowed: Batches"):
        ScoringJob(setting).pack(tmp_path, whole=True)


@pytest.mark.parametrize("method", ["gated", "mixture"])
def test_candidates_that_meet_are_not_handed_out(
    method: ScoringMethod, make_setting: MakeSetting, cells: Cells, tmp_path: Path
) -> None:
    setting, pool = make_setting(method), Packed(tmp_path, 2)
    assert make_scorer(setting, pool).score(cells, 0) == make_scorer(setting).score(cells, 0)
    assert pool.requests == []


@given(works, st.integers(2, 9))
def test_every_candidate_is_trained_once(work: dict[Position, int], count: int) -> None:
    single, ordered = one_by_one(work), in_order(work, count)
    assert sorted(place for part in single for place in part) == list(work)
    assert [place for part in ordered for place in part] == list(work)
    assert all(single)
    assert all(ordered)
    assert len(ordered) <= count
    efforts = [work[place] for (place,) in single]
    assert efforts == sorted(efforts, reverse=True)
    # No part has more than its share and one candidate.
    largest = max(sum(work[place] for place in part) for part in ordered)
    assert largest <= sum(work.values()) / count + max(efforts)


def test_there_are_as_many_processes_as_there_is_room_and_work_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pooled, "cores", lambda: 8)
    monkeypatch.setattr(pooled, "available_memory", lambda: 64 * GB)
    said: list[str] = []

    def count(candidates: int, batch: int, threads: int) -> int:
        return fitting_count(SKELETON, candidates, batch, threads, "probe", said.append)

    assert count(4, 64, 1) == 8
    assert count(4, 64, 3) == 2
    assert count(4, 64, 16) == 1
    # Three layers of two candidates.
    assert count(2, 64, 1) == 6
    assert said == []
    monkeypatch.setattr(pooled, "available_memory", lambda: 2 * GB)
    # The widest input, 6 x 8 x 8, by expansion 6, by 12 tensors: 7 MB with 64 images.
    assert count(4, 64, 1) == 3
    assert said == ["3 cells are trained at a time instead of 8, because memory is short"]
    assert count(4, 64 * 100, 1) == 1
    monkeypatch.setattr(pooled, "available_memory", lambda: 0)
    assert count(4, 64, 1) == 1
