"""Drop-path, or stochastic depth: cells left out at random (Huang et al., ECCV 2016)."""

from collections.abc import Sequence

import torch

from autospace.networks.network import Network, joined
from autospace.seeds import derived_seed
from autospace.spaces.skeleton import Skeleton

Scales = Sequence[torch.Tensor | None]
"""Per layer a factor for each image's cell output, [N], or None where nothing is dropped."""


def drop_probabilities(skeleton: Skeleton, probability: float) -> list[float]:
    """Probability of every layer: it rises linearly to the last layer; 0 without a shortcut."""
    count = len(skeleton.layers)
    return [
        probability * (index + 1) / count if shape.shortcut else 0.0
        for index, shape in enumerate(skeleton.shapes)
    ]


def draw_scales(
    probabilities: Sequence[float], images: int, seed: int, device: torch.device
) -> Scales:
    """Which cells act on which images: 0, or 1 / (1 - p) so that the mean stays.

    The draws of a layer depend on the seed alone, whatever other layers do.
    """
    scales: list[torch.Tensor | None] = []
    for layer, probability in enumerate(probabilities):
        if not probability:
            scales.append(None)
            continue
        # Always of the CPU, so that the draws do not depend on the device.
        generator = torch.Generator().manual_seed(derived_seed(seed, "layer", layer))
        kept = torch.rand(images, generator=generator) >= probability
        scales.append((kept / (1 - probability)).to(device))
    return scales


def forward_dropped(network: Network, images: torch.Tensor, scales: Scales) -> torch.Tensor:
    """Logits of the images with the cells' outputs scaled."""
    x = network.stem(images)
    for (shape, cell), scale in zip(network.stages(), scales, strict=True):
        y = cell(x)
        x = joined(shape, x, y if scale is None else y * scale.to(y.dtype)[:, None, None, None])
    return network.classify(x)
