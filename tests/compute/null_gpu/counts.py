"""Reads what the null GPU counted, in the process that has it."""

import ctypes
import os
import tempfile
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

COMPLAINTS = (b"REFUSED", b"OUTSIDE", b"IN CAPTURE")


@dataclass(frozen=True)
class Counts:
    """Since the last `reset`.

    Attributes:
        calls: of the CUDA runtime, by what they do.
        launched: kernels outside recordings, by name.
        replayed: kernels of replayed recordings, by name.
        memory: bytes in use now, by device.
    """

    calls: dict[str, int]
    launched: dict[str, int]
    replayed: dict[str, int]
    memory: dict[str, int]

    @property
    def waits(self) -> int:
        """How often the host waited for the device."""
        return sum(count for name, count in self.calls.items() if name.startswith("WAIT"))


class NullGpu:
    """The null GPU of this process.

    Attributes:
        complaints: what it refused or found wrong in recordings, with the line that asked for it.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ["AUTOSPACE_NULL_GPU"])
        self.complaints: Counter[str] = Counter()
        self._hook = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(self._hear)
        self._library.null_gpu_hook(self._hook)
        self.reset()

    def reset(self) -> None:
        """Counts from 0 again."""
        self.complaints.clear()
        self._library.null_gpu_reset()

    def counts(self) -> Counts:
        """What was counted since the last `reset`."""
        found: dict[str, dict[str, int]] = {kind: {} for kind in "CKRBM"}
        with tempfile.NamedTemporaryFile("r") as file:
            self._library.null_gpu_report(file.name.encode())
            for line in file:
                kind, number, name = line.rstrip("\n").split("\t", 2)
                found[kind][name] = int(number)
        return Counts(found["C"], found["K"], found["R"], found["M"])

    def _hear(self, what: bytes) -> None:
        if what.startswith(COMPLAINTS):
            own = [each for each in traceback.extract_stack() if "autospace" in each.filename]
            place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
            self.complaints[f"{what.decode()} @ {place}"] += 1
