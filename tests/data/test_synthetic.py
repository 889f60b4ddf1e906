"""Generated sets, and the proof that `wide` hides its label from small windows."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch

from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.data.readers.builtin import Recipe, generate, make_recipe
from autospace.data.request import Request


def correlations(images: torch.Tensor, offsets: list[tuple[int, int]]) -> np.ndarray:
    """Sum over the image of the products of pixels at each offset, [N, offsets]."""
    values = images[:, 0].double() - 127.5
    sums = [(values * values.roll(offset, (1, 2))).mean((1, 2)) for offset in offsets]
    return torch.stack(sums, 1).numpy()


def linear_accuracy(data: DataSet, offsets: list[tuple[int, int]]) -> float:
    """Test accuracy of a least-squares classifier on standardised correlations."""
    features = [correlations(split.images, offsets) for split in (data.train, data.test)]
    mean, std = features[0].mean(0), features[0].std(0)
    known, unseen = (
        np.concatenate([(part - mean) / std, np.ones((len(part), 1))], 1) for part in features
    )
    targets = np.eye(len(data.classes))[data.train.labels.numpy()]
    weights = np.linalg.lstsq(known, targets, rcond=None)[0]
    return float(((unseen @ weights).argmax(1) == data.test.labels.numpy()).mean())


@pytest.mark.parametrize(("distance", "classes"), [(6, 4), (6, 8), (5, 4), (3, 4)])
def test_wide_is_invisible_in_small_windows_and_plain_at_its_offsets(
    distance: int, classes: int
) -> None:
    data = load_data(
        f"synthetic:kind=wide,classes={classes},train=1500,test=800,distance={distance}"
    )
    small = [(y, x) for y, x in product(range(-2, 3), range(-2, 3)) if max(abs(y), abs(x)) <= 2]
    planted = [(int(y), int(x)) for y, x in Recipe("wide", classes, distance=distance).offsets()]
    assert abs(linear_accuracy(data, small) - 1 / classes) < 0.06
    assert linear_accuracy(data, planted) > 0.9


def test_wide_pixels_have_the_same_marginals_in_every_class() -> None:
    data = load_data("synthetic:kind=wide,train=4000,test=10")
    values = data.train.images.double()
    groups = [values[data.train.labels == label] for label in range(4)]
    means = torch.stack([group.mean() for group in groups])
    spreads = torch.stack([group.std() for group in groups])
    assert float(means.max() - means.min()) < 0.5
    assert float(spreads.max() - spreads.min()) < 0.5


@pytest.mark.parametrize("distance", [2, 3, 5, 6, 7])
def test_wide_offsets_are_far_apart_around_the_torus_too(distance: int) -> None:
    side = 2 * distance
    offsets = Recipe("wide", 8, distance=distance, resolution=side).offsets()
    assert len({tuple(offset) for offset in offsets}) == 8
    wrapped = np.minimum(np.abs(offsets), side - np.abs(offsets))
    assert wrapped.max(1).tolist() == [distance] * 8


def test_gratings_can_be_learned_from_frequencies() -> None:
    data = load_data("synthetic:classes=6,train=600,test=300,resolution=16")

    def features(images: torch.Tensor) -> torch.Tensor:
        spectrum: torch.Tensor = torch.fft.rfft2(images[:, 0].double() - 127.5)
        return spectrum.abs().flatten(1)

    train, test = features(data.train.images), features(data.test.images)
    centres = torch.stack([train[data.train.labels == label].mean(0) for label in range(6)])
    guesses = torch.cdist(test, centres).argmin(1)
    assert float((guesses == data.test.labels).double().mean()) > 0.9


@pytest.mark.parametrize("kind", ["gratings", "wide"])
def test_sets_are_deterministic_balanced_and_depend_on_their_seed(kind: str) -> None:
    text = f"synthetic:kind={kind},train=41,test=20,classes=3"
    first, again, other = load_data(text), load_data(text, seed=9), load_data(f"{text},seed=1")
    assert first.digest == again.digest
    assert first.digest != other.digest
    assert sorted(Counter(first.train.labels.tolist()).values()) == [13, 14, 14]
    assert first.name == f"synthetic:{kind}"
    assert first.classes == (f"{kind}-0", f"{kind}-1", f"{kind}-2")
    assert not torch.equal(first.train.images[:20], first.test.images)


def test_arguments_win_over_options_without_resizing() -> None:
    text = "synthetic:kind=wide,train=8,test=8,resolution=12"
    data = load_data(text, resolution=14, channels=3)
    assert data.train.images.shape == (8, 3, 14, 14)
    assert data.notes == ()
    native = load_data("synthetic:kind=wide,train=8,test=8,resolution=14,channels=3")
    assert native.digest == data.digest


def test_a_limit_takes_a_part() -> None:
    data = load_data("synthetic:train=50,test=40", limit=12)
    assert (len(data.train), len(data.test)) == (12, 12)
    assert set(data.train.labels.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("colour=3", r"unknown option 'colour'; allowed: kind, classes, train"),
        ("kind=easy", "allowed: gratings or wide"),
        ("classes=1", "2 to 100"),
        ("classes=x", "a whole number"),
        ("classes=-3", "a whole number"),
        ("classes=²", "a whole number"),
        ("classes=9,kind=wide", "2 to 8 for kind=wide"),
        ("channels=2", "1 or 3"),
        ("resolution=11,kind=wide", "12 .twice the distance. or more"),
        ("train=3", r"4 \(the classes\) or more"),
        ("train=1000000,resolution=512", "GiB"),
        ("seed=99999999999999999999", "a whole number"),
    ],
)
def test_bad_options_say_what_is_allowed(options: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data(f"synthetic:{options}")


def test_progress_is_reported() -> None:
    calls: list[tuple[int, int]] = []
    recipe = make_recipe({"train": "8"}, Request())
    generate(recipe, "train", lambda *call: calls.append(call))
    assert calls == [(8, 8)]
