"""ENAS's controller (Pham et al., ICML 2018): an LSTM that draws a path layer by layer."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from autospace.seeds import derived_seed
from autospace.spaces.choices import Choices, Path

INITIAL_RANGE = 0.1


class Sampled(NamedTuple):
    """Paths [N, L] and log pi of each [N], differentiable."""

    paths: torch.Tensor
    log_p: torch.Tensor


class Controller(nn.Module):
    """pi(a) = prod_l pi(a_l | a_1 .. a_(l-1)), in float64 and on the CPU, as it is small.

    A candidate with which even the cheapest rest would exceed a limit has no probability: under one
    limit every path drawn is allowed. Under several, a path may keep each of them up to a layer
    after which not all of them can be kept together.

    Args:
        choices: the candidates, and the limits.
        hidden: units of the LSTM, and length of an embedding.
        logit_range: logits are squashed to this by tanh, so that no candidate dies out.
        seed: of the initial weights.
    """

    def __init__(self, choices: Choices, hidden: int, logit_range: float, seed: int) -> None:
        super().__init__()
        self._sizes, self._range = choices.sizes, logit_range
        self._limits = _Room(choices)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(seed, "controller"))
            self.start = nn.Parameter(torch.empty(hidden))
            self.cell = nn.LSTMCell(hidden, hidden)
            self.embeddings = nn.ModuleList(nn.Embedding(size, hidden) for size in self._sizes)
            self.heads = nn.ModuleList(nn.Linear(hidden, size) for size in self._sizes)
            for parameter in self.parameters():
                nn.init.uniform_(parameter, -INITIAL_RANGE, INITIAL_RANGE)
        self.double()

    def sample(self, count: int, seed: int) -> Sampled:
        """So many paths drawn from pi."""
        generator = torch.Generator().manual_seed(seed)

        def pick(_layer: int, log_p: torch.Tensor) -> torch.Tensor:
            return torch.multinomial(log_p.exp(), 1, generator=generator).squeeze(1)

        return self._unrolled(count, pick)

    def log_prob(self, paths: list[Path]) -> torch.Tensor:
        """Log pi of given paths [N]; minus infinity for those that exceed a limit."""
        given = torch.tensor(paths)
        return self._unrolled(len(paths), lambda layer, _log_p: given[:, layer]).log_p

    def _unrolled(self, count: int, pick: Callable[[int, torch.Tensor], torch.Tensor]) -> Sampled:
        inputs = self.start.expand(count, -1)
        state: tuple[torch.Tensor, torch.Tensor] | None = None
        spent = self._limits.start.expand(count, -1)
        picked, log_ps = [], []
        for layer, (embedding, head) in enumerate(zip(self.embeddings, self.heads, strict=True)):
            state = self.cell(inputs, state)
            logits = self._range * torch.tanh(head(state[0]))
            log_p = logits.masked_fill(~self._limits.fits(layer, spent), -torch.inf).log_softmax(1)
            choice = pick(layer, log_p.detach())
            picked.append(choice)
            log_ps.append(log_p.gather(1, choice[:, None]).squeeze(1))
            spent = spent + self._limits.costs[layer][choice]
            inputs = embedding(choice)
        return Sampled(torch.stack(picked, 1), torch.stack(log_ps, 1).sum(1))


class _Room:
    """What is left of the limits along a path: which candidates still fit, each limit by itself."""

    def __init__(self, choices: Choices) -> None:
        limits = choices.limits
        self.start = torch.tensor([each.fixed for each in limits], dtype=torch.float64)
        self.costs = [
            torch.tensor([each.table[layer] for each in limits], dtype=torch.float64)
            .reshape(len(limits), size)
            .T
            for layer, size in enumerate(choices.sizes)
        ]
        most = torch.tensor([each.most for each in limits], dtype=torch.float64)
        self._most_after = []
        for layer in range(len(choices.sizes)):
            rest = [sum(map(min, each.table[layer + 1 :])) for each in limits]
            self._most_after.append(most - torch.tensor(rest, dtype=torch.float64))

    def fits(self, layer: int, spent: torch.Tensor) -> torch.Tensor:
        """Per path [N, limits] and candidate, whether it can be chosen [N, K]; all if none can."""
        after = spent[:, None, :] + self.costs[layer]
        found = (after <= self._most_after[layer]).all(2)
        return found | ~found.any(1, keepdim=True)
