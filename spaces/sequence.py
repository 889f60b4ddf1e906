"""The skeleton of networks that read tokens: an embedding, one recurrent cell, and a decoder."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.operations import Cost
from autospace.spaces.cells.recurrent import DecisionShape, renamed
from autospace.spaces.cells.recurrent_cell import MAX_RECURRENT_NODES, Part, check_function
from autospace.spaces.checks import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_DESCRIPTION,
    MAX_NAME,
    check_integer,
    check_text,
)
from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.skeleton import LayerSpec, Skeleton, Stem
from autospace.spaces.text import plural


@dataclass(frozen=True)
class SequenceSkeleton(Skeleton):
    """A language model around one recurrent cell; embedding and decoder share one matrix.

    Make one with `of`. What skeletons of images have besides, stands for one layer without extent:
    `classes` is the vocabulary, and `stem.channels` the width of embedding and nodes.

    Attributes:
        nodes: of the cell, behind its root.
        root: the function of the root; None if it is a choice, as in the paper on ENAS.
        bias: whether the decoder has one, as in DARTS.
        whole: whether whole cells are candidates, and not single choices.
    """

    reads: ClassVar[str] = "text"
    nodes: int = 8
    root: str | None = "tanh"
    bias: bool = False
    whole: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        vocabulary: int,
        width: int,
        nodes: int = 8,
        *,
        root: str | None = "tanh",
        bias: bool = False,
        whole: bool = False,
        description: str = "",
    ) -> "SequenceSkeleton":
        """A skeleton.

        Args:
            name: of the skeleton.
            vocabulary: different tokens.
            width: units of the embedding and of every node.
            nodes: see the class, as all others.
            root: likewise.
            bias: likewise.
            whole: likewise.
            description: for people.

        Raises:
            SpaceError: a value is out of range.
        """
        check_integer("vocabulary", vocabulary, 2, MAX_CLASSES)
        check_integer("width", width, 1, MAX_CHANNELS)
        more = {"root": root, "bias": bias, "whole": whole}
        return cls(
            name,
            in_channels=1,
            resolution=1,
            classes=vocabulary,
            stem=Stem(width, 1),
            layers=(LayerSpec(width),),
            description=description,
            nodes=nodes,
            **more,  # type: ignore[arg-type]
        )

    def __post_init__(self) -> None:
        check_text("name", self.name, MAX_NAME)
        check_text("description", self.description, MAX_DESCRIPTION, least=0)
        check_integer("nodes", self.nodes, 1, MAX_RECURRENT_NODES)
        if self.root is not None:
            check_function("root", self.root)
        for name in ("bias", "whole"):
            if not isinstance(getattr(self, name), bool):
                raise SpaceError(name, f"{shown(getattr(self, name))}; allowed: true or false")

    @property
    def vocabulary(self) -> int:
        """Number of different tokens."""
        return self.classes

    @property
    def width(self) -> int:
        """Units of the embedding and of every node."""
        return self.stem.channels

    def product(self, columns: int) -> int:
        """MAdds of the matrix product of a node, for so many columns of a text."""
        return columns * 2 * self.width**2

    @cached_property
    def cell_layers(self) -> tuple[LayerShape, ...]:
        """The one cell, whole."""
        width, root = self.width, self.root
        return (DecisionShape("cell", width, width, 1, 1, False, nodes=self.nodes, root=root),)

    @property
    def spine(self) -> tuple[LayerShape, ...]:
        """Likewise."""
        return self.cell_layers

    @property
    def groups(self) -> tuple[int, ...]:
        """One cell, in a group of its own."""
        return (0,)

    @cached_property
    def shapes(self) -> tuple[LayerShape, ...]:
        """The choices: predecessor and function of every node, or the whole cell."""
        (cell,) = self.cell_layers
        if self.whole or not isinstance(cell, DecisionShape):
            return self.cell_layers
        parts: list[tuple[int, Part]] = [] if self.root is not None else [(0, "function")]
        for node in range(1, self.nodes + 1):
            parts += [(node, "input"), (node, "function")]
        return tuple(renamed(cell, node, part) for node, part in parts)

    @property
    def choices_per_cell(self) -> int:
        """All of them."""
        return len(self.shapes)

    @property
    def side(self) -> int | None:
        """None: text has no size."""
        return None

    @property
    def kind(self) -> str:
        """Recurrent cells."""
        return "recurrent"

    @property
    def choice_noun(self) -> str:
        """What a choice is, for people."""
        return "cell" if self.whole else "choice"

    @property
    def described(self) -> str:
        """Its size and vocabulary, for people."""
        size = f"{plural(self.nodes, 'node')} of width {self.width}"
        return f"{size}, a vocabulary of {self.vocabulary:,}"

    @property
    def undivided(self) -> "SequenceSkeleton":
        """The same network as one whose whole cell is a candidate."""
        return replace(self, whole=True)

    @property
    def untied(self) -> "SequenceSkeleton":
        """Likewise: there is one cell."""
        return self.undivided

    @property
    def fixed(self) -> Cost:
        """MAdds of one token, and params, of embedding, root and decoder.

        To look up an embedding takes no MAdds; the decoder multiplies by the same matrix.
        """
        shared, root = self.vocabulary * self.width, 4 * self.width**2
        return Cost(shared + root, shared + root + (self.vocabulary if self.bias else 0))

    @property
    def key(self) -> str:
        """A text shared by exactly the skeletons that build the same network around their cell."""
        bias = " bias" if self.bias else ""
        root = self.root or "chosen"
        return f"text {self.vocabulary} width {self.width} nodes {self.nodes} root {root}{bias}"

    def fitted(self, *, in_channels: int, resolution: int, classes: int) -> "SequenceSkeleton":
        """Refuses images.

        Raises:
            SpaceError: always.
        """
        kind = f"{self.reads}[:options][:PATH]"
        problem = f"{self.name} reads {self.reads}, but the data are {resolution}x{resolution}"
        raise SpaceError("data", f"{problem} images of {classes} classes; allowed: {kind}")

    def for_vocabulary(self, vocabulary: int) -> "SequenceSkeleton":
        """The same cell for text of so many different tokens."""
        check_integer("vocabulary", vocabulary, 2, MAX_CLASSES)
        return replace(self, classes=vocabulary)


def sequence(skeleton: Skeleton, work: str) -> SequenceSkeleton:
    """The skeleton, which has to read text.

    Raises:
        SpaceError: it reads images.
    """
    if not isinstance(skeleton, SequenceSkeleton) or skeleton.reads != "text":
        problem = f"{skeleton.name} reads {skeleton.reads}, but {work}"
        raise SpaceError(
            "data", f"{problem}; allowed: {skeleton.reads}, or a space such as {EXAMPLE}"
        )
    return skeleton


def images_only(skeleton: Skeleton, work: str) -> None:
    """Refuses a skeleton that reads text, sentences or captions, for work on classes of images.

    Raises:
        SpaceError: it reads one of them.
    """
    if skeleton.reads != "images":
        reads = skeleton.reads
        problem = f"{skeleton.name} reads {reads}, and {work} knows networks for images only"
        # A file for tuners cannot say that of a stage only the last layers are skipped.
        targets = "pytorch, onnx or svg" if skeleton.stages else "pytorch, onnx, svg or tuners"
        allowed = f"export to {targets}, and all commands but profile"
        raise SpaceError("skeleton", f"{problem}; allowed for {reads}: {allowed}")


EXAMPLE: Final = "enas-rnn@rnn-small"
