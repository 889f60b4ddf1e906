"""Charts: places, ticks, and what stands in the picture."""

import math
import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.charts import svg
from autospace.charts.figure import (
    Area,
    Axis,
    Dots,
    Line,
    Panel,
    Rule,
    Scale,
    Segments,
    Unit,
    tick_label,
    ticks,
)
from autospace.charts.svg import panel_svg
from tests.strategies import HOSTILE_NAMES

finite = st.floats(-1e9, 1e9, allow_nan=False)


@given(st.lists(finite, min_size=1, max_size=9), st.integers(2, 9))
def test_ticks_are_few_round_increasing_and_on_the_axis(values: list[float], most: int) -> None:
    axis = Axis.of("", values)
    found = [value for value, _ in ticks(axis, most)]
    assert len(found) <= most + 1
    span = axis.high - axis.low
    assert all(axis.low - 1e-6 * span <= value <= axis.high + 1e-6 * span for value in found)
    steps = {round((b - a) / span, 6) for a, b in pairwise(found)}
    assert len(steps) <= 1
    if steps:
        step = found[1] - found[0]
        leading = step / 10 ** math.floor(math.log10(step) + 1e-9)
        assert any(abs(leading - each) < 1e-6 for each in (1, 2, 2.5, 5))


@given(st.integers(1, 100_000), st.integers(2, 9))
def test_rounds_are_counted_in_whole_numbers(rounds: int, most: int) -> None:
    found = ticks(Axis("round", 0.5, rounds + 0.5, "whole"), most)
    assert 1 <= len(found) <= most + 1
    assert all(label == f"{value:.0f}" and value == round(value) for value, label in found)


@given(st.lists(finite, min_size=2, max_size=9, unique=True), st.integers(3, 9))
def test_labels_tell_ticks_apart(values: list[float], most: int) -> None:
    labels = [label for _, label in ticks(Axis.of("", values), most)]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("value", "step", "unit", "label"),
    [
        (0.0, 0.1, "number", "0.0"),
        (-0.2, 0.1, "number", "\N{MINUS SIGN}0.2"),
        (2.5, 2.5, "number", "2.5"),
        (0.025, 0.025, "number", "0.025"),
        (0.5, 0.25, "percent", "50%"),
        (0.0, 1e5, "count", "0"),
        (2e5, 1e5, "count", "200k"),
        (1.5e6, 5e5, "count", "1.5M"),
        (3e9, 1e9, "count", "3G"),
        (40.0, 20.0, "count", "40"),
    ],
)
def test_labels_are_short(value: float, step: float, unit: Unit, label: str) -> None:
    assert tick_label(value, step, unit, abs(value)) == label


def test_the_labels_of_an_axis_agree_in_their_unit() -> None:
    labels = [label for _, label in ticks(Axis("", 0.1e6, 1.05e6, "count"), 5)]
    assert labels == ["0.2M", "0.4M", "0.6M", "0.8M", "1.0M"]


@given(finite, finite, st.floats(allow_nan=False))
def test_no_value_leaves_the_panel(low: float, high: float, value: float) -> None:
    if low < high:
        place = Scale(Axis("", low, high), 10.0, 90.0).at(value)
        assert 10 <= place <= 90
        assert Scale(Axis("", low, high), 10.0, 90.0).at(low) == 10
        assert Scale(Axis("", low, high), 10.0, 90.0).at(high) == 90


@given(st.lists(finite, max_size=9))
def test_an_axis_has_room_for_all_its_values(values: list[float]) -> None:
    axis = Axis.of("", values)
    assert all(axis.low <= value <= axis.high for value in values)


def test_an_axis_that_is_no_range_is_refused() -> None:
    with pytest.raises(ValueError, match="from 1 to 1"):
        Axis("x", 1, 1)


SVG = "{http://www.w3.org/2000/svg}"


def _panel(name: str = "a") -> Panel:
    points = ((0.0, 1.0), (1.0, 3.0), (2.0, 2.0))
    return Panel(
        name,
        f"described: {name}",
        Axis("x", 0, 2),
        Axis("y", 0, 4),
        (
            Area(((0.5, -1e300, 1e300), (1.5, -1e300, 1e300)), "first"),
            Rule(2.0, "reference"),
            Rule(1.0, "reference", "y"),
            Line(points, "first", step=True),
            Segments(((points[0], points[2]),), "faint"),
            Dots(points, "second", "square", (name, "two", "three")),
        ),
    )


def _parsed(panel: Panel) -> ET.Element:
    text = panel_svg(panel, (300, 200), "p-0")
    return ET.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_larger_values_stand_higher_and_further_right() -> None:
    hits = list(_parsed(_panel()).iter(f"{SVG}circle"))
    x = [float(each.get("cx", "")) for each in hits]
    y = [float(each.get("cy", "")) for each in hits]
    assert x[0] < x[1] < x[2]
    assert y[1] < y[2] < y[0]
    # Equal steps of the value are equal steps on paper.
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.1)
    assert y[0] - y[2] == pytest.approx(y[2] - y[1], abs=0.1)


def test_every_number_of_a_path_lies_within_the_picture() -> None:
    for path in _parsed(_panel()).iter(f"{SVG}path"):
        numbers = [float(each) for each in re.findall(r"[\d.]+", path.get("d", ""))]
        assert all(0 <= each <= 300 for each in numbers)


def test_a_picture_is_described_and_its_points_tell_their_values() -> None:
    root = _parsed(_panel())
    assert root.get("role") == "img"
    title, described = root[0], root[1]
    assert (root.get("aria-labelledby"), root.get("aria-describedby")) == (
        title.get("id"),
        described.get("id"),
    )
    assert (title.text, described.text) == ("a", "described: a")
    tips = [each[0].text for each in root.iter(f"{SVG}circle")]
    assert tips == ["a", "two", "three"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_stay_text(name: str) -> None:
    root = _parsed(_panel(name))
    assert root[0].text == name
    tags = {each.tag.removeprefix(SVG) for each in root.iter()}
    assert tags <= {"svg", "title", "desc", "text", "path", "circle"}


def test_names_of_a_categorical_axis_run_from_top_to_bottom() -> None:
    axis = Axis.named(["one", "two"])
    panel = Panel("t", "d", Axis("x", 0, 1), axis, (Dots(((0.5, 0.0), (0.5, 1.0)), "first"),))
    texts = {each.text: float(each.get("y", "")) for each in _parsed(panel).iter(f"{SVG}text")}
    assert texts["one"] < texts["two"]


def _luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_formula_knows_black_on_white() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("colours", [svg.LIGHT, svg.DARK], ids=["light", "dark"])
def test_text_and_marks_stand_out_from_every_background(colours: dict[str, str]) -> None:
    for background in svg.BACKGROUNDS:
        for role in svg.TEXT_ROLES:
            assert _contrast(colours[role], colours[background]) >= 4.5, (role, background)
        for role in svg.MARK_ROLES:
            assert _contrast(colours[role], colours[background]) >= 3, (role, background)


def _seen(colour: str, cone: str) -> tuple[float, ...]:
    """Linear light as a person without one kind of cone sees it (Vienot et al., 1999)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    if cone == "protan":
        mixed = 0.11238 * r + 0.88762 * g
        return (mixed, mixed, 0.00401 * r - 0.00401 * g + b)
    mixed = 0.29275 * r + 0.70725 * g
    return (mixed, mixed, -0.02234 * r + 0.02234 * g + b)


@pytest.mark.parametrize("cone", ["protan", "deutan"])
@pytest.mark.parametrize("colours", [svg.LIGHT, svg.DARK], ids=["light", "dark"])
def test_the_first_three_series_differ_for_the_colour_blind(
    colours: dict[str, str], cone: str
) -> None:
    seen = [_seen(colours[role], cone) for role in ("first", "second", "third")]
    for a in range(3):
        for b in range(a):
            far = math.dist([x ** (1 / 2.2) for x in map(abs, seen[a])],
                            [x ** (1 / 2.2) for x in map(abs, seen[b])])  # fmt: skip
            assert far > 0.15, (a, b)
