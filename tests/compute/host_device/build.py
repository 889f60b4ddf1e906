"""Compiles the host device, once for a source and a build of torch."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

SOURCE = Path(__file__).with_name("device.cpp")


def missing() -> str:
    """Why the host device cannot be built here; empty if it can."""
    if shutil.which("c++") is None:
        return "needs a C++ compiler (c++)"
    if (torch_folder() / "lib" / "libtorch_cuda.so").exists():
        return "needs a CPU build of torch"
    if not (torch_folder() / "lib" / "libtorch_cpu.so").exists():
        return "needs torch for Linux"
    return ""


def library() -> Path:
    """The compiled library; see `cached`."""
    return cached(SOURCE, "host-device.so", _command)


def cached(source: Path, name: str, command: Callable[[Path], list[str]]) -> Path:
    """A compiled library, from the cache folder of this user if it is there.

    Args:
        source: compiled again if its bytes or the build of torch are others.
        name: of the library, which programs may look for.
        command: compiles the source into a file.

    Raises:
        RuntimeError: it cannot be compiled; the message is the compiler's.
    """
    key = hashlib.sha256(source.read_bytes() + _version().encode()).hexdigest()[:16]
    found = _cache() / key / name
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=found.parent) as folder:
            made = Path(folder) / found.name
            done = subprocess.run(command(made), capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr[-3000:])
            made.replace(found)
    return found


def _command(made: Path) -> list[str]:
    include, lib = torch_folder() / "include", torch_folder() / "lib"
    return [
        *("c++", "-O1", "-shared", "-fPIC", "-std=c++20", str(SOURCE), "-o", str(made)),
        *(f"-I{include}", f"-I{include}/torch/csrc/api/include"),
        *(f"-L{lib}", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{lib}"),
    ]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autospace-tests"


def torch_folder() -> Path:
    # Without importing it, so that a test that is skipped costs nothing.
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise RuntimeError("torch is not installed")
    return Path(spec.origin).parent


def _version() -> str:
    return (torch_folder() / "version.py").read_text("utf-8") + str(torch_folder())
