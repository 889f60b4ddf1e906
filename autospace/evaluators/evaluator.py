"""The interface of evaluators, their settings, and the evaluations that they make.

An evaluator takes an architecture and a seed and returns an `Evaluation`. All settings that
affect its result are in `EvaluatorConfig`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Protocol, Self

from pydantic import Field, model_validator

from autospace.data.settings import DataConfig
from autospace.runs.settings import Section
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.errors import AutospaceError, shown
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture

EvaluationMethod = Literal["train", "table", "supernet", "naswot", "synflow"]
Split = Literal["test", "validation"]
PROXIES: Final[dict[EvaluationMethod, str]] = {
    "supernet": "accuracy with weights shared by all networks, not trained for one",
    "naswot": "a score of the untrained network, not an accuracy",
    "synflow": "a score of the untrained network, not an accuracy",
}
SCORES_ONLY: Final[tuple[EvaluationMethod, ...]] = ("naswot", "synflow")


class TrainingOrTable(Section):
    """Whether networks are trained here, or looked up in a table of published scores.

    `precision` is that of the training; networks are measured in float32.
    """

    method: Literal["train", "table"] = "train"
    table: (
        Annotated[str, Field(min_length=1, max_length=4096, description="a name or a file")] | None
    ) = None
    precision: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.method == "table") != (self.table is not None):
            problem = f"method is {shown(self.method)} and table is {shown(self.table)}"
            raise ValueError(f"{problem}; allowed: method table with a table, by name or file")
        return self

    @model_validator(mode="after")
    def _a_table_has_no_settings(self) -> Self:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if (
                self.table is not None
                and name not in ("method", "table")
                and value != field.default
            ):
                raise ValueError(f"{name} is {shown(value)}, but a table has no such setting")
        return self


class EvaluatorConfig(TrainingOrTable):
    """The settings of an evaluation, the same for all architectures.

    `steps`, `learning_rate`, `batch` and `precision` are those of the short training, or of the
    supernet.
    """

    method: EvaluationMethod = "train"  # type: ignore[assignment]
    split: Split = "test"
    steps: Annotated[int, Field(ge=1, le=10**7)] = 1000
    batch: Annotated[int, Field(ge=2, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    recalibration: Annotated[int, Field(ge=1, le=10_000, description="batches")] = 20
    precision_stage: Literal["real", "binary_inputs", "binary"] | None = None


NO_IMAGES: Final = DataConfig(source="none")
"""The images of a run that looks networks up in a table."""


def with_images_or_table(given: Any) -> Any:
    """The settings of a run, not yet checked; with a table, they say that it reads no images."""
    if not isinstance(given, dict) or "data" in given:
        return given
    evaluator = given.get("evaluator")
    on_table = isinstance(evaluator, dict) and evaluator.get("method") == "table"
    return {**given, "data": NO_IMAGES.model_dump()} if on_table else given


def check_images_or_table(data: DataConfig, evaluator: TrainingOrTable) -> None:
    """Refuses images together with a table, which needs none.

    Raises:
        ValueError: there are both.
    """
    if evaluator.table is not None and data != NO_IMAGES:
        raise ValueError("data: settings of images, but a table needs none; allowed: no data")


class EvaluationError(AutospaceError):
    """An evaluation that could not be made; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The measured quality of one architecture under one seed.

    Attributes:
        score: larger is better; for methods that measure images the accuracy, a share (0 to 1).
        loss: mean cross-entropy over the measured images; None where there is none, or where
            training diverged; see `autospace.evaluators.divergence`.
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
    if isinstance(skeleton, SequenceSkeleton | EncoderSkeleton):
        return skeleton.key
    stem = skeleton.stem
    layers = " ".join(
        f"{'fixed ' if layer.fixed else ''}{layer.channels}/{layer.stride}"
        for layer in skeleton.layers
    )
    sharing = [
        *(["preactivation"] if skeleton.preactivation else []),
        *([f"chain {skeleton.chain} concat {skeleton.concat}"] if skeleton.chain > 1 else []),
        *([f"binary {skeleton.binary_groups}"] if skeleton.binary_groups else []),
        *([f"convolutions {stem.convolutions}"] if stem.convolutions > 1 else []),
        *([f"ties {' '.join(map(str, skeleton.ties))}"] if skeleton.ties else []),
        *(
            f"stage {stage.layers}{' se' if stage.attention else ''} {stage.activation}"
            for stage in skeleton.stages
        ),
        *([f"{skeleton.activation} last {skeleton.last}"] if skeleton.stages else []),
    ]
    return (
        f"{skeleton.in_channels}x{skeleton.resolution} stem {stem.channels}/{stem.stride}"
        f"{'' if stem.block is None else f'/{stem.block}'}"
        f" layers {layers} head {skeleton.head} classes {skeleton.classes}"
        f"{''.join(f' {each}' for each in sharing)}"
    )
