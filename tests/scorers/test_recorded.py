"""Scorers whose steps are recorded: the bits of the same steps called, for every candidate."""

from dataclasses import replace

import pytest
import torch

from autospace.compute import cuda_graphs as graphs
from autospace.compute.cuda_graphs import Graphs
from autospace.compute.execution import Execution
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import Cell
from tests.evolution.recorder import TapeRecorder
from tests.scorers.conftest import MakeSetting
from tests.slow import slowly

Cells = list[list[Cell]]
Table = list[list[float]]


def _scored(
    make_setting: MakeSetting, method: ScoringMethod, cells: Cells, precision: torch.dtype
) -> tuple[list[Table], TapeRecorder]:
    """Fitness in two rounds, of which the second offers fewer cells."""
    recorder = TapeRecorder()
    execution = Execution(precision=precision, graphs=Graphs(recorder, pytest.fail))
    setting = make_setting(method, steps=5, validation_batches=5, cost_weight=0.1)
    scorer = make_scorer(replace(setting, execution=execution))
    return [scorer.score(cells, 0), scorer.score([*cells[:1], [], []], 0)], recorder


@pytest.mark.parametrize(
    ("method", "precision", "recordings"),
    [
        ("probe", torch.float32, 6),
        ("local", torch.float32, 6),
        ("in-place", torch.float32, 6),
        ("distilled", torch.float32, 6),
        *slowly(("probe", torch.bfloat16, 6), ("mixture", torch.float32, 4)),
    ],
)
def test_recorded_steps_score_as_called_ones(
    method: ScoringMethod,
    precision: torch.dtype,
    recordings: int,
    make_setting: MakeSetting,
    cells: Cells,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, recorder = _scored(make_setting, method, cells, precision)
    # Training and validation of yardstick and two rounds; weights and alpha of two supernets.
    assert recorder.recordings == recordings
    assert recorder.replays > recordings
    monkeypatch.setattr(graphs, "PLAIN_CALLS", 10**6)
    expected, called = _scored(make_setting, method, cells, precision)
    assert called.recordings == 0
    assert found == expected


def test_a_single_path_is_never_recorded_because_every_step_is_another_network(
    make_setting: MakeSetting, cells: Cells
) -> None:
    setting = make_setting("gated", steps=5, validation_batches=5, cost_weight=0.1)
    plain = make_scorer(setting).score(cells, 0)
    found, recorder = _scored(make_setting, "gated", cells, torch.float32)
    assert recorder.runs == recorder.recordings == 0
    assert found[0] == plain
