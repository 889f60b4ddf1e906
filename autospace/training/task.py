"""What networks are trained to do: the loss, and the metric that is reported.

A batch is a pair (inputs, targets). Everything that trains or measures networks (scorers,
supernets, search methods, evaluators and full trainings) gets its loss from a `Task`.
"""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import torch
from torch.nn import functional as F

from autospace.compute.execution import widened

Reduction = Literal["mean", "sum"]


class Task(Protocol):
    """Compares the outputs of a network with the targets."""

    def loss(
        self, outputs: torch.Tensor, targets: torch.Tensor, reduction: Reduction = "mean"
    ) -> torch.Tensor:
        """The loss that training minimises: the mean or sum over the predictions, a scalar."""
        ...

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether each prediction is correct: a boolean per prediction; the mean is the metric."""
        ...


@dataclass(frozen=True, slots=True)
class Classification:
    """One of several classes per input: cross-entropy; accuracy.

    Outputs are logits [N, classes]; targets are classes [N], or probabilities [N, classes] where
    batches are mixed.

    Attributes:
        smoothing: share of each target that is spread over all classes (Szegedy et al., CVPR 2016,
            section 7).
    """

    smoothing: float = 0.0

    def loss(
        self, outputs: torch.Tensor, targets: torch.Tensor, reduction: Reduction = "mean"
    ) -> torch.Tensor:
        """Cross-entropy; see `Task.loss`. It is computed in float32 where outputs are bfloat16."""
        return F.cross_entropy(
            widened(outputs), targets, reduction=reduction, label_smoothing=self.smoothing
        )

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether the largest logit is that of the class; see `Task.right`."""
        return outputs.argmax(1) == targets


CLASSIFICATION: Final = Classification()
"""The task of every data set that `--data` reads."""
