"""What a caller wants of a data set besides its source, checked once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autospace.data.errors import LARGEST_SIDE, DataError
from autospace.data.splits import check_seed

ProgressCallback = Callable[[str, int, int], None]

_SECONDS_BETWEEN_CALLS = 0.1


@dataclass(frozen=True, slots=True)
class Request:
    """Size, channels and amount of data to read.

    Attributes:
        resolution: Side of the square images in pixels; `None` keeps the most common size.
        channels: 1 (grey) or 3 (RGB); `None` keeps what the source has.
        limit: Most examples of each split; `None` for all.
        seed: Chooses the examples under a limit.
        cache: Folder for decoded images; `None` for no cache.
        progress: Called with (message, done, total).

    Raises:
        DataError: A value is out of range.
    """

    resolution: int | None = None
    channels: int | None = None
    limit: int | None = None
    seed: int = 0
    cache: Path | None = None
    progress: ProgressCallback | None = None

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.resolution is not None and not 1 <= self.resolution <= LARGEST_SIDE:
            raise DataError(
                f"resolution {self.resolution} is out of bounds, 1 to {LARGEST_SIDE} is allowed"
            )
        if self.channels not in (None, 1, 3):
            raise DataError(f"channels {self.channels} is not possible, 1 or 3 is allowed")
        if self.limit is not None and self.limit < 1:
            raise DataError(f"limit {self.limit} is out of bounds, 1 or more is allowed")
        check_seed(self.seed)


class Ticker:
    """Passes progress on, at most about ten times a second, the end always."""

    def __init__(
        self, callback: ProgressCallback | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Starts silent.

        Args:
            callback: Receives (message, done, total); `None` for nobody.
            clock: Seconds.
        """
        self._callback = callback
        self._clock = clock
        self._next = float("-inf")

    def tick(self, message: str, done: int, total: int) -> None:
        """Reports progress unless the last report is too fresh.

        Args:
            message: What is going on.
            done: Items finished.
            total: All items.
        """
        if self._callback is None:
            return
        now = self._clock()
        if now >= self._next or done >= total:
            self._next = now + _SECONDS_BETWEEN_CALLS
            self._callback(message, done, total)
