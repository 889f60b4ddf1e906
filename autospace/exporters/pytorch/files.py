"""Puts together the files of cells of other families than `mobile`: of a network, or of a space.

A file of a space holds what every id of every layer stands for, and one network class, which takes
the cells of an architecture. There is no supernet in it: candidates share no weights.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from autospace.exporters.python_clients import literal
from autospace.exporters.pytorch.source import (
    Group,
    Node,
    default_choices,
    definition,
    described,
    facts_of,
    imports,
    joined,
    laid_out,
    listed,
)
from autospace.spaces import Architecture, Space

_STAGED: Final = ("check", "alternatives", "within", "options")


@dataclass(frozen=True, slots=True)
class Source:
    """What the file of a network holds around its tables.

    Attributes:
        templates: what its imports are taken from.
        constants: its first lines behind the imports.
        records: definitions in front of the tables.
        modules: definitions behind them, up to the network.
        network: its class.
        ending: definitions between it and `build`.
        main: the template of what the file does as a program.
        unit: what MAdds are counted for.
        classes: whether a network can be made for another number of classes.
    """

    templates: tuple[str, ...]
    constants: str
    records: tuple[str, ...]
    modules: tuple[str, ...]
    network: str
    ending: tuple[str, ...]
    main: str = "network"
    unit: str = "an image"
    classes: bool = True


def network_file(architecture: Architecture, source: Source, *tables: str) -> str:
    """A module whose `build()` makes a network.

    Args:
        architecture: which one.
        source: of its family.
        tables: its cells and layers.
    """
    about = described(architecture).replace("for an image", f"for {source.unit}")
    return joined(
        f'"""{about}"""\n\n{imports(*source.templates)}\n{source.constants}',
        *source.records,
        *tables,
        *source.modules,
        source.network,
        *source.ending,
        definition(source.main, "build"),
        definition(source.main, "__main__", build=True),
    )


@dataclass(frozen=True, slots=True)
class Choices:
    """What stands for the candidates of a space in its file.

    Attributes:
        values: per layer, one for each candidate.
        kind: their type.
        constants: what a network of one architecture reads in constants, and a network of the
            space gets as arguments instead: names and types, in this order.
        tables: what all architectures have in common.
        functions: definitions that make the arguments of a network of what was chosen.
        made: the arguments of a network; `{}` stands for what was chosen.
    """

    values: Sequence[Sequence[Node]]
    kind: str
    constants: tuple[tuple[str, str], ...]
    tables: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    made: str = "{}"


def space_file(space: Space, source: Source, choices: Choices) -> str:
    """A module whose `build` makes a network of any architecture of a space.

    Args:
        space: which one.
        source: of its family.
        choices: what its candidates are.
    """
    offered = Group(
        "{",
        tuple(
            (f"{literal(layer.shape.name)}: ", _named([each.id for each in layer.candidates], row))
            for layer, row in zip(space.layers, choices.values, strict=True)
        ),
        "}",
    )
    stages = _stages(space)
    network = source.network
    for constant, kind in reversed(choices.constants):
        network = _given(network, constant, kind)
    others = ", classes: int = CLASSES" if source.classes else ""
    made = choices.made.format("chosen(architecture)") + (", classes" if source.classes else "")
    signature = f"def chosen(architecture: dict[str, str]) -> list[{choices.kind}]:"
    inputs = f"def build(architecture: dict[str, str]{others}) -> Network:"
    drawing = "staged_sample" if stages else "sample"
    return joined(
        f'"""{_described(space, source.unit)}"""\n\n'
        f"{imports('choices', *source.templates)}\n{source.constants}",
        *source.records,
        *choices.tables,
        laid_out(offered, f"CHOICES: dict[str, dict[str, {choices.kind}]] = "),
        *stages,
        default_choices(space),
        *source.modules,
        network,
        *source.ending,
        *choices.functions,
        definition("choices", "chosen", signature=signature, stages=bool(stages)),
        *(definition("choices", name) for name in _STAGED if stages),
        definition("choices", drawing).replace("def staged_sample", "def sample"),
        definition("choices", "build", inputs=inputs, made=f"    return Network({made})"),
        definition(source.main, "__main__", build="    network = build(DEFAULT).eval()"),
    )


def _named(ids: Sequence[str], values: Sequence[Node]) -> Node:
    pairs = zip(ids, values, strict=True)
    return Group("{", tuple((f"{literal(name)}: ", value) for name, value in pairs), "}")


def _stages(space: Space) -> list[str]:
    """The table of the stages, if there are any."""
    names = iter(layer.shape.name for layer in space.layers)
    rows = []
    for stage in space.skeleton.stages:
        own = listed([literal(next(names)) for _ in range(stage.layers)])
        rows.append(Group("(", (("", own), ("", str(stage.least))), ")"))
    if not rows:
        return []
    about = "# Layers that are chosen together, and how many of them are never skipped.\n"
    return [about + laid_out(listed(rows), "STAGES = ")]


def _given(network: str, constant: str, kind: str) -> str:
    """The class of a network with an argument in place of a constant."""
    name = constant.lower()
    text = network.replace("def __init__(self", f"def __init__(self, {name}: {kind}", 1)
    return re.sub(rf"\b{constant}\b", name, text)


def _described(space: Space, unit: str) -> str:
    return f"""A search space, written by autospace.

{facts_of(space, unit)}

    architecture = sample(random.Random(0))  # the id of a cell for every layer
    network = build(architecture)

Weights of this architecture that autospace trained load as they are:

    network.load_state_dict(safetensors.torch.load_file("model.safetensors"))
"""
