"""The settings of a search that all methods share."""

from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import (
    TrainingOrTable,
    check_images_or_table,
    with_images_or_table,
)
from autospace.runs.settings import Devices, Section
from autospace.searchers.catalogue import check_table
from autospace.spaces.errors import shown
from autospace.supernets.settings import MagicConfig, SupernetConfig

NAMED_AFTER_TRAINING: Final = ("magic-t", "magic-a", "magic-at")


class TrialConfig(Section):
    """Short training from scratch, for stand-alone fitness and for the finalists."""

    steps: Annotated[int, Field(ge=1, le=10**7)] = 500
    batch: Annotated[int, Field(ge=2, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1


class SearchBudget(Section):
    """Limits on every architecture that is tried or returned; an absent one does not apply."""

    max_madds: Annotated[int, Field(ge=1)] | None = None
    max_params: Annotated[int, Field(ge=1)] | None = None
    max_ops: Annotated[int, Field(ge=1)] | None = None
    max_latency_ms: Annotated[float, Field(gt=0, le=10**6)] | None = None
    latency_table: Annotated[str, Field(max_length=4096)] | None = None

    @model_validator(mode="after")
    def _latency_has_a_table(self) -> "SearchBudget":
        if (self.max_latency_ms is None) != (self.latency_table is None):
            limit, table = shown(self.max_latency_ms), shown(self.latency_table)
            raise ValueError(
                f"max_latency_ms is {limit} and latency_table is {table}; allowed: both, "
                "the table a file of profile or a published name, or neither"
            )
        return self


class SearchConfig(Section):
    """Everything that decides what a search computes."""

    method: Annotated[str, Field(min_length=1, max_length=40)] = "random-ws"
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    device: Devices = "auto"
    evaluations: (
        Annotated[int, Field(ge=1, le=10**7, description="architectures evaluated")] | None
    ) = None
    finalists: Annotated[int, Field(ge=1, le=100, description="trained alone at the end")] = 3
    data: DataConfig = DataConfig()
    evaluator: TrainingOrTable = TrainingOrTable()
    budget: SearchBudget = SearchBudget()
    supernet: SupernetConfig = SupernetConfig()
    magic: MagicConfig = MagicConfig()
    trial: TrialConfig = TrialConfig()
    options: dict[str, Any] = Field(default_factory=dict, description="of the method")

    @model_validator(mode="before")
    @classmethod
    def _named_after_its_training(cls, given: Any) -> Any:
        """A method that is named after its training of the supernet sets that training."""
        method = given.get("method") if isinstance(given, dict) else None
        if method in NAMED_AFTER_TRAINING and isinstance(given.get("supernet", {}), dict):
            return {**given, "supernet": {"training": method, **given.get("supernet", {})}}
        return given

    @model_validator(mode="before")
    @classmethod
    def _no_images_for_a_table(cls, given: Any) -> Any:
        return with_images_or_table(given)

    @model_validator(mode="after")
    def _table_trains_nothing(self) -> "SearchConfig":
        check_images_or_table(self.data, self.evaluator)
        if self.evaluator.table is not None:
            check_table(self.method)
            for name in ("supernet", "magic", "trial"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name}: settings of a training, but a table trains nothing")
        return self

    @model_validator(mode="after")
    def _trained_as_named(self) -> "SearchConfig":
        training = self.supernet.training
        if self.method in NAMED_AFTER_TRAINING and training != self.method:
            raise ValueError(
                f"supernet.training: {training}; method {self.method} allows only {self.method}; "
                "method spos allows others"
            )
        return self
