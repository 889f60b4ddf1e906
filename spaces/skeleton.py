"""The skeleton: the macro network around the cells."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

from autospace.spaces.cells.cell import MAX_NODES, MIN_NODES, LayerShape, edge_slots
from autospace.spaces.checks import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_DESCRIPTION,
    MAX_LAYERS,
    MAX_NAME,
    MAX_RESOLUTION,
    check_integer,
    check_text,
)
from autospace.spaces.errors import SpaceError, located, offered, shown
from autospace.spaces.stages import ACTIVATIONS, Stage
from autospace.spaces.text import plural

MAX_GROUPS: Final = 64


@dataclass(frozen=True, slots=True)
class Stem:
    """A 3x3 convolution and, if `block` is given, an MBConv k3 of expansion 1 to `block` channels.

    Both are fixed: neither is searched.

    Attributes:
        convolutions: 1, or 3 if cells have two inputs: three convolutions of stride 2, the first
            of half the channels. The second gives the other input of the first cell.
    """

    channels: int
    stride: int
    block: int | None = None
    convolutions: int = 1

    @property
    def out_channels(self) -> int:
        """Channels that the first layer receives."""
        return self.channels if self.block is None else self.block


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """Output channels and stride of one layer.

    A fixed layer has no cell: it is a residual block of two 3x3 convolutions, each after its
    activation. Where the shape changes, a 1x1 convolution stands in for the identity, after 2x2
    average pooling if the stride is 2.
    """

    channels: int
    stride: int = 1
    fixed: bool = False


@dataclass(frozen=True)
class Skeleton:
    """Stem, layers and head of a network for square images.

    Layers may share one cell, and the edges of a shared cell may be chosen one by one. A space has
    candidates for each entry of `shapes`, whatever number of layers that entry stands for.

    Attributes:
        reads: what its networks read; a table per kind says who builds and trains them.
        in_channels: channels of the images.
        resolution: side of the images in pixels.
        classes: outputs of the classifier.
        head: channels of the 1x1 convolution before global pooling; 0 for none.
        preactivation: whether activations stand before convolutions: none follows the stem, cells
            have no identity around them, and batch normalisation and ReLU stand before pooling.
        ties: per layer that is not fixed, the number of its group; the layers of a group share one
            cell. Empty if each has a cell of its own.
        nodes: of a cell, if each of its edges is a choice of its own; None if whole cells are. Of
            cells with two inputs, each node is a choice instead.
        chain: how many of the layers before it a cell gets its inputs from. With 2, no activation
            follows the stem, cells have no identity around them, and the channels of a layer are
            those of a node of its cell.
        concat: with chain 2, how many nodes a cell concatenates: a layer gives so many times its
            channels.
        binary_groups: with chain 2, at most so many groups of the binary convolutions of cells; an
            activation then follows the stem. 0 if cells are real.
        stages: runs of layers, those of Once-for-All, of which only the last ones may be skipped;
            empty if layers are independent. The block of the stem then has the activation of the
            first stage but no attention, and an identity around it if it keeps the channels.
        activation: with stages, that of the stem's convolution and of the head.
        last: with stages, channels of a linear layer without bias after pooling; 0 for none.
    """

    reads: ClassVar[str] = "images"
    name: str
    in_channels: int
    resolution: int
    classes: int
    stem: Stem
    layers: tuple[LayerSpec, ...]
    head: int = 0
    description: str = ""
    preactivation: bool = False
    ties: tuple[int, ...] = ()
    nodes: int | None = None
    chain: int = 1
    concat: int = 1
    binary_groups: int = 0
    stages: tuple[Stage, ...] = ()
    activation: str = "relu6"
    last: int = 0

    def __post_init__(self) -> None:
        check_text("name", self.name, MAX_NAME)
        check_text("description", self.description, MAX_DESCRIPTION, least=0)
        check_integer("in_channels", self.in_channels, 1, MAX_CHANNELS)
        check_integer("resolution", self.resolution, 1, MAX_RESOLUTION)
        check_integer("classes", self.classes, 2, MAX_CLASSES)
        check_integer("head", self.head, 0, MAX_CHANNELS)
        check_integer("stem.channels", self.stem.channels, 1, MAX_CHANNELS)
        check_integer("stem.stride", self.stem.stride, 1, 2)
        if self.stem.block is not None:
            check_integer("stem.block", self.stem.block, 1, MAX_CHANNELS)
        if not 1 <= len(self.layers) <= MAX_LAYERS:
            raise SpaceError("layers", f"{len(self.layers)} layers; allowed: 1 to {MAX_LAYERS}")
        for index, layer in enumerate(self.layers):
            check_integer(f"layers[{index}].channels", layer.channels, 1, MAX_CHANNELS)
            check_integer(f"layers[{index}].stride", layer.stride, 1, 2)
        self._check_chain()
        self._check_fixed()
        self._check_ties()
        self._check_choices()
        self._check_stages()

    def _check_chain(self) -> None:
        check_integer("chain", self.chain, 1, 2)
        check_integer("concat", self.concat, 1, MAX_NODES if self.chain == 2 else 1)
        check_integer("binary_groups", self.binary_groups, 0, MAX_GROUPS if self.chain == 2 else 0)
        check_integer("stem.convolutions", self.stem.convolutions, 1, 3)
        if self.stem.convolutions == 2:
            raise SpaceError("stem.convolutions", "2; allowed: 1 or 3")
        if self.chain == 1:
            if self.stem.convolutions != 1:
                raise SpaceError("stem.convolutions", "3; allowed: 1 without chain 2")
            return
        if self.preactivation:
            raise SpaceError("preactivation", "true; allowed: false with chain 2")
        if self.stem.block is not None:
            raise SpaceError("stem.block", f"{self.stem.block}; allowed: none with chain 2")
        if self.head:
            raise SpaceError("head", f"{self.head}; allowed: 0 with chain 2")
        if self.stem.convolutions == 3 and self.stem.stride != 2:
            problem = f"{self.stem.stride}; allowed: 2, of each of three convolutions"
            raise SpaceError("stem.stride", problem)
        if self.stem.convolutions == 3 and self.stem.channels < 2:
            raise SpaceError("stem.channels", "1; allowed: 2 or more with three convolutions")
        for index, layer in enumerate(self.layers):
            if layer.channels * self.concat > MAX_CHANNELS:
                problem = f"{layer.channels}; allowed: {MAX_CHANNELS // self.concat} or less"
                raise SpaceError(
                    f"layers[{index}].channels", f"{problem}, as {self.concat} are concatenated"
                )

    def _check_fixed(self) -> None:
        fixed = [layer.fixed for layer in self.layers]
        if fixed[0] or fixed[-1]:
            place = 0 if fixed[0] else len(fixed) - 1
            raise SpaceError(f"layers[{place}].fixed", "true; allowed: inner layers only")
        if any(fixed) and not self.preactivation:
            problem = "true; allowed: with preactivation only"
            raise SpaceError(f"layers[{fixed.index(True)}].fixed", problem)
        if self.preactivation and self.stem.block is not None:
            raise SpaceError("stem.block", f"{self.stem.block}; allowed: none with preactivation")
        if self.preactivation and self.head:
            raise SpaceError("head", f"{self.head}; allowed: 0 with preactivation")

    def _check_ties(self) -> None:
        if not self.ties:
            return
        found, wanted = len(self.ties), len(self.cell_layers)
        if found != wanted:
            raise SpaceError("ties", f"{found} entries; allowed: {wanted}, one per layer of cells")
        first: dict[int, LayerShape] = {}
        for index, (group, shape) in enumerate(zip(self.ties, self.cell_layers, strict=True)):
            check_integer(f"ties[{index}]", group, 0, len(first))
            one = first.setdefault(group, shape)
            if (one.stride, one.shortcut) != (shape.stride, shape.shortcut):
                problem = f"{group}: {shape.name} and {one.name} differ in stride or shortcut"
                raise SpaceError(f"ties[{index}]", f"{problem}; allowed: layers alike in both")
        if len(first) == found:
            # Each layer is alone in its group: equal skeletons are equal values.
            object.__setattr__(self, "ties", ())

    def _check_choices(self) -> None:
        if self.nodes is None:
            return
        check_integer("nodes", self.nodes, MIN_NODES, MAX_NODES)
        if self.chain == 2 and self.nodes != self.concat:
            problem = f"{self.nodes}; allowed: {self.concat}, all nodes that are concatenated"
            raise SpaceError("nodes", problem)
        found = self.choices_per_cell * len(set(self.groups))
        if found > MAX_LAYERS:
            problem = f"{self.nodes}: {found} edges of all cells; allowed: up to {MAX_LAYERS}"
            raise SpaceError("nodes", problem)

    def _check_stages(self) -> None:
        if self.activation not in ACTIVATIONS:
            known = offered(self.activation, ACTIVATIONS)
            raise SpaceError("activation", f"unknown activation {shown(self.activation)}; {known}")
        check_integer("last", self.last, 0, MAX_CHANNELS)
        if not self.stages:
            if self.activation != "relu6":
                raise SpaceError("activation", f"{self.activation}; allowed: relu6 without stages")
            if self.last:
                raise SpaceError("last", f"{self.last}; allowed: 0 without stages")
            return
        if self.chain == 2 or self.preactivation or self.ties or self.nodes is not None:
            allowed = "with whole cells in every layer, one input, and activations last"
            raise SpaceError("stages", f"{len(self.stages)} stages; allowed: {allowed}")
        for index, stage in enumerate(self.stages):
            with located(f"stages[{index}]"):
                stage.check()
        found = sum(stage.layers for stage in self.stages)
        if found != len(self.layers):
            problem = f"{found} layers in all; allowed: {len(self.layers)}, as the skeleton has"
            raise SpaceError("stages", problem)
        for index, shape in enumerate(self.spine):
            if shape.skippable and not shape.shortcut:
                problem = f"{shape.name} may be skipped, but changes channels or resolution"
                raise SpaceError(f"layers[{index}]", f"{problem}; allowed: layers that keep both")

    @cached_property
    def spine(self) -> tuple[LayerShape, ...]:
        """Shape of every layer, fixed ones included, input side first."""
        shapes: list[LayerShape] = []
        channels = self.stem.out_channels
        resolution = self.stem_resolution
        cells = sum(not layer.fixed for layer in self.layers)
        width = max(2, len(str(cells - 1)))
        index = 0
        for layer in self.layers:
            name = "fixed" if layer.fixed else f"layer_{index:0{width}d}"
            index += not layer.fixed
            around = not self.preactivation and self.chain == 1
            wide = layer.channels * self.concat
            shape = LayerShape(name, channels, wide, layer.stride, resolution, around)
            if self.chain == 2:
                shape = self._with_two_inputs(shape, shapes)
            elif self.stages:
                shape = self._in_stage(shape, len(shapes))
            shapes.append(shape)
            channels, resolution = shape.out_channels, shape.out_resolution
        return tuple(shapes)

    def _with_two_inputs(self, shape: LayerShape, earlier: Sequence[LayerShape]) -> LayerShape:
        """The shape of a layer whose cells have two inputs, given the shapes before it."""
        before = (shape.in_channels, self.stem_sides[max(0, self.stem.convolutions - 2)])
        if earlier:
            before = (earlier[-1].in_channels, earlier[-1].resolution)
        return replace(
            shape,
            before=before,
            width=shape.out_channels // self.concat,
            concat=self.concat,
            binary_groups=self.binary_groups,
        )

    def _in_stage(self, shape: LayerShape, index: int) -> LayerShape:
        """The shape of a layer with what its stage says of it."""
        for stage in self.stages:
            if index < stage.layers:
                return replace(
                    shape,
                    activation=stage.activation,
                    attention=stage.attention,
                    skippable=index >= stage.least,
                )
            index -= stage.layers
        return shape

    @cached_property
    def cell_layers(self) -> tuple[LayerShape, ...]:
        """Shape of every layer that has a cell, input side first."""
        pairs = zip(self.spine, self.layers, strict=True)
        return tuple(shape for shape, layer in pairs if not layer.fixed)

    @property
    def groups(self) -> tuple[int, ...]:
        """Per layer that has a cell, the number of its group."""
        return self.ties or tuple(range(len(self.cell_layers)))

    @cached_property
    def shapes(self) -> tuple[LayerShape, ...]:
        """What a space has candidates for: a layer, a group of layers, or an edge of its cell."""
        members: dict[int, list[LayerShape]] = {}
        for group, shape in zip(self.groups, self.cell_layers, strict=True):
            members.setdefault(group, []).append(shape)
        shared = [
            layers[0] if len(layers) == 1 else replace(layers[0], tied=tuple(layers))
            for layers in members.values()
        ]
        if self.nodes is None:
            return tuple(shared)
        found = []
        for shape in shared:
            prefix = "" if len(shared) == 1 else f"{shape.name}_"
            if self.chain == 2:
                for node in range(2, 2 + self.nodes):
                    found.append(replace(shape, name=f"{prefix}node_{node}", node=node))
                continue
            for slot in edge_slots(self.nodes):
                name = f"{prefix}edge_{slot[0]}_{slot[1]}"
                found.append(replace(shape, name=name, edge=slot, nodes=self.nodes))
        return tuple(found)

    @property
    def side(self) -> int | None:
        """Side of the images in pixels; None where networks read something else."""
        return self.resolution

    @property
    def kind(self) -> str:
        """The family of the cells that are evolved on it; others may fit as well."""
        if self.chain == 2:
            return self.cell_layers[0].paired_kind
        if self.stages:
            return "ofa"
        if all(shape.plain for shape in self.shapes):
            return "mobile"
        if self.ties or self.nodes is not None:
            return "dense"
        kept = all(
            shape.stride == 1 and shape.in_channels == shape.out_channels for shape in self.shapes
        )
        return "dense" if kept else "conv"

    @property
    def choice_noun(self) -> str:
        """What an entry of `shapes` is, for people."""
        if self.nodes is None:
            return "layer"
        return "node" if self.chain == 2 else "edge"

    @property
    def described(self) -> str:
        """Its size and what it reads, for people."""
        images = f"{self.in_channels}x{self.resolution}x{self.resolution} images"
        return f"{plural(len(self.layers), 'layer')}, {images}, {self.classes} classes"

    @property
    def undivided(self) -> "Skeleton":
        """The same network as one in which whole cells are chosen."""
        return replace(self, nodes=None)

    @property
    def untied(self) -> "Skeleton":
        """The same network as one in which every layer has a whole cell of its own."""
        return replace(self, ties=(), nodes=None)

    @property
    def choices_per_cell(self) -> int:
        """How many consecutive entries of `shapes` make one cell."""
        if self.nodes is None:
            return 1
        return self.nodes if self.chain == 2 else self.nodes * (self.nodes - 1) // 2

    @property
    def stem_resolution(self) -> int:
        """Side of the output of the stem, in pixels."""
        return self.stem_sides[-1]

    @property
    def stem_sides(self) -> tuple[int, ...]:
        """Side of the output of each convolution of the stem, in pixels."""
        sides = [self.resolution]
        for _ in range(self.stem.convolutions):
            sides.append(-(-sides[-1] // self.stem.stride))
        return tuple(sides[1:])

    def fitted(self, *, in_channels: int, resolution: int, classes: int) -> "Skeleton":
        """The same layers for other images and another number of classes."""
        return replace(self, in_channels=in_channels, resolution=resolution, classes=classes)
