"""What networks are trained to do: the loss, and the metric that people read.

A batch is a pair (inputs, targets). Everything that trains or measures networks asks a `Task`,
never a loss function: scorers, supernets, search methods, evaluators and full trainings.
"""

from dataclasses import dataclass
from typing import Final, Literal, Protocol

import torch
from torch.nn import functional as F

from autospace.compute.execution import widened

Reduction = Literal["mean", "sum"]


class Task(Protocol):
    """What a network's outputs are compared with its targets by."""

    def loss(
        self, outputs: torch.Tensor, targets: torch.Tensor, reduction: Reduction = "mean"
    ) -> torch.Tensor:
        """What training lowers: a scalar, the mean or sum over the predictions of a batch."""
        ...

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether each prediction is right: a boolean per prediction; its mean is the metric."""
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
