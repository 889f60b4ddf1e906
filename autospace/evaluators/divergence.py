"""Which short trainings diverged: the loss rose far above its beginning, and nothing was learned.

Weights that are no numbers are the rare case. Where norms and clipped gradients keep the numbers
finite, a rate that is far too high throws the weights about and leaves a network that guesses. One
that was only trained too briefly guesses as well, but its loss never rose.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch

from autospace.data.images import Halves, Images
from autospace.training.short import Measured

RISE: Final = 2.0
"""A training whose loss was at some step so many times that of an even guess was thrown about."""
LITTLE: Final = 0.1
"""A network that is so little of the way from guessing to no errors has learned nothing of use."""


class LossPeak:
    """The largest loss of a training; it stays on the device until somebody asks for it."""

    def __init__(self) -> None:
        self._largest: torch.Tensor | None = None

    def __call__(self, step: int, loss: torch.Tensor) -> None:
        """Looks at the loss of a step, a scalar that is valid until the next one."""
        del step
        found = loss.detach()
        self._largest = (
            found.clone() if self._largest is None else torch.maximum(self._largest, found)
        )

    @property
    def value(self) -> float:
        """The largest loss, not a number if one was none; -inf before the first step."""
        return -math.inf if self._largest is None else float(self._largest)


@dataclass(frozen=True, slots=True)
class Guessing:
    """What somebody reaches who sees no inputs, but knows how common each answer is.

    Attributes:
        loss: cross-entropy in nats.
        accuracy: of always giving the most common answer, a share; None where nothing is counted.
        even: the loss of a network that takes all answers for equally likely, as untrained ones do.
    """

    loss: float
    accuracy: float | None = None
    even: float = 0.0

    @classmethod
    def on(cls, halves: Halves) -> "Guessing":
        """Guessing at what is measured."""
        if not isinstance(halves, Images):
            return cls(math.log(halves.outputs))
        counts = torch.bincount(halves.measured.labels).double()
        shares = counts[counts > 0] / counts.sum()
        loss = -float((shares * shares.log()).sum())
        return cls(loss, float(shares.max()), math.log(halves.outputs))

    def matches(self, found: Measured) -> bool:
        """Whether a network is no better, or hardly: by its loss and by its accuracy."""
        if found.loss < self.loss:
            return False
        if self.accuracy is None:
            return True
        least = self.accuracy + LITTLE * (1 - self.accuracy)
        return found.accuracy < least or found.interval[0] <= self.accuracy


def has_diverged(found: Measured, peak: float, guessing: Guessing) -> bool:
    """Whether a training diverged.

    Args:
        found: the network after it.
        peak: the largest loss during it.
        guessing: at the same images.
    """
    if not math.isfinite(found.loss):
        return True
    return not peak <= RISE * max(guessing.loss, guessing.even) and guessing.matches(found)
