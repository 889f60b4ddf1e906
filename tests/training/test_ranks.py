"""Several processes train what one process trains, and end together."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import autospace
from autospace.compute.ranks import ALONE, DismissedError, Ranks, SharedNorm
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.load import load_data
from autospace.runs.errors import RunError
from autospace.spaces import load
from autospace.spaces.errors import AutospaceError
from autospace.spaces.files.codec import to_json
from tests.evolution.runs import SKELETON
from tests.training.ranked import ROOT, done, free_port, started
from tests.training.runs import SETTINGS

PLAIN: dict[str, Any] = {
    **SETTINGS,
    "augment": {"crop": 1, "flip": True, "cutout": 2},
    "training": {"epochs": 2, "batch": 8, "drop_path": 0.2, "recompute": True},
}


# A low rate: the normalisations of 2x2 pixels make much of how sums are rounded.
TWO_INPUTS: dict[str, Any] = {
    **PLAIN,
    "optimizer": {"learning_rate": 0.001, "warm_up": 1.0},
    "training": {"epochs": 2, "batch": 8, "drop_path": 0.2, "auxiliary": 0.4},
}


def arguments(place: Path, name: str, settings: dict[str, Any]) -> dict[str, Any]:
    (place / "two.toml").write_text(SKELETON)
    architecture = f"reference@{place / 'two.toml'}"
    if name == "auxiliary":
        space = load("darts@darts-small")
        (place / "darts.json").write_text(to_json(space.architecture(space.reference)))
        architecture = str(place / "darts.json")
    return {"architecture": architecture, "settings": settings, "out": str(place / name)}


class Done(NamedTuple):
    place: Path
    first: list[dict[str, Any]]
    second: list[dict[str, Any]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Trainings in two processes: mixed, plain, of a batch of 9, interrupted, and resumed."""
    place = tmp_path_factory.mktemp("pair")
    odd = {**PLAIN, "training": {"epochs": 1, "batch": 9}}
    plan: list[dict[str, Any]] = [
        {"arguments": arguments(place, "mixed", SETTINGS)},
        {"arguments": arguments(place, "plain", PLAIN)},
        {"arguments": arguments(place, "odd", odd)},
        {"arguments": arguments(place, "stopped", SETTINGS), "stop": 8},
        {"arguments": {"resume": str(place / "stopped")}},
        {"arguments": {"resume": str(place / "stopped")}},
        {"arguments": arguments(place, "auxiliary", TWO_INPUTS)},
    ]
    return Done(place, *done(plan, place, 2))


@pytest.mark.parametrize(
    ("name", "settings"), [("mixed", SETTINGS), ("plain", PLAIN), ("auxiliary", TWO_INPUTS)]
)
def test_two_processes_train_what_one_process_trains(
    pair: Done, tmp_path: Path, name: str, settings: dict[str, Any]
) -> None:
    _check_as_alone(pair.place / name, arguments(tmp_path, name, settings))


def _check_as_alone(folder: Path, given: dict[str, Any]) -> None:
    found = autospace.train(**given)
    alone = found.result.model_dump(mode="json")
    shared = json.loads((folder / "result.json").read_text())
    assert "processes" not in alone
    assert shared.pop("processes") == 2
    assert [each["train_loss"] for each in shared["curve"]] == pytest.approx(
        [each["train_loss"] for each in alone["curve"]], rel=1e-5
    )
    for key in ("test_loss", "validation_loss"):
        assert shared[key] == pytest.approx(alone[key], rel=1e-4)
    assert shared["test_accuracy"] == alone["test_accuracy"]
    ours, theirs = load_file(found.weights), load_file(folder / "model.safetensors")
    for key, value in ours.items():
        # float32 has 24 bits; rounding grows from step to step.
        torch.testing.assert_close(theirs[key], value, rtol=1e-4, atol=1e-5)


def test_all_processes_return_what_process_0_wrote(pair: Done) -> None:
    for index, name in ((0, "mixed"), (1, "plain")):
        written = json.loads((pair.place / name / "result.json").read_text())
        assert pair.first[index] == pair.second[index] == written


def test_a_batch_that_cannot_be_divided_is_one_error(pair: Done) -> None:
    problem = "training.batch: 9 images, which 2 processes cannot share equally"
    assert pair.first[2]["text"] == f"{problem}; allowed: a multiple of 2"
    assert pair.second[2]["error"] == "DismissedError"
    assert not (pair.place / "odd").exists()


def test_stopped_and_resumed_two_processes_leave_equal_bytes(pair: Done) -> None:
    assert pair.first[3]["error"] == "RunInterrupted"
    assert pair.second[3]["error"] == "DismissedError"
    for name in ("model.safetensors", "result.json", "checkpoint/session.safetensors"):
        whole, resumed = (pair.place / run / name for run in ("mixed", "stopped"))
        assert resumed.read_bytes() == whole.read_bytes(), name


def test_a_finished_training_is_only_read_by_all(pair: Done) -> None:
    assert pair.first[5] == pair.first[4] == pair.second[5]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads threads in /proc")
def test_no_thread_of_the_connection_outlives_python(pair: Done) -> None:
    # Such a thread aborts the process if it holds a tensor: about one of ten processes did.
    for rank in range(2):
        found = json.loads((pair.place / f"threads-{rank}.json").read_text())
        assert [each for each in found if "gloo" in each] == []


def test_another_number_of_processes_does_not_go_on(pair: Done) -> None:
    folder = pair.place / "mixed"
    (folder / "result.json").rename(folder / "kept.json")
    with pytest.raises(AutospaceError, match="began in 2 processes, but this is 1; resume with"):
        autospace.train(resume=folder)
    (folder / "kept.json").rename(folder / "result.json")


@pytest.mark.parametrize("count", [2, 4])
def test_parts_of_a_batch_are_those_of_the_whole(count: int) -> None:
    data = load_data("synthetic:classes=3,train=60,test=12")
    norm = Normaliser.from_examples(data.train)
    augment = Augment(2, True, 3)
    batches = Batches(data.train, 8, 5, "cpu", norm, augment)
    for step in (0, 9):
        parts = [batches.batch(step, Ranks(rank, count).part(8)) for rank in range(count)]
        images, labels = batches.batch(step)
        assert torch.equal(torch.cat([each for each, _ in parts]), images)
        assert torch.equal(torch.cat([each for _, each in parts]), labels)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_every_batch_is_measured_by_one_process(count: int) -> None:
    data = load_data("synthetic:classes=3,train=60,test=12")
    batches = Batches(data.train, 8, 0, "cpu", Normaliser.from_examples(data.train))
    shown = [batches.evaluation_batches(rank, count) for rank in range(count)]
    found = [each for turn in itertools.zip_longest(*shown) for each in turn if each is not None]
    labels = torch.cat([each for _, each in batches.evaluation_batches()])
    assert torch.equal(torch.cat([each for _, each in found]), labels)


class _Halves(Ranks):
    """Two processes of which the other one has the same part."""

    def gathered(self, value: torch.Tensor) -> torch.Tensor:
        return torch.stack([value, value])

    def summed(self, value: torch.Tensor) -> torch.Tensor:
        return value * 1.0


@pytest.mark.parametrize("affine", [True, False])
def test_the_shared_norm_is_that_of_the_whole_batch(affine: bool) -> None:
    torch.manual_seed(0)
    half = torch.randn(4, 3, 5, 5) + 2
    norm, whole = nn.BatchNorm2d(3, affine=affine), nn.BatchNorm2d(3, affine=affine)
    network = _Halves(0, 2).normalised(nn.Sequential(norm))
    assert type(network[0]) is SharedNorm
    torch.testing.assert_close(network(half), whole(torch.cat([half, half]))[:4])
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(network[0].state_dict()[name], value)
    network.eval(), whole.eval()
    assert torch.equal(network(half), whole(half)) or torch.allclose(network(half), whole(half))


def test_alone_nothing_is_done() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3))
    value = torch.ones(2)
    assert ALONE.normalised(network) is network
    assert type(network[0]) is nn.BatchNorm2d
    assert ALONE.mean(value) is value
    assert ALONE.joined(network, network.forward, lambda: ()) == network.forward
    assert not ALONE.follows


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (("abc", None), None),
        (("abd", None), "process 1 of 2: reads abd, but process 0 reads abc"),
        (("", "pets: does not exist"), "process 1 of 2: pets: does not exist"),
    ],
)
def test_what_another_process_reads_is_told_by_process_0(
    monkeypatch: pytest.MonkeyPatch, other: tuple[str, str | None], said: str | None
) -> None:
    def gathered(found: list[Any], *_: object) -> None:
        found[:] = [("abc", None), other]

    monkeypatch.setattr("autospace.compute.ranks._connected", lambda: None)
    monkeypatch.setattr("torch.distributed.all_gather_object", gathered)
    first, second = Ranks(0, 2), Ranks(1, 2)
    if said is None:
        first.agree("abc", None)
        second.agree(*other)
        return
    with pytest.raises(RunError, match=f"^{said}$"):
        first.agree("abc", None)
    with pytest.raises(DismissedError):
        second.agree(*other)


# The command line, with the words of each process.


def _said(command: list[str], cwd: Path) -> list[tuple[int, str]]:
    found = []
    for each in started(["-m", "autospace", *command], 2, cwd):
        out, err = each.communicate(timeout=60)
        found.append((each.returncode, out + err))
    return found


def test_other_commands_are_refused_once(tmp_path: Path) -> None:
    (code, text), (other, silence) = _said(["evolve", "--preset", "demo"], tmp_path)
    assert (code, other, silence) == (2, 2, "")
    assert text.count("\n") == 1
    assert "evolve: torchrun started it in 2 processes, which is for train only" in text
    assert "autospace evolve --executor processes or ray" in text
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_option_is_told_once(tmp_path: Path) -> None:
    (code, text), (other, silence) = _said(["train", "--epochs", "many"], tmp_path)
    assert (code, other, silence) == (2, 2, "")
    assert text.startswith("error: --epochs")
    assert text.count("\n") == 1


# Torchrun itself.

TORCHRUN = ("torch.distributed.run", "--nproc-per-node", "2")


def _torchrun(place: Path, *command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *TORCHRUN, "-m", "autospace", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


DIGITS = ("train", "reference@digits", "--data", "digits", "--device", "cpu", "--out", "run")


def _ranks_of(agent: int) -> dict[str, int]:
    """The processes that torchrun started, by rank."""
    found = {}
    for each in Path("/proc").glob("[0-9]*"):
        try:
            parent = (each / "stat").read_text().rpartition(")")[2].split()[1]
            variables = (each / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if int(parent) == agent:
            ranks = [v.partition(b"=")[2].decode() for v in variables if v.startswith(b"RANK=")]
            found[ranks[0] if ranks else ""] = int(each.name)
    return found


def _wait_for(path: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not come"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")
@pytest.mark.parametrize("how", ["kill 0", "kill 1", "SIGINT", "SIGTERM"])
def test_all_processes_end_and_the_training_goes_on(tmp_path: Path, how: str) -> None:
    running = _torchrun(tmp_path, *DIGITS, "--epochs", "200")
    # A line of the log comes with every epoch.
    _wait_for(tmp_path / "run" / "events.jsonl")
    ranks = _ranks_of(running.pid)
    if how.startswith("SIG"):
        running.send_signal(signal.Signals[how])
    else:
        os.kill(ranks[how[-1]], signal.SIGKILL)
    out, err = running.communicate(timeout=60)
    assert running.returncode != 0
    assert out == ""
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks.values())
    ours = err.partition("Traceback (most recent call last)")[0]  # torchrun's own comes last
    assert "autospace/autospace/" not in ours
    if how.startswith("SIG"):
        assert "interrupted; nothing is lost: autospace train --resume run" in err
    resumed = _torchrun(tmp_path, "train", "--resume", "run", "--progress", "json")
    end = time.monotonic() + 90
    assert resumed.stderr is not None
    while time.monotonic() < end and '"epoch"' not in resumed.stderr.readline():
        pass
    resumed.terminate()
    resumed.communicate(timeout=60)
    assert time.monotonic() < end


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="all of 127.0.0.0/8 is loopback")
def test_two_machines_train_what_one_process_trains(tmp_path: Path) -> None:
    """As in the guide: one torchrun on each machine, here two on this one, which meet by c10d."""
    plan = [{"arguments": arguments(tmp_path, "shared", SETTINGS)}]
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    meeting = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{free_port()}")
    local = ("--local-addr", "127.0.0.1", "--nnodes", "2", "--nproc-per-node", "1")
    program = ("-m", "tests.training.ranked", str(tmp_path))
    agents = [
        subprocess.Popen(
            [sys.executable, "-m", TORCHRUN[0], *local, *meeting, "--rdzv-id", "two", *program],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        for _ in range(2)
    ]
    try:
        for each in agents:
            said, _ = each.communicate(timeout=300)
            assert each.returncode == 0, said
    finally:
        for each in agents:
            if each.poll() is None:
                os.killpg(each.pid, signal.SIGKILL)
    (alone := tmp_path / "alone").mkdir()
    _check_as_alone(tmp_path / "shared", arguments(alone, "one", SETTINGS))
    found = [json.loads((tmp_path / f"done-{rank}.json").read_text()) for rank in range(2)]
    assert found[0] == found[1]


@pytest.mark.slow
def test_three_processes_leave_equal_bytes_after_a_stop(tmp_path: Path) -> None:
    """Sums of three depend on their order, which is that of the gradients in a message."""
    settings = {**PLAIN, "training": {**PLAIN["training"], "batch": 6}}
    plan: list[dict[str, Any]] = [
        {"arguments": arguments(tmp_path, "whole", settings)},
        {"arguments": arguments(tmp_path, "stopped", settings), "stop": 3},
        {"arguments": {"resume": str(tmp_path / "stopped")}},
    ]
    found = done(plan, tmp_path, 3)
    assert found[0][0] == found[2][2]
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "stopped")]
    assert weights[0] == weights[1]
