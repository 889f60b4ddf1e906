"""A task decides what is learned: classification by the formula, and another task in its place."""

import ast
from pathlib import Path

import pytest
import torch
from torch import nn

from autospace.data.batches import Batch
from autospace.supernets.shared_weights import SharedWeights
from autospace.training.short import Recipe, measure, train
from autospace.training.task import CLASSIFICATION, Classification, Reduction
from tests.docs.pages import ROOT
from tests.searchers.problems import make_problem

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.3, 0.1], [1.0, 1.5, -2.0], [0.2, 0.2, 0.9]])
LABELS = torch.tensor([0, 2, 1, 2])


class Opposite:
    """The wrong class is right: the loss is lowest where classification's is highest."""

    def __init__(self) -> None:
        self.asked = 0

    def loss(
        self, outputs: torch.Tensor, targets: torch.Tensor, reduction: Reduction = "mean"
    ) -> torch.Tensor:
        self.asked += 1
        return CLASSIFICATION.loss(-outputs, targets, reduction)

    def right(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return ~CLASSIFICATION.right(outputs, targets)

    def score(self, accuracy: float, loss: float) -> float:
        return accuracy

    def batch_score(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return self.right(outputs, targets).double().mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_is_smoothed_cross_entropy(smoothing: float, reduction: Reduction) -> None:
    log_p = LOGITS.double() - LOGITS.double().exp().sum(1, keepdim=True).log()
    each = -(1 - smoothing) * log_p[range(4), LABELS] - smoothing * log_p.mean(1)
    wanted = each.mean() if reduction == "mean" else each.sum()
    found = Classification(smoothing).loss(LOGITS.double(), LABELS, reduction)
    torch.testing.assert_close(found, wanted)


def test_mixed_targets_are_shares_of_classes() -> None:
    mixed = 0.3 * torch.eye(3)[LABELS] + 0.7 * torch.eye(3)[LABELS.flip(0)]
    parts = 0.3 * CLASSIFICATION.loss(LOGITS, LABELS) + 0.7 * CLASSIFICATION.loss(
        LOGITS, LABELS.flip(0)
    )
    torch.testing.assert_close(CLASSIFICATION.loss(LOGITS, mixed), parts)


def test_losses_of_bfloat16_are_float32() -> None:
    assert CLASSIFICATION.loss(LOGITS.bfloat16(), LABELS).dtype == torch.float32


def test_what_is_right_is_counted() -> None:
    assert CLASSIFICATION.right(LOGITS, LABELS).tolist() == [True, False, True, True]


class Repeated:
    """One batch, for ever."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def batch(self, step: int) -> Batch:
        return self._batch


def test_a_network_learns_the_task_that_it_is_given() -> None:
    torch.manual_seed(0)
    batch = (torch.randn(16, 4), torch.arange(16) % 2)
    accuracies = []
    for task in (CLASSIFICATION, Opposite()):
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
        train(network, Repeated(batch), Recipe(200, 0.1), task=task)
        assert measure(network, [batch], task).accuracy > 0.9
        accuracies.append(measure(network, [batch]).accuracy)
    assert accuracies[0] > 0.9
    assert accuracies[1] < 0.1


def test_shared_weights_learn_the_task() -> None:
    weights = SharedWeights(make_problem(), task=Opposite())
    path = tuple(0 for _ in weights.problem.choices.sizes)
    images, labels = weights.problem.training.batch(0)
    logits = weights.supernet.single_path(images, path)
    expected = CLASSIFICATION.loss(-logits, labels)
    torch.testing.assert_close(weights.loss_of(path)(images, labels), expected)


def test_no_other_file_names_a_loss_function() -> None:
    """But the plain path of the bench, which is the program as one would first write it.

    And sums that only show how a machine rounds.
    """
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "autospace").rglob("*.py"))
        if "cross_entropy" in _attributes(path)
    ]
    assert found == [
        "autospace/bench/plain_path.py",
        "autospace/networks/rounding.py",
        # The task of captions, which pads its targets.
        "autospace/training/captioning.py",
        "autospace/training/task.py",
    ]


def _attributes(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
