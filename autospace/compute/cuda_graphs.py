"""Records steps once as CUDA graphs and replays them, behind a small interface.

A step over many small cells launches thousands of kernels, and a GPU runs them faster than the CPU
can launch them. A recorded step launches all of them at once. Such a step has to keep these rules:

- What differs from call to call is in the argument, whose tensors always have the same shapes, or
  in a tensor that is changed in place, as the learning rate is.
- What outlives a call is also changed in place, and was made in the first call or before.
- The result of a call is valid until the next call of any step.

The first call is not recorded: in it optimisers make their state and libraries choose kernels.
"""

import copy
import warnings
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar
from weakref import WeakSet

import torch

PLAIN_CALLS: Final = 1
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


def never() -> bool:
    """What a step that cannot be made smaller answers."""
    return False


class Graphs:
    """Records steps for as long as the device accepts it; without a recorder, never."""

    def __init__(self, recorder: Recorder | None, on_message: Callable[[str], None]) -> None:
        self._recorder, self._on_message = recorder, on_message
        self._steps: WeakSet[_Replayed[Any, Any]] = WeakSet()

    @property
    def recorder(self) -> Recorder | None:
        """The recorder; None where a device has refused to record."""
        return self._recorder

    def replayed(
        self, step: Callable[[Given], Found], shrink: Callable[[], bool] = never
    ) -> Callable[[Given], Found]:
        """The step, recorded where that is possible; equal calls do equal work.

        Args:
            step: keeps the rules above.
            shrink: called if memory is too small for a recording; makes the step need less of it
                and returns True, or returns False.
        """
        if self._recorder is None:
            return step
        made = _Replayed(step, self, shrink)
        self._steps.add(made)
        return made

    def forget(self) -> bool:
        """Gives back the memory of all recordings, which are made again later; False for none."""
        forgotten = [each.forget() for each in self._steps]
        return any(forgotten)

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

    def __init__(
        self, step: Callable[[Given], Found], graphs: Graphs, shrink: Callable[[], bool]
    ) -> None:
        self._step, self._graphs, self._shrink = step, graphs, shrink
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
        _fill(held, given)
        replay()
        return found

    def forget(self) -> bool:
        """Drops the recording; plain calls come before the next one. False if there was none."""
        had, self._recorded, self._plain_calls = self._recorded is not None, None, 0
        return had

    def _record(self, recorder: Recorder, given: Given) -> None:
        held = copy.deepcopy(given)
        while self._recorded is None and self._graphs.recorder is not None:
            try:
                self._recorded = (held, *recorder.record(partial(self._step, held)))
            except RuntimeError as error:
                refused = error
            else:
                return
            # Out of the handler: the error's traceback holds on to the tensors of the failed step.
            if not (is_out_of_memory(refused) and self._shrink()):
                self._graphs.give_up(refused)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of the GPU or CPU was too small, also for cuDNN and cuBLAS."""
    if isinstance(error, torch.OutOfMemoryError) or any(word in str(error) for word in _TOO_SMALL):
        return True
    # The end of a recording that broke off fails too; what broke it off comes before.
    return error.__context__ is not None and is_out_of_memory(error.__context__)


_TOO_SMALL: Final = (
    "can't allocate memory",
    "could not create a primitive",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


def _fill(held: Any, given: Any) -> None:
    """Copies all tensors to the places of their equals, each once, as one operation."""
    pairs: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for place, tensor in zip(_tensors(held), _tensors(given), strict=True):
        if place.shape != tensor.shape:
            raise ValueError(
                f"a recorded step was given a tensor {tensor.shape}; allowed: {place.shape}"
            )
        pairs[id(place)] = (place, tensor)
    if pairs:
        places, values = zip(*pairs.values(), strict=True)
        torch._foreach_copy_(places, values)


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested lists and tuples."""
    if isinstance(values, torch.Tensor):
        yield values
    else:
        for value in values:
            yield from _tensors(value)


class CudaRecorder:
    """Records on a stream of its own; recordings that live at one time share a pool of memory.

    They can, because none is replayed while another is. The pool is gone with the last of them.
    """

    def __init__(self, device: torch.device) -> None:
        """Records something trivial, which shows whether it can be done at all.

        Raises:
            RuntimeError: it cannot.
        """
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._last: Callable[[], torch.cuda.CUDAGraph | None] = lambda: None
        self._captured(partial(torch.zeros, 1, device=device))

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
        graph, living = torch.cuda.CUDAGraph(), self._last()
        pool = None if living is None else living.pool()
        # The outer context brings the stream back if the capture breaks off; the inner does not.
        with (
            torch.cuda.stream(torch.cuda.current_stream(self._device)),
            torch.cuda.graph(graph, pool=pool, stream=self._stream),
        ):
            found = step()
        self._last = weakref.ref(graph)
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
