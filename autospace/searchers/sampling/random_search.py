"""Random search: the baselines with weight sharing (Li and Talwalkar, UAI 2019) and without."""

from autospace.runs.settings import Section
from autospace.searchers.fitness_search import AloneFitness, FitnessSearch, OneShot
from autospace.searchers.method import SearchProblem
from autospace.seeds import stream


class RandomSearch(FitnessSearch):
    """Trains random architectures alone, which is slow; the only bias is the short training."""

    def __init__(self, problem: SearchProblem, options: Section) -> None:
        super().__init__(problem, options, AloneFitness(problem))

    def search(self, index: int) -> None:
        """Trains a random architecture that has not been trained, if there is one left."""
        rng = stream(self.problem.seed, "random", index)
        self.evaluated(self.problem.choices.draw_new(rng, self.fitness.known))


class RandomWeightSharing(OneShot):
    """Trains a supernet, then evaluates random architectures with its weights."""

    def search(self, index: int) -> None:
        """Evaluates a random architecture."""
        self.evaluated(self.problem.choices.draw(stream(self.problem.seed, "random-ws", index)))
