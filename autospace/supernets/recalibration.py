"""Statistics of a network's own where it shares its weights with others."""

from collections.abc import Callable, Iterable

import torch
from torch import nn


@torch.no_grad()
def recalibrate(
    parts: Iterable[nn.Module],
    network: Callable[[torch.Tensor], object],
    batches: Iterable[torch.Tensor],
) -> None:
    """Sets running statistics to the mean over some training batches, in place; weights stay.

    What the batch normalisation of shared weights has seen belongs to all networks and to none (Yu
    and Huang, ICCV 2019; SPOS, Guo et al., ECCV 2020). The parts are evaluating afterwards.

    Args:
        parts: what the network is made of.
        network: runs it on images [N, C, H, W].
        batches: images, batch by batch.
    """
    used = list(parts)
    norms = [each for part in used for each in part.modules() if isinstance(each, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches to come
    for part in used:
        part.train()
    for images in batches:
        network(images)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    for part in used:
        part.eval()
