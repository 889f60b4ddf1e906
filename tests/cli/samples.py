"""Cells and spaces that the tests of the commands and of the pictures share."""

import random

from hypothesis import strategies as st

from autospace.spaces import (
    DEFAULT_OPERATIONS,
    Architecture,
    Candidate,
    Cell,
    Layer,
    LayerShape,
    Origin,
    Space,
    canonical_key,
    load_skeleton,
    mbconv,
)
from autospace.spaces.cells.variation import CellPrior, random_cell

SAME = LayerShape("layer_00", 16, 16, 1, 32)
DOWN = LayerShape("layer_04", 16, 32, 2, 32)
MIXES = ("sum", "gate", "se")


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    """Any cell: zero ones and cells with dead edges among them."""
    nodes = draw(st.integers(2, 8))
    slots = nodes * (nodes - 1) // 2
    # Mostly sparse: dense cells of eight nodes all look alike.
    names = st.sampled_from(("none",) * draw(st.integers(1, 12)) + DEFAULT_OPERATIONS)
    operations = draw(st.lists(names, min_size=slots, max_size=slots))
    mix = draw(st.lists(st.sampled_from(MIXES), min_size=nodes - 1, max_size=nodes - 1))
    return Cell(tuple(operations), tuple(mix), draw(st.sampled_from((1, 3, 6))))


def full_cell(nodes: int) -> Cell:
    """A cell with all edges."""
    slots = nodes * (nodes - 1) // 2
    names = (DEFAULT_OPERATIONS[1:] * 4)[:slots]
    return Cell(names, ("gate",) + ("sum",) * (nodes - 3) + ("se",), 6)


def learned_space(name: str = "learned@digits", seed: int = 0) -> Space:
    """Six random cells with a fitness and three reference cells at every layer."""
    rng = random.Random(seed)
    skeleton = load_skeleton("digits")
    layers, reference = [], {}
    for shape in skeleton.shapes:
        hand_made = [
            Candidate(f"mbconv_k{kernel}", mbconv(kernel, 6), fitness, Origin("reference"))
            for kernel, fitness in ((3, 0.0), (5, -0.01), (7, 0.02))
        ]
        layers.append(Layer(shape, (*_evolved(shape, hand_made, rng), *hand_made)))
        reference[shape.name] = "mbconv_k3"
    return Space(name, skeleton, DEFAULT_OPERATIONS, tuple(layers), reference)


def _evolved(shape: LayerShape, known: list[Candidate], rng: random.Random) -> list[Candidate]:
    """Six cells that compute what no other candidate of the layer computes."""
    prior = CellPrior(DEFAULT_OPERATIONS[1:], none_probability=0.3)
    seen = {canonical_key(each.cell, shape.stride) for each in known}
    found: list[Candidate] = []
    while len(found) < 6:
        cell, index = random_cell(prior, rng), len(found)
        if canonical_key(cell, shape.stride) not in seen:
            seen.add(canonical_key(cell, shape.stride))
            origin = Origin("mutation", index, (f"g00-{index}",))
            fitness = round(rng.gauss(0.05, 0.1), 4)
            found.append(Candidate(f"g{index:02d}-{shape.name[-1]}", cell, fitness, origin))
    return found


def drawn_architecture() -> Architecture:
    """One architecture of the learned space."""
    return learned_space().sample(random.Random(1))
