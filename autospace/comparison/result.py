"""What a comparison found, as values."""

from dataclasses import dataclass

import numpy as np

from autospace.comparison.matching import Matching, Pool
from autospace.comparison.settings import CompareConfig
from autospace.comparison.verdict import ComparedPair
from autospace.evaluators.evaluator import Evaluation
from autospace.spaces.space import Architecture, Space


@dataclass(frozen=True)
class DataFacts:
    """What is said about the images: nothing that belongs to this machine."""

    name: str
    digest: str
    classes: int
    training: int
    measured: int


@dataclass(frozen=True, eq=False)
class Sample:
    """One space and its networks.

    Attributes:
        rows: of the networks in the pool, in the order in which they were drawn.
        evaluations: per network, one per seed.
        errors: per network and seed, lower is better; points, or minus the score.
    """

    space: Space
    label: str
    source: str
    pool: Pool
    share: float
    rows: tuple[int, ...]
    evaluations: tuple[tuple[Evaluation, ...], ...]
    errors: tuple[tuple[float, ...], ...]

    @property
    def means(self) -> list[float]:
        """Error per network, the mean over its seeds."""
        return [float(np.mean(each)) for each in self.errors]

    @property
    def networks(self) -> list[Architecture]:
        """The networks."""
        return [self.pool.architecture(row) for row in self.rows]


@dataclass(frozen=True)
class Power:
    """How many networks there are, and why.

    Attributes:
        effect: what shall be found, in points; None if the user gave the number of networks.
        needed: networks per space that find it; None likewise, and where there are no points.
        spread: standard deviation of the difference of two draws, largest of all pairs.
        detectable: what the networks that there are find with a power of 80 %, in points.
    """

    effect: float | None
    needed: int | None
    spread: float | None
    detectable: float | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """All that was found; `pairs` is empty if the spaces cannot be compared."""

    config: CompareConfig
    data: DataFacts
    matching: Matching
    samples: tuple[Sample, ...]
    pairs: tuple[ComparedPair, ...]
    power: Power
    sentence: str
    notes: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether there is a verdict."""
        return bool(self.pairs)
