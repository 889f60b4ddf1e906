"""The skeleton: the macro network around the cells."""

from dataclasses import dataclass, replace
from functools import cached_property

from autospace.spaces.cells.cell import LayerShape
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
    """Output channels and stride of one layer."""

    channels: int
    stride: int = 1


@dataclass(frozen=True)
class Skeleton:
    """Stem, layers and head of a network for square images.

    Attributes:
        in_channels: channels of the images.
        resolution: side of the images in pixels.
        classes: outputs of the classifier.
        head: channels of the 1x1 convolution before global pooling; 0 for none.
    """

    name: str
    in_channels: int
    resolution: int
    classes: int
    stem: Stem
    layers: tuple[LayerSpec, ...]
    head: int = 0
    description: str = ""

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

    @cached_property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Shape of every layer, input side first."""
        shapes = []
        channels = self.stem.out_channels
        resolution = self.stem_resolution
        width = max(2, len(str(len(self.layers) - 1)))
        for index, layer in enumerate(self.layers):
            name = f"layer_{index:0{width}d}"
            shape = LayerShape(name, channels, layer.channels, layer.stride, resolution)
            shapes.append(shape)
            channels, resolution = shape.out_channels, shape.out_resolution
        return tuple(shapes)

    @property
    def stem_resolution(self) -> int:
        """Side of the output of the stem, in pixels."""
        return -(-self.resolution // self.stem.stride)

    def fitted(self, *, in_channels: int, resolution: int, classes: int) -> "Skeleton":
        """The same layers for other images and another number of classes."""
        return replace(self, in_channels=in_channels, resolution=resolution, classes=classes)
