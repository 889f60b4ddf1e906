"""The compiled kernels: found, loaded and described to ctypes, or absent.

They are built where a C compiler is found when autospace is installed. Without them, or with
AUTOSPACE_NATIVE=0 in the environment, PyTorch's own operations do the work.
"""

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch

VARIABLE: Final = "AUTOSPACE_NATIVE"
VERSION: Final = 3
"""Of the library's functions, as kernels.c has it: an old library is not called."""
DTYPES: Final = {torch.float32: "float", torch.float64: "double"}
SMALL: Final = 1 << 17
"""Elements below which a second thread costs more than it spares."""

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


@cache
def kernels(dtype: torch.dtype, instructions: str = "best") -> dict[str, Kernel] | None:
    """The kernels for a number type by name, or None where there are none.

    `instructions` is "best" for what this processor has, or "base" for what every one has.
    """
    library = _library()
    if library is None or dtype not in DTYPES:
        return None
    suffix = "avx2" if instructions == "best" and library.has_avx2() else "base"
    found: dict[str, Kernel] = {}
    for name, arguments in _SIGNATURES.items():
        function = library[f"{name}_{DTYPES[dtype]}_{suffix}"]
        function.argtypes = list(arguments)
        found[name] = function
    return found


def described() -> str:
    """Which kernels train cells on the CPU, and why no others."""
    if not asked_for():
        return f"PyTorch's: {VARIABLE}=0"
    library = _library()
    if library is None:
        return "PyTorch's: none were compiled when autospace was installed"
    return "compiled, AVX2" if library.has_avx2() else "compiled"


@cache
def _library() -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"_native{suffix}")
        if path.is_file():
            try:
                library = ctypes.CDLL(str(path))
            except OSError:  # built for another processor or system
                return None
            return library if library.version() == VERSION else None
    return None


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
        # ctypes lets go of the interpreter while a kernel runs.
        pending = [_pool(threads).submit(kernel, *each, *arguments) for each in pairwise(edges)]
        codes = [each.result() for each in pending]
    if any(codes):
        raise MemoryError("no memory for the scratch of a kernel")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="autospace")
