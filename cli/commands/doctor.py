"""`autospace doctor`: what is installed, and what this machine can do."""

import platform
import sys
from importlib import metadata

import typer

from autospace.cli.output import FAILED, Format, data, json_data

REQUIRED = ("torch", "numpy", "deap", "pydantic", "pillow", "safetensors", "typer", "rich")
OPTIONAL = {"scikit-learn": "--data digits", "matplotlib": "plots of the benchmarks"}


def doctor(format: Format = "table") -> None:
    """Say what is installed and which devices can be used.

    Exit code 1 if something that every command needs is missing.
    """
    packages = {name: _version(name) for name in (*REQUIRED, *OPTIONAL)}
    missing = [name for name in REQUIRED if packages[name] is None]
    devices = _devices() if packages["torch"] else {}
    kernels = _kernels() if packages["torch"] else "PyTorch's"
    own = _version("autospace")
    found = {
        "autospace": own,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "devices": devices,
        "kernels": kernels,
        "missing": missing,
    }
    if format == "json":
        json_data(found)
    else:
        data(_text(own, packages, devices | {"kernels": kernels}))
    if missing:
        raise typer.Exit(FAILED)


def _text(own: str | None, packages: dict[str, str | None], devices: dict[str, str]) -> str:
    lines = [
        f"autospace     {own}",
        f"python        {platform.python_version()} on {platform.system()} {platform.machine()}",
    ]
    for name, version in packages.items():
        purpose = OPTIONAL.get(name)
        state = version or (f"missing; needed for {purpose}" if purpose else "MISSING")
        lines.append(f"{name:<13} {state}")
    lines += [f"{name:<13} {described}" for name, described in devices.items()]
    return "\n".join(lines)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _kernels() -> str:
    from autospace.networks.kernels import described

    return described()


def _devices() -> dict[str, str]:
    import torch

    devices = {"cpu": f"{torch.get_num_threads()} threads, {sys.byteorder}-endian"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory // 2**30
        devices[f"cuda:{index}"] = f"{properties.name}, {memory} GiB"
    return devices
