"""The figures of the preset for a CPU: a difference by hand, and the page that states them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autospace.spaces import load
from tests.benchmarks.scripts import script

__all__ = ["script"]

RESULTS = Path(__file__).parents[2] / "docs/evidence/results.md"


def test_a_network_of_the_rival_is_compared_with_the_mean_of_its_partners(script: Any) -> None:
    report = script("preset_report")
    learned = [{"errors": [0.30, 0.40]}, {"errors": [0.34, 0.40]}]
    mean, low, high = report.better(learned, {"errors": [0.30, 0.36]})
    assert mean == pytest.approx(-3.0)  # -2 and -4
    assert (low, high) == pytest.approx((-3 - 12.706, -3 + 12.706), abs=1e-3)


def test_the_page_has_the_figures_of_the_script(script: Any) -> None:
    report = script("preset_report")
    page = " ".join(RESULTS.read_text().split())
    learned = [each for each in report.spaces("preset_longer") if "mbconv" not in each["source"]]
    (rival,) = [each for each in report.spaces("preset_longer") if "mbconv" in each["source"]]
    mean, low, high = report.better(learned, rival)
    assert f"are {-mean:.1f} points worse than `mbconv` ({-high:.1f} to {-low:.1f};" in page
    slope, deviation, p = report.slopes()["expansion 6"]
    told = f"{-slope:.1f} points less error (standard error {deviation:.1f}, p = {p:.2f})"
    assert f"expansion 6 goes with {told}" in page
    assert f"Among its {len(report.hand_made())} networks" in page


def test_the_page_has_the_figures_of_other_settings(script: Any) -> None:
    report = script("preset_report")
    page = " ".join(RESULTS.read_text().split())
    for name in report.CHANGED:
        compared = report.spaces(name)
        learned = [each for each in compared if each["source"].startswith(report.LEARNED)]
        (rival,) = [each for each in compared if each not in learned]
        mean, low, high = report.better(learned, rival)
        seeds = ", ".join(f"{-report.better([each], rival)[0]:.1f}" for each in learned)
        assert f"| {-mean:.1f} | {-high:.1f} to {-low:.1f} | {seeds} |" in page
    found = report.of_all_comparisons()
    for kind, words in (
        ("learned", "for the preset as it was ({0} networks, standard error {2:.1f})"),
        ("wide", "with limit and price ({0}, {2:.1f})"),
        ("price", "with limit and `layer_price` ({0}, {2:.1f})"),
        ("limit", "with the limit alone ({0}, {2:.1f})"),
        ("random@learned", "for random cells ({0}, {2:.1f})"),
        ("mbconv", "for `mbconv` ({0}, {2:.1f})"),
    ):
        assert f"{found[kind][1]:.1f} % {words.format(*found[kind])}" in page


def test_networks_without_gates_cost_the_same_and_the_page_has_what_they_gain(script: Any) -> None:
    gates = script("preset_gates")
    held = 0
    for _, place, network, _ in gates.networks():
        plain = gates.without_gates(network)
        assert (plain.cost, gates.gates(plain)) == (network.cost, 0)
        held += place < gates.REGISTERED and gates.gates(network) > 0
    lines = (gates.RESULTS / "preset_gates.jsonl").read_text().splitlines()
    every = [json.loads(line) for line in lines]
    first, then = gates.asked(every)
    assert len(first) == held == 11
    page = " ".join(RESULTS.read_text().split())
    many = [each for each in then if each["gates"] > 2]
    assert (len(many), len(then)) == (6, 10)
    for rows, words in ((first, "are"), (many, "gain"), (every, "are")):
        mean, low, high = gates.gains(rows)
        assert f"{words} {mean:.1f} points" in page
        assert f"({low:.1f} to {high:.1f})" in page


def test_the_model_of_whole_networks_chooses_the_space_that_was_compared(script: Any) -> None:
    shrink = script("preset_shrink")
    space = load(shrink.SOURCE)
    lines = (shrink.RESULTS / "preset_shrink.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [tuple(row["path"]) for row in rows] == shrink.drawn(space)
    paths, errors = [tuple(row["path"]) for row in rows], [row["error"] for row in rows]
    compared = load(shrink.RESULTS / "preset_shrunk_space.json")
    for layer, gains in zip(compared.layers, shrink.worths(space, paths, errors), strict=True):
        (whole,) = [each for each in space.layers if each.shape.name == layer.shape.name]
        best = sorted(range(len(gains)), key=lambda index: -gains[index])[: shrink.KEPT]
        assert {whole.candidates[index].id for index in best} == set(layer.by_id)
    found = json.loads((shrink.RESULTS / "preset_shrunk.json").read_text())
    low, high = (100 * each for each in found["interval"])
    page = " ".join(RESULTS.read_text().split())
    assert f"**{-100 * found['difference']:.1f} points better** ({-high:.1f} to {-low:.1f})" in page


def test_what_whole_networks_say_of_others_is_what_the_page_says(
    script: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = script("network_stages")
    monkeypatch.setattr("sys.argv", ["network_stages.py"])
    stages.main()
    first, second = capsys.readouterr().out.splitlines()
    page = " ".join(RESULTS.read_text().split())
    share, correlation = (float(each) for each in re.findall(r"-?\d\.\d+", first))
    assert f"explains {share:.0%}".replace("%", " %") in page
    assert f"with a correlation of {correlation:.2f}" in page
    assert "32 networks by layers" in second
