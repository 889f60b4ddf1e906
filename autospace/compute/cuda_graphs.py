"""Records steps once as CUDA graphs and replays them, behind a small interface.

A step over many small cells launches thousands of kernels, and a GPU runs them faster than the CPU
can launch them. A recorded step launches all of them at once. Such a step has to keep these rules:

- What differs from call to call is in the argument, whose tensors always have the same shapes, or
  in a tensor that is changed in place, as the learning rate is.
- What outlives a call is also changed in place, and was made in one of the first calls or before.
- The result of a call is valid until the next call of any step.

The first calls are not recorded: in them optimisers make their state and libraries choose kernels.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

import torch

PLAIN_CALLS: Final = 3
"""Calls of a step that run as they are before it is recorded."""

Given = TypeVar("Given")
Found = TypeVar("Found")


class Recorder(Protocol):
    """Runs and records the work of a step on a device."""

    def run(self, step: Callable[[], Found]) -> Found:
        """Does the work on the stream on which it will be recorded later."""
        ...

    def record(self, step: Callable[[], Found]) -> tuple[Callable[[], None], Found]:
        """A function that repeats the work, and the result that every repetition overwrites.

        Raises:
            RuntimeError: something in the step cannot be recorded; nothing has been done.
        """
        ...


class Graphs:
    """Records steps for as long as the device accepts it; without a recorder, never."""

    def __init__(self, recorder: Recorder | None, on_message: Callable[[str], None]) -> None:
        self._recorder, self._on_message = recorder, on_message

    @property
    def recorder(self) -> Recorder | None:
        """The recorder; None where a device has refused to record."""
        return self._recorder

    def replayed(self, step: Callable[[Given], Found]) -> Callable[[Given], Found]:
        """The step, recorded where that is possible; equal calls do equal work."""
        return step if self._recorder is None else _Replayed(step, self)

    def give_up(self, reason: Exception) -> None:
        """Stops recording for good, and reports it once."""
        if self._recorder is not None:
            self._on_message(_refusal(reason))
        self._recorder = None


NO_GRAPHS: Final = Graphs(None, lambda _: None)


def _refusal(error: Exception) -> str:
    # The end of a recording that broke off fails too; what broke it off comes before.
    reason = str(error.__context__ or error).strip().partition("\n")[0][:160]
    return f"CUDA graphs are not used, which is slower: {reason or type(error).__name__}"


class _Replayed(Generic[Given, Found]):
    """One step: plain calls first, then a recording, of which every call is a replay."""

    def __init__(self, step: Callable[[Given], Found], graphs: Graphs) -> None:
        self._step, self._graphs = step, graphs
        self._plain_calls = 0
        self._recorded: tuple[Given, Callable[[], None], Found] | None = None

    def __call__(self, given: Given) -> Found:
        recorder = self._graphs.recorder
        if self._recorded is None and recorder is not None:
            if self._plain_calls < PLAIN_CALLS:
                self._plain_calls += 1
                return recorder.run(partial(self._step, given))
            self._record(recorder, given)
        if self._recorded is None:
            return self._step(given)
        held, replay, found = self._recorded
        for place, tensor in zip(_tensors(held), _tensors(given), strict=True):
            if place.shape != tensor.shape:
                raise ValueError(
                    f"a recorded step was given a tensor {tensor.shape}; allowed: {place.shape}"
                )
            place.copy_(tensor)
        replay()
        return found

    def _record(self, recorder: Recorder, given: Given) -> None:
        held = copy.deepcopy(given)
        try:
            self._recorded = (held, *recorder.record(partial(self._step, held)))
        except RuntimeError as error:
            self._graphs.give_up(error)


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested lists and tuples."""
    if isinstance(values, torch.Tensor):
        yield values
    else:
        for value in values:
            yield from _tensors(value)


class CudaRecorder:
    """Records on a stream of its own; all recordings share one pool of memory."""

    def __init__(self, device: torch.device) -> None:
        """Records something trivial, which shows whether it can be done at all.

        Raises:
            RuntimeError: it cannot.
        """
        self._device = device
        self._stream = torch.cuda.Stream(device)
        # Kept: a pool is gone with the last recording in it, and would not be shared in time.
        self._first: torch.cuda.CUDAGraph | None = None
        self._first, _ = self._captured(partial(torch.zeros, 1, device=device))

    def run(self, step: Callable[[], Found]) -> Found:
        """Does the work on the stream, between what came before and what comes after."""
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream), warnings.catch_warnings():
            # Adam would remark that it is not being recorded; it will be.
            warnings.filterwarnings("ignore", ".*capturable=True")
            found = step()
        current.wait_stream(self._stream)
        return found

    def record(self, step: Callable[[], Found]) -> tuple[Callable[[], None], Found]:
        """Captures the work as a CUDA graph."""
        graph, found = self._captured(step)
        return graph.replay, found

    def _captured(self, step: Callable[[], Found]) -> tuple[torch.cuda.CUDAGraph, Found]:
        graph = torch.cuda.CUDAGraph()
        pool = None if self._first is None else self._first.pool()
        # The outer context brings the stream back if the capture breaks off; the inner does not.
        with (
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            torch.cuda.graph(graph, pool=pool, stream=self._stream),
        ):
            found = step()
        return graph, found


def make_graphs(device: torch.device, on_message: Callable[[str], None]) -> Graphs:
    """Graphs for a device; if a GPU refuses them, `on_message` gets the reason, once."""
    if device.type != "cuda":
        return NO_GRAPHS
    try:
        return Graphs(CudaRecorder(device), on_message)
    except RuntimeError as error:
        on_message(_refusal(error))
        return NO_GRAPHS
