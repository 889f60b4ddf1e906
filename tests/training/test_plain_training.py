"""`autospace train` against the plain PyTorch script of benchmarks/, step by step and in sum."""

import importlib.util
import json
import statistics
from types import ModuleType
from typing import Any

import pytest
import torch

from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.load import load_data
from autospace.runs.settings import make_settings
from autospace.spaces import load_architecture
from autospace.training.session import Session
from autospace.training.settings import TrainConfig
from tests.evolution.runs import ROOT

RESULT = ROOT / "benchmarks" / "results" / "plain_training.json"
EPOCHS, BATCH = 3, 16


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    path = ROOT / "benchmarks" / "plain_training.py"
    spec = importlib.util.spec_from_file_location("plain_training", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _session(plain: ModuleType) -> tuple[Session, Batches]:
    settings: dict[str, Any] = {
        "optimizer": {"clip": 0.0, "weight_decay": plain.DECAY},
        "training": {"epochs": EPOCHS, "batch": BATCH, "label_smoothing": plain.SMOOTHING},
    }
    config = make_settings(TrainConfig, settings)
    images = load_data("synthetic:classes=10,train=96,test=10,channels=3,resolution=16").train
    norm = Normaliser.from_examples(images)
    batches = Batches(images, BATCH, 0, "cpu", norm, Augment(plain.PADDING, flip=True))
    architecture = load_architecture(f"reference@{ROOT / 'benchmarks' / 'small.json'}")
    return Session(architecture, batches, None, config, torch.device("cpu")), batches


def test_from_equal_weights_on_equal_batches_both_take_the_same_steps(
    plain: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOSPACE_NATIVE", "0")  # the kernels round otherwise
    session, batches = _session(plain)
    network = plain.plain_network(10)
    pairs = list(zip(network.parameters(), session.network.parameters(), strict=True))
    with torch.no_grad():
        for each, start in pairs:
            each.copy_(start)
    before = torch.cat([each.detach().flatten().clone() for each, _ in pairs])
    optimizer, scheduler = plain.plain_optimizer(network, EPOCHS, len(batches))
    network.train()
    total = torch.zeros(())
    for step in range(EPOCHS * len(batches)):
        total += plain.plain_step(network, optimizer, scheduler, *batches.batch(step))
        session.advance()
    assert float(session.loss_sum) == pytest.approx(float(total), rel=1e-4)
    theirs = torch.cat([each.detach().flatten() for each, _ in pairs])
    ours = torch.cat([each.detach().flatten() for _, each in pairs])
    # Rounding grows from step to step; what is not rounding would be as large as the way gone.
    assert float((theirs - ours).norm()) < 1e-4 * float((theirs - before).norm())


def test_the_shipped_comparison_says_what_its_runs_say() -> None:
    found = json.loads(RESULT.read_text())
    ours, theirs = (
        [run["accuracy"] for run in found["runs"][side]] for side in ("autospace", "plain")
    )
    assert len(ours) >= 3
    assert len(theirs) >= 3
    summary = found["summary"]
    difference = statistics.mean(ours) - statistics.mean(theirs)
    assert summary["difference"] == pytest.approx(difference, abs=1e-5)
    error = sum(statistics.variance(side) / len(side) for side in (ours, theirs)) ** 0.5
    low, high = summary["interval"]
    # Half the interval, in standard errors, is a quantile of t between 2 and 2n - 2 degrees.
    assert 1.96 < (high - low) / 2 / error < 4.31
    assert (low + high) / 2 == pytest.approx(difference, abs=1e-4)
