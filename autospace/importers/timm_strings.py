"""Reads architecture strings of timm, such as `ir_r2_k5_s2_e6_c40_se0.25`.

timm (Wightman) describes the blocks of its EfficientNet family by such strings, in lists per stage:
a kind of block, then repeats (r), kernel (k), stride of the stage's first block (s), expansion (e),
channels out (c), squeeze-and-excitation as a share of the channels in (se), an activation (n) and
`noskip`. Stem and head are not in them: they are those of the skeleton, or the builder's defaults.

Two kinds are our cells: `ds`, an MBConv without expansion, and `ir`, one with. An `ir` of expansion
1 has a 1x1 convolution all the same, which our cells do not have.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from autospace.importers.network_file import Block, assembled
from autospace.importers.target import KERNELS, Target, check_kind
from autospace.spaces import Architecture, LayerSpec, Skeleton, SpaceError, Stem, mbconv
from autospace.spaces.cells.cell import MAX_EXPANSION
from autospace.spaces.cells.cost import SE_REDUCTION
from autospace.spaces.checks import MAX_CHANNELS, MAX_LAYERS
from autospace.spaces.errors import shown

USUAL: Final = Skeleton("imported", 3, 224, 1000, Stem(32, 2), (LayerSpec(1),), 1280)
"""What timm's builders of MobileNetV2 and EfficientNet-B0 put around the blocks."""
MULTIPLE: Final = 8
"""timm rounds numbers of channels to multiples of this."""
_TOKEN: Final = re.compile(r"#[^\n]*|(?P<open>[\[(])|(?P<close>[\])])|(?P<word>[\w.-]+)|[\s,'\"=]")
_OPTION: Final = re.compile(r"(?P<key>[a-z]+)(?P<value>\d+(?:\.\d+)?)")
_ACTIVATION: Final = re.compile(r"n[a-z]\w*")
_NEUTRAL: Final = {"a": "1", "p": "1", "d": "1", "cc": "0", "gs": "0"}
"""Options that change nothing at these values: other kernels, dilation, experts, groups."""
_WHOLE: Final = {"r": (1, MAX_LAYERS), "s": (1, 2), "c": (1, MAX_CHANNELS)}


@dataclass(frozen=True, slots=True)
class _Word:
    """A string, its place among all of them, and whether it begins a stage."""

    text: str
    index: int
    first: bool

    def wrong(self, problem: str) -> SpaceError:
        """The error that names this string."""
        return SpaceError(f"blocks[{self.index}]", f"{shown(self.text)}: {problem}")


def read_timm(text: str, target: Target) -> Architecture:
    """The architecture that strings describe: a list of lists, or one string a line.

    Raises:
        SpaceError: not such strings, or our cells cannot express one; the message names it.
    """
    around = target.skeleton or USUAL
    check_kind(around, "mobile")
    if target.skeleton is None:
        target.note("the strings name neither stem nor head: read as 32 channels and 1280 channels")
    if target.resolution is not None:
        around = around.fitted(
            in_channels=around.in_channels, resolution=target.resolution, classes=around.classes
        )
    width, blocks = around.stem.channels, list[Block]()
    for word in _words(text):
        for block in _blocks(word, width):
            blocks.append(block)
            width = block.channels
        if len(blocks) > MAX_LAYERS + 1:
            raise word.wrong(f"more than {MAX_LAYERS + 1} blocks")
    if not blocks:
        raise SpaceError("", "no architecture strings; allowed: such as ir_r2_k5_s2_e6_c40")
    rounded = sorted({each.channels for each in blocks if each.channels % MULTIPLE})
    if rounded:
        named = ", ".join(map(str, rounded))
        target.note(f"channels {named} as stated; timm rounds them to multiples of {MULTIPLE}")
    target.note("activations are ReLU6, ReLU inside squeeze-and-excitation, whatever timm is given")
    return assembled(blocks, around, target)


def _words(text: str) -> Iterator[_Word]:
    """The strings of a list of lists, of a list, or of lines; a name before `=` is passed over."""
    text = re.sub(r"\A\s*\w+\s*=", "", text)
    depth, at, index, first = 0, 0, 0, True
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise SpaceError("", f"{shown(text[at : at + 20])}; allowed: strings in lists")
        at = found.end()
        if found["open"]:
            depth, first = depth + 1, True
        elif found["close"]:
            depth -= 1
        elif found["word"]:
            yield _Word(found["word"], index, first or depth < 2)
            index, first = index + 1, False
        if not 0 <= depth <= 2:
            raise SpaceError("", "brackets do not match; allowed: a list of lists of strings")
    if depth:
        raise SpaceError("", "brackets do not match; allowed: a list of lists of strings")


def _blocks(word: _Word, width: int) -> Iterator[Block]:
    """The blocks of one string, whose channels in are known."""
    kind, *parts = word.text.split("_")
    if kind not in ("ds", "ir"):
        problem = f"kind {shown(kind)}; allowed: ds and ir, which are MBConv cells"
        raise word.wrong(problem)
    options, skips = _options(word, parts)
    numbers = {key: _whole(word, options, key) for key in _WHOLE}
    if numbers["s"] != 1 and not word.first:
        raise word.wrong("a stride within a stage, which timm ignores; allowed: s1")
    for key, value in _NEUTRAL.items():
        if options.pop(key, value) != value:
            raise word.wrong(f"option {key}; allowed: {key}{value}")
    cells = [_number(word, options, "k", KERNELS), *_expansion(word, options, kind)]
    squeezed = options.pop("se", None)
    if options:
        raise word.wrong(f"unknown option {shown(next(iter(options)))}")
    for repeat in range(numbers["r"]):
        stride = numbers["s"] if repeat == 0 else 1
        _check_inner(word, width, cells[1], kind, squeezed)
        cell = mbconv(cells[0], cells[1], se=squeezed is not None and float(squeezed) > 0)
        same = stride == 1 and width == numbers["c"]
        yield Block(cell, numbers["c"], stride, same and skips)
        width = numbers["c"]


def _options(word: _Word, parts: list[str]) -> tuple[dict[str, str], bool]:
    """Values by key, without activations; and whether a block may have a shortcut."""
    options: dict[str, str] = {}
    skips = True
    for part in parts:
        found = _OPTION.fullmatch(part)
        if part in ("noskip", "skip"):
            skips = part == "skip"
        elif found is not None and found["key"] not in options:
            options[found["key"]] = found["value"]
        elif found is not None or not _ACTIVATION.fullmatch(part):
            raise word.wrong(f"{shown(part)}; allowed: each option once, as in k3")
    return options, skips


def _whole(word: _Word, options: dict[str, str], key: str) -> int:
    low, high = _WHOLE[key]
    text = options.pop(key, None if key == "c" else "1")
    if text is None or not text.isdecimal() or len(text) > 6 or not low <= int(text) <= high:
        raise word.wrong(f"{key}{text or ''}; allowed: {key}{low} to {key}{high}")
    return int(text)


def _number(word: _Word, options: dict[str, str], key: str, allowed: tuple[int, ...]) -> int:
    text = options.pop(key, "")
    if text not in map(str, allowed):
        raise word.wrong(f"{key}{text}; allowed: {', '.join(f'{key}{each}' for each in allowed)}")
    return int(text)


def _expansion(word: _Word, options: dict[str, str], kind: str) -> tuple[int]:
    if kind == "ds":
        # timm reads no expansion of this kind; its strings say 1.
        if float(options.pop("e", "1")) != 1:
            raise word.wrong("an expansion of ds, which timm ignores; allowed: e1")
        return (1,)
    text = options.pop("e", "1").removesuffix(".0")
    if text == "1":
        raise word.wrong("an ir of expansion 1 has a 1x1 convolution that our cells have not")
    if text not in map(str, range(2, MAX_EXPANSION + 1)):
        raise word.wrong(f"e{text}; allowed: e2 to e{MAX_EXPANSION}")
    return (int(text),)


def _check_inner(word: _Word, width: int, expansion: int, kind: str, squeezed: str | None) -> None:
    """Inner widths have to be those that our cells have."""
    if kind == "ir" and width * expansion % MULTIPLE:
        problem = f"timm rounds the inner width of {width * expansion}"
        raise word.wrong(f"{problem}; allowed: multiples of {MULTIPLE}")
    if squeezed is None or float(squeezed) == 0:
        return
    if float(squeezed) != 1 / SE_REDUCTION or width % SE_REDUCTION:
        problem = f"se{squeezed} of {width} channels"
        raise word.wrong(f"{problem}; allowed: se0.25 of a multiple of {SE_REDUCTION}")
