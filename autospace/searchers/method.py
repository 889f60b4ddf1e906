"""The protocol of a downstream search method: steps that can be interrupted."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from autospace.runs.settings import Section
from autospace.runs.state import Stateful
from autospace.searchers.problem import SearchProblem
from autospace.searchers.trials import Trials
from autospace.spaces.cells.family import work, work_unit
from autospace.spaces.choices import Choice, Choices, SearchError
from autospace.supernets.shared_weights import SharedWeights


class NoOptions(Section):
    """For methods without settings of their own."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """An architecture with the score that its method gives it.

    Attributes:
        score: what the method ranks by; larger is better, units are the method's own.
        accuracy: predicted validation accuracy from 0 to 1; None if the method predicts none.
    """

    path: Choice
    score: float
    accuracy: float | None = None


def ops_of(choices: Choices, path: Choice) -> int | None:
    """OPs of an architecture, rounded up; None where no operation is binary."""
    kind = choices.space.kind
    return work(kind, choices.cost(path)) if work_unit(kind) == "OPs" else None


def stated_work(choices: Choices, path: Choice) -> dict[str, int]:
    """The work of an architecture in a result: MAdds, and OPs where some are binary."""
    ops = ops_of(choices, path)
    return {"madds": choices.cost(path).madds, **({} if ops is None else {"ops": ops})}


class SearchMethod(Stateful, ABC):
    """A search as a number of steps; its remembered parts are all that later steps depend on.

    All random numbers come from a stream named after the step, so that a search that is resumed
    from a saved state gives the same architectures, scores and files as one that was never stopped,
    but for the fields `seconds` and `memory_mb` of `result.json`.
    """

    remembered: ClassVar[tuple[str, ...]] = ("evaluations", "incumbent")
    records = (Ranked,)
    options_type: ClassVar[type[Section]] = NoOptions
    default_evaluations: ClassVar[int] = 200
    even: ClassVar[bool] = False
    """Whether all steps that train weights, or else all steps, take about as long as the first."""
    lasting: ClassVar[bool] = True
    """Whether what `supernets` holds is shared by all architectures that were evaluated."""

    def __init__(self, problem: SearchProblem, options: Section) -> None:
        self.problem = problem
        self.evaluations = 0
        """Architectures evaluated so far, each counted once."""
        self.incumbent: Ranked | None = None
        """The best so far, for the trajectory; None before anything has been evaluated."""

    @property
    def trials(self) -> list[Trials]:
        """What trains architectures alone during the search; none by default."""
        return []

    @property
    def most_evaluations(self) -> int:
        """The number of architectures that may be evaluated."""
        return self.problem.config.evaluations or self.default_evaluations

    @property
    def most_networks(self) -> int:
        """How many different architectures are evaluated at most: no more than the space has."""
        return min(self.most_evaluations, self.problem.choices.space.size)

    @property
    def notes(self) -> list[str]:
        """What a user should know before the search begins, in lines."""
        return []

    @property
    def supernets(self) -> list[SharedWeights]:
        """The weights that architectures share; none for methods that train each alone."""
        return []

    @property
    def diverged(self) -> bool:
        """After the last step: whether no architecture has shared weights that are numbers."""
        weights = self.supernets
        return self.lasting and bool(weights) and not any(each.finite for each in weights)

    @property
    @abstractmethod
    def steps(self) -> int:
        """The number of steps of the search."""

    @abstractmethod
    def step(self, index: int) -> None:
        """Does step `index`, counted from 0; called once for each, in order."""

    @abstractmethod
    def ranked(self) -> list[Ranked]:
        """After the last step: at least one architecture within all limits, the best first."""

    def details(self) -> dict[str, Any]:
        """After the last step: further content of the result, as JSON values by name."""
        return {}

    def rated(self, paths: Sequence[Choice]) -> list[float] | None:
        """After the last step: the scores of given architectures; larger is better.

        None for methods that know only architectures that they have evaluated. Call this last: it
        may evaluate architectures, which `ranked` would then include.
        """
        del paths
        return None

    def offer(self, found: Ranked) -> None:
        """Makes an architecture the incumbent if its score is the best so far."""
        if self.incumbent is None or found.score > self.incumbent.score:
            self.incumbent = found


HOPELESS: Final = 10
"""A language model whose loss is so many times that of guessing has diverged."""


def check_learned(method: SearchMethod) -> None:
    """Checks, after the last step, that shared weights have not diverged for all architectures.

    What a step trains includes stem and head: once a loss is no number, no path has a finite one.

    Raises:
        SearchError: they have.
    """
    problem = method.problem
    told = [each.accuracy for each in method.ranked() if each.accuracy is not None]
    if method.diverged or (method.supernets and _hopeless(problem, told)):
        raise shared_weights_diverged(problem)


def shared_weights_diverged(problem: SearchProblem) -> SearchError:
    """The error for shared weights whose losses are no numbers."""
    return _diverged("supernet.learning_rate", problem.supernet.learning_rate, "shared weights")


def check_trained(
    problem: SearchProblem, scores: Sequence[float], diverged: Sequence[bool]
) -> None:
    """Checks that not every finalist diverged when it was trained alone.

    Args:
        problem: of the search.
        scores: of the finalists.
        diverged: whether the training of each diverged.

    Raises:
        SearchError: every one did.
    """
    if problem.table is None and (all(diverged) or _hopeless(problem, scores)):
        raise _diverged("trial.learning_rate", problem.config.trial.learning_rate, "finalists")


def _hopeless(problem: SearchProblem, scores: Sequence[float]) -> bool:
    """Whether all scores, 1 / perplexity, are of language models that diverged."""
    skeleton = problem.choices.space.skeleton
    if skeleton.reads != "text" or not scores:
        return False
    guessing = math.log(skeleton.classes)  # of a text, its vocabulary
    return max(scores) < math.exp(-HOPELESS * guessing)


def _diverged(setting: str, rate: float, what: str) -> SearchError:
    advice = f"try a lower rate, such as --set {setting}={rate / 10:g}, in a new search"
    return SearchError(f"{setting}: {rate}; all {what} diverged at this rate; {advice}")
