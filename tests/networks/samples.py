"""Networks as training leaves them, and images for them."""

import torch
from torch import nn

from autospace.networks.network import Network
from autospace.spaces import Architecture, Skeleton


def lived_in(architecture: Architecture) -> Network:
    """A network whose batch normalisations are not as they were at the start."""
    torch.manual_seed(0)
    network = Network(architecture.skeleton, architecture.cells)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.weight, part.bias, part.running_mean):
                nn.init.normal_(values)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
    return network.eval()


def images_for(skeleton: Skeleton, count: int) -> torch.Tensor:
    """Noise, the same for equal counts and sizes."""
    generator = torch.Generator().manual_seed(count)
    side = skeleton.resolution
    return torch.randn(count, skeleton.in_channels, side, side, generator=generator)
