"""What is known of a run before it: its size, the time it takes, and whether it is hopeless."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autospace.api import evolve, plan
from autospace.compute.timing import Forecast
from autospace.data.batches import Normaliser
from autospace.data.examples import Examples
from autospace.evolution import forecast as forecasts
from autospace.evolution.folder import ReferenceDocument, RunFolder, read_reference
from autospace.evolution.learn import learn
from autospace.evolution.reference import measured
from autospace.evolution.settings import make_config
from autospace.progress import Planned
from autospace.runs.errors import CheckpointError
from autospace.scorers.make import SCORERS
from autospace.spaces.files.library import load
from tests.evolution.runs import ROUNDS, Counting, settings


def _planned(folder: Path, **changes: Any) -> Planned:
    return plan(evolve, settings=settings(folder, **changes))


def test_a_plan_says_what_will_be_done(tmp_path: Path) -> None:
    found = _planned(tmp_path).record
    assert found["images"]["train"] == 60
    assert (found["images_training_cells"], found["images_measuring_fitness"]) == (30, 30)
    assert found["network"]["skeleton"] == "two"
    assert (found["network"]["layers"], found["network"]["resolution"]) == (2, 8)
    assert found["network"]["reference"] == "mbconv_k3_e1"
    # Two layers get two cells each in every round.
    assert (found["rounds"], found["cells"]) == (ROUNDS, 4 * ROUNDS)
    assert found["estimate"]["seconds"] > 0
    assert json.loads(json.dumps(found)) == found


def test_the_lines_of_a_plan_fit_a_terminal(tmp_path: Path) -> None:
    lines = _planned(tmp_path).lines
    assert all(line.startswith("plan: ") and len(line) <= 80 for line in lines)
    assert "8 rounds x 2 layers x 2 cells = 32 to score" in lines[2]


def test_the_time_is_that_of_all_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A step takes a second, whatever it does.
    monkeypatch.setattr(forecasts, "seconds_of_step", lambda run, device: 1.0)
    found = _planned(tmp_path).record["estimate"]["seconds"]
    # 5 steps of warm-up. A timed step of scoring trains 2 cells and the reference at both layers.
    # The run trains 32 cells, and the reference's own at both layers for 2 repeats.
    assert found == pytest.approx(5 + 2 * (32 + 2 * 2) / (2 * 3))


@pytest.mark.parametrize("method", SCORERS)
def test_every_scorer_has_a_forecast(tmp_path: Path, method: str) -> None:
    assert _planned(tmp_path, scoring={"method": method}).record["estimate"]["seconds"] > 0


def _document(right: int, images: int, chance: float, low: float) -> ReferenceDocument:
    interval = [low, 1.0]
    return ReferenceDocument(
        accuracy=right / images, interval=interval, images=images, chance=chance
    )


def test_at_chance_is_what_sampling_can_explain() -> None:
    assert _document(30, 100, 0.25, 0.22).at_chance
    assert not _document(60, 100, 0.25, 0.5).at_chance
    (line,) = _document(30, 100, 0.25, 0.22).warnings
    assert "30.0%" in line
    assert "chance 25.0%" in line
    assert _document(60, 100, 0.25, 0.5).warnings == ()


class _Constant(torch.nn.Module):
    """Always names one class."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(x), 4)
        logits[:, 2] = 1
        return logits


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_a_network_that_names_one_class_is_at_chance(labels: list[int]) -> None:
    images = Examples(torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8), torch.tensor(labels))
    network: Any = _Constant()
    found = measured(network, images, Normaliser((0.0,), (1.0,)), 0, torch.device("cpu"))
    assert found.accuracy == pytest.approx(labels.count(2) / len(labels), abs=1e-6)
    most = max(labels.count(each) for each in range(4))
    assert found.chance == pytest.approx(most / len(labels), abs=1e-6)
    assert found.at_chance
    assert found.images == len(labels)


def test_many_images_are_measured_on_a_sample() -> None:
    labels = torch.arange(12_000) % 3
    images = Examples(torch.zeros(12_000, 1, 4, 4, dtype=torch.uint8), labels)
    network: Any = _Constant()
    found = measured(network, images, Normaliser((0.0,), (1.0,)), 0, torch.device("cpu"))
    assert found.images == 5000
    assert found.accuracy == pytest.approx(1 / 3, abs=1e-3)


def test_a_hopeless_run_says_so_everywhere(tmp_path: Path) -> None:
    seen = Counting()
    chosen = settings(tmp_path, data={"source": "synthetic:classes=3,train=30,test=12"})
    learn(RunFolder.create(tmp_path / "run", make_config(chosen)), seen)
    few = "3 of 3 classes have fewer than 20 training images (class gratings-0 has 10)"
    said = [each for each in seen.messages if each.startswith("warning: ")]
    assert few in said[0]
    reference = read_reference(tmp_path / "run")
    assert reference is not None
    assert reference.at_chance == (len(said) == 2)
    notes = load(tmp_path / "run").provenance["notes"]
    assert isinstance(notes, list)
    assert {each.removeprefix("warning: ") for each in said} <= set(notes)
    kept = json.loads((tmp_path / "run/data.json").read_text())
    assert few in kept["warnings"][0]


def test_the_plan_says_how_many_whole_networks_are_trained(tmp_path: Path) -> None:
    scoring = {"method": "predicted", "networks": 16, "network_steps": 7}
    (line,) = [each for each in _planned(tmp_path, scoring=scoring).lines if "whole" in each]
    assert line.startswith("plan: 16 whole networks are trained for 7 steps each, ")


def test_steps_that_a_gpu_records_take_at_most_what_called_ones_took() -> None:
    (line,) = Forecast(9.0, torch.device("cuda", 0), most=True).lines
    assert line == "plan: at most 9 s on cuda with 1 worker, by timed steps"


def test_a_plan_disturbs_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn(RunFolder.create(tmp_path / "with", make_config(settings(tmp_path))), Counting())
    untimed = Forecast(1.0, torch.device("cpu"), memory_mb=1)
    monkeypatch.setattr(forecasts, "forecast", lambda work: untimed)
    learn(RunFolder.create(tmp_path / "without", make_config(settings(tmp_path))), Counting())
    spaces = [(tmp_path / each / "space.json").read_bytes() for each in ("with", "without")]
    assert spaces[0] == spaces[1]


@given(st.binary(max_size=80))
def test_a_damaged_reference_is_one_line(tmp_path_factory: Any, raw: bytes) -> None:
    run = tmp_path_factory.mktemp("run")
    (run / "reference.json").write_bytes(raw)
    with pytest.raises(CheckpointError) as caught:
        read_reference(run)
    assert "\n" not in str(caught.value)
