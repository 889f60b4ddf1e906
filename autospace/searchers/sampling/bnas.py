"""BNAS (Chen et al., AAAI 2020) and CP-NAS (Zhuo et al., IJCAI 2020): the worst drop out.

A search goes through stages. In each, networks are drawn without replacement: every candidate of a
layer is in one of K of them, where K is the number that is left in the widest layers. Each network
is trained for a while with the shared weights, and its validation accuracy counts for all of its
candidates. The likelihood of a candidate is

    s <- memory s + softmax over the layer (mean accuracy of the networks that have it)

In a binary space, CP-NAS looks at the real-valued parent of a network too: its accuracy counts as
A + parent_weight (A_P - A).

At the end of a stage the candidates with the smallest likelihood drop out, until each layer has one
left. Where nodes are chosen, operations of edges drop out, and then edges: see
`autospace.searchers.sampling.dropping`, whose alternatives are meant by candidates here.

With `half`, as in the version of 2020, only the half that is next to drop out is drawn; all others
get the mean of the largest and of the mean softmax of that half. That version orders the candidates
by a parameter that it trains in between; here the likelihood itself orders them, and so the first
stage draws all.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from autospace.networks.binary import has_signs
from autospace.runs.settings import Section
from autospace.searchers.fitness_search import OneShot, SharedFitness
from autospace.searchers.method import Ranked
from autospace.searchers.problem import SearchProblem
from autospace.searchers.sampling.dropping import Levels, Stage, stages
from autospace.seeds import stream
from autospace.spaces.choices import Choice, SearchError
from autospace.supernets.path_training import make_path_training
from autospace.supernets.shared_weights import PathEvaluator, SharedWeights

Rows = list[list[float]]
"""Per layer, one number for each candidate, or each of the alternatives."""
ROUNDS: Final = 3
DROPPED: Final = -1e9
SPARED: Final = -1e6
"""Scores of alternatives that are not to be drawn: no number of draws comes near them."""


class BnasOptions(Section):
    """How many networks are drawn, and what is kept of earlier stages."""

    rounds: (
        Annotated[int, Field(ge=1, le=10_000, description="draws per candidate and stage")] | None
    ) = None
    draws: Literal["all", "half"] = "all"
    memory: Annotated[float, Field(ge=0, le=1, description="share of earlier likelihoods")] = 0.5
    parent_weight: Annotated[
        float, Field(ge=0, le=100, description="of the real-valued parent; binary spaces only")
    ] = 0.0
    warm_up: Annotated[float, Field(ge=0, lt=1, description="share of steps; nothing drops")] = 0.25


def softmax(values: Sequence[float]) -> list[float]:
    """exp(v) / sum exp(v)."""
    powers = [math.exp(value - max(values)) for value in values]
    return [power / sum(powers) for power in powers]


class Moment(NamedTuple):
    """The network that a step belongs to, counted from 0, and the step's place in its time.

    The first network is -1: the warm-up. The last one is what is left.
    """

    network: int
    place: int
    length: int


class Bnas(OneShot):
    """Trains and evaluates networks in turn; what is left of the candidates is the result."""

    even = False
    options_type: ClassVar[type[Section]] = BnasOptions
    remembered: ClassVar[tuple[str, ...]] = (
        "left",
        "likelihoods",
        "path",
        "_sums",
        "_counts",
        "_parent",
        "_parent_training",
        "_parents",
    )

    def __init__(self, problem: SearchProblem, options: BnasOptions) -> None:
        super().__init__(problem, options)
        self._options = options
        self._levels = Levels.of(problem.choices.space.layers)
        asked = problem.config.evaluations
        self._half = options.draws == "half"
        rounds = options.rounds or (ROUNDS if asked is None else None)
        # One evaluation is for what is left at the end.
        most = 10**9 if asked is None else asked - 1
        levels = self._levels
        self.stages = stages(levels.highest, rounds, most, self._half, levels.draws)
        self._ends = list(accumulate(stage.draws for stage in self.stages))
        self.left = [list(range(len(each.names))) for each in levels.layers]
        """Per layer, the alternatives that have not dropped out."""
        self.likelihoods: Rows = _zeros(levels)
        self.path: Choice | None = None
        """The latest network."""
        self._sums, self._counts = _zeros(levels), _zeros(levels)
        self._parent = self._made_parent(problem) if options.parent_weight else None
        self._parent_training = make_path_training(self._parent) if self._parent else None
        self._parents = PathEvaluator(problem, self._parent.supernet) if self._parent else None

    @staticmethod
    def _made_parent(problem: SearchProblem) -> SharedWeights:
        """The weights of the networks without signs, which are trained on the same batches.

        Raises:
            SearchError: there are no images, or no binary operations.
        """
        parent = SharedWeights(problem, stage="real")
        if not has_signs(parent.supernet):
            why = "the space has no binary operations, so that no network has a real-valued parent"
            raise SearchError(f"options.parent_weight: {why}; allowed: 0")
        return parent

    @property
    def notes(self) -> list[str]:
        """Whether several candidates drop out at a time, or some without having been drawn."""
        if not self.stages:
            return []
        highest, first = self._levels.highest, self.stages[0]
        needed, dropped = self._levels.draws(highest, False), highest - first.level
        if first.draws >= needed and dropped == 1:
            return []
        allowed = f"{self.problem.config.evaluations} evaluations"
        chosen = self.problem.choices.space.layers[0].shape.node is not None
        if first.draws < needed:
            most = max(len(each.names) for each in self._levels.layers)
            what = f"{most} {'operations of a node' if chosen else 'candidates'}"
            problem = f"are too few to draw each of {what} once"
            return [f"{allowed} {problem}: those not drawn drop out first"]
        what = "operations an edge" if chosen else "candidates a layer"
        return [f"with {allowed}, {dropped} {what} drop out at a time"]

    @property
    def networks(self) -> int:
        """The number of networks that are trained and evaluated before the last one."""
        return sum(stage.draws for stage in self.stages)

    @property
    def search_steps(self) -> int:
        """One per network, which evaluates it, and one for what is left."""
        return self.networks + 1

    @property
    def most_evaluations(self) -> int:
        """Those of all stages, and the last one: the settings do not say how many."""
        return self.search_steps

    @property
    def most_networks(self) -> int:
        """All evaluations: a later stage evaluates networks of an earlier one again."""
        return self.most_evaluations

    @property
    def _trained(self) -> int:
        return self.fitness.steps if self.supernets else 0

    @property
    def _warm(self) -> int:
        # Where no network is drawn, nothing else would be trained.
        return round(self._options.warm_up * self._trained) if self.networks else self._trained

    def _start(self, network: int) -> int:
        """The first step of a network; the steps of the weights are divided evenly."""
        later = self._trained - self._warm
        return self._warm + later * network // max(1, self.networks) + network

    def moment(self, index: int) -> Moment:
        """Where a step belongs."""
        if index < self._warm:
            return Moment(-1, index, self._warm)
        network = bisect_right(range(self.networks + 1), index, key=self._start) - 1
        start = self._start(network)
        following = self._start(network + 1) if network < self.networks else start + 1
        return Moment(network, index - start, following - start)

    def step(self, index: int) -> None:
        """Draws a network, trains it, or evaluates it; after the last of a stage, some drop out."""
        network, place, length = self.moment(index)
        if network < 0:
            self.fitness.train(index)
            if self._parent_training is not None:
                self._parent_training.step(index)
            return
        if place == 0:
            self.path = self.drawn(network)
        path = self._current
        if place < length - 1:
            # The steps before this one that evaluated a network trained nothing.
            for weights in (self.weights, self._parent):
                if weights is not None:
                    weights.step(index - network, [weights.loss_of(path)])
        else:
            self.search(network)

    def search(self, index: int) -> None:
        """Evaluates a network, and ends its stage if it is the last one of it."""
        path = self._current
        accuracy = self._with_parent(path, self._measured(path))
        for layer, (candidate, each) in enumerate(zip(path, self._levels.layers, strict=True)):
            for part in each.parts[candidate]:
                self._sums[layer][part] += accuracy
                self._counts[layer][part] += 1
        if index + 1 in self._ends:
            self._end(self.stages[self._ends.index(index + 1)])

    def drawn(self, network: int) -> Choice:
        """A network of the alternatives that were drawn least in this stage, ties at random.

        Without limits that is drawing without replacement. Under limits it is the allowed network
        with the fewest draws of its alternatives together. The last network is what is left, of
        several the one of the largest likelihoods.
        """
        rng = stream(self.problem.seed, "bnas", network)
        scores = []
        for each, worth in zip(self._levels.layers, self._worths(network), strict=True):
            sums = [math.fsum(worth[part] for part in parts) for parts in each.parts]
            scores.append([value + rng.random() / (2 * len(self.left)) for value in sums])
        return self.problem.choices.best(scores)

    def _worths(self, network: int) -> Rows:
        """What each alternative adds to the score of a network that has it."""
        if network == self.networks:
            # Likelihoods are far apart compared with what decides ties.
            return [
                [1e6 * value if place in left else DROPPED for place, value in enumerate(row)]
                for row, left in zip(self.likelihoods, self.left, strict=True)
            ]
        return [
            [
                -count if place in eligible else SPARED if place in left else DROPPED
                for place, count in enumerate(row)
            ]
            for row, eligible, left in zip(self._counts, self._eligible(), self.left, strict=True)
        ]

    def _eligible(self) -> list[list[int]]:
        """Per layer what a stage draws: all, or what has the smallest likelihood of its rivals."""
        first = not any(map(any, self.likelihoods))
        if not self._half or first:
            return self.left
        rows = zip(self._levels.layers, self.left, self.likelihoods, strict=True)
        return [
            [
                each
                for rivals in alternatives.rivals(left)
                for each in sorted(rivals, key=scores.__getitem__)[: -(-len(rivals) // 2)]
            ]
            for alternatives, left, scores in rows
        ]

    @property
    def _current(self) -> Choice:
        if self.path is None:
            raise SearchError("no network has been drawn")
        return self.path

    def _measured(self, path: Choice) -> float:
        """The accuracy of a path with the weights as they are now."""
        new = path not in self.fitness.known
        self._forget(path)
        accuracy = self.fitness.accuracy(path)
        self.evaluations += new
        self.offer(Ranked(path, accuracy, accuracy))
        return accuracy

    def _with_parent(self, path: Choice, accuracy: float) -> float:
        """A + beta (A_P - A), with the accuracy A_P of the real-valued parent (CP-NAS)."""
        if self._parents is None:
            return accuracy
        self._parents.known.clear()
        return accuracy + self._options.parent_weight * (self._parents.accuracy(path) - accuracy)

    def _forget(self, path: Choice) -> None:
        """Forgets the accuracy that a path had with earlier weights."""
        if isinstance(self.fitness, SharedFitness):
            self.fitness.evaluator.known.pop(path, None)

    def _end(self, stage: Stage) -> None:
        """Joins what a stage measured to the likelihoods, and lets alternatives drop out."""
        rows = zip(self._levels.layers, self._eligible(), self.likelihoods, strict=True)
        for layer, (alternatives, eligible, row) in enumerate(rows):
            for rivals in alternatives.rivals(self.left[layer]):
                for each, share in self._shares(layer, rivals, eligible).items():
                    row[each] = self._options.memory * row[each] + share
        for layer in range(len(self.left)):
            self._thin_out(layer, stage.level)
        self._sums, self._counts = _zeros(self._levels), _zeros(self._levels)

    def _thin_out(self, layer: int, level: int) -> None:
        """Lets the least likely alternatives of a layer drop out, as far as a level says."""
        alternatives, row = self._levels.layers[layer], self.likelihoods[layer]
        while True:
            left = self.left[layer]
            on_edges = alternatives.between_edges(left)
            most = self._levels.edges_at(level) if on_edges else self._levels.operations_at(level)
            most = max(most, alternatives.kept) if on_edges else most
            crowded = [rivals for rivals in alternatives.rivals(left) if len(rivals) > most]
            order = sorted((each for rivals in crowded for each in rivals), key=row.__getitem__)
            smaller = ([other for other in left if other != each] for each in order)
            kept = next((each for each in smaller if self._possible(layer, each)), None)
            if kept is None:
                return
            self.left[layer] = kept
            if alternatives.between_edges(kept) and not on_edges:
                # How likely an operation of an edge was says nothing of the edge.
                for each in kept:
                    row[each] = 0.0

    def _possible(self, layer: int, kept: Sequence[int]) -> bool:
        """Whether some allowed architecture has only alternatives that are left."""
        left = [*self.left[:layer], kept, *self.left[layer + 1 :]]
        pairs = zip(self._levels.layers, left, strict=True)
        candidates = [alternatives.whole(row) for alternatives, row in pairs]
        choices = self.problem.choices
        if not all(candidates) or not (choices.limits or choices.staged):
            return all(candidates)
        try:
            choices.restricted(candidates)
        except SearchError:
            return False
        return True

    def _shares(
        self, layer: int, rivals: Sequence[int], eligible: Sequence[int]
    ) -> dict[int, float]:
        """The softmax of the rivals that were drawn; what the others get instead."""
        sums, counts = self._sums[layer], self._counts[layer]
        drawn = [each for each in eligible if each in rivals and counts[each]]
        found = dict(zip(drawn, softmax([sums[i] / counts[i] for i in drawn]), strict=True))
        # Those that the limits kept from being drawn, or a lack of evaluations, drop out first.
        shares = dict.fromkeys(rivals, 0.0) | found
        if found:
            spared = (max(found.values()) + sum(found.values()) / len(found)) / 2
            shares |= {each: spared for each in rivals if each not in eligible}
        return shares

    def ranked(self) -> list[Ranked]:
        """What is left, then all other networks by accuracy."""
        found = super().ranked()
        last = self._current
        value = self.fitness.known[last]
        return [Ranked(last, value, value), *(each for each in found if each.path != last)]

    def rated(self, paths: Sequence[Choice]) -> list[float]:
        """The accuracy of paths with the weights at the end."""
        for path in paths:
            self._forget(path)
        return super().rated(paths)

    def details(self) -> dict[str, Any]:
        """Per layer the likelihood that each candidate had when it dropped out, or at the end.

        Where nodes are chosen, that of each operation with its source; of the last operation of an
        edge, that of the edge.
        """
        layers = zip(
            self.problem.choices.space.layers, self._levels.layers, self.likelihoods, strict=True
        )
        return {
            "likelihoods": {
                layer.shape.name: dict(zip(alternatives.names, row, strict=True))
                for layer, alternatives, row in layers
            }
        }


def _zeros(levels: Levels) -> Rows:
    return [[0.0] * len(each.names) for each in levels.layers]
