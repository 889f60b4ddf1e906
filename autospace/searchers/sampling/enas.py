"""ENAS (Pham et al., ICML 2018): REINFORCE trains a controller to draw good paths.

The controller is an LSTM that draws a path layer by layer. Every step trains the weights on a path
that it draws. Every few steps, the controller is trained on the accuracies of several paths on one
validation batch. At the end, paths that it draws are evaluated on all validation images. On a table
there are no weights: every step trains the controller on the accuracies of paths that it draws, as
in Zoph and Le (ICLR 2017).

The reward of a path is its accuracy minus beta log pi. The mean of the second part is beta times
the entropy of pi, and so is its gradient. (The released code adds the entropies of the steps
instead, and stops their gradient.) The baseline is a moving average of earlier rewards.
"""

from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import nn

from autospace.runs.settings import Section
from autospace.searchers.fitness_search import OneShot
from autospace.searchers.problem import SearchProblem
from autospace.seeds import derived_seed, stream
from autospace.spaces.choices import Choice, Choices

INITIAL_RANGE = 0.1


class Sampled(NamedTuple):
    """Paths [N, L] and log pi of each [N], differentiable."""

    paths: torch.Tensor
    log_p: torch.Tensor


class Controller(nn.Module):
    """pi(a) = prod_l pi(a_l | a_1 .. a_(l-1)), in float64 and on the CPU, as it is small.

    A candidate has probability 0 if even the cheapest candidates after it would exceed a limit, or
    if no option of its stage begins like that.
    Under one limit, every drawn path is therefore allowed. Under several limits, a path may satisfy
    each of them up to a layer after which they cannot all be satisfied together.

    Args:
        choices: the candidates, and the limits.
        hidden: units of the LSTM, and length of an embedding.
        logit_range: bound on the logits, by tanh, so that no probability vanishes.
        seed: of the initial weights.
    """

    def __init__(self, choices: Choices, hidden: int, logit_range: float, seed: int) -> None:
        super().__init__()
        self._sizes, self._range = choices.sizes, logit_range
        self._limits, self._stages = _Room(choices), _Begun(choices)
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
        """Draws `count` paths from pi."""
        generator = torch.Generator().manual_seed(seed)

        def pick(_layer: int, log_p: torch.Tensor) -> torch.Tensor:
            return torch.multinomial(log_p.exp(), 1, generator=generator).squeeze(1)

        return self._unrolled(count, pick)

    def log_prob(self, paths: list[Choice]) -> torch.Tensor:
        """Log pi of given paths [N]; minus infinity for those that exceed a limit."""
        given = torch.tensor(paths)
        return self._unrolled(len(paths), lambda layer, _log_p: given[:, layer]).log_p

    def _unrolled(self, count: int, pick: Callable[[int, torch.Tensor], torch.Tensor]) -> Sampled:
        inputs = self.start.expand(count, -1)
        state: tuple[torch.Tensor, torch.Tensor] | None = None
        spent = self._limits.start.expand(count, -1)
        begun = torch.ones(count, 1, dtype=torch.bool)
        picked, log_ps = [], []
        for layer, (embedding, head) in enumerate(zip(self.embeddings, self.heads, strict=True)):
            state = self.cell(inputs, state)
            logits = self._range * torch.tanh(head(state[0]))
            begun, possible = self._stages.fits(layer, begun)
            fits = self._limits.fits(layer, spent, possible)
            log_p = logits.masked_fill(~fits, -torch.inf).log_softmax(1)
            choice = pick(layer, log_p.detach())
            picked.append(choice)
            log_ps.append(log_p.gather(1, choice[:, None]).squeeze(1))
            spent = spent + self._limits.costs[layer][choice]
            begun = self._stages.after(layer, begun, choice)
            inputs = embedding(choice)
        return Sampled(torch.stack(picked, 1), torch.stack(log_ps, 1).sum(1))


class _Room:
    """The remaining budget along a path: which candidates still fit, for each limit separately."""

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

    def fits(
        self, layer: int, spent: torch.Tensor, possible: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Whether each path [N, limits] can take each candidate [N, K]; all if it can take none.

        Of those that are possible, if not all are.
        """
        after = spent[:, None, :] + self.costs[layer]
        found = (after <= self._most_after[layer]).all(2)
        if possible is None:
            return found | ~found.any(1, keepdim=True)
        found = found & possible
        return found | (possible & ~found.any(1, keepdim=True))


class _Begun:
    """The alternatives of a stage that paths may still be, from their first layers."""

    def __init__(self, choices: Choices) -> None:
        self._places: dict[int, tuple[bool, torch.Tensor]] = {}
        for part in choices.parts if choices.staged else ():
            for place, layer in enumerate(part.layers):
                held = torch.zeros(len(part.alternatives), choices.sizes[layer], dtype=torch.bool)
                for number, rows in enumerate(part.alternatives):
                    held[number, list(rows[place])] = True
                self._places[layer] = (place == 0, held)

    def fits(self, layer: int, begun: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The alternatives [N, A] that are left, and the candidates [N, K] that one of them has."""
        if layer not in self._places:
            return begun, None
        first, held = self._places[layer]
        if first:
            begun = torch.ones(len(begun), len(held), dtype=torch.bool)
        return begun, (begun[:, :, None] & held).any(1)

    def after(self, layer: int, begun: torch.Tensor, choice: torch.Tensor) -> torch.Tensor:
        """The alternatives [N, A] that are left after a choice [N]."""
        if layer not in self._places:
            return begun
        _, held = self._places[layer]
        return begun & held[:, choice].T


TRIES = 64


class EnasOptions(Section):
    """The controller and its training."""

    warm_up: Annotated[float, Field(ge=0, lt=1, description="share of steps; paths uniform")] = 0.25
    controller_every: Annotated[int, Field(ge=1, le=1000, description="weight steps")] = 5
    samples: Annotated[int, Field(ge=1, le=1000, description="per controller step")] = 10
    hidden: Annotated[int, Field(ge=1, le=1000)] = 64
    logit_range: Annotated[float, Field(gt=0, le=100, description="range of the tanh")] = 2.5
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.0035
    entropy: Annotated[float, Field(ge=0, le=10, description="its weight in the reward")] = 1e-4
    baseline_decay: Annotated[float, Field(ge=0, lt=1, description="per sample")] = 0.99


class Enas(OneShot):
    """Trains weights and controller in turn, then evaluates paths drawn from the controller."""

    even = False
    remembered = ("controller", "_optimizer", "baseline")
    options_type = EnasOptions

    def __init__(self, problem: SearchProblem, options: EnasOptions) -> None:
        super().__init__(problem, options)
        self._options = options
        self._warm = round(options.warm_up * self.fitness.steps)
        self.controller = Controller(
            problem.choices, options.hidden, options.logit_range, problem.seed
        )
        self._optimizer = torch.optim.Adam(self.controller.parameters(), options.learning_rate)
        self.baseline: float | None = None

    def step(self, index: int) -> None:
        """Trains the weights, and the controller if it is due; after the training, evaluates."""
        if not self._warm <= index < self.fitness.steps:
            super().step(index)
            return
        if (index - self._warm) % self._options.controller_every == 0:
            self.controller_step(index)
        self.weights.step(index, [self.weights.loss_of(self.drawn("weights", index))])

    @property
    def search_steps(self) -> int:
        """One per evaluated path; on a table, one per step of the controller."""
        each = 1 if self.supernets else self._options.samples
        return -(-self.most_evaluations // each)

    def search(self, index: int) -> None:
        """Evaluates a path drawn from the controller; on a table, trains the controller on some."""
        if self.supernets:
            self.evaluate_drawn(index)
        else:
            self.controller_step(index, self.most_evaluations - index * self._options.samples)

    @torch.no_grad()
    def evaluate_drawn(self, index: int) -> None:
        """Evaluates a path drawn from the controller, a new one if possible."""
        drawn = self._sampled(TRIES, "final", index).paths.tolist()
        paths = [path for path in map(tuple, drawn) if self.problem.choices.allows(path)]
        fresh = next((path for path in paths if path not in self.fitness.known), None)
        self.evaluated(fresh or self.drawn("final", index))

    def controller_step(self, index: int, most: int | None = None) -> None:
        """Trains the controller on the rewards of some paths, of at most so many."""
        samples = self._options.samples
        count = samples if most is None else min(samples, most)
        sampled = self._sampled(count, "controller", index)
        accuracies = self._accuracies([tuple(path) for path in sampled.paths.tolist()], index)
        rewards = accuracies - self._options.entropy * sampled.log_p.detach()
        if self.baseline is None:
            self.baseline = float(rewards.mean())
        self._optimizer.zero_grad()
        surrogate(sampled, rewards, self.baseline).backward()
        self._optimizer.step()
        for reward in rewards.tolist():
            self.baseline += (1 - self._options.baseline_decay) * (reward - self.baseline)

    @torch.no_grad()
    def drawn(self, purpose: str, index: int) -> Choice:
        """A path from the controller, within all limits."""
        for count in (1, TRIES):
            for path in map(tuple, self._sampled(count, purpose, index).paths.tolist()):
                if self.problem.choices.allows(path):
                    return path
        return self.problem.choices.draw(stream(self.problem.seed, "enas", purpose, index))

    def _accuracies(self, paths: list[Choice], index: int) -> torch.Tensor:
        """Accuracies of the table, or on one validation batch with its statistics.

        Paths over a limit have 0.
        """
        found = dict.fromkeys(paths, 0.0)
        allowed = list(filter(self.problem.choices.allows, found))
        if self.supernets:
            accuracies = self.weights.batch_accuracies(
                allowed, self.problem.validation.batch(index)
            )
        else:
            accuracies = [self.evaluated(path) for path in allowed]
        found.update(zip(allowed, accuracies, strict=True))
        return torch.tensor([found[path] for path in paths], dtype=torch.float64)

    def _sampled(self, count: int, purpose: str, index: int) -> Sampled:
        seed = derived_seed(self.problem.seed, "enas", purpose, index)
        return self.controller.sample(count, seed)


def surrogate(sampled: Sampled, rewards: torch.Tensor, baseline: float) -> torch.Tensor:
    """Minus the mean of (R - b) log pi; its gradient is minus REINFORCE's (Williams, 1992)."""
    return -((rewards - baseline) * sampled.log_p).mean()
