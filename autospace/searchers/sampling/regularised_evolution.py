"""Regularised evolution (Real et al., AAAI 2019, algorithm 1): the oldest leaves the queue.

In each cycle the fittest of a sample of the queue becomes the parent. A mutant of it, changed in
one layer, joins the queue, and the oldest architecture leaves, however fit it is. An architecture
that has left can still be the result. Here no architecture is evaluated twice, and none exceeds a
limit: such mutants are drawn again.
"""

import random
from collections.abc import Container, Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from autospace.evolution.toolbox import tournament
from autospace.runs.settings import Section
from autospace.searchers.fitness_search import FitnessName, FitnessSearch, make_fitness
from autospace.searchers.problem import SearchProblem
from autospace.searchers.sampling.zero_cost import ScoreName, ScoreOptions, Scores
from autospace.seeds import stream
from autospace.spaces.choices import Choice

MUTANTS: Final = 50
"""Number of mutants drawn from a parent before it is given up: it may have no new neighbours."""


class EvolutionOptions(Section):
    """The queue, the kind of fitness, and the first members of the queue."""

    population: Annotated[int, Field(ge=1, le=10_000, description="length of the queue")] = 20
    sample: Annotated[int, Field(ge=1, le=10_000, description="drawn with replacement")] = 5
    fitness: FitnessName = "supernet"
    start: Literal["random"] | ScoreName = "random"
    start_pool: Annotated[
        int, Field(ge=1, le=10**6, description="scored to choose the first queue from")
    ] = 100


class Evolution(FitnessSearch):
    """Evaluates one architecture per step; the queue holds those evaluated last.

    If `start` names a zero-cost score, the first steps each score a random architecture, and the
    best of these fill the queue (NASWOT's seeding, Mellor et al., ICML 2021).
    """

    remembered = ("scores",)
    options_type = EvolutionOptions

    def __init__(self, problem: SearchProblem, options: EvolutionOptions) -> None:
        super().__init__(problem, options, make_fitness(problem, options.fitness))
        self._options = options
        self.scores: Scores | None = None
        if options.start != "random":
            self.scores = Scores(problem, ScoreOptions(score=options.start))

    @property
    def search_steps(self) -> int:
        """The steps that score, plus one per evaluation."""
        return self._scored + self.most_evaluations

    def search(self, index: int) -> None:
        """Scores an architecture for the first queue, or evaluates the next architecture."""
        if self.scores is not None and index < self._scored:
            rng = stream(self.problem.seed, "evolution", "score", index)
            self.scores.of(self.problem.choices.draw_new(rng, self.scores.known))
            return
        cycle = index - self._scored
        self.ahead(self._coming(cycle))
        self.evaluated(self.next_path(cycle))

    def _coming(self, cycle: int) -> Iterator[Choice]:
        """What fills the queue: up to there, no result decides what comes next."""
        known = dict.fromkeys(self.fitness.known)
        while len(known) < self._options.population and cycle < self.most_evaluations:
            path = self._first(cycle, known)
            known[path] = None
            cycle += 1
            yield path

    def next_path(self, cycle: int) -> Choice:
        """A first member of the queue; once it is full, a mutant of the fittest of a sample."""
        known = self.fitness.known
        if len(known) < self._options.population:
            return self._first(cycle, known)
        rng = stream(self.problem.seed, "evolution", cycle)
        fresh = next((path for path in self._mutants(rng) if path not in known), None)
        return fresh or self.problem.choices.draw_new(rng, known)

    def _first(self, cycle: int, known: Container[Choice]) -> Choice:
        """A first member of the queue."""
        rng = stream(self.problem.seed, "evolution", cycle)
        fresh = next((path for path in self._best_scored() if path not in known), None)
        return fresh or self.problem.choices.draw_new(rng, known)

    @property
    def queue(self) -> list[Choice]:
        """The population, oldest first."""
        return list(self.fitness.known)[-self._options.population :]

    def _mutants(self, rng: random.Random) -> Iterator[Choice]:
        """Mutants of the fittest of a sample of the queue, each changed in one layer."""
        queue, known = self.queue, self.fitness.known
        parent = queue[tournament([known[path] for path in queue], self._options.sample, rng)]
        return (self.problem.choices.mutated(parent, rng, 0) for _ in range(MUTANTS))

    def _best_scored(self) -> list[Choice]:
        scores = {} if self.scores is None else self.scores.known
        return sorted(scores, key=lambda path: -scores[path])

    @property
    def _scored(self) -> int:
        return 0 if self.scores is None else self._options.start_pool
