"""DARTS (Liu et al., ICLR 2019): a softmax mixture of all candidates, and the guards it needs.

Alpha moves by Adam on the validation loss: of the weights as they are (first order), or as they
would be after their next step (second order). Guards, each an option: alpha rests at first; it
stops when candidates without weights lead too many layers (DARTS+, Liang et al., 2019); the
architecture is selected by perturbation instead of by alpha (DARTS-PT, Wang et al., ICLR 2021).
"""

from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch.nn import functional as F

from autospace.runs.state import State
from autospace.searchers.gradient.alphas import Rows
from autospace.searchers.gradient.expected_cost import CostOptions, ExpectedCost
from autospace.searchers.gradient.perturbation import Perturbation
from autospace.searchers.gradient.search import GradientOptions, GradientSearch
from autospace.searchers.gradient.unrolled import unrolled_gradients
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.operations import OPERATIONS
from autospace.spaces.choices import Path
from autospace.supernets.problem import Problem
from autospace.supernets.shared_weights import Loss
from autospace.supernets.supernet import fix_scale, frozen


class DartsOptions(GradientOptions, CostOptions):
    """First order, selected by alpha, unless asked otherwise."""

    order: Literal[1, 2] = 1
    weight_free_limit: (
        Annotated[float, Field(ge=0, le=1, description="share of layers; absent for none")] | None
    ) = None
    selection: Literal["alpha", "perturbation"] = "alpha"
    tuning: Annotated[int, Field(ge=0, le=100_000, description="steps per layer selected")] = 20


class Darts(GradientSearch):
    """All candidates at once: memory and time grow with their number."""

    options_type = DartsOptions

    def __init__(self, problem: Problem, options: DartsOptions) -> None:
        perturbs = options.selection == "perturbation"
        layers = len(problem.choices.sizes)
        super().__init__(problem, options, layers * options.tuning if perturbs else 0)
        fix_scale(self.weights.supernet)
        self._options = options
        self._cost = ExpectedCost(problem.choices, options, problem.device)
        self._selection = Perturbation(problem, self.weights.supernet)
        self._later = layers if perturbs else 0
        self._stopped = False

    @property
    def steps(self) -> int:
        """Those of the weights, then one for each layer that perturbation selects."""
        return super().steps + self._later

    @property
    def scores(self) -> Rows:
        """Per candidate log p, or what the loss rises by without it."""
        return super().scores if self._selection.path is None else self._selection.rises

    @property
    def derived(self) -> Path:
        """By perturbation once it has been through all layers, else by alpha."""
        return self._selection.path or super().derived

    def step(self, index: int) -> None:
        """Alpha and weights; after those, a layer is selected and the rest tuned to it."""
        selected = index - super().steps
        if selected < 0:
            super().step(index)
            return
        self._selection.decide(self.alphas.probabilities)
        start = super().steps + selected * self._options.tuning
        for later in range(start, start + self._options.tuning):
            self.weights.step(later, [self.weight_loss(later)])
        if index + 1 == self.steps:
            self.judge_derived()

    def warm_up_step(self, index: int) -> None:
        """The mixture, next to uniform."""
        self.weights.step(index, [self.weight_loss(index)])

    def weight_loss(self, index: int) -> Loss:
        """The mixture as alpha weighs it."""
        del index
        mixes = self._selection.mixes(self.alphas.probabilities)
        supernet = self.weights.supernet
        return lambda images, labels: F.cross_entropy(supernet.mixture(images, mixes), labels)

    def alpha_step(self, index: int) -> None:
        """First or second order, unless alpha has stopped."""
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
        """Share of the layers in which a candidate without weights between its 1x1s leads."""
        leaders = [row.index(max(row)) for row in self.alphas.log_probabilities]
        layers = zip(self.problem.choices.space.layers, leaders, strict=True)
        found = [is_weight_free(layer.candidates[leader].cell) for layer, leader in layers]
        return sum(found) / len(found)

    def state(self) -> State:
        """That of all gradient-based methods, and the guards'."""
        own = State(plain={"stopped": self._stopped})
        return super().state().joined(own, self._selection.state().under("selection"))

    def restore(self, state: State) -> None:
        """Takes up both."""
        super().restore(state)
        self._stopped = state.plain["stopped"]
        self._selection.restore(state.part("selection"))

    def _loss(
        self, batch: tuple[torch.Tensor, torch.Tensor], *, priced: bool = False
    ) -> torch.Tensor:
        """The mixture's loss, differentiable in alpha."""
        images, labels = batch
        mixes = self.alphas.probabilities
        loss = F.cross_entropy(self.weights.supernet.mixture(images, mixes), labels)
        return self._cost.joined(loss, mixes) if priced else loss


def is_weight_free(cell: Cell) -> bool:
    """Whether no operation of a cell has weights: skips and poolings only, or no path at all."""
    return all(OPERATIONS[edge.operation].params(1) == 0 for edge in cell.pruned().edges)
