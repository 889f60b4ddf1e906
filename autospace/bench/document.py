"""What a bench run writes: measurements as entries, with the machine and the versions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from autospace.compute.machine import Machine, printable
from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.files.codec import canonical_json
from autospace.spaces.files.reading import parse_document, read_text, validated

FORMAT: Final = "autospace.bench"
ORIGIN: Final = "numbers that autospace bench --out FILE writes"
VERSION: Final = 1
Suite = Literal["speed", "recovery", "ranking", "truth", "cost"]


_Name = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(printable)]
_Text = Annotated[str, Field(max_length=256), AfterValidator(printable)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Entry(_Document):
    """One measurement."""

    suite: Annotated[_Name, Field(description="suite that measured it")]
    metric: Annotated[_Name, Field(description="what was measured; unique in its suite")]
    value: Annotated[_Number, Field(description="median, mean or worst of the measurements")]
    unit: Annotated[_Name, Field(description="unit of value and spread")]
    better: Annotated[Literal["higher", "lower"], Field(description="which way is an improvement")]
    spread: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False, description="standard deviation of one measurement"),
    ]
    n: Annotated[int, Field(ge=1, description="measurements behind the value")]

    @property
    def name(self) -> str:
        """Suite and metric: `speed/search_step_ratio`."""
        return f"{self.suite}/{self.metric}"


class Options(_Document):
    """How it was measured; only documents with equal options are compared."""

    quick: Annotated[bool, Field(description="smaller workloads and fewer repeats")]
    seeds: Annotated[int, Field(ge=1, le=1000, description="seeds of `recovery` and `ranking`")]
    cifar10: Annotated[bool, Field(description="`ranking` on CIFAR-10, not on made images")] = False


class Bench(_Document):
    """A whole document: the entries of the suites that ran."""

    format: Literal["autospace.bench"] = "autospace.bench"
    version: Literal[1] = 1
    machine: Machine
    versions: Annotated[dict[_Name, _Text], Field(description="package to version")]
    options: Options
    entries: Annotated[list[Entry], Field(max_length=4096)]

    @property
    def by_name(self) -> Mapping[str, Entry]:
        """The entries under `suite/metric`."""
        return {entry.name: entry for entry in self.entries}


def to_json(bench: Bench) -> str:
    """Canonical text: sorted keys, indented, newline at the end."""
    return canonical_json(bench.model_dump(mode="json"))


def read_bench(path: Path) -> Bench:
    """The document in a file.

    Raises:
        SpaceError: the file is missing or no valid document; the message names file and value.
    """
    try:
        bench = validated(Bench, parse_document(read_text(path), FORMAT, ORIGIN))
        _check_names(bench.entries)
    except SpaceError as error:
        raise error if error.path == str(path) else SpaceError(str(path), str(error)) from None
    return bench


def _check_names(entries: Sequence[Entry]) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        if entry.name in seen:
            raise SpaceError(f"entries[{index}]", f"{shown(entry.name)} is a duplicate")
        seen.add(entry.name)
