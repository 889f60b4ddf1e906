"""The state of evolution on disk."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.evolution.folder import round_out, state_from_json, state_to_json
from autospace.evolution.loop import evolve, start
from autospace.evolution.population import EvolutionState
from autospace.runs.errors import CheckpointError
from autospace.spaces import LayerSpec, Skeleton, SpaceError, Stem
from autospace.spaces.files.reading import parse_json
from tests.tiny import SKELETON, ClosedForm, finish, plan

FINAL = finish(plan())
TEXT = state_to_json(FINAL)


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(1, 5))
def test_a_state_reads_back_equal(seed: int, candidates: int) -> None:
    some = plan(seed=seed, candidates=candidates, generations=2)
    for state in (start(some), *evolve(some, ClosedForm())):
        text = state_to_json(state)
        assert state_from_json(text, SKELETON) == state
        assert state_to_json(state_from_json(text, SKELETON)) == text


def test_long_runs_read_back() -> None:
    # More rounds and more keys than the limits of a space file.
    history = tuple(replace(FINAL.history[0], index=index) for index in range(5000))
    layers = tuple(
        replace(layer, seen=frozenset(map(str, range(5000))), born=5000) for layer in FINAL.layers
    )
    state = EvolutionState(5000, layers, history)
    assert state_from_json(state_to_json(state), SKELETON) == state


def test_a_state_is_read_whatever_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    # 100,000 generations are allowed: more lists and values than any file of others may hold.
    most = 10_000
    for limit in ("MAX_CONTAINERS", "MAX_VALUES"):
        monkeypatch.setattr(f"autospace.spaces.files.reading.{limit}", most)
    record = FINAL.history[0]
    rounds = most // len(SKELETON.layers)
    history = tuple(replace(record, index=index) for index in range(rounds))
    state = EvolutionState(rounds, FINAL.layers, history)
    text = state_to_json(state)
    assert text.count("{") + text.count("[") > most
    assert text.count(",") > most
    with pytest.raises(SpaceError, match="too many lists and objects"):
        parse_json(text.replace(",", " "))
    with pytest.raises(SpaceError, match="too many values"):
        parse_json(text)
    assert state_from_json(text, SKELETON) == state


def test_equal_states_have_equal_bytes_that_end_in_a_newline() -> None:
    assert state_to_json(finish(plan())) == TEXT
    assert TEXT.endswith("}\n")


def _damaged(change: Any) -> str:
    plain = json.loads(TEXT)
    change(plain)
    return json.dumps(plain)


def _set(path: list[Any], value: Any) -> str:
    plain = json.loads(TEXT)
    place = plain
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return json.dumps(plain)


MEMBER = ["layers", 0, "known", 0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "null",
        "[]",
        "{}",
        '"text"',
        "[" * 100_000,
        "1" * 5000,
        TEXT[: len(TEXT) // 2],
        _set(["format"], "autospace.space"),
        _set(["version"], 1),
        _set(["version"], "1"),
        _set(["round"], -1),
        _set(["round"], 3),
        _set(["round"], 2**63),
        _set(["round"], 1.5),
        _set(["history"], []),
        _set(["history", 0, "layers"], []),
        _set(["history", 0, "phase"], "later"),
        _set(["layers"], {}),
        _set(["layers"], []),
        _set(["layers", 0, "members"], ["c9999"]),
        _set(["layers", 0, "members"], []),
        _set(["layers", 0, "hall"], []),
        _set(["layers", 0, "references"], []),
        _set(["history", 0, "round"], 1),
        _set([*MEMBER, "fitness"], 1e308),
        _set([*MEMBER, "fitness"], 10**400),
        TEXT.replace("{", '{"round":0,', 1),
        "\ufeff" + TEXT,
        _set(["layers", 0, "born"], "8"),
        _set(["layers", 0, "seen"], [1]),
        _set(["layers", 0, "extra"], 1),
        _set([*MEMBER, "fitness"], float("nan")),
        _set([*MEMBER, "fitness"], "1"),
        _set([*MEMBER, "fitness"], None),
        _set([*MEMBER, "scores"], 0),
        _set([*MEMBER, "expansion"], 9),
        _set([*MEMBER, "nodes"], 99),
        _set([*MEMBER, "edges"], [{"source": 3, "target": 1, "operation": "none"}]),
        _set([*MEMBER, "origin"], {"kind": "\x1b[31m", "generation": 0, "parents": []}),
    ],
    ids=lambda text: f"{len(text)}:{text[:20]}",
)
def test_a_damaged_checkpoint_is_one_line_that_says_so(text: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        state_from_json(text, SKELETON)
    message = str(caught.value)
    assert message.startswith("checkpoint: damaged")
    assert not set(message.split()) & {"zip()", "recursion", "Exceeds"}  # of Python, not of ours
    assert message.isprintable()
    assert len(message) < 400


def test_a_checkpoint_of_another_skeleton_is_refused() -> None:
    other = Skeleton("other", 1, 8, 4, Stem(4, 1), (LayerSpec(4),))
    with pytest.raises(CheckpointError, match="belongs to another run"):
        state_from_json(TEXT, other)


@settings(max_examples=200)
@given(st.integers(0, len(TEXT) - 1), st.text(max_size=3), st.integers(0, 40))
def test_no_damage_raises_anything_else(place: int, inserted: str, removed: int) -> None:
    text = TEXT[:place] + inserted + TEXT[place + removed :]
    with suppress(CheckpointError):
        assert state_from_json(text, SKELETON).round == FINAL.round


def test_an_event_holds_the_round_and_its_means() -> None:
    event = round_out(FINAL.history[0])
    assert event["round"] == 0
    assert event["phase"] == "initial"
    layers = FINAL.history[0].layers
    assert event["best"] == sum(layer.best for layer in layers) / 2
    assert event["layers"][1]["drawn"] == layers[1].drawn.total
    assert json.loads(json.dumps(event)) == event
