"""`autospace profile`, and the options of evolve that use what it writes."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autospace.cli.commands.evolve import _milliseconds
from autospace.cli.output import InputError
from autospace.latency import profile as profiling
from autospace.latency.parts import parts_of_skeleton
from autospace.latency.table import read_table
from autospace.spaces import load_skeleton, to_json
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PASSES", 2), ("FITTED_ON", 2), ("CHECKED_ON", 2)):
        monkeypatch.setattr(profiling, name, value)


@pytest.fixture
def digits(run: Run, tmp_path: Path) -> Path:
    path = tmp_path / "digits.json"
    assert run("profile", "--skeleton", "digits", "--out", path).code == 0
    return path


def test_the_table_has_every_part_that_a_cell_on_the_skeleton_may_need(digits: Path) -> None:
    table = read_table(digits)
    assert [row.key for row in table.rows] == parts_of_skeleton(load_skeleton("digits"))
    assert all(row.mean_ms > 0 and row.n == 2 for row in table.rows)
    assert (table.device, table.dtype, table.batch, table.threads) == ("cpu", "float32", 1, 1)
    assert table.check is not None
    assert table.check.networks == 2


def test_people_get_the_most_expensive_parts_and_how_far_to_trust_them(run: Run) -> None:
    ran = run("profile", "--skeleton", "digits")
    assert ran.code == 0
    lines = ran.out.splitlines()
    times = [float(line.split()[3]) for line in lines if line.endswith("  2")]
    assert len(times) == 20
    assert times == sorted(times, reverse=True)
    assert "median error on 2 random networks: " in ran.out
    assert max(map(len, lines)) <= 80
    assert "profile: " in ran.err


def test_programs_get_csv_or_json_and_a_file_is_what_its_name_says(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "space.csv"
    ran = run("profile", "--space", "reference@digits", "--format", "json", "--out", path)
    rows: list[dict[str, Any]] = json.loads(ran.out)["rows"]
    found = list(csv.DictReader(io.StringIO(path.read_text())))
    assert [row["part"] for row in found] == [row["part"] for row in rows]
    assert {row["part"] for row in rows} >= {"stem", "head", "classifier", "dw_conv_3x3"}
    assert "max_pool_3x3" not in {row["part"] for row in rows}


def test_sizes_are_those_that_were_asked_for(run: Run) -> None:
    sizes = ["--resolution", "6", "--channels", "2", "--classes", "3", "--batch", "2"]
    ran = run("profile", "--skeleton", "digits", *sizes, "--dtype", "bfloat16", "--format", "json")
    plain = json.loads(ran.out)
    by_name = {row["part"]: row for row in plain["rows"]}
    assert (by_name["stem"]["inputs"], by_name["stem"]["resolution"]) == (2, 6)
    assert by_name["classifier"]["outputs"] == 3
    assert (plain["batch"], plain["dtype"]) == (2, "bfloat16")


def test_an_existing_file_is_kept(run: Run, digits: Path) -> None:
    before = digits.read_bytes()
    ran = run("profile", "--skeleton", "digits", "--out", digits)
    assert (ran.code, ran.out) == (2, "")
    assert digits.read_bytes() == before
    assert run("profile", "--skeleton", "digits", "--out", digits, "--force").code == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--skeleton", "nasnet"], "unknown skeleton"),
        (["--space", "mbconv@digits", "--skeleton", "digits"], "--space: brings its own skeleton"),
        (["--space", "mbconv@digits", "--resolution", "8"], "--space: brings its own skeleton"),
        (["--space", "/no/such"], "no such file or folder"),
        (["--device", "tpu"], '"tpu"; allowed: auto, cpu'),
        (["--device", "cuda:0,1"], '"cuda:0,1"; did you mean cuda? Allowed: auto, cpu or cuda[:n]'),
        (["--batch", "0"], "--batch"),
        (["--dtype", "int8"], "--dtype"),
    ],
)
def test_bad_input_is_refused(run: Run, arguments: list[str], complaint: str) -> None:
    ran = run("profile", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err


def test_more_parts_than_a_table_holds_are_refused_before_they_are_timed(
    run: Run, tmp_path: Path
) -> None:
    large = load_skeleton("cifar")
    layers = [
        replace(large.layers[0], stride=2 if index < 12 else 1, channels=8 * (index + 1))
        for index in range(128)
    ]
    path, out = tmp_path / "large.json", tmp_path / "table.json"
    path.write_text(to_json(replace(large, layers=tuple(layers))))
    ran = run("profile", "--skeleton", path, "--out", out)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert "4,249 parts; allowed in a latency table: up to 4,096" in ran.err
    assert not out.exists()


@pytest.mark.slow
def test_evolve_takes_the_table(run: Run, digits: Path, tmp_path: Path) -> None:
    small = ["warm_up.steps=2", "scoring.steps=1", "evolution.confirm=0", "data.limit=100"]
    options = ["--generations", "0", "--population", "4", "--set", "evolution.tournament=2"]
    options += [word for each in small for word in ("--set", each)]
    command = ["evolve", *options, "--latency-table", digits, "--progress", "none"]
    out = tmp_path / "run"
    assert run(*command, "--max-latency-ms", "1000", "--out", out).code == 0
    plain = json.loads((out / "space.json").read_text())
    assert plain["provenance"]["latency"]["max_ms"] == 1000
    ran = run(*command, "--max-latency-ms", "0.0001", "--out", tmp_path / "other")
    assert ran.code == 2
    assert "the limit is 0.0001 ms, but the reference cells need" in ran.err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("none", "none"), ("reference", "reference"), ("12.5", 12.5), ("7", 7.0)],
)
def test_milliseconds_are_read(text: str | None, expected: float | str | None) -> None:
    assert _milliseconds(text) == expected


@pytest.mark.parametrize("text", ["", "fast", "-1", "0", "nan", "inf", "1e9", "5ms"])
def test_other_milliseconds_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected milliseconds such as"):
        _milliseconds(text)
