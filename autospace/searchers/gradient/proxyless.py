"""ProxylessNAS (Cai et al., ICLR 2019): binary gates, one path in memory, cost in the loss.

A weight step trains one path drawn from p = softmax(alpha / T). An alpha step computes dL/dg_j at
the binary gates of a path (`gates.py`) and uses it in place of dL/dp_j (equation 4):

    dL/dalpha_i = sum_j dL/dg_j p_j (delta_ij - p_i) / T

The paper has T = 1.
"""

import math
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from autospace.searchers.gradient.gates import draw, draw_pairs, gated_path
from autospace.searchers.gradient.search import (
    CostOptions,
    ExpectedCost,
    GradientOptions,
    GradientSearch,
    SoftmaxOptions,
    sent,
)
from autospace.searchers.method import shared_weights_diverged
from autospace.searchers.problem import SearchProblem
from autospace.seeds import stream
from autospace.spaces.choices import Choice
from autospace.supernets.shared_weights import Loss
from autospace.supernets.supernet import frozen


class ProxylessOptions(GradientOptions, CostOptions, SoftmaxOptions):
    """As published, the warm-up takes a quarter of the steps, and every fifth moves alpha."""

    gates: Literal["two", "full"] = "two"
    alpha_every: Annotated[int, Field(ge=1, le=1000)] = 5
    alpha_travel: Annotated[float, Field(gt=0, le=1000)] = 10.0
    cost_weight: Annotated[float, Field(ge=0, le=1000, description="0 for no cost term")] = 0.1


class Proxyless(GradientSearch):
    """Trains gates over two sampled candidates per layer, or over all of them."""

    options_type = ProxylessOptions
    # Without a first moment, candidates that were not sampled stay where they are.
    betas: ClassVar[tuple[float, float]] = (0.0, 0.999)

    def __init__(self, problem: SearchProblem, options: ProxylessOptions) -> None:
        super().__init__(problem, options)
        self._two = options.gates == "two"
        self._cost = ExpectedCost(problem.choices, options, problem.device)

    def weight_loss(self, index: int) -> Loss:
        """The loss of a path drawn from p."""
        rng = stream(self.problem.seed, "proxyless path", index)
        path = draw(self.problem.choices, self.alphas.log_probabilities, rng).path
        return self.weights.loss_of(path)

    def alpha_step(self, index: int) -> None:
        """A step of alpha by the gates of a drawn path, on a validation batch."""
        rng = stream(self.problem.seed, "proxyless gates", index)
        choices, log_p = self.problem.choices, self.alphas.log_probabilities
        if any(math.isnan(value) for row in log_p for value in row):
            raise shared_weights_diverged(self.problem)
        if self._two:
            path, pairs = draw_pairs(choices, log_p, rng)
        else:
            path = draw(choices, log_p, rng).path
            pairs = tuple(tuple(range(size)) for size in choices.sizes)
        images, labels = self.problem.validation.batch(index)
        before = [value.detach().clone() for value in self.alphas.values]
        self.alphas.step(self.gradients(images, labels, path, pairs))
        if self._two:
            places = indices_of(pairs, self.alphas.values[0])
            for value, old, place in zip(self.alphas.values, before, places, strict=True):
                keep_mass(value, old, place, self.alphas.temperature)

    def gradients(
        self, images: torch.Tensor, labels: torch.Tensor, path: Choice, seen: tuple[Choice, ...]
    ) -> list[torch.Tensor | None]:
        """dL/dalpha per layer, over the candidates that are `seen`; 0 for all others.

        Layers whose active candidate is Zero get None, as in the released code: its output is 0, so
        that the gates have nothing to be compared with.
        """
        places = indices_of(seen, self.alphas.values[0])
        pairs = list(zip(self.alphas.values, places, strict=True))
        pairs = [(alpha / self.alphas.temperature, chosen) for alpha, chosen in pairs]
        gates = [_renormalised(alpha, chosen) for alpha, chosen in pairs]
        probabilities = [_moving(alpha, chosen) for alpha, chosen in pairs]
        supernet = self.weights.supernet
        with frozen(supernet):
            logits = gated_path(supernet, images, path, gates, seen)
            loss = self._cost.joined(self.weights.task.loss(logits, labels), probabilities)
            found = torch.autograd.grad(loss, self.alphas.values)
        skipped = [supernet.is_zero(choice, index) for choice, index in enumerate(path)]
        return [None if skip else row for skip, row in zip(skipped, found, strict=True)]


def indices_of(rows: Sequence[Choice], alpha: torch.Tensor) -> list[torch.Tensor]:
    """Per layer the indices of some candidates, on alpha's device."""
    return sent(rows, torch.empty(0, dtype=torch.int64, device=alpha.device))


@torch.no_grad()
def keep_mass(
    alpha: torch.Tensor, before: torch.Tensor, chosen: torch.Tensor, temperature: float = 1.0
) -> None:
    """Shifts the two moved alphas, in place, so that all others keep their probabilities."""
    now, then = (row[chosen] / temperature for row in (alpha, before))
    alpha[chosen] -= temperature * (now.logsumexp(0) - then.logsumexp(0))


def _renormalised(alpha: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Probabilities [K] over some candidates only; 0 for all others."""
    return torch.zeros_like(alpha).index_put((chosen,), alpha[chosen].softmax(0))


def _moving(alpha: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """softmax(alpha) [K], where only some entries depend on alpha; their sum is constant."""
    p = alpha.detach().softmax(0)
    return p.index_put((chosen,), p[chosen].sum() * alpha[chosen].softmax(0))
