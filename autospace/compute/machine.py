"""The machine and the versions behind a measurement, without its name or its user's."""

import os
import platform
from importlib import metadata
from pathlib import Path

import torch

from autospace.bench.document import Machine

PACKAGES = ("autospace", "torch", "numpy", "deap")


def this_machine(device: torch.device) -> Machine:
    """What does the work, and what else it is busy with."""
    name = "cpu"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        processor=_processor()[:256],
        cores=os.cpu_count() or 1,
        device=name,
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def versions() -> dict[str, str]:
    """Python and the packages that decide how fast and how right the work is."""
    return {"python": platform.python_version(), **{n: metadata.version(n) for n in PACKAGES}}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
