"""The compiled kernels: found, loaded and described to ctypes, or absent.

They are built where a C compiler is found when autospace is installed. Without them, or with
AUTOSPACE_NATIVE=0 in the environment, PyTorch's own operations do the work.

How autograd functions call the kernels: layouts, addresses, threads.
"""

import ctypes
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch

from autospace.spaces.errors import shown

VARIABLE: Final = "AUTOSPACE_NATIVE"
VERSION: Final = 4
"""Version of the library's functions, as in kernels.c: an older library is not called."""
SETS: Final = {64: "avx512", 32: "avx2", 0: "base"}
"""The sets of kernels by what the library calls the width of their vectors."""
ALLOWED: Final = ("0", "1", *SETS.values())
"""The values of `VARIABLE` that have an effect; an empty one is as good as none."""
DTYPES: Final = {torch.float32: "float", torch.float64: "double"}
SMALL: Final = 1 << 17
"""Number of elements below which a second thread costs more time than it saves."""
_INTEGER, _POINTER, _REAL = ctypes.c_int64, ctypes.c_void_p, ctypes.c_double
_RANGE = (_INTEGER, _INTEGER)
_SIZES = (_INTEGER, _INTEGER)
_SIGNATURES: Final[dict[str, tuple[type, ...]]] = {
    "depthwise": (*_RANGE, *(_POINTER,) * 7),
    "depthwise_slopes": (*_RANGE, *(_POINTER,) * 9),
    "joined_moments": (_INTEGER, *_SIZES, *(_POINTER,) * 4, _REAL, _REAL, *(_POINTER,) * 3),
    "joined_slopes": (_INTEGER, *_SIZES, *(_POINTER,) * 6),
    "joined_weights": (_INTEGER, _INTEGER, *(_POINTER,) * 2),
    "moments": (*_RANGE, *_SIZES, *(_POINTER,) * 3),
    "node": (*_RANGE, *_SIZES, _INTEGER, _POINTER, _INTEGER, _POINTER, _INTEGER, _POINTER),
    "pointwise": (*_RANGE, *(_POINTER,) * 7),
    "pointwise_slopes": (*_RANGE, *(_POINTER,) * 2, _INTEGER, *(_POINTER,) * 7),
    "scaled": (*_RANGE, *_SIZES, *(_POINTER,) * 4),
    "slope_of_input": (*_RANGE, *_SIZES, _POINTER, _INTEGER, _POINTER),
    "slope_sums": (*_RANGE, *_SIZES, *(_POINTER,) * 3, _INTEGER, *(_POINTER,) * 2),
}
Kernel = Callable[..., int]


class Geometry(ctypes.Structure):
    """Shapes of a depthwise convolution, as the kernels read them."""

    _fields_ = [
        (name, _INTEGER)
        for name in (
            "images",
            "channels",
            "height",
            "width",
            "out_height",
            "out_width",
            "kernel",
            "stride",
            "dilation",
        )
    ]


class Dense(ctypes.Structure):
    """Shapes of a 1x1 convolution, and how many groups its images are in."""

    _fields_ = [(name, _INTEGER) for name in ("images", "pixels", "inputs", "outputs", "groups")]


def asked_for() -> bool:
    """Whether the environment lets the kernels be used."""
    return os.environ.get(VARIABLE, "1") != "0"


def ignored(value: str | None = None) -> str:
    """What is wrong with a value of `VARIABLE`, by default that of the environment; or nothing."""
    value = os.environ.get(VARIABLE, "") if value is None else value
    if not value or value in ALLOWED:
        return ""
    return f"{VARIABLE}: {shown(value)} has no effect; allowed: {', '.join(ALLOWED)}"


@cache
def _warn_of(value: str) -> None:
    """Says once that a value has no effect."""
    if problem := ignored(value):
        warnings.warn(problem, stacklevel=3)


def kernels(dtype: torch.dtype, instructions: str | None = None) -> dict[str, Kernel] | None:
    """The kernels for a number type by name, or None where there are none.

    Args:
        dtype: the type.
        instructions: a set of `SETS` that the processor runs; by default that of the environment,
            or else the one with the widest vectors.
    """
    library = _library()
    if isinstance(library, str) or dtype not in DTYPES:
        return None
    _warn_of(os.environ.get(VARIABLE, ""))
    return _set(library, dtype, instructions or _chosen(library))


def _chosen(library: ctypes.CDLL) -> str:
    """The set that the environment names, if the processor runs it, or the widest."""
    widest = library.widest()
    runs = {name for width, name in SETS.items() if width <= widest}
    asked = os.environ.get(VARIABLE)
    return asked if asked in runs else SETS[widest]


@cache
def _set(library: ctypes.CDLL, dtype: torch.dtype, instructions: str) -> dict[str, Kernel]:
    found: dict[str, Kernel] = {}
    for name, arguments in _SIGNATURES.items():
        function = library[f"{name}_{DTYPES[dtype]}_{instructions}"]
        function.argtypes = list(arguments)
        found[name] = function
    return found


def described() -> str:
    """Which kernels train cells on the CPU, and why no others."""
    if not asked_for():
        return f"PyTorch's: {VARIABLE}=0"
    library = _library()
    if isinstance(library, str):
        return f"PyTorch's: {library}"
    named = {"avx512": "compiled, AVX-512", "avx2": "compiled, AVX2"}
    return named.get(_chosen(library), "compiled")


@cache
def _library() -> ctypes.CDLL | str:
    """The library, or why there is none: equal words on all machines, which are compared."""
    # The plain suffix comes last in the list, and first here: setup.py gives it to the library. The
    # others carry the tag of a Python version; earlier installations in a checkout have left them.
    for suffix in reversed(EXTENSION_SUFFIXES):
        path = Path(__file__).with_name(f"_native{suffix}")
        if path.is_file():
            try:
                library = ctypes.CDLL(str(path))
            except OSError:
                return "those that were compiled are for another processor or system"
            if library.version() != VERSION:
                return "those that were compiled are of another version of autospace"
            return library
    return "none were compiled when autospace was installed"


def shared_out(kernel: Kernel, count: int, elements: int, *arguments: object) -> None:
    """Runs a kernel on the ranges of 0..count-1, in as many threads as PyTorch would.

    Raises:
        MemoryError: a thread found no room for its scratch.
    """
    threads = 1 if elements < SMALL else min(torch.get_num_threads(), count)
    if threads == 1:
        codes = [kernel(0, count, *arguments)]
    else:
        edges = [count * index // threads for index in range(threads + 1)]
        # Made before the work is handed over: an interrupt in between would lose one.
        futures: list[Future[int]] = [Future() for _ in range(threads)]
        try:
            for future, each in zip(futures, pairwise(edges), strict=True):
                _pool(threads).submit(_run, future, kernel, *each, *arguments)
            codes = [future.result() for future in futures]
        except BaseException:
            # The caller lets go of the tensors, and threads that still work would write there.
            _end(futures)
            raise
    if any(codes):
        raise MemoryError("no memory for the scratch of a kernel")


def _run(future: Future[int], kernel: Kernel, *arguments: object) -> None:
    """Runs a kernel in a thread, unless its future is cancelled."""
    if future.set_running_or_notify_cancel():
        try:
            # ctypes lets go of the interpreter while a kernel runs.
            future.set_result(kernel(*arguments))
        except BaseException as error:
            future.set_exception(error)


def _end(futures: Sequence[Future[int]]) -> None:
    """Cancels what has not begun and waits for the rest, however often that is interrupted."""
    while True:
        try:
            for future in futures:
                if not future.cancel():
                    future.exception()
            return
        except KeyboardInterrupt:
            continue


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="autospace")


def block_bytes(work: Kernel) -> int:
    """How many bytes of channels a kernel takes at a time: those of a vector of its set."""
    return 64 if getattr(work, "__name__", "").endswith("avx512") else 32


def laid_out(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor [N, C, H, W] as the kernels read it: channels last."""
    return tensor.contiguous(memory_format=torch.channels_last)


def kernel(tensor: torch.Tensor, name: str) -> Kernel:
    """The kernel for the tensor's type of numbers."""
    found = kernels(tensor.dtype)
    if found is None:
        raise RuntimeError(f"no kernels for {tensor.dtype}")
    return found[name]


def on_images(name: str, tensor: torch.Tensor, *arguments: object) -> None:
    """Runs a kernel on images [N, C, H, W], divided among threads; it gets H * W and C."""
    count, channels, height, width = tensor.shape
    work = kernel(tensor, name)
    shared_out(work, count, tensor.numel(), height * width, channels, *arguments)


def on_channels(name: str, tensor: torch.Tensor, *arguments: object) -> None:
    """Runs a kernel on blocks of channels, divided among threads."""
    work = kernel(tensor, name)
    blocks = -(-tensor.shape[1] * tensor.element_size() // block_bytes(work))
    shared_out(work, blocks, tensor.numel(), *arguments)


def on_groups(name: str, tensor: torch.Tensor, groups: int, *arguments: object) -> None:
    """Runs a kernel on groups of images, divided among threads."""
    shared_out(kernel(tensor, name), groups, tensor.numel(), *arguments)


def at(*tensors: torch.Tensor) -> tuple[int, ...]:
    """Addresses of tensors. The caller of a kernel keeps the tensors until it returns."""
    return tuple(tensor.data_ptr() for tensor in tensors)


def place(tensor: torch.Tensor | None) -> int | None:
    """Address of a tensor, if there is one."""
    return None if tensor is None else tensor.data_ptr()


def pointers(*tensors: torch.Tensor) -> ctypes.Array[ctypes.c_void_p]:
    """Addresses of tensors, as an array in memory."""
    return (ctypes.c_void_p * len(tensors))(*at(*tensors))


def image_sums(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums [N, C] over the pixels of every image: of a, and of a times b."""
    images, channels = a.shape[:2]
    sums, products = a.new_empty(2, images, channels)
    # The kernel of batch normalisation's gradients, with averages of 0.
    nothing = a.new_zeros(3, channels)
    on_images("slope_sums", a, *at(a, b, nothing), False, *at(sums, products))
    return sums, products


def scaled(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor | None = None) -> torch.Tensor:
    """The channels of x, multiplied by scale [N, C], plus shift [N, C] if given."""
    out = torch.empty_like(x)
    on_images("scaled", x, *at(x, scale), place(shift), out.data_ptr())
    return out
