"""Network descriptions in the style of ProxylessNAS (`net.config`, JSON).

A stem convolution, blocks with an inverted bottleneck each and maybe a shortcut, a last 1x1
convolution, a classifier. Layers of such files are objects whose `name` is their class.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from autospace.importers.blocks import KERNELS, SKIPPED, imported
from autospace.importers.fields import Fields
from autospace.importers.target import Target
from autospace.spaces import (
    Architecture,
    Cell,
    LayerShape,
    LayerSpec,
    Skeleton,
    SpaceError,
    Stem,
    mbconv,
)
from autospace.spaces.cells.cell import EXPANSIONS
from autospace.spaces.errors import shown
from autospace.spaces.limits import MAX_CHANNELS, MAX_CLASSES, MAX_LAYERS, MAX_RESOLUTION

USUAL: Final = "mobile"
STEM_BLOCK: Final = mbconv(3, 1)

Reader = Callable[[Fields], Cell]


@dataclass(frozen=True, slots=True)
class _Block:
    cell: Cell
    channels: int
    stride: int
    shortcut: bool


def network(plain: object, target: Target, also: Mapping[str, Reader]) -> Architecture:
    """The architecture that a network file describes, its skeleton read from the file too.

    Args:
        plain: the parsed file.
        target: may give the resolution, which few such files say, and the skeleton that the file
            is expected to have.
        also: readers of blocks other than `MBInvertedConvLayer` and `ZeroLayer`, by name; channels
            and stride of the block are read already.

    Raises:
        SpaceError: naming the first part that our networks cannot express, and why.
    """
    file = Fields(plain, "")
    file.ignore("name", "bn")
    channels, width, stride = _convolution(Fields(file.take("first_conv"), "first_conv"), 3)
    stem_channels = width
    blocks = []
    for index, each in enumerate(_listed(file.take("blocks"))):
        block = _block(Fields(each, f"blocks[{index}]"), width, also)
        blocks.append(block)
        width = block.channels
    head = _head(file.take("feature_mix_layer", None), width)
    classes = _classifier(Fields(file.take("classifier"), "classifier"), head or width)
    resolution = _resolution(file, target)
    file.finish()
    fixed = _stem_block(blocks, target)
    layers = blocks if fixed is None else blocks[1:]
    skeleton = Skeleton(
        "imported",
        channels,
        resolution,
        classes,
        Stem(stem_channels, stride, fixed),
        tuple(LayerSpec(each.channels, each.stride) for each in layers),
        head,
    )
    _check_shortcuts(skeleton.shapes, layers, len(blocks) - len(layers))
    cells = (imported(each.cell, f"cell_{index}") for index, each in enumerate(layers))
    return Architecture(_known(skeleton, target), tuple(cells))


def _resolution(file: Fields, target: Target) -> int:
    """What the user says, else what the file says (MCUNet's do), else that of the skeleton."""
    usual = target.skeleton_or(USUAL).resolution
    stated = file.integer("resolution", 1, MAX_RESOLUTION, usual)
    return stated if target.resolution is None else target.resolution


def _listed(blocks: object) -> list[object]:
    most = MAX_LAYERS + 1
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= most:
        found = f"{len(blocks)} blocks" if isinstance(blocks, list) else shown(blocks)
        raise SpaceError("blocks", f"{found}; allowed: a list of 1 to {most}")
    return blocks


def _convolution(layer: Fields, kernel: int) -> tuple[int, int, int]:
    """Channels in and out and stride of a dense convolution with batch norm and ReLU6."""
    layer.among("name", ["ConvLayer"])
    layer.among("kernel_size", [kernel])
    layer.among("act_func", ["relu6"])
    layer.fixed(dilation=1, groups=1, bias=False, has_shuffle=False)
    layer.fixed(use_bn=True, ops_order="weight_bn_act")
    layer.ignore("dropout_rate")
    entering, leaving = (
        layer.integer(key, 1, MAX_CHANNELS) for key in ("in_channels", "out_channels")
    )
    stride = layer.integer("stride", 1, 2)
    layer.finish()
    return entering, leaving, stride


def _head(value: object, width: int) -> int:
    """Channels of the last convolution; 0 where there is none."""
    if value is None:
        return 0
    layer = Fields(value, "feature_mix_layer")
    entering, leaving, stride = _convolution(layer, 1)
    _agree(layer.at("in_channels"), entering, width)
    _agree(layer.at("stride"), stride, 1)
    return leaving


def _classifier(layer: Fields, width: int) -> int:
    """Classes of a linear layer with bias."""
    layer.among("name", ["LinearLayer"])
    layer.fixed(bias=True, use_bn=False, act_func=None)
    layer.ignore("dropout_rate", "ops_order")
    _agree(layer.at("in_features"), layer.integer("in_features", 1, MAX_CHANNELS), width)
    classes = layer.integer("out_features", 2, MAX_CLASSES)
    layer.finish()
    return classes


def _block(block: Fields, width: int, also: Mapping[str, Reader]) -> _Block:
    block.fixed(name="MobileInvertedResidualBlock")
    layer = Fields(block.take("mobile_inverted_conv"), block.at("mobile_inverted_conv"))
    shortcut = block.take("shortcut", None)
    if shortcut is not None:
        _identity(Fields(shortcut, block.at("shortcut")), width)
    block.finish()
    readers: dict[str, Reader] = {"MBInvertedConvLayer": _inverted_bottleneck, **also}
    kind = layer.among("name", [*readers, "ZeroLayer"])
    if kind == "ZeroLayer":
        # Their blocks hand the input on where the layer is zero, whatever the shortcut is.
        layer.fixed(stride=1)
        layer.finish()
        return _Block(SKIPPED, width, 1, shortcut=True)
    entering = layer.integer("in_channels", 1, MAX_CHANNELS)
    _agree(layer.at("in_channels"), entering, width)
    channels = layer.integer("out_channels", 1, MAX_CHANNELS)
    stride = layer.integer("stride", 1, 2)
    cell = readers[kind](layer)
    layer.finish()
    return _Block(cell, channels, stride, shortcut is not None)


def _identity(layer: Fields, width: int) -> None:
    layer.among("name", ["IdentityLayer"])
    layer.fixed(use_bn=False, act_func=None, in_channels=width, out_channels=width)
    layer.ignore("dropout_rate", "ops_order")
    layer.finish()


def _inverted_bottleneck(layer: Fields) -> Cell:
    kernel = layer.among("kernel_size", KERNELS)
    expansion = layer.among("expand_ratio", EXPANSIONS)
    # Its width is another one than that of our squeeze-and-excitation, and is not said.
    layer.fixed(has_se=False)
    layer.fixed(mid_channels=None)
    return mbconv(kernel, expansion)


def _stem_block(blocks: list[_Block], target: Target) -> int | None:
    """Channels after the fixed MBConv k3 of expansion 1, if the blocks begin with it."""
    first = blocks[0]
    wanted = target.skeleton is None or target.skeleton.stem.block is not None
    fixed = first.cell == STEM_BLOCK and first.stride == 1 and not first.shortcut
    return first.channels if wanted and fixed and len(blocks) > 1 else None


def _check_shortcuts(shapes: Sequence[LayerShape], blocks: Sequence[_Block], start: int) -> None:
    """Refuses blocks whose shortcut is not where a skeleton has it."""
    for index, (shape, block) in enumerate(zip(shapes, blocks, strict=True), start):
        if block.shortcut != shape.shortcut:
            found = "an identity" if block.shortcut else "null"
            rule = "a layer has one exactly if its stride is 1 and its channels stay"
            raise SpaceError(f"blocks[{index}].shortcut", f"{found}, but {rule}")


def _known(skeleton: Skeleton, target: Target) -> Skeleton:
    """The skeleton under the name of the expected one, if the file has its stem, layers and head.

    Raises:
        SpaceError: another one was given.
    """
    expected = target.skeleton_or(USUAL)
    parts = ("stem", "layers", "head")
    different = [part for part in parts if getattr(skeleton, part) != getattr(expected, part)]
    if not different:
        return expected.fitted(
            in_channels=skeleton.in_channels,
            resolution=skeleton.resolution,
            classes=skeleton.classes,
        )
    if target.skeleton is not None:
        problem = f"not those of the skeleton {expected.name}; leave --skeleton out"
        raise SpaceError(different[0], problem)
    return skeleton


def _agree(path: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise SpaceError(path, f"{found}; allowed here: {wanted}")
