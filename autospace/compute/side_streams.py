"""Runs pieces of work that do not depend on each other side by side on a GPU.

A small cell fills only a part of a GPU, so its kernels can run beside those of other cells. Pieces
are spread over side streams. Those wait for what came before on the current stream, which in turn
waits for all of them. Inside a recorded step the forks and joins become edges of the graph. A
backward pass needs nothing of its own: its kernels run on the stream of their forward pass.
"""

from collections.abc import Callable, Iterable
from itertools import cycle
from typing import Final, Protocol

import torch

Piece = Callable[[], object]


class Lanes(Protocol):
    """Where independent pieces of work run."""

    def each(self, pieces: Iterable[Piece]) -> None:
        """Does all pieces; what comes afterwards on the current stream finds them done."""
        ...


class OneLane:
    """One piece after the other."""

    def each(self, pieces: Iterable[Piece]) -> None:
        """Does the pieces in their order."""
        for piece in pieces:
            piece()


ONE_LANE: Final = OneLane()


class SideStreams:
    """Streams of one device; memory that pieces free is used again by their own stream only."""

    def __init__(self, device: torch.device, count: int) -> None:
        self._device = device
        self._streams = [torch.cuda.Stream(device) for _ in range(count)]

    def each(self, pieces: Iterable[Piece]) -> None:
        """Gives the streams a piece each, in turn."""
        current = torch.cuda.current_stream(self._device)
        for stream in self._streams:
            stream.wait_stream(current)
        for stream, piece in zip(cycle(self._streams), pieces, strict=False):
            with torch.cuda.stream(stream):
                piece()
        for stream in self._streams:
            current.wait_stream(stream)


def make_lanes(device: torch.device, count: int) -> Lanes:
    """As many lanes as asked for on a GPU; one on a CPU."""
    return SideStreams(device, count) if device.type == "cuda" and count > 1 else ONE_LANE
