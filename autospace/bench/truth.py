"""Suite `truth`: searches and comparisons against networks that others trained.

The table `nasbench-macro` (Su et al., CVPR 2021) holds the accuracies of all networks of a space
under three seeds. Their mean is the truth about a network. So it is known how far the network that
a search finds is from the best one, and what `compare` should find between two parts of the space.
Nothing is trained, and equal seeds give equal figures in any number of processes.
"""

import math
import random
import statistics
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from autospace.bench.document import Entry
from autospace.comparison.evaluations import Evaluations
from autospace.comparison.matching import Pool, cost_bins
from autospace.comparison.sample_size import MOST, PILOT, PLANNED_LEVEL, needed_for, planned
from autospace.comparison.settings import CompareConfig
from autospace.comparison.setup import PreparedComparison, prepare
from autospace.comparison.statistics import LEVEL, Interval
from autospace.comparison.verdict import compare_pairs
from autospace.compute.executor import open_pool
from autospace.compute.machine import cores
from autospace.compute.worker import Plain, Report, Work
from autospace.evaluators.evaluate import EvaluationCache
from autospace.evaluators.evaluator import Evaluation, EvaluationRequest
from autospace.evaluators.tabular import Table, TableEvaluator, read_table
from autospace.progress import Message, no_message, no_tick
from autospace.searchers.fitness_search import FitnessSearch
from autospace.searchers.make import make_method
from autospace.searchers.method import SearchMethod
from autospace.searchers.problem import SearchProblem
from autospace.searchers.sampling.zero_cost import ZeroCost
from autospace.searchers.settings import SearchConfig
from autospace.seeds import derived_seed, stream
from autospace.spaces.choices import Choice

TABLE: Final = "nasbench-macro"
SEARCHES: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "pnas": ("pnas", {}),
    "enas": ("enas", {}),
    "spos": ("spos", {}),
    "evolution": ("evolution", {}),
    "random": ("random", {}),
    "random-ws": ("random-ws", {}),
    "bnas": ("bnas", {}),
    "zero-cost-madds": ("zero-cost", {"score": "madds"}),
    "zero-cost-params": ("zero-cost", {"score": "params"}),
}
"""Method and options by name, the slowest first."""
COUNTS: Final = (10, 25, 50, 100, 200)
"""Evaluations after which the regret of a search is measured."""
SAMPLES: Final = (8, 20, 50)
"""Networks per space of the comparisons whose intervals are checked."""
LEAST_OVERLAP: Final = 0.05
"""Share of the draws that match, in the pairs of spaces that are compared."""


# Searches.


def best_of_draws(observed: np.ndarray, truth: np.ndarray, count: int, *, again: bool) -> float:
    """Expected truth of the network with the highest observed value among uniform draws.

    P(highest <= v) is (k / N)^n with repeats and C(k, n) / C(N, n) without, where k of N networks
    have a value of at most v. Among equal values, each network is as likely as any other.

    Args:
        observed: what the choice goes by [N].
        truth: what the expectation is of [N].
        count: number of draws n.
        again: whether a network may be drawn repeatedly.
    """
    _, group, sizes = np.unique(observed, return_inverse=True, return_counts=True)
    upto, total = np.cumsum(sizes), len(observed)
    taken = np.zeros(count) if again else np.arange(count)
    reached = np.prod(np.maximum(upto[:, None] - taken, 0) / (total - taken), axis=1)
    means = np.bincount(group, truth) / sizes
    return float(np.diff(reached, prepend=0.0) @ means)


def random_regret(table: Table, count: int, *, again: bool = False) -> float:
    """Expected regret, in points, of random search that sees one seed's column of scores."""
    truth = table.scores.mean(axis=1)
    found = [best_of_draws(seen, truth, count, again=again) for seen in table.scores.T]
    return float(100 * (truth.max() - np.mean(found)))


def regrets(name: str, seed: int, counts: Sequence[int]) -> list[float]:
    """How far the best network found after so many evaluations is from the best of all, in points.

    A search chooses by the scores of one seed. A network's truth is its mean over all seeds.
    """
    table, truth = _table(), _truth()
    method, options = SEARCHES[name]
    plain = {"method": method, "seed": seed, "evaluations": max(counts), "options": options}
    config = SearchConfig.model_validate(
        {**plain, "evaluator": {"method": "table", "table": TABLE}}
    )
    search = make_method(SearchProblem.of(table.choices, table, config))
    for index in range(search.steps):
        search.step(index)
    observed = _observed(search)
    rows = [table.index(table.choices.architecture(path)) for path in observed]
    values = list(observed.values())
    # A method that draws networks repeatedly may have judged fewer different ones.
    places = (values.index(max(values[:count])) for count in counts)
    return [round(100 * float(truth.max() - truth[rows[place]]), 6) for place in places]


def _observed(search: SearchMethod) -> Mapping[Choice, float]:
    """Networks in the order in which they were judged, with what the method saw."""
    if isinstance(search, ZeroCost):
        return search.scores.known
    if isinstance(search, FitnessSearch):
        return search.fitness.known
    raise TypeError(f"{type(search).__name__}; allowed: methods that can search a table")


@cache
def _table() -> Table:
    return read_table(TABLE)


@cache
def _truth() -> np.ndarray:
    means: np.ndarray = _table().scores.mean(axis=1)
    return means


# Comparisons.

Kind = Literal["given", "planned", "equal"]
"""Of a comparison; see `outcomes_of`."""
Kept = tuple[tuple[int, ...], ...]
"""A part of a space: per layer, the candidates that it keeps, by index."""


@dataclass(frozen=True, slots=True)
class PairTruth:
    """What is true of the networks of two spaces at equal cost, with one seed per network.

    Attributes:
        difference: mean error of A minus that of B, a share.
        spread: standard deviation of the difference of one matched pair, a share.
        probability: of an error of B below one of A, for independent draws; equal errors half.
        overlap: share of the draws that match.
    """

    difference: float
    spread: float
    probability: float
    overlap: float


def pair_truth(table: Table, a: Kept, b: Kept) -> PairTruth | None:
    """The truth by enumeration of all networks; None if no cost is in both spaces.

    The costs of matched networks follow the minimum of the two spaces' densities over the bins of
    `autospace.comparison.matching`. Inside a bin, the networks of a space are equally likely.
    """
    paths, place = _paths_and_bins(table)
    inside = [_kept_by(paths, kept) for kept in (a, b)]
    bins = int(place.max()) + 1
    densities = [np.bincount(place[each], minlength=bins) / each.sum() for each in inside]
    shared = np.minimum(*densities)
    overlap = float(shared.sum())
    if not overlap:
        return None
    shared = shared / overlap
    per_network = [
        np.where(each, (shared / np.maximum(density, 1e-300))[place] / each.sum(), 0.0)
        for each, density in zip(inside, densities, strict=True)
    ]
    errors = 1 - table.scores
    means = [float(weights @ errors.mean(axis=1)) for weights in per_network]
    squares = sum(float(weights @ (errors**2).mean(axis=1)) for weights in per_network)
    in_bins = [np.bincount(place, weights * errors.mean(axis=1)) for weights in per_network]
    product = float(np.sum(in_bins[0] * in_bins[1] / np.maximum(shared, 1e-300)))
    difference = means[0] - means[1]
    variance = max(0.0, squares - 2 * product - difference**2)
    return PairTruth(
        difference, math.sqrt(variance), _probability(table.scores, *per_network), overlap
    )


def _probability(scores: np.ndarray, of_a: np.ndarray, of_b: np.ndarray) -> float:
    """P(score of B > score of A) + P(equal) / 2, from the weights of the networks."""
    values, place = np.unique(scores, return_inverse=True)
    place = place.reshape(scores.shape)
    shares = [
        np.bincount(place.ravel(), np.repeat(each, scores.shape[1]) / scores.shape[1], len(values))
        for each in (of_a, of_b)
    ]
    below = np.cumsum(shares[0]) - shares[0] / 2
    return float(shares[1] @ below)


@cache
def _paths_and_bins(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """All paths [N, layers], and the number of the bin of MAdds of each [N]."""
    sizes = table.choices.sizes
    paths = np.indices(sizes).reshape(len(sizes), -1).T
    _, place = np.unique(cost_bins(Pool(table.space, paths).madds), return_inverse=True)
    return paths, place


def _kept_by(paths: np.ndarray, kept: Kept) -> np.ndarray:
    """Whether each path has only candidates that are kept [N]."""
    columns = zip(paths.T, kept, strict=True)
    inside: np.ndarray = np.all([np.isin(*pair) for pair in columns], axis=0)
    return inside


def part_of(sizes: Sequence[int], rng: random.Random) -> Kept:
    """Random candidates of every layer, at least two of them in most layers."""
    while True:
        kept = tuple(
            tuple(index for index in range(size) if chosen >> index & 1)
            for size in sizes
            for chosen in [rng.randrange(1, 2**size)]
        )
        if 2 * sum(len(each) > 1 for each in kept) > len(sizes):
            return kept


@dataclass(frozen=True, slots=True)
class Parts:
    """Two parts of a space, and the truth about them."""

    a: Kept
    b: Kept
    truth: PairTruth


def drawn_parts(
    table: Table, seed: int, purpose: str, accepts: Callable[[PairTruth], bool] = lambda _: True
) -> Parts:
    """Random parts that can be compared and whose truth is accepted."""
    rng, sizes = stream(seed, "truth", purpose), table.choices.sizes
    while True:
        a, b = part_of(sizes, rng), part_of(sizes, rng)
        truth = pair_truth(table, a, b)
        if truth and truth.overlap >= LEAST_OVERLAP and accepts(truth):
            return Parts(a, b, truth)


def needs_a_plan(truth: PairTruth) -> bool:
    """Whether the difference takes more networks than a pilot has, and no more than are allowed."""
    effect = abs(truth.difference)
    if effect == 0:
        return False
    needed = needed_for(effect, truth.spread, PLANNED_LEVEL, paired=True)
    return PILOT < needed <= MOST


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a comparison ended, against the truth.

    Attributes:
        samples: networks per space.
        side: 0 if the interval of the mean difference covers the truth, 1 if all of it is above
            the truth, -1 if below.
        probability_side: the same for the probability of superiority.
        decided: whether the verdict is for one of the spaces.
        right: whether it is for the one that is better.
    """

    samples: int
    side: int
    probability_side: int
    decided: bool
    right: bool


class _Remembered(EvaluationCache):
    """Evaluations in memory."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, int], Evaluation] = {}

    def get(self, task: EvaluationRequest) -> Evaluation | None:
        return self._found.get((task.key, task.seed))

    def put(self, task: EvaluationRequest, evaluation: Evaluation) -> None:
        self._found[task.key, task.seed] = evaluation


class _Comparison:
    """What `compare` does with two parts of the table's space, without a folder."""

    def __init__(self, parts: Parts, seed: int) -> None:
        table = _table()
        plain = {"seed": seed, "spaces": ("a", "b")}
        config = CompareConfig.model_validate(
            {**plain, "evaluator": {"method": "table", "table": TABLE}}
        )
        spaces = [table.choices.restricted(kept).space for kept in (parts.a, parts.b)]
        self._prepared: PreparedComparison = prepare(config, spaces, Path(), None, no_tick)
        self._truth = parts.truth
        evaluator = TableEvaluator(table)

        def evaluate_many(
            tasks: Sequence[EvaluationRequest],
        ) -> Iterable[tuple[int, Evaluation]]:
            return enumerate(evaluator.evaluate(each.architecture, each.seed) for each in tasks)

        self._errors = Evaluations(
            self._prepared, _Remembered(), lambda tasks: iter(evaluate_many(tasks)), no_tick
        ).errors

    def given(self, samples: int) -> Outcome:
        """The outcome with a number of networks that the user chose."""
        return self._outcome(samples, LEVEL)

    def planned(self, effect: float) -> Outcome:
        """The outcome with as many networks as the plan for this effect, a share, asks for."""
        most = len(self._prepared.matching.tuples)
        count = planned(self._errors, effect, most, paired=True, on_message=no_message)
        return self._outcome(count, PLANNED_LEVEL)

    def _outcome(self, samples: int, level: float) -> Outcome:
        errors, labels = self._errors(samples), self._prepared.labels
        (pair,) = compare_pairs(errors, labels, paired=True, method="table", level=level)
        better = "b" if self._truth.difference > 0 else "a"
        return Outcome(
            samples,
            _side(pair.interval, self._truth.difference),
            _side(pair.superiority.probability_interval(pair.level), self._truth.probability),
            decided=pair.verdict != "none",
            right=pair.verdict == better and self._truth.difference != 0,
        )


def _side(interval: Interval, truth: float) -> int:
    return (interval.low > truth) - (interval.high < truth)


def outcomes_of(kind: Kind, seed: int) -> list[Outcome]:
    """One draw of a pair of parts and its comparisons.

    `given`: with each of `SAMPLES`. `planned`: with a plan for the true difference. `equal`: a part
    against itself, with each of `SAMPLES` and with a plan for one point.
    """
    table, run = _table(), derived_seed(seed, "truth", "comparison", kind) % 2**31
    if kind == "planned":
        parts = drawn_parts(table, seed, kind, needs_a_plan)
        return [_Comparison(parts, run).planned(abs(parts.truth.difference))]
    if kind == "given":
        comparison = _Comparison(drawn_parts(table, seed, kind), run)
        return [comparison.given(samples) for samples in SAMPLES]
    a = part_of(table.choices.sizes, stream(seed, "truth", kind))
    comparison = _Comparison(Parts(a, a, PairTruth(0.0, 0.0, 0.5, 1.0)), run)
    return [*(comparison.given(samples) for samples in SAMPLES), comparison.planned(0.01)]


# The suite.


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: seeds per search, and draws of pairs of each kind."""

    seeds: int
    pairs: Mapping[Kind, int]
    counts: tuple[int, ...] = COUNTS


FULL: Final = Size(100, {"given": 1000, "planned": 400, "equal": 400})
QUICK: Final = Size(10, {"given": 100, "planned": 40, "equal": 40})


@dataclass(frozen=True)
class Measured:
    """Regrets per search, seed and count, in points; outcomes per kind, draw and comparison."""

    regrets: dict[str, list[list[float]]]
    outcomes: dict[Kind, list[list[Outcome]]]


class TruthJob:
    """Requests are arguments of `regrets` and `outcomes_of`; see `autospace.compute.pool.Job`."""

    def begin(self, report: Report) -> Work:
        """Works in this process."""
        return _done

    def pack(self, folder: Path, *, whole: bool) -> Plain:
        """Nothing: workers read the table themselves."""

    @staticmethod
    def begin_packed(packed: Plain, folder: Path, report: Report) -> Work:
        """Works in another process."""
        return _done


def _done(request: Plain) -> Plain:
    if "name" in request:
        return regrets(**request)
    return [asdict(outcome) for outcome in outcomes_of(**request)]


def measured(size: Size, on_message: Message, processes: int | None = None) -> Measured:
    """All regrets and outcomes; `processes` is by default the number of cores."""
    requests: list[dict[str, Any]] = [
        {"name": name, "seed": seed, "counts": [*size.counts]}
        for name in SEARCHES
        for seed in range(size.seeds)
    ]
    requests += [
        {"kind": kind, "seed": seed} for kind, count in size.pairs.items() for seed in range(count)
    ]
    results: list[Any] = [None] * len(requests)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_pool(processes or cores(), Path(folder) / "pool") as pool,
    ):
        for done, (place, result) in enumerate(pool.results(TruthJob(), requests)):
            if done % 100 == 0:
                on_message(f"truth: {done} of {len(requests)} searches and comparisons")
            results[place] = result
    found = Measured({name: [] for name in SEARCHES}, {kind: [] for kind in size.pairs})
    for request, result in zip(requests, results, strict=True):
        if "name" in request:
            found.regrets[request["name"]].append(result)
        else:
            found.outcomes[request["kind"]].append([Outcome(**each) for each in result])
    return found


def truth(*, quick: bool, on_message: Message, processes: int | None = None) -> list[Entry]:
    """The entries of the suite. A spread is that of the value itself, not of one draw."""
    found = measured(QUICK if quick else FULL, on_message, processes)
    last = {name: [row[-1] for row in rows] for name, rows in found.regrets.items()}
    entries = [_mean_entry(f"{name}_regret", values) for name, values in last.items()]
    gap = _mean_entry("random_minus_exact", last["random"])
    exact = random_regret(_table(), COUNTS[-1])
    entries.append(gap.model_copy(update={"value": abs(gap.value - exact)}))
    for place, samples in enumerate(SAMPLES):
        given, equal = ([row[place] for row in found.outcomes[kind]] for kind in ("given", "equal"))
        entries += [
            _share_entry(f"misses_{samples}", given, "side"),
            _share_entry(f"superiority_misses_{samples}", given, "probability_side"),
            _share_entry(f"false_verdicts_{samples}", equal, "decided"),
        ]
    plans, equal = ([row[-1] for row in found.outcomes[kind]] for kind in ("planned", "equal"))
    return [
        *entries,
        _share_entry("planned_misses", plans, "side"),
        _share_entry("planned_false_verdicts", equal, "decided"),
        _share_entry("planned_power", plans, "right", "higher"),
    ]


def _mean_entry(metric: str, values: Sequence[float]) -> Entry:
    error = statistics.stdev(values) / math.sqrt(len(values))
    return Entry(
        suite="truth",
        metric=metric,
        value=statistics.mean(values),
        unit="points",
        better="lower",
        spread=error,
        n=len(values),
    )


def _share_entry(
    metric: str,
    outcomes: Sequence[Outcome],
    attribute: str,
    better: Literal["higher", "lower"] = "lower",
) -> Entry:
    """The share of the outcomes whose attribute is not 0 or false."""
    cases = [bool(getattr(outcome, attribute)) for outcome in outcomes]
    # By Laplace's rule, so that the spread is not 0 where all cases agree.
    likely = (sum(cases) + 1) / (len(cases) + 2)
    return Entry(
        suite="truth",
        metric=metric,
        value=statistics.mean(cases),
        unit="share",
        better=better,
        spread=math.sqrt(likely * (1 - likely) / len(cases)),
        n=len(cases),
    )
