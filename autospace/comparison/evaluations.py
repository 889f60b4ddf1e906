"""Evaluates the networks of a comparison, tuple by tuple."""

from collections import Counter

from autospace.comparison.setup import PreparedComparison
from autospace.evaluators.evaluate import EvaluateMany, EvaluationCache, evaluate_all
from autospace.evaluators.evaluator import (
    SCORES_ONLY,
    Evaluation,
    EvaluationMethod,
    EvaluationRequest,
    architecture_key,
)
from autospace.progress import Tick
from autospace.seeds import derived_seed


class Evaluations:
    """Evaluates as many tuples of a matching as are asked for, the first ones first."""

    def __init__(
        self,
        prepared: PreparedComparison,
        cache: EvaluationCache,
        evaluate_many: EvaluateMany,
        tick: Tick,
    ) -> None:
        self._prepared, self._cache, self._evaluate_many = prepared, cache, evaluate_many
        self._tick = tick

    def of(self, count: int) -> list[list[tuple[Evaluation, ...]]]:
        """Per space and network, the evaluations under its seeds."""
        repeats = self._prepared.config.sampling.repeats
        columns = [
            requests(self._prepared, place, count) for place in range(len(self._prepared.pools))
        ]
        # Tuple by tuple, so that what there is at any time is balanced.
        rows = list(zip(*columns, strict=True))
        tasks = [task for row in rows for network in row for task in network]
        found = iter(evaluate_all(tasks, self._cache, self._evaluate_many, self._tick))
        by_row = [[tuple(next(found) for _ in range(repeats)) for _ in row] for row in rows]
        return [list(column) for column in zip(*by_row, strict=True)]

    def errors(self, count: int) -> list[list[float]]:
        """Per space, the mean error of every network."""
        method = self._prepared.config.evaluator.method
        return [
            [sum(error_of(method, each) for each in network) / len(network) for network in column]
            for column in self.of(count)
        ]


def requests(prepared: PreparedComparison, place: int, count: int) -> list[list[EvaluationRequest]]:
    """Per network of a space, a request per seed.

    A network that is drawn again gets other seeds: draws have to be independent. The seeds of one
    draw follow each other if they choose scores of a table, so that these are different ones: with
    some of them twice, the variance that is due to the seed would be too low.

    Args:
        prepared: the comparison.
        place: of the space.
        count: of its networks.
    """
    config, pool = prepared.config, prepared.pools[place]
    drawn: Counter[str] = Counter()
    tasks = []
    for row in prepared.matching.tuples[:count, place]:
        network = pool.architecture(int(row))
        key = architecture_key(network)
        first = drawn[key] * config.sampling.repeats
        drawn[key] += 1
        numbers = range(config.sampling.repeats)
        if config.evaluator.table is not None:
            begin = derived_seed(config.seed, "evaluation", key, first)
            seeds = [begin + number for number in numbers]
        else:
            seeds = [derived_seed(config.seed, "evaluation", key, first + each) for each in numbers]
        tasks.append([EvaluationRequest(network, seed) for seed in seeds])
    return tasks


def amount(prepared: PreparedComparison, cache: EvaluationCache, count: int) -> tuple[int, int]:
    """How many different evaluations `count` networks per space take; how many are known."""
    columns = [requests(prepared, place, count) for place in range(len(prepared.pools))]
    every = (task for column in columns for network in column for task in network)
    different = {(task.key, task.seed): task for task in every}
    known = sum(cache.get(task) is not None for task in different.values())
    return len(different), known


def error_of(method: EvaluationMethod, evaluation: Evaluation) -> float:
    """The error, a share (0 to 1); for methods that give only scores, the negated score."""
    # Rounded as accuracies are, so that equal differences of accuracy are equal as errors, too.
    return -evaluation.score if method in SCORES_ONLY else round(1 - evaluation.score, 8)
