"""Regularised evolution (Real et al., AAAI 2019, algorithm 1): the oldest leaves the queue.

Each cycle the fittest of a sample of the queue is the parent, and a mutant of it in one layer joins
the queue, whose oldest leaves, however fit it is. What the queue has forgotten can still be the
result. Here no architecture is judged twice, nor any over a limit: such mutants are drawn again.
"""

import random
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from autospace.evolution.toolbox import tournament
from autospace.runs.settings import Section
from autospace.searchers.fitness_search import FITNESSES, FitnessName, FitnessSearch
from autospace.searchers.method import SearchProblem
from autospace.searchers.sampling.zero_cost import ScoreName, ScoreOptions, Scores
from autospace.seeds import stream
from autospace.spaces.choices import Choice

MUTANTS: Final = 50
"""Drawn before a parent is given up: all its neighbours may be known."""


class EvolutionOptions(Section):
    """The queue, what fitness is, and how the queue is filled at first."""

    population: Annotated[int, Field(ge=1, le=10_000, description="length of the queue")] = 20
    sample: Annotated[int, Field(ge=1, le=10_000, description="drawn with replacement")] = 5
    fitness: FitnessName = "supernet"
    start: Literal["random"] | ScoreName = "random"
    start_pool: Annotated[
        int, Field(ge=1, le=10**6, description="scored to choose the first queue from")
    ] = 100


class Evolution(FitnessSearch):
    """One architecture a step; the queue is what was judged last.

    With `start` naming a score, steps that score a random architecture each come before those that
    judge, and the best of them fill the queue (NASWOT's seeding, Mellor et al., ICML 2021).
    """

    remembered = ("scores",)
    options_type = EvolutionOptions

    def __init__(self, problem: SearchProblem, options: EvolutionOptions) -> None:
        super().__init__(problem, options, FITNESSES[options.fitness](problem))
        self._options = options
        self.scores: Scores | None = None
        if options.start != "random":
            self.scores = Scores(problem, ScoreOptions(score=options.start))

    @property
    def search_steps(self) -> int:
        """Those that score, then one for every architecture that may be judged."""
        return self._scored + self.most_evaluations

    def search(self, index: int) -> None:
        """Scores an architecture for the first queue, or judges the next one."""
        if self.scores is not None and index < self._scored:
            rng = stream(self.problem.seed, "evolution", "score", index)
            self.scores.of(self.problem.choices.draw_new(rng, self.scores.known))
            return
        self.judged(self.next_path(index - self._scored))

    def next_path(self, cycle: int) -> Choice:
        """A first member of the queue, or a mutant of the fittest of a sample."""
        known = self.fitness.known
        rng = stream(self.problem.seed, "evolution", cycle)
        full = len(known) >= self._options.population
        offered = self._mutants(rng) if full else self._best_scored()
        fresh = next((path for path in offered if path not in known), None)
        return fresh or self.problem.choices.draw_new(rng, known)

    @property
    def queue(self) -> list[Choice]:
        """The population, oldest first."""
        return list(self.fitness.known)[-self._options.population :]

    def _mutants(self, rng: random.Random) -> Iterator[Choice]:
        """Of the fittest of a sample of the queue, each in one layer."""
        queue, known = self.queue, self.fitness.known
        parent = queue[tournament([known[path] for path in queue], self._options.sample, rng)]
        return (self.problem.choices.mutated(parent, rng, 0) for _ in range(MUTANTS))

    def _best_scored(self) -> list[Choice]:
        scores = {} if self.scores is None else self.scores.known
        return sorted(scores, key=lambda path: -scores[path])

    @property
    def _scored(self) -> int:
        return 0 if self.scores is None else self._options.start_pool
