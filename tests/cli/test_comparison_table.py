"""The table and the box plots of a comparison."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.cli.display.comparison_table import box, print_comparison
from autospace.comparison.document import read_comparison
from tests.report.samples import comparison, write_comparison

VALUES = st.lists(st.floats(0, 100), min_size=1, max_size=40).map(sorted)


@given(VALUES, st.integers(5, 80))
def test_a_box_reaches_from_the_least_to_the_greatest(values: list[float], width: int) -> None:
    line = box(values, 0, 100, width)
    assert len(line) == width
    drawn = [place for place, char in enumerate(line) if char != " "]
    assert drawn == list(range(drawn[0], drawn[-1] + 1))
    for place, value in ((drawn[0], values[0]), (drawn[-1], values[-1])):
        assert abs(place - value / 100 * (width - 1)) <= 0.5 + 1e-9
    assert line.count("│") == 1


def test_a_box_by_hand() -> None:
    assert box([0, 1, 2, 3, 4, 5, 6, 7, 8], 0, 8, 9) == "──██│██──"
    assert box([2, 2, 2], 2, 2, 5) == "│    "
    assert box([4, 4, 8], 0, 8, 9) == "    │████"


@pytest.mark.parametrize(("unit", "scale"), [("share", 100), ("dominance", -1)])
def test_people_read_points_of_error_or_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: str, scale: int
) -> None:
    plain = comparison(unit=unit)
    path = write_comparison(tmp_path, plain) / "comparison.json"
    print_comparison(read_comparison(path), path, tmp_path / "report.html")
    lines = capsys.readouterr().out.splitlines()
    digits = 1 if unit == "share" else 2
    for line, space in zip(lines[1:], plain["spaces"], strict=False):
        low, high = sorted(scale * end for end in space["mean"]["interval"])
        told = f"{scale * space['mean']['value']:.{digits}f}"
        assert f"{told} ({low:.{digits}f} to {high:.{digits}f})" in line


def test_long_names_of_spaces_are_whole_and_squeeze_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    plain = comparison()
    labels = ["a-space-with-a-long-name-of-mine", "a-space-with-a-long-name-of-yours"]
    for space, label in zip(plain["spaces"], labels, strict=True):
        space["label"] = label
    path = write_comparison(tmp_path, plain) / "comparison.json"
    print_comparison(read_comparison(path), path, tmp_path / "report.html")
    out = capsys.readouterr().out
    assert "…" not in out
    assert all(f"\n{label}\n" in out for label in labels)  # over its box
    assert max(map(len, out.partition("Written")[0].splitlines())) <= 80


@pytest.mark.parametrize("known", [True, False])
def test_a_range_of_ops_is_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], known: bool
) -> None:
    found = comparison()
    found["matching"] |= {"cost": "ops", "range": [1_000, 2_000]}
    for space in found["spaces"] if known else ():
        space["ops"] = space["madds"]
        for name in ("drawn", "matched"):
            space[name]["ops"] = space[name]["madds"]
    path = write_comparison(tmp_path, found) / "comparison.json"
    print_comparison(read_comparison(path), path, tmp_path / "report.html")
    said = capsys.readouterr().out
    assert "compared at equal OPs, 1.00k to 2.00k; drawn: " in said
    assert ("MAdds" in said) is not known


@pytest.mark.parametrize("unit", ["share", "dominance"])
def test_short_names_of_spaces_leave_room_for_the_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unit: str
) -> None:
    plain = comparison(unit=unit)
    for space, label in zip(plain["spaces"], "ab", strict=True):
        space["label"] = label
    path = write_comparison(tmp_path, plain) / "comparison.json"
    print_comparison(read_comparison(path), path, tmp_path / "report.html")
    lines = capsys.readouterr().out.splitlines()
    axis = lines[next(i for i, line in enumerate(lines) if "│" in line) - 1]
    name = "error" if unit == "share" else "score"
    assert axis.split()[0] == name
    assert len(axis.split()) == 3
