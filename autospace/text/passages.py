"""The text of an evaluation: one part to train on, another to measure on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.data.images import Split
from autospace.data.settings import DataConfig
from autospace.progress import Tick, no_tick
from autospace.spaces.sequence import sequence
from autospace.spaces.space import Space, refitted
from autospace.text.corpus import Corpus, load_text
from autospace.text.corpus import Split as Tokens
from autospace.text.segments import Segments

COLUMNS: Final = 10
"""Of what is measured, as in the code of DARTS."""
SCORE: Final = "the accuracy of a network on text is 1 / perplexity: 50 % is a perplexity of 2"
OF_IMAGES: Final = ("resolution", "aspect", "ground", "validation", "crop", "flip", "cutout")


@dataclass(frozen=True)
class Passages:
    """Disjoint training and evaluation text; see `autospace.data.images.Halves`.

    Attributes:
        corpus: the text that both were taken from.
    """

    corpus: Corpus
    training: Tokens
    measured: Tokens
    device: torch.device

    @property
    def name(self) -> str:
        """That of the text."""
        return self.corpus.name

    @property
    def digest(self) -> str:
        """That of the text, and of how it is cut."""
        return f"{self.corpus.digest}-{self.corpus.source.bptt}"

    @property
    def row(self) -> int:
        """Tokens of a segment."""
        return self.corpus.source.bptt

    @property
    def outputs(self) -> int:
        """Number of different tokens."""
        return len(self.corpus.vocabulary)

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the text, and what scores mean."""
        return (*self.corpus.notes, SCORE)

    @property
    def warnings(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What was read, and what scores mean."""
        return (*self.corpus.lines, SCORE)

    @property
    def record(self) -> dict[str, Any]:
        """The same as values that JSON can hold."""
        return self.corpus.record

    def fitted(self, space: Space) -> Space:
        """The space for a vocabulary of this size; if anything changes, without its budget.

        Raises:
            SpaceError: it is for images.
        """
        skeleton = sequence(space.skeleton, "the data are a text").for_vocabulary(self.outputs)
        return refitted(space, skeleton)

    def batches(self, size: int, seed: int) -> Segments:
        """The training text in so many columns."""
        return Segments(self.training.tokens, size, self.corpus.source.bptt, self.device)

    def judging_batches(self, size: int, seed: int) -> Segments:
        """Segments of what is measured, each of which begins with no state."""
        tokens, length = self.measured.tokens, self.corpus.source.bptt
        # Few columns where there is little text, so that there are several segments.
        columns = max(1, min(size, len(tokens) // (4 * (length + 1))))
        return Segments(tokens, columns, length, self.device, alone=True)

    def measured_batches(self) -> Segments:
        """All that is measured, with the state carried on."""
        return Segments(self.measured.tokens, COLUMNS, self.corpus.source.bptt, self.device)


def load_passages(
    data: DataConfig,
    split: Split,
    seed: int,
    device: torch.device,
    cache: Path | None = None,
    tick: Tick = no_tick,
    given: DataSet | None = None,
) -> Passages:
    """Reads a text; with `split` `validation`, the test split is not used.

    Args:
        data: names the text.
        split: what is measured.
        seed: unused: a text is divided by position, or by its files.
        device: of batches.
        cache: unused.
        tick: unused.
        given: unused.

    Raises:
        DataError: it cannot be read, or a setting is for images.
    """
    check_settings(data)
    corpus = load_text(data.source, data.limit)
    measured = corpus.test if split == "test" else corpus.validation
    return Passages(corpus, corpus.train, measured, device)


def check_settings(data: DataConfig) -> None:
    """Refuses settings that are for images.

    Raises:
        DataError: one is not at its default.
    """
    for name in OF_IMAGES:
        value = getattr(data, name)
        if value != DataConfig.model_fields[name].default:
            raise DataError(f"data.{name}: {value}, for images; allowed for a text: leave it out")
