"""Search spaces and the architectures drawn from them, as values."""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any, Final, NamedTuple

from autospace.spaces.cell import Cell
from autospace.spaces.cost import Cost, cell_cost, fixed_cost, total
from autospace.spaces.errors import SpaceError
from autospace.spaces.skeleton import LayerShape, Skeleton

MAX_CANDIDATES: Final = 4096
MAX_ID: Final = 64


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a candidate comes from.

    Attributes:
        kind: `reference`, `random`, `mutation`, `crossover`, `builtin` or `imported`.
        generation: the generation in which it was born; 0 is the initial population.
        parents: ids of its parents in the same layer.
    """

    kind: str
    generation: int = 0
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cell offered at a layer; `fitness` is 0 when it is as good as the reference."""

    id: str
    cell: Cell
    fitness: float | None = None
    origin: Origin = Origin("builtin")


class Range(NamedTuple):
    """Smallest, mean and largest value over the architectures of a space, drawn uniformly."""

    min: int
    mean: int | float
    max: int


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
            path = f"candidates[{index}]"
            if not 1 <= len(candidate.id) <= MAX_ID or not candidate.id.isprintable():
                problem = f"{candidate.id[:80]!r}; allowed: 1 to {MAX_ID} printable characters"
                raise SpaceError(f"{path}.id", problem)
            if candidate.id in seen:
                raise SpaceError(f"{path}.id", f"{candidate.id!r} stands twice in this layer")
            seen.add(candidate.id)
            if candidate.fitness is not None and not math.isfinite(candidate.fitness):
                problem = f"{candidate.fitness}; allowed: a finite number"
                raise SpaceError(f"{path}.fitness", problem)
            if not self.shape.shortcut and candidate.cell.is_zero:
                problem = "no path from input to output, and the layer has no shortcut"
                raise SpaceError(f"{path}.edges", problem)

    @cached_property
    def by_id(self) -> dict[str, Candidate]:
        """The candidates under their ids."""
        return {candidate.id: candidate for candidate in self.candidates}

    @cached_property
    def costs(self) -> tuple[Cost, ...]:
        """Cost of each candidate here."""
        return tuple(cell_cost(candidate.cell, self.shape) for candidate in self.candidates)


@dataclass(frozen=True)
class Architecture:
    """One candidate per layer of a skeleton."""

    skeleton: Skeleton
    candidates: tuple[Candidate, ...]

    def __post_init__(self) -> None:
        found, wanted = len(self.candidates), len(self.skeleton.layers)
        if found != wanted:
            raise SpaceError("layers", f"{found} layers; the skeleton has {wanted}")
        for shape, candidate in zip(self.skeleton.shapes, self.candidates, strict=True):
            try:
                Layer(shape, (candidate,))
            except SpaceError as error:
                raise error.under(shape.name) from None

    @property
    def choices(self) -> dict[str, str]:
        """Layer name to candidate id: the flat form that other tools exchange."""
        pairs = zip(self.skeleton.shapes, self.candidates, strict=True)
        return {shape.name: candidate.id for shape, candidate in pairs}

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells, input side first."""
        return tuple(candidate.cell for candidate in self.candidates)

    @cached_property
    def cost(self) -> Cost:
        """Cost of the whole network, stem and head included."""
        return network_cost(self.skeleton, self.cells)


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits that no architecture of a space exceeds; None for no limit."""

    max_madds: int | None = None
    max_params: int | None = None

    def allows(self, cost: Cost) -> bool:
        """Whether a network of this cost is within both limits."""
        return (self.max_madds is None or cost.madds <= self.max_madds) and (
            self.max_params is None or cost.params <= self.max_params
        )


@dataclass(frozen=True)
class Space:
    """Per layer of a skeleton, the candidates to choose from.

    Attributes:
        operations: the vocabulary that cells were, or could have been, made of.
        reference: flat architecture that fitness is relative to; empty if there is none.
        provenance: how the space came about, as plain JSON values.
    """

    name: str
    skeleton: Skeleton
    operations: tuple[str, ...]
    layers: tuple[Layer, ...]
    reference: Mapping[str, str] = field(default_factory=dict)
    budget: Budget = Budget()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = tuple(layer.shape for layer in self.layers)
        if shapes != self.skeleton.shapes:
            wanted = len(self.skeleton.layers)
            raise SpaceError("layers", f"{len(shapes)} layers do not fit a skeleton of {wanted}")
        known = set(self.operations) | {"none"}
        for layer in self.layers:
            for candidate in layer.candidates:
                for name in candidate.cell.operations:
                    if name not in known:
                        path = f"{layer.shape.name}.{candidate.id}"
                        raise SpaceError(path, f"{name!r} is not among the space's operations")
        if self.reference:
            try:
                self.architecture(self.reference)
            except SpaceError as error:
                raise error.under("reference") from None
        self._keep_promise()

    def _keep_promise(self) -> None:
        dearest = self.dearest
        limits = (
            ("max_madds", self.budget.max_madds, dearest.madds),
            ("max_params", self.budget.max_params, dearest.params),
        )
        for name, limit, found in limits:
            if limit is not None and found > limit:
                problem = f"{limit}, but the dearest architecture of the space has {found}"
                raise SpaceError(f"budget.{name}", problem)

    @property
    def size(self) -> int:
        """Number of architectures."""
        return math.prod(len(layer.candidates) for layer in self.layers)

    @cached_property
    def dearest(self) -> Cost:
        """Largest MAdds and largest params of any architecture (maybe not the same one)."""
        return Cost(self._extreme(max, 0), self._extreme(max, 1))

    @property
    def madds(self) -> Range:
        """Range of MAdds over the architectures."""
        return Range(self._extreme(min, 0), self._mean(0), self._extreme(max, 0))

    @property
    def params(self) -> Range:
        """Range of params over the architectures."""
        return Range(self._extreme(min, 1), self._mean(1), self._extreme(max, 1))

    def architecture(self, choices: Mapping[str, str]) -> Architecture:
        """The architecture that a flat `{"layer_03": "cell id"}` names.

        Raises:
            SpaceError: unknown layer, unknown cell, or a layer without a choice.
        """
        names = {layer.shape.name for layer in self.layers}
        if unknown := sorted(set(choices) - names):
            span = f"{self.layers[0].shape.name} to {self.layers[-1].shape.name}"
            raise SpaceError(str(unknown[0])[:80], f"unknown layer; allowed: {span}")
        picked = []
        for layer in self.layers:
            name = layer.shape.name
            if name not in choices:
                raise SpaceError(name, "missing layer: every layer needs a choice")
            if choices[name] not in layer.by_id:
                allowed = ", ".join(list(layer.by_id)[:12])
                problem = f"unknown cell {str(choices[name])[:80]!r}; allowed: {allowed}"
                raise SpaceError(name, problem)
            picked.append(layer.by_id[choices[name]])
        return Architecture(self.skeleton, tuple(picked))

    def sample(self, rng: random.Random) -> Architecture:
        """One architecture, every layer's candidate drawn uniformly."""
        return Architecture(
            self.skeleton, tuple(rng.choice(layer.candidates) for layer in self.layers)
        )

    def cost(self, architecture: Architecture | Mapping[str, str]) -> Cost:
        """MAdds and params of an architecture, given whole or in its flat form."""
        if not isinstance(architecture, Architecture):
            architecture = self.architecture(architecture)
        return architecture.cost

    def _extreme(self, pick: Any, entry: int) -> int:
        inner = sum(pick(cost[entry] for cost in layer.costs) for layer in self.layers)
        return int(inner + fixed_cost(self.skeleton)[entry])

    def _mean(self, entry: int) -> int | float:
        inner = sum(
            Fraction(sum(cost[entry] for cost in layer.costs), len(layer.costs))
            for layer in self.layers
        )
        mean = inner + fixed_cost(self.skeleton)[entry]
        return int(mean) if Fraction(mean).denominator == 1 else float(mean)


def network_cost(skeleton: Skeleton, cells: Iterable[Cell]) -> Cost:
    """Cost of the network with these cells, one per layer, stem and head included."""
    pairs = zip(skeleton.shapes, cells, strict=True)
    inner = total(cell_cost(cell, shape) for shape, cell in pairs)
    return fixed_cost(skeleton).plus(inner)
