"""Petridish (Hu et al., NeurIPS 2019): networks grow by candidates that learn next to their cells.

The first network is trained alone. Each round takes a network near the lower convex hull of cost
and error as the parent, and inserts the other candidates of all its layers. These learn without any
effect on the network while it is trained further. Then the candidates with the largest alphas
replace its cells. This child is trained, evaluated and added to the gallery, which holds all
trained networks with their weights and parents. The result is the Pareto front of the gallery.

Inserted candidates learn as in section 3 of the paper. With sg(x), which stops the gradient, and
sf(x) = x - sg(x), which is 0 but passes the gradient on, the output y of a layer's active cell
becomes

    y + sf(sum_k alpha_k (c_k(sg(x)) - sg(y)))

The value is y, and all gradients of the path's own weights stay the same; c_k gets alpha_k dL/dy,
and alpha_k gets <dL/dy, c_k(x) - y>, the change of the loss if c_k began to replace the cell. The
paper adds c_k(sg(x)) without - sg(y), since its selected candidates are added to the layer; an
architecture of a space has one cell per layer, so here a candidate replaces the cell.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from torch import nn

from autospace.networks.cells import CellModule
from autospace.networks.fused import added
from autospace.runs.settings import Section
from autospace.runs.state import Stateful
from autospace.searchers.gradient.search import Alphas, listed
from autospace.searchers.method import Ranked, SearchMethod, stated_work
from autospace.searchers.problem import SearchProblem
from autospace.seeds import stream
from autospace.spaces.cells.family import summable_work, work
from autospace.spaces.choices import Choice, SearchError
from autospace.supernets.shared_weights import Loss, PathEvaluator, SharedWeights
from autospace.supernets.supernet import Supernet


def path_with_insertions(
    supernet: Supernet, images: torch.Tensor, path: Choice, alphas: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Exactly the logits of a path; their gradient reaches all candidates and their alphas.

    Args:
        supernet: a graph of all its candidates is kept.
        images: [N, C, H, W].
        path: the active candidate of each layer.
        alphas: a tensor [K] a layer; the active candidate's entry gets no gradient.
    """
    layers = zip(supernet.choices, path, alphas, strict=True)
    return supernet.logits(images, [partial(_with_insertions, *layer) for layer in layers])


def _with_insertions(
    modules: Sequence[CellModule], active: int, row: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    y: torch.Tensor = modules[active](x)
    still, parent = x.detach(), y.detach()
    inserted = [
        row[index] * (module(still) - parent)
        for index, module in enumerate(modules)
        if index != active
    ]
    if not inserted:
        return y
    total = added(inserted)
    return y + (total - total.detach())


class HullPoint(NamedTuple):
    """Cost and error rate of a network; lower is better for both."""

    cost: float
    error: float


def lower_hull(points: Sequence[HullPoint]) -> list[HullPoint]:
    """The corners of the lower convex hull, the cheapest first, with decreasing error."""
    corners: list[HullPoint] = []
    for point in sorted(set(points)):
        if corners and point.error >= corners[-1].error:
            continue
        while len(corners) > 1 and not _turns_up(corners[-2], corners[-1], point):
            corners.pop()
        corners.append(point)
    return corners


def hull_error(corners: Sequence[HullPoint], cost: float) -> float:
    """The error of the hull at a cost, which is at least that of the cheapest corner."""
    before = [corner for corner in corners if corner.cost <= cost]
    after = corners[len(before) :]
    left = before[-1]
    if not after:
        return left.error
    share = (cost - left.cost) / (after[0].cost - left.cost)
    return left.error + share * (after[0].error - left.error)


def near_hull(points: Sequence[HullPoint], tolerance: float) -> list[int]:
    """Indices of the points whose error is at most (1 + tolerance) times that of the hull."""
    corners = lower_hull(points)
    return [
        index
        for index, point in enumerate(points)
        # A corner is on the hull, even if rounding moves it.
        if point in corners or point.error <= (1 + tolerance) * hull_error(corners, point.cost)
    ]


def _turns_up(first: HullPoint, second: HullPoint, third: HullPoint) -> bool:
    """Whether the line through the points becomes flatter at the second."""
    run, rise = second.cost - first.cost, second.error - first.error
    return run * (third.error - first.error) > rise * (third.cost - first.cost)


Weights = dict[str, torch.Tensor]


@dataclass
class GalleryMember:
    """A trained network.

    Attributes:
        accuracy: on validation images, from 0 to 1.
        work: MAdds of the whole network, or OPs where some are binary.
        parent: index of its parent in the gallery; None for the first.
        grown: how often it has been a parent.
        weights: by their names in the supernet, those of the path only.
    """

    path: Choice
    accuracy: float
    work: int
    parent: int | None
    weights: Weights
    grown: int = 0


@dataclass
class Gallery(Stateful):
    """All members in the order in which they were trained."""

    remembered: ClassVar[tuple[str, ...]] = ("members",)
    records: ClassVar[tuple[type, ...]] = (GalleryMember,)

    members: list[GalleryMember] = field(default_factory=list)

    @property
    def front(self) -> list[GalleryMember]:
        """The Pareto front of accuracy and work, the most accurate network first."""
        ordered = sorted(self.members, key=lambda each: (each.work, -each.accuracy))
        kept: list[GalleryMember] = []
        for member in ordered:
            if not kept or member.accuracy > kept[-1].accuracy:
                kept.append(member)
        return kept[::-1]

    def knows(self, path: Choice) -> bool:
        """Whether a network has been trained."""
        return any(member.path == path for member in self.members)

    def parent(self, rng: random.Random, tolerance: float) -> int:
        """A random member near the hull of work and error; prefers cheap and seldom chosen ones.

        The probabilities are proportional to the weights of archai's Petridish: 1 / (1 + s) for the
        number of times chosen plus the same for the work, both scaled to [0, 1] over the eligible.
        """
        points = [HullPoint(member.work, 1 - member.accuracy) for member in self.members]
        eligible = near_hull(points, tolerance)
        times = _scaled([float(self.members[index].grown) for index in eligible])
        costs = _scaled([points[index].cost for index in eligible])
        weights = [1 / (1 + a) + 1 / (1 + b) for a, b in zip(times, costs, strict=True)]
        chosen = rng.choices(eligible, weights)[0]
        self.members[chosen].grown += 1
        return chosen


def _scaled(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]


class PetridishOptions(Section):
    """How often and how much networks grow."""

    start: Literal["cheapest", "reference"] = "cheapest"
    warm_up: Annotated[float, Field(gt=0, lt=1, description="share of steps; the first")] = 0.2
    growths: Annotated[int, Field(ge=1, le=1000, description="networks grown")] = 16
    insertion: Annotated[
        float, Field(gt=0, lt=1, description="share of a growth's steps with all candidates")
    ] = 0.5
    changed: Annotated[float, Field(gt=0, le=1, description="share of layers per growth")] = 0.25
    sparsity: Annotated[float, Field(ge=0, le=100, description="weight of sum |alpha|")] = 1e-3
    alpha_travel: Annotated[float, Field(gt=0, le=1000, description="as with darts")] = 1.0
    tolerance: Annotated[float, Field(ge=0, le=10, description="relative, above the hull")] = 0.025


class Moment(NamedTuple):
    """The growth that a step belongs to (-1 for the first network), and its place in it."""

    growth: int
    place: int
    length: int


class Petridish(SearchMethod):
    """Networks of the gallery own the weights of their path, and share all others."""

    remembered = ("path", "_parent", "weights", "alphas", "gallery")
    options_type: ClassVar[type[Section]] = PetridishOptions
    lasting = False

    def __init__(self, problem: SearchProblem, options: PetridishOptions) -> None:
        super().__init__(problem, options)
        self._options = options
        self.weights = SharedWeights(problem)
        self.evaluator = PathEvaluator(problem, self.weights.supernet)
        self.gallery = Gallery()
        total = problem.config.supernet.steps
        self._warm = min(max(1, round(options.warm_up * total)), total)
        asked = problem.config.evaluations or options.growths + 1
        self.growths = min(options.growths, asked - 1, (total - self._warm) // 2)
        self.path = self._first()
        self._parent: int | None = None
        self.alphas = self._new_alphas(1)

    @property
    def supernets(self) -> list[SharedWeights]:
        """The one that holds the latest network."""
        return [self.weights]

    @property
    def steps(self) -> int:
        """Steps of the weights; fewer only if no further network may be evaluated."""
        return self.problem.config.supernet.steps if self.growths else self._warm

    def moment(self, index: int) -> Moment:
        """The growth of step `index`, and its place in it."""
        if index < self._warm:
            return Moment(-1, index, self._warm)
        left = self.problem.config.supernet.steps - self._warm
        starts = [self._warm + left * each // self.growths for each in range(self.growths + 1)]
        growth = next(i for i in range(self.growths) if index < starts[i + 1])
        return Moment(growth, index - starts[growth], starts[growth + 1] - starts[growth])

    def step(self, index: int) -> None:
        """A step of the network's weights, with or without insertions; the last one evaluates."""
        growth, place, length = self.moment(index)
        inserting = max(1, round(self._options.insertion * length)) if growth >= 0 else 0
        inserting = min(inserting, length - 1)
        if growth >= 0 and place == 0:
            self._begin(growth, inserting)
        if place < inserting:
            self._insertion_step(index, place, length)
        else:
            if growth >= 0 and place == inserting:
                self.path = self.selected(growth)
            self._trained(index, self.weights.loss_of(self.path), place, length)
        if place == length - 1:
            self._hang()

    def _first(self) -> Choice:
        choices = self.problem.choices
        if self._options.start == "cheapest":
            space = choices.space
            costs = [
                [-float(summable_work(space.kind, cost)) for cost in each.costs]
                for each in space.layers
            ]
            return choices.best(costs)
        reference = choices.space.reference
        if not reference:
            raise SearchError("options.start: the space has no reference; allowed: cheapest")
        path = choices.path(choices.space.architecture(reference))
        if not choices.allows(path):
            raise SearchError("options.start: the reference exceeds a limit; allowed: cheapest")
        return path

    def _new_alphas(self, steps: int) -> Alphas:
        alphas = Alphas(self.problem, self._options.alpha_travel, steps, (0.5, 0.999))
        for value in alphas.values:
            value.detach().fill_(1 / len(value))
        return alphas

    def _begin(self, growth: int, inserting: int) -> None:
        """Chooses a parent and loads its weights."""
        rng = stream(self.problem.seed, "petridish parent", growth)
        self._parent = self.gallery.parent(rng, self._options.tolerance)
        parent = self.gallery.members[self._parent]
        self.path = parent.path
        self.weights.supernet.load_state_dict(parent.weights, strict=False)
        self.weights.optimizer.state.clear()  # momentum of another network
        self.alphas = self._new_alphas(inserting)

    def _trained(
        self,
        index: int,
        loss: Loss,
        place: int,
        length: int,
        groups: Sequence[Sequence[nn.Parameter]] = (),
    ) -> None:
        # Each network has its own schedule, so that early ones are trained as well as late ones.
        rate = replace(self.weights.recipe, steps=length).rate(place)
        self.weights.step(index, [loss], rate, groups=groups)

    def _insertion_step(self, index: int, place: int, length: int) -> None:
        """Trains the parent, all candidates and alphas on the same loss."""
        values = self.alphas.values

        def loss(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            logits = path_with_insertions(self.weights.supernet, images, self.path, values)
            penalty = torch.stack([value.abs().sum() for value in values]).sum()
            return self.weights.task.loss(logits, labels) + self._options.sparsity * penalty

        for value in values:
            value.grad = None
        weights = list(self.weights.supernet.named_parameters())
        # The candidates' gradients are clipped apart, or else they would shorten the parent's step.
        groups = [
            [value for name, value in weights if name.startswith(self._on_path) == own]
            for own in (True, False)
        ]
        self._trained(index, loss, place, length, groups)
        self.alphas.step([value.grad for value in values])
        for value in values:
            # A candidate with a negative alpha would be trained to increase the loss.
            value.detach().clamp_(min=0)

    def selected(self, growth: int) -> Choice:
        """The parent with the cells of the largest alphas in place of its own.

        Replacements that exceed a limit are skipped. If all lead to a known network, the result is
        a random neighbour of the parent.
        """
        choices = self.problem.choices
        rows = listed(self.alphas.values)
        best = [
            max((value, k) for k, value in enumerate(row) if k != self.path[layer])
            if len(row) > 1
            else (0.0, self.path[layer])
            for layer, row in enumerate(rows)
        ]
        order = sorted(range(len(best)), key=lambda layer: -best[layer][0])
        order = [layer for layer in order if best[layer][0] > 0]
        count = max(1, round(self._options.changed * len(best)))
        for skipped in range(len(order)):
            child, changes = self.path, 0
            for layer in order[skipped:]:
                grown = (*child[:layer], best[layer][1], *child[layer + 1 :])
                if changes < count and choices.allows(grown):
                    child, changes = grown, changes + 1
            if not self.gallery.knows(child):
                return child
        rng = stream(self.problem.seed, "petridish child", growth)
        near = (choices.mutated(self.path, rng, 0.0) for _ in range(50))
        others = (path for path in near if not self.gallery.knows(path))
        known = [member.path for member in self.gallery.members]
        return next(others, choices.draw_new(rng, known))

    def _hang(self) -> None:
        """Evaluates the network and adds it to the gallery."""
        self.evaluator.known.clear()
        accuracy = self.evaluator.accuracy(self.path)
        self.evaluations += not self.gallery.knows(self.path)
        self.offer(Ranked(self.path, accuracy, accuracy))
        choices = self.problem.choices
        done = work(choices.space.kind, choices.cost(self.path))
        member = GalleryMember(self.path, accuracy, done, self._parent, self._own_weights())
        self.gallery.members.append(member)

    def _own_weights(self) -> Weights:
        return {
            name: value.clone()
            for name, value in self.weights.supernet.state_dict().items()
            if name.startswith(self._on_path)
        }

    @property
    def _on_path(self) -> tuple[str, ...]:
        """How the names of the network's weights begin."""
        cells = (f"candidates.{layer}.{index}." for layer, index in enumerate(self.path))
        return "network.", *cells

    def ranked(self) -> list[Ranked]:
        """The front of the gallery, the most accurate first."""
        front = self.gallery.front
        return [Ranked(each.path, each.accuracy, each.accuracy) for each in front]

    def details(self) -> dict[str, Any]:
        """All networks in the order of growth, with the index of each one's parent."""
        choices = self.problem.choices
        return {
            "gallery": [
                {
                    "architecture": choices.architecture(each.path).choices,
                    "accuracy": each.accuracy,
                    **stated_work(choices, each.path),
                    "parent": each.parent,
                }
                for each in self.gallery.members
            ]
        }
