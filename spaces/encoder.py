"""The skeleton of networks that read sentences: embedding, blocks of layers, and a classifier."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

from autospace.spaces.cells.bert import WIDTHS, BlockShape
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.operations import Cost
from autospace.spaces.checks import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_LAYERS,
    MAX_RESOLUTION,
    check_integer,
)
from autospace.spaces.errors import SpaceError
from autospace.spaces.skeleton import LayerSpec, Skeleton, Stem
from autospace.spaces.stages import Stage
from autospace.spaces.text import plural

SPECIAL: Final = 2
"""Tokens that every vocabulary has: number 0 is padding, and number 1 an unknown token."""


@dataclass(frozen=True)
class EncoderSkeleton(Skeleton):
    """An encoder in the manner of BERT that puts sentences into classes.

    Make one with `of`. Tokens have an embedding, to which one of their position is added; a layer
    normalisation follows. Between blocks, tokens have the width of the embedding. The mean over
    the tokens of a sentence, without its padding, goes to the classifier. What skeletons of images
    have besides, stands for images without extent: `resolution` is the number of tokens, and
    `stem.channels` the width.

    Attributes:
        vocabulary: different tokens, `SPECIAL` included.
        blocks: layers of each block, of which the first is never skipped.
        heads: hidden units of an attention head.
    """

    reads: ClassVar[str] = "sentences"
    vocabulary: int = SPECIAL
    blocks: tuple[int, ...] = (1,)
    heads: int = 64

    @classmethod
    def of(
        cls,
        name: str,
        vocabulary: int,
        length: int,
        classes: int,
        width: int,
        blocks: tuple[int, ...],
        *,
        heads: int = 64,
        description: str = "",
    ) -> "EncoderSkeleton":
        """A skeleton.

        Args:
            name: of the skeleton.
            vocabulary: see the class, as `blocks` and `heads`.
            length: tokens of a sentence; shorter ones are padded.
            classes: outputs of the classifier.
            width: of the embedding, and of tokens between blocks.
            blocks: likewise.
            heads: likewise.
            description: for people.

        Raises:
            SpaceError: a value is out of range.
        """
        check_integer("vocabulary", vocabulary, SPECIAL + 1, MAX_CLASSES)
        check_integer("length", length, 1, MAX_RESOLUTION)
        check_integer("width", width, 1, MAX_CHANNELS)
        check_integer("heads", heads, 1, width)
        if not 1 <= len(blocks) <= MAX_LAYERS:
            raise SpaceError("blocks", f"{len(blocks)} blocks; allowed: 1 to {MAX_LAYERS}")
        for index, layers in enumerate(blocks):
            check_integer(f"blocks[{index}]", layers, 1, MAX_LAYERS)
        if sum(blocks) > MAX_LAYERS:
            raise SpaceError("blocks", f"{sum(blocks)} layers in all; allowed: up to {MAX_LAYERS}")
        return cls(
            name,
            1,
            length,
            classes,
            Stem(width, 1),
            (LayerSpec(width),) * sum(blocks),
            description=description,
            stages=tuple(Stage(layers, 1) for layers in blocks),
            vocabulary=vocabulary,
            blocks=tuple(blocks),
            heads=heads,
        )

    def _check_stages(self) -> None:
        """Nothing more: `of` has checked the blocks."""

    @property
    def width(self) -> int:
        """Of the embedding, and of tokens between blocks."""
        return self.stem.channels

    @property
    def length(self) -> int:
        """Tokens of a sentence."""
        return self.resolution

    @property
    def widths(self) -> tuple[int, ...]:
        """The hidden sizes that spaces of it have, the smallest first.

        They are the published ones that fit between the blocks, or the width there and its half,
        in whole heads, if none does.
        """
        heads, width = self.heads, self.width
        usual = tuple(each for each in WIDTHS if each <= width and not each % heads)
        return usual or tuple(
            sorted({max(heads, each // heads * heads) for each in (width // 2, width)})
        )

    @property
    def untied(self) -> "EncoderSkeleton":
        """The same layers, each in a block of its own: so each may have any hidden size."""
        layers = len(self.layers)
        return replace(self, stages=(Stage(1, 1),) * layers, blocks=(1,) * layers)

    @property
    def side(self) -> int | None:
        """None: sentences have no size in pixels."""
        return None

    @property
    def kind(self) -> str:
        """The layers of NAS-BERT."""
        return BlockShape.only

    @property
    def described(self) -> str:
        """Its size and what it reads, for people."""
        layers = f"{plural(len(self.layers), 'layer')} in {plural(len(self.blocks), 'block')}"
        size = f"sentences of {self.length} tokens, a vocabulary of {self.vocabulary:,}"
        return f"{layers}, {size}, {self.classes} classes"

    @cached_property
    def spine(self) -> tuple[LayerShape, ...]:
        """Shape of every layer, input side first."""
        digits = max(2, len(str(len(self.layers) - 1)))
        places = [place for layers in self.blocks for place in range(layers)]
        return tuple(
            BlockShape(
                f"layer_{index:0{digits}d}",
                self.width,
                self.width,
                1,
                self.length,
                around=False,
                skippable=place > 0,
                first=place == 0,
                head=self.heads,
            )
            for index, place in enumerate(places)
        )

    @cached_property
    def places(self) -> tuple[tuple[int, bool, bool], ...]:
        """Per layer the number of its block, and whether it is the first and the last there."""
        return tuple(
            (number, place == 0, place == layers - 1)
            for number, layers in enumerate(self.blocks)
            for place in range(layers)
        )

    @property
    def fixed(self) -> Cost:
        """MAdds of a sentence, and params, of embedding, its normalisation, and classifier.

        To look up an embedding takes no MAdds.
        """
        embedded = (self.vocabulary + self.length + 2) * self.width
        madds = self.width * self.classes
        return Cost(madds, embedded + madds + self.classes)

    @property
    def key(self) -> str:
        """A text shared by exactly the skeletons that build the same network around their cells."""
        blocks = " ".join(map(str, self.blocks))
        size = f"{self.vocabulary} x {self.length} width {self.width} heads {self.heads}"
        return f"sentences {size} blocks {blocks} classes {self.classes}"

    def fitted(self, *, in_channels: int, resolution: int, classes: int) -> "EncoderSkeleton":
        """Refuses images.

        Raises:
            SpaceError: always.
        """
        problem = f"{self.name} reads sentences, but the data are {resolution}x{resolution} images"
        allowed = "sentences[:options][:PATH]"
        raise SpaceError("data", f"{problem} of {classes} classes; allowed: {allowed}")

    def for_sentences(self, vocabulary: int, length: int, classes: int) -> "EncoderSkeleton":
        """The same blocks for sentences of another length, with other tokens and classes."""
        check_integer("vocabulary", vocabulary, SPECIAL + 1, MAX_CLASSES)
        check_integer("length", length, 1, MAX_RESOLUTION)
        return replace(self, vocabulary=vocabulary, resolution=length, classes=classes)


def encoder(skeleton: Skeleton, work: str) -> EncoderSkeleton:
    """The skeleton, which has to read sentences.

    Raises:
        SpaceError: it reads something else.
    """
    if not isinstance(skeleton, EncoderSkeleton):
        problem = f"{skeleton.name} reads {skeleton.reads}, but {work}"
        allowed = f"{skeleton.reads}, or a space such as {EXAMPLE}"
        raise SpaceError("data", f"{problem}; allowed: {allowed}")
    return skeleton


EXAMPLE: Final = "nas-bert@bert-small"
