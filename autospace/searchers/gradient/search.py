"""Base of the gradient-based methods: weights and architecture parameters alpha in turn.

Every step trains the weights on a training batch. After a warm-up, every k-th step first moves
alpha, on a validation batch and with the weights frozen. Several times at even distances, the last
time after the last step, the architecture with the largest alphas is evaluated as a path with the
shared weights.

Alpha holds one number per layer and candidate, and Adam optimises it. `ExpectedCost` is the mean
cost of an architecture drawn from the probabilities of all candidates.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce
from itertools import islice
from operator import add
from typing import Annotated, ClassVar, Final, Literal

import torch
from pydantic import Field

from autospace.runs.settings import Section
from autospace.runs.state import Stateful
from autospace.searchers.method import Ranked, SearchMethod
from autospace.searchers.problem import SearchProblem
from autospace.seeds import stream
from autospace.spaces.cells.family import work_unit
from autospace.spaces.choices import Choice, Choices, Limit, SearchError
from autospace.spaces.cost import fixed_cost
from autospace.supernets.path_training import make_path_training
from autospace.supernets.shared_weights import Loss, PathEvaluator, PathTraining, SharedWeights

Rows = list[list[float]]
"""Per layer, one number a candidate."""
NOISE = 1e-3


def listed(rows: Sequence[torch.Tensor]) -> Rows:
    """The numbers of some tensors [K] of one type, in one copy: a copy is a wait for a GPU."""
    values = iter(torch.cat([row.detach() for row in rows]).tolist())
    return [list(islice(values, len(row))) for row in rows]


def sent(rows: Sequence[Sequence[float]], like: torch.Tensor) -> list[torch.Tensor]:
    """Rows of numbers as tensors of a type and device, in one copy that nothing waits for."""
    values = torch.tensor([each for row in rows for each in row], dtype=like.dtype)
    whole = values.to(like.device, non_blocking=True)
    return list(whole.split([len(row) for row in rows]))


class Alphas(Stateful):
    """One tensor [K] per layer, in float64, which costs nothing for so few numbers.

    Args:
        problem: determines their number and their device.
        travel: how far Adam can move each of them over all steps. A step of Adam is about as long
            as the learning rate, whatever the gradients are, so that a rate has no meaning without
            the number of steps: DARTS's published 3e-4 over 50 epochs of CIFAR-10 is a travel of 6.
        steps: the number of steps that will be made.
        betas: decay of Adam's two averages.
        temperature: T of softmax(alpha / T); below 1, the largest alpha weighs more.
    """

    remembered: ClassVar[tuple[str, ...]] = ("values", "_optimizer")

    def __init__(
        self,
        problem: SearchProblem,
        travel: float,
        steps: int,
        betas: tuple[float, float],
        temperature: float = 1.0,
    ) -> None:
        self.temperature = temperature
        rng = stream(problem.seed, "alphas")
        # Almost uniform: the noise only decides between equal candidates.
        rows = [[NOISE * rng.gauss(0, 1) for _ in range(size)] for size in problem.choices.sizes]
        there = sent(rows, torch.empty(0, dtype=torch.float64, device=problem.device))
        self.values = [row.clone().requires_grad_() for row in there]
        self._optimizer = torch.optim.Adam(self.values, travel / max(1, steps), betas)

    @property
    def probabilities(self) -> list[torch.Tensor]:
        """Per layer softmax(alpha / T), differentiable."""
        return [(value / self.temperature).softmax(0) for value in self.values]

    @property
    def log_probabilities(self) -> Rows:
        """Per layer log softmax(alpha / T)."""
        scaled = [value.detach() / self.temperature for value in self.values]
        return listed([value.log_softmax(0) for value in scaled])

    def step(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """A step of Adam; layers without a gradient keep their alpha and Adam's averages."""
        for value, gradient in zip(self.values, gradients, strict=True):
            value.grad = gradient
        self._optimizer.step()


CostUnit = Literal["madds", "params", "ops", "latency"]
LIMITS: Final[dict[CostUnit, str]] = {
    "madds": "max_madds",
    "params": "max_params",
    "ops": "max_ops",
    "latency": "max_latency_ms",
}


class CostOptions(Section):
    """How the loss that moves alpha grows with the expected cost."""

    cost: CostUnit = "madds"
    cost_form: Literal["excess", "additive", "multiplicative"] = "excess"
    cost_weight: Annotated[float, Field(ge=0, le=1000, description="0 for no cost term")] = 0.0
    cost_exponent: Annotated[float, Field(gt=0, le=10, description="multiplicative only")] = 0.3
    cost_target: (
        Annotated[
            float, Field(gt=0, description="by default the mean cost, or the limit if it is lower")
        ]
        | None
    ) = None


class ExpectedCost:
    """E[C] = fixed + sum_l sum_k p_lk C_lk, and losses with it (ProxylessNAS, 2019).

    With target T and costs in MAdds, params, OPs or milliseconds, the forms are

        excess          CE + weight max(0, E - T) / T
        additive        CE + weight (E - T) / T
        multiplicative  weight CE (log E / log T)^exponent

    The last two are published. Below the target they go on making networks cheaper, because Adam
    makes a small but steady gradient as strong as a large one that varies. The first does not.

    Raises:
        SearchError: latency without a limit on it; multiplicative with costs that have no
            logarithm above 0.
    """

    def __init__(self, choices: Choices, options: CostOptions, device: torch.device) -> None:
        limit = cost_table(choices, options.cost)
        self._options = options
        self._fixed = limit.fixed
        self._tables = [
            torch.tensor(row, dtype=torch.float64, device=device) for row in limit.table
        ]
        mean = limit.fixed + sum(sum(row) / len(row) for row in limit.table)
        self._target = options.cost_target or min(limit.most, mean)
        wants_logarithm = options.cost_weight and options.cost_form == "multiplicative"
        if wants_logarithm and min(limit.cheapest, self._target) <= 1:
            lowest = min(limit.cheapest, self._target)
            raise SearchError(
                f"options.cost_form: multiplicative, but the lowest {options.cost} or target is "
                f"{lowest:g}; allowed: excess or additive, or costs and target above 1"
            )

    def expected(self, probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
        """E[C] of a tensor [K] of probabilities per layer: a scalar."""
        pairs = zip(probabilities, self._tables, strict=True)
        return self._fixed + reduce(add, ((p * table).sum() for p, table in pairs))

    def joined(self, loss: torch.Tensor, probabilities: Sequence[torch.Tensor]) -> torch.Tensor:
        """The loss with the cost term; the loss itself where its weight is 0."""
        weight, target = self._options.cost_weight, self._target
        if not weight:
            return loss
        expected = self.expected(probabilities)
        form = self._options.cost_form
        if form == "multiplicative":
            ratio = expected.log() / math.log(target)
            return weight * loss * ratio**self._options.cost_exponent
        excess = (expected - target) / target
        return loss + weight * (excess.relu() if form == "excess" else excess)


def cost_table(choices: Choices, unit: CostUnit) -> Limit:
    """The cost of every candidate, and the limit, which is infinite if there is none.

    MAdds of binary cells are their OPs: all have the same number of MAdds.

    Raises:
        SearchError: the unit is latency, and there is no limit on it, which would have a table.
    """
    if unit == "madds" and work_unit(choices.space.kind) == "OPs":
        unit = "ops"
    for limit in choices.limits:
        if limit.name == LIMITS[unit]:
            return limit
    if unit == "latency":
        raise SearchError(
            "options.cost: latency, but there is no latency table; allowed: madds, params, ops, or "
            "latency together with budget.max_latency_ms"
        )
    space = choices.space
    table = tuple(tuple(getattr(cost, unit) for cost in layer.costs) for layer in space.layers)
    return Limit(LIMITS[unit], math.inf, getattr(fixed_cost(space.skeleton), unit), table)


class GradientOptions(Section):
    """When alpha moves, how far, and how often its architecture is evaluated."""

    warm_up: Annotated[float, Field(ge=0, lt=1, description="share of steps; alpha rests")] = 0.25
    alpha_every: Annotated[int, Field(ge=1, le=1000, description="weight steps per alpha step")] = 1
    alpha_travel: Annotated[
        float, Field(gt=0, le=1000, description="alpha's rate times its number of steps")
    ] = 6.0
    judgements: Annotated[int, Field(ge=1, le=1000, description="number of evaluations")] = 5


class SoftmaxOptions(Section):
    """The probabilities softmax(alpha / temperature) of the candidates of a layer.

    BATS (Bulat et al., ECCV 2020) searches binary networks below 1, at 0.2, so that one candidate
    dominates: in a mixture of many, their signs average out.
    """

    temperature: Annotated[
        float, Field(ge=1e-3, le=1000, description="T of softmax(alpha / T)")
    ] = 1.0


class GradientSearch(SearchMethod):
    """Weights and alpha in turn; the result is the allowed architecture of the largest scores.

    `later_steps` is the number of further steps in which a method trains the weights afterwards.
    """

    options_type: ClassVar[type[Section]] = GradientOptions
    remembered: ClassVar[tuple[str, ...]] = (
        "weights",
        "training",
        "alphas",
        "evaluator",
        "_evaluated",
    )
    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)

    def __init__(
        self, problem: SearchProblem, options: GradientOptions, later_steps: int = 0
    ) -> None:
        super().__init__(problem, options)
        self.weights = SharedWeights(problem, problem.config.supernet.steps + later_steps)
        self.evaluator = PathEvaluator(problem, self.weights.supernet)
        self.training: PathTraining = make_path_training(self.weights)
        total = problem.config.supernet.steps
        self.warm = min(round(options.warm_up * total), total - 1)
        self.every = options.alpha_every
        alpha_steps = -(-(total - self.warm) // self.every)
        temperature = options.temperature if isinstance(options, SoftmaxOptions) else 1.0
        self.alphas = Alphas(problem, options.alpha_travel, alpha_steps, self.betas, temperature)
        count = min(options.judgements, problem.config.evaluations or options.judgements)
        searched = total - self.warm
        self._evaluate_after = {self.warm + -(-searched * i // count) for i in range(1, count + 1)}
        self._evaluated: list[Choice] = []

    @abstractmethod
    def alpha_step(self, index: int) -> None:
        """Moves alpha; the weights stay the same."""

    @abstractmethod
    def weight_loss(self, index: int) -> Loss:
        """The loss that trains the weights in a step after the warm-up."""

    def warm_up_step(self, index: int) -> None:
        """Trains the weights while alpha is fixed: path by path, as the settings define."""
        self.training.step(index)

    @property
    def supernets(self) -> list[SharedWeights]:
        """The only one."""
        return [self.weights]

    @property
    def scores(self) -> Rows:
        """The scores that select the result: per layer log p of each candidate."""
        return self.alphas.log_probabilities

    @property
    def derived(self) -> Choice:
        """The allowed architecture with the largest sum of scores."""
        return self.problem.choices.best(self.scores)

    @property
    def steps(self) -> int:
        """The number of steps; each trains the weights once."""
        return self.problem.config.supernet.steps

    def step(self, index: int) -> None:
        """A step of alpha if it is due, one of the weights, and an evaluation if it is due."""
        if index < self.warm:
            self.warm_up_step(index)
            return
        if (index - self.warm) % self.every == 0:
            self.weights.supernet.train()
            self.alpha_step(index)
        self.weights.step(index, [self.weight_loss(index)])
        if index + 1 in self._evaluate_after:
            self.evaluate_derived()

    def progress(self, index: int) -> float:
        """The share of the search that precedes a step after the warm-up: from 0 to 1."""
        last = self.problem.config.supernet.steps - 1 - self.warm
        return (index - self.warm) / max(1, last)

    def evaluate_derived(self) -> None:
        """Evaluates the derived architecture with the current weights."""
        path = self.derived
        self.evaluator.known.clear()
        accuracy = self.evaluator.accuracy(path)
        if path not in self._evaluated:
            self._evaluated.append(path)
            self.evaluations += 1
        self.offer(Ranked(path, accuracy, accuracy))

    def ranked(self) -> list[Ranked]:
        """The derived architecture, then its neighbours and those evaluated before, by score."""
        choices, best = self.problem.choices, self.derived
        neighbours = {
            (*best[:layer], index, *best[layer + 1 :])
            for layer, size in enumerate(choices.sizes)
            for index in range(size)
        }
        others = [*{*filter(choices.allows, neighbours), *self._evaluated} - {best}]
        score = dict(zip([best, *others], self.rated([best, *others]), strict=True))
        ordered = [best, *sorted(others, key=lambda path: (-score[path], path))]
        return [Ranked(path, score[path], self.evaluator.known.get(path)) for path in ordered]

    def rated(self, paths: Sequence[Choice]) -> list[float]:
        """The sum of the scores of a path's candidates."""
        scores = self.scores
        return [sum(row[i] for row, i in zip(scores, path, strict=True)) for path in paths]
