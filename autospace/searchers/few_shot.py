"""Few-shot searches: several supernets for architectures that agree, then evolution over all.

A supernet is split during training, and its parts are split again, so that fewer architectures
share each weight (few-shot NAS, Zhao et al., ICML 2021). Every so often each supernet is split in
two at the layer whose candidates form the clearest two groups; each half has one of the groups, and
all candidates of the other layers. Both halves inherit the weights, with momentum and schedule, and
are trained in turns, so all of them together take as many steps as one supernet would.

Candidates of a layer are compared by their effect on the rest of the network. Each candidate is put
into one and the same random path, on the same images. GM-NAS (Hu et al., ICLR 2022) compares the
gradients of the shared weights. NAS-LID (He et al., AAAI 2023) compares the local intrinsic
dimensions of the features, which are estimated from distances to neighbours and need no backward
pass.

The score of a split is the mean similarity of the pairs within the two groups, minus that of the
pairs across them. The total over all pairs is the same for every split. Among splits of equal sizes
the score is therefore largest where the similarity within groups is, which is the criterion of
NAS-LID; with sums instead of means, the sizes of the groups would decide. (The released code of
NAS-LID takes the largest similarity across groups, as GM-NAS does with distances.)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Annotated, Any, ClassVar, Final, NamedTuple

import torch
from pydantic import Field

from autospace.data.batches import Batch
from autospace.runs.settings import Section
from autospace.runs.state import Stateful
from autospace.searchers.fitness_search import SharedFitness
from autospace.searchers.problem import SearchProblem
from autospace.searchers.sampling.spos import Spos, SposOptions
from autospace.seeds import stream
from autospace.spaces.choices import Choice, SearchError
from autospace.supernets.shared_weights import SharedWeights


def local_dimension(points: torch.Tensor, neighbours: int) -> torch.Tensor:
    """Mean over the points of the maximum-likelihood estimate from their nearest neighbours.

    With distances r_1 <= ... <= r_k of a point to its neighbours, that is
    -k / sum_i log(r_i / r_k) (Amsaleg et al., KDD 2015). It is too low where the dimension is high
    for the number of points. Points whose neighbours all coincide with them count as 0.

    Args:
        points: [N, ...], flattened per point; N at least 3.
        neighbours: k; at most N - 1 are used.

    Returns:
        A scalar on the device of the points: a look at it is a wait for a GPU.

    Raises:
        ValueError: there are fewer than 3 points.
    """
    flat = points.flatten(1).double()
    count = min(neighbours, len(flat) - 1)
    if count < 2:
        raise ValueError(f"{len(flat)} points; allowed: at least 3")
    # The smallest distance of each point is that to itself.
    nearest = torch.cdist(flat, flat).topk(count + 1, largest=False, sorted=True).values[:, 1:]
    farthest = nearest[:, -1:]
    smallest = torch.finfo(nearest.dtype).tiny
    logs = (nearest / farthest.clamp_min(smallest)).clamp(1e-12, 1).log().sum(1)
    # All neighbours at one distance: the highest dimension that can be estimated from them.
    found = -count / logs.clamp_max(-1e-3)
    return found.where(farthest[:, 0] > 0, 0.0).mean()


Similarity = Callable[[SharedWeights, int, Sequence[Choice], int], torch.Tensor]
"""(weights, layer, a path per candidate of the layer, number of the batch) -> similarity [K, K]."""


def gradient_matching(
    weights: SharedWeights, layer: int, paths: Sequence[Choice], number: int
) -> torch.Tensor:
    """Cosines of the gradients of all weights on the path but the layer's own (GM-NAS, ICLR 2022).

    Takes a backward pass per candidate.
    """
    batch = weights.problem.training.batch(number)
    weights.supernet.train()
    rows = torch.stack([_gradient(weights, layer, path, batch) for path in paths])
    unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return torch.mm(unit, unit.T)


def _gradient(weights: SharedWeights, layer: int, path: Choice, batch: Batch) -> torch.Tensor:
    supernet = weights.supernet
    cells = [
        modules[index]
        for place, (modules, index) in enumerate(zip(supernet.choices, path, strict=True))
        if place != layer
    ]
    shared = [p for module in (supernet.network, *cells) for p in module.parameters()]
    loss = weights.loss_of(path)(*batch)
    found = torch.autograd.grad(loss, shared, allow_unused=True)
    pairs = zip(found, shared, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def dimension_matching(neighbours: int) -> Similarity:
    """1 / (1 + distance) of profiles of local intrinsic dimensions (NAS-LID, AAAI 2023).

    A profile holds the dimensions of the features of 128 images after each layer from the
    candidate's own on; nothing earlier depends on the candidate. Takes a forward pass per
    candidate. The cosine, the other similarity of the released code, is no use here: profiles
    of the last layer have one entry, and all entries are positive.
    """

    @torch.no_grad()
    def similarity(
        weights: SharedWeights, layer: int, paths: Sequence[Choice], number: int
    ) -> torch.Tensor:
        images, _ = weights.problem.validation.batch(number)
        supernet = weights.supernet.train()
        first = supernet.first_layer(layer)
        profiles = []
        for path in paths:
            features = supernet.features(images, path)[first:-1]
            profile = [local_dimension(each, neighbours) for each in features]
            profiles.append(torch.stack(profile))
        rows = torch.stack(profiles)
        return 1 / (1 + torch.cdist(rows, rows))

    return similarity


MOST_EXACT: Final = 14


class Cut(NamedTuple):
    """Two groups of indices, both in order, the first with index 0, and their score."""

    score: float
    groups: tuple[Choice, Choice]


def best_cut(similarity: torch.Tensor) -> Cut:
    """The cut with the largest score, among all 2^(K-1) - 1 for up to `MOST_EXACT` candidates.

    For more candidates it is the best of K local optima: each starts from one candidate against all
    others, and moves single candidates to the other group while that raises the score.

    Args:
        similarity: [K, K], symmetric, K at least 2; the diagonal does not count.
    """
    size = len(similarity)
    if size < 2:
        raise ValueError(f"{size} candidates cannot be split into two groups")
    matrix = similarity.double().cpu()
    if size <= MOST_EXACT:
        rows = [row for row in product((0, 1), repeat=size - 1) if any(row)]
        sides = torch.tensor([(0, *row) for row in rows], dtype=torch.float64)
    else:
        sides = torch.stack([_climbed(matrix, start) for start in torch.eye(size).double()])
    scores = cut_scores(matrix, sides)
    best = int(scores.argmax())
    side = sides[best]
    groups = [
        tuple(torch.nonzero(side == mark).flatten().tolist()) for mark in (side[0], 1 - side[0])
    ]
    return Cut(float(scores[best]), (groups[0], groups[1]))


def cut_scores(similarity: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
    """Scores [M] of cuts, given as rows of 0 and 1 [M, K]; minus infinity for an empty group.

    If no group has a pair, as with two candidates, the mean within groups counts as 1.
    """
    size = len(similarity)
    ones = sides.sum(1)
    pairs_across = ones * (size - ones)
    pairs_within = size * (size - 1) / 2 - pairs_across
    across = ((sides @ similarity) * (1 - sides)).sum(1)
    within = similarity.triu(1).sum() - across
    mean_within = torch.where(pairs_within > 0, within / pairs_within.clamp_min(1), 1.0)
    scores = mean_within - across / pairs_across.clamp_min(1)
    return scores.masked_fill(pairs_across == 0, -torch.inf)


def _climbed(similarity: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """The cut after repeated moves of the candidate that raises the score most."""
    score = float(cut_scores(similarity, side[None]))
    while True:
        moved = (side - torch.eye(len(side), dtype=side.dtype)).abs()
        scores = cut_scores(similarity, moved)
        best = int(scores.argmax())
        if float(scores[best]) <= score:
            return side
        side, score = moved[best], float(scores[best])


Kept = tuple[Choice, ...]
"""Per layer, the candidates that a supernet holds, in order."""


class Part(Stateful):
    """A supernet over some candidates of each layer.

    Raises:
        SearchError: none of its architectures is within the limits.
    """

    remembered = ("fitness",)

    def __init__(self, problem: SearchProblem, kept: Kept) -> None:
        self.kept = kept
        choices = problem.choices.restricted(kept)
        self.fitness = SharedFitness(replace(problem, choices=choices))

    @property
    def sizes(self) -> tuple[int, ...]:
        """Candidates per layer."""
        return tuple(map(len, self.kept))

    def holds(self, path: Choice) -> bool:
        """Whether an architecture of the whole space is one of this part."""
        return all(index in row for index, row in zip(path, self.kept, strict=True))

    def accuracy(self, path: Choice) -> float:
        """Accuracy of an architecture of the whole space that this part holds."""
        places = (row.index(index) for index, row in zip(path, self.kept, strict=True))
        return self.fitness.accuracy(tuple(places))


class SplitFitness(Stateful):
    """Evaluates each architecture with the weights of the part that holds it.

    Args:
        problem: over the whole space.
        splits: number of times that all supernets are cut in two.
        warm_up: share of the training steps before the first cut; the rest is shared out evenly.
        repeats: paths and batches over which similarities are averaged.
        similarity: of the candidates of a layer.
    """

    remembered = ("kept", "parts", "_known")
    default_evaluations = SharedFitness.default_evaluations

    def __init__(
        self,
        problem: SearchProblem,
        splits: int,
        warm_up: float,
        repeats: int,
        similarity: Similarity,
    ) -> None:
        self._problem, self._repeats, self._similarity = problem, repeats, similarity
        self.steps = problem.config.supernet.steps
        warm = max(1, round(warm_up * self.steps))
        self._cut_before = {warm + (self.steps - warm) * i // splits for i in range(splits)}
        everything = tuple(tuple(range(size)) for size in problem.choices.sizes)
        self.parts = [Part(problem, everything)]
        self._known: dict[Choice, float] = {}

    @property
    def kept(self) -> list[Kept]:
        """The candidates of each part; setting it creates parts with new weights."""
        return [part.kept for part in self.parts]

    @kept.setter
    def kept(self, kept: list[Kept]) -> None:
        self.parts = [Part(self._problem, rows) for rows in kept]

    @property
    def known(self) -> Mapping[Choice, float]:
        """The accuracy of every architecture evaluated so far, in the order of evaluation."""
        return self._known

    @property
    def supernets(self) -> list[SharedWeights]:
        """One per part."""
        return [part.fitness.weights for part in self.parts]

    def train(self, index: int) -> None:
        """Cuts the parts if a cut is due, then trains one of them, in turn, for one step."""
        if index in self._cut_before:
            self.parts = [half for part in self.parts for half in self._halves(part, index)]
        self.parts[index % len(self.parts)].fitness.train(index)

    def accuracy(self, path: Choice) -> float:
        """Accuracy with the weights of the part that holds the path."""
        if path not in self._known:
            part = next(part for part in self.parts if part.holds(path))
            self._known[path] = part.accuracy(path)
        return self._known[path]

    def cut(self, part: Part, layer: int, index: int) -> Cut:
        """The best cut of a layer's candidates, by their mean similarity before step `index`."""
        weights = part.fitness.weights
        choices = weights.problem.choices
        size = choices.sizes[layer]
        total = torch.zeros(size, size, dtype=torch.float64, device=weights.problem.device)
        for repeat in range(self._repeats):
            rest = choices.draw(stream(self._problem.seed, "split", index, layer, repeat))
            paths = [(*rest[:layer], k, *rest[layer + 1 :]) for k in range(size)]
            total += self._similarity(weights, layer, paths, index + repeat).double()
        return best_cut(total / self._repeats)

    def _halves(self, part: Part, index: int) -> list[Part]:
        """The halves that are not empty under the limits; the part itself if it cannot be cut."""
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
        """For each part, the candidates of the layers that were cut."""
        layers = self._problem.choices.space.layers
        return [
            {
                layer.shape.name: [layer.candidates[index].id for index in row]
                for layer, row in zip(layers, part.kept, strict=True)
                if len(row) < len(layer.candidates)
            }
            for part in self.parts
        ]


class GmOptions(SposOptions):
    """When and how often supernets are split; evolution works as with `spos`."""

    splits: Annotated[int, Field(ge=1, le=6, description="each doubles the supernets")] = 2
    warm_up: Annotated[float, Field(gt=0, lt=1, description="share of steps; unsplit")] = 0.4
    repeats: Annotated[int, Field(ge=1, le=1000, description="paths and batches")] = 8


class NasLidOptions(GmOptions):
    """As for `gm`, with fewer repeats: dimensions vary less between batches than gradients do."""

    repeats: Annotated[int, Field(ge=1, le=1000, description="paths and batches")] = 4
    neighbours: Annotated[int, Field(ge=2, le=127, description="among 128 images")] = 20


class Gm(Spos):
    """The supernet is split by gradient matching."""

    even = False
    options_type: ClassVar[type[Section]] = GmOptions

    def __init__(
        self, problem: SearchProblem, options: GmOptions, similarity: Similarity = gradient_matching
    ) -> None:
        self.split = SplitFitness(
            problem, options.splits, options.warm_up, options.repeats, similarity
        )
        super().__init__(problem, options, self.split)

    def details(self) -> dict[str, Any]:
        """The candidates of each supernet."""
        return {"supernets": self.split.described()}


class NasLid(Gm):
    """The supernet is split by local intrinsic dimensions."""

    options_type = NasLidOptions

    def __init__(self, problem: SearchProblem, options: NasLidOptions) -> None:
        super().__init__(problem, options, dimension_matching(options.neighbours))
