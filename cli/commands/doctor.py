"""`autospace doctor`: what is installed, what works, and what to install for the rest."""

import platform
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import typer

from autospace.cli.options import Address, ExecutorName, Format
from autospace.cli.output import FAILED, data, json_data, message

REQUIRED = ("torch", "numpy", "deap", "pydantic", "pillow", "safetensors", "typer", "rich")
OPTIONAL: Final = {
    "pi-heif": "HEIC images",
    "onnx": "train --onnx and export --to onnx",
    "onnxruntime": "train --onnx and export --to onnx",
    "onnxscript": "train --onnx and export --to onnx",
    "matplotlib": "autospace plot",
    "ray": "--executor ray",
    "tensorboard": "--log tensorboard",
    "wandb": "--log wandb",
    "mlflow-skinny": "--log mlflow",
}
"""Packages that only some options need, and those options."""
EXTRAS: Final = {
    "pi-heif": "heif",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "matplotlib": "plots",
    "ray": "cluster",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "mlflow-skinny": "mlflow",
}
"""The extra that a package belongs to."""
SAME: Final = {"mlflow-skinny": "mlflow"}
"""A larger package that serves as well."""


def doctor(
    format: Format = "table", executor: ExecutorName = None, address: Address = None
) -> None:
    """Show what is installed and which devices can be used.

    With --executor ray, a task runs on every node of the cluster, and the nodes have to agree in
    all that decides the bytes of results. The exit code is 1 if a required package is missing.
    """
    packages = {name: _version(name) for name in (*REQUIRED, *OPTIONAL)}
    advice = _advice(packages)
    missing = [name for name in REQUIRED if packages[name] is None]
    devices = _devices() if packages["torch"] else {}
    kernels = _kernels() if packages["torch"] else "PyTorch's"
    own = _version("autospace")
    found: dict[str, Any] = {
        "autospace": own,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "devices": devices,
        "kernels": kernels,
        "missing": missing,
        "optional": [
            {"package": name, "for": use, "version": packages[name], "extra": EXTRAS.get(name)}
            for name, use in OPTIONAL.items()
        ],
        "advice": advice,
    }
    nodes = (
        _nodes(executor, address)
        if packages["torch"] and (executor, address) != (None, None)
        else {}
    )
    if nodes:
        found["nodes"] = nodes
        shown = {
            name: ", ".join(f"{k} {v}" for k, v in each.items()) for name, each in nodes.items()
        }
        devices = devices | {f"node {name}": text for name, text in shown.items()}
    if format == "json":
        json_data(found)
    else:
        data(_text(own, packages, devices | {"kernels": kernels}, advice))
    if missing:
        raise typer.Exit(FAILED)


def _text(
    own: str | None,
    packages: dict[str, str | None],
    devices: dict[str, str],
    advice: list[str],
) -> str:
    lines = [
        f"autospace     {own}",
        f"python        {platform.python_version()} on {platform.system()} {platform.machine()}",
    ]
    for name, version in packages.items():
        purpose = OPTIONAL.get(name)
        state = version or (f"missing; needed for {purpose}" if purpose else "MISSING")
        lines.append(f"{name:<13} {state}")
    lines += [f"{name:<13} {described}" for name, described in devices.items()]
    return "\n".join([*lines, *(["", *advice] if advice else [])])


def _advice(packages: dict[str, str | None]) -> list[str]:
    """What to install for all that is missing, and why there is no GPU or kernel; a line each."""
    missing = [name for name, version in packages.items() if version is None]
    required = [name for name in missing if name in REQUIRED]
    lines = [f"needed: pip install {' '.join(required)}"] if required else []
    for extra in dict.fromkeys(EXTRAS[name] for name in missing if name in EXTRAS):
        (use, *_) = [OPTIONAL[name] for name in missing if EXTRAS.get(name) == extra]
        lines.append(f"for {use}: pip install 'autospace[{extra}]'")
    if packages.get("torch"):
        lines += [*_gpu_advice(), *_kernel_advice()]
    return lines


def _gpu_advice() -> list[str]:
    import torch

    if torch.cuda.is_available():
        return []
    if torch.version.cuda is None and getattr(torch.version, "hip", None) is None:
        where = "https://pytorch.org/get-started/locally names the one for a GPU"
        return ["no GPU: this PyTorch is made for the CPU;", where]
    return ["no GPU: PyTorch finds none that its driver can use; nvidia-smi shows the driver"]


def _kernel_advice() -> list[str]:
    from autospace.networks.fused import described, hindrance, turned_off

    lines = [problem] if (problem := hindrance()) else []
    if turned_off() or "PyTorch" not in described():
        return lines
    how = "pip install --force-reinstall --no-deps ."
    return [
        *lines,
        "no kernels of our own, so cells train slower on the CPU;",
        f"install a C compiler, then autospace: {how}",
    ]


def _version(name: str) -> str | None:
    from importlib import metadata

    for each in (name, *([SAME[name]] if name in SAME else [])):
        try:
            return metadata.version(each)
        except metadata.PackageNotFoundError:
            continue
    return None


def _nodes(executor: str | None, address: str | None) -> dict[str, dict[str, str]]:
    """What a task on each node of a cluster says of itself; nothing without a cluster."""
    from autospace.compute.cluster import open_cluster
    from autospace.compute.cluster_nodes import NO_GPU
    from autospace.compute.executor import Executor
    from autospace.networks.rounding import rounding

    if not Executor(None, executor, address).clustered:
        message(f"--executor {executor}: there are no nodes to test; --executor ray tests those")
        return {}
    with (
        tempfile.TemporaryDirectory() as folder,
        open_cluster(address, None, Path(folder) / "pool", rounding, message) as pool,
    ):
        gpus, found = pool.gpus, pool.roundings
        return {name: each | {"gpus": gpus.get(name, NO_GPU)} for name, each in found.items()}


def _kernels() -> str:
    from autospace.networks.fused import described

    return described()


def _devices() -> dict[str, str]:
    import torch

    devices = {"cpu": f"{torch.get_num_threads()} threads, {sys.byteorder}-endian"}
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = properties.total_memory // 2**30
        devices[f"cuda:{index}"] = f"{properties.name}, {memory} GiB"
    return devices
