"""Reads sub-networks of Once-for-All (Cai et al., ICLR 2020): lists ks, e and d, or a `net.config`.

`ks` and `e` list the kernel and expansion of every block of the deepest network, and `d` the number
of blocks that each stage keeps. The other blocks become skipped layers: only the first block of a
stage changes resolution or channels, and every depth keeps that one. The lists do not name their
supernet. On a skeleton with stages they are its own layers. Without one they are read as those of
`OFAProxylessNASNets`, whose blocks are MBConv with ReLU6.

A `net.config` is that of ProxylessNAS, see `autospace.importers.network_file`. Networks of
`OFAMobileNetV3` have another activation, squeeze-and-excitation, and two layers before the
classifier: these become layers of `ofa-mbv3`, or of a skeleton of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from autospace.importers.network_file import (
    CONVOLUTION_OF,
    EXPANSIONS,
    WORDS,
    agree,
    checked,
    classifier,
    convolution,
    expansion,
    has_shortcut,
    listed,
    normalisation,
    number,
    read_proxylessnas,
    stated_resolution,
    unlisted,
)
from autospace.importers.target import KERNELS, Fields, Target, check_kind, imported
from autospace.spaces import (
    Architecture,
    Candidate,
    Cell,
    LayerSpec,
    Origin,
    Skeleton,
    SpaceError,
    Stem,
    load_skeleton,
    mbconv,
)
from autospace.spaces.cells.mobile import SKIPPED
from autospace.spaces.cells.ofa import SKIPPED as NO_LAYER
from autospace.spaces.cells.ofa import OfaCell
from autospace.spaces.checks import MAX_CHANNELS, MAX_RESOLUTION
from autospace.spaces.files.families import SKIP_ID
from autospace.spaces.files.reading import parse_json
from autospace.spaces.stages import ACTIVATIONS, Stage

USUAL: Final = "ofa-mbv3"
MAX_DEPTH: Final = 64


def read_once_for_all(text: str, target: Target) -> Architecture:
    """The architecture that ks, e and d describe, on a skeleton with as many layers.

    Raises:
        SpaceError: not such settings, an expansion or kernel that our cells do not have, or lists
            that do not fit the skeleton.
    """
    file = Fields(parse_json(text), "")
    skeleton = target.skeleton_or("mobile")
    check_kind(skeleton, "mobile", "ofa")
    resolution = _sub_network_resolution(file)
    if resolution is not None and target.resolution is None:
        skeleton = replace(skeleton, resolution=resolution)
    # A width multiplier that is chosen at run time; here the skeleton determines the width.
    file.fixed(wid=None)
    layers = len(skeleton.layers)
    kernels = _numbers(file, "ks", layers, "layers", skeleton)
    expansions = _numbers(file, "e", layers, "layers", skeleton)
    stages = _stages(skeleton)
    depths = _numbers(file, "d", len(stages), "stages", skeleton)
    file.finish()
    if skeleton.stages:
        return _staged(skeleton, kernels, expansions, depths)
    cells: list[Cell] = []
    for stage, entry in enumerate(depths):
        depth = checked(f"d[{stage}]", entry, range(1, MAX_DEPTH + 1), f"1 to {MAX_DEPTH}")
        left, skipped = stages[stage][:depth], stages[stage][depth:]
        cells.extend(_cell(layer, kernels[layer], expansions[layer]) for layer in left)
        cells.extend(SKIPPED for _ in skipped)
    return Architecture(skeleton, tuple(imported(cell, "") for cell in cells))


def _sub_network_resolution(file: Fields) -> int | None:
    """The side of the images, which some write as a list of one."""
    sides = {key: file.take(key, None) for key in ("r", "image_size")}
    for key, value in sides.items():
        side = value[0] if isinstance(value, list) and len(value) == 1 else value
        if side is not None:
            return checked(key, side, range(1, MAX_RESOLUTION + 1), f"1 to {MAX_RESOLUTION}")
    return None


def _stages(skeleton: Skeleton) -> list[list[int]]:
    """Indices of layers by stage; where there are none, one begins where there is no shortcut."""
    stages: list[list[int]] = []
    if skeleton.stages:
        indices = iter(range(len(skeleton.shapes)))
        return [[next(indices) for _ in range(stage.layers)] for stage in skeleton.stages]
    for index, shape in enumerate(skeleton.shapes):
        if not shape.shortcut or not stages:
            stages.append([])
        stages[-1].append(index)
    return stages


def _numbers(file: Fields, key: str, size: int, parts: str, skeleton: Skeleton) -> list[object]:
    """A list with an entry per part; one number stands for as many."""
    value = file.take(key)
    if not isinstance(value, list):
        return [value] * size
    if len(value) != size:
        problem = f"{len(value)} entries, but the skeleton {skeleton.name} has {size} {parts}"
        hint = " (20 and 5 belong to OFAMobileNetV3: name the skeleton ofa-mbv3)"
        raise SpaceError(key, problem + (hint if len(value) in (5, 20) else ""))
    return value


def _cell(layer: int, kernel: object, ratio: object) -> Cell:
    return mbconv(*_numbers_of(layer, kernel, ratio))


def _numbers_of(layer: int, kernel: object, ratio: object) -> tuple[int, int]:
    """Kernel and expansion of a block."""
    return (
        checked(f"ks[{layer}]", kernel, KERNELS, ", ".join(map(str, KERNELS))),
        checked(f"e[{layer}]", ratio, EXPANSIONS, WORDS),
    )


def _staged(
    skeleton: Skeleton,
    kernels: Sequence[object],
    expansions: Sequence[object],
    depths: Sequence[object],
) -> Architecture:
    """The lists as layers of a skeleton with stages."""
    chosen: list[OfaCell] = []
    # As in the authors' code, a shorter stage has all its blocks where a longer one has so many.
    deepest = max(stage.layers for stage in skeleton.stages)
    for place, (stage, entry) in enumerate(zip(skeleton.stages, depths, strict=True)):
        words = f"{stage.least} to {deepest}"
        depth = checked(f"d[{place}]", entry, range(stage.least, deepest + 1), words)
        for index in range(stage.layers):
            layer = len(chosen)
            kernel, ratio = _numbers_of(layer, kernels[layer], expansions[layer])
            chosen.append(OfaCell.of(kernel, ratio) if index < depth else NO_LAYER)
    return Architecture(skeleton, tuple(map(_named, chosen)))


def _named(cell: OfaCell) -> Candidate:
    """A cell under its id in the built-in spaces."""
    name = SKIP_ID if cell.is_zero else f"ofa_k{cell.kernel}_e{cell.expansion}"
    return Candidate(name, cell, None, Origin("imported"))


class _Layer(NamedTuple):
    """A block of a `net.config`: its cell, and what its stage has to be like."""

    cell: OfaCell
    channels: int
    stride: int
    activation: str
    attention: bool


def read_network(text: str, target: Target) -> Architecture:
    """The architecture that a `net.config` describes, of Once-for-All or of ProxylessNAS.

    Raises:
        SpaceError: not such a file, or a file with a part that our networks cannot express.
    """
    plain = parse_json(text)
    staged = target.skeleton is not None and bool(target.skeleton.stages)
    if isinstance(plain, dict) and ("final_expand_layer" in plain or staged):
        return _network(Fields(plain, ""), target)
    return read_proxylessnas(text, target)


def _network(file: Fields, target: Target) -> Architecture:
    file.ignore("name")
    normalisation(file, target)
    first = file.take("first_conv")
    activation = Fields(first, "first_conv").among("act_func", ACTIVATIONS)
    channels, stem, stride = convolution(Fields(first, "first_conv"), 3, activation)
    layers, width = [], stem
    for index, each in enumerate(listed(file.take("blocks"))):
        layers.append(_layer(Fields(each, f"blocks[{index}]"), width))
        width = layers[-1].channels
    head, last = _ends(file, width, activation)
    classes = classifier(Fields(file.take("classifier"), "classifier"), last or head or width)
    known = replace(target, skeleton=target.skeleton or load_skeleton(USUAL))
    side = stated_resolution(file, known)
    file.finish()
    block, layers = _of_stem(layers)
    around = Skeleton(
        "imported",
        channels,
        side,
        classes,
        Stem(stem, stride, block),
        tuple(LayerSpec(each.channels, each.stride) for each in layers),
        head,
        stages=tuple(_stages_of(layers, stem if block is None else block)),
        activation=activation,
        last=last,
    )
    return _placed(around, layers, target)


def _layer(block: Fields, width: int) -> _Layer:
    written = block.among("name", list(CONVOLUTION_OF))
    key = CONVOLUTION_OF[written]
    layer = Fields(block.take(key), block.at(key))
    shortcut = has_shortcut(block.take("shortcut", None), block.at("shortcut"), width)
    block.finish()
    layer.among("name", ["MBConvLayer", "MBInvertedConvLayer"])
    agree(layer.at("in_channels"), number(layer, "in_channels", 1, MAX_CHANNELS), width)
    channels = number(layer, "out_channels", 1, MAX_CHANNELS)
    stride = number(layer, "stride", 1, 2)
    kernel = unlisted(layer.take("kernel_size"))
    kernel = checked(layer.at("kernel_size"), kernel, KERNELS, ", ".join(map(str, KERNELS)))
    activation = layer.among("act_func", ACTIVATIONS, "relu6")
    attention = layer.among("use_se", [False, True], default=False)
    layer.fixed(groups=None)
    cell = OfaCell.of(kernel, expansion(layer, width))
    layer.finish()
    if shortcut != (stride == 1 and channels == width):
        found = "an identity" if shortcut else "null"
        rule = "a layer has one exactly if its stride is 1 and its channels stay the same"
        raise SpaceError(block.at("shortcut"), f"{found}, but {rule}")
    return _Layer(cell, channels, stride, activation, attention)


def _ends(file: Fields, width: int, activation: str) -> tuple[int, int]:
    """Channels of the last convolution and of the linear layer after pooling; 0 for none."""
    wide = file.take("final_expand_layer", None)
    mixing = file.take("feature_mix_layer", None)
    head = last = 0
    if wide is not None:
        head = _one_pixel(Fields(wide, "final_expand_layer"), width, activation, norm=True)
    if mixing is not None:
        layer = Fields(mixing, "feature_mix_layer")
        if wide is None:
            head = _one_pixel(layer, width, activation, norm=True)
        else:
            last = _one_pixel(layer, head, activation, norm=False)
    return head, last


def _one_pixel(layer: Fields, width: int, activation: str, *, norm: bool) -> int:
    entering, leaving, stride = convolution(layer, 1, activation, norm=norm)
    agree(layer.at("in_channels"), entering, width)
    agree(layer.at("stride"), stride, 1)
    return leaving


def _of_stem(layers: list[_Layer]) -> tuple[int | None, list[_Layer]]:
    """The channels of the block of the stem, if the layers begin with one, and the others."""
    first = layers[0]
    fixed = first.cell == OfaCell.of(3, 1) and first.stride == 1 and not first.attention
    # The stem's block has the activation of the first stage.
    if fixed and len(layers) > 1 and layers[1].activation == first.activation:
        return first.channels, layers[1:]
    return None, layers


def _stages_of(layers: Sequence[_Layer], width: int) -> Iterator[Stage]:
    """A stage of a fixed depth for every run of layers that keep resolution and channels."""
    start = 0
    for index, layer in enumerate(layers):
        following = layers[index + 1 : index + 2]
        if any(each.stride == 1 and each.channels == layer.channels for each in following):
            continue
        own = layers[start : index + 1]
        for place, each in enumerate(own, start):
            if (each.activation, each.attention) != (own[0].activation, own[0].attention):
                problem = "activation or squeeze-and-excitation differ within a stage"
                raise SpaceError(
                    f"layer {place}", f"{problem}; allowed: the same in all its blocks"
                )
        yield Stage(len(own), len(own), own[0].activation, own[0].attention)
        start = index + 1


def _placed(around: Skeleton, layers: Sequence[_Layer], target: Target) -> Architecture:
    """The layers on the skeleton that is expected, whose other layers are skipped; or on their own.

    Raises:
        SpaceError: a skeleton was given that they do not fit.
    """
    expected = target.skeleton or load_skeleton(USUAL)
    problem = _difference(around, expected)
    if problem and target.skeleton is not None:
        raise SpaceError("", f"{problem} of the skeleton {expected.name}; name no skeleton")
    if problem:
        return Architecture(around, tuple(_named(each.cell) for each in layers))
    skeleton = expected.fitted(
        in_channels=around.in_channels, resolution=around.resolution, classes=around.classes
    )
    cells, rest = [], list(layers)
    for own, stage in zip(around.stages, expected.stages, strict=True):
        cells += [each.cell for each in rest[: own.layers]]
        cells += [NO_LAYER] * (stage.layers - own.layers)
        del rest[: own.layers]
    return Architecture(skeleton, tuple(map(_named, cells)))


def _difference(around: Skeleton, expected: Skeleton) -> str:
    """In what a network differs from all that a skeleton allows, in words; empty if in nothing."""
    if not expected.stages:
        return "the network has stages, unlike the layers"
    for part in ("stem", "head", "activation", "last"):
        if getattr(around, part) != getattr(expected, part):
            return f"{part} differs from that"
    ours, theirs = (list(_outlines(each)) for each in (around, expected))
    if len(ours) != len(theirs):
        return f"{len(ours)} stages differ from the {len(theirs)}"
    for index, (own, other) in enumerate(zip(around.stages, expected.stages, strict=True)):
        if ours[index] != theirs[index] or not other.least <= own.layers <= other.layers:
            return f"stage {index} differs from that"
    return ""


def _outlines(skeleton: Skeleton) -> Iterator[tuple[object, ...]]:
    """Channels, stride, activation and attention of each stage."""
    first = 0
    for stage in skeleton.stages:
        spec = skeleton.layers[first]
        yield spec.channels, spec.stride, stage.activation, stage.attention
        first += stage.layers
