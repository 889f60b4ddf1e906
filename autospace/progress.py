"""The seam between evolution and training: what scores candidates, and how it reports."""

from collections.abc import Callable

Tick = Callable[[int, int], None]
"""Called with the work done and the work in all; may raise to stop the work."""


def no_tick(done: int, total: int) -> None:
    """Reports to nobody."""
