"""Mixture scoring: the AutoSpace paper's differentiable fitness (equations 3 and 4).

Every layer's output is a mixture of its candidates and the reference, a = softmax(alpha / tau).
After a first stretch with uniform weights, weights and alpha are trained in turn, alpha on
validation images with the weights frozen. Fitness is alpha_k - alpha_r, the log-odds over the
reference.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from autospace.scorers.setting import Setting
from autospace.scorers.supernet import ReferenceSupernet
from autospace.spaces.cell import Cell
from autospace.spaces.cost import cell_cost
from autospace.supernet import fix_scale, frozen
from autospace.training import Recipe, make_optimizer

TEMPERATURE = 1.0
ALPHA_RATE = 0.02
ALPHA_BETAS = (0.5, 0.999)
UNIFORM_SHARE = 0.5


class MixtureScorer:
    """Fitness as log-odds over the reference; candidates of one call share one supernet."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self.gradients: list[list[float]] = []

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.fitness.Scorer`."""
        supernet = ReferenceSupernet(self._setting, candidates, repeat)
        fix_scale(supernet)
        alphas = [torch.zeros(len(modules)) for modules in supernet.choices]
        device = next(supernet.parameters()).device
        alphas = [alpha.to(device).requires_grad_() for alpha in alphas]
        totals = self._train(supernet, alphas, repeat)
        self.gradients = [_over_reference(-total) for total in totals]
        return [_over_reference(alpha.detach()) for alpha in alphas]

    def _train(
        self, supernet: ReferenceSupernet, alphas: list[torch.Tensor], repeat: int
    ) -> list[torch.Tensor]:
        """Weights and alpha in turn; returns the sum of dL/da over the alpha steps."""
        options, setting = self._setting.options, self._setting
        size = max(len(modules) for modules in supernet.choices)
        recipe = Recipe(options.steps * size, options.learning_rate, weight_decay=4e-5)
        optimizer = make_optimizer(supernet, recipe)
        search = torch.optim.Adam(alphas, ALPHA_RATE, ALPHA_BETAS, weight_decay=0)
        costs = _relative_costs(supernet) if options.cost_weight else None
        uniform = round(UNIFORM_SHARE * recipe.steps)
        totals = [torch.zeros_like(alpha) for alpha in alphas]
        for done, step in enumerate(setting.training_steps(repeat, recipe.steps)):
            setting.tick(done, recipe.steps)
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(done)
            weights = [_weights(alpha.detach()) for alpha in alphas]
            images, labels = setting.training.batch(step)
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(supernet.mixture(images, weights), labels).backward()
            torch.nn.utils.clip_grad_norm_(supernet.parameters(), recipe.clip)
            optimizer.step()
            if done < uniform:
                continue
            with frozen(supernet):
                mixes = [_weights(alpha) for alpha in alphas]
                images, labels = setting.validation.batch(step)
                loss = F.cross_entropy(supernet.mixture(images, mixes), labels)
                if costs is not None:
                    pairs = zip(mixes, costs, strict=True)
                    expected = sum((mix * cost).sum() for mix, cost in pairs)
                    loss = loss + options.cost_weight * expected
                gradients = torch.autograd.grad(loss, [*alphas, *mixes])
            for alpha, gradient in zip(alphas, gradients, strict=False):
                alpha.grad = gradient
            for total, gradient in zip(totals, gradients[len(alphas) :], strict=True):
                total += gradient
            search.step()
        return totals


def _weights(alpha: torch.Tensor) -> torch.Tensor:
    return torch.softmax(alpha / TEMPERATURE, dim=0)


def _over_reference(values: torch.Tensor) -> list[float]:
    difference: list[float] = (values[:-1] - values[-1]).tolist()
    return difference


def _relative_costs(supernet: ReferenceSupernet) -> list[torch.Tensor]:
    """MAdds of every choice over those of the whole reference."""
    device = next(supernet.parameters()).device
    rows = [
        [cell_cost(module.cell, shape).madds for module in modules]
        for shape, modules in zip(supernet.shapes, supernet.choices, strict=True)
    ]
    whole = max(1, sum(row[-1] for row in rows))
    return [torch.tensor(row, device=device) / whole for row in rows]
