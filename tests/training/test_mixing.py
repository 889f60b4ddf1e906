"""Mixup, CutMix and random erasing, against what a hand computes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from autospace.training.mixing import ERASED_AREA, Boxes, Mixing, cutmix, erased, mixup

ONE_HOT = torch.eye(3)


def _boxes(*edges: tuple[int, int, int, int]) -> Boxes:
    top, bottom, left, right = torch.tensor(edges).T
    return Boxes(top, bottom, left, right)


def _batch(count: int, side: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Image i is i + 1 everywhere, of class i mod 3."""
    images = torch.arange(1.0, count + 1)[:, None, None, None].expand(count, 2, side, side)
    return images.clone(), torch.arange(count) % 3


def test_mixup_blends_pixels_and_classes_alike() -> None:
    images, labels = _batch(3)
    mixed, targets = mixup(
        images, ONE_HOT[labels], torch.tensor([1, 2, 0]), torch.tensor([1.0, 0.25, 0.5])
    )
    assert mixed[:, 0, 3, 5].tolist() == [1.0, 0.25 * 2 + 0.75 * 3, 0.5 * 3 + 0.5 * 1]
    assert targets.tolist() == [[1, 0, 0], [0, 0.25, 0.75], [0.5, 0, 0.5]]


def test_the_loss_of_a_mixed_batch_is_the_mean_of_two_losses() -> None:
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(0)).double()
    labels, partner = torch.tensor([0, 1, 2]), torch.tensor([2, 0, 1])
    weight, smoothing = torch.tensor([0.9, 0.3, 0.6]).double(), 0.1
    images = torch.zeros(3, 1, 2, 2).double()
    _, targets = mixup(images, ONE_HOT[labels].double(), partner, weight)
    found = F.cross_entropy(logits, targets, label_smoothing=smoothing)
    expected = 0.0
    for i in range(3):
        total = math.log(sum(math.exp(v) for v in logits[i].tolist()))
        losses = [total - float(v) for v in logits[i]]
        uniform = sum(losses) / 3

        def smoothed(label: int, losses: list[float] = losses, uniform: float = uniform) -> float:
            return (1 - smoothing) * losses[label] + smoothing * uniform

        own = float(weight[i])
        expected += own * smoothed(int(labels[i])) + (1 - own) * smoothed(int(labels[partner[i]]))
    assert float(found) == pytest.approx(expected / 3, rel=1e-9)


def test_cutmix_takes_a_rectangle_and_weighs_by_its_pixels() -> None:
    images, labels = _batch(3)
    boxes = _boxes((0, 4, 0, 8), (-2, 2, 6, 12), (5, 5, 0, 8))
    mixed, targets = cutmix(images, ONE_HOT[labels], torch.tensor([1, 2, 0]), boxes)
    assert mixed[0, 0].tolist() == [[2.0] * 8] * 4 + [[1.0] * 8] * 4
    assert mixed[1, 1].tolist() == [[2.0] * 6 + [3.0] * 2] * 2 + [[2.0] * 8] * 6
    assert torch.equal(mixed[2], images[2])
    assert targets.tolist() == [[0.5, 0.5, 0], [0, 1 - 4 / 64, 4 / 64], [0, 0, 1]]


def test_erasing_blanks_the_rectangle_only() -> None:
    images, _ = _batch(2)
    gone = erased(images, _boxes((1, 3, 2, 7), (4, 4, 0, 8)))
    rows = [[1.0] * 8] + [[1.0] * 2 + [0.0] * 5 + [1.0]] * 2 + [[1.0] * 8] * 5
    assert gone[0, 1].tolist() == rows
    assert torch.equal(gone[1], images[1])


@given(
    st.integers(2, 9),
    st.integers(1, 12),
    st.integers(0, 2**63 - 1),
    st.sampled_from([(0.2, 0.0), (0.0, 1.0), (0.4, 0.4), (0.001, 0.0), (0.0, 50.0)]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_any_batch_keeps_shape_and_layout_and_gets_probabilities(
    count: int, side: int, seed: int, alphas: tuple[float, float], erasing: float
) -> None:
    images, labels = _batch(count, side)
    images = images.contiguous(memory_format=torch.channels_last)
    before = images.clone()
    mixing = Mixing(3, *alphas, erasing)
    mixed, targets = mixing(images, labels, seed)
    assert mixed.shape == images.shape
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)
    assert targets.shape == (count, 3)
    assert float(targets.min()) >= 0
    torch.testing.assert_close(targets.sum(1), torch.ones(count))
    # A blend of equal pixels may be rounded up.
    assert 0 <= float(mixed.min()) <= float(mixed.max()) <= count * (1 + 1e-6)
    again = mixing(images, labels, seed)
    assert torch.equal(again[0], mixed)
    assert torch.equal(again[1], targets)


def test_without_mixing_labels_and_pixels_stay_as_they_are() -> None:
    images, labels = _batch(4)
    same, targets = Mixing(3)(images, labels, 0)
    assert same is images
    assert targets is labels


def test_the_targets_are_the_shares_of_the_pixels() -> None:
    # Image i has the value i + 1 and the class i, so that pixels tell where they are from.
    images = torch.arange(1.0, 9)[:, None, None, None].expand(8, 1, 16, 16)
    mixed, targets = Mixing(8, cutmix=1.0)(images, torch.arange(8), 3)
    for image, target in zip(mixed, targets, strict=True):
        shares = [float((image == value).float().mean()) for value in range(1, 9)]
        assert target.tolist() == pytest.approx(shares, abs=1e-6)


def test_a_coin_chooses_between_mixup_and_cutmix() -> None:
    images, labels = _batch(8)
    both = Mixing(3, mixup=1.0, cutmix=1.0)
    # Mixup invents values that no image has.
    known = torch.arange(1.0, 9)
    kinds = [bool(torch.isin(both(images, labels, s)[0], known).all()) for s in range(200)]
    assert 70 <= sum(kinds) <= 130


def test_erased_shares_follow_the_paper() -> None:
    images = torch.ones(2000, 1, 32, 32)
    gone, _ = Mixing(3, erasing=0.25)(images, torch.zeros(2000, dtype=torch.long), 0)
    shares = 1 - gone.mean((1, 2, 3))
    hit = shares[shares > 0]
    assert 420 <= len(hit) <= 580
    # The rounding of the sides, and long boxes that are clipped, leave some slack.
    assert ERASED_AREA[0] - 0.01 <= float(hit.min()) <= float(hit.max()) <= ERASED_AREA[1] + 0.03
    assert float(hit.mean()) == pytest.approx(sum(ERASED_AREA) / 2, abs=0.02)
