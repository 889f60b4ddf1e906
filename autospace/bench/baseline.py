"""Compares two bench documents: what changed, and whether the change exceeds the noise.

An entry got worse if it moved against its `better` by more than the tolerance, a share of the
baseline's value, and by more than the noise: two standard deviations of the difference of two
measurements. The spread is that of one measurement, although a value is the median of several,
because separate runs differ by more than repeats within a run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal, get_args
from xml.etree import ElementTree as ET

from autospace.bench.document import Bench, Entry, Suite
from autospace.spaces.text import visible

DEVIATIONS: Final = 2.0
Verdict = Literal["worse", "better", "same", "new", "gone"]


@dataclass(frozen=True, slots=True)
class Change:
    """One metric before and now; None if it was not measured."""

    before: Entry | None
    now: Entry | None
    tolerance: float

    @property
    def entry(self) -> Entry:
        """The metric as it is now, or as it was last."""
        entry = self.now or self.before
        if entry is None:
            raise ValueError("a change needs an entry")
        return entry

    @property
    def gain(self) -> float:
        """The improvement in its unit: negative if it got worse, 0 if one side is missing."""
        if self.now is None or self.before is None:
            return 0.0
        change = self.now.value - self.before.value
        return change if self.now.better == "higher" else 0.0 - change

    @property
    def noise(self) -> float:
        """Differences up to this are noise; in the unit of the metric."""
        spreads = [entry.spread for entry in (self.before, self.now) if entry is not None]
        return DEVIATIONS * math.hypot(*spreads)

    @property
    def margin(self) -> float:
        """The change that the tolerance allows, in the unit of the metric."""
        return self.tolerance * abs(self.before.value) if self.before else 0.0

    @property
    def verdict(self) -> Verdict:
        """`worse` or `better` only beyond noise and tolerance."""
        if self.before is None:
            return "new"
        if self.now is None:
            return "gone"
        if abs(self.gain) <= max(self.noise, self.margin):
            return "same"
        return "better" if self.gain > 0 else "worse"


def compare(before: Bench, now: Bench, suites: Sequence[str], tolerance: float) -> list[Change]:
    """Every metric of the suites that ran: those of `now` in order, then those that are gone."""
    old, new = before.by_name, now.by_name
    found = [Change(old.get(name), entry, tolerance) for name, entry in new.items()]
    gone = [
        Change(entry, None, tolerance)
        for name, entry in old.items()
        if name not in new and entry.suite in suites
    ]
    return [*found, *gone]


def other_conditions(before: Bench, now: Bench) -> list[str]:
    """What differs of all that two documents were measured with, but for the load."""
    old, new = _conditions(before), _conditions(now)
    return [name for name in new if old[name] != new[name]]


def _conditions(bench: Bench) -> dict[str, Any]:
    hardware = bench.machine.model_dump(exclude={"load"})
    return {"options": bench.options, "hardware": hardware, "versions": bench.versions}


def unmeasured(before: Bench, suites: Sequence[str]) -> list[Entry]:
    """The metrics of suites that did not run; those that no longer exist are left out."""
    others = {*get_args(Suite)}.difference(suites)
    return [entry for entry in before.entries if entry.suite in others]


def renewed(before: Bench, now: Bench, suites: Sequence[str]) -> Bench:
    """The metrics of `now`, with those of suites that did not run, in the order of the suites."""
    entries = [*unmeasured(before, suites), *now.entries]
    entries.sort(key=lambda entry: get_args(Suite).index(entry.suite))
    return now.model_copy(update={"entries": entries})


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
    summary = f"baseline: {described(change.before)}; now: {described(change.now)}"
    if change.verdict == "worse":
        allowed = f"noise {change.noise:.2g}, tolerance {change.margin:.2g}"
        reason = f"{entry.name} got worse by {-change.gain:.4g} {entry.unit} ({allowed})"
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
    # XML cannot represent most control characters, so they are written as escapes.
    return visible(text)
