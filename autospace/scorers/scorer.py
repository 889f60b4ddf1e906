"""The interface between evolution and training: scorers of candidates, and their settings."""

from collections.abc import Sequence
from typing import Annotated, Final, Literal, Protocol

from pydantic import Field, model_validator

from autospace.runs.settings import Section
from autospace.spaces.cells.cell import Cell
from autospace.spaces.errors import SpaceError

ScoringMethod = Literal[
    "probe", "calibrated", "local", "in-place", "distilled", "gated", "mixture", "predicted"
]
SUPERNETS: Final[tuple[ScoringMethod, ...]] = ("gated", "mixture")
"""Methods that train the candidates of a round in one supernet."""
METHODS_ON: Final[dict[str, tuple[ScoringMethod, ...]]] = {
    "text": ("in-place",),
    "captions": ("in-place",),
    "sentences": ("probe", "calibrated", "local", "in-place"),
}
"""The methods for networks that do not read images, by what they read."""


class ScoringConfig(Section):
    """How candidates are scored against the reference."""

    method: ScoringMethod = "calibrated"
    steps: Annotated[int, Field(ge=1, le=10**6, description="steps per candidate")] = 50
    batch: Annotated[int, Field(ge=2, le=65_536)] = 64
    validation_batches: Annotated[int, Field(ge=1, le=10_000)] = 8
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.15
    rho: Annotated[float, Field(gt=0, le=1000)] = 1.0
    pool: Annotated[int, Field(ge=1, le=32, description="pixels a side that a probe sees")] = 2
    shrinkage: Annotated[
        float, Field(ge=0, le=100, description="weight of log params in `calibrated`")
    ] = 0.5
    inherit: bool = False
    weights: Literal["fresh", "kept"] = "fresh"
    recompute: bool = False
    cost_weight: Annotated[float, Field(ge=0, le=100, description="lambda of E[cost]")] = 0.0
    layer_price: Annotated[
        float, Field(ge=0, le=100, description="in shares of what a layer is worth")
    ] = 0.0
    networks: Annotated[
        int, Field(ge=8, le=10_000, description="trained from scratch by `predicted`")
    ] = 32
    network_steps: Annotated[int, Field(ge=1, le=10**7, description="steps of each of them")] = 1000
    temperature: Annotated[
        float, Field(ge=1e-3, le=1000, description="T of softmax(alpha / T) in `mixture`")
    ] = 1.0

    @model_validator(mode="after")
    def _a_supernet_keeps_weights(self) -> "ScoringConfig":
        if self.weights == "kept" and self.method not in SUPERNETS:
            allowed = f"fresh, because {self.method} has no supernet; {' and '.join(SUPERNETS)} do"
            raise ValueError(f"weights: kept; allowed: {allowed}")
        return self

    @model_validator(mode="after")
    def _worth_is_not_scored_by_kept_weights(self) -> "ScoringConfig":
        if self.layer_price and self.weights == "kept":
            problem = (
                f"layer_price: {self.layer_price}, but to score the cheapest cells would train"
            )
            raise ValueError(f"{problem} the kept weights; allowed: 0, and cost_weight")
        return self

    @model_validator(mode="after")
    def _worth_is_at_equal_cost(self) -> "ScoringConfig":
        if self.layer_price and self.method == "predicted":
            problem = f"layer_price: {self.layer_price}, but predicted compares at equal MAdds"
            raise ValueError(f"{problem}; allowed: 0")
        return self


HAVE_PARTS: Final = ("mobile", "ofa")
"""Families of cells that can have weights in common with another cell of theirs."""


def check_scoring(options: ScoringConfig, reads: str, kind: str) -> None:
    """Raises `SpaceError` for scoring that does not work for such networks.

    Args:
        options: of the scoring.
        reads: what the networks read.
        kind: family of their cells.
    """
    if options.inherit and reads == "images" and kind not in HAVE_PARTS:
        problem = f"true, but {kind} cells have no weights in common with the reference"
        raise SpaceError("scoring.inherit", f"{problem}; allowed for them: false")
    if reads not in METHODS_ON:
        return
    if options.method not in METHODS_ON[reads]:
        problem = f"{options.method}, which does not work on networks that read {reads}"
        allowed = f"allowed for {reads}: {', '.join(METHODS_ON[reads])}"
        preset = f", which --preset {reads} sets" if len(METHODS_ON[reads]) == 1 else ""
        raise SpaceError("scoring.method", f"{problem}; {allowed}{preset}")
    prices = {"cost_weight": options.cost_weight, "layer_price": options.layer_price}
    for name, price in prices.items():
        if price and reads == "text":
            problem = f"{price}, but all recurrent cells of a skeleton cost the same"
            raise SpaceError(f"scoring.{name}", f"{problem}; allowed for text: 0")
    if options.inherit:
        problem = "true, but their cells have no weights in common with the reference"
        raise SpaceError("scoring.inherit", f"{problem}; allowed for {reads}: false")


class Scorer(Protocol):
    """Gives every candidate a fitness; it knows nothing of populations."""

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; 0 is as good as the reference.

        Args:
            candidates: per layer, any number of cells; a zero cell only where there is a shortcut.
            repeat: 0 for the first score; each further score of the same cells uses other images.
        """
        ...
