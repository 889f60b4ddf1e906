"""Evolution with a predictor of fitness: screening, shrinkage, and the archive that they need."""

import hashlib
import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import pytest

from autospace.evolution.folder import (
    cells_of_event,
    event_out,
    state_from_json,
    state_to_json,
)
from autospace.evolution.loop import evolve, learned_space, new_archive, propose, repeat_of, start
from autospace.evolution.plan import Plan
from autospace.evolution.population import DIVERGED, EvolutionState
from autospace.spaces import Budget, Cell, LayerSpec, Skeleton, Space, Stem
from autospace.spaces.cells.variation import CellPrior
from tests.slow import slowly
from tests.tiny import REFERENCES, SKELETON, ClosedForm, finish, one_max, plan, space_bytes

REFERENCE = REFERENCES[0][1]
MODES: list[dict[str, Any]] = [
    {"screen": 4},
    {"shrink": True},
    {"screen": 3, "shrink": True, "rescore": 1, "confirm": 2},
    {"screen": 3, "shrink": True, "operators": {"objectives": ("fitness", "madds")}},
    {"screen": 2, "shrink": True, "tied": 2, "stop_after": 2},
    {"screen": 2, "shrink": True, "references_stay": False, "hand_made": False},
]


class Noisy(ClosedForm):
    """A formula plus normal noise, the same for one seed, layer, cell and repeat.

    What the reference's cell scores, with noise of its own, is subtracted.
    """

    def __init__(self, seed: int = 0, sd: float = 0.5, score: Any = one_max) -> None:
        super().__init__(score)
        self.seed, self.sd = seed, sd

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        super().score(candidates, repeat)
        return [
            [self._one(layer, each, repeat) - self._one(layer, REFERENCE, repeat) for each in row]
            for layer, row in enumerate(candidates)
        ]

    def _one(self, layer: int, cell: Cell, repeat: int) -> float:
        text = f"{self.seed} {layer} {cell} {repeat}".encode()
        noise = random.Random(hashlib.sha256(text).hexdigest()).gauss(0, 1)
        return self.score_of(cell) + self.sd * noise


def run(some: Plan, scorer: ClosedForm, state: EvolutionState | None = None) -> EvolutionState:
    return [state, *evolve(some, scorer, state)][-1] or start(some)


def space_of(some: Plan, state: EvolutionState) -> Space:
    return learned_space(some, state, name="tiny", budget=Budget(), provenance={})


def read_back(some: Plan, states: Sequence[EvolutionState]) -> EvolutionState:
    """The last state as a process that resumes reads it: from the checkpoint and the log."""
    stored = state_from_json(state_to_json(states[-1]), some.skeleton)
    lines = [json.loads(json.dumps(event_out(each))) for each in states]
    archive, acting = new_archive(some), some.shortened(stored)
    for index, line in enumerate(lines):
        assert archive is not None
        archive = archive.after(cells_of_event(line, some.skeleton), repeat_of(acting, index))
    return replace(stored, archive=archive)


@pytest.mark.parametrize("mode", [MODES[-2], *slowly(*MODES[:-2], MODES[-1])], ids=str)
def test_a_run_stopped_after_any_round_goes_on_to_the_same_bytes(mode: dict[str, Any]) -> None:
    some = plan(**mode)
    states = list(evolve(some, Noisy()))
    expected = state_to_json(states[-1]), space_bytes(some, states[-1])
    for count in range(1, len(states) + 1):
        stored = read_back(some, states[:count])
        assert stored == states[count - 1]
        assert stored.archive == states[count - 1].archive
        final = run(some, Noisy(), stored)
        assert (state_to_json(final), space_bytes(some, final)) == expected


def test_a_state_without_its_archive_is_refused() -> None:
    some = plan(screen=2)
    state = state_from_json(state_to_json(next(evolve(some, Noisy()))), SKELETON)
    with pytest.raises(ValueError, match="no archive, which screen and shrink need"):
        run(some, Noisy(), state)


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_equally_many_cells_are_scored_and_all_draws_are_counted(mode: dict[str, Any]) -> None:
    some = plan(**mode)
    plain = replace(some, screen=1, shrink=False)
    state = run(some, Noisy())
    if not some.stop_after:
        assert state.evaluations == run(plain, Noisy()).evaluations
    screened = 0
    for record in state.history:
        for layer in record.layers:
            drawn = layer.drawn
            fresh = layer.scored - some.rescore * (record.phase == "evolve")
            if record.phase != "confirm":
                rejected = drawn.duplicates + drawn.over_budget + drawn.screened
                assert drawn.total == fresh + rejected
            wanted = fresh * (some.screen - 1) if record.phase == "evolve" else 0
            assert drawn.screened == wanted
            screened += drawn.screened
    assert (screened > 0) == (some.screen > 1)
    assert ("screened" in state_to_json(state)) == (some.screen > 1)


def test_the_default_has_no_archive_and_states_no_uncertainty() -> None:
    some = plan()
    final = finish(some)
    assert final.archive is None
    assert "uncertainty" not in space_bytes(some, final)
    assert "screened" not in state_to_json(final)


def test_the_most_promising_of_each_heat_are_scored() -> None:
    some = plan(screen=6, candidates=2, generations=3)
    state = start(some)
    for after in evolve(some, Noisy()):
        if some.phase(state.round) == "evolve":
            wide = replace(some, screen=1, candidates=12, generations=100)
            archive = state.archive
            assert archive is not None
            for layer in range(2):
                # All that were drawn: the same stream, without a choice.
                every = propose(wide, replace(state, archive=None))[0][layer]
                chosen = propose(some, state)[0][layer]
                promise = archive.promise(layer, [(each.cell, each.cost) for each in every])
                assert promise is not None
                best = [
                    max(range(first, 12, 2), key=lambda each: promise[each]) for first in (0, 1)
                ]
                assert [each.cell for each in chosen] == [every[each].cell for each in best]
        state = after


def test_shrinkage_selects_by_the_posterior_mean_and_states_it() -> None:
    some = plan(shrink=True, confirm=1, generations=6)
    states = list(evolve(some, Noisy(sd=1.0)))
    for state in states[some.founding_rounds :]:
        assert state.archive is not None
        for index, layer in enumerate(state.layers):
            known = state.archive.members(index)
            believed = {
                each.id: each.value for each in state.archive.believed(index, known.values())
            }
            values = [believed[each.id] for each in layer.hall]
            assert values == sorted(values, reverse=True)
            if state.history[-1].phase == "evolve":
                assert values == sorted(believed.values(), reverse=True)[: len(values)]
    archive, space = states[-1].archive, space_of(some, states[-1])
    assert archive is not None
    for index, offered in enumerate(space.layers):
        for each in offered.candidates:
            estimate = archive.estimate(index, each.id)
            if each.id == "mbconv_k3_e3":
                assert (estimate, each.fitness, each.uncertainty) == (None, 0.0, None)
            else:
                assert estimate is not None
                assert (each.fitness, each.uncertainty) == pytest.approx(estimate)


def test_without_shrinkage_the_uncertainty_is_that_of_the_measured_mean() -> None:
    some = plan(screen=4)
    state = run(some, Noisy())
    archive = state.archive
    assert archive is not None
    for index, layer in enumerate(space_of(some, state).layers):
        for each in layer.candidates:
            member, found = archive.members(index)[each.id], archive.estimate(index, each.id)
            assert each.fitness == member.fitness
            if found is not None:
                error = math.sqrt(found.sd**2 + (member.value - found.mean) ** 2)
                assert each.uncertainty == pytest.approx(error)


def test_tied_layers_believe_the_same() -> None:
    some = plan(screen=2, shrink=True, tied=2)
    space = space_of(some, run(some, Noisy()))
    first, second = (
        [(each.id, each.fitness, each.uncertainty) for each in layer.candidates]
        for layer in space.layers
    )
    assert first == second


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_cells_that_diverged_come_last_and_teach_nothing(broken: float) -> None:
    def score(cell: Cell) -> float:
        return broken if "dw_conv_7x7" in cell.operations else one_max(cell)

    some = plan(screen=2, shrink=True, generations=3)
    state = run(some, Noisy(score=score))
    assert state.archive is not None
    for index in range(2):
        members = state.archive.members(index)
        estimates = {name: state.archive.estimate(index, name) for name in members}
        for name, member in members.items():
            if "dw_conv_7x7" in member.cell.operations:
                assert estimates[name] is None
                assert member.value < -1e5
        told = [each.mean for each in estimates.values() if each is not None]
        assert min(told) > -10


@pytest.mark.parametrize("later", [-0.05, 0.0, 0.05, 3.0])
@pytest.mark.parametrize("write_back", [0.1, 0.5, 1.0])
def test_a_finite_score_after_one_that_diverged_teaches_nothing(
    later: float, write_back: float
) -> None:
    state = run(plan(shrink=True, generations=2, write_back=write_back), Noisy())
    before = state.archive
    assert before is not None
    known = before.members(0)
    fresh = replace(next(iter(known.values())), id="fresh", scores=1, fitness=DIVERGED)
    mean = (1 - write_back) * DIVERGED + write_back * later
    again = replace(fresh, scores=2, fitness=mean)
    archive = before.after(((fresh,), ()), 50).after(((again,), ()), 51)
    assert archive.estimate(0, "fresh") is None
    for name in known:
        assert archive.estimate(0, name) == before.estimate(0, name)


@pytest.mark.slow
def test_a_chosen_cell_is_flattered_less_when_it_is_shrunk() -> None:
    # What the space says of its cells, less what the formula says of them.
    def flattery(seed: int, *, shrink: bool) -> float:
        some = plan(seed=seed, shrink=shrink, confirm=0, generations=5)
        space = space_of(some, run(some, Noisy(seed, sd=1.0)))
        evolved = [
            each
            for layer in space.layers
            for each in layer.candidates
            if each.origin.kind != "reference"
        ]
        return fmean((each.fitness or 0.0) - one_max(each.cell) for each in evolved)

    plain, shrunk = (
        [flattery(seed, shrink=shrink) for seed in range(12)] for shrink in (False, True)
    )
    less = [first - second for first, second in zip(plain, shrunk, strict=True)]
    assert fmean(plain) > 0.5
    assert fmean(less) - 2.2 * stdev(less) / math.sqrt(len(less)) > 0
    assert fmean(shrunk) < 0.75 * fmean(plain)


PLANTED = "dw_conv_3x3_d3"
NAMES = (PLANTED, "skip_connect", "dw_conv_3x3", "dw_conv_5x5", "dw_conv_3x3_d2", "max_pool_3x3")
KEPT = 6


def has_planted(cell: Cell) -> bool:
    return PLANTED in cell.pruned().operations


def scored_until_found(seed: int, screen: int) -> int:
    """Scored cells until all cells that would be kept have the planted operation."""
    some = plan(
        skeleton=Skeleton("one", 1, 8, 4, Stem(4, 1), (LayerSpec(4),)),
        operators={"prior": CellPrior(NAMES, none_probability=0.7), "tournament": 4},
        seed=seed,
        screen=screen,
        generations=60,
        confirm=0,
        keep=KEPT,
    )
    scorer = Noisy(seed, sd=0.4, score=lambda cell: float(has_planted(cell)))
    for state in evolve(some, scorer):
        best = [each for each in state.layers[0].hall if each.origin.kind != "reference"][:KEPT]
        if len(best) == KEPT and all(has_planted(each.cell) for each in best):
            return state.evaluations
    return state.evaluations


def test_screening_finds_a_planted_operation_with_fewer_scored_cells() -> None:
    seeds = range(12)
    saved = [scored_until_found(seed, 1) - scored_until_found(seed, 8) for seed in seeds]
    error = stdev(saved) / math.sqrt(len(saved))
    # The lower end of the 95 % interval of Student's t with 11 degrees of freedom.
    assert fmean(saved) - 2.2 * error > 0
    assert fmean(saved) > 4


def test_the_archive_holds_every_scored_cell_once_and_every_round() -> None:
    some = plan(screen=2, confirm=2)
    scorer = Noisy()
    archive = run(some, scorer).archive
    assert archive is not None
    assert len(archive.rounds) == some.rounds
    for layer in range(2):
        asked = {str(cell) for offered, _ in scorer.calls for cell in offered[layer]}
        members = archive.members(layer)
        assert {str(each.cell) for each in members.values()} == asked


def test_repeated_scores_are_taken_apart_again() -> None:
    # mu = 1/4: the mean of 8, 4 and 2 is 5.75 after 8 and 7; the changes are -4 and 2 - 7 = -5.
    some = plan(screen=2, confirm=2, generations=0, write_back=0.25)

    class Falling(ClosedForm):
        def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
            return [[8.0 / 2**repeat for _ in layer] for layer in candidates]

    archive = run(some, Falling()).archive
    assert archive is not None
    for each in archive._scores(0).values():
        assert each.member.value == pytest.approx({1: 8.0, 2: 7.0, 3: 5.75}[each.member.scores])
        assert [change.value for change in each.changes] == pytest.approx(
            [-4.0, -5.0][: each.member.scores - 1]
        )
        if each.member.scores == 3:
            # Weights 9/16, 3/16 and 1/4.
            assert each.shares == pytest.approx({"0": 9 / 16, "1": 3 / 16, "2": 1 / 4})
            assert each.worth == pytest.approx(1 / (81 / 256 + 9 / 256 + 1 / 16))
            assert each.changes[1].factor == pytest.approx(1 + 9 / 16 + 1 / 16)
            assert each.changes[1].shares == pytest.approx({"0": -3 / 4, "1": -1 / 4, "2": 1.0})
