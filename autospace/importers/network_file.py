"""Reads architectures of ProxylessNAS (`net.config`).

A `net.config` of ProxylessNAS (Cai et al., ICLR 2019) is JSON. It has a stem convolution, blocks
with an inverted bottleneck and optionally a shortcut, a last 1x1 convolution and a classifier.
Layers are objects whose `name` is their class. Once-for-all (2020) and MCUNet (2020) write the same
file with other words: they name the activation and the inner width of a block, call
squeeze-and-excitation `use_se`, have lists of one for a number, and `ResidualBlock` with `conv` for
`MobileInvertedResidualBlock` with `mobile_inverted_conv`.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from autospace.importers.target import KERNELS, Fields, Target, imported
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
from autospace.spaces.cells.cell import MAX_EXPANSION
from autospace.spaces.cells.mobile import SKIPPED
from autospace.spaces.checks import (
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_LAYERS,
    MAX_RESOLUTION,
    check_integer,
)
from autospace.spaces.errors import shown
from autospace.spaces.files.reading import parse_json

USUAL: Final = "mobile"
STEM_BLOCK: Final = mbconv(3, 1)
EXPANSIONS: Final = range(1, MAX_EXPANSION + 1)
WORDS: Final = f"1 to {MAX_EXPANSION}"
Reader = Callable[[Fields, int], Cell]
"""Reads what is left of a block, whose input channels are known, as a cell."""
CONVOLUTION_OF: Final = {
    "MobileInvertedResidualBlock": "mobile_inverted_conv",
    "ResidualBlock": "conv",
}
NORM_EPS: Final = 1e-5
_OTHER_NAMES: Final = {"MBConvLayer": "MBInvertedConvLayer"}


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a network: its cell, channels out, stride, and whether an identity is added."""

    cell: Cell
    channels: int
    stride: int
    shortcut: bool


def network(plain: object, target: Target, also: Mapping[str, Reader]) -> Architecture:
    """The architecture that a network file describes; the skeleton is also read from the file.

    Args:
        plain: the parsed file.
        target: may have the resolution, which few such files state, and the skeleton that the file
            is expected to have.
        also: readers of blocks other than `MBInvertedConvLayer` and `ZeroLayer`, by name; the
            channels and stride of the block have already been read.

    Raises:
        SpaceError: our networks cannot express a part; the message names the first, and why.
    """
    file = Fields(plain, "")
    file.ignore("name")
    normalisation(file, target)
    channels, width, stride = convolution(Fields(file.take("first_conv"), "first_conv"), 3)
    stem_channels = width
    blocks = []
    for index, each in enumerate(listed(file.take("blocks"))):
        block = _block(Fields(each, f"blocks[{index}]"), width, also)
        blocks.append(block)
        width = block.channels
    head = _head(file.take("feature_mix_layer", None), width)
    classes = classifier(Fields(file.take("classifier"), "classifier"), head or width)
    resolution = stated_resolution(file, target)
    file.finish()
    around = Skeleton(
        "imported",
        channels,
        resolution,
        classes,
        Stem(stem_channels, stride),
        (LayerSpec(1),),
        head,
    )
    return assembled(blocks, around, target)


def assembled(blocks: Sequence[Block], around: Skeleton, target: Target) -> Architecture:
    """The architecture of blocks, the first of which may be that of the stem.

    Args:
        blocks: in their order.
        around: everything but the layers and the block of the stem.
        target: may have the skeleton that the network is expected to have.

    Raises:
        SpaceError: a shortcut is not where our networks have it, or the skeleton is another.
    """
    fixed = _stem_block(blocks, target)
    layers = blocks if fixed is None else blocks[1:]
    specs = tuple(LayerSpec(each.channels, each.stride) for each in layers)
    skeleton = replace(around, stem=replace(around.stem, block=fixed), layers=specs)
    _check_shortcuts(skeleton.shapes, layers, len(blocks) - len(layers))
    cells = (imported(each.cell, f"cell_{index}") for index, each in enumerate(layers))
    return Architecture(_known(skeleton, target), tuple(cells))


def stated_resolution(file: Fields, target: Target) -> int:
    """That of the user, else that of the file (MCUNet's have one), else that of the skeleton."""
    usual = target.skeleton_or(USUAL).resolution
    stated = file.integer("resolution", 1, MAX_RESOLUTION, usual)
    return stated if target.resolution is None else target.resolution


def listed(blocks: object) -> list[object]:
    """The blocks, of which there is at least one.

    Raises:
        SpaceError: they are no list, or too many.
    """
    most = MAX_LAYERS + 1
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= most:
        found = f"{len(blocks)} blocks" if isinstance(blocks, list) else shown(blocks)
        raise SpaceError("blocks", f"{found}; allowed: a list of 1 to {most}")
    return blocks


def convolution(
    layer: Fields, kernel: int, activation: str = "relu6", *, norm: bool = True
) -> tuple[int, int, int]:
    """Channels in and out and stride of a dense convolution with this activation behind it."""
    layer.among("name", ["ConvLayer"])
    _fixed_number(layer, "kernel_size", kernel)
    layer.among("act_func", [activation])
    layer.fixed(dilation=1, groups=1, bias=False, has_shuffle=False, use_se=False)
    layer.fixed(use_bn=norm, ops_order="weight_bn_act")
    layer.ignore("dropout_rate")
    entering, leaving = (
        number(layer, key, 1, MAX_CHANNELS) for key in ("in_channels", "out_channels")
    )
    stride = number(layer, "stride", 1, 2)
    layer.finish()
    return entering, leaving, stride


def _head(value: object, width: int) -> int:
    """Channels of the last convolution; 0 where there is none."""
    if value is None:
        return 0
    layer = Fields(value, "feature_mix_layer")
    entering, leaving, stride = convolution(layer, 1)
    agree(layer.at("in_channels"), entering, width)
    agree(layer.at("stride"), stride, 1)
    return leaving


def classifier(layer: Fields, width: int) -> int:
    """Classes of a linear layer with bias."""
    layer.among("name", ["LinearLayer"])
    layer.fixed(bias=True, use_bn=False, act_func=None)
    layer.ignore("dropout_rate", "ops_order")
    agree(layer.at("in_features"), number(layer, "in_features", 1, MAX_CHANNELS), width)
    classes = number(layer, "out_features", 2, MAX_CLASSES)
    layer.finish()
    return classes


def _block(block: Fields, width: int, also: Mapping[str, Reader]) -> Block:
    written = block.among("name", list(CONVOLUTION_OF), default=next(iter(CONVOLUTION_OF)))
    key = CONVOLUTION_OF[written]
    plain = block.take(key)
    shortcut = has_shortcut(block.take("shortcut", None), block.at("shortcut"), width)
    block.finish()
    if plain is None:
        return Block(SKIPPED, width, 1, shortcut=True)
    layer = Fields(plain, block.at(key))
    readers: dict[str, Reader] = {"MBInvertedConvLayer": _inverted_bottleneck, **also}
    kind = layer.among("name", [*readers, "ZeroLayer", *_OTHER_NAMES])
    kind = _OTHER_NAMES.get(kind, kind)
    if kind == "ZeroLayer":
        # Their blocks hand the input on where the layer is zero, whatever the shortcut is.
        _fixed_number(layer, "stride", 1, 1)
        layer.finish()
        return Block(SKIPPED, width, 1, shortcut=True)
    agree(layer.at("in_channels"), number(layer, "in_channels", 1, MAX_CHANNELS), width)
    channels = number(layer, "out_channels", 1, MAX_CHANNELS)
    stride = number(layer, "stride", 1, 2)
    cell = readers[kind](layer, width)
    layer.finish()
    return Block(cell, channels, stride, shortcut)


def has_shortcut(plain: object, path: str, width: int) -> bool:
    """Whether a block has the identity beside it; null and a layer of zeros mean that it has none.

    Raises:
        SpaceError: anything else is beside it.
    """
    if plain is None:
        return False
    layer = Fields(plain, path)
    kind = layer.among("name", ["IdentityLayer", "ZeroLayer"])
    if kind == "ZeroLayer":
        layer.ignore("stride")
        layer.finish()
        return False
    layer.fixed(use_bn=False, act_func=None)
    for key in ("in_channels", "out_channels"):
        _fixed_number(layer, key, width, width)
    layer.ignore("dropout_rate", "ops_order")
    layer.finish()
    return True


def _inverted_bottleneck(layer: Fields, width: int) -> Cell:
    written = unlisted(layer.take("kernel_size"))
    kernel = checked(layer.at("kernel_size"), written, KERNELS, ", ".join(map(str, KERNELS)))
    # Its width differs from that of our squeeze-and-excitation, and the file does not state it.
    layer.fixed(has_se=False, use_se=False, act_func="relu6", groups=None)
    return mbconv(kernel, expansion(layer, width))


def expansion(layer: Fields, width: int) -> int:
    """Inner over input channels; `mid_channels` decides where the file states both.

    Raises:
        SpaceError: the inner channels are no multiple of the input channels, or too many of them;
            or the block expands to as many channels as it has, which our cells never do.
    """
    ratio, inner = layer.take("expand_ratio"), unlisted(layer.take("mid_channels", None))
    if isinstance(ratio, float) and ratio.is_integer():
        ratio = int(ratio)
    if inner is None:
        return checked(layer.at("expand_ratio"), ratio, EXPANSIONS, WORDS)
    if type(ratio) not in (int, float):
        raise SpaceError(layer.at("expand_ratio"), f"{shown(ratio)}; allowed: {WORDS}")
    at = layer.at("mid_channels")
    check_integer(at, inner, 1, MAX_CHANNELS * MAX_EXPANSION)
    expansion, rest = divmod(_whole(inner), width)
    if rest or expansion not in EXPANSIONS:
        problem = f"{inner} inner channels of {width}; allowed: {width} times {WORDS}"
        raise SpaceError(at, problem)
    # A ratio of 1 has no convolution that expands, whatever else the file says.
    if (expansion == 1) != (ratio == 1):
        problem = f"{inner} inner channels of {width}, but expand_ratio is {shown(ratio)}"
        raise SpaceError(at, problem)
    return expansion


def normalisation(file: Fields, target: Target) -> None:
    """Checks the batch norm of all layers; a note states another eps, which changes no cost.

    Raises:
        SpaceError: it is no batch norm, or convolutions standardise their weights.
    """
    given = file.take("bn", None)
    if given is None:
        return
    norm = Fields(given, "bn")
    norm.ignore("momentum")  # Matters to a training only.
    norm.fixed(ws_eps=None, gn_channel_per_group=None)
    eps = norm.take("eps", NORM_EPS)
    if isinstance(eps, bool) or not isinstance(eps, int | float) or not 0 < eps < 1:
        raise SpaceError(norm.at("eps"), f"{shown(eps)}; allowed: a number above 0 and below 1")
    norm.finish()
    if eps != NORM_EPS:
        target.note(f"eps of batch norm is {eps:g} in the file, {NORM_EPS:g} here")


def unlisted(value: object) -> object:
    """A number that stands in a list of one choice (`[32]`) or of one per direction (`[3, 3]`)."""
    if isinstance(value, list) and 1 <= len(value) <= 2 and shown(value[0]) == shown(value[-1]):
        return value[0]
    return value


def number(layer: Fields, key: str, low: int, high: int) -> int:
    """A whole number, alone or in a list of it; see `_unlisted`."""
    value = unlisted(layer.take(key))
    check_integer(layer.at(key), value, low, high)
    return _whole(value)


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _fixed_number(layer: Fields, key: str, wanted: int, default: int | None = None) -> None:
    """Checks a number that may stand in a list; where it is missing, the default stands for it."""
    if default is not None and not layer.has(key):
        layer.ignore(key)
        return
    found = number(layer, key, 0, MAX_CHANNELS)
    if found != wanted:
        raise SpaceError(layer.at(key), f"{found}; allowed: {wanted}")


def _stem_block(blocks: Sequence[Block], target: Target) -> int | None:
    """Channels after the fixed MBConv k3 of expansion 1, if the blocks begin with it."""
    first = blocks[0]
    wanted = target.skeleton is None or target.skeleton.stem.block is not None
    fixed = first.cell == STEM_BLOCK and first.stride == 1 and not first.shortcut
    return first.channels if wanted and fixed and len(blocks) > 1 else None


def _check_shortcuts(shapes: Sequence[LayerShape], blocks: Sequence[Block], start: int) -> None:
    """Refuses blocks whose shortcut is not where a skeleton has it."""
    for index, (shape, block) in enumerate(zip(shapes, blocks, strict=True), start):
        if block.shortcut != shape.shortcut:
            found = "an identity" if block.shortcut else "null"
            rule = "a layer has one exactly if its stride is 1 and its channels stay the same"
            raise SpaceError(f"blocks[{index}].shortcut", f"{found}, but {rule}")


def _known(skeleton: Skeleton, target: Target) -> Skeleton:
    """The skeleton under the name of the expected one, if the file has its stem, layers and head.

    Raises:
        SpaceError: a different skeleton was given.
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
        problem = f"differs from the skeleton {expected.name}; name no skeleton"
        raise SpaceError(different[0], problem)
    return skeleton


def agree(path: str, found: int, wanted: int) -> None:
    """Refuses a number that is not the one that fits."""
    if found != wanted:
        raise SpaceError(path, f"{found}; allowed here: {wanted}")


def read_proxylessnas(text: str, target: Target) -> Architecture:
    """The architecture that a `net.config` describes.

    Raises:
        SpaceError: not such a file, or a file with a part that our networks cannot express.
    """
    return network(parse_json(text), target, {})


def checked(path: str, value: object, allowed: Container[int], words: str) -> int:
    """A whole number that is among those allowed, which `words` states."""
    if type(value) is int and value in allowed:
        return value
    raise SpaceError(path, f"{shown(value)}; allowed: {words}")
