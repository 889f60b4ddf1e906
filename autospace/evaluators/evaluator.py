"""The interface of evaluators, their settings, and the evaluations that they make.

An evaluator takes an architecture and a seed and returns an `Evaluation`. All settings that
affect its result are in `EvaluatorConfig`.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from autospace.spaces.errors import AutospaceError, shown
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture

EvaluationMethod = Literal["train", "supernet", "naswot", "synflow"]
Split = Literal["test", "validation"]
PROXIES: Final[dict[EvaluationMethod, str]] = {
    "supernet": "accuracy with weights shared by all networks, not trained for one",
    "naswot": "a score of the untrained network, not an accuracy",
    "synflow": "a score of the untrained network, not an accuracy",
}
SCORES_ONLY: Final[tuple[EvaluationMethod, ...]] = ("naswot", "synflow")


class EvaluatorConfig(BaseModel):
    """The settings of an evaluation, the same for all architectures.

    `steps`, `learning_rate` and `batch` are those of the short training, or of the supernet.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    method: EvaluationMethod = "train"
    split: Split = "test"
    steps: Annotated[int, Field(ge=1, le=10**7)] = 1000
    batch: Annotated[int, Field(ge=2, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    recalibration: Annotated[int, Field(ge=1, le=10_000, description="batches")] = 20


class EvaluationError(AutospaceError):
    """An evaluation that could not be made; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The measured quality of one architecture under one seed.

    Attributes:
        score: larger is better; for methods that measure images the accuracy, a share (0 to 1).
        loss: mean cross-entropy over the measured images; None where there is none, or where
            training diverged.
    """

    score: float
    loss: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("score", self.score), ("loss", self.loss)):
            if value is not None and not abs(value) < float("inf"):
                raise EvaluationError(f"{name}: {shown(value)}; allowed: a finite number")


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    """One evaluation to make; equal keys and seeds mean the same evaluation."""

    architecture: Architecture
    seed: int

    @property
    def key(self) -> str:
        """The architecture's key."""
        return architecture_key(self.architecture)


class Evaluator(Protocol):
    """Measures how good an architecture is; the result depends only on the arguments."""

    def evaluate(self, architecture: Architecture, seed: int) -> Evaluation:
        """The evaluation under one seed.

        Raises:
            EvaluationError: it cannot be made on this machine, or for this architecture.
        """
        ...


def architecture_key(architecture: Architecture) -> str:
    """A text shared by exactly the architectures that are the same network.

    Names of skeletons, layers and cells do not count; images and classes do.
    """
    return " | ".join((skeleton_key(architecture.skeleton), *architecture.keys))


def skeleton_key(skeleton: Skeleton) -> str:
    """A text shared by exactly the skeletons that build the same network around their cells."""
    stem = skeleton.stem
    layers = " ".join(f"{layer.channels}/{layer.stride}" for layer in skeleton.layers)
    return (
        f"{skeleton.in_channels}x{skeleton.resolution} stem {stem.channels}/{stem.stride}"
        f"{'' if stem.block is None else f'/{stem.block}'}"
        f" layers {layers} head {skeleton.head} classes {skeleton.classes}"
    )
