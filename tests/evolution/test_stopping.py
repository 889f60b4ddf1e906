"""A run whose best cells stay for some rounds ends its generations, without torch."""

import itertools
from pathlib import Path

import pytest

from autospace.evolution.folder import RunFolder, state_from_json, state_to_json
from autospace.evolution.learn import RoundEvent, learn
from autospace.evolution.loop import evolve
from autospace.evolution.plan import Plan
from autospace.evolution.population import EvolutionState
from autospace.evolution.settings import make_config
from autospace.progress import Event
from autospace.report.findings import story
from autospace.report.record import read_run
from autospace.spaces import Cell
from autospace.spaces.cells.variation import CellPrior
from autospace.spaces.files.library import load
from tests.evolution.runs import Counting, settings
from tests.tiny import SKELETON, ClosedForm, finish, plan, space_bytes


def best(some: Plan, state: EvolutionState) -> list[set[str]]:
    """The ids of the cells that a space would hold now; a formula confirms nothing new."""
    return [
        {each.id for each in [e for e in layer.hall if e.origin.kind != "reference"][: some.keep]}
        for layer in state.layers
    ]


def stopping(stop_after: int, **changes: object) -> Plan:
    return plan(**{"stop_after": stop_after, "generations": 60, "confirm": 2} | changes)


@pytest.mark.parametrize("stop_after", [1, 3, 7])
def test_generations_end_when_the_best_stayed_and_the_best_are_then_confirmed(
    stop_after: int,
) -> None:
    some = stopping(stop_after)
    states = list(evolve(some, ClosedForm()))
    phases = [each.phase for each in states[-1].history]
    generations = phases.count("evolve")
    assert (
        phases
        == ["initial"] * some.founding_rounds
        + ["evolve"] * generations
        + ["confirm"] * some.confirming_rounds
    )
    assert stop_after < generations < 60
    # Counted by hand: so many rounds, and no fewer, changed nothing at the end.
    bests = [best(some, state) for state in states[: some.founding_rounds + generations]]
    changed = [one != other for one, other in itertools.pairwise(bests)]
    since = changed[some.founding_rounds - 1 :]
    assert not any(since[-stop_after:])
    runs = "".join("x" if each else "." for each in since)
    assert "." * stop_after not in runs[:-1]
    last = some.founding_rounds + generations
    stayed = "1 round" if stop_after == 1 else f"{stop_after} rounds"
    assert some.stop(states[-1]) == (
        f"stopped after round {last} of {some.rounds} because the best cells stayed for {stayed}"
    )
    assert all(each.confirmed for layer in states[-1].layers for each in layer.hall[:2])


def test_one_layer_whose_best_change_keeps_the_others_going() -> None:
    class OneMoves(ClosedForm):
        """The first layer prefers whatever comes later."""

        def score(self, candidates: object, repeat: int) -> list[list[float]]:
            first, second = super().score(candidates, repeat)  # type: ignore[arg-type]
            return [[float(len(self.calls))] * len(first), [0.0] * len(second)]

    some = stopping(2, generations=15)
    *_, final = evolve(some, OneMoves())
    assert len(final.history) == some.rounds
    assert some.stop(final) == ""


def test_without_the_setting_all_generations_run() -> None:
    some = stopping(0, generations=25)
    final = finish(some, score=lambda cell: 0.0)
    assert len(final.history) == some.rounds
    assert some.shortened(final) == some


def test_rounds_that_score_nothing_do_not_count() -> None:
    prior = CellPrior(("dw_conv_3x3",), nodes=2, window=1)
    some = stopping(
        3,
        references=(("mbconv", Cell(("dw_conv_3x3",), ("sum",), 3)),),
        generations=8,
        operators={"population": 12, "tournament": 2, "prior": prior},
    )
    final = finish(some)
    assert final.still == 0
    assert len(final.history) == some.rounds


@pytest.mark.parametrize("rescore", [0, 2])
def test_a_run_stopped_after_any_round_goes_on_to_the_same_bytes(rescore: int) -> None:
    some = stopping(3, rescore=rescore)
    states = list(evolve(some, ClosedForm()))
    assert len(states) < some.rounds
    for state in states:
        stored = state_from_json(state_to_json(state), SKELETON)
        assert stored == state
        again = finish(some, stored)
        assert space_bytes(some, again) == space_bytes(some, states[-1])
        assert state_to_json(again) == state_to_json(states[-1])


class Listening(Counting):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []
        self.rounds: list[tuple[int, int]] = []

    def message(self, text: str) -> None:
        self.told.append(text)

    def event(self, event: Event) -> None:
        if isinstance(event, RoundEvent):
            self.rounds.append((event.state.round, event.plan.rounds))


def test_progress_space_and_report_say_so(tmp_path: Path) -> None:
    chosen = settings(tmp_path, evolution={"stop_after": 1, "generations": 40, "keep": 1})
    heard = Listening()
    learn(RunFolder.create(tmp_path / "run", make_config(chosen)), heard)
    (told,) = [text for text in heard.told if "stopped" in text]
    stop = load(tmp_path / "run").provenance["evolution"]
    assert told == stop
    total = heard.rounds[0][1]
    last = int(stop.split()[3])
    assert (
        stop == f"stopped after round {last} of {total} because the best cells stayed for 1 round"
    )
    assert heard.rounds[last - 1 :] == [(last + n, last + 2) for n in range(3)]
    assert f"Evolution {stop}." in story(read_run(tmp_path / "run"))


def test_a_space_of_a_whole_run_says_nothing_of_it(tmp_path: Path) -> None:
    chosen = settings(tmp_path, evolution={"stop_after": 1000})
    space = learn(RunFolder.create(tmp_path / "run", make_config(chosen)), Counting())
    assert "evolution" not in space.provenance
    assert space.provenance["config"]["evolution"]["stop_after"] == 1000
    assert "rescore" not in space.provenance["config"]["evolution"]
