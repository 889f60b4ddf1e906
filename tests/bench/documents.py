"""Bench documents to compare, print and damage."""

from typing import Any

from hypothesis import strategies as st

from autospace.bench.document import Bench, Entry, Options
from autospace.compute.machine import Machine
from tests.strategies import names

MACHINE = Machine(system="Linux x86_64", processor="a processor", cores=2, device="cpu", load=0.5)


def entry(metric: str = "tau", value: float = 0.6, **changes: Any) -> Entry:
    some = {"suite": "ranking", "metric": metric, "value": value, "unit": "tau"}
    return Entry(**{**some, "better": "higher", "spread": 0.01, "n": 3, **changes})


def document(*entries: Entry, quick: bool = True, **changes: Any) -> Bench:
    options = Options(quick=quick, seeds=2)
    some = {"machine": MACHINE, "versions": {"torch": "2"}, "options": options}
    return Bench(**{**some, "entries": list(entries), **changes})


def numbers() -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    return Entry(
        suite=draw(names()),
        metric=draw(names()),
        value=draw(numbers()),
        unit=draw(names()),
        better=draw(st.sampled_from(["higher", "lower"])),
        spread=abs(draw(numbers())),
        n=draw(st.integers(1, 10**9)),
    )


def documents() -> st.SearchStrategy[Bench]:
    unique = st.lists(entries(), max_size=5, unique_by=lambda each: each.name)
    return unique.map(lambda some: document(*some))
