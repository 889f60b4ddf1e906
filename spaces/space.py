"""Search spaces and the architectures drawn from them, as immutable values."""

import math
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.cost import total
from autospace.spaces.cells.family import FAMILIES, cell_cost, cell_key, family_of
from autospace.spaces.cells.operations import BITS, Cost
from autospace.spaces.checks import (
    MAX_CANDIDATES,
    MAX_GENERATION,
    MAX_ID,
    MAX_NAME,
    MAX_PARENTS,
    MAX_PROVENANCE_DEPTH,
    check_integer,
    check_text,
    plain,
)
from autospace.spaces.cost import Budget, Range, fixed_cost, range_of_sums
from autospace.spaces.errors import SpaceError, located, offered, shown
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.stages import Group, Part, check_stages, drawn, parts_of, plain_parts

ORIGIN_KINDS: Final = ("reference", "random", "mutation", "crossover", "builtin", "imported")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a candidate comes from.

    Attributes:
        kind: one of `ORIGIN_KINDS`.
        generation: the generation in which it was born; 0 is the initial population.
        parents: ids of its parents in the same layer.
    """

    kind: str
    generation: int = 0
    parents: tuple[str, ...] = ()

    @property
    def evolved(self) -> bool:
        """Whether evolution made it: neither people nor another program did."""
        return self.kind in ("random", "mutation", "crossover")

    def __post_init__(self) -> None:
        if self.kind not in ORIGIN_KINDS:
            raise SpaceError("kind", f"{shown(self.kind)}; {offered(self.kind, ORIGIN_KINDS)}")
        check_integer("generation", self.generation, 0, MAX_GENERATION)
        if len(self.parents) > MAX_PARENTS:
            raise SpaceError("parents", f"{len(self.parents)} ids; allowed: up to {MAX_PARENTS}")
        for index, parent in enumerate(self.parents):
            check_text(f"parents[{index}]", parent, MAX_ID)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cell offered at a layer.

    Attributes:
        fitness: 0 when it is as good as the reference; None if the cell was never scored.
        uncertainty: how far `fitness` may be from the mean of very many scores, as a standard
            deviation; None where it is not known.
    """

    id: str
    cell: Cell
    fitness: float | None = None
    origin: Origin = Origin("builtin")
    uncertainty: float | None = None

    def __post_init__(self) -> None:
        check_text("id", self.id, MAX_ID)
        for name in ("fitness", "uncertainty"):
            value = getattr(self, name)
            if value is None:
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not abs(value) <= sys.float_info.max:
                raise SpaceError(name, f"{shown(value)}; allowed: a finite number")
            # 1 and 1.0, or 0.0 and -0.0, are equal, and equal values have equal bytes.
            object.__setattr__(self, name, float(value) + 0.0)
        if self.uncertainty is None:
            return
        if self.fitness is None:
            raise SpaceError("uncertainty", "of a cell without fitness; allowed: none")
        if self.uncertainty < 0:
            raise SpaceError("uncertainty", f"{shown(self.uncertainty)}; allowed: 0 or more")


@dataclass(frozen=True)
class Layer:
    """The candidates of one layer."""

    shape: LayerShape
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.candidates) <= MAX_CANDIDATES:
            found = len(self.candidates)
            raise SpaceError("candidates", f"{found} candidates; allowed: 1 to {MAX_CANDIDATES}")
        seen: set[str] = set()
        for index, candidate in enumerate(self.candidates):
            if candidate.id in seen:
                problem = f"{shown(candidate.id)} occurs twice in this layer"
                raise SpaceError(f"candidates[{index}].id", problem)
            seen.add(candidate.id)
            with located(f"candidates[{index}]"):
                _check_fits(candidate.cell, self.shape, self.candidates[0].cell.kind)

    @cached_property
    def by_id(self) -> dict[str, Candidate]:
        """The candidates under their ids."""
        return {candidate.id: candidate for candidate in self.candidates}

    @cached_property
    def costs(self) -> tuple[Cost, ...]:
        """Cost of each candidate here."""
        return tuple(cell_cost(candidate.cell, self.shape) for candidate in self.candidates)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Key of each candidate here: equal keys, equal functions."""
        return tuple(cell_key(candidate.cell, self.shape) for candidate in self.candidates)


@dataclass(frozen=True)
class Architecture:
    """One candidate per layer of a skeleton, or per choice where layers share cells."""

    skeleton: Skeleton
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        found, wanted = len(self.candidates), len(self.skeleton.shapes)
        if found != wanted:
            raise SpaceError("layers", f"{found} layers; allowed: {wanted}, as in the skeleton")
        for index, shape in enumerate(self.skeleton.shapes):
            with located(f"layers[{index}].candidate"):
                _check_fits(self.candidates[index].cell, shape, self.kind)
        if self.skeleton.stages:
            names = [shape.name for shape in self.skeleton.shapes]
            groups = (group_of(candidate.cell) for candidate in self.candidates)
            check_stages(self.skeleton.stages, names, groups)

    @property
    def kind(self) -> str:
        """The family of the cells."""
        return self.candidates[0].cell.kind

    @property
    def choices(self) -> dict[str, str]:
        """Layer name to candidate id: the flat form that other tools exchange."""
        pairs = zip(self.skeleton.shapes, self.candidates, strict=True)
        return {shape.name: candidate.id for shape, candidate in pairs}

    @cached_property
    def shared_cells(self) -> tuple[Cell, ...]:
        """The cells that differ by choice: one per group of layers that share a cell."""
        chosen = [candidate.cell for candidate in self.candidates]
        size = self.skeleton.choices_per_cell
        if size == 1:
            return tuple(chosen)
        family = FAMILIES[self.kind]
        firsts = range(0, len(chosen), size)
        shapes = self.skeleton.shapes
        return tuple(family.joined(chosen[at : at + size], shapes[at]) for at in firsts)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The cell of every layer that has one, input side first."""
        return tuple(self.shared_cells[group] for group in self.skeleton.groups)

    @property
    def skipped(self) -> int:
        """How many layers are skipped: their cell computes zero."""
        return sum(cell.is_zero for cell in self.cells)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Key of each cell, those that layers share once: equal keys, equal functions."""
        first: dict[int, LayerShape] = {}
        for group, shape in zip(self.skeleton.groups, self.skeleton.cell_layers, strict=True):
            first.setdefault(group, shape)
        return tuple(cell_key(cell, first[group]) for group, cell in enumerate(self.shared_cells))

    @cached_property
    def cost(self) -> Cost:
        """Cost of the whole network, stem and head included."""
        return network_cost(self.skeleton, self.cells)


@dataclass(frozen=True)
class Space:
    """Per layer of a skeleton, the candidates to choose from.

    Attributes:
        operations: the operations that its cells may have.
        reference: flat architecture that fitness is relative to; empty if there is none.
        provenance: how the space was made, as plain JSON values.
    """

    name: str
    skeleton: Skeleton
    operations: tuple[str, ...]
    layers: tuple[Layer, ...]
    reference: Mapping[str, str] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_text("name", self.name, MAX_NAME)
        self._check_layers()
        self._check_vocabulary()
        if self.reference:
            with located("reference"):
                self.architecture(self.reference)
        self._check_budget()
        # A copy in JSON's own types: nobody can change it later, and it reads back equal.
        with located("provenance"):
            copied = plain(self.provenance, MAX_PROVENANCE_DEPTH)
        object.__setattr__(self, "provenance", copied)

    def _check_layers(self) -> None:
        found, wanted = len(self.layers), len(self.skeleton.shapes)
        if found != wanted:
            raise SpaceError("layers", f"{found} layers; allowed: {wanted}, as in the skeleton")
        for index, (layer, shape) in enumerate(zip(self.layers, self.skeleton.shapes, strict=True)):
            if layer.shape != shape:
                problem = f"its shape differs from that of {shape.name} in the skeleton"
                raise SpaceError(f"layers[{index}]", problem)
            with located(f"layers[{index}].candidates[0]"):
                _check_fits(layer.candidates[0].cell, shape, self.kind)
        # Whether every stage has an option.
        _ = self.parts

    def _check_vocabulary(self) -> None:
        family = FAMILIES[self.kind]
        for index, name in enumerate(self.operations):
            with located(f"operations[{index}]"):
                family.check_operation(name)
            if name in self.operations[:index]:
                raise SpaceError(f"operations[{index}]", f"{shown(name)} occurs twice")
        known = {*self.operations, "none"}
        for index, layer in enumerate(self.layers):
            for number, candidate in enumerate(layer.candidates):
                if unknown := set(candidate.cell.operations) - known:
                    path = f"layers[{index}].candidates[{number}].edges"
                    problem = f"{min(unknown)} is not among the operations of this space"
                    raise SpaceError(path, f"{problem}; allowed: {', '.join(self.operations)}")

    def _check_budget(self) -> None:
        limits = (
            ("max_madds", self.budget.max_madds, self.madds.max),
            ("max_params", self.budget.max_params, self.params.max),
            ("max_ops", self.budget.max_ops, self.ops.max),
        )
        if self.budget.max_ops is not None and not FAMILIES[self.kind].binary:
            same = "max_madds, which is the same where no operation is binary"
            raise SpaceError("budget.max_ops", f"{self.budget.max_ops}; allowed: {same}")
        for name, limit, found in limits:
            if limit is not None and found > limit:
                problem = f"{limit}, but the most expensive architecture of the space has {found}"
                raise SpaceError(f"budget.{name}", problem)

    @property
    def kind(self) -> str:
        """The family of the cells."""
        return self.layers[0].candidates[0].cell.kind

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The layers that are chosen together, stage by stage, or else one by one."""
        stages = self.skeleton.stages
        if not stages:
            return plain_parts([len(layer.candidates) for layer in self.layers])
        return parts_of(
            stages, [[group_of(each.cell) for each in layer.candidates] for layer in self.layers]
        )

    @property
    def size(self) -> int:
        """Number of architectures."""
        return math.prod(part.size for part in self.parts)

    @cached_property
    def most_expensive(self) -> Cost:
        """Largest of each amount of any architecture (maybe not the same one)."""
        return Cost(self.madds.max, self.params.max, self.bops.max)

    @cached_property
    def madds(self) -> Range:
        """Range of MAdds over the architectures."""
        layers = [[cost.madds for cost in layer.costs] for layer in self.layers]
        return range_of_sums(fixed_cost(self.skeleton).madds, layers, self.parts)

    @cached_property
    def params(self) -> Range:
        """Range of params over the architectures."""
        layers = [[cost.params for cost in layer.costs] for layer in self.layers]
        return range_of_sums(fixed_cost(self.skeleton).params, layers, self.parts)

    @cached_property
    def bops(self) -> Range:
        """Range of binary operations over the architectures."""
        layers = [[cost.bops for cost in layer.costs] for layer in self.layers]
        return range_of_sums(fixed_cost(self.skeleton).bops, layers, self.parts)

    @cached_property
    def ops(self) -> Range:
        """Range of MAdds plus a 64th of the binary operations, rounded up."""
        layers = [[cost.whole("ops") for cost in layer.costs] for layer in self.layers]
        whole = range_of_sums(fixed_cost(self.skeleton).whole("ops"), layers, self.parts)
        return Range(-(-whole.min // BITS), whole.mean / BITS, -(-whole.max // BITS))

    def architecture(self, choices: Mapping[str, str]) -> Architecture:
        """The architecture that a flat `{"layer_03": "cell id"}` names.

        Raises:
            SpaceError: unknown layer, unknown cell, or a layer without a choice.
        """
        names = {layer.shape.name for layer in self.layers}
        if unknown := sorted(map(str, set(choices) - names)):
            span = f"{self.layers[0].shape.name} to {self.layers[-1].shape.name}"
            raise SpaceError(unknown[0], f"unknown layer; allowed: {span}")
        picked = []
        for layer in self.layers:
            name = layer.shape.name
            if name not in choices:
                raise SpaceError(name, "missing layer: every layer needs a choice")
            choice = choices[name]
            if not isinstance(choice, str) or choice not in layer.by_id:
                allowed = offered(choice, layer.by_id, ", ".join(list(layer.by_id)[:12]))
                raise SpaceError(name, f"unknown cell {shown(choice)}; {allowed}")
            picked.append(layer.by_id[choice])
        return Architecture(self.skeleton, tuple(picked))

    def sample(self, rng: random.Random) -> Architecture:
        """One architecture, drawn uniformly."""
        return self.at(drawn(self.parts, rng))

    def at(self, path: Sequence[int]) -> Architecture:
        """The architecture of the candidates with these indices, one per layer."""
        layers = zip(self.layers, path, strict=True)
        picked = tuple(layer.candidates[index] for layer, index in layers)
        return Architecture(self.skeleton, picked)

    def cost(self, architecture: Architecture | Mapping[str, str]) -> Cost:
        """Cost of an architecture, given whole or in its flat form."""
        if not isinstance(architecture, Architecture):
            architecture = self.architecture(architecture)
        return architecture.cost


def group_of(cell: Cell) -> Group:
    """What a cell has in common with all others of its stage; None if it skips its layer."""
    return None if cell.is_zero else cell.group


def _check_fits(cell: Cell, shape: LayerShape, kind: str) -> None:
    if shape.only and cell.kind != shape.only:
        problem = f"{shown(cell.kind)} at {shape.name}"
        raise SpaceError("kind", f"{problem}; allowed here: {shape.only}")
    if cell.kind != kind:
        raise SpaceError("kind", f"{shown(cell.kind)}; allowed: {kind}, as in all other cells")
    family_of(cell).check(cell, shape)


def reference_cells_of(skeleton: Skeleton, cell: Cell) -> tuple[Cell, ...]:
    """One cell at every layer, or one operation on every edge: the cells that layers share."""
    family = family_of(cell)
    chosen = tuple(Candidate("reference", family.at(cell, shape)) for shape in skeleton.shapes)
    return Architecture(skeleton, chosen).shared_cells


def network_cost(skeleton: Skeleton, cells: Iterable[Cell]) -> Cost:
    """Cost of the network with these cells, one per layer of cells, stem and head included."""
    pairs = zip(skeleton.cell_layers, cells, strict=True)
    inner = total(cell_cost(cell, shape) for shape, cell in pairs)
    return fixed_cost(skeleton).plus(inner)


def refitted(space: Space, skeleton: Skeleton) -> Space:
    """The space on the same skeleton for other data.

    Layers, cells and ids stay the same. If anything changes, the budget is dropped, because its
    numbers were for other data.
    """
    if skeleton == space.skeleton:
        return space
    layers = tuple(
        Layer(shape, layer.candidates)
        for shape, layer in zip(skeleton.shapes, space.layers, strict=True)
    )
    return replace(space, skeleton=skeleton, layers=layers, budget=Budget())


def layers_of(value: Space | Architecture) -> tuple[Layer, ...]:
    """The layers of a space, or of an architecture as layers with one candidate each."""
    if isinstance(value, Space):
        return value.layers
    pairs = zip(value.skeleton.shapes, value.candidates, strict=True)
    return tuple(Layer(shape, (candidate,)) for shape, candidate in pairs)


def drawn_layers(value: Space | Architecture) -> tuple[Layer, ...]:
    """What a picture of the network shows: its layers, those that share a cell once.

    Where edges are chosen one by one, their cell is drawn: of a space, that of the best edges.
    """
    if value.skeleton.choices_per_cell == 1:
        return layers_of(value)
    if isinstance(value, Space):
        best = tuple(by_fitness(layer.candidates)[0] for layer in value.layers)
        return drawn_layers(Architecture(value.skeleton, best))
    cells = tuple(Candidate("cell", cell) for cell in value.shared_cells)
    return layers_of(Architecture(value.skeleton.undivided, cells))


def by_fitness(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The fittest first; candidates without fitness come last, in the order of the file."""
    return sorted(candidates, key=lambda each: (each.fitness is None, -(each.fitness or 0.0)))
