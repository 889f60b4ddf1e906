"""MAGIC-A: the gradient against finite differences, the anchor's successions, what it does."""

import random
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from autospace.data.batches import Batch
from autospace.runs.state import load_state, save_state
from autospace.spaces.choices import Choice
from autospace.supernets.path_training import PATH_TRAININGS, Aligned, make_path_training
from autospace.supernets.shared_weights import Loss, SharedWeights
from tests.searchers.problems import make_problem
from tests.searchers.slopes import SMALL, smoothen

STEP = 1e-6


def _aligned(training: str = "magic-a", **magic: Any) -> Aligned:
    problem = make_problem(SMALL, magic=magic, supernet={"training": training, "steps": 8})
    found = make_path_training(SharedWeights(problem))
    assert isinstance(found, Aligned)
    return found


def _batch(aligned: Aligned) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = aligned.weights.problem.training.batch(0)
    return images.double(), labels


def test_the_gradient_leaves_the_anchor_where_it_is() -> None:
    aligned = _aligned(alignment=3.0)
    supernet = aligned.weights.supernet.double()
    smoothen(supernet)
    images, labels = _batch(aligned)
    path: Choice = tuple((index + 1) % 2 for index in aligned.anchor)
    with torch.no_grad():
        fixed = supernet.features(images, aligned.anchor)[:-1]

    def exact() -> torch.Tensor:
        *outputs, logits = supernet.features(images, path)
        distances = [((a - b) ** 2).mean() for a, b in zip(outputs, fixed, strict=True)]
        return F.cross_entropy(logits, labels) + 3.0 * sum(distances) / len(distances)

    loss = aligned.loss(path)(images, labels)
    assert loss.item() == pytest.approx(exact().item(), rel=1e-12)
    shared = next(supernet.network.stem.parameters())
    own = next(supernet.choices[0][path[0]].parameters())
    for weight, gradient in zip(
        (shared, own), torch.autograd.grad(loss, (shared, own)), strict=True
    ):
        for place in random.Random(0).sample(range(weight.numel()), 5):
            values = []
            for sign in (1, -1):
                weight.detach().view(-1)[place] += sign * STEP
                values.append(exact().item())
                weight.detach().view(-1)[place] -= sign * STEP
            slope = (values[0] - values[1]) / (2 * STEP)
            assert float(gradient.view(-1)[place]) == pytest.approx(slope, rel=1e-5, abs=1e-8)


def test_the_anchor_itself_has_nothing_to_align() -> None:
    aligned = _aligned(alignment=100.0)
    images, labels = aligned.weights.problem.training.batch(0)
    plain = aligned.weights.loss_of(aligned.anchor)(images, labels)
    assert aligned.loss(aligned.anchor)(images, labels).item() == pytest.approx(plain.item())


@pytest.mark.parametrize(
    ("earlier", "now", "challenger", "replaced"),
    [
        (None, 0.5, 0.6, True),
        (None, 0.5, 0.5, False),
        (0.9, 0.5, 0.6, False),  # better on this batch only: the anchor's average is 0.7
        (0.5, 0.9, 0.8, False),  # better than the average, but not on the same batch
    ],
)
def test_a_challenger_has_to_be_better_on_the_batch_and_on_average(
    earlier: float | None,
    now: float,
    challenger: float,
    replaced: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aligned = _aligned(anchor_every=2)
    anchor = aligned.anchor
    paths: list[Choice] = []
    scores = {anchor: now}

    def accuracies_of(given: list[Choice], batch: Batch) -> list[float]:
        expected, _ = aligned.weights.problem.validation.batch(1)
        assert torch.equal(batch[0], expected)
        paths.extend(given)
        return [scores.get(path, challenger) for path in given]

    monkeypatch.setattr(aligned.weights, "batch_accuracies", accuracies_of)
    monkeypatch.setattr(aligned, "_score", earlier)
    aligned.step(0)
    assert paths == []
    aligned.step(1)
    assert paths[0] == anchor
    assert (aligned.anchor == paths[-1]) == replaced
    assert len(paths) == 2


def test_nothing_is_aligned_during_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    aligned = _aligned(warm_up=0.5)
    calls: list[Choice] = []
    original = aligned.loss

    def loss(path: Choice) -> Loss:
        calls.append(path)
        return original(path)

    monkeypatch.setattr(aligned, "loss", loss)
    for index in range(8):
        aligned.step(index)
    assert len(calls) == 4


def test_aligned_layers_give_more_alike_outputs() -> None:
    distances = []
    for alignment in (0.0, 5.0):
        aligned = _aligned(alignment=alignment, warm_up=0.0)
        for index in range(8):
            aligned.step(index)
        supernet = aligned.weights.supernet
        images, _ = aligned.weights.problem.validation.batch(0)
        first, second = ((index,) * 3 for index in (0, 1))
        with torch.no_grad():
            pairs = zip(
                supernet.features(images, first), supernet.features(images, second), strict=True
            )
            distances.append(sum(float(F.mse_loss(a, b)) for a, b in list(pairs)[:-1]))
    assert distances[1] < 0.8 * distances[0]


@pytest.mark.parametrize("training", PATH_TRAININGS)
def test_every_training_goes_on_from_its_state(training: str, tmp_path: Any) -> None:
    changes: dict[str, Any] = {
        "magic": {"anchor_every": 1, "warm_up": 0.0},
        "supernet": {"training": training, "steps": 6},
    }
    weights = [SharedWeights(make_problem(SMALL, **changes)) for _ in range(2)]
    whole, parts = (make_path_training(each) for each in weights)
    for index in range(6):
        whole.step(index)
        if index == 2:
            save_state(tmp_path / "training", whole.state())
            save_state(tmp_path / "weights", weights[0].state())
    device = weights[0].problem.device
    parts.restore(load_state(tmp_path / "training", device))
    weights[1].restore(load_state(tmp_path / "weights", device))
    for index in range(3, 6):
        parts.step(index)
    for name, value in weights[0].supernet.state_dict().items():
        assert torch.equal(value, weights[1].supernet.state_dict()[name]), name
