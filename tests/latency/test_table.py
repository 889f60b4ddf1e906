"""The table's file."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from autospace.latency.table import LatencyTable, digest, read_table, to_csv, to_json
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
