"""Both ways to train, and what they give."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from autospace.networks.kernels import native

needs_kernels = pytest.mark.skipif(
    native.kernels(torch.float32) is None, reason="autospace was installed without a C compiler"
)


@contextmanager
def plainly() -> Iterator[None]:
    """As long as it lasts, PyTorch's operations do the work."""
    before = os.environ.get(native.VARIABLE)
    os.environ[native.VARIABLE] = "0"
    try:
        yield
    finally:
        del os.environ[native.VARIABLE]
        if before is not None:
            os.environ[native.VARIABLE] = before


@dataclass
class Outcome:
    """Output, gradients by name, and the module's buffers afterwards."""

    output: torch.Tensor
    gradients: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        gradients = {f"gradient of {name}": value for name, value in self.gradients.items()}
        return {"output": self.output, **gradients, **self.buffers}

    def assert_close(self, other: "Outcome", tolerance: float) -> None:
        assert self.tensors.keys() == other.tensors.keys()
        for name, value in self.tensors.items():
            wanted = other.tensors[name]
            bound = tolerance * max(1.0, float(wanted.abs().max()))
            assert float((value - wanted).abs().max()) <= bound, name

    def assert_equal(self, other: "Outcome") -> None:
        for name, value in self.tensors.items():
            assert torch.equal(value, other.tensors[name]), name

    def errors(self, exact: "Outcome") -> dict[str, float]:
        """Greatest distance of each tensor, relative to the greatest value.

        Of all gradients' values: one that is zero but for rounding, as that of a weight before
        batch normalisation may be, is as exact as the others that it is computed from.
        """
        greatest = max(float(value.abs().max()) for value in exact.gradients.values())
        return {
            name: float((value.double() - exact.tensors[name]).abs().max())
            / max(1.0, greatest, float(exact.tensors[name].abs().max()))
            for name, value in self.tensors.items()
        }


def outcome(module: nn.Module, x: torch.Tensor) -> Outcome:
    """One forward and backward pass; x is left as it is."""
    x = x.detach().clone().requires_grad_(x.requires_grad)
    output = module(x)
    generator = torch.Generator().manual_seed(2)
    weigh = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output.dtype)
    (output * weigh).sum().backward()
    gradients = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    if x.grad is not None:
        gradients["the input"] = x.grad
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    return Outcome(output.detach(), {n: g.clone() for n, g in gradients.items()}, buffers)
