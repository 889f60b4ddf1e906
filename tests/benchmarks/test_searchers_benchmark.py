"""The benchmark of the search methods, at a size that says nothing but that it works."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autospace.spaces import to_json
from autospace.spaces.files.families import family_space
from tests.docs.pages import ROOT
from tests.searchers.problems import SETTINGS, SKELETON

SMALL = (
    "--spaces mbconv random-cells --only zero-cost --seeds 2 --truth 2 --truth-seeds 1 "
    "--seconds 0.5 --evaluations 16 --training-steps 3"
)


def run(script: str, *arguments: object) -> str:
    command = [sys.executable, ROOT / "benchmarks" / script, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*map(str, command)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_what_is_measured_is_measured_once_and_told(tmp_path: Path) -> None:
    learned, out = tmp_path / "learned.json", tmp_path / "measured.jsonl"
    learned.write_text(to_json(family_space("mnasnet", SKELETON)))
    data = SETTINGS["data"]["source"]
    command = [learned, "--data", data, "--out", out, *SMALL.split()]
    run("searchers.py", *command, "--worker", 0, "--workers", 2)
    half = out.read_text()
    run("searchers.py", *command)
    assert out.read_text().startswith(half)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    keys = [(row["kind"], row["space"], row["name"], row["seed"]) for row in rows]
    assert len(set(keys)) == len(keys)
    kinds = [kind for kind, *_ in keys]
    assert (kinds.count("truth"), kinds.count("search"), kinds.count("plan")) == (4, 4, 2)
    plans = {(row["space"], row["name"]): row for row in rows if row["kind"] == "plan"}
    for row in rows:
        if row["kind"] == "search":
            assert len(row["rated"]) == 2
            planned = plans[row["space"], row["name"]]["evaluations"]
            assert row["evaluations"] == planned
    page = tmp_path / "page.md"
    page.write_text((ROOT / "docs" / "evidence" / "search-methods.md").read_text("utf-8"))
    run("searchers_report.py", out, "--docs", page)
    told = page.read_text().partition("## Results")[2]
    assert "### In the space `random-cells`" in told
    assert told.count("| `zero-cost` |") == 3
    run("searchers_report.py", out, "--docs", page)
    assert page.read_text().partition("## Results")[2] == told
