"""Figures for a paper: matplotlib draws what the report shows."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from autospace.charts.figure import Dots, Figure, Line
from autospace.report import figures
from tests.report.samples import comparison, write_comparison, write_run
from tests.strategies import HOSTILE_NAMES

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Figure, ...]:
    folder = tmp_path_factory.mktemp("paper")
    write_run(folder / "run")
    return (*figures(folder / "run"), *figures(write_comparison(folder / "compared")))


def test_a_folder_has_the_figures_of_its_report(drawn: tuple[Figure, ...]) -> None:
    names = [each.name for each in drawn]
    run = ["gains", "fitness", "operations", "lineage", "front", "effort"]
    assert names == [*run, "edf", "difference", "best-of-n", "networks"]


def test_every_figure_can_be_drawn_twice_with_equal_bytes(drawn: tuple[Figure, ...]) -> None:
    from autospace.charts.paper import render

    for each in drawn[::3]:
        text = render(each, "svg")
        assert text == render(each, "svg")
        root = ET.fromstring(text)
        texts = {"".join(node.itertext()).strip() for node in root.iter()}
        assert {panel.title for panel in each.panels} <= texts
        assert {entry.label for entry in each.legend} <= texts


def test_a_figure_holds_no_date(drawn: tuple[Figure, ...]) -> None:
    from autospace.charts.paper import render

    assert b"dc:date" not in render(drawn[0], "svg")
    pdf = render(drawn[0], "pdf")
    assert pdf.startswith(b"%PDF")
    assert b"CreationDate" not in pdf
    assert pdf == render(drawn[0], "pdf")
    png = render(drawn[0], "png")
    assert png.startswith(b"\x89PNG")
    assert png == render(drawn[0], "png")


def test_lines_have_a_place_for_every_point(drawn: tuple[Figure, ...]) -> None:
    from autospace.charts.paper import render

    (fitness,) = (each for each in drawn if each.name == "fitness")
    lines = [m for p in fitness.panels for m in p.marks if isinstance(m, Line)]
    text = render(fitness, "svg").decode()
    longest = max(len(re.findall("[ML]", path)) for path in re.findall(r' d="([^"]*)"', text))
    assert longest >= len(lines[0].points)
    assert all(isinstance(each.panels[0].marks[-1], Dots | Line) for each in drawn[:2])


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "$a$ and $b$", "\\frac{1}{2}"])
def test_hostile_names_stay_text(tmp_path: Path, name: str) -> None:
    from autospace.charts.paper import render

    found = figures(write_comparison(tmp_path, comparison((name, "b"))))
    root = ET.fromstring(render(found[0], "svg"))
    texts = {"".join(node.itertext()).strip() for node in root.iter()}
    assert name in texts
    assert not [node for node in root.iter() if node.tag.endswith("script")]


def test_a_run_without_a_round_has_no_figures(tmp_path: Path) -> None:
    write_run(tmp_path / "run", rounds=0)
    assert figures(tmp_path / "run") == ()
