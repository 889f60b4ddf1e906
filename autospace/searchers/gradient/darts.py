"""DARTS (Liu et al., ICLR 2019): a softmax mixture of all candidates, and the guards it needs.

Adam minimises the validation loss over alpha: with the current weights (first order), or with the
weights after their next step, through which the gradient passes (second order). Each guard is an
option: alpha is fixed at first; alpha stops when candidates without weights lead too many layers
(DARTS+, Liang et al., 2019); the architecture is selected by perturbation instead of by alpha
(DARTS-PT, Wang et al., ICLR 2021).

The size of alpha is a poor measure of the value of a candidate to the supernet. Selection by
perturbation therefore goes through the layers in random order. It removes each candidate from the
mixture in turn, keeps the one whose absence raises the validation loss most, and drops all others
of the layer.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from autospace.runs.state import Stateful
from autospace.searchers.gradient.search import (
    CostOptions,
    ExpectedCost,
    GradientOptions,
    GradientSearch,
    Rows,
    SoftmaxOptions,
)
from autospace.searchers.problem import SearchProblem
from autospace.seeds import stream
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.darts_cell import DartsCell
from autospace.spaces.cells.dense_cell import DenseCell
from autospace.spaces.cells.operations import OPERATIONS
from autospace.spaces.choices import Choice, SearchError
from autospace.supernets.shared_weights import Loss, SharedWeights
from autospace.supernets.supernet import Supernet, fix_scale, frozen, snapshot

SMALL = 0.01
Scalar = Callable[[], torch.Tensor]


def unrolled_gradients(
    supernet: Supernet,
    optimizer: torch.optim.SGD,
    rate: float,
    alphas: Sequence[torch.Tensor],
    training: Scalar,
    validation: Scalar,
) -> list[torch.Tensor]:
    """Gradient of validation(w', alpha) with w' = w - rate * step(d training(w, alpha) / dw).

    DARTS (Liu et al., ICLR 2019), equations 7 and 8: the second-order term is a finite difference
    along v = d validation / dw', with epsilon = 0.01 / |v|. The weights w' are those after the
    optimiser's next step, including momentum and decay, but without clipping. Afterwards weights
    and running statistics have exactly their old values.

    Args:
        supernet: whose weights both losses depend on.
        optimizer: of those weights; gives momentum and decay.
        rate: learning rate of the step.
        alphas: the gradient is with respect to these.
        training: the loss on a training batch, differentiable in weights and alphas.
        validation: the loss on a validation batch, likewise.
    """
    with snapshot(supernet):
        reach = _step(optimizer, rate, training)
        weights = [p for p in supernet.parameters() if p.requires_grad]
        found = torch.autograd.grad(validation(), [*alphas, *weights], allow_unused=True)
    direct = [torch.zeros_like(a) if g is None else g for a, g in zip(alphas, found, strict=False)]
    pairs = zip(weights, found[len(alphas) :], strict=True)
    moves = [(weight, v) for weight, v in pairs if v is not None]
    if not moves:
        return direct
    norm = nn.utils.get_total_norm([v for _, v in moves]).double()
    # Not looked at, because a look is a wait for a GPU: where v is 0, nothing moves by any epsilon.
    # A tensor over a tensor: torch divides a number by a tensor less exactly.
    epsilon = torch.full_like(norm, SMALL) / torch.where(norm == 0, 1.0, norm)
    with snapshot(supernet), frozen(supernet):
        plus = _moved_gradients(moves, epsilon, alphas, training)
        minus = _moved_gradients(moves, -2 * epsilon, alphas, training)
    return [
        first - reach * (up - down) / (2 * epsilon)
        for first, up, down in zip(direct, plus, minus, strict=True)
    ]


def _step(optimizer: torch.optim.SGD, rate: float, training: Scalar) -> float:
    """Does the optimiser's next step without changing its state; returns -dw'/dgradient."""
    groups = optimizer.param_groups
    weights = [p for group in groups for p in group["params"] if p.requires_grad]
    gradients = torch.autograd.grad(training(), weights, allow_unused=True)
    by_weight = dict(zip(weights, gradients, strict=True))
    reach = rate
    for group in groups:
        momentum, nesterov = group["momentum"], group["nesterov"]
        reach = rate * (1 + momentum) if nesterov else rate
        for weight in group["params"]:
            gradient = by_weight.get(weight)
            if gradient is None:
                continue
            decayed = gradient + group["weight_decay"] * weight.detach()
            buffer = optimizer.state[weight].get("momentum_buffer")
            average = decayed if buffer is None else momentum * buffer + decayed
            step = decayed + momentum * average if nesterov else average
            weight.detach().sub_(step, alpha=rate)
    return reach


def _moved_gradients(
    moves: Sequence[tuple[torch.Tensor, torch.Tensor]],
    distance: torch.Tensor,
    alphas: Sequence[torch.Tensor],
    training: Scalar,
) -> list[torch.Tensor]:
    """Moves the weights along v, and returns the gradient of the training loss there."""
    with torch.no_grad():
        for weight, v in moves:
            weight += distance * v
    return list(torch.autograd.grad(training(), alphas))


# Larger than any loss, so that decided layers do not change.
DROPPED = -1e9
Mixes = list[torch.Tensor]


class Perturbation(Stateful):
    """Selects an architecture by perturbation, one layer at a time, within the limits."""

    remembered = ("_kept", "rises")

    def __init__(self, weights: SharedWeights) -> None:
        problem = weights.problem
        sizes = problem.choices.sizes
        self._problem, self._weights = problem, weights
        self._order = stream(problem.seed, "perturbation").sample(range(len(sizes)), len(sizes))
        self._kept: list[int] = []
        self.rises: Rows = [[0.0] * size for size in sizes]
        """Per candidate, the rise of the loss without it; 0 before its layer is decided."""

    @property
    def path(self) -> Choice | None:
        """The decided architecture; None before all layers are decided."""
        if len(self._kept) < len(self._order):
            return None
        return tuple(index for _, index in sorted(zip(self._order, self._kept, strict=True)))

    def mixes(self, probabilities: Sequence[torch.Tensor]) -> Mixes:
        """The probabilities, one-hot in the layers that have been decided."""
        found = [row.detach() for row in probabilities]
        for layer, index in zip(self._order, self._kept, strict=False):
            found[layer] = torch.zeros_like(found[layer])
            found[layer][index].fill_(1)
        return found

    @torch.no_grad()
    def decide(self, probabilities: Sequence[torch.Tensor]) -> None:
        """Decides the next layer."""
        layer = self._order[len(self._kept)]
        mixes = self.mixes(probabilities)
        whole, *without = self._losses(layer, mixes)
        self.rises[layer] = [loss - whole for loss in without]
        scores = [[0.0] * size for size in self._problem.choices.sizes]
        scores[layer] = self.rises[layer]
        for decided, kept in zip(self._order, self._kept, strict=False):
            scores[decided] = [DROPPED] * len(scores[decided])
            scores[decided][kept] = 0.0
        self._kept.append(self._problem.choices.best(scores)[layer])

    def _losses(self, layer: int, mixes: Mixes) -> list[float]:
        """Mean validation loss of a mixture, then without each candidate of one of its choices.

        Batch norm uses the statistics of each batch. Layers ahead of the choice run once for all.
        """
        supernet = self._weights.supernet
        supernet.train()
        rows = [mixes[layer], *(_dropped(mixes[layer], k) for k in range(len(mixes[layer])))]
        mixtures = [supernet.mixed([*mixes[:layer], row, *mixes[layer + 1 :]]) for row in rows]
        first, losses = supernet.first_layer(layer), []
        for step in range(self._problem.supernet.validation_batches):
            images, labels = self._problem.validation.batch(step)
            x = supernet.enter(images)
            ahead = supernet.through(x, mixtures[0][:first])
            x = ahead[-1] if ahead else x
            passes = (supernet.through(x, cells[first:], first)[-1] for cells in mixtures)
            found = [self._weights.task.loss(supernet.leave(each), labels) for each in passes]
            losses.append(torch.stack(found))
        return torch.stack(losses).mean(0).tolist()


def _dropped(mix: torch.Tensor, index: int) -> torch.Tensor:
    """The weights of a mixture without one candidate; all others stay the same."""
    left = mix.clone()
    left[index].fill_(0)
    return left


class DartsOptions(GradientOptions, CostOptions, SoftmaxOptions):
    """First order and selection by alpha are the defaults."""

    order: Literal[1, 2] = 1
    weight_free_limit: (
        Annotated[float, Field(ge=0, le=1, description="share of layers; absent for none")] | None
    ) = None
    selection: Literal["alpha", "perturbation"] = "alpha"
    tuning: Annotated[int, Field(ge=0, le=100_000, description="steps per layer selected")] = 20


class Darts(GradientSearch):
    """Trains all candidates at once: memory and time grow with their number."""

    remembered = ("_stopped", "_selection")
    options_type = DartsOptions

    def __init__(self, problem: SearchProblem, options: DartsOptions) -> None:
        perturbs = options.selection == "perturbation"
        layers = len(problem.choices.sizes)
        super().__init__(problem, options, layers * options.tuning if perturbs else 0)
        if perturbs and not self.weights.supernet.layered:
            why = "a recurrent cell has no layers to select one by one"
            raise SearchError(f"options.selection: perturbation, but {why}; allowed: alpha")
        fix_scale(self.weights.supernet)
        self._options = options
        self._cost = ExpectedCost(problem.choices, options, problem.device)
        self._selection = Perturbation(self.weights)
        self._later = layers if perturbs else 0
        self._stopped = False

    @property
    def steps(self) -> int:
        """The steps of the weights, plus one for each layer that perturbation selects."""
        return super().steps + self._later

    @property
    def scores(self) -> Rows:
        """Per candidate log p; after perturbation, the rise of the loss without it."""
        return super().scores if self._selection.path is None else self._selection.rises

    @property
    def derived(self) -> Choice:
        """Selected by perturbation once it has decided all layers, by alpha before."""
        return self._selection.path or super().derived

    def step(self, index: int) -> None:
        """Trains alpha and weights; later steps select a layer and tune the rest to it."""
        selected = index - super().steps
        if selected < 0:
            super().step(index)
            return
        self._selection.decide(self.alphas.probabilities)
        start = super().steps + selected * self._options.tuning
        for later in range(start, start + self._options.tuning):
            self.weights.step(later, [self.weight_loss(later)])
        if index + 1 == self.steps:
            self.evaluate_derived()

    def warm_up_step(self, index: int) -> None:
        """A step of the weights on the almost uniform mixture."""
        self.weights.step(index, [self.weight_loss(index)])

    def weight_loss(self, index: int) -> Loss:
        """The loss of the mixture, weighted by alpha."""
        del index
        mixes = self._selection.mixes(self.alphas.probabilities)
        weights = self.weights
        return lambda images, labels: weights.task.loss(
            weights.supernet.mixture(images, mixes), labels
        )

    def alpha_step(self, index: int) -> None:
        """A step of first or second order, unless alpha has stopped."""
        if self._stopped:
            return
        self.alphas.step(self.gradients(index))
        limit = self._options.weight_free_limit
        self._stopped = limit is not None and self.weight_free > limit

    def gradients(self, index: int) -> list[torch.Tensor]:
        """dL/dalpha per layer on the validation batch of a step."""
        alphas, weights = self.alphas.values, self.weights
        validation = partial(self._loss, self.problem.validation.batch(index), priced=True)
        if self._options.order == 1:
            with frozen(weights.supernet):
                return list(torch.autograd.grad(validation(), alphas))
        training = partial(self._loss, self.problem.training.batch(index))
        rate = weights.recipe.rate(index)
        return unrolled_gradients(
            weights.supernet, weights.optimizer, rate, alphas, training, validation
        )

    @property
    def weight_free(self) -> float:
        """Share of the layers whose leading candidate has no weights between its 1x1s."""
        leaders = [row.index(max(row)) for row in self.alphas.log_probabilities]
        layers = zip(self.problem.choices.space.layers, leaders, strict=True)
        found = [is_weight_free(layer.candidates[leader].cell) for layer, leader in layers]
        return sum(found) / len(found)

    def _loss(
        self, batch: tuple[torch.Tensor, torch.Tensor], *, priced: bool = False
    ) -> torch.Tensor:
        """The mixture's loss, differentiable in alpha."""
        images, labels = batch
        mixes = self.alphas.probabilities
        loss = self.weights.task.loss(self.weights.supernet.mixture(images, mixes), labels)
        return self._cost.joined(loss, mixes) if priced else loss


def is_weight_free(cell: Cell) -> bool:
    """Whether no operation of a cell has weights: skips and poolings only, or no path at all."""
    if cell.kind == "recurrent":
        return False
    own: object = cell
    if isinstance(own, DartsCell):
        return not any(own.vocabulary[edge.operation].weighted(1) for edge in own.edges)
    if isinstance(own, DenseCell):
        edges = own.edges if own.edge is not None else own.pruned().edges
        return not any(own.vocabulary[edge.operation].params(1) for edge in edges)
    return all(OPERATIONS[edge.operation].params(1) == 0 for edge in cell.pruned().edges)
