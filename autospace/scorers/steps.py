"""What the frozen reference shows of a batch, remembered as long as memory allows."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch.nn import functional as F

from autospace.execution import Execution, widened
from autospace.network import Network
from autospace.training import Batch, BatchSource

CACHE_BYTES = 1 << 30


class LayerInput(NamedTuple):
    """A layer's input x [N, C, H, W] and the labels [N] of its images."""

    x: torch.Tensor
    labels: torch.Tensor


class LayerTrace(NamedTuple):
    """A layer's input x, its reference cell's output y, and g = dL/dy of each image's own loss."""

    x: torch.Tensor
    y: torch.Tensor
    g: torch.Tensor


Seen = TypeVar("Seen", bound=LayerInput | LayerTrace)
Look = Callable[[Network, torch.Tensor, torch.Tensor], list[Seen]]


class Steps(Generic[Seen]):
    """What every layer shows on the batch of a step; later rounds ask for the same steps again."""

    def __init__(
        self, reference: Network, source: BatchSource, look: Look[Seen], execution: Execution
    ) -> None:
        self._reference, self._source, self._look = reference, source, look
        self._execution = execution
        self._kept: dict[int, list[Seen]] = {}
        self._bytes = 0

    def __getitem__(self, step: int) -> list[Seen]:
        """One entry per layer."""
        if step in self._kept:
            return self._kept[step]
        layers = self._shown(self._source.batch(step))
        size = sum(part.numel() * part.element_size() for layer in layers for part in layer)
        if self._bytes + size <= CACHE_BYTES:
            self._kept[step] = layers
            self._bytes += size
        return layers

    def _shown(self, batch: Batch) -> list[Seen]:
        found: list[list[Seen]] = []

        def work(part: Batch, share: float) -> None:
            with self._execution.autocast():
                found.append(self._look(self._reference, *part))

        self._execution.parts.each(work, batch, found.clear)
        return [_joined(parts) for parts in zip(*found, strict=True)]


def _joined(parts: Sequence[Seen]) -> Seen:
    """What a layer shows of a batch, from what it shows of the parts; in one piece if in one."""
    if len(parts) == 1:
        return parts[0]
    make: Callable[..., Seen] = type(parts[0])
    return make(*map(torch.cat, zip(*parts, strict=True)))


@torch.no_grad()
def layer_inputs(
    reference: Network, images: torch.Tensor, labels: torch.Tensor
) -> list[LayerInput]:
    """One forward pass of the frozen reference."""
    return [LayerInput(x, labels) for x in reference.trace(images).inputs]


def layer_traces(
    reference: Network, images: torch.Tensor, labels: torch.Tensor
) -> list[LayerTrace]:
    """One forward and backward pass of the frozen reference."""
    with torch.enable_grad():
        trace = reference.trace(images)
        loss = F.cross_entropy(widened(trace.logits), labels, reduction="sum")
        gradients = torch.autograd.grad(loss, trace.outputs)
    triples = zip(trace.inputs, trace.outputs, gradients, strict=True)
    return [LayerTrace(x.detach(), y.detach(), g) for x, y, g in triples]
