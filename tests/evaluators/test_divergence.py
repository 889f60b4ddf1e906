"""Which trainings count as diverged."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from autospace.data.images import Images
from autospace.evaluators.divergence import Guessing, LossPeak, has_diverged
from autospace.evaluators.evaluator import EvaluatorConfig
from autospace.evaluators.stand_alone import StandAloneEvaluator
from autospace.training.short import Measured
from tests.evaluators.setups import architecture, images

TEN = Guessing(math.log(10), 0.1)


def _found(accuracy: float, loss: float, count: int = 1000) -> Measured:
    return Measured(accuracy, loss, count)


@pytest.mark.parametrize(
    ("accuracy", "loss", "peak", "diverged"),
    [
        (0.1, math.nan, 2.3, True),
        (0.1, math.inf, 2.3, True),
        (0.1, 2.31, 12.0, True),
        (0.13, 2.31, 12.0, True),  # hardly better than guessing
        (0.1, 2.31, math.nan, True),
        (0.1, 2.31, 2.4, False),  # trained too briefly: its loss never rose
        (0.1, 2.29, 12.0, False),  # knows something
        (0.6, 4.0, 12.0, False),  # too sure of itself, but far better than guessing
        (0.98, 0.05, 12.0, False),  # recovered
    ],
)
def test_it_takes_a_rise_and_a_network_that_guesses(
    accuracy: float, loss: float, peak: float, diverged: bool
) -> None:
    assert has_diverged(_found(accuracy, loss), peak, TEN) is diverged


def test_few_images_cannot_tell_a_lucky_guesser() -> None:
    assert has_diverged(_found(0.2, 2.4, 20), 12.0, TEN)
    assert not has_diverged(_found(0.2, 2.4, 2000), 12.0, TEN)


def test_guessing_knows_how_common_the_classes_are() -> None:
    # By hand: three of four images are of one class, none of the third one.
    measured = SimpleNamespace(labels=torch.tensor([1, 1, 0, 1]))
    data = SimpleNamespace(classes=("a", "b", "c"))
    halves = Images(cast(Any, data), cast(Any, None), cast(Any, measured), *cast(Any, [None] * 3))
    found = Guessing.on(halves)
    assert found.even == math.log(3)
    assert found.accuracy == 0.75
    assert found.loss == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_where_classes_are_uneven_a_loss_rises_from_where_untrained_networks_are() -> None:
    # Of two classes one has 95 %: guessing has a loss of 0.2, an untrained network of 0.7.
    uneven = Guessing(0.199, 0.95, math.log(2))
    assert not has_diverged(_found(0.95, 0.632), 0.74, uneven)
    assert has_diverged(_found(0.95, 0.632), 12.0, uneven)


def test_a_peak_is_the_largest_loss_and_no_number_if_one_is_none() -> None:
    peak = LossPeak()
    assert peak.value == -math.inf
    for step, loss in enumerate([1.0, 3.0, 2.0]):
        peak(step, torch.tensor(loss))
    assert peak.value == 3.0
    peak(3, torch.tensor(math.nan))
    peak(4, torch.tensor(1.0))
    assert math.isnan(peak.value)


@pytest.mark.parametrize(("rate", "diverged"), [(0.1, False), (10.0, True)])
def test_an_evaluation_of_a_network_that_diverged_has_no_loss(
    tmp_path: Path, rate: float, diverged: bool
) -> None:
    config = EvaluatorConfig(steps=12, batch=32, learning_rate=rate)
    evaluator = StandAloneEvaluator(images(tmp_path), config)
    found = evaluator.evaluate(architecture(0, 0), 0)
    assert (found.loss is None) is diverged
