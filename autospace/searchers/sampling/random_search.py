"""Random search, with weight sharing (Li and Talwalkar, UAI 2019) and without: the baselines."""

from autospace.runs.settings import Section
from autospace.searchers.fitness_search import AloneFitness, FitnessSearch, OneShot
from autospace.searchers.method import SearchProblem
from autospace.seeds import stream


class RandomSearch(FitnessSearch):
    """Random architectures, trained alone: slow; the only bias is the short training."""

    def __init__(self, problem: SearchProblem, options: Section) -> None:
        super().__init__(problem, options, AloneFitness(problem))

    def search(self, index: int) -> None:
        """Trains a random architecture that has not been trained, if there is one left."""
        rng = stream(self.problem.seed, "random", index)
        self.judged(self.problem.choices.draw_new(rng, self.fitness.known))


class RandomWeightSharing(OneShot):
    """A supernet, then as many random architectures as there are evaluations; the best is kept."""

    def search(self, index: int) -> None:
        """Judges a random architecture."""
        self.judged(self.problem.choices.draw(stream(self.problem.seed, "random-ws", index)))
