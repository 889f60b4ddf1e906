"""The latency table of a device: measured parts, and how well sums of them predict networks."""

import csv
import hashlib
import io
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from autospace.latency.parts import Part, part_names
from autospace.spaces.checks import MAX_CHANNELS, MAX_CLASSES, MAX_RESOLUTION
from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.files.codec import canonical_json
from autospace.spaces.files.reading import parse_json, read_text, validated

MOST_MS: Final = 10.0**6


def _known(name: str) -> str:
    if name not in part_names():
        raise ValueError(f"unknown part; {offered(name, part_names())}")
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("allowed: printable characters only")
    return text


_Ms = Annotated[float, Field(ge=0, le=MOST_MS, allow_inf_nan=False)]
_Text = Annotated[str, Field(max_length=256), AfterValidator(_printable)]
_Width = Annotated[int, Field(ge=1, le=6 * MAX_CHANNELS)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Row(_Document):
    """A part and its latency."""

    part: Annotated[str, AfterValidator(_known)]
    inputs: _Width
    outputs: Annotated[int, Field(ge=1, le=max(6 * MAX_CHANNELS, MAX_CLASSES))]
    resolution: Annotated[int, Field(ge=1, le=MAX_RESOLUTION)]
    stride: Annotated[int, Field(ge=1, le=2)]
    mean_ms: Annotated[_Ms, Field(description="mean of the middle half of the measurements")]
    std_ms: Annotated[_Ms, Field(description="their standard deviation")]
    n: Annotated[int, Field(ge=1, description="measurements, before the middle half is taken")]

    @property
    def key(self) -> Part:
        """The part itself."""
        return Part(self.part, self.inputs, self.outputs, self.resolution, self.stride)


class Correction(_Document):
    """The time of a part in a network: scale times its own time, plus an overhead."""

    scale: Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)] = 1.0
    overhead_ms: _Ms = 0.0


class Check(_Document):
    """Predicted versus measured latency of random networks that were not used for the fit."""

    networks: Annotated[int, Field(ge=1)]
    median_error: Annotated[float, Field(ge=0, allow_inf_nan=False, description="relative")]
    worst_error: Annotated[float, Field(ge=0, allow_inf_nan=False, description="relative")]
    tau: Annotated[float, Field(ge=-1, le=1, description="Kendall's tau")]


class LatencyTable(_Document):
    """All that was measured on a device.

    Attributes:
        device: `cpu`, or the name of the GPU.
        batch: images per forward pass; all times are of a whole pass.
        threads: number of threads in which torch computed.
    """

    format: Literal["autospace.latency"] = "autospace.latency"
    version: Literal[1] = 1
    device: _Text
    processor: _Text
    dtype: Literal["float32", "bfloat16", "float16"]
    batch: Annotated[int, Field(ge=1, le=65_536)]
    threads: Annotated[int, Field(ge=1)]
    torch: _Text
    subject: Annotated[_Text, Field(description="skeleton or space whose parts were measured")]
    rows: Annotated[list[Row], Field(min_length=1, max_length=4096)]
    correction: Correction = Correction()
    check: Check | None = None

    @cached_property
    def by_part(self) -> dict[Part, Row]:
        """The rows by their parts."""
        return {row.key: row for row in self.rows}


def to_json(table: LatencyTable) -> str:
    """Canonical text: sorted keys, indented, newline at the end."""
    return canonical_json(table.model_dump(mode="json"))


def to_csv(table: LatencyTable) -> str:
    """One line per row, device, dtype and batch on each."""
    common = {"device": table.device, "dtype": table.dtype, "batch": table.batch}
    text = io.StringIO()
    writer = csv.DictWriter(text, [*Row.model_fields, *common], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row.model_dump(), **common} for row in table.rows)
    return text.getvalue()


def digest(table: LatencyTable) -> str:
    """SHA-256 of the table's canonical text."""
    return hashlib.sha256(to_json(table).encode()).hexdigest()


def read_table(path: Path) -> LatencyTable:
    """The table in a JSON file.

    Raises:
        SpaceError: the file is missing or holds no valid table; the message names file and value.
    """
    text = read_text(path)
    try:
        table = validated(LatencyTable, parse_json(text))
        for index, row in enumerate(table.rows):
            if table.by_part[row.key] is not row:
                raise SpaceError(
                    f"rows[{index}]", f"{shown(row.part)} of this shape is a duplicate"
                )
    except SpaceError as error:
        raise SpaceError(str(path), str(error)) from None
    return table
