"""The table's file."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.latency.table import Correction, LatencyTable, digest, read_table, to_csv, to_json
from autospace.spaces import SpaceError
from tests.latency.tables import table_for
from tests.tiny import SKELETON

TABLE = table_for(SKELETON)


def test_a_table_that_is_written_reads_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(to_json(TABLE))
    assert read_table(path) == TABLE
    assert digest(TABLE) == hashlib.sha256(path.read_bytes()).hexdigest()
    jsonschema.Draft202012Validator(LatencyTable.model_json_schema()).validate(
        json.loads(path.read_text())
    )


def test_csv_has_a_line_per_row_with_device_dtype_and_batch() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(TABLE))))
    assert len(rows) == len(TABLE.rows)
    for line, row in zip(rows, TABLE.rows, strict=True):
        assert (line["part"], float(line["mean_ms"]), int(line["n"])) == (
            row.part,
            row.mean_ms,
            row.n,
        )
        assert (line["device"], line["dtype"], line["batch"]) == ("cpu", "float32", "1")


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("format",), "autospace.bench", "format: "),
        (("rows",), [], "rows: "),
        (("rows", 0, "part"), "conv", "rows[0].part: "),
        (("rows", 0, "mean_ms"), -1.0, "rows[0].mean_ms: "),
        (("rows", 0, "mean_ms"), 1e300, "rows[0].mean_ms: "),
        (("rows", 0, "stride"), 3, "rows[0].stride: "),
        (("rows", 0, "cost"), 3, "rows[0].cost: unknown key"),
        (("device",), "a\nb", "device: "),
        (("dtype",), "int8", "dtype: "),
        (("correction", "scale"), -1.0, "correction.scale: "),
    ],
)
def test_a_damaged_table_is_refused_with_its_place(
    tmp_path: Path, path: tuple[Any, ...], value: object, complaint: str
) -> None:
    plain: Any = json.loads(to_json(TABLE))
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path / "table.json"
    file.write_text(json.dumps(plain))
    with pytest.raises(SpaceError) as caught:
        read_table(file)
    assert str(caught.value).startswith(f"{file}: {complaint}")


def test_a_part_that_stands_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text(to_json(TABLE.model_copy(update={"rows": [*TABLE.rows, TABLE.rows[0]]})))
    with pytest.raises(SpaceError, match="is a duplicate"):
        read_table(file)


def test_csv_reads_back_with_every_row_and_without_a_correction(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("\ufeff" + to_csv(TABLE), encoding="utf-8")
    found = read_table(file)
    assert found.rows == TABLE.rows
    assert (found.device, found.dtype, found.batch) == ("cpu", "float32", 1)
    assert found.correction == Correction()
    # The state of a run keeps it as JSON.
    file.write_text(to_json(found), encoding="utf-8")
    assert read_table(file) == found


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("part,inputs", "part,inputs,extra"), "line 1: columns part, inputs, extra"),
        (("cpu,float32,1\n", "cpu,float32,1,9\n"), "line 2: not 11 fields"),
        (("cpu,float32,1\n", "gpu,float32,1\n"), 'line 3.device: "cpu"; allowed: "gpu"'),
        (("stem,", "stump,"), "rows[0].part: "),
        ((",float32,", ",int8,"), "dtype: "),
    ],
)
def test_damaged_csv_is_refused_with_its_place(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    file = tmp_path / "table.csv"
    everywhere = -1 if change[1] == ",int8," else 1
    file.write_text(to_csv(TABLE).replace(*change, everywhere), encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        read_table(file)
    assert str(caught.value).startswith(f"{file}: {complaint}")


@pytest.mark.parametrize("place", ["part,inputs,", "\nstem,"])
def test_csv_with_a_quote_that_is_not_closed_is_refused(tmp_path: Path, place: str) -> None:
    file = tmp_path / "table.csv"
    text = to_csv(TABLE)
    longer = text * (2 + csv.field_size_limit() // len(text))
    file.write_text(longer.replace(place, f'{place}"', 1), encoding="utf-8")
    with pytest.raises(SpaceError) as caught:
        read_table(file)
    assert str(caught.value).startswith(f"{file}: line ")
    assert str(caught.value).endswith("; allowed: quotes that are closed")


@pytest.mark.parametrize(
    "text", ["Conv-input:7x7\n  count: 3\n", "{}", "[1]", "a,b\n1,2\n", '{"format": "x"}', ""]
)
def test_the_table_of_another_program_is_no_latency_table(tmp_path: Path, text: str) -> None:
    file = tmp_path / "lut.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError, match="no latency table; allowed: what autospace profile --out"):
        read_table(file)


@given(st.text(max_size=60) | st.text(max_size=60).map(to_csv(TABLE).__add__))
def test_any_text_is_a_table_or_an_error(tmp_path_factory: Any, text: str) -> None:
    file = tmp_path_factory.mktemp("any") / "table.csv"
    file.write_bytes(text.encode("utf-8", "replace"))
    try:
        read_table(file)
    except SpaceError as problem:
        assert str(problem).isprintable()  # noqa: PT017
