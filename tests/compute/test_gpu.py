"""What only a GPU can show: scorers and recorded steps against the CPU, and no waiting in loops."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.compute.cuda_graphs import NO_GRAPHS, Graphs, make_graphs
from autospace.compute.device import resolve_precision
from autospace.compute.execution import Execution
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.settings import make_config
from autospace.networks.network import Network, placed
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig, ScoringMethod
from autospace.spaces import Cell, mbconv
from autospace.training.short import Recipe, train
from tests.evolution.runs import Counting, settings
from tests.scorers.conftest import IN_REFERENCE, SKELETON, cells, examples

pytestmark = pytest.mark.gpu
__all__ = ["cells"]
METHODS = IN_REFERENCE
RECORDED: tuple[ScoringMethod, ...] = ("probe", "local", "in-place", "mixture")


def _cuda(graphs: Graphs = NO_GRAPHS, precision: torch.dtype = torch.float32) -> Execution:
    return Execution(torch.device("cuda"), precision, graphs)


def _graphs() -> Graphs:
    return make_graphs(torch.device("cuda"), pytest.fail)


def _batches(count: int, size: int, seed: int, device: torch.device) -> Batches:
    drawn = examples(count, seed)
    normaliser, augment = Normaliser.from_examples(drawn), Augment(crop=1, flip=True, cutout=2)
    return Batches(drawn, size, seed, device, normaliser, augment)


def _setting(method: ScoringMethod, execution: Execution) -> ScoringContext:
    torch.manual_seed(0)
    network = Network(SKELETON, [mbconv(3, 3)] * 3)
    train(network, _batches(256, 32, 0, torch.device("cpu")), Recipe(30, 0.05))
    device = execution.device
    return ScoringContext(
        freeze(placed(network, device)),
        _batches(256, 16, 1, device),
        _batches(128, 32, 2, device),
        ScoringConfig(
            method=method,
            # Its gates move by the sign of their gradient: a rounding may turn a later step around.
            steps=1 if method == "gated" else 6,
            batch=16,
            validation_batches=6,
            cost_weight=0.1,
        ),
        seed=5,
        execution=execution,
    )


def _scored(method: ScoringMethod, execution: Execution, cells: list[list[Cell]]) -> torch.Tensor:
    scorer = make_scorer(_setting(method, execution))
    return torch.tensor([value for layer in scorer.score(cells, 0) for value in layer])


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("method", METHODS)
def test_fitness_is_that_of_the_cpu(method: ScoringMethod, cells: list[list[Cell]]) -> None:
    expected = _scored(method, Execution(), cells)
    torch.testing.assert_close(_scored(method, _cuda(), cells), expected, rtol=0.05, atol=0.005)


@pytest.mark.parametrize("method", RECORDED)
def test_recorded_steps_score_as_called_ones(
    method: ScoringMethod, cells: list[list[Cell]]
) -> None:
    graphs = _graphs()
    found = _scored(method, _cuda(graphs), cells)
    assert graphs.recorder is not None
    expected = _scored(method, _cuda(), cells)
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.005)


@pytest.mark.parametrize("method", RECORDED)
def test_recorded_steps_in_bfloat16_score_as_called_ones(
    method: ScoringMethod, cells: list[list[Cell]]
) -> None:
    graphs = _graphs()
    found = _scored(method, _cuda(graphs, torch.bfloat16), cells)
    assert graphs.recorder is not None
    called = _scored(method, _cuda(precision=torch.bfloat16), cells)
    torch.testing.assert_close(found, called, rtol=0.05, atol=0.005)
    # Alpha of the mixture moves by Adam, whose steps know signs only: rounding may turn one.
    if method != "mixture":
        expected = _scored(method, _cuda(), cells)
        torch.testing.assert_close(called, expected, rtol=0.2, atol=0.05)


def test_recordings_of_one_device_do_not_disturb_each_other(cells: list[list[Cell]]) -> None:
    graphs = _graphs()
    scorer = make_scorer(_setting("probe", _cuda(graphs)))
    first = scorer.score(cells, 0)
    make_scorer(_setting("mixture", _cuda(graphs))).score(cells, 0)
    for layer, again in zip(first, scorer.score(cells, 0), strict=True):
        assert again == pytest.approx(layer, rel=0.05, abs=0.005)


def test_a_recorded_training_is_the_called_one() -> None:
    states = []
    for graphs in (NO_GRAPHS, _graphs()):
        torch.manual_seed(0)
        network = placed(Network(SKELETON, [mbconv(5, 3)] * 3), "cuda")
        batches = _batches(128, 16, 0, torch.device("cuda"))
        losses: list[float] = []
        recipe = Recipe(12, 0.05)

        def after(_: int, loss: torch.Tensor, losses: list[float] = losses) -> None:
            losses.append(float(loss))

        train(network, batches, recipe, after_step=after, execution=_cuda(graphs))
        states.append((losses, network.state_dict()))
    (called, plain), (replayed, recorded) = states
    assert replayed == pytest.approx(called, rel=0.01)
    for name, value in plain.items():
        torch.testing.assert_close(recorded[name], value, rtol=0.05, atol=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_no_training_loop_waits_for_the_device(
    method: ScoringMethod, cells: list[list[Cell]]
) -> None:
    setting = _setting(method, _cuda())
    scorer = make_scorer(setting)
    scorer.score(cells, 0)
    steps = 0

    def tick(done: int, total: int) -> None:
        nonlocal steps
        steps += 1
        # From the second step on: in the first, optimisers and orders of images are made.
        torch.cuda.set_sync_debug_mode("error" if 0 < done < total - 1 else "default")

    watched = make_scorer(replace(setting, tick=tick))
    try:
        watched.score(cells, 0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert steps > 2


def test_batches_do_not_wait_for_the_device() -> None:
    batches = _batches(64, 16, 0, torch.device("cuda"))
    batches.batch(0)
    with _waiting_is_an_error():
        # Two epochs and a bit: a new order of the images is among it.
        for step in range(10):
            batches.batch(step)


def test_a_run_on_the_gpu_goes_through_and_says_how(tmp_path: Path) -> None:
    class Said(Counting):
        def say(self, message: str) -> None:
            assert "CUDA graphs" not in message

    chosen: dict[str, Any] = {**settings(tmp_path), "device": "cuda"}
    learn(RunFolder.create(tmp_path / "run", make_config(chosen)), Said())
    space = json.loads((tmp_path / "run" / "space.json").read_text())
    expected = resolve_precision("auto", torch.device("cuda"))
    config = space["provenance"]["config"]
    assert config["device"] == "cuda"
    assert f"torch.{config['precision']}" == str(expected)
