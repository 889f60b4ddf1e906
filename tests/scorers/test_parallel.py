"""Candidates shared out among processes: not a bit of their scores changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.scorers import parallel as crews
from autospace.scorers.make import make_scorer
from autospace.scorers.parallel import Crew, Place, crew, fitting_count, in_order, one_by_one
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import Cell
from tests.scorers.conftest import SKELETON, MakeSetting

Cells = list[list[Cell]]
GB = 2**30

works = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 7)), st.integers(1, 10**9), min_size=1
).map(lambda found: dict(sorted(found.items())))


@contextmanager
def of_two(path: Path, kept_bytes: int | None = None) -> Iterator[Crew]:
    with crew(path / "scoring.pt", 2, 1, print) as found:
        assert found is not None
        if kept_bytes is not None:
            found.kept_bytes = kept_bytes
        yield found


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
    some = [[], cells[1], []]
    with of_two(tmp_path, kept_bytes) as both:
        beside = make_scorer(watched, both)
        assert beside.score(cells, 0) == here.score(cells, 0)
        assert beside.score(some, 1) == here.score(some, 1)
        processes = list(both._processes._running.values())
        assert len(processes) == 2
    # Yardsticks and candidates of both calls: four times from nothing to all steps.
    assert ticks.count(setting.options.steps) == 4
    assert not any(process.is_alive() for process in processes)
    assert list(tmp_path.iterdir()) == []


def test_a_supernet_is_not_shared_out(
    make_setting: MakeSetting, cells: Cells, tmp_path: Path
) -> None:
    with crew(tmp_path / "scoring.pt", 1, 1, print) as nobody:
        assert nobody is None
    setting = make_setting("gated")
    given = Crew.__new__(Crew)  # one that could do nothing
    assert make_scorer(setting, given).score(cells, 0) == make_scorer(setting).score(cells, 0)


@given(works, st.integers(2, 9))
def test_every_candidate_is_trained_once(work: dict[Place, int], count: int) -> None:
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
    monkeypatch.setattr(crews, "cores", lambda: 8)
    monkeypatch.setattr(crews, "available_memory", lambda: 64 * GB)
    said: list[str] = []

    def count(candidates: int, batch: int, threads: int) -> int:
        return fitting_count(SKELETON, candidates, batch, threads, said.append)

    assert count(4, 64, 1) == 8
    assert count(4, 64, 3) == 2
    assert count(4, 64, 16) == 1
    # Three layers of two candidates.
    assert count(2, 64, 1) == 6
    assert said == []
    monkeypatch.setattr(crews, "available_memory", lambda: 2 * GB)
    # The widest input, 6 x 8 x 8, by expansion 6, by 12 tensors: 7 MB with 64 images.
    assert count(4, 64, 1) == 3
    assert said == ["cells are trained 3 at a time, not 8: there is no memory for more"]
    assert count(4, 64 * 100, 1) == 1
    monkeypatch.setattr(crews, "available_memory", lambda: 0)
    assert count(4, 64, 1) == 1
