"""Cells without weights: as candidates, and in the reference network itself."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.compute.pool import ProcessPool
from autospace.data.batches import Batches, Normaliser
from autospace.networks.features import layer_traces
from autospace.networks.network import Network, placed
from autospace.scorers.context import KeptWeights, freeze
from autospace.scorers.local import InPlaceScorer
from autospace.scorers.make import make_scorer
from autospace.scorers.pooled import INDEPENDENT
from autospace.scorers.probe import layer_sensitivities
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import Cell, mbconv
from autospace.training.short import Recipe, train
from autospace.training.task import CLASSIFICATION
from tests.scorers.conftest import IN_REFERENCE, SKELETON, MakeSetting, examples
from tests.slow import slowly
from tests.spaces.dense.nasbench201 import whole
from tests.spaces.dense.test_shared_layers import SMALL

SKIP = Cell.from_edges([], expansion=1)
PROJECTION = Cell.from_edges([(0, 3, "skip_connect")], expansion=1)
POOLING = Cell.from_edges([(0, 3, "max_pool_3x3")], expansion=1)
USUAL = mbconv(3, 3)
METHODS = IN_REFERENCE
ALONE = tuple(method for method in INDEPENDENT if method in METHODS)
REFERENCES = {
    "usual": [USUAL, USUAL, USUAL],
    "skips": [SKIP, USUAL, SKIP],
    "nothing": [SKIP, PROJECTION, SKIP],
}
# The layers 0 and 2 have a shortcut, so that they can be skipped.
CANDIDATES = {
    "skips": [[SKIP], [PROJECTION], [SKIP]],
    "one": [[], [], [SKIP]],
    "both": [[SKIP, USUAL], [POOLING, USUAL], [USUAL, SKIP]],
    "usual": [[USUAL], [USUAL], [USUAL]],
}
OPTIONS: dict[str, dict[str, object]] = {
    "plain": {},
    "cost": {"cost_weight": 0.5},
    "recompute": {"recompute": True},
    "fresh": {"inherit": False},
}


@pytest.fixture(scope="module")
def references() -> dict[str, Network]:
    training = examples(128, 0)
    batches = Batches(training, 32, 0, "cpu", Normaliser.from_examples(training))
    found = {}
    for name, cells in REFERENCES.items():
        torch.manual_seed(0)
        network = placed(Network(SKELETON, cells), "cpu")
        train(network, batches, Recipe(10, 0.05))
        found[name] = freeze(network)
    return found


def finite(fitness: list[list[float]]) -> bool:
    return all(math.isfinite(value) for row in fitness for value in row)


@pytest.mark.parametrize("options", ["plain", "fresh", *slowly("cost", "recompute")])
@pytest.mark.parametrize("reference", REFERENCES)
@pytest.mark.parametrize("method", METHODS)
def test_no_scorer_fails_on_cells_without_weights(
    method: ScoringMethod,
    reference: str,
    options: str,
    make_setting: MakeSetting,
    references: dict[str, Network],
) -> None:
    setting = make_setting(method, **{"steps": 2, "validation_batches": 1, **OPTIONS[options]})
    scorer = make_scorer(replace(setting, reference=references[reference]))
    for candidates in CANDIDATES.values():
        fitness = scorer.score(candidates, 0)
        assert [len(row) for row in fitness] == [len(row) for row in candidates]
        assert finite(fitness)


@pytest.mark.parametrize("method", METHODS)
def test_no_scorer_fails_on_weights_that_nothing_uses(
    method: ScoringMethod, make_setting: MakeSetting
) -> None:
    skeleton = replace(SMALL, classes=3).untied
    torch.manual_seed(0)
    network = freeze(placed(Network(skeleton, [whole("nor_conv_3x3")] * 3), "cpu"))
    # The convolution to node 1 has weights, but nothing leads on from there.
    dead: Any = whole("nor_conv_3x3", "none", "none", "skip_connect", "none", "none")
    setting = replace(make_setting(method, steps=2, validation_batches=1), reference=network)
    fitness = make_scorer(setting).score([[dead], [dead, whole("nor_conv_1x1")], []], 0)
    assert [len(row) for row in fitness] == [1, 2, 0]
    assert finite(fitness)


@pytest.mark.parametrize("method", ["gated", "mixture"])
def test_no_supernet_that_is_kept_fails_on_them(
    method: ScoringMethod, make_setting: MakeSetting, references: dict[str, Network]
) -> None:
    setting = make_setting(method, steps=2, validation_batches=1, weights="kept")
    kept = replace(setting, reference=references["skips"], kept=KeptWeights())
    scorer = make_scorer(kept)
    for candidates in CANDIDATES.values():
        assert finite(scorer.score(candidates, 0))


@pytest.mark.parametrize("method", [*ALONE, "gated"])
def test_a_skipped_layer_of_the_reference_scores_zero_when_it_is_skipped(
    method: ScoringMethod, make_setting: MakeSetting, references: dict[str, Network]
) -> None:
    setting = replace(make_setting(method), reference=references["skips"])
    fitness = make_scorer(setting).score([[SKIP], [], [SKIP]], 0)
    # Calibrated scoring adds what counting predicts, which is nothing for equal params.
    assert fitness == [[0.0], [], [0.0]]


def test_in_place_the_loss_is_that_of_the_network_without_the_layer(
    make_setting: MakeSetting, references: dict[str, Network]
) -> None:
    setting = replace(make_setting("in-place"), reference=references["usual"])
    ((found,), _, _) = InPlaceScorer(setting).losses([[SKIP], [], []], 0)
    network = references["usual"]
    steps = setting.validation_steps(0)
    losses = []
    with torch.no_grad():
        for images, labels in map(setting.validation.batch, steps):
            logits = network.rest(network.before(images, 0), 1)  # layer 0 hands on its input
            losses.append(float(torch.nn.functional.cross_entropy(logits, labels)))
    assert found == pytest.approx(sum(losses) / len(losses), rel=1e-6)


def test_the_slope_at_a_skipped_layer_is_that_of_what_it_hands_on(
    make_setting: MakeSetting, references: dict[str, Network]
) -> None:
    network = references["skips"]
    images, labels = make_setting().training.batch(0)
    trace = layer_traces(CLASSIFICATION.loss, network, images, labels)[0]
    handed_on = network.before(images, 0).detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(network.rest(handed_on, 1), labels, reduction="sum")
    (expected,) = torch.autograd.grad(loss, handed_on)
    assert not trace.y.any()
    torch.testing.assert_close(trace.g, expected)
    assert not any(weight.requires_grad for weight in network.parameters())


def test_a_skipped_layer_is_as_sensitive_as_its_input_is_large(
    make_setting: MakeSetting, references: dict[str, Network]
) -> None:
    setting = replace(make_setting("calibrated"), reference=references["skips"])
    assert all(value > 0 for value in layer_sensitivities(setting))


@pytest.mark.slow  # processes take seconds to start
@pytest.mark.parametrize("method", ALONE)
def test_a_pool_scores_them_as_one_process_does(
    method: ScoringMethod,
    make_setting: MakeSetting,
    references: dict[str, Network],
    tmp_path: Path,
) -> None:
    setting = make_setting(method, cost_weight=0.5, steps=2, validation_batches=1)
    setting = replace(setting, reference=references["skips"])
    pool = ProcessPool(2, tmp_path / "pool")
    try:
        for candidates in CANDIDATES.values():
            there = make_scorer(setting, pool).score(candidates, 0)
            assert there == make_scorer(setting).score(candidates, 0)
            assert finite(there)
    finally:
        pool.close()
