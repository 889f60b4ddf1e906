"""How training steps are executed on a device: their precision, recordings and microbatches.

A batch that does not fit into memory is divided into parts, whose gradients are added up. Each
part's loss is weighted by its share of the images, so the sum is the loss of the batch. Batch
normalisation in training mode, however, computes its statistics from one part at a time, as it
would with a smaller batch. The frozen reference uses its running statistics, so its features do
not depend on the parts.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeVar

import torch

from autospace.compute.cuda_graphs import (
    NO_GRAPHS,
    Found,
    Given,
    Graphs,
    is_out_of_memory,
    never,
)
from autospace.compute.side_streams import ONE_LANE, Lanes

SMALLEST: Final = 2
"""Images in a part: batch normalisation needs more than one."""
Batched = TypeVar("Batched", bound=tuple[Any, ...])
Work = Callable[[Batched, float], None]


@dataclass
class _Said:
    """The largest number of parts that the user was told of."""

    most: int = 1


class Microbatches:
    """The number of parts of a batch: one at first, and doubled whenever memory runs out.

    Args:
        on_message: called for every new number; without it, running out of memory is an error.
        release: gives back memory that is not needed right now; False if there is none. It is
            tried once before each doubling.
    """

    def __init__(
        self, on_message: Callable[[str], None] | None, release: Callable[[], bool] = never
    ) -> None:
        self._on_message, self._release = on_message, release
        self._released = False
        self._images, self._least = 0, 1
        self._said = _Said()
        self.count = 1

    def at_least(self, count: int) -> "Microbatches":
        """Such parts from the start, of which there may be more once memory runs out."""
        other = Microbatches(self._on_message, self._release)
        other.count = other._least = max(self.count, count)
        return other

    def apart(self) -> "Microbatches":
        """The same for other work: neither divides the other's batches; nothing is said twice."""
        other = Microbatches(self._on_message, self._release)
        other.count = other._least = self._least
        other._said = self._said
        return other

    def begin_again(self) -> None:
        """Takes batches whole again, since what comes may be smaller, as other candidates are."""
        self.count, self._released = self._least, False

    def each(self, work: Work[Batched], given: Batched, undo: Callable[[], None]) -> None:
        """Does the work on every part of a batch, with the part's share of the images.

        Args:
            work: adds its results, scaled by the share, to those of the other parts.
            given: tensors whose first dimension counts the images; others are not divided.
            undo: removes what was added; called before the work starts again in more parts.

        Raises:
            RuntimeError: the memory is too small for two images, or the work failed otherwise.
        """
        images = len(given[0])
        # Of a segment of text the first dimension is time, and targets are flat: it stays whole.
        divisible = all(each.shape[:1] == given[0].shape[:1] for each in given)
        self._images = images if divisible else 1
        while True:
            try:
                for part in _split(given, min(self.count, self._most)):
                    work(part, len(part[0]) / images)
                return
            except RuntimeError as error:
                if not (is_out_of_memory(error) and not _recording() and self._may_help):
                    raise
            # Out of the handler: the error's traceback holds on to the tensors of the failed work.
            undo()
            if self._released or not self._release():
                self.grow()
            else:
                self._released = True
                _empty_cache()

    def grow(self) -> bool:
        """Doubles the number of parts of the last batch; False if it cannot."""
        if self._on_message is None or self.count >= self._most:
            return False
        self.count, self._released = min(2 * self.count, self._most), False
        _empty_cache()
        if self.count > self._said.most:
            self._said.most = self.count
            self._on_message(
                f"out of memory: batches of {self._images} are divided into "
                f"{self.count} parts where necessary; "
                "a smaller scoring.batch or warm_up.batch would be faster"
            )
        return True

    @property
    def _most(self) -> int:
        return max(1, self._images // SMALLEST)

    @property
    def _may_help(self) -> bool:
        return self._on_message is not None and self.count < self._most


WHOLE: Final = Microbatches(None)
"""Batches as they are; running out of memory is an error."""


def _empty_cache() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _recording() -> bool:
    # What broke off is recorded again from its beginning, in more parts.
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def scaled(loss: torch.Tensor, share: float) -> torch.Tensor:
    """The loss of a part, weighted by its share; the loss of a whole batch is not changed."""
    return loss if share == 1 else share * loss


def _split(given: Batched, count: int) -> list[Batched]:
    """The parts of all tensors [N, ...], in the type of what was given."""
    if count == 1:
        return [given]
    chunks = zip(*(tensor.tensor_split(count) for tensor in given), strict=True)
    make = getattr(type(given), "_make", type(given))
    return [make(chunk) for chunk in chunks]


CPU: Final = torch.device("cpu")


class ExecutionSettings(NamedTuple):
    """How a kind of device does the work, in plain values, of which workers make an `Execution`.

    Attributes:
        device: `cpu` or `cuda`.
        precision: `float32` or `bfloat16`.
        cuda_graphs: whether steps are recorded.
    """

    device: str
    precision: Literal["float32", "bfloat16"]
    cuda_graphs: bool


@dataclass(frozen=True)
class Execution:
    """How a device does the work.

    Attributes:
        device: where the tensors are.
        precision: of convolutions, matrix products and their outputs. Weights,
            alpha, the statistics of batch normalisation, losses and optimisers are always float32.
        graphs: records steps and replays them.
        parts: divides batches that do not fit into memory.
        lanes: runs work on several candidates side by side.
    """

    device: torch.device = CPU
    precision: torch.dtype = torch.float32
    graphs: Graphs = NO_GRAPHS
    parts: Microbatches = WHOLE
    lanes: Lanes = ONE_LANE

    def autocast(self) -> AbstractContextManager[object]:
        """Within the block, networks compute in this precision; for forward passes only."""
        if self.precision == torch.float32:
            return nullcontext()
        # No weight is used twice in a step, and a recorded step must not find copies of others.
        return torch.autocast(self.device.type, self.precision, cache_enabled=False)

    def alone(self) -> "Execution":
        """The same for one piece of work, which divides no batches but its own.

        So what it computes on a CPU does not depend on what ran out of memory before or beside it.
        On a GPU, which records the steps of all pieces together, they are divided together.
        """
        return replace(self, parts=self.parts.apart()) if self.device.type == "cpu" else self

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
            if value.requires_grad:  # else the loss depends on none of the weights
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

    @property
    def settings(self) -> ExecutionSettings:
        """The same for workers on devices of the same kind."""
        narrow = self.precision == torch.bfloat16
        return ExecutionSettings(
            self.device.type, "bfloat16" if narrow else "float32", self.records
        )

    def replayed(self, step: Callable[[Given], Found]) -> Callable[[Given], Found]:
        """The step, or a recording of it; `compute/cuda_graphs.py` has the rules for a step."""
        return self.graphs.replayed(step, self.parts.grow)


PLAIN: Final = Execution()
"""The plain way: float32 on the CPU, without recordings or parts."""


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """Bfloat16 as float32, for sums and losses; anything else as it is."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
