"""The settings of a search that all methods share."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from autospace.settings import DEVICES, DataConfig

SupernetTraining = Literal["uniform", "fair", "madds-uniform"]


class Section(BaseModel):
    """Settings by name; unknown names and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class SupernetConfig(Section):
    """How weights that architectures share are trained, and how they are judged."""

    training: SupernetTraining = "uniform"
    steps: Annotated[int, Field(ge=1, le=10**7, description="weight steps")] = 2000
    batch: Annotated[int, Field(ge=2, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 4e-5
    recalibration: Annotated[int, Field(ge=1, le=10_000, description="batches per network")] = 8
    validation_batches: Annotated[int, Field(ge=1, le=100_000, description="per network")] = 8


class TrialConfig(Section):
    """Short training from scratch: stand-alone fitness, and the finalists' last word."""

    steps: Annotated[int, Field(ge=1, le=10**7)] = 500
    batch: Annotated[int, Field(ge=2, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1


class SearchBudget(Section):
    """Limits on every architecture that is tried or returned; absent for none."""

    max_madds: Annotated[int, Field(ge=1)] | None = None
    max_params: Annotated[int, Field(ge=1)] | None = None
    max_latency_ms: Annotated[float, Field(gt=0, le=10**6)] | None = None
    latency_table: Annotated[str, Field(max_length=4096)] | None = None

    @model_validator(mode="after")
    def _latency_has_a_table(self) -> "SearchBudget":
        if (self.max_latency_ms is None) != (self.latency_table is None):
            raise ValueError(
                "max_latency_ms and latency_table, a file of autospace profile, go together"
            )
        return self


class SearchConfig(Section):
    """Everything that decides what a search computes."""

    method: Annotated[str, Field(min_length=1, max_length=40)] = "random-ws"
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    device: Annotated[str, Field(pattern=DEVICES, description="auto, cpu or cuda[:n]")] = "auto"
    evaluations: (
        Annotated[int, Field(ge=1, le=10**7, description="architectures judged")] | None
    ) = None
    finalists: Annotated[int, Field(ge=1, le=100, description="trained alone at the end")] = 3
    data: DataConfig = DataConfig()
    budget: SearchBudget = SearchBudget()
    supernet: SupernetConfig = SupernetConfig()
    trial: TrialConfig = TrialConfig()
    options: dict[str, Any] = Field(default_factory=dict, description="of the method")
