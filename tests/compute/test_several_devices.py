"""Several GPUs of one machine: a worker process per device, and the results of one device.

Without two GPUs, `test_host_device.py` runs these on the host device, which has two.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.comparison.compare import compare
from autospace.comparison.folder import ComparisonFolder
from autospace.comparison.settings import CompareConfig
from autospace.compute.device import make_execution, own_device
from autospace.compute.execution import Execution
from autospace.compute.executor import Executor, open_pool
from autospace.compute.pool import Job, OnMessage, Pool
from autospace.compute.worker import Plain, Report, Work
from autospace.data.images import Images
from autospace.evaluators import evaluate
from autospace.evaluators.evaluate import EvaluationJob
from autospace.evaluators.make import Setup
from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.settings import make_config
from autospace.progress import Planned
from autospace.runs.errors import ConfigError
from autospace.runs.settings import Precision, make_settings
from autospace.scorers import pooled
from autospace.scorers.make import make_scorer
from autospace.scorers.pooled import INDEPENDENT, ScoringJob
from autospace.scorers.scorer import ScoringMethod
from autospace.searchers.driver import run_search
from autospace.searchers.folder import SearchFolder
from autospace.spaces import Cell, mbconv, to_json
from autospace.spaces.files.families import family_space
from tests.comparison import setups as comparisons
from tests.compute.test_gpu_workers import OnGpus, on_pretended_gpus
from tests.compute.test_on_device import scoring
from tests.evaluators import setups
from tests.evolution.runs import ROOT, Counting, settings
from tests.scorers.test_pooled import Packed
from tests.searchers import problems
from tests.slow import slowly

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs a second device"),
]
TWO = ("cuda:0", "cuda:1")
CELLS: list[list[Cell]] = [
    [mbconv(5, 1), mbconv(3, 3)],
    [mbconv(3, 1)],
    [mbconv(3, 3), mbconv(7, 1)],
]
ON_HOST = "AUTOSPACE_HOST_DEVICE" in os.environ


@pytest.fixture(autouse=True)
def found_by_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new process looks for this module where this one would."""
    monkeypatch.syspath_prepend(ROOT)


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    yield
    torch.cuda.set_device(0)


def on_two(folder: Path, workers: int = 2) -> AbstractContextManager[Pool]:
    return open_pool(Executor(workers).on(TWO), folder / "pool")


class Heard(Counting):
    """An observer that remembers the plan, too."""

    def planned(self, plan: Planned) -> None:
        self.messages += plan.lines


@dataclass(frozen=True)
class Where:
    """A job that says where its worker computes."""

    def begin(self, report: Report) -> Work:
        raise NotImplementedError

    def pack(self, folder: Path, *, whole: bool) -> Plain:
        return None

    @staticmethod
    def begin_packed(packed: Plain, folder: Path, report: Report) -> Work:
        def say(request: Plain) -> Plain:
            current = torch.zeros(1, device="cuda").device
            exact = not torch.backends.cudnn.allow_tf32
            return [str(own_device("cuda")), str(current), str(own_device("cpu")), exact]

        return say


@pytest.mark.slow
def test_every_worker_has_a_device_of_its_own_in_turn(tmp_path: Path) -> None:
    with on_two(tmp_path, 3) as pool:
        for _ in range(2):
            found = dict(pool.results(Where(), [0, 1, 2]))
            for place, device in enumerate(("cuda:0", "cuda:1", "cuda:0")):
                assert found[place] == [device, device, "cpu", True]


@pytest.mark.parametrize("graphs", [True, *slowly(False)])
def test_what_is_packed_for_a_gpu_scores_there_as_here_a_part_per_worker(
    graphs: bool, tmp_path: Path
) -> None:
    context = scoring("probe", make_execution("float32", graphs, torch.device(TWO[0]), pytest.fail))
    expected = make_scorer(context).score(CELLS, 0)
    pool = Packed(tmp_path, 2)
    torch.cuda.set_device(1)
    found = make_scorer(context, pool).score(CELLS, 0)
    sizes = [sum(map(len, request["candidates"])) for request in pool.requests]
    assert len(sizes) == 4  # the reference's own cells, and the candidates
    assert sorted(sizes[2:]) == [2, 3]
    _check_equal(found, expected)


@pytest.mark.slow
def test_two_devices_score_as_one_does(tmp_path: Path) -> None:
    kinds: list[tuple[ScoringMethod, Precision]] = [
        ("calibrated", "float32"),
        ("probe", "bfloat16"),
        ("local", "float32"),
        ("in-place", "bfloat16"),
        ("distilled", "float32"),
        ("predicted", "float32"),
    ]
    assert {method for method, _ in kinds} == set(INDEPENDENT)
    with on_two(tmp_path) as pool:
        for method, precision in kinds:
            execution = make_execution(precision, True, torch.device(TWO[0]), pytest.fail)
            context = scoring(method, execution)
            here, there = make_scorer(context), make_scorer(context, pool)
            for repeat in (0, 1):
                _check_equal(there.score(CELLS, repeat), here.score(CELLS, repeat))


def _check_equal(found: list[list[float]], expected: list[list[float]]) -> None:
    if ON_HOST:
        assert found == expected
    for row, others in zip(found, expected, strict=True):
        assert row == pytest.approx(others, rel=0.05, abs=0.02)


def _learned(folder: Path, device: str, stop: int = -1, **changes: Any) -> tuple[bytes, Heard]:
    heard = Heard(stop, _interrupt)
    run = folder / device.replace(":", "").replace(",", "")
    made = RunFolder.create(run, make_config(settings(folder, **{"device": device, **changes})))
    learn(made, heard, workers=None)
    return (run / "space.json").read_bytes(), heard


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_on_two_devices_learns_the_space_of_one(tmp_path: Path) -> None:
    one, heard = _learned(tmp_path, "cuda:1")
    assert not [text for text in heard.messages if text.startswith("devices:")]
    two, heard = _learned(tmp_path, "cuda:0,1")
    assert two == one or not ON_HOST
    line = "devices: cuda:0,1 train cells; cuda:0 alone trains the reference"
    assert [text for text in heard.messages if "devices:" in text] == [line]
    assert any("on cuda:0,1 with 2 workers" in text for text in heard.messages)
    # Stopped amid its rounds on all devices, and resumed on one.
    with pytest.raises(KeyboardInterrupt):
        _learned(tmp_path, "all", stop=20)
    run = tmp_path / "all"
    assert 'device = "all"' in (run / "config.toml").read_text()
    learn(RunFolder.open(run), Heard(), "cuda:1")
    assert (run / "space.json").read_bytes() == one or not ON_HOST


@pytest.mark.slow
def test_workers_of_a_cluster_learn_the_space_of_this_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = _learned(tmp_path, "cuda")
    pool = OnGpus(tmp_path / "packed")
    on_pretended_gpus(monkeypatch, pool)
    made = RunFolder.create(tmp_path / "run", make_config(settings(tmp_path, device="cuda")))
    heard = Heard()
    learn(made, heard, workers=Executor(None, "ray"))
    assert (tmp_path / "run" / "space.json").read_bytes() == one or not ON_HOST
    assert len(pool.executions) > 1
    line = "one for each worker; this machine's GPU trains the reference"
    assert [text for text in heard.messages if text.endswith(line)]


@pytest.mark.slow
def test_what_trains_on_one_device_says_so_once(tmp_path: Path) -> None:
    _, heard = _learned(tmp_path, "cuda:1,0", scoring={"method": "gated"})
    (line,) = [text for text in heard.messages if "devices:" in text]
    expected = "scoring.method gated trains on one device: only cuda:1 of cuda:1,0 is used"
    assert line == f"devices: {expected}"


def test_fewer_workers_than_devices_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    config = make_config(settings(tmp_path, device="all"))
    with pytest.raises(ConfigError, match="workers: 1; allowed on 2 devices: 2 or more"):
        learn(RunFolder.create(tmp_path / "run", config), Heard(), workers=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["train", "supernet", "naswot"])
def test_a_comparison_on_two_devices_finds_what_one_finds(method: str, tmp_path: Path) -> None:
    sources = []
    for name, cells in (("one", comparisons.CHEAP), ("two", comparisons.CHEAP[2:])):
        path = tmp_path / f"{name}.json"
        path.write_text(to_json(comparisons.space(cells, name)))
        sources.append(str(path))
    given = {
        "spaces": sources,
        "sampling": {"samples": 4},
        "data": {"source": "synthetic:classes=3,train=60,test=40"},
        "evaluator": {"method": method, "steps": 4, "batch": 8},
    }
    found = []
    for device in ("cuda:1", "cuda:0,1"):
        heard = Heard()
        config = make_settings(CompareConfig, given, {"device": device})
        folder = ComparisonFolder.create(tmp_path / device.replace(":", ""), config)
        compared = compare(folder, heard)
        found.append([space.errors for space in compared.spaces])
    _check_equal(found[1], found[0])
    alone = "; cuda:0 alone trains the supernet" if method == "supernet" else ""
    line = f"devices: cuda:0,1 evaluate networks{alone}"
    assert [text for text in heard.messages if "devices:" in text] == [line]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "spos"])
def test_a_search_on_two_devices_finds_what_one_finds(method: str, tmp_path: Path) -> None:
    found = []
    for device in ("cuda:1", "cuda:0,1"):
        heard, config = Heard(), problems.settings(method=method, device=device)
        folder = SearchFolder.create(tmp_path / device.replace(":", ""), config)
        result = run_search(folder, family_space("mbconv", problems.SKELETON), heard, workers=None)
        found.append((result.best, result.accuracy, result.finalists))
    assert found[0] == found[1] or not ON_HOST
    (line,) = [text for text in heard.messages if "devices:" in text]
    assert line.startswith("devices: cuda:0,1 train networks alone; cuda:0 alone does everything")


def test_a_scoring_worker_computes_on_its_own_gpu_and_begins_rounds_with_whole_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Execution] = []

    def noted(*given: Any) -> Execution:
        made.append(make_execution(*given))
        return made[-1]

    monkeypatch.setattr(pooled, "make_execution", noted)
    context = scoring("probe", make_execution("bfloat16", True, torch.device(TWO[0]), pytest.fail))
    packed = ScoringJob(context).pack(tmp_path, whole=False)
    torch.cuda.set_device(1)
    work = ScoringJob.begin_packed(packed, tmp_path, lambda _: None)
    (execution,) = made
    assert (execution.device, execution.precision) == (torch.device(TWO[1]), torch.bfloat16)
    assert execution.records
    execution.parts.count = 4  # as after a lack of memory
    work({"candidates": [[], [], []], "repeat": 0})
    assert execution.parts.count == 1


@pytest.mark.parametrize(("devices", "expected"), [((), TWO[0]), (TWO, TWO[1])])
def test_an_evaluating_worker_computes_on_its_own_gpu_if_there_are_several(
    devices: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, torch.device]] = []

    def noted(setup: Setup, basis: Images) -> None:
        seen.append((setup.device, basis.device))

    setup = replace(setups.setup(tmp_path), device=TWO[0], devices=devices)
    packed = EvaluationJob(setup, setup.images()).pack(tmp_path / "pool", whole=False)
    torch.cuda.set_device(1)
    monkeypatch.setattr(evaluate, "make_evaluator", noted)
    EvaluationJob.begin_packed(packed, tmp_path / "pool", lambda _: None)
    assert seen == [(expected, torch.device(expected))]


def test_what_every_gpu_refuses_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    execution = make_execution("float32", False, torch.device(TWO[0]), pytest.fail)
    context = replace(scoring("probe", execution), on_message=said.append)

    class Refusing(Packed):
        def results(
            self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
        ) -> Iterator[tuple[int, Plain]]:
            assert on_message is not None
            for place in range(len(requests)):
                on_message(place, "CUDA graphs are not used")
            yield from super().results(job, requests, on_message)

    make_scorer(context, Refusing(tmp_path, 2)).score(CELLS, 0)
    assert said == ["CUDA graphs are not used"]
