"""Populations that nothing made by hand has founded."""

import random
from typing import Any

import pytest

from autospace.evolution.folder import RunFolder, state_from_json, state_to_json
from autospace.evolution.loop import absorb, evolve, founders, propose, start
from autospace.evolution.preparation import prepare
from autospace.evolution.settings import make_config
from autospace.spaces import Cell
from autospace.spaces.cells.variation import CellPrior
from tests.evolution.runs import Counting
from tests.evolution.runs import settings as run_settings
from tests.tiny import REFERENCES, ClosedForm, finish, plan, space_bytes


def _likes_references(cell: Cell) -> float:
    return float(cell in [each for _, each in REFERENCES])


@pytest.mark.parametrize("candidates", [1, 2, 3, 7, 30])
def test_references_are_scored_and_handed_over_but_have_no_offspring(candidates: int) -> None:
    some = plan(hand_made=False, candidates=candidates, generations=12)
    states = list(evolve(some, ClosedForm(_likes_references)))
    founded, final = states[some.founding_rounds - 1], states[-1]
    names = {name for name, _ in REFERENCES}
    for before, after in zip(founded.layers, final.layers, strict=True):
        assert before.born == some.operators.population + len(REFERENCES)
        assert {each.origin.kind for each in before.members} == {"random"}
        assert len(before.members) == len(after.members) == some.operators.population
        assert [(each.id, each.fitness) for each in after.references] == [
            (name, 1.0) for name, _ in REFERENCES
        ]
        for each in (*after.members, *after.hall):
            assert not names & set(each.origin.parents)
            assert each.origin.kind != "reference" or each.id in names
    assert all(f'"{name}"' in space_bytes(some, final) for name in names)


def test_with_references_they_have_offspring() -> None:
    final = finish(plan(generations=12), score=_likes_references)
    names = {name for name, _ in REFERENCES}
    assert all(
        any(names & set(each.origin.parents) for each in layer.members) for layer in final.layers
    )


def test_a_stopped_run_goes_on_to_the_same_bytes() -> None:
    some = plan(hand_made=False, candidates=2)
    states = list(evolve(some, ClosedForm()))
    expected = state_to_json(states[-1])
    for state in states:
        stored = state_from_json(state_to_json(state), some.skeleton)
        assert state_to_json(finish(some, stored)) == expected


def test_where_only_the_references_fit_they_stay() -> None:
    only = CellPrior(("dw_conv_3x3",), nodes=2, window=1, expansions=(3,), mixes=("sum",))
    some = plan(
        references=(("mbconv", Cell(("dw_conv_3x3",), ("sum",), 3)),),
        hand_made=False,
        generations=1,
        operators={"prior": only, "population": 2, "tournament": 1},
    )
    state = next(evolve(some, ClosedForm()))
    assert [[each.id for each in layer.members] for layer in state.layers] == [["mbconv"]] * 2


@pytest.mark.parametrize(("founders", "hand_made"), [("references", True), ("random", False)])
def test_the_setting_decides(tmp_path: Any, founders: str, hand_made: bool) -> None:
    config = make_config(run_settings(tmp_path, evolution={"founders": founders}))
    prepared = prepare(config, RunFolder(tmp_path / "run"), Counting())
    assert prepared.plan.hand_made is hand_made


@pytest.mark.parametrize(
    "changes",
    [{}, {"hand_made": False}, {"screen": 3, "shrink": True}, {"tied": 2}],
    ids=["plain", "random", "predictor", "tied"],
)
def test_the_first_cells_are_known_before_they_are_scored(changes: dict[str, Any]) -> None:
    some = plan(**changes)
    rng, state = random.Random(1), start(some)
    seen = [list[Cell]() for _ in some.skeleton.shapes]
    while state.round < some.founding_rounds:
        proposals, drawn = propose(some, state)
        for row, members in zip(seen, proposals, strict=True):
            row += [member.cell for member in members]
        fitness = [[rng.random() for _ in members] for members in proposals]
        if changes.get("tied"):
            fitness = [fitness[layer - layer % 2] for layer in range(len(fitness))]
        state = absorb(some, state, proposals, fitness, drawn)
    assert founders(some) == seen
