"""What networks are trained to do: the loss, and the metric that is reported.

A batch is a pair (inputs, targets). Everything that trains or measures networks (scorers,
supernets, search methods, evaluators and full trainings) gets its loss from a `Task`.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, Protocol, cast

import torch
from torch.nn import functional as F

from autospace.compute.execution import widened
from autospace.spaces.skeleton import Skeleton
from autospace.training.captioning import Captioning

Reduction = Literal["mean", "sum"]


class Task(Protocol):
    """Compares the outputs of a network with the targets."""

    def loss(
        self, outputs: torch.Tensor, targets: torch.Tensor, reduction: Reduction = "mean"
    ) -> torch.Tensor:
        """The loss that training minimises: the mean or sum over the predictions, a scalar."""
        ...

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether each prediction is correct: a boolean per prediction, or a share from 0 to 1."""
        ...

    def score(self, accuracy: float, loss: float) -> float:
        """What networks are compared by, from 0 to 1; larger is better.

        Args:
            accuracy: share of the predictions that are correct.
            loss: mean over the predictions.
        """
        ...

    def batch_score(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The same of one batch: a scalar."""
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

    def score(self, accuracy: float, loss: float) -> float:
        """The accuracy."""
        return accuracy

    def batch_score(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The accuracy of a batch."""
        return self.right(outputs, targets).double().mean()


@dataclass(frozen=True, slots=True)
class LanguageModelling:
    """The next token of a text: cross-entropy in nats; one over the perplexity.

    Outputs are logits [tokens, vocabulary]; targets are tokens [tokens]. The perplexity is
    exp(loss), and one over it is the geometric mean of the probabilities that the network gives to
    the tokens: a share, of which more is better. ENAS (Pham et al., ICML 2018) rewards 80 times it.
    """

    def loss(
        self, outputs: torch.Tensor, targets: torch.Tensor, reduction: Reduction = "mean"
    ) -> torch.Tensor:
        """Cross-entropy; see `Task.loss`."""
        return F.cross_entropy(widened(outputs), targets, reduction=reduction)

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Whether the largest logit is that of the token; see `Task.right`."""
        return outputs.argmax(1) == targets

    def score(self, accuracy: float, loss: float) -> float:
        """One over the perplexity; 0 where the loss is not a number."""
        return math.exp(-loss) if loss >= 0 else 0.0

    def batch_score(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """One over the perplexity of a batch; 0 where the loss is not a number."""
        return (-self.loss(outputs, targets).double()).exp().nan_to_num(0.0)


def perplexity(loss: float) -> float:
    """How many tokens a network is as unsure between, from its mean cross-entropy in nats.

    It is infinite from `MOST_NATS` on, and where the loss is not a number.
    """
    return math.exp(loss) if loss < MOST_NATS else math.inf


def bits_per_character(loss: float, tokens: int, characters: int) -> float:
    """Bits that a network needs for a character, from its mean cross-entropy of a token in nats."""
    return loss * tokens / characters / math.log(2)


MOST_NATS: Final = 230.0
"""Up to this, a perplexity is at most 1e100: more is in no result, and the network diverged."""
CLASSIFICATION: Final = Classification()
"""The task of images."""


def task_of(skeleton: Skeleton, smoothing: float = 0.0) -> Task:
    """What the networks of a skeleton are trained to do.

    Args:
        skeleton: reads images, text or captions.
        smoothing: of labels; text and captions have none.
    """
    if skeleton.reads == "captions":
        # Its outputs are more than a tensor where captions are judged.
        return cast(Task, Captioning())
    return LanguageModelling() if skeleton.reads == "text" else Classification(smoothing)
