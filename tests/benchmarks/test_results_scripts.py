"""The scripts behind docs/evidence/results.md: what they draw, average and resume."""

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from autospace.spaces import Space, from_json, network_cost
from tests.benchmarks.scripts import script
from tests.evolution.runs import ROOT
from tests.tiny import finish, plan, space_bytes

__all__ = ["script"]

PAGE = ROOT / "docs" / "evidence" / "results.md"
MEASURED = ROOT / "benchmarks" / "results" / "results.json"

SMALL = ["--set", "scoring.steps=1", "scoring.validation_batches=1", "warm_up.steps=5"]
SMALL += ["evolution.generations=1"]


def test_intervals_over_networks_and_over_seeds(script: Any) -> None:
    gaps = [[1.0, 2.0, 3.0], [2.0, 2.0, 5.0], [0.0, 1.0, -1.0]]
    found = script("results_figures").over_seeds(gaps)
    flat, means = np.ravel(gaps), np.mean(gaps, axis=1)
    for values, named in ((flat, found), (means, found["over_seeds"])):
        low, high = stats.t.interval(
            0.95, len(values) - 1, values.mean(), stats.sem(values, ddof=1)
        )
        assert named["difference"] == pytest.approx(values.mean(), abs=5e-4)
        assert named["interval"] == pytest.approx([low, high], abs=5e-4)


@pytest.mark.slow
def test_networks_are_drawn_near_the_target_from_evolved_cells(script: Any) -> None:
    results: ModuleType = script("results")
    space = from_json(space_bytes(plan(), finish(plan())))
    assert isinstance(space, Space)
    target = network_cost(
        space.skeleton, [layer.candidates[0].cell for layer in space.layers]
    ).madds
    networks, share = results.drawn(space, target, 6, seed=1)
    assert 0 < share <= 1
    assert len(networks) == 6
    for each in networks:
        assert each.cost.madds == pytest.approx(target, rel=results.TOLERANCE)
        assert all(one.origin.kind != "reference" for one in each.candidates)
    assert results.drawn(space, 10**9, 6, seed=1) == ([], 0.0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_scripts_run_from_end_to_end_and_make_nothing_twice(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images = "synthetic:classes=10,train=200,test=40,channels=3,resolution=16"
    results, figures = script("results"), script("results_figures")
    work = tmp_path / "work"
    arguments = ["results.py", "--data", images, "--work", str(work), "--steps", "1"]
    arguments += [
        "--samples",
        "4",
        "--networks",
        "2",
        "--seeds",
        "0",
        "--parts",
        "learn",
        "headline",
        "ablations",
    ]
    monkeypatch.setattr(sys, "argv", [*arguments, *SMALL, "--variants", "random fitness"])
    results.main()
    first = figures.collect(work / "steps-1")
    results.main()
    again = figures.collect(work / "steps-1")
    first.pop("cpu_seconds")
    again.pop("cpu_seconds")
    assert again == first
    # At this size a space may have no network near the target, and a rival only dearer ones.
    variants = [each["variant"] for each in first["ablations"]]
    assert variants in (["full method", "random fitness"], ["random fitness"])
    kinds = ["hand-made", "random", "uncharged", "first-try"]
    assert "random" in first["comparisons"]
    assert list(first["comparisons"]) == [kind for kind in kinds if kind in first["comparisons"]]
    assert all(len(each["seeds"]) == 1 for each in first["comparisons"].values())


@pytest.mark.skipif(not PAGE.is_file(), reason="there is no page yet")
def test_the_page_shows_what_was_measured(script: Any) -> None:
    report = script("results_report")
    found, page = json.loads(MEASURED.read_text()), PAGE.read_text("utf-8")
    assert report.filled(page, report.tables(found)) == page


def test_tables_go_between_their_marks(script: Any) -> None:
    page = "# A\n<!-- one -->\nold\n<!-- end of one -->\nB\n<!-- two -->\n<!-- end of two -->\n"
    filled = script("results_report").filled
    once = filled(page, {"one": "| 1 \\d |\n", "two": "| 2 |\n"})
    assert once == (
        "# A\n<!-- one -->\n| 1 \\d |\n<!-- end of one -->\nB\n"
        "<!-- two -->\n| 2 |\n<!-- end of two -->\n"
    )
    assert filled(once, {"one": "old\n", "two": ""}) == page
