"""Small runs of the loop without torch, and cells that a closed form scores."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from autospace.evolution.loop import evolve, learned_space, start
from autospace.evolution.plan import Plan
from autospace.evolution.population import EvolutionState, Member
from autospace.evolution.toolbox import Operators
from autospace.spaces import (
    DEFAULT_OPERATIONS,
    Budget,
    Candidate,
    Cell,
    Layer,
    LayerShape,
    LayerSpec,
    Origin,
    Skeleton,
    Space,
    Stem,
    mbconv,
    to_json,
)
from autospace.spaces.cells.family import cell_cost
from autospace.spaces.cells.key import canonical_key
from autospace.spaces.cells.variation import CellPrior
from autospace.spaces.space import refitted

SKELETON = Skeleton("tiny", 1, 8, 4, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2)))
PRIOR = CellPrior(tuple(name for name in DEFAULT_OPERATIONS if name != "none"))
REFERENCES = tuple((f"mbconv_k{kernel}_e3", mbconv(kernel, 3)) for kernel in (3, 5, 7))
SHAPE = LayerShape("layer_00", 4, 4, 1, 8)

Score = Callable[[Cell], float]


def one_max(cell: Cell) -> float:
    """Number of 5x5 depthwise edges: 6 at most with four nodes."""
    return float(sum(edge.operation == "dw_conv_5x5" for edge in cell.edges))


class ClosedForm:
    """Scores every cell by a formula, and remembers what it was asked."""

    def __init__(self, score: Score = one_max) -> None:
        self.score_of = score
        self.calls: list[tuple[list[list[Cell]], int]] = []

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        self.calls.append(([list(layer) for layer in candidates], repeat))
        return [[self.score_of(cell) for cell in layer] for layer in candidates]


def operators(**changes: Any) -> Operators:
    return replace(
        Operators(
            population=8,
            tournament=3,
            crossover=0.3,
            ageing=False,
            objectives=("fitness",),
            prior=PRIOR,
        ),
        **changes,
    )


def plan(**changes: Any) -> Plan:
    """A plan of two layers; `operators` may be given as a dict of changes."""
    skeleton = changes.pop("skeleton", SKELETON)
    acting = operators(**changes.pop("operators", {}))
    some = Plan(
        skeleton=skeleton,
        references=REFERENCES,
        operators=acting,
        seed=0,
        generations=4,
        candidates=3,
        keep=2,
    )
    return replace(some, **changes)


def finish(
    some: Plan, state: EvolutionState | None = None, score: Score = one_max
) -> EvolutionState:
    """The state after the last round."""
    return [state, *evolve(some, ClosedForm(score), state)][-1] or start(some)


def space_bytes(some: Plan, state: EvolutionState, budget: Budget | None = None) -> str:
    """The text of the learned space."""
    return to_json(
        learned_space(some, state, name="tiny", budget=budget or Budget(), provenance={})
    )


def member(identity: str, cell: Cell, fitness: float | None, **changes: Any) -> Member:
    """A member that has been scored once."""
    made = Member(
        identity,
        cell,
        canonical_key(cell, SHAPE.stride),
        cell_cost(cell, SHAPE),
        Origin("random"),
        fitness,
        0 if fitness is None else 1,
    )
    return replace(made, **changes)


def fitted_space(space: Space, *, in_channels: int, resolution: int, classes: int) -> Space:
    """The space for images of this size and so many classes."""
    size = {"in_channels": in_channels, "resolution": resolution, "classes": classes}
    return refitted(space, space.skeleton.fitted(**size))


def whole_cells(space: Space, count: int = 3) -> Space:
    """A space of whole cells that an architecture of another had, as evolution leaves them."""
    rng, skeleton = random.Random(0), space.skeleton.undivided
    drawn = [space.sample(rng).shared_cells for _ in range(count)]
    layers = [
        Layer(shape, tuple(Candidate(f"c{i}", cells[place]) for i, cells in enumerate(drawn)))
        for place, shape in enumerate(skeleton.shapes)
    ]
    return Space(space.name, skeleton, space.operations, tuple(layers))
