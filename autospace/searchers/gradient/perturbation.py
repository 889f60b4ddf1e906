"""Selection by perturbation (DARTS-PT, Wang et al., ICLR 2021): what is missed most is kept.

Layer after layer, in random order, each candidate is taken out of the mixture in turn; the one
whose absence raises the validation loss most is kept, and all others of its layer are dropped. The
size of alpha says little about what a candidate is worth to the supernet.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from autospace.runs.state import State
from autospace.searchers.gradient.alphas import Rows
from autospace.seeds import stream
from autospace.spaces.choices import Path
from autospace.supernets.problem import Problem
from autospace.supernets.supernet import Supernet

# Outweighs any loss: a layer that has been decided stays so.
DROPPED = -1e9

Mixes = list[torch.Tensor]


class Perturbation:
    """Decides one layer at a time, within the limits."""

    def __init__(self, problem: Problem, supernet: Supernet) -> None:
        sizes = problem.choices.sizes
        self._problem, self._supernet = problem, supernet
        self._order = stream(problem.seed, "perturbation").sample(range(len(sizes)), len(sizes))
        self._kept: list[int] = []
        self.rises: Rows = [[0.0] * size for size in sizes]
        """Per candidate, how much the loss rose without it; 0 before its layer's turn."""

    @property
    def path(self) -> Path | None:
        """The decided architecture; None before all layers are decided."""
        if len(self._kept) < len(self._order):
            return None
        return tuple(index for _, index in sorted(zip(self._order, self._kept, strict=True)))

    def mixes(self, probabilities: Sequence[torch.Tensor]) -> Mixes:
        """The probabilities, one-hot in the layers that have been decided."""
        found = [row.detach() for row in probabilities]
        for layer, index in zip(self._order, self._kept, strict=False):
            found[layer] = torch.zeros_like(found[layer])
            found[layer][index] = 1
        return found

    @torch.no_grad()
    def decide(self, probabilities: Sequence[torch.Tensor]) -> None:
        """Decides the next layer."""
        layer = self._order[len(self._kept)]
        mixes = self.mixes(probabilities)
        whole = self._loss(mixes)
        for index in range(len(mixes[layer])):
            without = list(mixes)
            without[layer] = mixes[layer].clone()
            without[layer][index] = 0
            self.rises[layer][index] = self._loss(without) - whole
        scores = [[0.0] * size for size in self._problem.choices.sizes]
        scores[layer] = self.rises[layer]
        for decided, kept in zip(self._order, self._kept, strict=False):
            scores[decided] = [DROPPED] * len(scores[decided])
            scores[decided][kept] = 0.0
        self._kept.append(self._problem.choices.best(scores)[layer])

    def _loss(self, mixes: Mixes) -> float:
        """Mean validation loss of a mixture, by the statistics of each batch."""
        self._supernet.train()
        count = self._problem.config.supernet.validation_batches
        batches = map(self._problem.validation.batch, range(count))
        losses = [F.cross_entropy(self._supernet.mixture(x, mixes), y) for x, y in batches]
        return float(torch.stack(losses).mean())

    def state(self) -> State:
        """What has been decided, and why."""
        return State(plain={"kept": self._kept, "rises": self.rises})

    def restore(self, state: State) -> None:
        """Takes up what has been decided."""
        self._kept, self.rises = list(state.plain["kept"]), list(state.plain["rises"])
