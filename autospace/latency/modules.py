"""Parts as torch modules with inputs, ready to be timed as they stand in a network."""

import math
from collections.abc import Sequence

import torch
from torch import nn

from autospace.latency.parts import Part
from autospace.latency.stopwatch import Work
from autospace.networks.network import Network
from autospace.networks.operations import ConvNorm, Gate, SqueezeExcite, build_operation, placed


class Classifier(nn.Module):
    """Global average and linear layer."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of features [N, C, H, W]."""
        logits: torch.Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


class Bench:
    """Builds what is timed on one device: inference, one batch, one number type."""

    def __init__(self, device: torch.device, dtype: torch.dtype, batch: int) -> None:
        self.device, self.dtype, self.batch = device, dtype, batch
        self._buffer = torch.empty(0, device=device, dtype=dtype)

    def part(self, part: Part) -> Work:
        """A forward pass of a part."""
        if part.name == "sum":
            x = self.images(part.inputs, part.resolution)
            other = x.clone(memory_format=torch.preserve_format)
            return lambda: x + other
        return self.module(build_part(part), part.inputs, part.resolution)

    def network(self, network: Network) -> Work:
        """A forward pass of a whole network."""
        skeleton = network.skeleton
        return self.module(network, skeleton.in_channels, skeleton.resolution)

    def module(self, module: nn.Module, channels: int, resolution: int) -> Work:
        """A forward pass of any module that takes images of this shape."""
        x = self.images(channels, resolution)
        ready = placed(module.eval().requires_grad_(False), self.device).to(self.dtype)
        return torch.no_grad()(lambda: ready(x))

    def images(self, channels: int, resolution: int) -> torch.Tensor:
        """A batch [N, C, H, W] in the memory format that networks work in.

        All batches lie in the same memory: in a network, too, a part reads what was just written.
        """
        shape = (self.batch, resolution, resolution, channels)
        size = math.prod(shape)
        if size > len(self._buffer):
            generator = torch.Generator().manual_seed(0)
            values = torch.randn(size, generator=generator)
            self._buffer = values.to(self.device, self.dtype)
        return self._buffer[:size].view(shape).permute(0, 3, 1, 2)


def build_part(part: Part) -> nn.Module:
    """The module of a part other than `sum`."""
    match part.name:
        case "stem":
            return ConvNorm(part.inputs, part.outputs, 3, stride=part.stride)
        case "expand" | "head":
            return ConvNorm(part.inputs, part.outputs)
        case "project":
            return ConvNorm(part.inputs, part.outputs, activate=False)
        case "classifier":
            return Classifier(part.inputs, part.outputs)
        case "gate":
            return Gate()
        case "se":
            return SqueezeExcite(part.inputs, part.outputs)
    return build_operation(part.name, part.inputs, part.stride)


def largest_first(parts: Sequence[Part]) -> list[Part]:
    """The parts, those with the largest inputs first, so that one buffer serves them all."""
    return sorted(parts, key=lambda part: -part.inputs * part.resolution**2)
