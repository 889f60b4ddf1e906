"""Compiles the null GPU, once for a source and a build of torch."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.compute.host_device.build import cached, torch_folder

SOURCE = Path(__file__).with_name("gpu.cpp")
NAME = "libcuda.so.1"


def missing() -> str:
    """Why the null GPU cannot be built here; empty if it can."""
    if shutil.which("c++") is None:
        return "needs a C++ compiler (c++)"
    if not (torch_folder() / "lib" / "libtorch_cuda.so").exists():
        return "needs a CUDA build of torch"
    return "" if _headers() else "needs the headers of CUDA"


def library() -> Path:
    """The compiled library; see `tests.compute.host_device.build.cached`."""
    return cached(SOURCE, NAME, _command)


def _command(made: Path) -> list[str]:
    return [
        *("c++", "-O1", "-shared", "-fPIC", "-std=c++17", "-w", str(SOURCE), "-o", str(made)),
        *(f"-I{_headers()}", f"-Wl,-soname,{NAME}", "-ldl"),
    ]


def _headers() -> Path | None:
    places = [
        *torch_folder().parent.glob("nvidia/cu1*/include"),
        Path("/usr/local/cuda/include"),
        *Path("/usr/local").glob("cuda-1*/include"),
    ]
    return next((each for each in places if (each / "crt" / "host_defines.h").is_file()), None)


def environment(devices: int = 1) -> dict[str, str]:
    """Variables of a process that finds the null GPU when it looks for CUDA."""
    found = str(library())
    return {
        **os.environ,
        "LD_PRELOAD": found,
        "AUTOSPACE_NULL_GPU": found,
        "AUTOSPACE_TRITON": "0",  # It asks the driver of a GPU.
        "AUTOSPACE_NULL_GPU_DEVICES": str(devices),
    }


def starts() -> str:
    """Why torch cannot use the null GPU; empty if it can."""
    look = "import torch; assert (torch.ones(2, device='cuda') + 1).shape == (2,)"
    words = [sys.executable, "-c", look]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    return done.stderr.strip().rpartition("\n")[2][:200] if done.returncode else ""
