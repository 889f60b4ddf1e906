"""Selection and variation with DEAP; the only module that imports it.

DEAP draws from the module `random`. `lent` gives it our stream for the length of a block and puts
the caller's state back, so a run neither depends on nor disturbs the global generator.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deap import base, tools

from autospace.evolution.population import Drawn, LayerRecord, Member
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import Family, Prior, family_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """How parents are chosen and varied, and who survives.

    Attributes:
        population: members that survive a round, per layer.
        tournament: members that compete for each place among the parents.
        crossover: chance that an offspring has two parents before it is mutated.
        ageing: the youngest survive, not the fittest (Real et al., AAAI 2019).
        objectives: `fitness` alone, or `fitness` and `madds` for NSGA-II (Deb et al., 2002).
            Where cells are binary, OPs count, which elsewhere are MAdds.
    """

    population: int
    tournament: int
    crossover: float
    ageing: bool
    objectives: tuple[str, ...]
    prior: Prior

    @property
    def family(self) -> Family[Any, Any]:
        """The family of the cells."""
        return family_of(self.prior)


class _Maximise(base.Fitness):
    weights = (1.0,)


class _MaximiseAtLowCost(base.Fitness):
    weights = (1.0, -1.0)


class _Entrant:
    """What DEAP selects where a fitness is all there is: its place in a list."""

    def __init__(self, index: int, value: float) -> None:
        self.index = index
        self.fitness = _Maximise((value,))


class _Individual:
    """What DEAP selects: a member with a DEAP fitness."""

    def __init__(self, member: Member, *, costly: bool) -> None:
        self.member = member
        self.fitness = _MaximiseAtLowCost() if costly else _Maximise()
        self.fitness.values = (member.value, member.cost.ops) if costly else (member.value,)


@contextmanager
def lent(rng: random.Random) -> Iterator[None]:
    """Lends a generator to the module `random`, and advances it by the draws."""
    outer = random.getstate()
    random.setstate(rng.getstate())
    try:
        yield
    finally:
        rng.setstate(random.getstate())
        random.setstate(outer)


def make_toolbox(operators: Operators) -> base.Toolbox:
    """DEAP's toolbox with our operators: `select`, `mate`, `mutate`, `replace`."""
    toolbox = base.Toolbox()
    toolbox.register("select", tools.selTournament, tournsize=operators.tournament)
    toolbox.register("mate", operators.family.crossover)
    toolbox.register("mutate", operators.family.mutate, prior=operators.prior)
    if len(operators.objectives) > 1:
        toolbox.register("replace", tools.selNSGA2, k=operators.population)
    elif operators.ageing:
        toolbox.register("replace", _youngest, k=operators.population)
    else:
        toolbox.register("replace", tools.selBest, k=operators.population)
    return toolbox


def offspring(
    members: Sequence[Member], operators: Operators, rng: random.Random
) -> tuple[Cell, tuple[str, ...], str]:
    """One child: its cell, its parents' ids, and `mutation` or `crossover`."""
    toolbox = make_toolbox(operators)
    costly = len(operators.objectives) > 1
    individuals = [_Individual(member, costly=costly) for member in members]
    crossed = len(members) > 1 and rng.random() < operators.crossover
    with lent(rng):
        parents = [each.member for each in toolbox.select(individuals, 2 if crossed else 1)]
    if crossed and parents[0].id != parents[1].id:
        child = toolbox.mate(parents[0].cell, parents[1].cell, rng=rng)
        identities = tuple(parent.id for parent in parents)
        if child not in {parent.cell for parent in parents}:
            return child, identities, "crossover"
        return toolbox.mutate(child, rng=rng), identities, "crossover"
    return toolbox.mutate(parents[0].cell, rng=rng), (parents[0].id,), "mutation"


def tournament(fitness: Sequence[float], size: int, rng: random.Random) -> int:
    """The index of the fittest among members drawn with replacement (Real et al., AAAI 2019)."""
    entrants = [_Entrant(index, value) for index, value in enumerate(fitness)]
    with lent(rng):
        (winner,) = tools.selTournament(entrants, 1, tournsize=size)
    index: int = winner.index
    return index


def survivors(members: Sequence[Member], operators: Operators) -> tuple[Member, ...]:
    """The members that stay, in the order in which they were given."""
    toolbox = make_toolbox(operators)
    costly = len(operators.objectives) > 1
    individuals = [_Individual(member, costly=costly) for member in members]
    kept = {each.member.id for each in toolbox.replace(individuals)}
    return tuple(member for member in members if member.id in kept)


def best_ever(hall: Sequence[Member], scored: Sequence[Member], size: int) -> tuple[Member, ...]:
    """DEAP's hall of fame over a layer's members: the fittest so far, no two with one key.

    A member that was scored again replaces its earlier self. Ties go to the older member.
    """
    again = {member.key for member in scored}
    entries = [member for member in hall if member.key not in again] + list(scored)
    fame = tools.HallOfFame(size, similar=lambda a, b: a.member.key == b.member.key)
    fame.update([_Individual(member, costly=False) for member in sorted(entries, key=_rank)])
    return tuple(sorted((each.member for each in fame), key=_rank))


def record(members: Sequence[Member], drawn: Drawn, scored: int) -> LayerRecord:
    """DEAP's statistics of a layer's population."""
    statistics = tools.Statistics(key=lambda member: member.value)
    statistics.register("best", max)
    statistics.register("mean", _mean)
    statistics.register("spread", _spread)
    compiled = statistics.compile(members)
    return LayerRecord(compiled["best"], compiled["mean"], compiled["spread"], drawn, scored)


def _rank(member: Member) -> tuple[float, str]:
    return (-member.value, member.id)


def _youngest(individuals: list[Any], k: int) -> list[Any]:
    return individuals[-k:]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _spread(values: Sequence[float]) -> float:
    middle = _mean(values)
    return float(_mean([(value - middle) ** 2 for value in values]) ** 0.5)
