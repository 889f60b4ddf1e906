"""Stand-alone trials: an architecture trained briefly from scratch, judged on validation images."""

from autospace.evaluators.settings import EvaluatorConfig
from autospace.evaluators.stand_alone import StandAloneEvaluator
from autospace.runs.state import State
from autospace.seeds import derived_seed
from autospace.spaces.choices import Path
from autospace.supernets.problem import Problem


class Trials:
    """Trains each path once, all under one recipe and seed; remembers what came out."""

    def __init__(self, problem: Problem) -> None:
        config = problem.config
        recipe = EvaluatorConfig(
            split="validation",
            steps=config.trial.steps,
            batch=config.trial.batch,
            learning_rate=config.trial.learning_rate,
        )
        self._problem = problem
        self._evaluator = StandAloneEvaluator(problem.images, recipe)
        self.known: dict[Path, float] = {}

    def accuracy(self, path: Path) -> float:
        """Validation accuracy after training, from 0 to 1."""
        if path not in self.known:
            seed = derived_seed(self._problem.seed, "trial") % 2**31
            architecture = self._problem.choices.architecture(path)
            self.known[path] = self._evaluator.evaluate(architecture, seed).score / 100
        return self.known[path]

    def state(self) -> State:
        """What has been trained."""
        return State(plain={"known": [[list(path), v] for path, v in self.known.items()]})

    def restore(self, state: State) -> None:
        """Takes up what has been trained."""
        self.known = {tuple(path): value for path, value in state.plain["known"]}
