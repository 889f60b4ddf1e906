"""`comparison.json` as a value; docs/comparison.md says what its keys mean."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from autospace.spaces.errors import SpaceError
from autospace.spaces.files.reading import parse_json, read_text, validated

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Count = Annotated[int, Field(ge=0)]
_Interval = Annotated[list[_Number], Field(min_length=2, max_length=2)]
_Verdict = Literal["a", "b", "none"]


class _Part(BaseModel):
    # Later versions may say more; a report shows what it knows.
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Estimate(_Part):
    """A number with its confidence interval; `of` tells how many networks the best is of."""

    value: _Number
    interval: _Interval | None = None
    of: _Count | None = None


class Spread(_Part):
    """The distribution of a cost: its ends, its mean, and quantiles at 0, 5, ... 100 %."""

    min: _Number
    max: _Number
    mean: _Number
    quantiles: list[_Number]


class Costs(_Part):
    """Distributions of both costs."""

    madds: Spread
    params: Spread


class Steps(_Part):
    """An empirical distribution function: at `error[i]` it rises to `share[i]`."""

    error: list[_Number] = []
    share: list[_Number] = []


class Variance(_Part):
    """How much of the differences is due to architectures, and how much to seeds."""

    architecture: _Number
    seed: _Number
    share: _Number


class Compared(_Part):
    """One space and the networks drawn from it."""

    name: str
    label: str
    source: str = ""
    skeleton: str = ""
    layers: _Count = 0
    architectures: str = ""
    overlap: _Number | None = None
    drawn: Costs | None = None
    matched: Costs | None = None
    errors: list[_Number] = []
    madds: list[_Number] = []
    params: list[_Number] = []
    losses: list[_Number | None] = []
    repeats: list[list[_Number]] = []
    networks: list[dict[str, str]] = []
    n: _Count = 0
    mean: Estimate | None = None
    median: Estimate | None = None
    best: list[Estimate] = []
    spread: _Number | None = None
    curve: list[_Number] = []
    edf: Steps = Steps()
    variance: Variance | None = None


class Test(_Part):
    """A test statistic with its p-value."""

    statistic: _Number
    p: _Number


class Pair(_Part):
    """The first space against another one."""

    a: _Count
    b: _Count
    verdict: _Verdict
    difference: _Number
    interval: _Interval
    level: _Number = 0.95
    sentence: str
    test: str = ""
    p: _Number | None = None
    p_holm: _Number | None = None
    superiority: Estimate | None = None
    kolmogorov_smirnov: Test | None = None
    mann_whitney: Test | None = None


class Evaluator(_Part):
    """How networks were scored."""

    method: str
    proxy: bool = False
    description: str = ""
    settings: dict[str, Any] = {}


class Data(_Part):
    """The images."""

    name: str
    sha256: str = ""
    classes: _Count = 0
    train_images: _Count = 0
    measured_images: _Count = 0
    measured_on: str = ""


class Matching(_Part):
    """How the costs of the spaces were made to agree."""

    cost: Literal["madds", "params", "none"] = "none"
    tolerance: _Number | None = None
    draws: _Count | None = None
    range: _Interval | None = None
    tuples: _Count | None = None


class Power(_Part):
    """What effect the comparison was made to find, and which it could have found."""

    effect: _Number | None = None
    power: _Number = 0.8
    samples: _Count | None = None
    spread: _Number | None = None
    detectable: _Number | None = None
    pilot: _Count = 0


class Comparison(_Part):
    """A whole comparison."""

    format: Literal["autospace.comparison"]
    version: Literal[1]
    comparable: bool
    verdict: _Verdict
    difference: _Number | None = None
    interval: _Interval | None = None
    unit: Literal["points", "dominance"] = "points"
    level: _Number = 0.95
    sentence: str
    notes: list[str] = []
    evaluator: Evaluator
    data: Data
    matching: Matching = Matching()
    spaces: Annotated[list[Compared], Field(min_length=2)]
    pairs: list[Pair] = []
    power: Power = Power()
    seed: int = 0
    samples: _Count = 0
    repeats: _Count = 1
    command: str = ""
    versions: dict[str, str] = {}


def read_comparison(path: Path) -> Comparison:
    """The comparison in a file.

    Raises:
        SpaceError: not there, or no comparison; the message says what and where.
    """
    text = read_text(path)
    try:
        found = validated(Comparison, parse_json(text))
        _check(found)
    except SpaceError as error:
        raise SpaceError(str(path), str(error)) from None
    return found


def _check(found: Comparison) -> None:
    for index, pair in enumerate(found.pairs):
        last = max(pair.a, pair.b)
        if last >= len(found.spaces):
            raise SpaceError(f"pairs[{index}]", f"names space {last}, which is not there")
    for index, space in enumerate(found.spaces):
        lengths = {len(space.errors), len(space.madds), len(space.params)}
        if len(lengths) > 1 or len(space.edf.error) != len(space.edf.share):
            raise SpaceError(f"spaces[{index}]", "lists that belong together differ in length")
