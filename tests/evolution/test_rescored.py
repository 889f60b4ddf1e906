"""Old members that are drawn by the tournament and scored again, without torch."""

import itertools
from collections.abc import Sequence

import pytest

from autospace.evolution.folder import state_from_json, state_to_json
from autospace.evolution.loop import evolve, propose, repeat_of, start
from autospace.evolution.plan import Plan
from autospace.evolution.population import EvolutionState
from autospace.evolution.settings import EvolutionConfig
from autospace.runs.errors import ConfigError
from autospace.runs.settings import make_settings
from autospace.spaces import Cell
from tests.tiny import SKELETON, ClosedForm, finish, one_max, plan, space_bytes


class Drifting(ClosedForm):
    """Every score of a cell is one more than the one before."""

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        found = super().score(candidates, repeat)
        return [
            [value + self.times(index, cell) for value, cell in zip(values, layer, strict=True)]
            for index, (values, layer) in enumerate(zip(found, candidates, strict=True))
        ]

    def times(self, layer: int, cell: Cell) -> int:
        return sum(cell in offered[layer] for offered, _ in self.calls)


def rescoring(**changes: object) -> Plan:
    return plan(**{"candidates": 4, "rescore": 2, "generations": 6, "confirm": 0} | changes)


@pytest.mark.parametrize("rescore", [0, 1, 3])
def test_so_many_slots_of_a_generation_go_to_old_members(rescore: int) -> None:
    some = rescoring(rescore=rescore)
    state = start(some)
    for after in evolve(some, ClosedForm()):
        for layer, offered in enumerate(propose(some, state)[0]):
            old = [each for each in offered if each.scores]
            members = {each.id for each in state.layers[layer].members}
            assert {each.id for each in old} <= members
            assert len({each.id for each in offered}) == len(offered)
            if some.phase(state.round) == "evolve":
                assert (len(old), len(offered)) == (rescore, some.candidates)
            else:
                assert not old
        state = after


def test_the_fitter_are_drawn_more_often() -> None:
    some = rescoring(operators={"tournament": 8, "crossover": 0.0}, generations=1)
    *_, founded, _ = evolve(some, ClosedForm())
    drawn = [0, 0]
    for seed in range(40):
        again = rescoring(operators={"tournament": 8}, generations=1, seed=seed)
        ranked = sorted(founded.layers[0].members, key=lambda each: -each.value)
        upper = {each.id for each in ranked[: len(ranked) // 2]}
        for each in propose(again, founded)[0][0]:
            if each.scores:
                drawn[each.id in upper] += 1
    assert sum(drawn) == 80
    assert drawn[1] > 70


@pytest.mark.parametrize("write_back", [0.25, 1.0])
def test_the_moving_average_is_that_of_all_scores(write_back: float) -> None:
    some = rescoring(write_back=write_back)
    scorer = Drifting()
    *_, final = evolve(some, scorer)
    again = 0
    for index, layer in enumerate(final.layers):
        for each in (*layer.members, *layer.hall, *layer.references):
            times = scorer.times(index, each.cell)
            assert each.scores == times
            average = one_max(each.cell) + 1
            for score in range(2, times + 1):
                average += write_back * (one_max(each.cell) + score - average)
            assert each.fitness == pytest.approx(average)
            if write_back == 1:
                assert each.fitness == one_max(each.cell) + times
            again += times > 1
    assert again > 4


def test_old_members_are_not_born_again() -> None:
    some = rescoring()
    states = list(evolve(some, ClosedForm()))
    for layer in range(2):
        for before, after in itertools.pairwise(states):
            fresh = 4 if after.round <= some.founding_rounds else some.candidates - some.rescore
            assert after.layers[layer].born - before.layers[layer].born == fresh
            assert len(after.layers[layer].members) <= some.operators.population
        final = states[-1].layers[layer]
        assert len({each.key for each in final.members}) == len(final.members)
        assert [each.id for each in final.references] == [name for name, _ in some.references]


def test_no_cell_is_scored_twice_with_one_repeat() -> None:
    some = rescoring(confirm=2)
    scorer = ClosedForm()
    *_, final = evolve(some, scorer)
    repeats = [repeat_of(some, index) for index in range(some.rounds)]
    assert [repeat for _, repeat in scorer.calls] == repeats
    assert repeats[: some.founding_rounds + 6] == [0] * some.founding_rounds + [1, 2, 3, 4, 5, 6]
    for layer in range(2):
        asked = [(cell, repeat) for offered, repeat in scorer.calls for cell in offered[layer]]
        assert len(set(asked)) == len(asked)
        confirmed = [each for each in final.layers[layer].hall if each.confirmed]
        assert len(confirmed) == some.finalists
        assert {each.confirmed for each in confirmed} == {2}


def test_a_cell_that_was_scored_often_does_not_go_before_a_fitter_one() -> None:
    some = rescoring(generations=12)
    final = finish(some)
    for layer in final.layers:
        assert len({each.scores for each in layer.hall}) > 1
    text = space_bytes(some, final)
    for layer in final.layers:
        best = max((each for each in layer.hall if each.origin.generation), key=lambda e: e.value)
        assert f'"{best.id}"' in text


def test_a_run_stopped_after_any_round_goes_on_to_the_same_bytes() -> None:
    some = rescoring(confirm=1)
    states = list(evolve(some, ClosedForm()))
    for state in states:
        stored: EvolutionState = state_from_json(state_to_json(state), SKELETON)
        assert state_to_json(finish(some, stored)) == state_to_json(states[-1])


def test_at_least_one_cell_of_a_round_is_new() -> None:
    with pytest.raises(ConfigError, match="rescore: 4; allowed: less than the candidates, 4"):
        make_settings(EvolutionConfig, {"rescore": 4})
