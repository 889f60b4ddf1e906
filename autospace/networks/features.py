"""Features of batches in the frozen reference network, cached as long as memory allows."""

from collections.abc import Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

import torch

from autospace.compute.execution import Execution, widened
from autospace.data.batches import Batch, BatchSource
from autospace.networks.network import Network


class LayerInput(NamedTuple):
    """A layer's input x [N, C, H, W] and the labels [N] of its images."""

    x: torch.Tensor
    labels: torch.Tensor


class LayerTrace(NamedTuple):
    """A layer's input x, its reference cell's output y, and g = dL/dy of each image's own loss."""

    x: torch.Tensor
    y: torch.Tensor
    g: torch.Tensor

    @property
    def size(self) -> torch.Tensor:
        """Root mean square of y, a scalar; that of x if the layer is skipped, so that y is 0."""
        y, x = (widened(each).square().mean().sqrt() for each in (self.y, self.x))
        return torch.where(y > 0, y, x)


class LayerTarget(NamedTuple):
    """A layer's input x, and t, what the last layer of its block gives; both [N, C, H, W]."""

    x: torch.Tensor
    t: torch.Tensor


Seen = TypeVar("Seen", bound=LayerInput | LayerTrace | LayerTarget)
SummedLoss = Callable[[torch.Tensor, torch.Tensor, Literal["sum"]], torch.Tensor]
"""(logits, targets, reduction) -> the loss summed over the images."""
Look = Callable[[Network, torch.Tensor, torch.Tensor], list[Seen]]


class Steps(Generic[Seen]):
    """The features of layers on the batch of a step, cached: later rounds need the same steps."""

    def __init__(
        self,
        reference: Network,
        source: BatchSource,
        look: Look[Seen],
        execution: Execution,
        most: int,
    ) -> None:
        """Keeps at most so many bytes."""
        self._reference, self._source, self._look = reference, source, look
        self._execution, self._most = execution, most
        self._kept: dict[tuple[int, int], Seen] = {}
        self._bytes = 0

    def at(self, step: int, layers: Sequence[int]) -> list[Seen]:
        """One entry for each of these layers."""
        if any((step, layer) not in self._kept for layer in layers):
            shown = self._shown(self._source.batch(step))
            # Who comes back to a step for other layers will come for all of them.
            again = any((step, layer) in self._kept for layer in range(len(shown)))
            for layer in range(len(shown)) if again else layers:
                self._keep((step, layer), shown[layer])
            return [shown[layer] for layer in layers]
        return [self._kept[step, layer] for layer in layers]

    def _keep(self, place: tuple[int, int], seen: Seen) -> None:
        size = sum(part.numel() * part.element_size() for part in seen)
        if place not in self._kept and self._bytes + size <= self._most:
            self._kept[place] = seen
            self._bytes += size

    def _shown(self, batch: Batch) -> list[Seen]:
        found: list[list[Seen]] = []
        # They are kept for others: a batch is not divided because an earlier one had to be.
        execution = self._execution.alone()

        def work(part: Batch, share: float) -> None:
            with execution.autocast():
                found.append(self._look(self._reference, *part))

        execution.parts.each(work, batch, found.clear)
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


@torch.no_grad()
def layer_targets(
    lasts: Sequence[int], reference: Network, images: torch.Tensor, labels: torch.Tensor
) -> list[LayerTarget]:
    """One forward pass of the frozen reference.

    Args:
        lasts: per layer, the last layer of its block.
        reference: the network.
        images: [N, C, H, W].
        labels: not used.
    """
    del labels
    trace = reference.trace(images)
    passes = zip(trace.inputs, trace.outputs, strict=True)
    given = [reference.output(layer, x, y) for layer, (x, y) in enumerate(passes)]
    return [LayerTarget(x, given[last]) for x, last in zip(trace.inputs, lasts, strict=True)]


def layer_traces(
    loss_of: SummedLoss, reference: Network, images: torch.Tensor, labels: torch.Tensor
) -> list[LayerTrace]:
    """One forward and backward pass of the frozen reference."""
    with torch.enable_grad():
        trace = reference.trace(images)
        loss = loss_of(trace.logits, labels, "sum")
        gradients = torch.autograd.grad(loss, trace.outputs)
    triples = zip(trace.inputs, trace.outputs, gradients, strict=True)
    return [LayerTrace(x.detach(), y.detach(), g) for x, y, g in triples]
