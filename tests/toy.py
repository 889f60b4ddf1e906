"""A second cell family, as unlike the first as it can be: a chain of functions, without a graph.

A chain applies its functions one after the other. Each but `keep`, the identity, has a square
matrix of weights, as in a recurrent cell. So chains without their `keep` are equal exactly if
they compute the same, and a chain costs channels² per function that is left.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from autospace.evolution.plan import Plan
from autospace.spaces import Candidate, Cost, Layer, LayerShape, Space, SpaceError
from autospace.spaces.cells.family import Family
from tests.tiny import SKELETON, operators


@dataclass(frozen=True, slots=True)
class Chain:
    kind: ClassVar[str] = "toy"
    operations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChainPrior:
    kind: ClassVar[str] = "toy"
    vocabulary: tuple[str, ...] = ("keep", "tanh", "relu")
    length: int = 4


class ChainDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    functions: Annotated[list[Literal["keep", "tanh", "relu"]], Field(max_length=9)]


def used(cell: Chain) -> tuple[str, ...]:
    return tuple(name for name in cell.operations if name != "keep")


class Chains:
    kind: str = "toy"
    binary: bool = False
    operations: Collection[str] = ("keep", "tanh", "relu")
    built_in: Sequence[str] = ("keep", "tanh", "relu")
    usual: Sequence[str] = built_in
    skipped = Chain(())
    legend: str = ""
    document: type[BaseModel] = ChainDocument

    def least(self, shape: LayerShape) -> Chain:
        return self.skipped if shape.shortcut else Chain(("tanh",))

    def check_operation(self, name: str) -> None:
        if name not in self.operations:
            raise SpaceError("", f'unknown operation "{name}"; allowed: keep, tanh, relu')

    def check(self, cell: Chain, shape: LayerShape) -> None:
        if not used(cell) and not shape.shortcut:
            raise SpaceError("functions", "none, and the layer has no shortcut")

    def key(self, cell: Chain, shape: LayerShape) -> str:
        return f"{'.'.join(used(cell))}/{shape.stride}"

    def canonical(self, cell: Chain) -> Chain:
        return Chain(used(cell))

    def cost(self, cell: Chain, shape: LayerShape) -> Cost:
        weights = len(used(cell)) * shape.in_channels**2
        return Cost(weights, weights)

    def prior(self, operations: Iterable[str], like: Iterable[Chain] = ()) -> ChainPrior:
        return ChainPrior(
            tuple(operations), max((len(each.operations) for each in like), default=4)
        )

    def random_cell(self, prior: ChainPrior, rng: Random) -> Chain:
        while True:
            cell = Chain(tuple(rng.choice(prior.vocabulary) for _ in range(prior.length)))
            if used(cell):
                return cell

    def mutate(self, cell: Chain, prior: ChainPrior, rng: Random) -> Chain:
        padded = [*cell.operations, *["keep"] * (prior.length - len(cell.operations))]
        while True:
            changed = list(padded)
            changed[rng.randrange(len(changed))] = rng.choice(prior.vocabulary)
            if changed != padded and used(Chain(tuple(changed))):
                return Chain(tuple(changed))

    def crossover(self, first: Chain, second: Chain, rng: Random) -> Chain:
        cut = rng.randrange(1 + min(len(first.operations), len(second.operations)))
        child = Chain((*first.operations[:cut], *second.operations[cut:]))
        return child if used(child) else first

    def at(self, cell: Chain, shape: LayerShape) -> Chain:
        return cell

    def joined(self, cells: Sequence[Chain], shape: LayerShape) -> Chain:
        raise SpaceError("kind", '"toy" has no edges')

    def notation(self, cell: Chain) -> str:
        return ">".join(used(cell)) or "nothing"

    def differences(self, cell: Chain, reference: Chain) -> list[str]:
        here, there = self.notation(cell), self.notation(reference)
        return [] if here == there else [f"{there} → {here}"]

    def used(self, cell: Chain) -> Sequence[str]:
        return used(cell)

    def encoded(self, cell: Chain) -> dict[str, Any]:
        return {"functions": list(cell.operations)}

    def decoded(self, document: ChainDocument) -> Chain:
        return Chain(tuple(document.functions))


TOY: Family[Chain, ChainPrior] = Chains()
LENGTH = 3


def chains() -> list[Any]:
    """All chains of at most `LENGTH` functions that compute something, each function once."""
    names = [tuple(product(("tanh", "relu"), repeat=n)) for n in range(1, LENGTH + 1)]
    return [Chain(each) for row in names for each in row]


def toy_space() -> Space:
    """All short chains at both layers of a small skeleton."""
    layers = tuple(
        Layer(shape, tuple(Candidate(f"c{i}", cell, float(i)) for i, cell in enumerate(chains())))
        for shape in SKELETON.shapes
    )
    reference = {shape.name: "c0" for shape in SKELETON.shapes}
    return Space("toys", SKELETON, ("keep", "tanh", "relu"), layers, reference)


def toy_plan(**changes: Any) -> Plan:
    """Evolution of chains of four functions, from the chain of one."""
    given: dict[str, Any] = {
        "skeleton": SKELETON,
        "references": (("one", Chain(("relu",))),),
        "operators": operators(crossover=0.5, prior=ChainPrior()),
        "seed": 0,
        "generations": 8,
        "candidates": 3,
        "keep": 2,
    }
    return Plan(**(given | changes))
