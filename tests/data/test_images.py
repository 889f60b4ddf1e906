"""Batches that are only measured hold fewer large images."""

import pytest
import torch

from autospace.data.examples import Examples
from autospace.data.images import MEASURED_AT_ONCE, load_images, measured_at_once
from autospace.data.settings import DataConfig


@pytest.mark.parametrize(("side", "most"), [(8, 250), (64, 250), (128, 62), (224, 20), (1024, 1)])
def test_as_many_pixels_as_a_batch_of_small_images(side: int, most: int) -> None:
    store = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    found = measured_at_once(Examples(store, torch.zeros(2, dtype=torch.int64)))
    assert found == most
    assert found * side**2 <= max(MEASURED_AT_ONCE * 64**2, side**2)


def test_sentences_have_no_pixels() -> None:
    store = torch.zeros(2, 2000, dtype=torch.int32)
    assert measured_at_once(Examples(store, torch.zeros(2, dtype=torch.int64))) == MEASURED_AT_ONCE


def test_what_an_evaluation_measures_is_in_such_batches() -> None:
    config = DataConfig(source="synthetic:classes=2,channels=1,train=90,test=80", resolution=128)
    found = load_images(config, "test", 0, torch.device("cpu"))
    sizes = [len(labels) for _, labels in found.measured_batches().evaluation_batches()]
    assert sizes == [62, 18]
