"""The settings of an evaluation: what decides the number that comes out."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Method = Literal["train", "supernet", "naswot", "synflow"]
Split = Literal["test", "validation"]

PROXIES: Final[dict[Method, str]] = {
    "supernet": "accuracy with weights shared by all networks, not trained for one",
    "naswot": "a score of the untrained network, not an accuracy",
    "synflow": "a score of the untrained network, not an accuracy",
}
SCORES_ONLY: Final[tuple[Method, ...]] = ("naswot", "synflow")


class EvaluatorConfig(BaseModel):
    """One recipe for all architectures.

    `steps`, `learning_rate` and `batch` are those of the short training, or of the supernet.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    method: Method = "train"
    split: Split = "test"
    steps: Annotated[int, Field(ge=1, le=10**7)] = 1000
    batch: Annotated[int, Field(ge=2, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    recalibration: Annotated[int, Field(ge=1, le=10_000, description="batches")] = 20
