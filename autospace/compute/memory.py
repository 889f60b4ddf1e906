"""How much memory a process has taken at its peak, how much there is to take, and keeping it."""

import ctypes
import multiprocessing
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_AVAILABLE = re.compile(r"^MemAvailable:\s*(\d+) kB$", re.MULTILINE)
_CONTAINER = Path("/sys/fs/cgroup")
_UNKNOWN = 1 << 60
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT = 2**31 - 1
_BLOCKS = (1 << 28, 1 << 25)
"""Bytes up to which freed blocks are kept: older versions of glibc accept the second only."""


def keep_freed_memory() -> None:
    """Tells glibc to keep what is freed for the next tensors, for the rest of the process.

    Training a small cell, fetching pages from the system again and again takes a third of the
    time. Where there is no such setting, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and any(mallopt(_MMAP_THRESHOLD, size) for size in _BLOCKS):
        mallopt(_TRIM_THRESHOLD, _KEPT)


def peak_memory() -> int:
    """Bytes that this process has held at most so far.

    On Linux not what getrusage says: that begins with the peak of whoever started the process.
    """
    found = _kilobytes(Path("/proc/self/status"), _PEAK)
    if found is not None:
        return found * 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10


def peak_memory_of_children() -> int:
    """The same of all processes that `multiprocessing` has running; 0 where that is not told."""
    paths = [Path(f"/proc/{child.pid}/status") for child in multiprocessing.active_children()]
    return sum(_kilobytes(path, _PEAK) or 0 for path in paths) * 2**10


def available_memory() -> int:
    """Bytes that can be taken without swapping, in this container; very many where not told."""
    of_machine = _kilobytes(Path("/proc/meminfo"), _AVAILABLE)
    found = [] if of_machine is None else [of_machine * 2**10]
    with suppress(OSError, ValueError):
        limit, used = (
            int((_CONTAINER / name).read_text("ascii")) for name in ("memory.max", "memory.current")
        )
        found.append(max(0, limit - used))
    return min(found, default=_UNKNOWN)


def _kilobytes(path: Path, line: re.Pattern[str]) -> int | None:
    with suppress(OSError):
        found = line.search(path.read_text("ascii", "replace"))
        return int(found[1]) if found else None
    return None
