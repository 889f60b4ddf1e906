"""A recorder for the CPU that keeps to what a CUDA graph does.

Recording runs the Python of a step once and has no effect; replaying runs no Python of it, but the
same operations on the same memory. So a number that Python computed stays as it was, a tensor that
Python put in another's place is not seen, and what a replay finds lies where the recording said.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import BaseTorchDispatchMode, TorchDispatchMode
from torch.utils._pytree import tree_leaves

Found = TypeVar("Found")


def _tensors(values: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, torch.Tensor)]


class _Tape(TorchDispatchMode):
    """Writes down every operation, and how the tensors were that it met from outside."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []
        self.before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        for tensor in _tensors((args, kwargs)):
            place = tensor.untyped_storage().data_ptr()
            if place not in self._made:
                self.before.setdefault(place, (tensor, tensor.detach().clone()))
        found = func(*args, **kwargs)
        self._made |= {each.untyped_storage().data_ptr() for each in _tensors(found)}
        self._made -= self.before.keys()
        self.operations.append((func, args, kwargs, _tensors(found)))
        return found

    def undo(self) -> None:
        for tensor, value in self.before.values():
            tensor.detach().copy_(value)

    @torch.no_grad()
    def replay(self) -> None:
        for func, args, kwargs, places in self.operations:
            for place, value in zip(places, _tensors(func(*args, **kwargs)), strict=True):
                if place.untyped_storage().data_ptr() != value.untyped_storage().data_ptr():
                    place.copy_(value)


class TapeRecorder:
    """Counts what it is asked for; `refuse` makes the next recording break off half way.

    Attributes:
        recording: whether one of them is recording.
    """

    recording = False

    def __init__(self, *, refuse: bool = False) -> None:
        self.runs, self.recordings, self.replays = 0, 0, 0
        self.refuse = refuse

    def run(self, step: Callable[[], Found]) -> Found:
        self.runs += 1
        # Watched like a recording: kernels of our own step back for PyTorch's in both.
        with BaseTorchDispatchMode():
            return step()

    def record(self, step: Callable[[], Found]) -> tuple[Callable[[], None], Found]:
        tape = _Tape()
        TapeRecorder.recording = True
        try:
            with tape:
                found = step()
        finally:
            TapeRecorder.recording = False
            tape.undo()
        if self.refuse:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        self.recordings += 1

        def replay() -> None:
            self.replays += 1
            tape.replay()

        return replay, found
