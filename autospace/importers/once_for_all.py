"""The settings of a sub-network of Once-for-All (Cai et al., ICLR 2020): lists ks, e and d.

`ks` and `e` hold kernel and expansion of every block of the deepest network, `d` how many blocks of
each stage are left. What is beyond that depth becomes a skipped layer: only the first block of a
stage changes resolution or channels, and every depth leaves that one.

The lists do not say which super-network they are for. They are read for `OFAProxylessNASNets`,
whose blocks are MBConv with ReLU6; those of `OFAMobileNetV3` have squeeze-and-excitation and
h-swish, which our cells cannot express, and one block less.
"""

from collections.abc import Container
from dataclasses import replace
from typing import Final

from autospace.importers.blocks import KERNELS, SKIPPED, imported
from autospace.importers.fields import Fields
from autospace.importers.target import Target
from autospace.spaces import Architecture, Cell, Skeleton, SpaceError, mbconv
from autospace.spaces.cells.cell import EXPANSIONS
from autospace.spaces.errors import shown
from autospace.spaces.files.reading import parse_json
from autospace.spaces.limits import MAX_RESOLUTION

MAX_DEPTH: Final = 64


def read(text: str, target: Target) -> Architecture:
    """The architecture that ks, e and d describe, on a skeleton with as many layers.

    Raises:
        SpaceError: not such settings, an expansion or kernel that our cells do not have, or lists
            that do not fit the skeleton.
    """
    file = Fields(parse_json(text), "")
    skeleton = target.skeleton_or("mobile")
    resolution = _resolution(file)
    if resolution is not None and target.resolution is None:
        skeleton = replace(skeleton, resolution=resolution)
    # A width multiplier chosen at run time; the skeleton says the width here.
    file.fixed(wid=None)
    layers = len(skeleton.layers)
    kernels = _numbers(file, "ks", layers, "layers", skeleton)
    expansions = _numbers(file, "e", layers, "layers", skeleton)
    stages = _stages(skeleton)
    depths = _numbers(file, "d", len(stages), "stages", skeleton)
    file.finish()
    cells: list[Cell] = []
    for stage, entry in enumerate(depths):
        depth = _checked(f"d[{stage}]", entry, range(1, MAX_DEPTH + 1), f"1 to {MAX_DEPTH}")
        left, skipped = stages[stage][:depth], stages[stage][depth:]
        cells.extend(_cell(layer, kernels[layer], expansions[layer]) for layer in left)
        cells.extend(SKIPPED for _ in skipped)
    return Architecture(skeleton, tuple(imported(cell, "") for cell in cells))


def _resolution(file: Fields) -> int | None:
    """The side of the images, which some write as a list of one."""
    sides = {key: file.take(key, None) for key in ("r", "image_size")}
    for key, value in sides.items():
        side = value[0] if isinstance(value, list) and len(value) == 1 else value
        if side is not None:
            return _checked(key, side, range(1, MAX_RESOLUTION + 1), f"1 to {MAX_RESOLUTION}")
    return None


def _stages(skeleton: Skeleton) -> list[list[int]]:
    """Indices of layers by stage; a stage begins where there is no shortcut."""
    stages: list[list[int]] = []
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
        hint = " (20 and 5 belong to OFAMobileNetV3, whose blocks our cells cannot express)"
        raise SpaceError(key, problem + (hint if len(value) in (5, 20) else ""))
    return value


def _cell(layer: int, kernel: object, expansion: object) -> Cell:
    return mbconv(
        _checked(f"ks[{layer}]", kernel, KERNELS, ", ".join(map(str, KERNELS))),
        _checked(f"e[{layer}]", expansion, EXPANSIONS, ", ".join(map(str, EXPANSIONS))),
    )


def _checked(path: str, value: object, allowed: Container[int], words: str) -> int:
    if type(value) is int and value in allowed:
        return value
    raise SpaceError(path, f"{shown(value)}; allowed: {words}")
