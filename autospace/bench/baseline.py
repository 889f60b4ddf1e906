"""Two bench documents side by side: what moved, and whether that is more than noise.

An entry got worse if it moved against its `better` by more than the tolerance, a share of the
baseline's value, and by more than the noise: two standard deviations of the difference of two
measurements. Spread is that of one measurement, although a value is a middle of several: runs
differ from each other by more than repeats within a run do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from autospace.bench.document import Bench, Entry

DEVIATIONS: Final = 2.0

Verdict = Literal["worse", "better", "same", "new", "gone"]


@dataclass(frozen=True, slots=True)
class Change:
    """One metric before and now; None where it was not measured."""

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
        """How much better it got, in its unit; negative if worse; 0 if one side is missing."""
        if self.now is None or self.before is None:
            return 0.0
        change = self.now.value - self.before.value
        return change if self.now.better == "higher" else 0.0 - change

    @property
    def noise(self) -> float:
        """What two measurements of the same differ by without meaning anything, in its unit."""
        spreads = [entry.spread for entry in (self.before, self.now) if entry is not None]
        return DEVIATIONS * math.hypot(*spreads)

    @property
    def margin(self) -> float:
        """What the tolerance allows, in its unit."""
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
    """Every metric of the suites that ran: those of `now` in their order, then what is gone."""
    old, new = before.by_name, now.by_name
    found = [Change(old.get(name), entry, tolerance) for name, entry in new.items()]
    gone = [
        Change(entry, None, tolerance)
        for name, entry in old.items()
        if name not in new and entry.suite in suites
    ]
    return [*found, *gone]
