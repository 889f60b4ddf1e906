"""Reads recurrent cells as ENAS and DARTS write them.

ENAS writes an arc, a row of numbers. The code `enas_lm` writes two per node behind the root, the
predecessor and the function, of tanh, relu, sigmoid, identity: `0 2 1 0 ...`. The older code writes
the function of the root first, and numbers functions as tanh, relu, identity, sigmoid. An arc of
an even length is therefore of the one, and one of an odd length of the other. DARTS (Liu et al.,
ICLR 2019) writes `Genotype(recurrent=[('sigmoid', 0), ...], concat=range(1, 9))`.
"""

import re
from dataclasses import replace
from typing import Any, Final

from autospace.importers.python_literals import call_arguments, check_size, the_call
from autospace.importers.target import Target
from autospace.spaces import Architecture, Candidate, Origin
from autospace.spaces.cells.family import FAMILIES
from autospace.spaces.cells.recurrent_cell import MAX_RECURRENT_NODES, RecurrentCell, check_function
from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.sequence import SequenceSkeleton, sequence

NEW: Final = ("tanh", "relu", "sigmoid", "identity")
OLD: Final = ("tanh", "relu", "identity", "sigmoid")
_NUMBERS: Final = re.compile(r"[0-9]{1,4}([\s,]+[0-9]{1,4})*")
MOST: Final = 2 * MAX_RECURRENT_NODES + 1


def read_enas_arc(text: str, target: Target) -> Architecture:
    """The language model of an arc of ENAS.

    Raises:
        SpaceError: the text is no arc, or a number is out of range.
    """
    check_size(text)
    plain = text.strip().strip("[]()\"'").strip()
    if not _NUMBERS.fullmatch(plain):
        raise SpaceError("", f"{shown(text.strip())}; allowed: an arc, such as 0 2 1 0 2 1")
    numbers = [int(each) for each in re.split(r"[\s,]+", plain)]
    if not 2 <= len(numbers) <= MOST:
        raise SpaceError("", f"{len(numbers)} numbers; allowed: 2 to {MOST}")
    if len(numbers) % 2:
        target.note("an odd number of numbers: the function of the root first, functions numbered "
                    "as tanh, relu, identity, sigmoid")  # fmt: skip
        if len(numbers) == 1:
            raise SpaceError("", "1 number; allowed: a root and nodes behind it")
        root = _function(numbers, 0, OLD)
        return _network(_pairs(numbers, 1, OLD), root, target, "enas-rnn-paper")
    return _network(_pairs(numbers, 0, NEW), "tanh", target, "enas-rnn")


def _pairs(numbers: list[int], first: int, names: tuple[str, ...]) -> list[tuple[int, str]]:
    found = []
    for node, place in enumerate(range(first, len(numbers), 2), 1):
        if numbers[place] >= node:
            problem = f"node {node} reads node {numbers[place]}"
            raise SpaceError(f"[{place}]", f"{problem}; allowed: 0 to {node - 1}")
        found.append((numbers[place], _function(numbers, place + 1, names)))
    return found


def _function(numbers: list[int], place: int, names: tuple[str, ...]) -> str:
    if numbers[place] >= len(names):
        raise SpaceError(f"[{place}]", f"function {numbers[place]}; allowed: 0 to {len(names) - 1}")
    return names[numbers[place]]


def read_darts_recurrent(text: str, target: Target) -> Architecture:
    """The language model of a recurrent genotype of DARTS.

    Raises:
        SpaceError: the text is no such genotype, or a value in it is wrong.
    """
    arguments = call_arguments(the_call(text, "Genotype", target.note), "Genotype")
    keys = ("recurrent", "concat")
    for key in (*keys, *arguments):
        if key not in arguments:
            raise SpaceError(key, "missing key")
        if key not in keys:
            raise SpaceError(key, f"unknown key; {offered(key, keys)}")
    pairs = _listed(arguments["recurrent"])
    nodes = list(range(1, len(pairs) + 1))
    if arguments["concat"] != nodes:
        found = shown(arguments["concat"])
        raise SpaceError("concat", f"{found}; allowed: range(1, {len(pairs) + 1}), all nodes")
    return _network(pairs, "tanh", target, "darts-rnn")


def _listed(value: Any) -> list[tuple[int, str]]:
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_RECURRENT_NODES:
        problem = f"{shown(value)}; allowed: 1 to {MAX_RECURRENT_NODES} pairs (function, from)"
        raise SpaceError("recurrent", problem)
    found = []
    for node, pair in enumerate(value, 1):
        path = f"recurrent[{node - 1}]"
        name, source = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        if not isinstance(name, str) or type(source) is not int:
            raise SpaceError(path, f"{shown(pair)}; allowed: (function, from)")
        check_function(path, name)
        if not 0 <= source < node:
            raise SpaceError(path, f"from {shown(source)}; allowed: 0 to {node - 1}")
        found.append((source, name))
    return found


def _network(pairs: list[tuple[int, str]], root: str, target: Target, usual: str) -> Architecture:
    """The language model: on the skeleton that was given, or the usual one for so many nodes."""
    if target.resolution is not None:
        raise SpaceError("resolution", f"{target.resolution}; allowed: none, as cells read text")
    skeleton = sequence(target.skeleton_or(usual), "a recurrent cell reads text")
    if target.skeleton is None and skeleton.nodes != len(pairs):
        skeleton = replace(skeleton, nodes=len(pairs))
    cell = RecurrentCell.of(pairs, root)
    family = FAMILIES[RecurrentCell.kind]
    candidates = []
    for shape in skeleton.shapes:
        part = family.at(cell, shape)
        candidates.append(Candidate(_name(part), part, None, Origin("imported")))
    _check_root(skeleton, root)
    return Architecture(skeleton, tuple(candidates))


def _check_root(skeleton: SequenceSkeleton, root: str) -> None:
    if skeleton.root not in (None, root):
        problem = f"the root of the cell is {root}, that of the skeleton {skeleton.root}"
        raise SpaceError("skeleton", f"{problem}; allowed: a skeleton whose root is chosen")


def _name(part: RecurrentCell) -> str:
    if part.is_whole:
        return "cell"
    node, what = part.choice
    return f"s{part.sources[node]}" if what == "input" else str(part.functions[node])
