"""Chooses the devices that do the work, and their precision, threads and CUDA graphs."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

import torch

from autospace.compute.cuda_graphs import NO_GRAPHS, make_graphs
from autospace.compute.execution import CPU, Execution, ExecutionSettings, Microbatches
from autospace.compute.machine import available_memory, peak_memory, peak_memory_of_children
from autospace.compute.side_streams import make_lanes
from autospace.runs.errors import RunError
from autospace.runs.settings import Precision, check_device

LANES: Final = 4
"""Side streams of a GPU. Four reserve 1.7 times the memory of one; see `docs/evidence/gpu.md`."""


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one; from then on, its float32 has all bits of a float32.

    By default cuDNN multiplies float32 in TF32, which keeps 10 of 23 bits. Whoever accepts that
    error is better served by bfloat16.

    Raises:
        RunError: no such device, or a GPU that is not there.
    """
    _check(name, several=False)
    return resolve_devices(name)[0]


def _check(name: str, *, several: bool) -> None:
    try:
        check_device(name, several=several)
    except ValueError as error:
        raise RunError(f"device: {error}") from None


def resolve_devices(name: str) -> list[torch.device]:
    """The devices that a setting names; the first one does what is not shared out.

    `all` means every CUDA device of this machine, `cuda:0,1` those with these indices. All other
    names mean one device, as for `resolve_device`.

    Raises:
        RunError: no such devices, one of them twice, or a GPU that is not there.
    """
    _check(name, several=True)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return [torch.device(name)]
    found = torch.cuda.device_count()
    indices = [int(each) for each in name.partition(":")[2].split(",") if each]
    if name == "all":
        indices = list(range(found))
    if found <= max(indices, default=0):
        allowed = f"cpu, auto or indices from 0 to {found - 1}" if found else "cpu or auto"
        problem = f"this machine has {found} CUDA devices; allowed: {allowed}"
        raise RunError(f"device {name!r}: {problem}")
    if len(set(indices)) < len(indices):
        raise RunError(f"device {name!r}: the same device twice; allowed: each index once")
    torch.backends.cudnn.allow_tf32 = False
    return [torch.device("cuda", index) for index in indices] or [torch.device(name)]


def take_device(name: str) -> None:
    """Makes a device the current one of this process, which then computes nowhere else.

    Raises:
        RunError: there is no such device.
    """
    device = resolve_device(name)
    if device.index is not None:
        # Also so that memory of other devices is not touched: pinning memory would take some.
        torch.cuda.set_device(device)


def own_device(kind: str) -> torch.device:
    """The device of a kind that a worker computes on: the one that it has taken."""
    return torch.device(kind, torch.cuda.current_device()) if kind == "cuda" else CPU


def named(devices: Sequence[str | torch.device]) -> str:
    """Devices as the setting `device` names them: `cuda:0,1`."""
    first, *others = map(str, devices)
    return ",".join([first, *(name.partition(":")[2] for name in others)])


def described_use(devices: Sequence[str | torch.device], shared: str, alone: str) -> list[str]:
    """Which devices do what, in a line; none if there is one device, for there is no question.

    Args:
        devices: that were asked for.
        shared: what all of them do; empty if that is nothing.
        alone: what the first one does alone, or why it does everything; may be empty.
    """
    if len(devices) < 2:
        return []
    if not shared:
        return [f"devices: {alone}: only {devices[0]} of {named(devices)} is used"]
    rest = f"; {devices[0]} alone {alone}" if alone else ""
    return [f"devices: {named(devices)} {shared}{rest}"]


def automatic_precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """What `auto` means: bfloat16 on a GPU that computes in it, and float32 everywhere else."""
    return "bfloat16" if device.type == "cuda" and _computes_in_bfloat16(device) else "float32"


def resolve_precision(name: Precision, device: torch.device) -> torch.dtype:
    """The precision of a setting on a device."""
    chosen = automatic_precision(device) if name == "auto" else name
    return torch.bfloat16 if chosen == "bfloat16" else torch.float32


class Hardware(NamedTuple):
    """What all workers of a cluster compute on.

    Attributes:
        kind: `cpu` or `cuda`, of which each worker has one.
        precision: what `auto` means there.
        kernels: whose kernels train cells there.
    """

    kind: str
    precision: Literal["float32", "bfloat16"]
    kernels: str

    def settings(self, precision: Precision, cuda_graphs: bool) -> ExecutionSettings:
        """How the workers train, from the settings of a run."""
        chosen = self.precision if precision == "auto" else precision
        return ExecutionSettings(self.kind, chosen, cuda_graphs and self.kind == "cuda")


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
    return kept_share(torch.cuda.get_device_properties(device).total_memory, at_least)


def kept_share(memory: int, at_least: int) -> int:
    """How many bytes of a GPU's memory hold what is kept to save computing."""
    return max(at_least, memory // 10)


def available_bytes(kind: str) -> int:
    """Bytes that are available on the GPU of this process, or on its machine if that is a CPU."""
    if kind != "cuda":
        return available_memory()
    free: int = torch.cuda.mem_get_info(own_device(kind))[0]
    return free


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


SMALL_PRODUCT: Final = 2**20
"""MAdds of a matrix product up to which a second thread saves next to nothing."""


def threads_for(product: int) -> int:
    """The number of threads for a network that is a long row of matrix products of so many MAdds.

    Where others use the machine, each product waits until all of its threads run. A step of 32 x 35
    tokens with 12 nodes of width 64 took 0.14 s in one thread and 0.13 s in two on two cores with
    nothing else to do, but beside two other programs 0.23 s in one and 1.3 s in two.
    """
    return 1 if product <= SMALL_PRODUCT else torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Uses a number of threads within the block; sums of floats depend on that number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
