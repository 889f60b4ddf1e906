"""The script behind docs/evidence/truth.md, and the page against what it measured."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from autospace.bench.truth import COUNTS
from tests.benchmarks.scripts import script
from tests.docs.pages import ROOT

__all__ = ["script"]

PAGE = ROOT / "docs" / "evidence" / "truth.md"
MEASURED = ROOT / "benchmarks" / "results" / "truth_search.json"
FOUND = json.loads(MEASURED.read_text())


def regret(name: str, count: int) -> float:
    value: float = FOUND["searches"][name]["mean"][FOUND["counts"].index(count)]
    return value


def exact(count: int) -> float:
    """Of random search."""
    value: float = FOUND["exact"]["one_seed"][FOUND["counts"].index(count)]
    return value


def test_the_page_shows_what_was_measured(script: Any) -> None:
    page = PAGE.read_text("utf-8")
    assert script("truth_search").filled(page, script("truth_search").tables(FOUND)) == page


def test_the_short_answer_is_that_of_the_tables() -> None:
    answer = PAGE.read_text("utf-8").partition("### What was measured")[0]
    best = [regret(name, 200) for name in ("pnas", "evolution", "spos")]
    assert "within 0.05 points" in answer
    assert max(best) < 0.055
    assert f"Random search is {regret('random', 200):.2f} points below" in answer
    worse = [n for n in FOUND["counts"] if regret("pnas", n) > max(regret("random", n), exact(n))]
    assert [n for n in worse if n >= 10] == [n for n in FOUND["counts"] if 15 <= n <= 80]
    dear = ("zero-cost-madds", "zero-cost-params")
    assert all(regret(name, n) > regret("random", n) for name in dear for n in COUNTS)
    compared = FOUND["comparisons"]
    shares = [each["covered"]["share"] for each in compared["given"].values()]
    assert (round(min(shares), 2), round(max(shares), 2)) == (0.94, 0.96)
    assert f"in {100 * compared['planned']['planned']['right']['share']:.0f} % of all" in answer
    assert f"in {100 * compared['equal']['planned']['decided']['share']:.0f} % of all" in answer


def test_the_controller_is_better_than_random_draws_from_70_evaluations_on() -> None:
    half = dict(zip(FOUND["counts"], FOUND["searches"]["enas"]["half"], strict=True))
    better = [n for n in FOUND["counts"] if regret("enas", n) + half[n] < exact(n)]
    assert [n for n in better if n >= 10] == [n for n in FOUND["counts"] if n >= 70]


def test_intervals_on_the_page_do_not_contradict_what_is_stated() -> None:
    for kind in ("given", "planned"):
        for each in FOUND["comparisons"][kind].values():
            assert each["covered"]["interval"][1] >= 0.95
            assert (
                each["n"]
                == round(each["covered"]["share"] * each["n"]) + each["below"] + (each["above"])
            )
    for each in FOUND["comparisons"]["equal"].values():
        assert each["decided"]["interval"][0] <= 0.05
    assert FOUND["comparisons"]["planned"]["planned"]["right"]["interval"][1] >= 0.8


def test_shares_have_the_textbook_interval(script: Any) -> None:
    # Clopper and Pearson: none of n cases, 1 - 0.025^(1 / n).
    low, high = script("truth_search").interval_of(0, 20)
    assert (low, high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20), abs=1e-4))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_script_runs_from_end_to_end(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module = script("truth_search")
    monkeypatch.setattr(module, "PAGE", tmp_path / "none.md")
    command = ["truth_search.py", "--out", str(tmp_path), "--processes", "1"]
    # Searches and comparisons in turn: what the file has already is kept.
    for sizes in (["--seeds", "0", "--pairs", "4"], ["--seeds", "2", "--pairs", "0"]):
        monkeypatch.setattr(sys, "argv", [*command, *sizes])
        module.main()
    found = json.loads((tmp_path / "truth_search.json").read_text())
    assert set(found) == set(FOUND)
    assert found["exact"] == FOUND["exact"]
    for name, each in found["searches"].items():
        # The seeds of the committed figures begin with these.
        assert each["last"] == FOUND["searches"][name]["last"][:2]
    assert re.search("<svg", (tmp_path / "truth_search.svg").read_text())
