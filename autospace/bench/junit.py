"""A comparison as JUnit XML: a test case per metric, for the CI systems that show such files."""

from collections.abc import Sequence
from itertools import groupby
from xml.etree import ElementTree as ET

from autospace.bench.baseline import Change
from autospace.bench.document import Entry
from autospace.spaces.text import visible


def junit(changes: Sequence[Change]) -> str:
    """The XML text; a metric that got worse is a failure, a missing one is skipped."""
    root = ET.Element("testsuites", {"name": "autospace bench", **_counts(changes)})
    by_suite = sorted(changes, key=lambda change: change.entry.suite)
    for suite, group in groupby(by_suite, key=lambda change: change.entry.suite):
        members = list(group)
        skipped = sum(_is_skipped(change) for change in members)
        counts = {"skipped": str(skipped), **_counts(members)}
        part = ET.SubElement(root, "testsuite", {"name": _text(suite), **counts})
        for change in members:
            _case(part, change)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def described(entry: Entry | None) -> str:
    """Value, spread and count on one line."""
    if entry is None:
        return "not measured"
    return f"{entry.value:.4g} {entry.unit} (spread {entry.spread:.2g}, n {entry.n})"


def _case(part: ET.Element, change: Change) -> None:
    entry = change.entry
    case = ET.SubElement(
        part,
        "testcase",
        name=_text(entry.metric),
        classname=_text(f"autospace.bench.{entry.suite}"),
        time="0",
    )
    summary = f"baseline {described(change.before)}, now {described(change.now)}"
    if change.verdict == "worse":
        allowed = f"noise {change.noise:.2g}, tolerance {change.margin:.2g}"
        reason = f"{entry.name} got worse by {-change.gain:.4g} {entry.unit}; {allowed}"
        failure = ET.SubElement(case, "failure", message=_text(reason), type="regression")
        failure.text = _text(summary)
    elif _is_skipped(change):
        where = "in the baseline" if change.verdict == "gone" else "now"
        ET.SubElement(case, "skipped", message=_text(f"measured only {where}"))
    ET.SubElement(case, "system-out").text = _text(summary)


def _counts(changes: Sequence[Change]) -> dict[str, str]:
    worse = sum(change.verdict == "worse" for change in changes)
    return {"tests": str(len(changes)), "failures": str(worse), "errors": "0", "time": "0"}


def _is_skipped(change: Change) -> bool:
    return change.verdict == "gone"


def _text(text: str) -> str:
    # XML has no way at all to write most control characters, so they are spelled out.
    return visible(text)
