"""What the tests of all clients share: spaces to hand over, and the way back.

Only `autospace.spaces` and `autospace.exporters` are imported: a client's environment has no more.
"""

import importlib.util
import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from autospace.exporters.targets import TARGETS
from autospace.spaces import (
    DEFAULT_OPERATIONS,
    FAMILIES,
    Candidate,
    Cell,
    Layer,
    LayerShape,
    Origin,
    Space,
    load,
    load_skeleton,
    mbconv,
)

DRAWN = 100
# Ids that JSON, a shell, a table or a numeric conversion may change on the way.
AWKWARD = ("null", "007", "=1+1", "a b", "名前 🧬", "$(id)", '"quoted\\"', "{0}%s", "True", "-1e5")


def learned_space() -> Space:
    """Four layers of two to five candidates, some of them without fitness."""
    skeleton, rng = load_skeleton("digits"), random.Random(0)
    layers = [_layer(shape, index + 2, rng) for index, shape in enumerate(skeleton.shapes)]
    reference = {layer.shape.name: "mbconv_k3" for layer in layers}
    return Space(
        "learned@digits",
        skeleton,
        DEFAULT_OPERATIONS,
        tuple(layers),
        reference,
        provenance={"seed": 0, "data": {"name": "digits", "sha256": None}, "rates": [0.5, 1e-9]},
    )


def awkward_space() -> Space:
    """The same cells under ids that are hard to carry; the first layer has no choice left."""
    space, ids = learned_space(), iter(AWKWARD * 2)
    layers = tuple(
        Layer(
            layer.shape,
            tuple(
                Candidate(next(ids), each.cell, each.fitness)
                for each in layer.candidates[: 1 if index == 0 else None]
            ),
        )
        for index, layer in enumerate(space.layers)
    )
    return Space("awkward", space.skeleton, space.operations, layers)


def bats_space() -> Space:
    """A few choices of each node of binary cells with two inputs, which layers share."""
    space, rng = load("bats@bats-small"), random.Random(0)
    layers = tuple(
        Layer(layer.shape, tuple(rng.sample(layer.candidates, 5))) for layer in space.layers
    )
    return replace(space, name="bats", layers=layers, reference={})


def binary_space() -> Space:
    """Binary cells with one input, evolved and hand-made ones side by side."""
    space, rng = load("binary@digits"), random.Random(0)
    family = FAMILIES["binary"]
    prior = family.prior(family.usual)
    layers = tuple(
        Layer(
            layer.shape,
            (
                Candidate("c0001", family.random_cell(prior, rng), 0.25, Origin("random")),
                *(replace(each, fitness=0.1 * i) for i, each in enumerate(layer.candidates[:4])),
            ),
        )
        for layer in space.layers
    )
    return replace(space, layers=layers, reference={})


SPACES = (learned_space, awkward_space, bats_space, binary_space)


def ids_of(space: Space) -> dict[str, list[str]]:
    """Layer name -> ids of its candidates, both in order."""
    return {layer.shape.name: list(layer.by_id) for layer in space.layers}


def text_for(target: str, space: Space) -> str:
    """The exported text."""
    made = TARGETS[target].space
    if made is None:
        raise ValueError(f"{target} takes no space")
    return made(space)


def module_for(target: str, space: Space, folder: Path) -> Any:
    """An exported Python module, imported."""
    path = folder / f"{target.replace('-', '_')}_space.py"
    path.write_text(text_for(target, space), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module: ModuleType = importlib.util.module_from_spec(spec)
    # Clients that pickle look the module up by its name.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def assert_all_return(
    space: Space, drawn: Iterable[Mapping[str, Any]], *, everything: bool = True
) -> None:
    """Every choice that a client made is our architecture, at the cost that its cells add up to.

    With `everything`, each candidate of each layer has to be among what was drawn.
    """
    fixed = _fixed_madds(space)
    seen: dict[str, set[str]] = defaultdict(set)
    count = 0
    for choices in drawn:
        plain = {str(name): str(choice) for name, choice in choices.items()}
        architecture = space.architecture(plain)
        assert architecture.choices == plain
        cells = sum(
            cost.madds
            for layer in space.layers
            for candidate, cost in zip(layer.candidates, layer.costs, strict=True)
            if candidate.id == plain[layer.shape.name]
        )
        assert space.cost(plain).madds == architecture.cost.madds == fixed + cells
        for name, choice in plain.items():
            seen[name].add(choice)
        count += 1
    assert count >= 1
    if everything:
        assert seen == {name: set(ids) for name, ids in ids_of(space).items()}


def _fixed_madds(space: Space) -> int:
    """MAdds of stem and head: what is left of the smallest network without its cells."""
    return space.madds.min - sum(min(cost.madds for cost in each.costs) for each in space.layers)


def _layer(shape: LayerShape, count: int, rng: random.Random) -> Layer:
    hand_made = Candidate("mbconv_k3", mbconv(3, 6), 0.0, Origin("reference"))
    evolved = []
    for index in range(count - 1):
        slots = [rng.choice(DEFAULT_OPERATIONS) for _ in range(5)]
        cell = Cell((*slots, "dw_conv_3x3"), ("sum", "gate", "se"), rng.choice((1, 3, 6)))
        fitness = None if index == 2 else round(rng.gauss(0, 0.1), 4)
        parent = ("mbconv_k3",)
        evolved.append(
            Candidate(f"g{index:02d}-000", cell, fitness, Origin("mutation", index, parent))
        )
    return Layer(shape, (*evolved, hand_made))
