"""What the frozen reference does on a batch, per layer: the data that local scoring learns from."""

from typing import NamedTuple

import torch
from torch.nn import functional as F

from autospace.network import Network
from autospace.training import BatchSource

CACHE_BYTES = 1 << 30


class LayerTrace(NamedTuple):
    """A layer's input x, its reference cell's output y, and g = dL/dy of each image's own loss."""

    x: torch.Tensor
    y: torch.Tensor
    g: torch.Tensor


class Traces:
    """The reference's traces of a source's batches, kept as long as they fit into memory."""

    def __init__(self, reference: Network, source: BatchSource) -> None:
        self._reference, self._source = reference, source
        self._kept: dict[int, list[LayerTrace]] = {}
        self._bytes = 0

    def __getitem__(self, step: int) -> list[LayerTrace]:
        """One entry per layer for the batch of a step."""
        if step in self._kept:
            return self._kept[step]
        layers = trace_layers(self._reference, *self._source.batch(step))
        size = sum(t.numel() * t.element_size() for layer in layers for t in layer)
        if self._bytes + size <= CACHE_BYTES:
            self._kept[step] = layers
            self._bytes += size
        return layers


def trace_layers(
    reference: Network, images: torch.Tensor, labels: torch.Tensor
) -> list[LayerTrace]:
    """One forward and backward pass of the frozen reference."""
    with torch.enable_grad():
        trace = reference.trace(images)
        loss = F.cross_entropy(trace.logits, labels, reduction="sum")
        gradients = torch.autograd.grad(loss, trace.outputs)
    triples = zip(trace.inputs, trace.outputs, gradients, strict=True)
    return [LayerTrace(x.detach(), y.detach(), g) for x, y, g in triples]
