"""The skeleton of networks that describe images: an encoder, layers of recurrent cells, a decoder.

The encoder is a number of 3x3 convolutions of stride 2, each with batch normalisation and ReLU6,
and a linear layer over all that the last one gives: a caption depends on where things are, which a
global mean would lose. Its output is the first state of every layer. The layers are cells of the
family `recurrent`, whose links say which earlier layers they read, as in AutoCaption (Zhu et al.,
2020) and the macro networks of ENAS. What the decoder reads is the mean of the states of all
layers, as the output of a cell is the mean of its nodes: so there is no layer without an influence.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.cost import conv_norm_cost, total
from autospace.spaces.cells.operations import Cost
from autospace.spaces.cells.recurrent import DecisionShape, renamed
from autospace.spaces.cells.recurrent_cell import MAX_DEPTH, Part
from autospace.spaces.checks import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_LAYERS,
    MAX_RESOLUTION,
    check_integer,
)
from autospace.spaces.errors import SpaceError
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import LayerSpec, Skeleton, Stem
from autospace.spaces.text import plural

MAX_STAGES: Final = 8
EXAMPLE: Final = "autocaption@captions-small"


@dataclass(frozen=True)
class CaptionSkeleton(SequenceSkeleton):
    """An encoder of images, and recurrent cells in layers; embedding and decoder share a matrix.

    Make one with `of`. `in_channels` and `resolution` are those of the images, `classes` is the
    vocabulary, and `stem.channels` the width of embedding, nodes and image feature.

    Attributes:
        depth: layers of cells.
        encoder: channels of the convolutions, input side first.
    """

    reads: ClassVar[str] = "captions"
    depth: int = 2
    encoder: tuple[int, ...] = (32, 64)

    @classmethod
    def of(
        cls,
        name: str,
        vocabulary: int,
        width: int,
        nodes: int = 4,
        *,
        depth: int = 2,
        channels: int = 1,
        resolution: int = 24,
        encoder: tuple[int, ...] = (32, 64),
        root: str | None = "tanh",
        bias: bool = True,
        whole: bool = False,
        description: str = "",
    ) -> "CaptionSkeleton":
        """A skeleton.

        Args:
            name: of the skeleton.
            vocabulary: different tokens.
            width: units of the embedding, of every node and of the image feature.
            nodes: of every cell, behind its root.
            depth: see the class.
            channels: of images.
            resolution: side of images, in pixels.
            encoder: see the class.
            root: function of the roots; None if they are choices.
            bias: whether the decoder has one.
            whole: whether whole cells are candidates, and not single choices.
            description: for people.

        Raises:
            SpaceError: a value is out of range.
        """
        check_integer("vocabulary", vocabulary, 2, MAX_CLASSES)
        check_integer("width", width, 1, MAX_CHANNELS)
        return cls(
            name,
            in_channels=channels,
            resolution=resolution,
            classes=vocabulary,
            stem=Stem(width, 1),
            layers=(LayerSpec(width),),
            description=description,
            nodes=nodes,
            root=root,
            bias=bias,
            whole=whole,
            depth=depth,
            encoder=tuple(encoder),
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("depth", self.depth, 1, MAX_DEPTH)
        check_integer("image.channels", self.in_channels, 1, MAX_CHANNELS)
        check_integer("image.resolution", self.resolution, 1, MAX_RESOLUTION)
        if not 1 <= len(self.encoder) <= MAX_STAGES:
            problem = f"{len(self.encoder)} convolutions; allowed: 1 to {MAX_STAGES}"
            raise SpaceError("image.encoder", problem)
        for index, width in enumerate(self.encoder):
            check_integer(f"image.encoder[{index}]", width, 1, MAX_CHANNELS)
        if not self.whole and self.depth * self.choices_of_a_cell > MAX_LAYERS:
            found = self.depth * self.choices_of_a_cell
            problem = f"{self.nodes}: {found} choices of all cells; allowed: up to {MAX_LAYERS}"
            raise SpaceError("nodes", problem)

    @property
    def choices_of_a_cell(self) -> int:
        """Links, predecessors and functions."""
        return 1 + 2 * self.nodes + (self.root is None)

    @cached_property
    def cell_layers(self) -> tuple[LayerShape, ...]:
        """The cells, whole, lowest layer first."""
        width = self.width
        return tuple(
            DecisionShape(
                f"layer_{depth}",
                width,
                width,
                1,
                1,
                False,
                nodes=self.nodes,
                root=self.root,
                depth=depth,
            )
            for depth in range(1, self.depth + 1)
        )

    @property
    def groups(self) -> tuple[int, ...]:
        """Every layer has a cell of its own."""
        return tuple(range(self.depth))

    @cached_property
    def shapes(self) -> tuple[LayerShape, ...]:
        """The choices, layer by layer: the links, and predecessor and function of every node."""
        if self.whole:
            return self.cell_layers
        parts: list[tuple[int, Part]] = [(0, "links")]
        parts += [] if self.root is not None else [(0, "function")]
        for node in range(1, self.nodes + 1):
            parts += [(node, "input"), (node, "function")]
        cells = [each for each in self.cell_layers if isinstance(each, DecisionShape)]
        return tuple(renamed(cell, node, part) for cell in cells for node, part in parts)

    @property
    def choices_per_cell(self) -> int:
        """All that are made for one layer."""
        return len(self.shapes) // self.depth

    @property
    def choice_noun(self) -> str:
        """What a choice is, for people."""
        return "layer" if self.whole else "choice"

    @property
    def side(self) -> int | None:
        """Side of the images in pixels."""
        return self.resolution

    @cached_property
    def sides(self) -> tuple[int, ...]:
        """Side of the output of each convolution of the encoder, in pixels."""
        found = [self.resolution]
        for _ in self.encoder:
            found.append(-(-found[-1] // 2))
        return tuple(found[1:])

    @property
    def described(self) -> str:
        """Its size, images and vocabulary, for people."""
        images = f"{self.in_channels}x{self.resolution}x{self.resolution} images"
        return f"{images}, {plural(self.depth, 'layer')} of {super().described}"

    @property
    def features(self) -> int:
        """What the linear layer of the encoder reads: all pixels of the last convolution."""
        return self.encoder[-1] * self.sides[-1] ** 2

    @property
    def encoder_cost(self) -> Cost:
        """MAdds and params of the encoder, for one image."""
        widths = (self.in_channels, *self.encoder)
        convolutions = (
            conv_norm_cost(before, width, 3, side**2)
            for before, width, side in zip(widths, self.encoder, self.sides, strict=False)
        )
        linear = Cost(self.features * self.width, (self.features + 1) * self.width)
        return total(convolutions).plus(linear)

    @property
    def fixed(self) -> Cost:
        """MAdds of one image and one token, and params, of all that is not chosen.

        That is the encoder, the embedding with the decoder, and the part of every root that
        multiplies the state.
        """
        shared, states = self.vocabulary * self.width, self.depth * 2 * self.width**2
        bias = self.vocabulary if self.bias else 0
        return self.encoder_cost.plus(Cost(shared + states, shared + states + bias))

    @property
    def key(self) -> str:
        """A text shared by exactly the skeletons that build the same network around their cells."""
        image = f"{self.in_channels}x{self.resolution} encoder {' '.join(map(str, self.encoder))}"
        return f"captions {image} depth {self.depth} {super().key}"

    def described_by(self, *, vocabulary: int, channels: int, resolution: int) -> "CaptionSkeleton":
        """The same cells for other images and so many different tokens."""
        check_integer("vocabulary", vocabulary, 2, MAX_CLASSES)
        return replace(self, classes=vocabulary, in_channels=channels, resolution=resolution)


def captioning(skeleton: Skeleton, work: str) -> CaptionSkeleton:
    """The skeleton, which has to be one of networks that describe images.

    Raises:
        SpaceError: it is another one.
    """
    if not isinstance(skeleton, CaptionSkeleton):
        problem = f"{skeleton.name} reads {skeleton.reads}, but {work}"
        raise SpaceError("data", f"{problem}; allowed: a space such as {EXAMPLE}")
    return skeleton
