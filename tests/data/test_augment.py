"""Augmentation against a slow reference that treats one image at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.data.batches import Augment
from autospace.data.errors import DataError


def slow(augment: Augment, images: torch.Tensor, seed: int) -> torch.Tensor:
    """One image at a time, with numpy slices."""
    count, channels, height, width = images.shape
    generator = torch.Generator().manual_seed(seed)
    draws = torch.rand(5, count, generator=generator).numpy()
    pad, results = augment.crop, []
    for index, image in enumerate(images.numpy()):
        padded = np.zeros((channels, height + 2 * pad, width + 2 * pad), image.dtype)
        padded[:, pad : pad + height, pad : pad + width] = image
        top, left = (int(draws[axis, index] * (2 * pad + 1)) for axis in (0, 1))
        window = padded[:, top : top + height, left : left + width].copy()
        if augment.flip and draws[2, index] < 0.5:
            window = window[:, :, ::-1].copy()
        if augment.cutout:
            row = int(draws[3, index] * height) - augment.cutout // 2
            column = int(draws[4, index] * width) - augment.cutout // 2
            rows = slice(max(row, 0), max(row + augment.cutout, 0))
            window[:, rows, max(column, 0) : max(column + augment.cutout, 0)] = 0
        results.append(window)
    return torch.from_numpy(np.stack(results))


@given(
    crop=st.integers(0, 5),
    flip=st.booleans(),
    cutout=st.integers(0, 9),
    shape=st.tuples(st.integers(1, 5), st.sampled_from([1, 3]), st.integers(1, 7)),
    width=st.integers(1, 7),
    channels_last=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_agrees_with_the_slow_reference(
    crop: int,
    flip: bool,
    cutout: int,
    shape: tuple[int, int, int],
    width: int,
    channels_last: bool,
    seed: int,
) -> None:
    images = torch.rand(*shape, width) + 1
    if channels_last:
        images = images.to(memory_format=torch.channels_last)
    augment = Augment(crop, flip, cutout)
    fast = augment(images, torch.Generator().manual_seed(seed))
    assert torch.equal(fast, slow(augment, images, seed))
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert fast.is_contiguous(memory_format=layout)


def test_flip_mirrors_about_half_and_leaves_the_rest() -> None:
    images = torch.arange(12.0).view(1, 1, 3, 4).repeat(2000, 1, 1, 1)
    flipped = Augment(crop=0, flip=True)(images, torch.Generator().manual_seed(0))
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    untouched = (flipped == images).flatten(1).all(1)
    assert bool((mirrored ^ untouched).all())
    assert 0.45 < mirrored.double().mean() < 0.55


def test_crop_reaches_every_shift_equally() -> None:
    images = torch.zeros(5000, 1, 5, 5)
    images[:, :, 2, 2] = 1
    moved = Augment(crop=2, flip=False)(images, torch.Generator().manual_seed(0))
    frequency = moved.mean(0)[0]
    assert moved.sum() == 5000
    assert torch.allclose(frequency, torch.full((5, 5), 0.04), atol=0.012)


def test_cutout_zeroes_exactly_one_clipped_square() -> None:
    images = torch.ones(500, 3, 8, 8)
    cut = Augment(crop=0, flip=False, cutout=4)(images, torch.Generator().manual_seed(0))
    areas = set()
    for image in cut:
        assert torch.equal(image[0], image[1])
        holes = (image[0] == 0).nonzero()
        top, left = holes.min(0).values.tolist()
        bottom, right = holes.max(0).values.tolist()
        assert len(holes) == (bottom - top + 1) * (right - left + 1)
        assert max(bottom - top, right - left) <= 3
        areas.add(len(holes))
    assert max(areas) == 16
    assert min(areas) == 4  # centred on the first pixel: two of four rows and columns remain


def test_nothing_to_do_changes_nothing_and_input_is_never_written() -> None:
    images = torch.rand(4, 3, 6, 6)
    before = images.clone()
    same = Augment(crop=0, flip=False, cutout=0)(images, torch.Generator().manual_seed(0))
    assert torch.equal(same, before)
    Augment(crop=1, flip=True, cutout=3)(images, torch.Generator().manual_seed(0))
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_is_kept(dtype: torch.dtype) -> None:
    images = torch.ones(2, 1, 4, 4, dtype=dtype)
    assert Augment(1, True, 2)(images, torch.Generator().manual_seed(0)).dtype == dtype


def test_negative_pixels_are_refused() -> None:
    with pytest.raises(DataError, match="crop -1"):
        Augment(crop=-1)
    with pytest.raises(DataError, match="cutout -2"):
        Augment(cutout=-2)
