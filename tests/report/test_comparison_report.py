"""What the report says about a comparison, against its file."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from autospace.charts.figure import Dots, Line
from autospace.comparison.document import read_comparison
from autospace.report import report_text
from autospace.report.comparison_figures import (
    best_figure,
    difference_figure,
    edf_figure,
    scatter_figure,
)
from autospace.spaces import SpaceError
from tests.report.pages import Node, parsed
from tests.report.samples import comparison, write_comparison


def _page(path: Path, found: dict[str, Any] | None = None) -> Node:
    return parsed(report_text(write_comparison(path, found)))


def _section(page: Node, name: str) -> Node:
    (found,) = (node for node in page.all("section") if node.attributes["id"] == name)
    return found


def _rows(table: Node) -> list[list[str]]:
    (body,) = table.all("tbody")
    return [[cell.whole for cell in row.children] for row in body.all("tr")]


def _headline(page: Node) -> Node:
    (found,) = (p for p in page.all("p") if "headline" in p.attributes.get("class", ""))
    return found


def test_the_verdict_stands_first(tmp_path: Path) -> None:
    found = comparison()
    page = _page(tmp_path, found)
    assert _headline(page).whole == found["sentence"]
    facts = {n.all("dt")[0].whole: n.all("dd")[0].whole for n in page.all("dl")[0].children}
    better = found["spaces"][1]["label"]
    assert facts[f"lead of {better}, points of error"] == "+1.50"
    assert facts["its 95% interval"] == "+0.70 to +2.30"
    assert facts["networks per space"] == "24"


@pytest.mark.parametrize("verdict", ["a", "none"])
def test_the_sign_of_the_tile_is_that_of_the_sentence(tmp_path: Path, verdict: str) -> None:
    found = comparison()
    turned = {"difference": -found["difference"], "verdict": verdict}
    low, high = found["interval"]
    found |= turned | {"interval": [-high, -low]}
    found["pairs"][0] |= turned | {"interval": [-high, -low]}
    page = _page(tmp_path, found)
    facts = {n.all("dt")[0].whole: n.all("dd")[0].whole for n in page.all("dl")[0].children}
    better = found["spaces"][0]["label"]
    assert facts[f"lead of {better}, points of error"] == "+1.50"
    assert facts["its 95% interval"] == "+0.70 to +2.30"


def test_every_network_stands_in_the_table_the_best_first(tmp_path: Path) -> None:
    found = comparison()
    rows = _rows(_section(_page(tmp_path, found), "networks").all("table")[0])
    errors = [float(row[2].removesuffix(" %")) for row in rows]
    assert errors == sorted(errors)
    expected = {
        (space["label"], str(place + 1)): f"{100 * error:.2f} %"
        for space in found["spaces"]
        for place, error in enumerate(space["errors"])
    }
    assert {(row[0], row[1]): row[2] for row in rows} == expected


def test_the_steps_of_the_edf_are_those_of_the_file(tmp_path: Path) -> None:
    path = write_comparison(tmp_path) / "comparison.json"
    found = read_comparison(path)
    panel = edf_figure(found).panels[0]
    lines = [mark.points for mark in panel.marks if isinstance(mark, Line)]
    for line, space in zip(lines, json.loads(path.read_text())["spaces"], strict=True):
        percent = [round(100 * error, 6) for error in space["edf"]["error"]]
        assert line[0] == (percent[0], 0.0)
        assert list(line[1:]) == list(zip(percent, space["edf"]["share"], strict=True))


def test_every_pair_stands_in_the_table(tmp_path: Path) -> None:
    page = _page(tmp_path, comparison(("a", "b", "c")))
    rows = _rows(_section(page, "difference").all("table")[0])
    assert [row[0] for row in rows] == ["a against b", "a against c"]
    assert [row[1] for row in rows] == ["+1.50", "+3.00"]
    assert rows[0][4:6] == ["< 0.001", "< 0.001"]


def test_every_interval_has_its_level(tmp_path: Path) -> None:
    found = comparison(("a", "b", "c"))
    found["level"] = found["pairs"][0]["level"] = 0.9875
    found["pairs"][1]["level"] = 0.96
    page = _page(tmp_path, found)
    rows = _rows(_section(page, "difference").all("table")[0])
    assert [row[2].rpartition(" ")[2] for row in rows] == ["(98.8%)", "(96%)"]
    facts = {n.all("dt")[0].whole: n.all("dd")[0].whole for n in page.all("dl")[0].children}
    assert "its 98.8% interval" in facts
    assert "levels of the intervals of differences: 98.8%, 96%" in page.whole
    assert "Means with 95% intervals" in page.whole
    assert "The spaces, with 95% intervals" in page.whole


def test_unmatched_networks_are_not_said_to_cost_the_same(tmp_path: Path) -> None:
    found = comparison()
    assert "at equal cost" in _page(tmp_path / "matched", found).whole
    found["matching"] |= {"cost": "none", "range": None}
    page = _page(tmp_path / "unmatched", found)
    assert "at equal cost" not in page.whole
    assert "partner of equal cost in the others" not in page.whole
    (table,) = _section(page, "spaces").all("table")
    assert [row[7] for row in _rows(table)] == ["-", "-"]


def test_where_operations_are_binary_costs_are_ops(tmp_path: Path) -> None:
    found = comparison()
    found["matching"]["cost"] = "ops"
    old = report_text(write_comparison(tmp_path / "old", found))
    assert "MAdds of the networks compared" in old  # of a version that did not note OPs
    for space in found["spaces"]:
        space["ops"] = [1_000 + each for each in space["madds"]]
        for name in ("drawn", "matched"):
            space[name]["ops"] = {**space[name]["madds"], "min": 1_234_000}
    page = _page(tmp_path / "new", found)
    assert "OPs of the networks compared" in page.whole
    assert "MAdds compared" not in page.whole
    assert "1.23M to" in _section(page, "spaces").whole
    table = _section(page, "networks").all("table")[0]
    headings = [each.whole for each in table.all("th")]
    assert [each for each in headings if each in ("MAdds", "params", "OPs")] == [
        "MAdds",
        "params",
        "OPs",
    ]


def test_what_was_planned_and_can_be_detected_is_told(tmp_path: Path) -> None:
    found = comparison()
    plan = {"effect": 0.01, "power": 0.8, "samples": 5221, "spread": 0.2, "detectable": 0.01}
    found["power"] = {**plan, "pilot": 16}
    page = _page(tmp_path / "some", found)
    assert "a true difference of 1 point with a probability of 80%" in page.whole
    assert "a difference of 1 point: 5,221 networks per space, from a" in page.whole
    found["power"] |= {"effect": 0.0001, "samples": 25_600, "detectable": 0.045}
    page = _page(tmp_path / "most", found)
    assert "a true difference of 4.5 points with" in page.whole
    assert "a difference of 0.01 points: more than 25,600 networks per" in page.whole


def test_errors_without_any_spread_detect_nothing(tmp_path: Path) -> None:
    found = comparison()
    found["power"] |= {"spread": 0.0, "detectable": 0.0}
    assert "the test detects" not in _page(tmp_path, found).whole


@pytest.mark.parametrize(
    ("name", "units", "outputs", "error"),
    [
        ("digits", "images", "classes", "measured images that a network misclassifies"),
        ("text:ptb", "tokens", "different tokens", "the inverse of the perplexity"),
        ("sentences", "sentences", "classes", "measured sentences that a network misclassifies"),
        ("captions:coco", "images", "different tokens", "n-gram F of the captions"),
    ],
)
def test_what_was_read_and_what_an_error_is(
    tmp_path: Path, name: str, units: str, outputs: str, error: str
) -> None:
    plain = comparison()
    plain["data"]["name"] = name
    text = _page(tmp_path, plain).whole
    assert f"on 1,438 {units} of {name} and measured on 359 test {units}" in text
    assert f"{name}: 10 {outputs}, 1,438 training {units}" in text
    assert error in text
    assert ("misclassifies" in text) == (outputs == "classes")


def test_a_proxy_is_called_one_and_its_scores_no_percentages(tmp_path: Path) -> None:
    page = _page(tmp_path, comparison(unit="dominance"))
    (header,) = page.all("header")
    assert "naswot is a proxy" in header.whole
    (table,) = _section(page, "networks").all("table")
    assert not any("%" in row[2] for row in _rows(table))
    assert "error in %" not in table.whole


def test_spaces_that_cannot_be_compared_get_a_report_that_says_so(tmp_path: Path) -> None:
    page = _page(tmp_path, comparison(comparable=False))
    assert "no common range" in _headline(page).whole
    assert "open" in _headline(page).attributes["class"]
    assert {n.attributes["id"] for n in page.all("section")} >= {"spaces", "method", "again"}
    assert not page.all("figure")


def test_the_least_that_a_file_may_hold_is_enough(tmp_path: Path) -> None:
    least = {
        key: value
        for key, value in comparison(comparable=False).items()
        if key in {"format", "version", "comparable", "verdict", "sentence"}
    }
    least |= {
        "evaluator": {"method": "train"},
        "data": {"name": "x"},
        "spaces": [{"name": "a", "label": "a"}, {"name": "b", "label": "b"}],
    }
    assert _headline(_page(tmp_path, least)).whole


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda f: f.pop("sentence"), "sentence: missing key"),
        (lambda f: f.update(version=1), "version: 1; allowed: 2"),
        (lambda f: f["spaces"][0].update(errors=["1"]), r"errors\[0\]"),
        (lambda f: f["spaces"][0]["errors"].pop(), "have different lengths"),
        (lambda f: f["spaces"][0].update(ops=[1]), "have different lengths"),
        (lambda f: f["spaces"][1]["edf"]["share"].pop(), "have different lengths"),
        (lambda f: f["pairs"][0].update(b=2), "refers to space 2; allowed: 0 to 1"),
        (lambda f: f.update(verdict="maybe"), "verdict"),
        (
            lambda f: f["spaces"][0]["errors"].__setitem__(0, -0.1),
            r"errors\[0\]: -0.1; allowed: 0 t",
        ),
        (
            lambda f: f.update(interval=[1e308, 1e308]),
            r"interval\[0\]: 1e\+308; allowed: 1e\+100 or l",
        ),
        (lambda f: f.update(interval=[0.9, 0.8]), "interval: 0.9 to 0.8; allowed: around"),
        (lambda f: f["pairs"][0].update(interval=[0.9, 0.8]), r"pairs\[0\].interval: 0.9 to 0.8"),
        (lambda f: f.update(samples=2**63), "samples: 9223372036854775808; allowed"),
        (lambda f: f["spaces"].pop(), "spaces"),
    ],
)
def test_a_damaged_comparison_is_one_line_that_names_the_place(
    tmp_path: Path, change: Any, problem: str
) -> None:
    found = copy.deepcopy(comparison())
    change(found)
    with pytest.raises(SpaceError, match=problem) as caught:
        report_text(write_comparison(tmp_path, found))
    assert "comparison.json" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "NaN"])
def test_what_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(SpaceError, match=r"comparison\.json"):
        report_text(tmp_path)


def test_the_statistics_of_a_space_are_those_of_the_file(tmp_path: Path) -> None:
    found = comparison()
    for space in found["spaces"]:
        space["median"] = {"value": 0.5, "interval": [0.4, 0.6]}
        space["variance"] = {"architecture": 3e-4, "seed": 1e-4, "share": 0.75}
    found["pairs"][0] |= {"p": 0.01, "p_holm": 0.04}
    page = _page(tmp_path, found)
    for row in _rows(_section(page, "spaces").all("table")[0]):
        assert row[5] == "50.00 (40.00 to 60.00)"
        assert row[9].startswith("25")
    (row,) = _rows(_section(page, "difference").all("table")[0])
    assert (row[4], row[5]) == ("0.010", "0.040")


def test_the_figures_draw_what_the_file_holds(tmp_path: Path) -> None:
    found = read_comparison(write_comparison(tmp_path, comparison()) / "comparison.json")
    space = found.spaces[0]
    curve = next(each for each in best_figure(found).panels[0].marks if isinstance(each, Line))
    assert curve.points == tuple((k + 1.0, found.shown(e)) for k, e in enumerate(space.curve))
    dots = next(each for each in scatter_figure(found).panels[0].marks if isinstance(each, Dots))
    assert dots.points == tuple(
        (float(c), found.shown(e)) for c, e in zip(space.madds, space.errors, strict=True)
    )
    spread = next(each for each in edf_figure(found).panels[1].marks if isinstance(each, Line))
    assert [share for _, share in spread.points] == sorted(share for _, share in spread.points)
    marks = difference_figure(found).panels[0].marks
    shown = next(each for each in marks if isinstance(each, Dots))
    assert shown.points == ((found.shown(found.pairs[0].difference), 0.0),)


def test_rows_of_spaces_with_long_names_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    plain = comparison(("one", "two", "three"))
    for index, each in enumerate(plain["spaces"]):
        each["label"] = f"nasbench-macro@nasbench-macro-of-a-long-name ({'ABCDE'[index]})"
    path = write_comparison(tmp_path, plain) / "comparison.json"
    panels = difference_figure(read_comparison(path)).panels
    differences, means = (panel.y.names for panel in panels)
    assert len(set(means)) == len(plain["spaces"]) > 2
    assert differences == means[1:]
    assert panels[0].title.endswith("name (A)")
    assert max(map(len, means)) <= 30
