"""Architecture parameters: per layer one number a candidate, moved by Adam."""

from collections.abc import Sequence

import torch

from autospace.runs.state import State
from autospace.seeds import stream
from autospace.supernets.problem import Problem

Rows = list[list[float]]
"""Per layer, one number a candidate."""

NOISE = 1e-3


class Alphas:
    """One tensor [K] a layer, in float64: so few numbers cost nothing, and exactness is free.

    Args:
        problem: says how many there are, and where they live.
        travel: how far Adam can move each of them over all steps. Its steps are about as long as
            its rate whatever the gradients are, so that a rate says nothing without the number
            of steps: DARTS's published 3e-4 over 50 epochs of CIFAR-10 is a travel of 6.
        steps: how often they will be moved.
        betas: decay of Adam's two averages.
    """

    def __init__(
        self, problem: Problem, travel: float, steps: int, betas: tuple[float, float]
    ) -> None:
        rng = stream(problem.seed, "alphas")
        # Next to uniform: noise that only decides which of equals comes first.
        rows = [[NOISE * rng.gauss(0, 1) for _ in range(size)] for size in problem.choices.sizes]
        self.values = [
            torch.tensor(row, dtype=torch.float64, device=problem.device, requires_grad=True)
            for row in rows
        ]
        self._optimizer = torch.optim.Adam(self.values, travel / max(1, steps), betas)

    @property
    def probabilities(self) -> list[torch.Tensor]:
        """Per layer softmax(alpha), differentiable."""
        return [value.softmax(0) for value in self.values]

    @property
    def log_probabilities(self) -> Rows:
        """Per layer log softmax(alpha)."""
        return [value.detach().log_softmax(0).tolist() for value in self.values]

    def step(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Moves them down their gradients; layers without one keep alpha and averages."""
        for value, gradient in zip(self.values, gradients, strict=True):
            value.grad = gradient
        self._optimizer.step()

    def state(self) -> State:
        """The numbers and Adam's averages."""
        tensors = {}
        for layer, value in enumerate(self.values):
            tensors[f"value.{layer}"] = value.detach()
            for name, kept in self._optimizer.state.get(value, {}).items():
                tensors[f"adam.{layer}.{name}"] = kept
        return State(tensors)

    def restore(self, state: State) -> None:
        """Takes up numbers and averages."""
        for layer, value in enumerate(self.values):
            with torch.no_grad():
                value.copy_(state.tensors[f"value.{layer}"])
            kept = state.part(f"adam.{layer}").tensors
            if kept:
                # Adam counts its steps on the CPU, wherever its averages are.
                self._optimizer.state[value] = {**kept, "step": kept["step"].cpu()}
