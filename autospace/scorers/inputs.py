"""What every layer of the frozen reference reads on a batch, kept as long as memory allows."""

from typing import NamedTuple

import torch

from autospace.network import Network
from autospace.training import BatchSource

CACHE_BYTES = 1 << 30


class LayerInput(NamedTuple):
    """A layer's input x [N, C, H, W] and the labels [N] of its images."""

    x: torch.Tensor
    labels: torch.Tensor


class Inputs:
    """Layer inputs by step of a batch source; one forward pass gives all layers."""

    def __init__(self, reference: Network, source: BatchSource) -> None:
        self._reference, self._source = reference, source
        self._kept: dict[int, list[LayerInput]] = {}
        self._bytes = 0

    @torch.no_grad()
    def __getitem__(self, step: int) -> list[LayerInput]:
        """One entry per layer for the batch of a step."""
        if step in self._kept:
            return self._kept[step]
        images, labels = self._source.batch(step)
        inputs = self._reference.trace(images).inputs
        size = sum(x.numel() * x.element_size() for x in inputs)
        layers = [LayerInput(x, labels) for x in inputs]
        if self._bytes + size <= CACHE_BYTES:
            self._kept[step] = layers
            self._bytes += size
        return layers
