"""Writes the blocks of an architecture as timm's architecture strings, in lists per stage.

timm's `decode_arch_def` reads them. Stem and head are not in them: they are arguments of timm's
`EfficientNet` (`stem_size`, `num_features`), and so are the activations: ReLU6 (`act_layer`), but
ReLU inside squeeze-and-excitation (`se_layer=partial(SqueezeExcite, force_act_layer=nn.ReLU)`).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from autospace.spaces import (
    Architecture,
    Candidate,
    Cell,
    LayerShape,
    SpaceError,
    canonical_key,
    mbconv,
)
from autospace.spaces.cells.cell import MAX_EXPANSION
from autospace.spaces.cells.cost import SE_REDUCTION
from autospace.spaces.cells.family import check_kind, notation
from autospace.spaces.text import json_text

KERNELS: Final = (3, 5, 7)
MULTIPLE: Final = 8
"""timm rounds numbers of channels to multiples of this."""


class _Block(NamedTuple):
    words: str
    stride: int
    channels: int


def to_timm_arch(architecture: Architecture) -> str:
    """A list of stages, each a list of strings: what `decode_arch_def` takes.

    Raises:
        SpaceError: a cell is no MBConv, or timm would round a width; the message names the layer.
    """
    check_kind(architecture.kind, "strings of timm")
    stages: list[list[_Block]] = []
    width = architecture.skeleton.stem.channels
    for block in _blocks(architecture):
        if not stages or block.stride == 2 or block.channels != width:
            stages.append([])
        stages[-1].append(block)
        width = block.channels
    return json_text([list(_joined(stage)) for stage in stages])


def _blocks(architecture: Architecture) -> Iterator[_Block]:
    stem = architecture.skeleton.stem
    if stem.block is not None:
        shape = LayerShape("stem", stem.channels, stem.block, 1, 1)
        # timm adds an identity where channels stay the same; our stem has none.
        plain = "_noskip" if shape.shortcut else ""
        yield _Block(f"{_words(mbconv(3, 1), shape)}{plain}", 1, stem.block)
    for shape, candidate in zip(architecture.skeleton.shapes, architecture.candidates, strict=True):
        if candidate.cell.is_zero and shape.shortcut:
            continue  # a skipped layer
        yield _Block(_described(candidate, shape), shape.stride, shape.out_channels)


def _described(candidate: Candidate, shape: LayerShape) -> str:
    words = _words(candidate.cell, shape)
    if not words:
        problem = f"cell {candidate.id!r} ({notation(candidate.cell)}) is not an MBConv"
        raise SpaceError(shape.name, f"{problem}; allowed: an MBConv of kernel 3, 5 or 7")
    return words


def _words(cell: Cell, shape: LayerShape) -> str:
    """Kind, kernel, expansion, channels and squeeze-and-excitation; empty if it is no MBConv."""
    key = canonical_key(cell, shape.stride)
    for kernel in KERNELS:
        for expansion in range(1, MAX_EXPANSION + 1):
            for se in (False, True):
                if canonical_key(mbconv(kernel, expansion, se=se), shape.stride) == key:
                    _check_widths(shape, expansion, se)
                    kind = "ds" if expansion == 1 else "ir"
                    squeeze = f"_se{1 / SE_REDUCTION}" if se else ""
                    return f"{kind}_k{kernel}_e{expansion}_c{shape.out_channels}{squeeze}"
    return ""


def _check_widths(shape: LayerShape, expansion: int, se: bool) -> None:
    for name, width in (
        ("channels", shape.out_channels),
        ("inner channels", shape.in_channels * expansion if expansion > 1 else 0),
    ):
        if width % MULTIPLE:
            problem = f"{width} {name}, which timm rounds"
            raise SpaceError(shape.name, f"{problem}; allowed: multiples of {MULTIPLE}")
    if se and shape.in_channels % SE_REDUCTION:
        problem = f"squeeze-and-excitation of {shape.in_channels} channels, which timm rounds"
        raise SpaceError(shape.name, f"{problem}; allowed: multiples of {SE_REDUCTION}")


def _joined(stage: list[_Block]) -> Iterator[str]:
    """The strings of a stage: equal blocks in a row are one string with their number."""
    start = 0
    while start < len(stage):
        end = start
        while end < len(stage) and stage[end].words == stage[start].words:
            end += 1
        kind, rest = stage[start].words.split("_", 1)
        kernel, rest = rest.split("_", 1)
        yield f"{kind}_r{end - start}_{kernel}_s{stage[start].stride}_{rest}"
        start = end
