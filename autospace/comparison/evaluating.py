"""The evaluations that a comparison asks for."""

from collections import Counter
from functools import partial

from autospace.comparison.setup import Prepared, Tick
from autospace.evaluators.cache import EvaluationCache
from autospace.evaluators.evaluate import evaluate_all
from autospace.evaluators.evaluator import Evaluation, Task, architecture_key
from autospace.evaluators.settings import SCORES_ONLY, Method
from autospace.evaluators.workers import Maker
from autospace.seeds import derived_seed


class Evaluations:
    """Evaluates the first tuples of a matching, as many as are asked for."""

    def __init__(
        self, prepared: Prepared, cache: EvaluationCache, maker: Maker, tick: Tick
    ) -> None:
        self._prepared, self._cache, self._maker = prepared, cache, maker
        self._tick = partial(tick, "evaluate")

    def of(self, count: int) -> list[list[tuple[Evaluation, ...]]]:
        """Per space and network, the evaluations under its seeds."""
        repeats = self._prepared.config.sampling.repeats
        columns = [self._tasks(place, count) for place in range(len(self._prepared.pools))]
        # Tuple by tuple, so that what there is at any time is balanced.
        rows = list(zip(*columns, strict=True))
        tasks = [task for row in rows for network in row for task in network]
        found = iter(evaluate_all(tasks, self._cache, self._maker, self._tick))
        by_row = [[tuple(next(found) for _ in range(repeats)) for _ in row] for row in rows]
        return [list(column) for column in zip(*by_row, strict=True)]

    def errors(self, count: int) -> list[list[float]]:
        """Per space, the mean error of every network."""
        method = self._prepared.config.evaluator.method
        return [
            [sum(error_of(method, each) for each in network) / len(network) for network in column]
            for column in self.of(count)
        ]

    def _tasks(self, place: int, count: int) -> list[list[Task]]:
        """Per network of a space, a task per seed.

        A network that is drawn again gets other seeds: draws have to be independent.
        """
        config, pool = self._prepared.config, self._prepared.pools[place]
        drawn: Counter[str] = Counter()
        tasks = []
        for row in self._prepared.matching.tuples[:count, place]:
            network = pool.architecture(int(row))
            key = architecture_key(network)
            first = drawn[key] * config.sampling.repeats
            drawn[key] += 1
            seeds = (
                derived_seed(config.seed, "evaluation", key, number)
                for number in range(first, first + config.sampling.repeats)
            )
            tasks.append([Task(network, seed) for seed in seeds])
        return tasks


def error_of(method: Method, evaluation: Evaluation) -> float:
    """Lower is better: points of error, or minus the score of methods that know no error."""
    return -evaluation.score if method in SCORES_ONLY else 100 - evaluation.score
