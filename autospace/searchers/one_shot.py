"""What methods share that train one supernet and then judge paths of it: two phases of steps."""

from autospace.searchers.fitness import SharedFitness
from autospace.searchers.fitness_search import FitnessSearch
from autospace.searchers.settings import Section
from autospace.supernets.problem import Problem


class OneShot(FitnessSearch):
    """First the weights are trained, then each further step judges architectures with them."""

    def __init__(self, problem: Problem, options: Section) -> None:
        shared = SharedFitness(problem)
        super().__init__(problem, options, shared)
        self.weights, self.judge = shared.weights, shared.judge
