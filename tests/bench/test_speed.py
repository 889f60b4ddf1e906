"""Suite `speed`, by a clock that the work itself sets: what is slower is seen to be slower."""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from autospace.bench import speed
from autospace.bench.baseline import Change
from autospace.bench.document import Entry
from autospace.bench.plain_path import PlainSearch
from autospace.bench.workload import Size, make_setting
from autospace.compute.worker import WorkerLostError
from autospace.data.batches import Batch
from autospace.scorers.context import ScoringContext
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import Scorer, ScoringConfig
from autospace.spaces import Cell

CPU = torch.device("cpu")
TINY = Size((4,), 1, 8, 3, 4)


class Hours:
    """A clock that stands still until somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Working:
    """A scorer whose steps take known times: two of weights alone, then three whole ones."""

    def __init__(self, setting: ScoringContext, hours: Hours, seconds: float) -> None:
        self._setting, self._hours, self._seconds = setting, hours, seconds

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        for step in range(5):
            self._setting.tick(step, 5)
            self._setting.training.batch(step)
            self._hours.now += self._seconds / 4
            if step >= 2:
                self._setting.validation.batch(step)
                self._hours.now += self._seconds * 3 / 4
        return [[0.0] * len(layer) for layer in candidates]


def search_step(monkeypatch: pytest.MonkeyPatch, ours: float, plain: float) -> Entry:
    """The entry if a whole step takes these seconds."""
    hours = Hours()

    def make(setting: ScoringContext) -> Scorer:
        return Working(setting, hours, ours)

    def step(self: object, training: Batch, validation: Batch) -> None:
        del self, training, validation
        hours.now += plain

    monkeypatch.setattr(speed, "make_scorer", make)
    monkeypatch.setattr(PlainSearch, "step", step)
    return speed.search_step_ratio(TINY, 3, CPU, lambda line: None, hours)


def test_the_step_ratio_is_plain_time_over_ours_for_whole_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = search_step(monkeypatch, ours=2.0, plain=7.0)
    assert found.value == pytest.approx(3.5)
    assert found.spread == pytest.approx(0)
    assert found.n == 3
    assert (found.name, found.better) == ("speed/search_step_ratio", "higher")


def test_a_planted_slow_down_of_the_scorer_is_a_regression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = search_step(monkeypatch, ours=2.0, plain=7.0)
    slower = search_step(monkeypatch, ours=2.4, plain=7.0)
    assert Change(before, slower, 0.1).verdict == "worse"
    assert Change(before, search_step(monkeypatch, ours=2.1, plain=7.0), 0.1).verdict == "same"


def test_a_slower_machine_is_no_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    before = search_step(monkeypatch, ours=2.0, plain=7.0)
    assert Change(before, search_step(monkeypatch, 6.0, 21.0), 0.0).verdict == "same"


def test_the_generation_ratio_is_the_mixtures_time_over_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hours = Hours()

    def make(setting: ScoringContext) -> Scorer:
        return Working(setting, hours, 6.0 if setting.options.method == "mixture" else 1.5)

    monkeypatch.setattr(speed, "make_scorer", make)
    found = speed.generation_ratio(TINY, 3, CPU, lambda line: None, hours)
    assert found.value == pytest.approx(4)


def test_the_memory_ratio_is_our_growth_over_the_plain_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grown = {"ours": 30, "recomputed": 10, "plain": 40}
    monkeypatch.setattr(speed, "_measured", lambda side, quick, device: grown[side])
    found = speed.memory_ratios(CPU, lambda line: None, quick=True)
    assert {each.metric: each.value for each in found} == pytest.approx(
        {"memory_ratio": 0.75, "recompute_memory_ratio": 0.25}
    )
    assert {each.better for each in found} == {"lower"}


def test_a_failing_process_is_one_line_and_imports_nothing_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "statistics.py").write_text("raise SystemExit('mine')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    # A device that no machine has.
    with pytest.raises(WorkerLostError) as caught:
        speed._measured("plain", quick=True, device=torch.device("cuda:99"))
    problem = "speed: the process that measures memory ended with exit code 1: "
    assert str(caught.value).startswith(problem)
    assert str(caught.value).isprintable()
    assert "mine" not in str(caught.value)
    assert "Traceback" in str(caught.value.__cause__)


def test_the_real_paths_are_measured() -> None:
    said: list[str] = []
    for measure in (speed.search_step_ratio, speed.generation_ratio):
        found = measure(TINY, 2, CPU, said.append)
        assert found.value > 0
        assert found.n == 2
    assert all(line.startswith("speed: ") for line in said)


def test_how_long_the_suite_takes_is_said_before_it_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    for name in ("search_step_ratio", "generation_ratio"):
        monkeypatch.setattr(speed, name, lambda *_: said.append("measuring"))
    monkeypatch.setattr(speed, "memory_ratios", lambda *_, quick: [])
    monkeypatch.setattr(speed, "seconds_of_suite", lambda: 1500.0)
    list(speed.speed(quick=False, device=CPU, on_message=said.append))
    assert said[0].startswith("speed: about 25 minutes, more than the usual ten")
    assert said[1:] == ["measuring", "measuring"]
    said.clear()
    list(speed.speed(quick=True, device=CPU, on_message=said.append))
    assert said == ["measuring", "measuring"]


@pytest.mark.parametrize(("seconds", "minutes"), [(20, "1 minute"), (590, "10 minutes")])
def test_what_ends_in_time_needs_no_warning(seconds: float, minutes: str) -> None:
    assert speed.forecast(seconds) == f"speed: about {minutes}"


def test_the_time_of_the_suite_is_a_multiple_of_the_second_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hours, steps = Hours(), iter((50.0, 2.0))

    def step(self: object, training: Batch, validation: Batch) -> None:
        del self, training, validation
        hours.now += next(steps)

    monkeypatch.setattr(PlainSearch, "step", step)
    assert speed.seconds_of_suite(hours) == pytest.approx(2.0 * speed.SUITE_STEPS)


@pytest.mark.slow
def test_more_images_take_more_memory_on_both_sides() -> None:
    sizes = [Size((16,), 1, 32, 2, batch) for batch in (8, 64)]
    for side in ("ours", "plain"):
        small, large = (_growth_of(side, size) for size in sizes)
        assert large > 2 * small


@pytest.mark.slow
def test_recomputing_takes_less_memory() -> None:
    whole, recomputed = (_tensors_at_peak(recompute) for recompute in (False, True))
    assert recomputed < 0.4 * whole


def _tensors_at_peak(recompute: bool) -> int:
    """Bytes of tensors at the peak of a search step.

    The process is larger: the C library keeps most of what recomputing frees.
    """
    size = Size((8,), 3, 16, 4, 16)
    options = ScoringConfig(method="mixture", steps=1, batch=size.batch, recompute=recompute)
    scorer = make_scorer(make_setting(size, options, CPU))
    cpu = [ProfilerActivity.CPU]
    with profile(activities=cpu, profile_memory=True, acc_events=True) as profiled:
        scorer.score(size.cells, 0)
    events = profiled.profiler.kineto_results.events()
    changes: list[tuple[int, int]] = [
        (each.start_ns(), each.nbytes()) for each in events if each.name() == "[memory]"
    ]
    return max(accumulate(change for _, change in sorted(changes)))


def _growth_of(side: str, size: Size) -> int:
    import subprocess
    import sys

    code = (
        "import sys, torch; from autospace.bench.speed import growth; "
        f"from autospace.bench.workload import Size; sys.stdout.write(str(growth({side!r}, "
        f"{size!r}, torch.device('cpu'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return int(done.stdout)
