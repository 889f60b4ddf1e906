"""Weights that fewer architectures share: a supernet that is split, and split again, in training.

Every so often each supernet is cut in two at the layer in which candidates fall most clearly into
two groups; each half holds one of the groups, and all candidates of the other layers. Both inherit
the weights, with momentum and schedule, and are trained on in turns, so that all together take as
many steps as one supernet would.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from autospace.runs.state import State
from autospace.searchers.cuts import Cut, best_cut
from autospace.searchers.fitness import SharedFitness
from autospace.searchers.similarity import Similarity
from autospace.seeds import stream
from autospace.spaces.choices import Path, SearchError
from autospace.supernets.problem import Problem
from autospace.supernets.shared_weights import SharedWeights

Kept = tuple[Path, ...]
"""Per layer, the candidates that a supernet holds, in order."""


class Part:
    """A supernet over some candidates of each layer.

    Raises:
        SearchError: none of its architectures is within the limits.
    """

    def __init__(self, problem: Problem, kept: Kept) -> None:
        self.kept = kept
        choices = problem.choices.restricted(kept)
        self.fitness = SharedFitness(replace(problem, choices=choices))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Candidates per layer."""
        return tuple(map(len, self.kept))

    def holds(self, path: Path) -> bool:
        """Whether an architecture of the whole space is one of this part."""
        return all(index in row for index, row in zip(path, self.kept, strict=True))

    def accuracy(self, path: Path) -> float:
        """Of an architecture of the whole space that this part holds."""
        places = (row.index(index) for index, row in zip(path, self.kept, strict=True))
        return self.fitness.accuracy(tuple(places))


class SplitFitness:
    """Judges each architecture with the weights of the part that holds it.

    Args:
        problem: over the whole space.
        splits: how often all supernets are cut in two.
        warm_up: share of the training steps before the first cut; the rest is shared out evenly.
        repeats: paths and batches over which similarities are averaged.
        similarity: of the candidates of a layer.
    """

    default_evaluations = SharedFitness.default_evaluations

    def __init__(
        self, problem: Problem, splits: int, warm_up: float, repeats: int, similarity: Similarity
    ) -> None:
        self._problem, self._repeats, self._similarity = problem, repeats, similarity
        self.steps = problem.config.supernet.steps
        warm = max(1, round(warm_up * self.steps))
        self._cut_before = {warm + (self.steps - warm) * i // splits for i in range(splits)}
        everything = tuple(tuple(range(size)) for size in problem.choices.sizes)
        self.parts = [Part(problem, everything)]
        self._known: dict[Path, float] = {}

    @property
    def known(self) -> Mapping[Path, float]:
        """What has been judged, in that order."""
        return self._known

    @property
    def supernets(self) -> list[SharedWeights]:
        """One a part."""
        return [part.fitness.weights for part in self.parts]

    def train(self, index: int) -> None:
        """Cuts, if it is time to; then a step of the part whose turn it is."""
        if index in self._cut_before:
            self.parts = [half for part in self.parts for half in self._halves(part, index)]
        self.parts[index % len(self.parts)].fitness.train(index)

    def accuracy(self, path: Path) -> float:
        """With the weights of the part that holds the path."""
        if path not in self._known:
            part = next(part for part in self.parts if part.holds(path))
            self._known[path] = part.accuracy(path)
        return self._known[path]

    def cut(self, part: Part, layer: int, index: int) -> Cut:
        """The best cut of a layer's candidates, by their mean similarity before step `index`."""
        weights = part.fitness.weights
        choices = weights.problem.choices
        size = choices.sizes[layer]
        total = torch.zeros(size, size, dtype=torch.float64)
        for repeat in range(self._repeats):
            rest = choices.draw(stream(self._problem.seed, "split", index, layer, repeat))
            paths = [(*rest[:layer], k, *rest[layer + 1 :]) for k in range(size)]
            total += self._similarity(weights, layer, paths, index + repeat).double().cpu()
        return best_cut(total / self._repeats)

    def _halves(self, part: Part, index: int) -> list[Part]:
        """Two parts, without one that the limits leave empty; the same if it cannot be cut."""
        sizes = self._problem.choices.sizes
        whole = [layer for layer, row in enumerate(part.kept) if 1 < len(row) == sizes[layer]]
        if not whole:
            return [part]
        cuts = {layer: self.cut(part, layer, index) for layer in whole}
        layer = max(whole, key=lambda each: cuts[each].score)
        halves = []
        for group in cuts[layer].groups:
            kept = (*part.kept[:layer], group, *part.kept[layer + 1 :])
            try:
                half = Part(self._problem, kept)
            except SearchError:
                continue
            rows = [group if k == layer else range(size) for k, size in enumerate(part.sizes)]
            half.fitness.weights.inherit(part.fitness.weights, rows)
            halves.append(half)
        return halves

    def described(self) -> list[dict[str, Any]]:
        """Of each part, the candidates of the layers that were cut."""
        layers = self._problem.choices.space.layers
        return [
            {
                layer.shape.name: [layer.candidates[index].id for index in row]
                for layer, row in zip(layers, part.kept, strict=True)
                if len(row) < len(layer.candidates)
            }
            for part in self.parts
        ]

    def state(self) -> State:
        """The parts, their weights, and what has been judged."""
        plain = {
            "kept": [[list(row) for row in part.kept] for part in self.parts],
            "known": [[list(path), value] for path, value in self._known.items()],
        }
        parts = (part.fitness.state().under(f"part{i}") for i, part in enumerate(self.parts))
        return State(plain=plain).joined(*parts)

    def restore(self, state: State) -> None:
        """Takes up all that."""
        self._known = {tuple(path): value for path, value in state.plain["known"]}
        kept = [tuple(map(tuple, rows)) for rows in state.plain["kept"]]
        self.parts = [Part(self._problem, rows) for rows in kept]
        for index, part in enumerate(self.parts):
            part.fitness.restore(state.part(f"part{index}"))
