"""How many threads torch computes in on a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import torch

SMALL_IMAGES: Final = 16
"""Pixels a side up to which a second thread takes time instead of sparing it (measured)."""


def thread_count(setting: int | Literal["auto"], resolution: int) -> int:
    """What the setting `threads` means for images of so many pixels a side."""
    if setting != "auto":
        return setting
    return 1 if resolution <= SMALL_IMAGES else torch.get_num_threads()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads for the length of the block; sums of floats depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
