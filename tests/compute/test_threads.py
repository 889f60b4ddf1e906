"""The number of threads is what the setting says, for as long as a run lasts."""

import pytest
import torch

from autospace.compute.device import SMALL_IMAGES, thread_count, threads


def test_small_images_get_one_thread_and_others_what_torch_has() -> None:
    with threads(3):
        assert thread_count("auto", SMALL_IMAGES) == 1
        assert thread_count("auto", SMALL_IMAGES + 1) == 3
        assert thread_count(2, SMALL_IMAGES) == 2


def test_what_was_set_comes_back_from_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), threads(before + 1):
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
