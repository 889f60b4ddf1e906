"""Batches: purity, coverage, layout; the normaliser."""

import json
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.errors import DataError
from autospace.data.examples import Examples

IDENTITY = Normaliser((0.0,), (1.0,))


def numbered(count: int, channels: int = 1) -> Examples:
    """Example i is grey level i everywhere and has the label i."""
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1)
    return Examples(pixels.repeat(1, channels, 2, 3), torch.arange(count))


def make(count: int, size: int, seed: int = 0, augment: Augment | None = None) -> Batches:
    return Batches(numbered(count), size, seed, "cpu", IDENTITY, augment)


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5), st.integers(0, 3))
@settings(deadline=None)
def test_an_epoch_shows_every_example_at_most_once(
    count: int, size: int, seed: int, epoch: int
) -> None:
    batches = make(count, size, seed)
    steps = range(epoch * len(batches), (epoch + 1) * len(batches))
    seen: list[int] = []
    for step in steps:
        images, labels = batches.batch(step)
        assert images[:, 0, 0, 0].tolist() == labels.tolist()
        assert len(labels) == min(size, count)
        seen += labels.tolist()
    assert len(seen) == len(set(seen))
    assert len(seen) == len(batches) * min(size, count)
    assert count - len(seen) < min(size, count)
    if count % min(size, count) == 0:
        assert sorted(seen) == list(range(count))


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("augment", [None, Augment(crop=1, flip=True, cutout=1)])
def test_packed_batches_are_the_same_and_share_the_images(
    augment: Augment | None, channels_last: bool
) -> None:
    norm = Normaliser((3.5, 1 / 3), (0.1, 7.0))
    drawn = numbered(20, channels=2)
    batches = Batches(drawn, 6, 3, "cpu", norm, augment, channels_last)
    tensors, plain = batches.packed()
    again = Batches.unpacked(tensors, json.loads(json.dumps(plain)))
    for step in (0, 4, 11):
        for found, expected in zip(again.batch(step), batches.batch(step), strict=True):
            assert torch.equal(found, expected)
            assert found.stride() == expected.stride()
    assert again.packed()[0]["pixels"].data_ptr() == tensors["pixels"].data_ptr()


def test_a_batch_is_a_pure_function_of_the_step() -> None:
    augment = Augment(crop=1, flip=True, cutout=1)
    straight = make(20, 6, 3, augment)
    images = [straight.batch(step) for step in range(9)]
    resumed = make(20, 6, 3, augment)
    for step in (7, 0, 4, 8, 4):
        again_images, again_labels = resumed.batch(step)
        assert torch.equal(again_images, images[step][0])
        assert torch.equal(again_labels, images[step][1])


def test_seeds_and_epochs_differ_and_global_randomness_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second = make(30, 30, 0), make(30, 30, 1)
    orders = [tuple(first.batch(step)[1].tolist()) for step in range(3)]
    orders.append(tuple(second.batch(0)[1].tolist()))
    assert len(set(orders)) == 4
    assert torch.equal(torch.rand(3), expected)


def test_augmentation_differs_from_step_to_step() -> None:
    examples = Examples(
        torch.randint(0, 256, (1, 1, 9, 9), dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    )
    batches = Batches(examples, 1, 0, "cpu", IDENTITY, Augment(crop=4, flip=True))
    views = {tuple(batches.batch(step)[0].flatten().tolist()) for step in range(8)}
    assert len(views) > 4


@given(st.integers(1, 30), st.integers(1, 40))
@settings(deadline=None)
def test_evaluation_shows_everything_once_in_order(count: int, size: int) -> None:
    batches = make(count, size, augment=Augment())
    parts = list(batches.evaluation_batches())
    assert torch.cat([labels for _, labels in parts]).tolist() == list(range(count))
    assert torch.cat([images for images, _ in parts])[:, 0, 0, 0].tolist() == list(range(count))


def test_fewer_examples_than_the_batch_size_make_one_smaller_batch() -> None:
    batches = make(5, 64)
    assert len(batches) == 1
    assert sorted(batches.batch(3)[1].tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("augment", [None, Augment(crop=1, cutout=1)])
def test_the_layout_is_as_asked_for(channels_last: bool, augment: Augment | None) -> None:
    normaliser = Normaliser((0.0,) * 3, (1.0,) * 3)
    batches = Batches(numbered(6, 3), 4, 0, "cpu", normaliser, augment, channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    for images, labels in (batches.batch(0), next(batches.evaluation_batches())):
        assert images.is_contiguous(memory_format=layout)
        assert images.shape == (4, 3, 2, 3)
        assert images.dtype == torch.float32
        assert labels.dtype == torch.int64


def test_the_layout_does_not_change_the_values() -> None:
    examples = Examples(torch.randint(0, 256, (8, 3, 4, 4), dtype=torch.uint8), torch.arange(8))
    normaliser = Normaliser.from_examples(examples)
    augment = Augment(crop=2, cutout=2)
    one, other = (
        Batches(examples, 4, 0, "cpu", normaliser, augment, layout).batch(1)[0]
        for layout in (True, False)
    )
    assert torch.equal(one, other)


@pytest.mark.gpu
def test_a_batch_does_not_depend_on_the_device() -> None:
    examples = Examples(torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8), torch.arange(8))
    normaliser, augment = Normaliser.from_examples(examples), Augment(crop=2, cutout=2)
    cpu, cuda = (
        Batches(examples, 4, 0, device, normaliser, augment).batch(3) for device in ("cpu", "cuda")
    )
    assert torch.allclose(cpu[0], cuda[0].cpu())
    assert torch.equal(cpu[1], cuda[1].cpu())


def test_batches_of_one_split_share_its_pixels_for_as_long_as_there_are_any() -> None:
    examples = numbered(8, 3)
    one, other = (Batches(examples, size, 0, "cpu", IDENTITY) for size in (2, 4))
    copy = Batches(Examples(examples.images.clone(), examples.labels), 2, 0, "cpu", IDENTITY)
    place = one.packed()[0]["pixels"].data_ptr()
    assert other.packed()[0]["pixels"].data_ptr() == place
    assert copy.packed()[0]["pixels"].data_ptr() != place
    gone = weakref.ref(one.packed()[0]["pixels"])
    del one, other
    assert gone() is None


def _more_pixels_than(free: int, monkeypatch: pytest.MonkeyPatch) -> Examples:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    return Examples(torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8), torch.arange(8))


@pytest.mark.gpu
def test_images_that_would_fill_the_device_stay_on_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    examples = _more_pixels_than(1 << 40, monkeypatch)
    words = (4, 0, "cuda", Normaliser.from_examples(examples), Augment(crop=2, cutout=2))
    near = Batches(examples, *words)
    assert near.packed()[0]["pixels"].device.type == "cuda"
    large = _more_pixels_than(2 * examples.images.nbytes - 1, monkeypatch)
    far = Batches(Examples(examples.images.clone(), examples.labels), *words)
    assert large.images.shape == examples.images.shape
    assert far.packed()[0]["pixels"].device.type == "cpu"
    for one, other in (
        *zip(near.batch(3), far.batch(3), strict=True),
        *zip(*(next(each.evaluation_batches()) for each in (near, far)), strict=True),
    ):
        assert one.device == other.device
        assert torch.equal(one, other)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(6):
            far.batch(step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_too_little_memory_for_the_images_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(tensor: torch.Tensor, *_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 190 GiB\nmore")

    examples = numbered(8, 3)
    monkeypatch.setattr(torch.Tensor, "to", full)
    with pytest.raises(DataError, match="too little memory on cpu for 8 images of 2x3") as caught:
        Batches(examples, 2, 0, "cpu", IDENTITY)
    assert "\n" not in str(caught.value)


def test_batches_refuse_nonsense() -> None:
    with pytest.raises(DataError, match="batch size 0"):
        make(3, 0)
    with pytest.raises(DataError, match="no examples"):
        Batches(numbered(3).take([]), 1, 0, "cpu", IDENTITY)
    with pytest.raises(DataError, match="seed -1"):
        make(3, 1, -1)
    with pytest.raises(DataError, match="step -1"):
        make(3, 1).batch(-1)


def test_the_normaliser_measures_exactly_and_normalises() -> None:
    images = torch.randint(0, 256, (50, 3, 7, 5), dtype=torch.uint8)
    examples = Examples(images, torch.zeros(50, dtype=torch.int64))
    normaliser = Normaliser.from_examples(examples)
    reference = images.double()
    mean, std = reference.mean((0, 2, 3)), reference.std((0, 2, 3), correction=0)
    assert torch.allclose(torch.tensor(normaliser.mean, dtype=torch.float64), mean)
    assert torch.allclose(torch.tensor(normaliser.std, dtype=torch.float64), std)
    wanted = (reference - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    assert torch.allclose(normaliser(images).double(), wanted, atol=1e-5)


def test_a_constant_channel_normalises_to_zero() -> None:
    flat = Examples(torch.full((3, 1, 2, 2), 9, dtype=torch.uint8), torch.zeros(3).long())
    normaliser = Normaliser.from_examples(flat)
    assert normaliser == Normaliser((9.0,), (1.0,))
    assert normaliser(flat.images).abs().max() == 0
    with pytest.raises(DataError, match="at least one"):
        Normaliser.from_examples(flat.take([]))
