"""Batches that memory is too small for are taken in parts, and their gradients added up.

What the parts' losses say of the batch is exact: each counts by its share of the images. Batch
normalisation in training mode, however, sees a part at a time, as it would with a smaller batch;
the frozen reference does not, so that what it shows of a batch stays as it was.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import torch

SMALLEST: Final = 2
"""Images in a part: batch normalisation needs more than one."""

Batched = TypeVar("Batched", bound=tuple[Any, ...])
Work = Callable[[Batched, float], None]


class Parts:
    """How many parts a batch is taken in: one, and twice as many whenever memory runs out.

    Args:
        say: is told of every new number; without it, running out of memory stays an error.
    """

    def __init__(self, say: Callable[[str], None] | None) -> None:
        self._say = say
        self.count = 1

    def each(self, work: Work[Batched], given: Batched, undo: Callable[[], None]) -> None:
        """Does work on every part of a batch, with the part's share of the images.

        Args:
            work: adds to what it finds, scaled by the share.
            given: tensors whose first dimension counts the images.
            undo: takes back what was added; called before the work is begun again in more parts.

        Raises:
            RuntimeError: memory is too small for two images, or something else went wrong.
        """
        images = len(given[0])
        most = max(1, images // SMALLEST)
        while True:
            try:
                for part in _split(given, min(self.count, most)):
                    work(part, len(part[0]) / images)
                return
            except RuntimeError as error:
                helpless = self._say is None or self.count >= most or _recording()
                if helpless or not is_out_of_memory(error):
                    raise
            # Out of the handler: the error's traceback holds on to the tensors of the failed work.
            undo()
            self._grow(images, most)

    def _grow(self, images: int, most: int) -> None:
        self.count = min(2 * self.count, most)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._say is not None:
            self._say(
                f"out of memory: batches of {images} are taken in {self.count} parts from now on; "
                "a smaller scoring.batch or warm_up.batch would be faster"
            )


WHOLE: Final = Parts(None)
"""Batches as they are; running out of memory is an error."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU's or the processor's memory was too small."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _recording() -> bool:
    # A recording that fails is given up; the plain step then runs out of memory here again.
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def scaled(loss: torch.Tensor, share: float) -> torch.Tensor:
    """The loss of a part as its share in the mean of the batch; a whole batch's as it is."""
    return loss if share == 1 else share * loss


def _split(given: Batched, count: int) -> list[Batched]:
    """The parts of all tensors [N, ...], in the type of what was given."""
    if count == 1:
        return [given]
    chunks = zip(*(tensor.tensor_split(count) for tensor in given), strict=True)
    make = getattr(type(given), "_make", type(given))
    return [make(chunk) for chunk in chunks]
