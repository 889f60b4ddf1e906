"""Search without training: architectures ranked by scores of their untrained networks.

Random architectures are scored, and the best score wins (NASWOT, Mellor et al., ICML 2021,
algorithm 1). Most scores grow with the size of the network. Bins of similar cost remove this bias:
architectures compete within their bin, the best of every bin come first, and the training of the
finalists decides between the bins.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from autospace.evaluators.zero_cost import NO_FLOW, ZERO_COST, ZeroCostEvaluator
from autospace.runs.settings import Section
from autospace.runs.state import Stateful
from autospace.searchers.method import Ranked, SearchMethod
from autospace.searchers.problem import SearchProblem
from autospace.seeds import derived_seed, stream
from autospace.spaces.cells.family import FAMILIES, work
from autospace.spaces.choices import Choice, SearchError

MOST_RANKED = 100

ScoreName = Literal["naswot", "synflow", "jacob_cov", "snip", "grad_norm", "params", "madds"]


class ScoreOptions(Section):
    """The score, and the number of initialisations over which it is averaged."""

    score: ScoreName = "naswot"
    initialisations: Annotated[int, Field(ge=1, le=1000, description="the score is their mean")] = 1


class ZeroCostOptions(ScoreOptions):
    """The score, and the bins; by default all architectures are in one bin."""

    bins: Annotated[int, Field(ge=1, le=100, description="bins of equal size, by MAdds or OPs")] = 1


class Scores(Stateful):
    """Scores of untrained paths; larger is better, and every path is scored once."""

    remembered = ("known",)

    def __init__(self, problem: SearchProblem, options: ScoreOptions) -> None:
        self._problem, self._options = problem, options
        if problem.table is not None and options.score in ZERO_COST:
            needs = f"options: score {options.score} needs images, and a table has none"
            raise SearchError(f"{needs}; allowed: params, madds")
        skeleton = problem.choices.space.skeleton
        if skeleton.reads != "images" and options.score in ZERO_COST:
            needs = f"options: score {options.score} needs images, and {skeleton.name} reads"
            raise SearchError(f"{needs} {skeleton.reads}; allowed: params, madds")
        if options.score == "synflow" and FAMILIES[problem.choices.space.kind].binary:
            others = [name for name in (*ZERO_COST, "params", "madds") if name != "synflow"]
            raise SearchError(f"options: score {NO_FLOW}; allowed: {', '.join(others)}")
        self.known: dict[Choice, float] = {}

    def of(self, path: Choice) -> float:
        """The mean score of a path over initialisations, each with a batch of its own."""
        if path not in self.known:
            self.known[path] = self._measured(path)
        return self.known[path]

    def _measured(self, path: Choice) -> float:
        name = self._options.score
        cost = self._problem.choices.cost(path)
        if name == "params":
            return float(cost.params)
        if name == "madds":
            return float(work(self._problem.choices.space.kind, cost))
        architecture = self._problem.choices.architecture(path)
        evaluator = ZeroCostEvaluator(self._problem.images, ZERO_COST[name])
        count = self._options.initialisations
        seeds = (derived_seed(self._problem.seed, "zero-cost", i) % 2**31 for i in range(count))
        return sum(evaluator.evaluate(architecture, seed).score for seed in seeds) / count


class ZeroCost(SearchMethod):
    """Scores random architectures and trains none."""

    even = True
    remembered = ("scores",)
    options_type = ZeroCostOptions

    def __init__(self, problem: SearchProblem, options: ZeroCostOptions) -> None:
        super().__init__(problem, options)
        bins, finalists = options.bins, problem.config.finalists
        if bins > finalists:
            why = f"with {finalists} finalists the cheapest bins would have none"
            allowed = f"up to {finalists}, or also --set finalists={bins}"
            raise SearchError(f"options.bins: {bins}, but {why}; allowed: {allowed}")
        self._bins = options.bins
        self.scores = Scores(problem, options)

    @property
    def steps(self) -> int:
        """One per architecture."""
        return self.most_evaluations

    def step(self, index: int) -> None:
        """Scores a random architecture that has not been scored, if there is one left."""
        rng = stream(self.problem.seed, "zero-cost", index)
        path = self.problem.choices.draw_new(rng, self.scores.known)
        self.offer(Ranked(path, self.scores.of(path)))
        self.evaluations = len(self.scores.known)

    def ranked(self) -> list[Ranked]:
        """Architectures by score; with bins, the best of each bin first, by decreasing cost."""
        known = self.scores.known
        choices = self.problem.choices
        costs = {path: work(choices.space.kind, choices.cost(path)) for path in known}
        return [Ranked(path, known[path]) for path in in_bins(known, costs, self._bins)][
            :MOST_RANKED
        ]

    def rated(self, paths: Sequence[Choice]) -> list[float]:
        """The scores."""
        return [self.scores.of(path) for path in paths]


def in_bins(scores: Mapping[Choice, float], costs: Mapping[Choice, int], bins: int) -> list[Choice]:
    """Paths by their rank within their bin; equal ranks by decreasing cost.

    The bins hold equal numbers of paths, as far as these can be divided evenly.
    """
    ordered = sorted(scores, key=lambda path: (-costs[path], path))
    placed = []
    for number in range(bins):
        start, end = (len(ordered) * (number + i) // bins for i in (0, 1))
        inside = sorted(ordered[start:end], key=lambda path: -scores[path])
        placed += [(place, number, path) for place, path in enumerate(inside)]
    return [path for _, _, path in sorted(placed)]
