"""Makes `torch.cuda` of a CPU build answer for the host device; imported before torch is.

What is imitated: devices that can be current, streams and events (which remember their device),
recordings as tapes that are played on the same memory, and a limit on memory that tests may set.
"""

import contextlib
import ctypes
import os
import time
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

LIBRARY = ctypes.CDLL(os.environ["AUTOSPACE_HOST_DEVICE"], mode=ctypes.RTLD_GLOBAL)
for _name in ("launches", "waits"):
    getattr(LIBRARY, f"host_device_{_name}").restype = ctypes.c_long

import torch  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch.utils._pytree import tree_leaves  # noqa: E402

TOTAL_MEMORY = 80 << 30
_capturing: list["Graph"] = []


def waits() -> int:
    """How often the host has had to wait for the device so far."""
    return int(LIBRARY.host_device_waits())


def launches() -> int:
    """How many operations the device has done so far."""
    return int(LIBRARY.host_device_launches())


def _current() -> int:
    return int(LIBRARY.host_device_current())


def _index(device: Any) -> int:
    found = torch.device(device or "cuda").index if not isinstance(device, int) else device
    return _current() if found is None else found


@contextlib.contextmanager
def _device(device: Any) -> Iterator[None]:
    before = _current()
    LIBRARY.host_device_use(_index(device))
    try:
        yield
    finally:
        LIBRARY.host_device_use(before)


class Stream:
    """A stream in name only: everything is done at once."""

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device = torch.device("cuda", _index(device))

    def wait_stream(self, other: "Stream") -> None: ...

    def wait_event(self, event: "Event") -> None: ...

    def synchronize(self) -> None: ...


_entered: list[Stream] = []


@contextlib.contextmanager
def _stream(stream: Stream) -> Iterator[None]:
    _entered.append(stream)
    try:
        with _device(stream.device):
            yield
    finally:
        _entered.pop()


def _current_stream(device: Any = None) -> Stream:
    return _entered[-1] if _entered else Stream(device)


class Event:
    """A point in time on the device that was current when it was recorded."""

    def __init__(self, enable_timing: bool = False, **_: Any) -> None:
        self.device: torch.device | None = None
        self._at = 0.0

    def record(self, stream: Stream | None = None) -> None:
        self.device = torch.device("cuda", _current()) if stream is None else stream.device
        self._at = time.perf_counter()

    def elapsed_time(self, other: "Event") -> float:
        return 1e3 * (other._at - self._at)

    def synchronize(self) -> None: ...

    def query(self) -> bool:
        return True


def _tensors(values: Any) -> list[torch.Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, torch.Tensor)]


class _Tape(TorchDispatchMode):
    """Undoes the work that is recorded, and repeats its operations on the same memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []
        self.before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in _tensors((args, kwargs)):
            place = tensor.untyped_storage().data_ptr()
            if place and place not in self._made and place not in self.before:
                LIBRARY.host_device_recording(0)
                self.before[place] = (tensor, tensor.detach().clone())
                LIBRARY.host_device_recording(1)
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


class Graph:
    """A recorded step."""

    tape: _Tape

    def pool(self) -> tuple[int, int]:
        return (1, id(self))

    def replay(self) -> None:
        self.tape.replay()


@contextlib.contextmanager
def _graph(
    graph: Graph, pool: Any = None, stream: Stream | None = None, **_: Any
) -> Iterator[None]:
    graph.tape = _Tape()
    _capturing.append(graph)
    LIBRARY.host_device_recording(1)
    try:
        with _stream(stream or Stream()), graph.tape:
            yield
    finally:
        LIBRARY.host_device_recording(0)
        _capturing.pop()
        graph.tape.undo()


def _set_sync_debug_mode(mode: str) -> None:
    warnings.warn("Synchronization debug mode is a prototype feature", stacklevel=2)
    LIBRARY.host_device_waiting_is_an_error(int(mode == "error"))


def _deepcopied(tensor: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor:
    # That of PyTorch takes the storage apart, which it cannot do here.
    if tensor.device.type != "cuda":
        return _plain_deepcopy(tensor, memo)
    if id(tensor) not in memo:
        copied = tensor.detach().clone(memory_format=torch.preserve_format)
        memo[id(tensor)] = copied.requires_grad_(tensor.requires_grad)
    found: torch.Tensor = memo[id(tensor)]
    return found


_plain_deepcopy: Callable[[torch.Tensor, dict[int, Any]], torch.Tensor]
_plain_deepcopy = torch.Tensor.__deepcopy__


def _answering(value: Any) -> Callable[..., Any]:
    # Each a function of its own: torch._dynamo keeps rules by object.
    return lambda *_, **__: value


def install() -> None:
    """Replaces what `torch.cuda` would ask a driver for."""
    properties = types.SimpleNamespace(
        name="host device",
        total_memory=TOTAL_MEMORY,
        major=9,
        minor=0,
        multi_processor_count=132,
    )
    answers = {
        "is_available": True,
        "is_initialized": True,
        "device_count": 2,
        "_lazy_init": None,
        "init": None,
        "synchronize": None,
        "empty_cache": None,
        "manual_seed_all": None,
        "_is_in_bad_fork": False,
        "is_bf16_supported": True,
        "get_device_name": properties.name,
        "get_device_properties": properties,
        "memory_allocated": 0,
        "memory_reserved": 0,
        "max_memory_allocated": 0,
        "max_memory_reserved": 0,
        "mem_get_info": (TOTAL_MEMORY, TOTAL_MEMORY),
        "reset_peak_memory_stats": None,
    }
    functions = {
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": Graph,
        "graph": _graph,
        "stream": _stream,
        "device": _device,
        "current_device": _current,
        "set_device": lambda device: LIBRARY.host_device_use(_index(device)),
        "current_stream": _current_stream,
        "default_stream": Stream,
        "is_current_stream_capturing": lambda: bool(_capturing),
        "set_sync_debug_mode": _set_sync_debug_mode,
    }
    for name, value in answers.items():
        setattr(torch.cuda, name, _answering(value))
    for name, function in functions.items():
        setattr(torch.cuda, name, function)
    torch.Tensor.__deepcopy__ = _deepcopied  # type: ignore[method-assign]
