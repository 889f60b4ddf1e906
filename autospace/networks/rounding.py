"""What decides the last digits of a result: software, kernels and processor.

Two processes that agree in all of this give equal bytes. Vector instructions are part of it: the
same library rounds sums differently with AVX2 than with AVX-512.
"""

import hashlib
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Final

import torch
from torch.nn import functional as F

from autospace.compute.device import automatic_precision, own_device
from autospace.networks.fused import described, described_on

_CPU: Final = ("vendor_id", "cpu family", "model", "stepping")


def rounding(kind: str = "cpu") -> dict[str, str]:
    """All that decides the last digits of what this process computes on its CPU, or on its GPU.

    Args:
        kind: `cpu` or `cuda`. GPUs of one kind give numbers that are equal up to rounding only, and
            `precision` is what `auto` means on them.
    """
    return {
        **{name: metadata.version(name) for name in ("autospace", "torch")},
        "python": ".".join(platform.python_version_tuple()[:2]),
        "kernels": described(),
        "vectors": torch.backends.cpu.get_cpu_capability(),
        "processor": _processor(),
        "sums": _sums(),
        **({} if kind == "cpu" else _of_gpu(own_device(kind))),
    }


def _of_gpu(device: torch.device) -> dict[str, str]:
    return {
        "gpu": torch.cuda.get_device_name(device),
        "gpu kernels": described_on(device),
        "precision": automatic_precision(device),
    }


def _sums() -> str:
    """A digest of sums that are rounded: unreported settings of libraries show here."""
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator).sub(0.5).requires_grad_()

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        x, stem, wide, flat = (
            numbers(8, 3, 33, 33), numbers(40, 3, 3, 3), numbers(120, 40, 1, 1), numbers(120, 37)
        )  # fmt: skip
        hidden = F.conv2d(F.relu6(F.conv2d(x, stem, padding=1)), wide)
        logits = F.batch_norm(hidden, None, None, training=True).sigmoid().mean((2, 3)) @ flat
        found = F.cross_entropy(logits, torch.arange(8))
        gradients = torch.autograd.grad(found, (x, stem, wide, flat))
    finally:
        torch.set_num_threads(before)
    digest = hashlib.sha256()
    for each in (found, *gradients):
        digest.update(each.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", "replace")
    except OSError:
        return platform.processor() or platform.machine()
    lines = (re.search(rf"^{name}\s*: *(.*)$", text, re.MULTILINE) for name in _CPU)
    found = "/".join(line[1] for line in lines if line)
    return found or platform.machine()
