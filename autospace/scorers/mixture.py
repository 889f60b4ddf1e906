"""Mixture scoring: the AutoSpace paper's differentiable fitness (equations 3 and 4).

The output of every layer is a mixture of its candidates and the reference, with the weights
a = softmax(alpha / tau). In the first half of the training the mixture is uniform. Then weights and
alpha are trained in turn, alpha on validation images with the weights frozen. Fitness is
alpha_k - alpha_r, the log-odds of a candidate over the reference.
"""

from collections.abc import Sequence
from functools import partial

import torch

from autospace.compute.execution import scaled
from autospace.data.batches import Batch
from autospace.scorers.context import ReferenceSupernet, ScoringContext, relative_costs
from autospace.spaces.cells.cell import Cell
from autospace.supernets.supernet import Supernet, fix_scale, frozen
from autospace.training.short import Recipe, make_optimizer, set_rate

ALPHA_RATE = 0.02
ALPHA_BETAS = (0.5, 0.999)
UNIFORM_SHARE = 0.5


class MixtureScorer:
    """Fitness as log-odds over the reference; candidates of one call share one supernet."""

    def __init__(self, setting: ScoringContext) -> None:
        self._setting = setting
        self.gradients: list[list[float]] = []

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        self._setting.execution.parts.begin_again()
        supernet = ReferenceSupernet(self._setting, candidates, repeat)
        fix_scale(supernet)
        search = MixtureSearch(supernet, self._setting)
        self._train(search, repeat)
        self._setting.keep(supernet, search.recipe.steps)
        self.gradients = [_over_reference(-total) for total in search.totals]
        return [_over_reference(alpha.detach()) for alpha in search.alphas]

    def _train(self, search: "MixtureSearch", repeat: int) -> None:
        """Weights and alpha in turn."""
        setting, recipe = self._setting, search.recipe
        uniform = round(UNIFORM_SHARE * recipe.steps)
        train_weights, train_alphas = map(
            setting.execution.replayed, (search.train_weights, search.train_alphas)
        )
        for done, step in enumerate(setting.training_steps(repeat, recipe.steps)):
            setting.tick(done, recipe.steps)
            set_rate(search.optimizer, recipe.rate(done))
            train_weights(setting.training.batch(step))
            if done >= uniform:
                train_alphas(setting.validation.batch(step))


class MixtureSearch:
    """A supernet's weights and alphas, and a step of each.

    Attributes:
        alphas: per layer [choices].
        totals: the sum of dL/da over the steps of alpha, likewise.
    """

    def __init__(self, supernet: Supernet, setting: ScoringContext) -> None:
        options = setting.options
        sizes = [len(modules) for modules in supernet.choices]
        self._supernet, self._execution, self._task = supernet, setting.execution, setting.task
        self._temperature = options.temperature
        self.recipe = Recipe(options.steps * max(sizes), options.learning_rate, weight_decay=4e-5)
        self.optimizer = make_optimizer(supernet, self.recipe, setting.execution)
        device = next(supernet.parameters()).device
        self.alphas = [torch.zeros(size, device=device, requires_grad=True) for size in sizes]
        self.totals = [torch.zeros_like(alpha) for alpha in self.alphas]
        self._alpha_optimizer = torch.optim.Adam(
            self.alphas,
            ALPHA_RATE,
            ALPHA_BETAS,
            weight_decay=0,
            fused=setting.execution.records or None,
            capturable=setting.execution.records,
        )
        self._costs: list[torch.Tensor] = []
        if options.cost_weight:
            cells = [[module.cell for module in modules] for modules in supernet.choices]
            rows = relative_costs(supernet.shapes, cells)
            self._costs = [options.cost_weight * torch.tensor(row, device=device) for row in rows]

    def train_weights(self, batch: Batch) -> None:
        """A step of the weights, with alpha fixed."""
        self.optimizer.zero_grad(set_to_none=True)
        mixes = [self._weights(alpha.detach()) for alpha in self.alphas]
        weights = list(self._supernet.parameters())
        self._execution.backward(partial(self._loss, mixes), batch, weights)
        torch.nn.utils.clip_grad_norm_(weights, self.recipe.clip)
        self.optimizer.step()

    def train_alphas(self, batch: Batch) -> None:
        """A step of alpha, with the weights frozen."""
        gradients: list[torch.Tensor] = []
        with frozen(self._supernet):
            work = partial(self._add_gradients, gradients)
            self._execution.parts.each(work, batch, gradients.clear)
        for alpha, gradient in zip(self.alphas, gradients, strict=False):
            alpha.grad = gradient
        for total, gradient in zip(self.totals, gradients[len(self.alphas) :], strict=True):
            total += gradient
        self._alpha_optimizer.step()

    def _add_gradients(self, sums: list[torch.Tensor], batch: Batch, share: float) -> None:
        """Adds dL/dalpha and dL/da of a part of a batch to the sums."""
        mixes = [self._weights(alpha) for alpha in self.alphas]
        with self._execution.autocast():
            loss = self._loss(mixes, batch)
        for mix, cost in zip(mixes, self._costs, strict=False):
            loss = loss + (mix * cost).sum()
        found = torch.autograd.grad(scaled(loss, share), [*self.alphas, *mixes])
        sums[:] = map(torch.add, sums, found) if sums else found

    def _weights(self, alpha: torch.Tensor) -> torch.Tensor:
        return torch.softmax(alpha / self._temperature, dim=0)

    def _loss(self, mixes: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        images, labels = batch
        return self._task.loss(self._supernet.mixture(images, mixes), labels)


def _over_reference(values: torch.Tensor) -> list[float]:
    difference: list[float] = (values[:-1] - values[-1]).tolist()
    return difference
