"""The individuals of evolution, all that a run has scored, and its state between two rounds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from autospace.evolution.predictor import (
    Change,
    Estimate,
    Measured,
    Predictor,
    fit,
)
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.operations import Cost
from autospace.spaces.features import features
from autospace.spaces.space import Origin

DIVERGED: Final = -1e6
"""Fitness of a cell whose score is not finite because its training diverged."""


@dataclass(frozen=True, slots=True)
class Member:
    """A cell of a layer's population.

    Attributes:
        key: canonical key at this layer.
        cost: of the cell at this layer.
        fitness: larger is better, 0 is as good as the reference; None before it is scored.
        scores: how many times it was scored; `fitness` is their moving average.
        confirmed: how many of these times were in confirming rounds.
    """

    id: str
    cell: Cell
    key: str
    cost: Cost
    origin: Origin
    fitness: float | None = None
    scores: int = 0
    confirmed: int = 0

    @property
    def value(self) -> float:
        """The fitness of a member that has one."""
        if self.fitness is None:
            raise ValueError(f"{self.id} has not been scored")
        return self.fitness


@dataclass(frozen=True, slots=True)
class Drawn:
    """How many cells were drawn to find the offspring of a round, and why some were rejected.

    Attributes:
        screened: cells that the predictor rejected in favour of others.
    """

    total: int = 0
    duplicates: int = 0
    over_budget: int = 0
    screened: int = 0

    @property
    def feasible_rate(self) -> float:
        """Share of the drawn cells within the layer's share of the budget."""
        return 1.0 if not self.total else 1 - self.over_budget / self.total


@dataclass(frozen=True)
class Archive:
    """Every cell that a run has scored, and what a predictor makes of all the scores.

    Attributes:
        write_back: weight of a newer score in the moving average.
        tied: so many consecutive layers share one population, and one estimate per cell.
        baseline: id of the cell that fitness is relative to.
        rounds: per round and layer, the members that were scored, with their new fitness.
        repeats: per round, the repeat that the scorer was asked for.
    """

    write_back: float
    tied: int
    baseline: str
    rounds: tuple[tuple[tuple[Member, ...], ...], ...] = ()
    repeats: tuple[int, ...] = ()

    def after(self, scored: tuple[tuple[Member, ...], ...], repeat: int) -> "Archive":
        """The archive with one more round."""
        rounds, repeats = (*self.rounds, scored), (*self.repeats, repeat)
        return replace(self, rounds=rounds, repeats=repeats)

    def members(self, layer: int) -> dict[str, Member]:
        """Every scored cell of a layer by its id, as it was scored last."""
        return {each.id: each for scored in self.rounds for each in scored[layer]}

    @cached_property
    def predictor(self) -> Predictor:
        """Fitted to all scores; it has one layer for every group of tied layers."""
        layers = len(self.rounds[0]) if self.rounds else 0
        return fit([self._measured(layer) for layer in range(0, layers, self.tied)])

    @cached_property
    def _estimates(self) -> list[dict[str, Estimate]]:
        """Per group of layers, the estimate of every cell whose scores are finite."""
        found = []
        for group in range(len(self.predictor.layers)):
            scores = self._scores(group * self.tied)
            known = self.predictor.known(group) or ()
            found.append(dict(zip(scores, known, strict=False)))
            if _is_yardstick(scores.get(self.baseline)):
                # Its fitness is 0 by definition: it stays as it is.
                found[-1].pop(self.baseline, None)
        return found

    def estimate(self, layer: int, identity: str) -> Estimate | None:
        """The true fitness of a scored cell, as far as it is known."""
        groups = self._estimates
        return groups[layer // self.tied].get(identity) if groups else None

    def believed(self, layer: int, members: Iterable[Member]) -> list[Member]:
        """The members with the posterior mean of their fitness in place of the measured one."""
        pairs = ((each, self.estimate(layer, each.id)) for each in members)
        return [each if f is None else replace(each, fitness=f.mean) for each, f in pairs]

    def uncertainty(self, layer: int, member: Member) -> float | None:
        """The root of the expected squared error of the fitness that a member has."""
        found = self.estimate(layer, member.id)
        return None if found is None else math.hypot(found.sd, member.value - found.mean)

    def promise(self, layer: int, cells: Sequence[tuple[Cell, Cost]]) -> list[float] | None:
        """What the fitness of unscored cells may be, with luck: mean plus standard deviation.

        None as long as nothing can be predicted.
        """
        if not self.rounds:
            return None
        table = [features(cell, cost) for cell, cost in cells]
        found = self.predictor.unscored(layer // self.tied, table)
        return None if found is None else [each.mean + each.sd for each in found]

    def _scores(self, layer: int) -> dict[str, "_Scores"]:
        """All scores of every cell of a layer, but for cells whose training diverged."""
        found: dict[str, _Scores] = {}
        for scored, repeat in zip(self.rounds, self.repeats, strict=True):
            for each in scored[layer]:
                before, shares = found.get(each.id), {str(repeat): 1.0}
                found[each.id] = (
                    before.then(each, shares, self.write_back)
                    if before
                    else _Scores(each, shares, each.value > DIVERGED / 2)
                )
        return {name: each for name, each in found.items() if each.sound}

    def _measured(self, layer: int) -> Measured:
        scores = self._scores(layer)
        yardstick = _is_yardstick(scores.get(self.baseline))
        if yardstick:
            repeats = {name for each in scores.values() for name in each.shares}
            scores[self.baseline] = scores[self.baseline].in_all(sorted(repeats))
        first = str(self.repeats[0])
        return Measured(
            tuple(features(each.member.cell, each.member.cost) for each in scores.values()),
            tuple(each.member.value for each in scores.values()),
            tuple(each.worth for each in scores.values()),
            tuple(_without(first, each.shares) for each in scores.values()),
            tuple(
                change._replace(shares=_without(first, change.shares))
                for each in scores.values()
                for change in each.changes
            ),
            list(scores).index(self.baseline) if yardstick else None,
        )


@dataclass(frozen=True, slots=True)
class _Scores:
    """The scores of one cell.

    Attributes:
        member: after its last score.
        shares: of each repeat in the mean of the scores.
        sound: whether no score stands for a training that diverged.
        worth: how many equal scores the mean is worth.
        changes: from the mean of the earlier scores to the next one.
    """

    member: Member
    shares: dict[str, float]
    sound: bool = True
    worth: float = 1.0
    changes: tuple[Change, ...] = ()

    def then(self, member: Member, shares: dict[str, float], write_back: float) -> "_Scores":
        """The scores with one more, which has this weight in the moving average."""
        names = {*self.shares, *shares}
        old = {name: self.shares.get(name, 0.0) for name in names}
        new = {name: shares.get(name, 0.0) for name in names}
        change = Change(
            (member.value - self.member.value) / write_back,
            1 + 1 / self.worth,
            {name: new[name] - old[name] for name in names},
        )
        mean = {name: (1 - write_back) * old[name] + write_back * new[name] for name in names}
        # The inverse of the sum of the squared weights of all scores.
        squares = (1 - write_back) ** 2 / self.worth + write_back**2
        # A finite score lifts the mean after a diverged one, so that the mean does not tell.
        sound = self.sound and self.member.value + change.value > DIVERGED / 2
        return _Scores(member, mean, sound, 1 / squares, (*self.changes, change))

    def in_all(self, repeats: Sequence[str]) -> "_Scores":
        """The same scores, all 0, in each of these repeats."""
        found = _Scores(self.member, {repeats[0]: 1.0})
        for count, name in enumerate(repeats[1:], start=2):
            found = found.then(self.member, {name: 1.0}, 1 / count)
        return found


def _is_yardstick(scores: _Scores | None) -> bool:
    """Whether a baseline has no measured fitness: it is what others are measured against."""
    return scores is not None and not any(
        [scores.member.value, *(each.value for each in scores.changes)]
    )


def _without(name: str, shares: Mapping[str, float]) -> dict[str, float]:
    return {each: share for each, share in shares.items() if each != name}


@dataclass(frozen=True, slots=True)
class LayerState:
    """One layer: its population, the best cells it ever had, its references, all keys scored."""

    members: tuple[Member, ...] = ()
    hall: tuple[Member, ...] = ()
    references: tuple[Member, ...] = ()
    seen: frozenset[str] = frozenset()
    born: int = 0


@dataclass(frozen=True, slots=True)
class LayerRecord:
    """Statistics of a layer after a round."""

    best: float
    mean: float
    spread: float
    drawn: Drawn
    scored: int


@dataclass(frozen=True, slots=True)
class Round:
    """The record of one round, for all layers."""

    index: int
    phase: str
    layers: tuple[LayerRecord, ...]

    @property
    def drawn(self) -> Drawn:
        """The draws of all layers, added up."""
        drawn = [layer.drawn for layer in self.layers]
        return Drawn(
            sum(each.total for each in drawn),
            sum(each.duplicates for each in drawn),
            sum(each.over_budget for each in drawn),
            sum(each.screened for each in drawn),
        )

    @property
    def best(self) -> float:
        """Mean over the layers of the best fitness."""
        return sum(layer.best for layer in self.layers) / len(self.layers)

    @property
    def mean(self) -> float:
        """Mean over the layers of the population's mean fitness."""
        return sum(layer.mean for layer in self.layers) / len(self.layers)


@dataclass(frozen=True, slots=True)
class EvolutionState:
    """Everything that a run needs to resume after a round: a pure value, written as JSON.

    Attributes:
        still: for how many generations the best cells of all layers have stayed the same.
        scored: per layer, the members that the last round scored; the event log keeps them, the
            checkpoint does not.
        archive: all that was scored, if the plan predicts fitness; it is made of the event log.
    """

    round: int
    layers: tuple[LayerState, ...]
    history: tuple[Round, ...] = field(default=())
    still: int = 0
    scored: tuple[tuple[Member, ...], ...] = field(default=(), compare=False)
    archive: Archive | None = field(default=None, compare=False)

    @property
    def evaluations(self) -> int:
        """Cells scored so far, over all layers."""
        return sum(layer.scored for record in self.history for layer in record.layers)
