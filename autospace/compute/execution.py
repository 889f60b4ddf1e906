"""How training steps are executed on a device: in which numbers, recorded or in parts."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

import torch

from autospace.compute.cuda_graphs import NO_GRAPHS, Found, Given, Graphs
from autospace.compute.microbatches import WHOLE, Batched, Parts, scaled

CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class Execution:
    """What a device does the work in.

    Attributes:
        device: where the tensors are.
        precision: of convolutions and products of matrices, and of what they pass on. Weights,
            alpha, the statistics of batch normalisation, losses and optimisers are always float32.
        graphs: what records steps and replays them.
        parts: how batches are taken for which memory is too small.
    """

    device: torch.device = CPU
    precision: torch.dtype = torch.float32
    graphs: Graphs = NO_GRAPHS
    parts: Parts = WHOLE

    def autocast(self) -> AbstractContextManager[object]:
        """As long as it lasts, networks compute in the precision; meant for forward passes."""
        if self.precision == torch.float32:
            return nullcontext()
        # No weight is used twice in a step, and a recorded step must not find copies of others.
        return torch.autocast(self.device.type, self.precision, cache_enabled=False)

    def backward(
        self,
        loss: Callable[[Batched], torch.Tensor],
        given: Batched,
        weights: Iterable[torch.Tensor],
    ) -> torch.Tensor:
        """Adds the gradient of a loss, a mean over the images, to weights that have none yet.

        Returns the loss, a scalar without a graph.
        """
        trained, found = list(weights), list[torch.Tensor]()

        def work(part: Batched, share: float) -> None:
            with self.autocast():
                value = scaled(loss(part), share)
            value.backward()
            found.append(value.detach())

        def undo() -> None:
            found.clear()
            for weight in trained:
                weight.grad = None

        self.parts.each(work, given, undo)
        return found[0] if len(found) == 1 else torch.stack(found).sum()

    def mean(self, loss: Callable[[Batched], torch.Tensor], given: Batched) -> torch.Tensor:
        """A loss that is a mean over the images: a scalar; meant for use without gradients."""
        found: list[torch.Tensor] = []

        def work(part: Batched, share: float) -> None:
            with self.autocast():
                found.append(scaled(loss(part), share))

        self.parts.each(work, given, found.clear)
        return found[0] if len(found) == 1 else torch.stack(found).sum()

    @property
    def records(self) -> bool:
        """Whether steps are recorded: optimisers then have to keep their numbers in tensors."""
        return self.graphs.recorder is not None

    def replayed(self, step: Callable[[Given], Found]) -> Callable[[Given], Found]:
        """The step, or a recording of it: see `autospace.compute.cuda_graphs` for what it must keep to."""
        return self.graphs.replayed(step)


PLAIN: Final = Execution()
"""Everything as one would write it down first: float32 on the CPU."""


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """Bfloat16 as float32, for sums and losses; anything else as it is."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
