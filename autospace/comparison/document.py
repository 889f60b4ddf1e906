"""`comparison.json` as a value: built by a comparison, read by the command line and the report.

docs/reference/comparison.md says what its keys mean. Errors, differences and intervals are shares
(0 to 1) of the measured images, or scores with a minus; `ComparisonDocument.shown` makes points of
them.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field

from autospace.runs.folder import Document, WithOps
from autospace.spaces.checks import MAX_COUNT, MAX_VALUES
from autospace.spaces.errors import SpaceError
from autospace.spaces.files.reading import parse_json, read_text, validated

DIGITS: Final = 8
"""Decimal places of the numbers in the file."""

# The sum turns -0.0 into 0.0.
# The bounds are far from where squares and sums overflow.
_Number = Annotated[
    float, Field(ge=-1e100, le=1e100), AfterValidator(lambda value: round(value, DIGITS) + 0.0)
]
_Significant = Annotated[
    float, Field(ge=0, le=1e100), AfterValidator(lambda value: float(f"{value:.6g}"))
]
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Interval = Annotated[list[_Number], Field(min_length=2, max_length=2)]
_Verdict = Literal["a", "b", "none"]
Cost = Literal["madds", "params", "ops"]
Unit = Literal["share", "dominance"]
"""Of errors: shares of the measured images, or scores with a minus."""


class EstimateDocument(Document):
    """A number with its confidence interval."""

    value: _Number
    interval: _Interval


class BestDocument(EstimateDocument):
    """The expected error of the best of `of` networks."""

    of: _Count


class CostDocument(Document):
    """The distribution of a cost: its ends, its mean, and quantiles at 0, 5, ... 100 %."""

    min: _Count
    max: _Count
    mean: _Number
    quantiles: list[_Count]


class CostsDocument(WithOps):
    """Distributions of all costs; OPs where operations are binary, or OPs were matched."""

    madds: CostDocument
    params: CostDocument
    ops: CostDocument | None = None

    def of(self, cost: Cost) -> CostDocument:
        """The distribution of a cost that the document has; see `ComparisonDocument.cost`."""
        return {"madds": self.madds, "params": self.params, "ops": self.ops}[cost] or self.madds


class EdfDocument(Document):
    """An empirical distribution function: at `error[i]` it rises to `share[i]`."""

    error: list[_Number] = []
    share: list[_Number] = []


class VarianceDocument(Document):
    """How much of the variance is due to architectures, and how much to seeds."""

    architecture: _Significant
    seed: _Significant
    share: _Number


class SpaceDocument(WithOps):
    """One space and the networks drawn from it; for OPs see `CostsDocument`."""

    name: str
    label: str
    source: str = ""
    skeleton: str = ""
    layers: _Count = 0
    architectures: str = ""
    overlap: _Number | None = None
    drawn: CostsDocument | None = None
    matched: CostsDocument | None = None
    errors: list[_Number] = []
    madds: list[_Count] = []
    params: list[_Count] = []
    ops: list[_Count] | None = None
    losses: list[_Number | None] = []
    repeats: list[list[_Number]] = []
    networks: list[dict[str, str]] = []
    n: _Count = 0
    mean: EstimateDocument | None = None
    median: EstimateDocument | None = None
    best: list[BestDocument] = []
    spread: _Number | None = None
    curve: list[_Number] = []
    edf: EdfDocument = EdfDocument()
    variance: VarianceDocument | None = None

    def costs(self, cost: Cost) -> list[int]:
        """Of every network; see `ComparisonDocument.cost`."""
        return {"madds": self.madds, "params": self.params, "ops": self.ops}[cost] or self.madds


class TestedDocument(Document):
    """A test statistic with its p-value."""

    statistic: _Number
    p: _Significant


class PairDocument(Document):
    """The first space against another one."""

    a: _Count
    b: _Count
    verdict: _Verdict
    difference: _Number
    interval: _Interval
    level: _Number = 0.95
    sentence: str
    test: str = ""
    p: _Significant | None = None
    p_holm: _Significant | None = None
    superiority: EstimateDocument | None = None
    kolmogorov_smirnov: TestedDocument | None = None
    mann_whitney: TestedDocument | None = None


class EvaluatorDocument(Document):
    """How networks were scored."""

    method: str
    proxy: bool = False
    description: str = ""
    settings: dict[str, Any] = {}


class DataDocument(Document):
    """The images; nothing that belongs to this machine."""

    name: str
    sha256: str = ""
    classes: _Count = 0
    train_images: _Count = 0
    measured_images: _Count = 0
    measured_on: str = ""


class MatchingDocument(Document):
    """How the costs of the spaces were made to agree."""

    cost: Literal["madds", "params", "ops", "none"] = "none"
    tolerance: _Number | None = None
    draws: _Count | None = None
    range: Annotated[list[_Count], Field(min_length=2, max_length=2)] | None = None
    tuples: _Count | None = None


class PowerDocument(Document):
    """The number of networks, and the reason for it.

    Attributes:
        effect: the difference to detect, a share; None if the user gave the number of networks.
        power: probability of detecting it.
        samples: networks per space that detect it; None likewise, and for scores.
        spread: standard deviation of the difference of two draws, largest of all pairs; a share.
        detectable: the difference that the networks detect with that power, a share.
        pilot: networks per space that were evaluated to estimate the spread.
    """

    effect: _Number | None = None
    power: _Number = 0.8
    samples: _Count | None = None
    spread: _Number | None = None
    detectable: _Number | None = None
    pilot: _Count = 0


class ComparisonDocument(Document):
    """A whole comparison; `pairs` is empty if the spaces cannot be compared."""

    format: Literal["autospace.comparison"] = "autospace.comparison"
    version: Literal[2] = 2
    comparable: bool
    verdict: _Verdict
    difference: _Number | None = None
    interval: _Interval | None = None
    unit: Unit = "share"
    level: _Number = 0.95
    sentence: str
    notes: list[str] = []
    evaluator: EvaluatorDocument
    data: DataDocument
    matching: MatchingDocument = MatchingDocument()
    spaces: Annotated[list[SpaceDocument], Field(min_length=2)]
    pairs: list[PairDocument] = []
    power: PowerDocument = PowerDocument()
    seed: _Count = 0
    samples: _Count = 0
    repeats: _Count = 1
    command: str = ""
    versions: dict[str, str] = {}

    @property
    def known_costs(self) -> tuple[Cost, ...]:
        """The costs that it has of every network."""
        # Results of earlier versions have no OPs.
        binary = all(each.ops is not None for each in self.spaces)
        return ("madds", "params", "ops") if binary else ("madds", "params")

    @property
    def cost(self) -> Cost:
        """The cost that is shown: the matched one, or the one that says most of these networks."""
        if self.matching.cost in self.known_costs:
            return self.matching.cost
        return "ops" if "ops" in self.known_costs else "madds"

    def shown(self, value: float) -> float:
        """An error, difference or end of an interval in the unit of reports: a share in points.

        Scores stay as they are.
        """
        return round(100 * value, DIGITS - 2) if self.unit == "share" else value


def numbers_of(found: ComparisonDocument) -> dict[str, float]:
    """The verdicts as numbers with the names of curves; none if the spaces cannot be compared.

    `decided` is 1 if the first space is better, -1 if the other one is, and 0 without a verdict.
    With more than two spaces, the names end in the number of the other one.
    """
    numbers: dict[str, float] = {}
    for pair in found.pairs:
        end = f"/{pair.b}" if len(found.pairs) > 1 else ""
        low, high = map(found.shown, pair.interval)
        numbers |= {
            f"difference{end}": found.shown(pair.difference),
            f"difference low{end}": low,
            f"difference high{end}": high,
            f"decided{end}": {"a": 1.0, "b": -1.0, "none": 0.0}[pair.verdict],
        }
    return numbers


def read_comparison(path: Path) -> ComparisonDocument:
    """The comparison in a file.

    Raises:
        SpaceError: the file is missing or holds no comparison; the message says what and where.
    """
    text = read_text(path)
    try:
        found = validated(ComparisonDocument, parse_json(text, entries=MAX_VALUES))
        _check(found)
    except SpaceError as error:
        raise SpaceError(str(path), str(error)) from None
    return found


def _check(found: ComparisonDocument) -> None:
    for index, pair in enumerate(found.pairs):
        last = max(pair.a, pair.b)
        if last >= len(found.spaces):
            raise SpaceError(
                f"pairs[{index}]", f"refers to space {last}; allowed: 0 to {len(found.spaces) - 1}"
            )
    for index, space in enumerate(found.spaces):
        lengths = {len(space.errors), len(space.madds), len(space.params)}
        lengths |= set() if space.ops is None else {len(space.ops)}
        if len(lengths) > 1 or len(space.edf.error) != len(space.edf.share):
            raise SpaceError(f"spaces[{index}]", "lists of one space have different lengths")
        for number, error in enumerate(space.errors):
            if found.unit == "share" and not 0 <= error <= 1:
                raise SpaceError(f"spaces[{index}].errors[{number}]", f"{error}; allowed: 0 to 1")
    for path, difference, interval in (
        ("", found.difference, found.interval),
        *((f"pairs[{i}].", pair.difference, pair.interval) for i, pair in enumerate(found.pairs)),
    ):
        if interval and not interval[0] <= (difference or 0.0) <= interval[1]:
            found_there = f"{interval[0]} to {interval[1]}"
            raise SpaceError(f"{path}interval", f"{found_there}; allowed: around {difference}")
