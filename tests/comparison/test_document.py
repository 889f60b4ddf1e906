"""The file against its description in docs/reference/comparison.md, and against its own figures."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from autospace.comparison.compare import compare
from tests.comparison.conftest import Listener, Start

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "reference" / "comparison.md"


@pytest.fixture
def found(start: Start) -> dict[str, Any]:
    folder = start(sampling={"samples": 16, "repeats": 2}, evaluator={"steps": 1})
    compare(folder, Listener(), workers=1)
    plain: dict[str, Any] = json.loads(folder.result.read_text())
    return plain


def _described() -> list[set[str]]:
    """Keys in the first column of every table of the section on the file."""
    section = PAGE.read_text().split("\n## The file\n")[1].split("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    rows = [[line.split("|")[1] for line in table.splitlines()[2:]] for table in tables]
    return [{key for cell in table for key in re.findall(r"`(\w+)`", cell)} for table in rows]


def test_the_page_describes_every_key_and_no_other(found: dict[str, Any]) -> None:
    file, space, pair = _described()
    assert set(found) == file
    assert {key for each in found["spaces"] for key in each} == space
    assert {key for each in found["pairs"] for key in each} == pair


def test_the_figures_of_the_file_follow_from_its_errors(found: dict[str, Any]) -> None:
    one, two = (each["errors"] for each in found["spaces"])
    wanted = stats.ttest_rel(one, two)
    interval = wanted.confidence_interval(0.95)
    assert found["interval"] == pytest.approx(tuple(interval), abs=1e-7)
    (pair,) = found["pairs"]
    assert pair["p"] == pytest.approx(wanted.pvalue, rel=1e-4)
    assert pair["mann_whitney"]["p"] == pytest.approx(stats.mannwhitneyu(one, two).pvalue, rel=1e-4)
    for space in found["spaces"]:
        assert space["curve"][0] == pytest.approx(space["mean"]["value"], abs=1e-7)
        assert space["curve"][-1] == min(space["errors"])
        assert space["edf"]["share"][-1] == 1
        assert space["best"][0]["of"] == 2
        assert len(space["drawn"]["madds"]["quantiles"]) == 21
        for cost in ("madds", "params"):
            matched, values = space["matched"][cost], space[cost]
            assert (matched["min"], matched["max"]) == (min(values), max(values))
            assert matched["mean"] == pytest.approx(sum(values) / len(values), abs=0.06)
            assert matched["quantiles"][10] == int(np.median(values))
        assert 0 < space["overlap"] <= 1
        assert space["spread"] == pytest.approx(stats.tstd(space["errors"]), abs=1e-7)
        between = space["variance"]["architecture"] + space["variance"]["seed"]
        assert space["variance"]["share"] == pytest.approx(
            space["variance"]["architecture"] / between, abs=1e-4
        )


def test_the_file_is_sorted_ascii_with_a_newline(start: Start) -> None:
    folder = start()
    compare(folder, Listener(), workers=1)
    text = folder.result.read_text("ascii")
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
