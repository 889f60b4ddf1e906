"""Ancestry of a cell, and the changes from parent to child."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from autospace.evolution.population import Member
from autospace.report.record import lineage
from autospace.spaces import Origin, mbconv
from tests.tiny import member


def _family() -> dict[str, Member]:
    k3, k5, k7 = (mbconv(kernel, 3) for kernel in (3, 5, 7))
    wide = replace(k3, expansion=6)
    known = [
        member("k3", k3, 0.0, origin=Origin("reference")),
        member("k7", k7, 0.1, origin=Origin("reference")),
        member("c1", wide, 0.2, origin=Origin("mutation", 0, ("k3",))),
        member("c2", replace(k5, expansion=6), 0.3, origin=Origin("mutation", 1, ("c1",))),
        member("c3", replace(k7, expansion=6), 0.4, origin=Origin("crossover", 2, ("k7", "c2"))),
    ]
    return {each.id: each for each in known}


def test_the_main_line_leads_from_the_first_ancestor_through_the_closest_parents() -> None:
    found = lineage("c2", _family())
    assert [step.member.id for step in found.steps] == ["k3", "c1", "c2"]
    assert [step.changes for step in found.steps] == [(), ("e3→e6",), ("0>3 dw3→dw5",)]
    assert found.lost is None


def test_a_crossover_goes_on_with_the_closest_parent_and_names_the_other() -> None:
    found = lineage("c3", _family())
    # One change from k7 (expansion), one from c2 (the edge): of equals, the first parent counts.
    assert [step.member.id for step in found.steps] == ["k7", "c3"]
    assert found.steps[-1].other is not None
    assert found.steps[-1].other.id == "c2"
    assert {each.id for each in found.ancestors} == {"k3", "k7", "c1", "c2", "c3"}
    generations = [each.origin.generation for each in found.ancestors]
    assert generations == sorted(generations)


def test_a_parent_that_nobody_recorded_ends_the_line_and_is_named() -> None:
    family = _family()
    del family["c1"]
    found = lineage("c2", family)
    assert [step.member.id for step in found.steps] == ["c2"]
    assert found.lost == "c1"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=6))
def test_no_claimed_parents_make_it_run_for_ever(parents: list[tuple[int, int]]) -> None:
    family = {
        f"c{index}": member(
            f"c{index}",
            mbconv(3, 3),
            0.0,
            origin=Origin("crossover", 1, tuple(f"c{each}" for each in pair)),
        )
        for index, pair in enumerate(parents)
    }
    for identity in family:
        ids = [step.member.id for step in lineage(identity, family).steps]
        assert len(set(ids)) == len(ids)
        assert ids[-1] == identity
