"""Which device does the work, and how."""

import re
from collections.abc import Callable

import torch

from autospace.compute.cuda_graphs import NO_GRAPHS, make_graphs
from autospace.compute.execution import Execution
from autospace.compute.memory import peak_memory, peak_memory_of_children
from autospace.compute.microbatches import Parts
from autospace.evolution.settings import DEVICES, Config, Precision
from autospace.runs.folder import RunError
from autospace.spaces.errors import shown


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU if there is one.

    Raises:
        RunError: no such device, or a GPU that is not there.
    """
    if not re.match(DEVICES, name):
        raise RunError(f"device {shown(name)}: unknown; allowed: auto, cpu or cuda[:n]")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise RunError(f"device {name!r}: this machine has {found} CUDA devices; use --device cpu")
    return device


def resolve_precision(name: Precision, device: torch.device) -> torch.dtype:
    """`auto` is bfloat16 on a GPU that computes in it, and float32 everywhere else."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" and _computes_in_bfloat16(device) else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def make_execution(config: Config, device: torch.device, say: Callable[[str], None]) -> Execution:
    """How a run's networks are trained on a device; `say` is told what is not to be had."""
    graphs = make_graphs(device, say) if config.cuda_graphs else NO_GRAPHS
    return Execution(device, resolve_precision(config.precision, device), graphs, Parts(say))


def memory_mb(device: torch.device) -> int:
    """Peak memory so far, in MB: of the GPU if it does the work, else of all processes."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device) // 2**20)
    return (peak_memory() + peak_memory_of_children()) // 2**20


def _computes_in_bfloat16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
