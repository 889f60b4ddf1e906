"""Single-path one-shot search (SPOS, Guo et al., ECCV 2020): a supernet, then evolution on it."""

from typing import Annotated, ClassVar

from pydantic import Field

from autospace.runs.settings import Section
from autospace.searchers.fitness_search import Fitness, FitnessSearch, make_fitness
from autospace.searchers.problem import SearchProblem
from autospace.seeds import stream


class SposOptions(Section):
    """Evolution over paths."""

    population: Annotated[int, Field(ge=2, le=10_000)] = 20
    parents: Annotated[int, Field(ge=1, le=10_000, description="best paths kept")] = 5
    mutation: Annotated[float, Field(gt=0, le=1, description="per layer")] = 0.1


class Spos(FitnessSearch):
    """Evolves paths: each generation is half mutants and half crossovers of the best so far.

    Mutants and crossovers are half each, as in the released code, where parents are a fifth of the
    population and not a quarter. A random path takes the place of a child if only known ones turn
    up.
    """

    options_type: ClassVar[type[Section]] = SposOptions

    def __init__(
        self, problem: SearchProblem, options: SposOptions, fitness: Fitness | None = None
    ) -> None:
        super().__init__(problem, options, fitness or make_fitness(problem, "supernet"))
        self._options = options

    def search(self, index: int) -> None:
        """Evaluates a path: a random one in the first generation, later a child of the best."""
        rng = stream(self.problem.seed, "spos", index)
        choices, options = self.problem.choices, self._options
        generation, place = divmod(index, options.population)
        path = choices.draw(rng)
        if generation > 0:
            best = self.best(options.parents)
            for _ in range(50):
                if place % 2:
                    child = choices.mutated(rng.choice(best), rng, options.mutation)
                else:
                    child = choices.crossed(rng.choice(best), rng.choice(best), rng)
                if child not in self.fitness.known:
                    path = child
                    break
        self.evaluated(path)
