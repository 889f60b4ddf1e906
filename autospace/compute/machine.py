"""The machine: its hardware, its memory and cores, and the versions of the software on it."""

import ctypes
import multiprocessing
import os
import platform
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from autospace.spaces.errors import shown

if TYPE_CHECKING:
    import torch

_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_AVAILABLE = re.compile(r"^MemAvailable:\s*(\d+) kB$", re.MULTILINE)
_CACHED = re.compile(r"^inactive_file (\d+)$", re.MULTILINE)
_CONTAINER = Path("/sys/fs/cgroup")
_UNKNOWN = 1 << 60
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 2**31 - 1
_BLOCKS = (1 << 28, 1 << 25)
"""Bytes up to which freed blocks are kept: older versions of glibc accept the second only."""


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory for the next tensors, for the rest of the process.

    Training a small cell, fetching pages from the system again and again takes a third of the
    time. Where there is no such setting, nothing happens.
    """
    if os.name != "posix":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and any(mallopt(_MMAP_THRESHOLD, size) for size in _BLOCKS):
        mallopt(_TRIM_THRESHOLD, _KEPT)


def return_freed_memory() -> None:
    """Gives the system what glibc has kept: the next phase needs tensors of other sizes.

    Kept blocks of the old sizes would lie between the new ones. Where there is no such function,
    nothing happens.
    """
    if os.name == "posix" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def peak_memory() -> int:
    """Peak memory of this process so far, in bytes; 0 where the system does not show it.

    Linux shows it in /proc. What getrusage says there begins with the peak of the parent process.
    """
    found = _number(Path("/proc/self/status"), _PEAK)
    if found is not None:
        return found * 2**10
    try:
        import resource
    except ImportError:  # Windows has no such module
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def peak_memory_of_children() -> int:
    """Peak memory of all running processes of `multiprocessing`; 0 where it is not shown."""
    paths = [Path(f"/proc/{child.pid}/status") for child in multiprocessing.active_children()]
    return sum(_number(path, _PEAK) or 0 for path in paths) * 2**10


def available_memory() -> int:
    """Bytes available without swapping, in this container; very many where it is not shown.

    Pages of files that were not read lately do not count as used, as in `MemAvailable`: the system
    gives them up for anything else.
    """
    of_machine = _number(Path("/proc/meminfo"), _AVAILABLE)
    found = [] if of_machine is None else [of_machine * 2**10]
    with suppress(OSError, ValueError):
        limit, used = (
            int((_CONTAINER / name).read_text("ascii")) for name in ("memory.max", "memory.current")
        )
        cached = _number(_CONTAINER / "memory.stat", _CACHED) or 0
        found.append(max(0, limit - max(0, used - cached)))
    return min(found, default=_UNKNOWN)


def _number(path: Path, line: re.Pattern[str]) -> int | None:
    """The number in a line of a file of the system, if there is one."""
    with suppress(OSError):
        found = line.search(path.read_text("ascii", "replace"))
        return int(found[1]) if found else None
    return None


def listed(shares: Mapping[str, int]) -> str:
    """The shares of the nodes, for people."""
    return ", ".join(f"{name}: {count:,}" for name, count in shares.items())


def printable(text: str) -> str:
    """The text, if it can be shown on one line.

    Raises:
        ValueError: it cannot.
    """
    if not text.isprintable():
        raise ValueError(f"{shown(text)}; allowed: printable characters")
    return text


_Text = Annotated[str, Field(max_length=256), AfterValidator(printable)]


class Machine(BaseModel):
    """The machine on which numbers were measured."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    system: Annotated[_Text, Field(description="operating system and architecture")]
    processor: Annotated[_Text, Field(description="model of the CPU")]
    cores: Annotated[int, Field(ge=1, description="CPU cores")]
    device: Annotated[_Text, Field(description="`cpu`, or the name of the GPU that did the work")]
    load: Annotated[
        float | None,
        Field(ge=0, allow_inf_nan=False, description="processes waiting for a core at the start"),
    ]


PACKAGES = ("autospace", "torch", "numpy", "deap")


def this_machine(device: "torch.device") -> Machine:
    """The machine and device that do the work, and the load of the machine."""
    name = "cpu"
    if device.type == "cuda":
        import torch

        name = torch.cuda.get_device_name(device)
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor()[:256],
        cores=os.cpu_count() or 1,
        device=name,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that affect speed and results."""
    return {"python": platform.python_version(), **{n: metadata.version(n) for n in PACKAGES}}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
