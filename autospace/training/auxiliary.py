"""An auxiliary classifier on an inner layer, as DARTS trains with (Liu et al., ICLR 2019).

It reads what the cell after two thirds of the layers gives, the second one of stride 2 in the
published networks, and its loss is added to that of the network (Szegedy et al., CVPR 2015). It is
no part of the network: nobody asks it once the training is over, and no cost counts it.
"""

import torch
from torch import nn

from autospace.networks.cells import initialise
from autospace.networks.darts import DartsModule
from autospace.networks.network import Network, placed
from autospace.runs.errors import ConfigError
from autospace.seeds import derived_seed
from autospace.spaces.skeleton import Skeleton
from autospace.training.drop_path import Scales, scales_by_layer

NARROW, WIDE = 128, 768
"""Channels of its two convolutions."""


def check_auxiliary(skeleton: Skeleton, weight: float) -> None:
    """Refuses an auxiliary classifier where cells do not have two inputs.

    Raises:
        ConfigError: they do not, and it has a weight.
    """
    if weight and (skeleton.reads != "images" or skeleton.chain == 1):
        problem = f"{weight}; allowed: 0, as cells of {skeleton.name} do not have two inputs"
        raise ConfigError(f"training.auxiliary: {problem}")


def place_of(skeleton: Skeleton) -> int:
    """The index of the layer that is read."""
    return 2 * len(skeleton.cell_layers) // 3


class AuxiliaryHead(nn.Sequential):
    """Output of an inner layer [N, C, H, W] -> logits [N, classes].

    ReLU, average pooling to 2x2 pixels, a 1x1 convolution to 128 channels, one of 2x2 to 768, and a
    linear layer. Pools are 5x5 where the published ones are, at 8x8 and 7x7 pixels, and elsewhere
    the mean of each quarter. In networks for ImageNet, those with three convolutions in the stem,
    no batch normalisation follows the second convolution, as in the experiments of the paper.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        shape = skeleton.cell_layers[place_of(skeleton)]
        side = shape.out_resolution
        kernel = 5 if side in (7, 8) else -(-side // 2)
        pool = nn.AvgPool2d(kernel, side - kernel) if side > 1 else nn.Identity()
        last = nn.BatchNorm2d(WIDE) if skeleton.stem.convolutions == 1 else nn.Identity()
        super().__init__(
            nn.ReLU(),
            pool,
            nn.Conv2d(shape.out_channels, NARROW, 1, bias=False),
            nn.BatchNorm2d(NARROW),
            nn.ReLU(),
            nn.Conv2d(NARROW, WIDE, min(2, side), bias=False),
            last,
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(WIDE, skeleton.classes),
        )
        initialise(self)


def new_head(skeleton: Skeleton, seed: int, device: torch.device) -> AuxiliaryHead:
    """An untrained head: the same for equal seeds, on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "auxiliary head"))
        return placed(AuxiliaryHead(skeleton), device)


def forward_both(
    network: nn.Module, head: nn.Module, images: torch.Tensor, scales: Scales
) -> torch.Tensor:
    """Logits of the network and of the head, [2, N, classes].

    Args:
        network: of cells with two inputs.
        head: reads one of its layers.
        images: [N, C, H, W].
        scales: of the operations; see `autospace.training.drop_path`.

    Raises:
        TypeError: the network has no cells with two inputs.
    """
    if not isinstance(network, Network):
        raise TypeError(f"an auxiliary head in a {type(network).__name__}; allowed: in a Network")
    x, place = network.enter(images), place_of(network.skeleton)
    found: list[torch.Tensor] = []
    for index, own in enumerate(scales_by_layer(network, scales)):
        cell = network.layers[index]
        if not isinstance(cell, DartsModule):
            raise TypeError(f"an auxiliary head in a network of {type(cell).__name__}")
        y = cell.dropped(x, own)
        if index == place:
            found.append(head(y))
        x = network.output(index, x, y)
    return torch.stack([network.classify(x), *found])
