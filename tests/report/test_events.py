"""The event log keeps every cell that a round scored, and gives it back."""

import json

import pytest

from autospace.evolution.folder import cells_of_event, event_out, round_out
from autospace.evolution.loop import evolve, start
from autospace.runs.errors import CheckpointError
from autospace.spaces import LayerSpec, Skeleton, Stem
from tests.tiny import SKELETON, ClosedForm, plan


def test_a_line_of_the_log_reads_back_as_the_members_that_were_scored() -> None:
    some = plan()
    scorer = ClosedForm()
    for state in evolve(some, scorer):
        line = json.loads(json.dumps(event_out(state)))
        found = cells_of_event(line, SKELETON)
        assert found == state.scored
        asked, _ = scorer.calls[-1] if any(state.scored) else ([[], []], 0)
        assert [[each.cell for each in layer] for layer in found] == asked
        for layer in line["layers"]:
            assert layer["scored"] == len(layer.pop("cells"))
        assert line == round_out(state.history[-1])


def test_the_first_state_has_scored_nothing() -> None:
    assert start(plan()).scored == ()


@pytest.mark.parametrize(
    "event",
    [
        None,
        [],
        {},
        {"layers": None},
        {"layers": [{}, {}]},
        {"layers": [{"cells": []}]},
        {"layers": [{"cells": [{}]}, {"cells": []}]},
        {"layers": [{"cells": 1}, {"cells": []}]},
    ],
)
def test_a_line_without_cells_is_refused_in_one_line(event: object) -> None:
    with pytest.raises(CheckpointError, match="event log: contains no cells") as caught:
        cells_of_event(event, SKELETON)
    assert "\n" not in str(caught.value)


def test_a_line_of_another_skeleton_is_refused() -> None:
    *_, state = evolve(plan(), ClosedForm())
    other = Skeleton("other", 1, 8, 4, Stem(4, 1), (LayerSpec(4),))
    with pytest.raises(CheckpointError):
        cells_of_event(event_out(state), other)
