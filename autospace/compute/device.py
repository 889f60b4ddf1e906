"""Chooses the device that does the work, and its precision, threads and CUDA graphs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal

import torch

from autospace.compute.cuda_graphs import NO_GRAPHS, make_graphs
from autospace.compute.execution import Execution, Microbatches
from autospace.compute.machine import peak_memory, peak_memory_of_children
from autospace.compute.side_streams import make_lanes
from autospace.runs.errors import RunError
from autospace.runs.settings import Precision, check_device

LANES: Final = 4
"""Side streams of a GPU. Four reserve 1.7 times the memory of one; see `docs/evidence`."""


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one; from then on, its float32 has all bits of a float32.

    By default cuDNN multiplies float32 in TF32, which keeps 10 of 23 bits. Whoever accepts that
    error is better served by bfloat16.

    Raises:
        RunError: no such device, or a GPU that is not there.
    """
    try:
        check_device(name)
    except ValueError as error:
        raise RunError(f"device: {error}") from None
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise RunError(
            f"device {name!r}: this machine has {found} CUDA devices; allowed: cpu or auto"
        )
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return device


def resolve_precision(name: Precision, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU that computes in it, and float32 everywhere else."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" and _computes_in_bfloat16(device) else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def make_execution(
    precision: Precision, cuda_graphs: bool, device: torch.device, on_message: Callable[[str], None]
) -> Execution:
    """How networks are trained on a device; `on_message` is called with what it refuses."""
    graphs = make_graphs(device, on_message) if cuda_graphs else NO_GRAPHS
    parts = Microbatches(on_message, graphs.forget)
    lanes = make_lanes(device, LANES)
    return Execution(device, resolve_precision(precision, device), graphs, parts, lanes)


def memory_mb(device: torch.device) -> int:
    """Peak memory so far, in MB: of the GPU if it does the work, otherwise of all processes.

    On a GPU it is what this process keeps from others, with what recordings and caches hold.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_reserved(device) // 2**20)
    return (peak_memory() + peak_memory_of_children()) // 2**20


def kept_bytes(device: torch.device, at_least: int) -> int:
    """Memory for what is kept to save computing: on a GPU up to a tenth of all that it has."""
    if device.type != "cuda":
        return at_least
    total: int = torch.cuda.get_device_properties(device).total_memory
    return max(at_least, total // 10)


def _computes_in_bfloat16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


SMALL_IMAGES: Final = 16
"""Side of images in pixels up to which a second thread costs more time than it saves (measured)."""


def thread_count(setting: int | Literal["auto"], resolution: int) -> int:
    """The number of threads that the setting `threads` means for images of this side in pixels."""
    if setting != "auto":
        return setting
    return 1 if resolution <= SMALL_IMAGES else torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Uses a number of threads within the block; sums of floats depend on that number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
