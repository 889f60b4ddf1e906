"""The skeleton: the macro network around the cells."""

from dataclasses import dataclass, replace
from functools import cached_property

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
from autospace.spaces.errors import SpaceError


@dataclass(frozen=True, slots=True)
class Stem:
    """A 3x3 convolution and, if `block` is given, an MBConv k3 of expansion 1 to `block` channels.

    Both are fixed: neither is searched.
    """

    channels: int
    stride: int
    block: int | None = None

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
        in_channels: channels of the images.
        resolution: side of the images in pixels.
        classes: outputs of the classifier.
        head: channels of the 1x1 convolution before global pooling; 0 for none.
        preactivation: whether activations stand before convolutions: none follows the stem, cells
            have no identity around them, and batch normalisation and ReLU stand before pooling.
        ties: per layer that is not fixed, the number of its group; the layers of a group share one
            cell. Empty if each has a cell of its own.
        nodes: of a cell, if each of its edges is a choice of its own; None if whole cells are.
    """

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
        self._check_fixed()
        self._check_ties()
        self._check_choices()

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
        found = self.choices_per_cell * len(set(self.groups))
        if found > MAX_LAYERS:
            problem = f"{self.nodes}: {found} edges of all cells; allowed: up to {MAX_LAYERS}"
            raise SpaceError("nodes", problem)

    @cached_property
    def spine(self) -> tuple[LayerShape, ...]:
        """Shape of every layer, fixed ones included, input side first."""
        shapes = []
        channels = self.stem.out_channels
        resolution = self.stem_resolution
        cells = sum(not layer.fixed for layer in self.layers)
        width = max(2, len(str(cells - 1)))
        index = 0
        for layer in self.layers:
            name = "fixed" if layer.fixed else f"layer_{index:0{width}d}"
            index += not layer.fixed
            around = not self.preactivation
            shape = LayerShape(name, channels, layer.channels, layer.stride, resolution, around)
            shapes.append(shape)
            channels, resolution = shape.out_channels, shape.out_resolution
        return tuple(shapes)

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
            for slot in edge_slots(self.nodes):
                name = f"{prefix}edge_{slot[0]}_{slot[1]}"
                found.append(replace(shape, name=name, edge=slot, nodes=self.nodes))
        return tuple(found)

    @property
    def untied(self) -> "Skeleton":
        """The same network as one in which every layer has a whole cell of its own."""
        return replace(self, ties=(), nodes=None)

    @property
    def choices_per_cell(self) -> int:
        """How many consecutive entries of `shapes` make one cell."""
        return 1 if self.nodes is None else self.nodes * (self.nodes - 1) // 2

    @property
    def stem_resolution(self) -> int:
        """Side of the output of the stem, in pixels."""
        return -(-self.resolution // self.stem.stride)

    def fitted(self, *, in_channels: int, resolution: int, classes: int) -> "Skeleton":
        """The same layers for other images and another number of classes."""
        return replace(self, in_channels=in_channels, resolution=resolution, classes=classes)
