"""Recording steps and replaying them: the same bits as calling them, or a refusal and a remark."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autospace.compute import cuda_graphs as module
from autospace.compute.cuda_graphs import NO_GRAPHS, PLAIN_CALLS, CudaRecorder, Graphs, make_graphs
from autospace.compute.execution import PLAIN, Execution, Microbatches
from autospace.data.batches import Batch
from autospace.training.short import Recipe, set_rate, sgd, train
from tests.evolution.recorder import TapeRecorder


class Noise:
    def batch(self, step: int) -> Batch:
        generator = torch.Generator().manual_seed(step)
        images = torch.randn(8, 2, 6, 6, generator=generator)
        return images, torch.randint(0, 3, (8,), generator=generator)


def _network() -> nn.Module:
    torch.manual_seed(0)
    parts = (nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU6(), nn.Flatten(), nn.Linear(64, 3))
    return nn.Sequential(*parts)


def _execution(recorder: TapeRecorder, said: list[str] | None = None) -> Execution:
    remarks: list[str] = [] if said is None else said
    return Execution(graphs=Graphs(recorder, remarks.append))


def _trained(execution: Execution, steps: int = 12) -> tuple[dict[str, torch.Tensor], list[float]]:
    network, losses = _network(), list[float]()
    recipe = Recipe(steps, 0.1)
    after = lambda _, loss: losses.append(float(loss))  # noqa: E731
    train(network, Noise(), recipe, after_step=after, execution=execution)
    return network.state_dict(), losses


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_recorded_training_gives_the_bits_of_the_same_steps_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = TapeRecorder()
    state, losses = _trained(_execution(recorder))
    replays = 12 - PLAIN_CALLS
    assert (recorder.runs, recorder.recordings, recorder.replays) == (PLAIN_CALLS, 1, replays)
    monkeypatch.setattr(module, "PLAIN_CALLS", 1000)
    called = TapeRecorder()
    expected, expected_losses = _trained(_execution(called))
    assert (called.runs, called.recordings) == (12, 0)
    assert losses == expected_losses
    assert _same(state, expected)
    # Counters and running statistics of the norm are among them, and so is every replay.
    assert int(state["1.num_batches_tracked"]) == 12


def test_the_optimiser_that_can_be_recorded_agrees_with_the_plain_one() -> None:
    plain, _ = _trained(PLAIN)
    recorded, _ = _trained(_execution(TapeRecorder()))
    for name, value in plain.items():
        torch.testing.assert_close(recorded[name], value, rtol=1e-4, atol=1e-5)


def test_a_rate_that_is_a_number_would_be_recorded_as_it_was() -> None:
    weight = nn.Parameter(torch.ones(3))
    found = []
    for optimizer in (
        torch.optim.SGD([weight], 0.1),
        sgd([weight], 0.1, 0.0, 0.0, _execution(TapeRecorder())),
    ):
        with torch.no_grad():
            weight.fill_(1)

        def step(_: list[torch.Tensor], optimizer: torch.optim.SGD = optimizer) -> None:
            optimizer.zero_grad(set_to_none=True)
            weight.sum().backward()
            optimizer.step()

        replayed = Graphs(TapeRecorder(), print).replayed(step)
        for call in range(5):
            set_rate(optimizer, 0.1 if call < 4 else 0.0)
            replayed([])
        found.append(round(float(weight.detach()[0]), 6))
    assert found == [0.5, 0.6]


def test_what_changes_comes_in_the_argument_and_leaves_it_alone() -> None:
    total = torch.zeros(2)

    def add(given: tuple[torch.Tensor, list[torch.Tensor]]) -> torch.Tensor:
        first, (second,) = given
        total.add_(first * second)
        return total * 2

    replayed = Graphs(TapeRecorder(), print).replayed(add)
    kept = [(torch.full((2,), float(i)), [torch.tensor([1.0, -1.0])]) for i in range(8)]
    before = copy.deepcopy(kept)
    found = [replayed(given).clone() for given in kept]
    sums = [float(sum(range(i + 1))) for i in range(8)]
    assert [each.tolist() for each in found] == [[2 * s, -2 * s] for s in sums]
    assert all(torch.equal(a[0], b[0]) for a, b in zip(kept, before, strict=True))


def test_other_shapes_are_refused_and_not_spread_over_the_old_ones() -> None:
    def add_one(given: list[torch.Tensor]) -> torch.Tensor:
        return given[0] + 1

    replayed = Graphs(TapeRecorder(), print).replayed(add_one)
    for _ in range(PLAIN_CALLS + 1):
        replayed([torch.ones(4)])
    with pytest.raises(ValueError, match=r"recorded step was given .*1.*; allowed: .*4"):
        replayed([torch.ones(1)])


def test_a_refusal_is_said_once_and_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    recorder = TapeRecorder(refuse=True)
    execution = _execution(recorder, said)
    state, losses = _trained(execution)
    assert said == [
        "CUDA graphs are not used, which is slower: "
        "operation not permitted when stream is capturing"
    ]
    assert not execution.records
    assert (recorder.runs, recorder.recordings) == (PLAIN_CALLS, 0)
    # What comes later is plain from the start.
    later, _ = _trained(execution)
    assert recorder.runs == PLAIN_CALLS
    assert _same(later, _trained(PLAIN)[0])
    assert len(said) == 1
    monkeypatch.setattr(module, "PLAIN_CALLS", 1000)
    expected, expected_losses = _trained(_execution(TapeRecorder()))
    assert losses == expected_losses
    assert _same(state, expected)


def test_a_step_that_looks_at_a_number_cannot_be_recorded() -> None:
    def square(given: list[torch.Tensor]) -> torch.Tensor:
        return given[0] * float(given[0])

    said: list[str] = []
    replayed = Graphs(TapeRecorder(), said.append).replayed(square)
    assert [float(replayed([torch.tensor(float(i))])) for i in range(6)] == [0, 1, 4, 9, 16, 25]
    assert len(said) == 1


def test_on_a_cpu_a_step_is_itself() -> None:
    assert make_graphs(torch.device("cpu"), print) is NO_GRAPHS
    step = partial(F.relu, inplace=False)
    assert PLAIN.replayed(step) is step
    assert not PLAIN.records


def test_a_gpu_that_refuses_from_the_start_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: torch.device) -> None:
        raise RuntimeError("no graphs here\nC++ stack")

    monkeypatch.setattr(module, "CudaRecorder", refuse)
    said: list[str] = []
    assert make_graphs(torch.device("cuda"), said.append) is NO_GRAPHS
    assert said == ["CUDA graphs are not used, which is slower: no graphs here"]


class _Stream:
    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    def wait_stream(self, other: "_Stream") -> None:
        self.log.append(f"{self.name} waits for {other.name}")


class _Graph:
    def __init__(self, log: list[str]) -> None:
        self.log = log

    def pool(self) -> str:
        return "its pool"

    def replay(self) -> None:
        self.log.append("replay")


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of CUDA, in order; streams are entered and left."""
    log: list[str] = []

    @contextmanager
    def entered(what: str) -> Iterator[None]:
        log.append(f"in {what}")
        yield
        log.append(f"out {what}")

    def capture(graph: _Graph, *, pool: object, stream: _Stream) -> Any:
        return entered(f"capture on {stream.name} of {pool or 'no pool'}")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: _Stream(log, "side"))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: _Stream(log, "current"))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: entered(stream.name))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: _Graph(log))
    monkeypatch.setattr(torch.cuda, "graph", capture)
    return log


def test_cuda_is_asked_for_streams_captures_and_replays_in_this_order(log: list[str]) -> None:
    def work() -> int:
        log.append("work")
        return 3

    def asked() -> str:
        text = ", ".join(log)
        log.clear()
        return text

    recorder = CudaRecorder(torch.device("cpu"))
    captured = "in current, in capture on side of {}, {}out capture on side of {}, out current"
    assert asked() == captured.format("no pool", "", "no pool")
    assert recorder.run(work) == 3
    assert asked() == "side waits for current, in side, work, out side, current waits for side"
    replay, found = recorder.record(work)
    assert found == 3
    assert asked() == captured.format("no pool", "work, ", "no pool")
    again, _ = recorder.record(work)
    assert asked() == captured.format("its pool", "work, ", "its pool")
    replay()
    assert asked() == "replay"
    # The pool lives as long as a recording in it; those that come later have one of their own.
    del replay, again
    recorder.record(work)
    assert asked() == captured.format("no pool", "work, ", "no pool")


def _small(capacity: int, words: str = "CUDNN_STATUS_ALLOC_FAILED") -> Any:
    """A loss that runs out of memory where more images than these are recorded at a time."""

    def loss(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        if len(batch[0]) > capacity and TapeRecorder.recording:
            raise RuntimeError(words)
        return (batch[0] * batch[1]).mean()

    return loss


def test_a_recording_that_memory_is_too_small_for_is_made_in_parts() -> None:
    said: list[str] = []
    recorder = TapeRecorder()
    weight = torch.ones(8, requires_grad=True)
    execution = Execution(
        graphs=Graphs(recorder, said.append), parts=Microbatches(said.append, lambda: False)
    )
    images = torch.arange(8.0)

    def step(given: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return execution.mean(_small(2), given)

    replayed = execution.replayed(step)
    found = [float(replayed((images + i, weight.detach()))) for i in range(6)]
    assert found == pytest.approx([3.5 + i for i in range(6)])
    assert recorder.recordings == 1
    assert execution.records
    assert [line.partition(";")[0].rpartition("into ")[2] for line in said] == [
        "2 parts where necessary",
        "4 parts where necessary",
    ]


def test_other_refusals_are_not_tried_in_parts() -> None:
    said: list[str] = []
    recorder = TapeRecorder()
    execution = Execution(graphs=Graphs(recorder, said.append), parts=Microbatches(said.append))
    step = partial(execution.mean, _small(2, "operation not permitted"))
    replayed = execution.replayed(step)
    for _ in range(5):
        replayed((torch.ones(8), torch.ones(8)))
    assert not execution.records
    assert said == ["CUDA graphs are not used, which is slower: operation not permitted"]


def test_recordings_are_given_back_before_batches_are_divided() -> None:
    said: list[str] = []
    recorder = TapeRecorder()
    graphs = Graphs(recorder, said.append)
    execution = Execution(graphs=graphs, parts=Microbatches(said.append, graphs.forget))

    def add_one(given: list[torch.Tensor]) -> torch.Tensor:
        return given[0] + 1

    first = execution.replayed(add_one)
    for _ in range(PLAIN_CALLS + 1):
        first([torch.ones(4)])
    tries = 0

    def loss(batch: tuple[torch.Tensor]) -> torch.Tensor:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise torch.OutOfMemoryError("no room beside the recording")
        return batch[0].mean()

    assert float(execution.mean(loss, (torch.ones(8),))) == 1
    assert (execution.parts.count, said, recorder.recordings) == (1, [], 1)
    # The first step is called again, then recorded again.
    for _ in range(PLAIN_CALLS + 1):
        first([torch.ones(4)])
    assert recorder.recordings == 2
