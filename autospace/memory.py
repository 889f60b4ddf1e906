"""How much memory this process has taken at its peak."""

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)


def peak_memory() -> int:
    """Bytes that this process has held at most so far.

    On Linux not what getrusage says: that begins with the peak of whoever started the process.
    """
    with suppress(OSError):
        found = _PEAK.search(Path("/proc/self/status").read_text("ascii", "replace"))
        if found:
            return int(found[1]) * 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 2**10
