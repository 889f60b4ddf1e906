"""Compiles the host device, once for a source and a build of torch."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("device.cpp")


def missing() -> str:
    """Why the host device cannot be built here; empty if it can."""
    if shutil.which("c++") is None:
        return "needs a C++ compiler (c++)"
    if (_torch() / "lib" / "libtorch_cuda.so").exists():
        return "needs a CPU build of torch"
    if not (_torch() / "lib" / "libtorch_cpu.so").exists():
        return "needs torch for Linux"
    return ""


def library() -> Path:
    """The compiled library, from the cache folder of this user if it is there.

    Raises:
        RuntimeError: it cannot be compiled; the message is the compiler's.
    """
    key = hashlib.sha256(SOURCE.read_bytes() + _version().encode()).hexdigest()[:16]
    found = _cache() / f"host-device-{key}.so"
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=found.parent) as folder:
            made = Path(folder) / found.name
            done = subprocess.run(_command(made), capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(done.stderr[-3000:])
            made.replace(found)
    return found


def _command(made: Path) -> list[str]:
    include, lib = _torch() / "include", _torch() / "lib"
    return [
        *("c++", "-O1", "-shared", "-fPIC", "-std=c++20", str(SOURCE), "-o", str(made)),
        *(f"-I{include}", f"-I{include}/torch/csrc/api/include"),
        *(f"-L{lib}", "-ltorch_cpu", "-lc10", f"-Wl,-rpath,{lib}"),
    ]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autospace-tests"


def _torch() -> Path:
    # Without importing it, so that a test that is skipped costs nothing.
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise RuntimeError("torch is not installed")
    return Path(spec.origin).parent


def _version() -> str:
    return (_torch() / "version.py").read_text("utf-8") + str(_torch())
