"""The generational loop, without torch: cells scored by a formula."""

import itertools
import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.evolution.folder import state_from_json, state_to_json
from autospace.evolution.loop import evolve, propose, repeat_of, start
from autospace.evolution.plan import Plan
from autospace.evolution.population import DIVERGED, EvolutionState
from autospace.spaces import Budget, Cell
from autospace.spaces.cells.key import canonical_key
from autospace.spaces.cells.variation import CellPrior
from autospace.spaces.cost import layer_shares, most_expensive_reference
from tests.tiny import REFERENCES, SKELETON, ClosedForm, finish, one_max, plan, space_bytes

MODES: list[dict[str, Any]] = [
    {},
    {"operators": {"ageing": True}},
    {"operators": {"objectives": ("fitness", "madds")}},
    {"candidates": 1},
    {"candidates": 20},
    {"confirm": 0},
    {"confirm": 3, "candidates": 2},
    {"generations": 0},
]

plans = st.builds(
    lambda acting, **rest: plan(operators=acting, **rest),
    st.fixed_dictionaries(
        {
            "population": st.integers(2, 9),
            "tournament": st.integers(1, 4),
            "crossover": st.sampled_from((0.0, 0.5, 1.0)),
            "ageing": st.booleans(),
        }
    ),
    seed=st.integers(0, 2**63 - 1),
    generations=st.integers(0, 3),
    candidates=st.integers(1, 7),
    keep=st.integers(1, 3),
    confirm=st.integers(0, 2),
)


def _uneven(cell: Cell) -> float:
    """Another formula, with few ties."""
    return math.sin(hash_free(cell))


def hash_free(cell: Cell) -> int:
    return sum(
        (index + 3) * len(name) ** 2 for index, name in enumerate((*cell.operations, *cell.mix))
    )


def test_one_max_reaches_its_optimum() -> None:
    some = plan(generations=200, candidates=4, operators={"population": 16, "tournament": 4})
    final = finish(some)
    for layer in final.layers:
        assert layer.hall[0].fitness == 6
        assert set(layer.hall[0].cell.operations) == {"dw_conv_5x5"}


def test_evolution_beats_random_search_at_equal_evaluations() -> None:
    evolved = finish(plan(generations=40, confirm=0))
    drawn = finish(plan(generations=0, confirm=0, operators={"population": 8 + 120}))
    assert evolved.evaluations == drawn.evaluations
    best = [sum(layer.hall[0].value for layer in each.layers) for each in (evolved, drawn)]
    assert best[0] > best[1]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_equal_seeds_give_equal_bytes_and_others_differ(mode: dict[str, Any]) -> None:
    def run(seed: int) -> tuple[str, str]:
        some = plan(seed=seed, **mode)
        final = finish(some, score=_uneven)
        return space_bytes(some, final), state_to_json(final)

    assert run(3) == run(3)
    assert run(3)[0] != run(4)[0]


def test_another_process_gives_the_same_bytes() -> None:
    code = (
        "from tests.tiny import *; some = plan(operators={'crossover': 0.5});"
        "print(space_bytes(some, finish(some)), end='')"
    )
    environment = {"PYTHONHASHSEED": "77", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    some = plan(operators={"crossover": 0.5})
    assert done.stdout == space_bytes(some, finish(some))


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_run_stopped_after_any_round_goes_on_to_the_same_bytes(mode: dict[str, Any]) -> None:
    some = plan(**mode)
    states = list(evolve(some, ClosedForm(_uneven)))
    expected = state_to_json(states[-1])
    for state in states:
        stored = state_from_json(state_to_json(state), some.skeleton)
        assert stored == state
        assert state_to_json(finish(some, stored, _uneven)) == expected
        assert state_to_json(finish(some, state, _uneven)) == expected


def _offers(some: Plan) -> list[tuple[EvolutionState, list[list[Any]]]]:
    state, found = start(some), []
    scorer = ClosedForm()
    for after in evolve(some, scorer):
        found.append((state, propose(some, state)[0]))
        state = after
    return found


@settings(max_examples=25)
@given(plans)
def test_every_offer_is_new_at_its_layer_has_a_path_and_is_in_its_share(some: Plan) -> None:
    cells = [cell for _, cell in some.references]
    most_expensive = most_expensive_reference(some.skeleton, cells)
    budget = Budget(most_expensive.madds, most_expensive.params + 500)
    shares = layer_shares(some.skeleton, cells, budget)
    some = plan(
        operators={"population": some.operators.population},
        seed=some.seed,
        candidates=some.candidates,
        limits=(shares,),
    )
    scored: list[set[str]] = [set() for _ in some.skeleton.layers]
    for state, offers in _offers(some):
        for layer, members in enumerate(offers):
            shape = some.skeleton.shapes[layer]
            assert len(members) <= some.candidates
            for each in members:
                assert shares.shares[layer].allows(each.cost)
                assert not each.cell.is_zero
                assert each.key == canonical_key(each.cell, shape.stride)
            if some.phase(state.round) == "confirm":
                assert {each.key for each in members} <= scored[layer]
            else:
                keys = {each.key for each in members}
                assert len(keys) == len(members)
                assert not keys & scored[layer]
                scored[layer] |= keys


@settings(max_examples=25)
@given(plans)
def test_populations_are_bounded_and_every_round_is_counted(some: Plan) -> None:
    states = list(evolve(some, ClosedForm(_uneven)))
    assert len(states) == some.rounds
    for number, state in enumerate(states, start=1):
        assert state.round == number == len(state.history)
        assert all(len(layer.members) <= some.operators.population for layer in state.layers)
        assert state.history[-1].phase == some.phase(number - 1)
    first = states[some.founding_rounds - 1]
    for layer in first.layers:
        assert layer.born == max(some.operators.population, len(REFERENCES))
        assert [each.id for each in layer.references] == [name for name, _ in REFERENCES]
        assert all(each.origin.kind == "reference" for each in layer.references)


@settings(max_examples=25)
@given(plans)
def test_members_know_generation_and_parents(some: Plan) -> None:
    states = list(evolve(some, ClosedForm(_uneven)))
    for layer_index in range(len(some.skeleton.layers)):
        seen = {name for name, _ in REFERENCES}
        for number, state in enumerate(states):
            layer = state.layers[layer_index]
            fresh = [each for each in layer.hall if each.id not in seen]
            for each in fresh:
                founding = number < some.founding_rounds
                expected = 0 if founding else number - some.founding_rounds + 1
                assert each.origin.generation == expected
                assert set(each.origin.parents) <= seen | {one.id for one in fresh}
            seen |= {each.id for each in layer.hall} | {each.id for each in layer.members}


@pytest.mark.parametrize("confirm", [0, 1, 3])
@pytest.mark.parametrize("candidates", [1, 2, 3, 50])
def test_the_finalists_are_scored_again_so_many_times(confirm: int, candidates: int) -> None:
    some = plan(confirm=confirm, candidates=candidates, generations=0, operators={"population": 12})
    scorer = ClosedForm(_uneven)
    states = list(evolve(some, scorer))
    before = states[some.founding_rounds - 1]
    again = scorer.calls[some.founding_rounds :]
    for layer in range(2):
        evolved = [each for each in before.layers[layer].hall if each.origin.kind != "reference"]
        finalists = [each.cell for each in evolved[: some.finalists]]
        asked = [(cell, repeat) for offered, repeat in again for cell in offered[layer]]
        expected = list(itertools.product(range(1, confirm + 1), finalists))
        assert sorted(map(str, asked)) == sorted(str((cell, repeat)) for repeat, cell in expected)
        scores = {each.cell: each.scores for each in states[-1].layers[layer].hall}
        assert all(scores[cell] == 1 + confirm for cell in finalists)


def test_scores_are_written_back_by_the_formula() -> None:
    class Falling(ClosedForm):
        """Scores 8 first, then 4, then 2."""

        def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
            return [[8.0 / 2**repeat for _ in layer] for layer in candidates]

    some = plan(confirm=2, generations=0, write_back=0.25)
    *_, final = evolve(some, Falling())
    for layer in final.layers:
        twice = [each for each in layer.hall if each.scores == 3]
        assert len(twice) == some.finalists
        # 8, then 3/4 * 8 + 1/4 * 4 = 7, then 3/4 * 7 + 1/4 * 2 = 5.75.
        assert {each.fitness for each in twice} == {5.75}
        assert {each.fitness for each in layer.hall if each.scores == 1} == {8.0}


def test_repeats_are_counted_from_the_confirming_rounds() -> None:
    some = plan(confirm=2, candidates=2, keep=3, generations=1)
    # 4 founding rounds, 1 generation, then 5 finalists two at a time, twice.
    assert some.rounds == 4 + 1 + 6
    assert [repeat_of(some, index) for index in range(some.rounds)] == [0] * 5 + [1] * 3 + [2] * 3


def test_a_space_that_runs_out_of_new_cells_ends() -> None:
    # One operation, two nodes: 3 mixes times 3 expansions are all cells there are.
    prior = CellPrior(("dw_conv_3x3",), nodes=2, window=1)
    references = (("mbconv", Cell(("dw_conv_3x3",), ("sum",), 3)),)
    some = plan(
        references=references,
        generations=3,
        confirm=2,
        operators={"population": 12, "tournament": 2, "prior": prior},
    )
    scorer = ClosedForm()
    states = list(evolve(some, scorer))
    assert len(states) == some.rounds
    assert all(layer.born == 9 for layer in states[-1].layers)
    # Rounds without any new cell train nothing.
    assert all(any(offered) for offered, _ in scorer.calls)
    assert '"layer_01"' in space_bytes(some, states[-1])


@pytest.mark.slow
def test_a_population_whose_neighbours_are_used_up_looks_farther() -> None:
    # One single-edge cell has about 140 neighbours, and the same two cells stay the best.
    acting = {"population": 2, "tournament": 2, "crossover": 0.0}
    some = plan(generations=35, candidates=10, confirm=0, operators=acting)
    final = finish(some, score=lambda cell: float(cell in [each for _, each in REFERENCES[:2]]))
    assert all(layer.born == 3 + 350 for layer in final.layers)


def test_a_population_smaller_than_the_references_loses_none_of_them() -> None:
    some = plan(operators={"population": 2, "tournament": 2})
    final = finish(some)
    for layer in final.layers:
        assert len(layer.references) == 3
        assert len(layer.members) == 2


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_cell_whose_training_diverged_comes_last_and_the_run_goes_on(broken: float) -> None:
    def score(cell: Cell) -> float:
        return broken if "dw_conv_5x5" in cell.operations else 1.0

    some = plan(generations=3)
    final = finish(some, score=score)
    state_from_json(state_to_json(final), SKELETON)
    for layer in final.layers:
        for each in (*layer.hall, *layer.members, *layer.references):
            assert each.fitness == (DIVERGED if "dw_conv_5x5" in each.cell.operations else 1.0)
    assert str(DIVERGED) in space_bytes(some, final)


def test_drawn_cells_are_accounted_for() -> None:
    cells = [cell for _, cell in REFERENCES]
    most_expensive = most_expensive_reference(SKELETON, cells)
    shares = layer_shares(SKELETON, cells, Budget(most_expensive.madds))
    states = list(evolve(plan(limits=(shares,), generations=6), ClosedForm()))
    for state in states:
        for layer in state.history[-1].layers:
            if state.history[-1].phase != "confirm":
                drawn = layer.drawn
                assert drawn.total == layer.scored + drawn.duplicates + drawn.over_budget
    over = sum(layer.drawn.over_budget for each in states for layer in each.history[-1].layers)
    assert over > 0


def test_the_best_so_far_never_gets_worse_before_it_is_confirmed() -> None:
    best = [
        [layer.hall[0].value for layer in state.layers]
        for state in evolve(plan(generations=10, confirm=0), ClosedForm(_uneven))
    ]
    for earlier, later in itertools.pairwise(best):
        assert all(a <= b for a, b in zip(earlier, later, strict=True))
    assert one_max(REFERENCES[1][1]) == 1
