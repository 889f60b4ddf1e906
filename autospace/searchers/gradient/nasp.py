"""NASP (Yao et al., AAAI 2020): proximal iterations, which train only one path at a time.

With the continuous parameters alpha in [0, 1] and their discrete image
prox(alpha) = one-hot(argmax alpha) per layer, a step is (algorithm 2)

    alpha <- clip(alpha - rate dL_val/da at a = prox(alpha), 0, 1)
    weights <- weights - rate dL_train(prox(alpha))/dweights

The gradient at the discrete point is that of all gates (`gates.py`). As in the released code, Adam
scales it.
"""

from typing import Annotated

import torch
from pydantic import Field

from autospace.searchers.gradient.gates import gated_path
from autospace.searchers.gradient.search import GradientOptions, GradientSearch, Rows, listed
from autospace.searchers.problem import SearchProblem
from autospace.seeds import stream
from autospace.spaces.choices import Choice
from autospace.supernets.shared_weights import Loss
from autospace.supernets.supernet import frozen

START = 0.5
# Far below any step of alpha, so that it decides only between equal candidates.
TIE = 1e-9


class NaspOptions(GradientOptions):
    """Two defaults differ from the released code, because of trials on a planted space.

    Alpha travels less far, because it is clipped to [0, 1], where many candidates would meet at 1.
    Random candidates are tried at first (epsilon is 0 in the released code), because the argmax
    alone never tries another candidate.
    """

    alpha_travel: Annotated[float, Field(gt=0, le=1000)] = 1.0
    complexity: Annotated[
        float, Field(ge=0, le=1000, description="weight of sum_k params_k / params a_k^2")
    ] = 0.0
    epsilon: Annotated[
        float, Field(ge=0, le=1, description="chance of a random candidate at first; falls to 0")
    ] = 0.5


class Nasp(GradientSearch):
    """Trains the weights on the discrete path, and alpha on the gates of all candidates."""

    options_type = NaspOptions

    def __init__(self, problem: SearchProblem, options: NaspOptions) -> None:
        super().__init__(problem, options)
        self._options = options
        for alpha in self.alphas.values:
            alpha.detach().fill_(START)
        layers = problem.choices.space.layers
        params = [[float(cost.params) for cost in layer.costs] for layer in layers]
        self._shares = [
            torch.tensor(row, dtype=torch.float64, device=problem.device) / max(1.0, sum(row))
            for row in params
        ]

    @property
    def scores(self) -> Rows:
        """The continuous parameters."""
        return listed(self.alphas.values)

    def alpha_step(self, index: int) -> None:
        """Moves the continuous parameters by the gradient at the discrete point."""
        images, labels = self.problem.validation.batch(index)
        self.alphas.step(self.gradients(images, labels, self.discrete(index, "alpha")))
        for alpha in self.alphas.values:
            alpha.detach().clamp_(0, 1)

    def weight_loss(self, index: int) -> Loss:
        """The loss of the discrete path."""
        return self.weights.loss_of(self.discrete(index, "weights"))

    def discrete(self, index: int, purpose: str) -> Choice:
        """The allowed path with the largest alphas, ties at random; at first also random ones."""
        rng = stream(self.problem.seed, "nasp", purpose, index)
        choices = self.problem.choices
        path = choices.best([[value + TIE * rng.random() for value in row] for row in self.scores])
        epsilon = self._options.epsilon * (1 - self.progress(index))
        explored = tuple(
            rng.randrange(size) if rng.random() < epsilon else best
            for best, size in zip(path, choices.sizes, strict=True)
        )
        return explored if choices.allows(explored) else path

    def gradients(
        self, images: torch.Tensor, labels: torch.Tensor, path: Choice
    ) -> tuple[torch.Tensor, ...]:
        """dL/da at a = one-hot(path), per layer over all candidates."""
        seen = [range(size) for size in self.problem.choices.sizes]
        alphas, supernet = self.alphas.values, self.weights.supernet
        with frozen(supernet):
            logits = gated_path(supernet, images, path, alphas, seen)
            found = torch.autograd.grad(self.weights.task.loss(logits, labels), alphas)
        # The complexity term's own gradient, 2 share_k a_k, at the same discrete point.
        for row, shares, active in zip(found, self._shares, path, strict=True):
            row[active] += 2 * self._options.complexity * shares[active]
        return found
