"""Workers of a cluster that have a GPU each: one per GPU, of one kind, told how to train.

No GPU is needed: a stand-in for Ray has nodes with pretended ones. Where Ray is installed, its own
nodes have them, and their workers compute on the host device.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from autospace.comparison.settings import CompareConfig
from autospace.comparison.setup import prepare as prepare_comparison
from autospace.compute import cluster
from autospace.compute.cluster import RayPool
from autospace.compute.cluster_nodes import agreed, gpus_of, nodes_of
from autospace.compute.device import Hardware, threads
from autospace.compute.executor import HERE, Executor
from autospace.compute.pool import Job, OnMessage
from autospace.compute.ray_session import ClusterError
from autospace.compute.timing import Forecast
from autospace.compute.worker import Plain
from autospace.evaluators.evaluate import EvaluationJob, executor_of, use_of_devices
from autospace.evaluators.make import Setup
from autospace.evolution import learn as learning
from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.settings import make_config
from autospace.networks import rounding as roundings
from autospace.networks.rounding import rounding
from autospace.progress import Silent, no_tick
from autospace.runs.errors import ConfigError, RunError
from autospace.runs.settings import make_settings
from autospace.scorers import pooled
from autospace.searchers import trials
from autospace.searchers.folder import SearchFolder
from autospace.searchers.trials import trial_executor, trial_pool
from autospace.spaces.files.families import family_space
from tests.compute import loopback
from tests.compute.host_device import build
from tests.compute.loopback import SETTINGS
from tests.compute.test_two_nodes import COMMAND, SMALL
from tests.evaluators import setups
from tests.evolution.runs import Counting, settings
from tests.scorers.test_pooled import Packed
from tests.searchers import problems

ROOT = loopback.ROOT
GIB = 2**30
TOTAL_MEMORY = 80 << 30
"""Of the host device."""
H200 = {"gpu": "NVIDIA H200", "gpu kernels": "CUDA's", "precision": "bfloat16"}
T4 = {"gpu": "Tesla T4", "gpu kernels": "CUDA's", "precision": "float32"}
ON_GPUS = Executor(None, "ray").on(["cuda"])


@pytest.fixture(autouse=True)
def no_gpu_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def own(kind: str) -> dict[str, str]:
    """What decides the last digits on this machine, which has no GPU."""
    assert kind == "cpu"
    return {"torch": "2", "vectors": "AVX2"}


class Standin:
    """Nodes with pretended GPUs, in place of the module `ray`.

    Args:
        nodes: CPUs, GPUs, and what each worker answers, in turn; by address.
    """

    exceptions = SimpleNamespace(RayError=OSError)

    def __init__(self, nodes: dict[str, tuple[int, int, list[dict[str, Any]]]]) -> None:
        self.given: dict[str, Any] = {}
        self.told: list[tuple[Any, ...]] = []
        self._nodes = dict(nodes)
        affinity = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
        self.util = SimpleNamespace(scheduling_strategies=affinity)

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": f"id-{name}", "NodeManagerAddress": name, "Alive": True,
                "Resources": {"CPU": float(cpus), **({"GPU": float(gpus)} if gpus else {})},
            }
            for name, (cpus, gpus, _) in self._nodes.items()
        ]  # fmt: skip

    def add(self, name: str, answer: dict[str, Any]) -> None:
        self._nodes[name] = (1, 1, [answer])

    def remote(self, **given: Any) -> Callable[[type], Any]:
        self.given = given
        return lambda _: SimpleNamespace(options=self._options)

    def _options(self, scheduling_strategy: str) -> Any:
        def start(*told: Any) -> Any:
            self.told.append(told)
            answers = self._nodes[scheduling_strategy.removeprefix("id-")][2]
            answer = json.dumps(answers.pop(0) if len(answers) > 1 else answers[0]).encode()

            def hello(module: str, name: str) -> object:
                assert (module, name) == (own.__module__, own.__qualname__)
                return Reply(answer)

            leaves = SimpleNamespace(remote=lambda: Reply(b""))
            return SimpleNamespace(hello=SimpleNamespace(remote=hello), leave=leaves)

        return SimpleNamespace(remote=start)

    def wait(self, asked: list["Reply"], **_: Any) -> tuple[list["Reply"], list["Reply"]]:
        return asked, []

    def get(self, reply: "Reply") -> bytes:
        return reply.content

    def kill(self, *_: Any, **__: Any) -> None: ...


class Reply:
    def __init__(self, content: bytes) -> None:
        self.content = content


def answer(gpu: dict[str, str], memory: int = 80 * GIB) -> dict[str, Any]:
    return {"rounding": {"torch": "2", "vectors": "AVX512", **gpu}, "memory": memory}


def started(ray: Standin, folder: Path, said: list[str], **more: Any) -> RayPool:
    pool = RayPool(ray, folder, own, said.append, kind="cuda", **more)
    pool.start()
    return pool


def test_a_node_has_as_many_workers_as_gpus_and_cores_for_them() -> None:
    ray = Standin({"a": (8, 2, []), "b": (3, 4, []), "c": (8, 0, []), "d": (1, 4, [])})
    assert {node.name: node.slots for node in nodes_of(ray, 2, "cuda").values()} == {"a": 2, "b": 1}
    assert {node.name: node.slots for node in nodes_of(ray, 4).values()} == {"a": 2, "c": 2}


def test_gpus_are_shown_with_the_kind_that_ray_knows() -> None:
    resources = {"CPU": 4.0, "GPU": 2.0, "accelerator_type:H200": 1.0, "node:10.0.0.1": 1.0}
    listed = [
        {"NodeID": "1", "NodeManagerAddress": "a", "Alive": True, "Resources": resources},
        {"NodeID": "2", "NodeManagerAddress": "b", "Alive": True, "Resources": {"GPU": 1.0}},
        {"NodeID": "3", "NodeManagerAddress": "c", "Alive": True, "Resources": {"CPU": 1.0}},
    ]
    found = gpus_of(SimpleNamespace(nodes=lambda: listed))
    assert found == {"a": "2 H200", "b": "1", "c": "none"}


def test_every_worker_has_a_gpu_and_nodes_without_one_are_not_used(tmp_path: Path) -> None:
    said: list[str] = []
    ray = Standin(
        {
            "a": (8, 2, [answer(H200, 90 * GIB), answer(H200, 70 * GIB)]),
            "b": (8, 1, [answer(H200)]),
            "c": (8, 0, []),
            "d": (8, 0, []),
        }
    )
    pool = started(ray, tmp_path, said, thread_count=2)
    assert (ray.given["num_cpus"], ray.given["num_gpus"]) == (2, 1)
    assert [told[1:] for told in ray.told] == [(2, "cuda")] * 3
    # All three: a round is divided between those that are there.
    assert pool.count == 3
    assert pool.memory == 70 * GIB
    assert pool.hardware == Hardware("cuda", "bfloat16", "CUDA's")
    assert said == [
        "nodes without a GPU are not used: c, d",
        "cluster: nodes and their workers, each with a GPU (NVIDIA H200): a (2), b (1)",
    ]
    assert list(pool.roundings) == ["a", "b"]
    pool.close()


def test_without_any_gpu_there_is_one_line_that_says_what_is_allowed(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ClusterError) as raised:
        started(Standin({"a": (8, 0, [])}), tmp_path, said)
    assert str(raised.value) == (
        'device: "cuda", but no node of the cluster has a GPU; allowed: cpu, or nodes that Ray '
        "knows GPUs of"
    )
    assert said == []


def test_on_cpus_no_worker_takes_a_gpu(tmp_path: Path) -> None:
    ray = Standin({"a": (2, 1, [answer({}, 4 * GIB)])})
    pool = RayPool(ray, tmp_path, own, lambda _: None)
    pool.start()
    assert ray.given["num_gpus"] == 0
    assert [told[2] for told in ray.told] == ["cpu", "cpu"]
    assert pool.hardware == Hardware("cpu", "float32", "")
    assert pool.memory == 2 * GIB
    pool.close()


@pytest.mark.parametrize(
    ("nodes", "who"),
    [
        ({"a": (1, 1, [answer(H200)]), "b": (1, 1, [answer(T4)])}, "nodes a and b"),
        ({"a": (2, 2, [answer(H200), answer(T4)])}, "workers of node a"),
    ],
)
def test_gpus_of_two_kinds_are_refused(
    nodes: dict[str, tuple[int, int, list[dict[str, Any]]]], who: str, tmp_path: Path
) -> None:
    with pytest.raises(ClusterError) as raised:
        started(Standin(nodes), tmp_path, [])
    unlike = "gpu NVIDIA H200 and Tesla T4, precision bfloat16 and float32"
    assert str(raised.value).startswith(f"cluster: {who} would give other bytes: {unlike}; allowed")


def test_a_late_node_with_another_gpu_or_none_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "SECONDS_BETWEEN_LOOKS", 0.0)
    said: list[str] = []
    ray = Standin({"a": (1, 1, [answer(H200)])})
    pool = started(ray, tmp_path, said)
    ray.add("b", answer(T4))
    ray.add("c", answer(H200))
    ray._nodes["d"] = (1, 0, [])
    pool._look()
    pool._replies()
    pool._look()
    assert said[1:] == [
        "nodes without a GPU are not used: d",
        "node b is not used: it would give other bytes: gpu NVIDIA H200 and Tesla T4, precision "
        "bfloat16 and float32",
        "node c has joined",
    ]
    assert pool.count == 2
    pool.close()


@pytest.mark.parametrize(("found", "expected"), [(0, "cpu"), (2, "cuda")])
def test_workers_of_a_cluster_take_gpus_when_they_are_told_to(
    found: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: found > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: found)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    some = Executor(None, "ray")
    for name in ("auto", "cpu"):
        given = some.devices_of(name)
        assert (str(given.own), list(map(str, given.workers))) == ("cpu", ["cpu"])
        assert not some.shares_out(given.workers)
    given = some.devices_of("cuda")
    assert (str(given.own), list(map(str, given.workers))) == (expected, ["cuda"])
    assert some.shares_out(given.workers)
    assert (ON_GPUS.kind, ON_GPUS.workers, some.kind) == ("cuda", None, "cpu")
    for name in ("cuda:0", "cuda:0,1", "all", "gpu"):
        with pytest.raises(ConfigError) as raised:
            some.devices_of(name)
        assert str(raised.value) == (
            f'device: "{name}"; allowed with executor ray: auto, cpu or cuda, because Ray gives '
            "each worker its GPU"
        )


def test_what_computes_where_is_said_in_a_line() -> None:
    shared = "devices: GPUs of the cluster train cells, one for each worker"
    lines = {
        device: ON_GPUS.described_use(torch.device(device), "train cells", "trains the reference")
        for device in ("cpu", "cuda")
    }
    assert lines == {
        "cpu": [f"{shared}; this machine has no GPU: its CPU trains the reference"],
        "cuda": [f"{shared}; this machine's GPU trains the reference"],
    }
    assert ON_GPUS.described_use(torch.device("cpu"), "train cells", "") == [shared]
    assert Executor(None, "ray").described_use(torch.device("cpu"), "train cells", "") == []
    plan = Forecast(9.0, torch.device("cpu"), clustered=True, others=("cuda",))
    assert (plan.record["device"], plan.record["cluster"]) == ("cpu", "cuda")
    assert Forecast(9.0, torch.device("cpu"), clustered=True).record["cluster"] == "cpu"
    assert "cluster" not in Forecast(9.0, torch.device("cpu")).record
    assert plan.lines == (
        "plan: about 9 s on cpu with 1 worker, by timed steps",
        "plan: the GPUs of a cluster share the work; their time is not known",
    )


def test_what_gpus_have_to_agree_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roundings, "own_device", lambda kind: torch.device(kind, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(roundings, "automatic_precision", lambda device: "bfloat16")
    monkeypatch.delenv("AUTOSPACE_TRITON", raising=False)
    found = rounding("cuda")
    assert found == {**rounding(), **H200}


SOFTWARE = {"autospace": "1", "torch": "2", "python": "3.11", "kernels": "compiled, AVX2"}


def test_instructions_of_the_command_are_told_and_no_error() -> None:
    nodes = {"n": SOFTWARE | {"kernels": "compiled, AVX-512", "vectors": "AVX512"}}
    said: list[str] = []
    assert agreed(nodes, SOFTWARE | {"vectors": "AVX2"}, said.append) == nodes["n"]
    (line,) = said
    assert "kernels compiled, AVX2 and compiled, AVX-512, vectors AVX2 and AVX512" in line


@pytest.mark.parametrize(("gpu", "refused"), [({}, True), (H200, False)])
def test_kernels_of_cpus_matter_where_cpus_compute(gpu: dict[str, str], refused: bool) -> None:
    nodes = {"n": {**SOFTWARE, **gpu, "kernels": "PyTorch's: none were compiled"}}
    with pytest.raises(ClusterError, match="differ: kernels") if refused else nullcontext():
        agreed(nodes, SOFTWARE, lambda _: None)
    with pytest.raises(ClusterError, match="differ: torch 2 and 3"):
        agreed({"n": {**SOFTWARE, **gpu, "torch": "3"}}, SOFTWARE, lambda _: None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("auto", "bfloat16"), ("float32", "float32"), ("bfloat16", "bfloat16")],
)
def test_the_device_of_the_workers_decides_on_the_precision(name: Any, expected: str) -> None:
    assert Hardware("cuda", "bfloat16", "").settings(name, True) == ("cuda", expected, True)
    if name == "auto":
        assert Hardware("cuda", "float32", "").settings(name, True).precision == "float32"
        assert Hardware("cpu", "float32", "").settings(name, True) == ("cpu", "float32", False)


class OnGpus(Packed):
    """Workers of a cluster with pretended GPUs; their work is done here."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 2)
        self.hardware = Hardware("cuda", "bfloat16", "CUDA's")
        self.executions: list[dict[str, Any]] = []

    def results(
        self, job: Job, requests: Sequence[Plain], on_message: OnMessage | None = None
    ) -> Iterator[tuple[int, Plain]]:
        assert isinstance(job, pooled.ScoringJob)
        self.executions.append(job.context.of_workers._asdict())
        yield from super().results(job, requests, on_message)


def on_pretended_gpus(monkeypatch: pytest.MonkeyPatch, pool: OnGpus) -> list[Executor]:
    """Lets runs use such a pool; which executors they asked for."""
    asked: list[Executor] = []

    @contextmanager
    def opened(executor: Executor, *_: Any, **__: Any) -> Iterator[OnGpus]:
        asked.append(executor)
        yield pool

    monkeypatch.setattr(learning, "open_pool", opened)
    monkeypatch.setattr(Executor, "check", lambda _: None)
    return asked


def test_a_run_without_a_gpu_of_its_own_trains_cells_on_those_of_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, heard = OnGpus(tmp_path / "packed"), Counting()
    asked = on_pretended_gpus(monkeypatch, pool)
    monkeypatch.setattr(pooled, "own_device", lambda kind: torch.device("cpu"))
    config = make_config(settings(tmp_path, device="cuda"))
    run = RunFolder.create(tmp_path / "run", config)
    learn(run, heard, workers=Executor(None, "ray"))
    assert asked == [ON_GPUS]
    assert pool.executions
    expected = {"device": "cuda", "precision": "bfloat16", "cuda_graphs": True}
    assert all(each == expected for each in pool.executions)
    # Every worker trains a part of a round, and not one cell at a time.
    rounds = [row["candidates"] for row in pool.requests]
    assert max(sum(map(len, rows)) for rows in rounds) > 1
    space = json.loads((tmp_path / "run" / "space.json").read_text())
    made = space["provenance"]
    assert (made["config"]["device"], made["config"]["precision"]) == ("cuda", "bfloat16")
    assert made["kernels"] == "CUDA's"
    assert "cells were trained on cuda, the reference on cpu" in made["notes"]
    line = "; this machine has no GPU: its CPU trains the reference"
    assert [text for text in heard.messages if text.endswith(line)]
    # What was asked for stays as it was: another machine may resume the run.
    assert 'device = "cuda"' in (tmp_path / "run" / "config.toml").read_text()


def test_what_stays_here_needs_a_gpu_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Executor, "check", lambda _: None)
    config = make_config(settings(tmp_path, device="cuda", scoring={"method": "gated"}))
    heard = Counting()
    with pytest.raises(RunError, match="this machine has 0 CUDA devices; allowed: cpu or auto"):
        learn(RunFolder.create(tmp_path / "run", config), heard, workers=Executor(None, "ray"))
    assert heard.messages[-1].endswith("are trained by one process: it stays here")
    assert not (tmp_path / "run").exists()


def test_an_evaluation_is_named_by_the_device_of_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = setups.setup(tmp_path)
    there = replace(here, devices=("cuda",))
    images = there.images()
    assert images.device.type == "cpu"
    # As if a GPU of this machine had done it: a comparison goes on there.
    assert there.conditions(images) == replace(here, device="cuda:0").conditions(images)
    assert executor_of(there, Executor(None, "ray")) == ON_GPUS
    assert executor_of(here, Executor(None, "ray")) == Executor(None, "ray")
    (line,) = use_of_devices(there, ON_GPUS)
    assert line == "devices: GPUs of the cluster evaluate networks, one for each worker"
    packed = EvaluationJob(there, images).pack(tmp_path / "pool", whole=True)
    assert (packed["setup"]["device"], packed["own_device"]) == ("cuda", True)
    assert Setup.unpacked(packed["setup"]).kind == "cuda"


@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_a_comparison_reads_its_images_where_it_can(device: str, tmp_path: Path) -> None:
    given = {
        "spaces": ["mbconv", "mbconv"],
        "data": {"source": "synthetic:classes=3,train=60,test=40"},
    }
    config = make_settings(CompareConfig, given, {})
    spaces = [family_space("mbconv", problems.SKELETON)] * 2
    some = Executor(None, "ray")
    setup = prepare_comparison(config, spaces, tmp_path, device, no_tick, executor=some).setup
    assert (setup.device, setup.devices) == ("cpu", ("cuda",) if device == "cuda" else ())


def test_a_search_trains_alone_on_the_gpus_of_a_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, given = problems.make_problem(), Executor(None, "ray")
    found = trial_executor(problem, given, "cuda", Silent())
    assert found == ON_GPUS
    assert trial_executor(problem, given, "auto", Silent()) == given
    (line,) = trials.use_of_devices(problem, found)
    assert line.startswith("devices: GPUs of the cluster train networks alone, one for each worker")
    counts: list[int] = []
    monkeypatch.setattr(
        trials, "open_pool", lambda *_, thread_count, **__: counts.append(thread_count)
    )
    folder = SearchFolder(tmp_path)
    with threads(3):
        # On GPUs, no sum depends on their number, and all GPUs need cores.
        for executor in (found, given, HERE):
            trial_pool(folder, Silent(), executor)
    assert counts == [1, 3, 3]


def test_a_run_on_a_cluster_goes_on_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_pretended_gpus(monkeypatch, OnGpus(tmp_path / "packed"))
    monkeypatch.setattr(pooled, "own_device", lambda kind: torch.device("cpu"))
    config = make_config(settings(tmp_path, device="cuda"))
    run = RunFolder.create(tmp_path / "run", config)
    with pytest.raises(KeyboardInterrupt):
        learn(run, Counting(20, _interrupt), workers=Executor(None, "ray"))
    with pytest.raises(RunError, match="this machine has 0 CUDA devices; allowed: cpu or auto"):
        learn(RunFolder.open(tmp_path / "run"), Counting())
    monkeypatch.undo()
    learn(RunFolder.open(tmp_path / "run"), Counting(), "cpu")
    made = json.loads((tmp_path / "run" / "space.json").read_text())["provenance"]
    assert (made["config"]["device"], made["config"]["precision"]) == ("cpu", "float32")


def _interrupt() -> None:
    raise KeyboardInterrupt


PUTS_THE_DEVICE_THERE = """
import sys

class Before:
    def find_spec(self, name, path=None, target=None):
        if name == "autospace.compute.node":
            sys.meta_path.remove(self)
            import cuda
            cuda.install()

sys.meta_path.insert(0, Before())
"""
"""Python runs it at its start; workers of a node import that module before they compute."""


def _with_host_device(folder: Path) -> dict[str, str]:
    """The environment of a node whose workers find the host device where they look for a GPU."""
    (folder / "sitecustomize.py").write_text(PUTS_THE_DEVICE_THERE)
    places = (folder, Path(build.__file__).parent, ROOT)
    return {
        "PYTHONPATH": os.pathsep.join(map(str, places)),
        "AUTOSPACE_HOST_DEVICE": str(build.library()),
        "AUTOSPACE_TRITON": "0",  # It asks the driver of a GPU.
    }


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **SETTINGS}
    environment.pop("AUTOSPACE_WORKERS", None)  # that of the tests
    command = list(map(str, words))
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="make test-cluster has it")
@pytest.mark.skipif(sys.platform != "linux", reason="Ray clusters are made of Linux")
@pytest.mark.skipif(bool(build.missing()), reason=f"the host device {build.missing()}")
@pytest.mark.timeout(900)
def test_workers_on_nodes_of_ray_compute_on_the_gpus_that_it_gives_them(tmp_path: Path) -> None:
    environment = _with_host_device(tmp_path)
    with loopback.cluster() as nodes:
        nodes.start_head()
        place = ("--executor", "ray", "--address", nodes.address)
        _check_refused(tmp_path, place, "cuda", "no node of the cluster has a GPU; allowed: cpu")
        _check_refused(tmp_path, place, "cuda:1", "allowed with executor ray: auto, cpu or cuda")
        nodes.start_node(cores=3, environment=environment, gpus=2)
        found = _run(COMMAND, "doctor", *place, "--format", "json")
        listed = json.loads(found.stdout)["nodes"]
        assert {name: each["gpus"] for name, each in listed.items()} == {
            "127.0.0.2": "2",
            "127.0.0.3": "none",
        }
        _check_given(nodes.address, tmp_path)
        _check_run(tmp_path, place)
        _check_numbers(tmp_path, place)
        _check_networks(tmp_path, place)


def _check_refused(folder: Path, place: tuple[str, ...], device: str, problem: str) -> None:
    run = folder / "refused"
    ran = _run(COMMAND, "evolve", *SMALL, *place, "--device", device, "--force", "--out", run)
    last = ran.stderr.splitlines()[-1]
    assert (ran.returncode, last.startswith("error: ")) == (2, True), ran.stderr
    assert f'device: "{device}"' in last
    assert problem in last
    assert "Traceback" not in ran.stderr


def _check_given(address: str, folder: Path) -> None:
    """Three cores, two GPUs: two workers, each of which sees a GPU of its own."""
    code = f"""
from pathlib import Path
from autospace.compute.executor import Executor, open_pool
from autospace.networks.rounding import rounding
from tests.compute.loopback import Seeing
executor = Executor(None, "ray", {address!r}).on(["cuda"])
with open_pool(executor, Path({str(folder)!r}) / "pool", rounding=rounding) as pool:
    print(pool.count, pool.memory, *pool.hardware)
    print(sorted(found for _, found in pool.results(Seeing(), [1.0, 1.0])))
"""
    ran = _run(sys.executable, "-c", code)
    first, second = ran.stdout.splitlines()
    assert first == f"2 {TOTAL_MEMORY} cuda bfloat16 CUDA's", ran.stderr
    assert second == "[['1', '0', 'cuda:0'], ['1', '1', 'cuda:0']]"


def _check_run(folder: Path, place: tuple[str, ...]) -> None:
    run = folder / "run"
    ran = _run(COMMAND, "evolve", *SMALL, *place, "--device", "cuda", "--out", run)
    assert ran.returncode == 0, ran.stderr
    said = ran.stderr.splitlines()
    assert "nodes without a GPU are not used: 127.0.0.3" in said
    with_gpus = "cluster: nodes and their workers, each with a GPU (host device): 127.0.0.2 (2)"
    assert with_gpus in said
    assert any(line.startswith("devices: GPUs of the cluster train cells") for line in said)
    made = json.loads((run / "space.json").read_text())["provenance"]
    assert (made["config"]["device"], made["config"]["precision"]) == ("cuda", "bfloat16")


def _check_numbers(folder: Path, place: tuple[str, ...]) -> None:
    """In float32 the nodes find what this CPU finds, up to rounding."""
    found = []
    for name, where in (("there", (*place, "--device", "cuda")), ("here", ("--workers", "1"))):
        run = folder / name
        ran = _run(COMMAND, "evolve", *SMALL, *where, "--set", "precision=float32", "--out", run)
        assert ran.returncode == 0, ran.stderr
        lines = (run / "events.jsonl").read_text().splitlines()
        found.append([json.loads(line)["best"] for line in lines])
    assert found[0] == pytest.approx(found[1], abs=1e-3)


def _check_networks(folder: Path, place: tuple[str, ...]) -> None:
    """Networks are trained where cells are."""
    run = (*place, "--device", "cuda", "--data", "digits", "--progress", "plain")
    spaces = ("mbconv@digits", "mnasnet@digits", "--samples", "4", "--steps", "4")
    compared = _run(COMMAND, "compare", *spaces, *run, "--out", folder / "compared")
    assert compared.returncode == 0, compared.stderr
    assert compared.stderr.count("requests done by nodes: 127.0.0.2: 8\n") == 1
    search = ("mbconv@digits", "--method", "random", "--set", "trial.steps=4")
    searched = _run(COMMAND, "search", *search, *run, "--out", folder / "searched")
    assert searched.returncode == 0, searched.stderr
    assert "requests done by nodes: 127.0.0.2: " in searched.stderr
    for said in (compared.stderr, searched.stderr):
        assert "devices: GPUs of the cluster" in said
        assert "nodes without a GPU are not used: 127.0.0.3" in said
