"""A text as batches of segments, for truncated back-propagation through time.

The text is divided into columns that are read side by side. A segment is some rows of all of them,
and the next one goes on where it ends: a network keeps its state from one to the next, without a
gradient through it. Segment number n is a pure function of seed and n.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import torch

from autospace.data.batches import Batch
from autospace.seeds import stream

ALONE: Final = -1
"""The number of a segment that begins with no state, and leaves none."""
SPREAD: Final = 5.0
"""Standard deviation of the length of a segment, where it varies (Merity et al., ICLR 2018)."""
HALVED: Final = 0.05
"""How often a segment that varies is half as long."""
SHORTEST: Final = 5


class Segments:
    """Batches (inputs [T + 1, N], targets [T N]) of a text.

    The first row of the inputs is the number of the segment in its pass through the text, counted
    from 0, or `ALONE`; the other rows are tokens. Targets are the tokens that follow, row by row.

    Args:
        tokens: of the text, [tokens].
        columns: N, as far as the text has two rows for each.
        length: T.
        device: of the batches.
        seed: where lengths vary, what draws them; None for equal lengths.
        alone: whether every segment begins with no state.
    """

    def __init__(
        self,
        tokens: torch.Tensor,
        columns: int,
        length: int,
        device: torch.device,
        *,
        seed: int | None = None,
        alone: bool = False,
    ) -> None:
        self.columns = max(1, min(columns, len(tokens) // 2))
        rows = len(tokens) // self.columns
        kept = tokens[: rows * self.columns].view(self.columns, rows)
        self._rows = kept.t().contiguous().to(device)
        self.length = min(length, rows - 1)
        self._seed, self._alone = seed, alone
        self._of_pass = lru_cache(maxsize=2)(self._drawn)

    def __len__(self) -> int:
        """Segments of a pass; where lengths vary, of the first one."""
        return len(self._of_pass(0))

    def pass_of(self, index: int) -> list[tuple[int, int]]:
        """The first row and the length of every segment of a pass."""
        return self._of_pass(index)

    def batch(self, step: int) -> Batch:
        """Segment number `step`, counted over all passes; lengths must not vary."""
        number, place = step % len(self), step // len(self)
        return self.segment(number, *self._of_pass(place if self._seed is not None else 0)[number])

    def segment(self, number: int, start: int, length: int) -> Batch:
        """The segment of some rows, under its number."""
        held = self._rows[start : start + length + 1]
        first = torch.full_like(held[:1], ALONE if self._alone else number)
        return torch.cat([first, held[:-1]]), held[1:].reshape(-1)

    def packed(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """The text as a tensor, and the settings as plain values, for `unpacked`."""
        plain: dict[str, Any] = {"columns": self.columns, "length": self.length}
        plain |= {"seed": self._seed, "alone": self._alone}
        return {"tokens": self._rows.t().reshape(-1)}, plain

    @classmethod
    def unpacked(
        cls, tensors: Mapping[str, torch.Tensor], plain: Mapping[str, Any], device: torch.device
    ) -> "Segments":
        """Batches equal to those that were packed, on a device."""
        return cls(tensors["tokens"], device=device, **plain)

    def evaluation_batches(self) -> Iterator[Batch]:
        """One pass through all rows."""
        rows = len(self._rows) - 1
        for number, start in enumerate(range(0, rows, self.length)):
            yield self.segment(number, start, min(self.length, rows - start))

    def _drawn(self, index: int) -> list[tuple[int, int]]:
        rows = len(self._rows) - 1
        if self._seed is None:
            # Of equal length, so that a step can be recorded.
            return [(k * self.length, self.length) for k in range(rows // self.length)]
        rng, start = stream(self._seed, "segments", index), 0
        found = []
        while start < rows:
            usual = self.length / 2 if rng.random() < HALVED else float(self.length)
            drawn = max(SHORTEST, round(rng.gauss(usual, SPREAD)))
            length = min(drawn, rows - start)
            found.append((start, length))
            start += length
        return found
