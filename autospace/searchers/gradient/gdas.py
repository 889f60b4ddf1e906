"""GDAS (Dong and Yang, CVPR 2019): a path sampled by Gumbel-softmax, trained straight through.

With Gumbel noise o, the path is argmax_k (log p_k + o_k), which is distributed as p. Only the path
runs in the forward pass. The backward pass uses the gradient of softmax((log p + o) / tau) instead
of that of the one-hot choice (equations 3-5). The temperature tau falls over the search.

The published acceleration gives only the active gate a gradient, <dL/dy, y>, which is the change of
the loss with the scale of y. If y goes straight into batch normalisation, this is 0, and layers
without a shortcut would learn nothing. By default all gates therefore get a gradient.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from autospace.searchers.gradient.gates import Draw, draw, gated_path
from autospace.searchers.gradient.search import (
    CostOptions,
    ExpectedCost,
    GradientOptions,
    GradientSearch,
    Rows,
    sent,
)
from autospace.searchers.problem import SearchProblem
from autospace.seeds import stream
from autospace.supernets.shared_weights import Loss
from autospace.supernets.supernet import frozen


class GdasOptions(GradientOptions, CostOptions):
    """Temperatures as published; the published rate and number of steps give a travel of 15."""

    gates: Literal["full", "active"] = "full"
    alpha_travel: Annotated[float, Field(gt=0, le=1000)] = 15.0
    temperature: Annotated[float, Field(gt=0, le=1000, description="at the start")] = 10.0
    last_temperature: Annotated[float, Field(gt=0, le=1000, description="at the end")] = 0.1


class Gdas(GradientSearch):
    """Trains the weights on a sampled path, and alpha on another."""

    options_type = GdasOptions

    def __init__(self, problem: SearchProblem, options: GdasOptions) -> None:
        super().__init__(problem, options)
        self._options = options
        self._cost = ExpectedCost(problem.choices, options, problem.device)

    def temperature(self, index: int) -> float:
        """Falls linearly over the search."""
        first, last = self._options.temperature, self._options.last_temperature
        return first + (last - first) * self.progress(index)

    def weight_loss(self, index: int) -> Loss:
        """The loss of a sampled path."""
        return self.weights.loss_of(self._drawn(index, "weights").path)

    def alpha_step(self, index: int) -> None:
        """A step of alpha on a validation batch, with a sampled path."""
        images, labels = self.problem.validation.batch(index)
        drawn = self._drawn(index, "alpha")
        self.alphas.step(self.gradients(images, labels, drawn, self.temperature(index)))

    def gradients(
        self, images: torch.Tensor, labels: torch.Tensor, drawn: Draw, temperature: float
    ) -> tuple[torch.Tensor, ...]:
        """dL/dalpha per layer: <dL/dy, c_k(x)> of the gates, through the soft weights."""
        alphas, supernet = self.alphas.values, self.weights.supernet
        soft = relaxed(alphas, drawn.noise, temperature)
        seen: list[Sequence[int]] = [(active,) for active in drawn.path]
        if self._options.gates == "full":
            seen = [range(len(alpha)) for alpha in alphas]
        with frozen(supernet):
            logits = gated_path(supernet, images, drawn.path, soft, seen)
            loss = self._cost.joined(
                self.weights.task.loss(logits, labels), self.alphas.probabilities
            )
            return torch.autograd.grad(loss, alphas)

    def _drawn(self, index: int, purpose: str) -> Draw:
        rng = stream(self.problem.seed, "gdas", purpose, index)
        return draw(self.problem.choices, self.alphas.log_probabilities, rng)


def relaxed(alphas: list[torch.Tensor], noise: Rows, temperature: float) -> list[torch.Tensor]:
    """Per layer softmax((log p + noise) / temperature), differentiable in alpha."""
    return [
        ((alpha.log_softmax(0) + row) / temperature).softmax(0)
        for alpha, row in zip(alphas, sent(noise, alphas[0]), strict=True)
    ]
