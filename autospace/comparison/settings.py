"""The settings of a comparison: every name, its default, its unit and what is allowed."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import (
    EvaluatorConfig,
    check_images_or_table,
    with_images_or_table,
)
from autospace.runs.settings import Devices, Section

MOST_SPACES = 26

Match = Literal["madds", "params", "ops", "none"]
Source = Annotated[
    str,
    Field(min_length=1, max_length=4096, description="a file, a run folder or NAME@SKELETON"),
]


class SamplingConfig(Section):
    """Which networks are compared, and how many.

    Without `samples` there are as many as detect `effect` with a power of 80 %.
    """

    samples: Annotated[int, Field(ge=4, le=10_000, description="networks per space")] | None = None
    effect: Annotated[float, Field(gt=0, le=100, description="points of error")] = 1.0
    repeats: Annotated[int, Field(ge=1, le=100, description="seeds per network")] = 1
    match: Match = "madds"


class CompareConfig(Section):
    """Everything that decides the result of a comparison, and where it keeps evaluations.

    Without `cache`, it keeps them in its own folder.
    """

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    device: Devices = "auto"
    cache: Annotated[str, Field(max_length=4096, description="a folder")] = ""
    spaces: Annotated[tuple[Source, ...], Field(min_length=2, max_length=MOST_SPACES)]
    sampling: SamplingConfig = SamplingConfig()
    data: DataConfig = DataConfig()
    evaluator: EvaluatorConfig = EvaluatorConfig()

    @field_validator("spaces", mode="before")
    @classmethod
    def _list_is_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="before")
    @classmethod
    def _no_images_for_a_table(cls, given: Any) -> Any:
        return with_images_or_table(given)

    @model_validator(mode="after")
    def _images_or_table(self) -> "CompareConfig":
        check_images_or_table(self.data, self.evaluator)
        return self
