"""What gradient-based methods share: weights and alpha in turn, and the path that alpha stands for.

A step trains the weights on a training batch. After a warm-up, every so many steps alpha moves
first, on a validation batch and with the weights frozen. Now and then, and after the last step,
the architecture that alpha stands for is judged as a path with the shared weights.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from autospace.runs.state import State
from autospace.searchers.gradient.alphas import Alphas, Rows
from autospace.searchers.method import Method, Ranked
from autospace.searchers.settings import Section
from autospace.spaces.choices import Path
from autospace.supernets.judge import Judge
from autospace.supernets.make import make_path_training
from autospace.supernets.path_training import PathTraining
from autospace.supernets.problem import Problem
from autospace.supernets.shared_weights import Loss, SharedWeights


class GradientOptions(Section):
    """When alpha moves, how far, and how often its architecture is judged."""

    warm_up: Annotated[float, Field(ge=0, lt=1, description="share of steps; alpha rests")] = 0.25
    alpha_every: Annotated[int, Field(ge=1, le=1000, description="steps per alpha step")] = 1
    alpha_travel: Annotated[
        float, Field(gt=0, le=1000, description="alpha's rate times its number of steps")
    ] = 6.0
    judgements: Annotated[int, Field(ge=1, le=1000, description="of the architecture")] = 5


class GradientSearch(Method):
    """Weights and alpha in turn; the result is the allowed architecture of the largest scores.

    `later_steps` is how often a method means to train the weights after the last step of these.
    """

    options_type: ClassVar[type[Section]] = GradientOptions
    betas: ClassVar[tuple[float, float]] = (0.5, 0.999)

    def __init__(self, problem: Problem, options: GradientOptions, later_steps: int = 0) -> None:
        super().__init__(problem, options)
        self.weights = SharedWeights(problem, problem.config.supernet.steps + later_steps)
        self.judge = Judge(problem, self.weights.supernet)
        self.training: PathTraining = make_path_training(self.weights)
        total = problem.config.supernet.steps
        self.warm = min(round(options.warm_up * total), total - 1)
        self.every = options.alpha_every
        alpha_steps = -(-(total - self.warm) // self.every)
        self.alphas = Alphas(problem, options.alpha_travel, alpha_steps, self.betas)
        count = min(options.judgements, problem.config.evaluations or options.judgements)
        searched = total - self.warm
        self._judged_after = {self.warm + -(-searched * i // count) for i in range(1, count + 1)}
        self._judged: list[Path] = []

    @abstractmethod
    def alpha_step(self, index: int) -> None:
        """Moves alpha, and leaves the weights as they are."""

    @abstractmethod
    def weight_loss(self, index: int) -> Loss:
        """What the weights learn from in a step after the warm-up."""

    def warm_up_step(self, index: int) -> None:
        """Trains the weights while alpha rests: path by path, as the settings of a supernet say."""
        self.training.step(index)

    @property
    def supernets(self) -> list[SharedWeights]:
        """The one."""
        return [self.weights]

    @property
    def scores(self) -> Rows:
        """What the result is chosen by: per layer log p of each candidate."""
        return self.alphas.log_probabilities

    @property
    def derived(self) -> Path:
        """The allowed architecture of the largest sum of scores."""
        return self.problem.choices.best(self.scores)

    @property
    def steps(self) -> int:
        """One step of the weights each."""
        return self.problem.config.supernet.steps

    def step(self, index: int) -> None:
        """Alpha if it is its turn, then the weights, then maybe a judgement."""
        if index < self.warm:
            self.warm_up_step(index)
            return
        if (index - self.warm) % self.every == 0:
            self.weights.supernet.train()
            self.alpha_step(index)
        self.weights.step(index, [self.weight_loss(index)])
        if index + 1 in self._judged_after:
            self.judge_derived()

    def progress(self, index: int) -> float:
        """How much of the search lies behind a step after the warm-up: from 0 to 1."""
        last = self.problem.config.supernet.steps - 1 - self.warm
        return (index - self.warm) / max(1, last)

    def judge_derived(self) -> None:
        """Measures the derived architecture with the weights as they now are."""
        path = self.derived
        self.judge.known.clear()
        accuracy = self.judge.accuracy(path)
        if path not in self._judged:
            self._judged.append(path)
            self.evaluations += 1
        self.offer(Ranked(path, accuracy, accuracy))

    def ranked(self) -> list[Ranked]:
        """The derived architecture, then by scores its neighbours and those judged before."""
        choices, best = self.problem.choices, self.derived
        neighbours = {
            (*best[:layer], index, *best[layer + 1 :])
            for layer, size in enumerate(choices.sizes)
            for index in range(size)
        }
        others = [*{*filter(choices.allows, neighbours), *self._judged} - {best}]
        score = dict(zip([best, *others], self.rated([best, *others]), strict=True))
        ordered = [best, *sorted(others, key=lambda path: (-score[path], path))]
        return [Ranked(path, score[path], self.judge.known.get(path)) for path in ordered]

    def rated(self, paths: Sequence[Path]) -> list[float]:
        """The sum of the scores of a path's candidates."""
        scores = self.scores
        return [sum(row[i] for row, i in zip(scores, path, strict=True)) for path in paths]

    def state(self) -> State:
        """Weights, alpha, and what has been judged."""
        plain = {
            "judged": [list(path) for path in self._judged],
            "incumbent": self.incumbent_out(),
        }
        return State(plain=plain).joined(
            self.weights.state().under("weights"),
            self.training.state().under("training"),
            self.alphas.state().under("alphas"),
            self.judge.state().under("judge"),
        )

    def restore(self, state: State) -> None:
        """Takes up weights, alpha, and what has been judged."""
        self._judged = [tuple(path) for path in state.plain["judged"]]
        self.evaluations = len(self._judged)
        self.incumbent_in(state.plain["incumbent"])
        self.weights.restore(state.part("weights"))
        self.training.restore(state.part("training"))
        self.alphas.restore(state.part("alphas"))
        self.judge.restore(state.part("judge"))
