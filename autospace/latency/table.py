"""The latency table of a device: measured parts, and how well sums of them predict networks."""

import csv
import hashlib
import io
import os
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from autospace.latency.parts import Part, is_part, part_names
from autospace.spaces.cells.cell import MAX_EXPANSION
from autospace.spaces.checks import MAX_CHANNELS, MAX_CLASSES, MAX_RESOLUTION
from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.files.codec import canonical_json
from autospace.spaces.files.reading import parse_json, read_text, validated
from autospace.spaces.text import visible

TABLE_NAMES: Final = ("nasbench201-eyeriss", "nasbench201-fpga")
"""Built-in tables, for the skeleton `nasbench201`."""
MOST_MS: Final = 10.0**6
MAX_ROWS: Final = 4096
_COMMON: Final = ("device", "dtype", "batch")
NO_TABLE: Final = "no latency table; allowed: what autospace profile --out FILE writes"


def _known(name: str) -> str:
    if not is_part(name):
        raise ValueError(f"unknown part; {offered(name, part_names())}")
    return name


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("allowed: printable characters only")
    return text


_Ms = Annotated[float, Field(ge=0, le=MOST_MS, allow_inf_nan=False)]
_Text = Annotated[str, Field(max_length=256), AfterValidator(_printable)]
_Width = Annotated[int, Field(ge=1, le=MAX_EXPANSION * MAX_CHANNELS)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Row(_Document):
    """A part and its latency."""

    part: Annotated[str, AfterValidator(_known)]
    inputs: _Width
    outputs: Annotated[int, Field(ge=1, le=max(MAX_EXPANSION * MAX_CHANNELS, MAX_CLASSES))]
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
    rows: Annotated[list[Row], Field(min_length=1, max_length=MAX_ROWS)]
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
    common = {key: getattr(table, key) for key in _COMMON}
    text = io.StringIO()
    writer = csv.DictWriter(text, [*Row.model_fields, *common], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row.model_dump(), **common} for row in table.rows)
    return text.getvalue()


def is_csv(text: str) -> bool:
    """Whether a text begins as `to_csv` writes it."""
    return text.lstrip().startswith("part,inputs,")


def from_csv(text: str) -> dict[str, Any]:
    """The plain values of a table that `to_csv` wrote.

    The file has all rows, but neither the correction nor processor, threads and version of torch:
    no correction is made, and what is unknown stays empty.

    Raises:
        SpaceError: the text is no CSV, columns are missing or unknown, lines differ in device,
            dtype or batch, or a field is no number.
    """
    names = [*Row.model_fields, *_COMMON]
    reader = csv.DictReader(io.StringIO(text.lstrip(), newline=""))
    try:
        if list(reader.fieldnames or ()) != names:
            problem = f"columns {', '.join(reader.fieldnames or ())}; allowed: {', '.join(names)}"
            raise SpaceError("line 1", visible(problem)[:400])
        lines = [dict(line) for line, _ in zip(reader, range(MAX_ROWS + 1), strict=False)]
    except csv.Error as error:
        problem = f"{error}; allowed: quotes that are closed"
        raise SpaceError(f"line {reader.line_num}", problem) from None
    common = lines[0] if lines else dict.fromkeys(_COMMON, "")
    for number, line in enumerate(lines, start=2):
        if None in line or None in line.values():
            raise SpaceError(f"line {number}", f"not {len(names)} fields")
        for key in _COMMON:
            if line[key] != common[key]:
                problem = f"{shown(line[key])}; allowed: {shown(common[key])}, as in line 2"
                raise SpaceError(f"line {number}.{key}", problem)
    rows = [{key: _field(line, key) for key in Row.model_fields} for line in lines]
    about = {"device": common["device"], "dtype": common["dtype"], "batch": _field(common, "batch")}
    unknown = {"processor": "", "threads": 1, "torch": "", "subject": "a table without correction"}
    return {**about, **unknown, "rows": rows}


def _field(line: dict[str, Any], key: str) -> Any:
    """A field as the number that it is; text stays text, and the model refuses it."""
    for kind in (int, float):
        try:
            return line[key] if key == "part" else kind(line[key])
        except ValueError:
            continue
    return line[key]


def _parsed(text: str) -> Any:
    """The values of a JSON file; what is none is no table, whatever else it may be."""
    try:
        plain = parse_json(text)
    except SpaceError as error:
        raise SpaceError("", f"{NO_TABLE} ({error})") from None
    if not isinstance(plain, dict) or "rows" not in plain:
        raise SpaceError("", NO_TABLE)
    return plain


def digest(table: LatencyTable) -> str:
    """SHA-256 of the table's canonical text."""
    return hashlib.sha256(to_json(table).encode()).hexdigest()


def is_built_in(source: str) -> bool:
    """Whether a name is that of a built-in table; a file of this name comes first."""
    return source in TABLE_NAMES and not os.path.lexists(source)


def read_table(source: Path | str) -> LatencyTable:
    """A built-in table by name, or that of a file of JSON or CSV; one of CSV has no correction.

    Raises:
        SpaceError: the file is missing or holds no valid table; the message names file and value.
    """
    if is_built_in(str(source)):
        folder = resources.files("autospace.latency") / "data"
        return validated(LatencyTable, parse_json((folder / f"{source}.json").read_text("utf-8")))
    return _read(Path(source))


def _read(path: Path) -> LatencyTable:
    try:
        text = read_text(path).removeprefix("\ufeff")
    except SpaceError as error:
        if os.path.lexists(path):
            raise
        known = offered(path.name, TABLE_NAMES, f"a file, or {', '.join(TABLE_NAMES)}")
        raise SpaceError(error.path, f"{error.problem}; {known}") from None
    try:
        plain = from_csv(text) if is_csv(text) else _parsed(text)
        table = validated(LatencyTable, plain)
        for index, row in enumerate(table.rows):
            if table.by_part[row.key] is not row:
                raise SpaceError(
                    f"rows[{index}]", f"{shown(row.part)} of this shape is a duplicate"
                )
    except SpaceError as error:
        raise SpaceError(str(path), str(error)) from None
    return table
