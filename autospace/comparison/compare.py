"""A whole comparison: matched networks, their evaluations, the verdict. It can be resumed."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import zip_longest
from typing import Final

from autospace.comparison.document import ComparisonDocument, PowerDocument
from autospace.comparison.encoding import Sample, document
from autospace.comparison.folder import ComparisonFolder
from autospace.comparison.sample_size import (
    ASSUMED_SPREAD,
    MOST,
    PILOT,
    PLANNED_LEVEL,
    POWER,
    found_with,
    level_of,
    needed_for,
    planned,
    spread_of,
)
from autospace.comparison.setup import PreparedComparison, load_source, prepare
from autospace.comparison.statistics import LEVEL
from autospace.comparison.verdict import ComparedPair, compare_pairs, not_comparable
from autospace.compute.device import threads
from autospace.compute.executor import Executor, open_pool
from autospace.compute.machine import listed
from autospace.compute.pool import POOL
from autospace.data.examples import DataSet
from autospace.data.images import Images
from autospace.data.settings import PYTHON
from autospace.data.splits import few_measured
from autospace.data.summary import record, warnings_of
from autospace.evaluators.evaluate import (
    EvaluateMany,
    EvaluationCache,
    EvaluationJob,
    evaluate_all,
    executor_of,
    pooled,
)
from autospace.evaluators.evaluator import (
    PROXIES,
    SCORES_ONLY,
    Evaluation,
    EvaluationError,
    EvaluationMethod,
    EvaluationRequest,
    architecture_key,
    skeleton_key,
)
from autospace.evaluators.stand_alone import seconds_of
from autospace.evaluators.tabular import Table
from autospace.networks.rounding import rounding
from autospace.progress import Observer, Tick, duration
from autospace.seeds import derived_seed
from autospace.spaces.errors import SpaceError
from autospace.spaces.space import Space

FEW_STEPS: Final = 1000
"""A comparison that trains for fewer steps in all is over before its time is known."""


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
        columns = [self._tasks(place, count) for place in range(len(self._prepared.pools))]
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

    def _tasks(self, place: int, count: int) -> list[list[EvaluationRequest]]:
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
            tasks.append([EvaluationRequest(network, seed) for seed in seeds])
        return tasks


def error_of(method: EvaluationMethod, evaluation: Evaluation) -> float:
    """The error, a share (0 to 1); for methods that give only scores, the negated score."""
    # Rounded as accuracies are, so that equal differences of accuracy are equal as errors, too.
    return -evaluation.score if method in SCORES_ONLY else round(1 - evaluation.score, 8)


def _named_space(source: str, folder: ComparisonFolder) -> Space:
    if source.startswith(f"{PYTHON}:") and folder.reopened:
        name = source.removeprefix(f"{PYTHON}:")
        raise folder.not_begun(f"space {name}, which was passed from Python")
    return load_source(source, folder.config.seed)


def compare(
    folder: ComparisonFolder,
    observer: Observer,
    *,
    device: str | None = None,
    workers: Executor | int | None = None,
    spaces: Sequence[Space | None] = (),
    images: DataSet | None = None,
) -> ComparisonDocument:
    """Starts or resumes the comparison in a folder, and writes its result there.

    Args:
        folder: a new comparison, or one that was stopped.
        observer: receives its progress.
        device: overrides the one in the settings.
        workers: who evaluates, or the number of processes; by default one per core, and one on a
            GPU.
        spaces: spaces passed as values; None for each that a new comparison loads by its name.
        images: overrides the source in the settings.

    Raises:
        DataError, SpaceError, ConfigError, EvaluationError: the settings cannot be carried out.
        RunError: likewise, or another process is working on the comparison.
    """
    with folder.locked():
        folder.check_unchanged()
        executor = Executor.of(workers)
        try:
            executor.check()
            config = folder.config
            loaded = folder.spaces() or [
                given or _named_space(source, folder)
                for source, given in zip_longest(config.spaces, spaces)
            ]
            reading = partial(observer.tick, "data")
            prepared = prepare(config, loaded, folder.store, device, reading, images)
            executor = executor_of(prepared.setup, executor)
        except Exception:
            folder.abandon()
            raise
        folder.settle(loaded, prepared.basis.digest)
        if isinstance(prepared.basis, Images):
            folder.save_data(record(prepared.basis.data))
        for note in prepared.basis.lines:
            observer.message(note)
        if prepared.matching.comparable:
            comparison = _compared(prepared, folder, observer, executor)
        else:
            comparison = _incomparable(prepared)
        folder.save_result(comparison)
        return comparison


def _compared(
    prepared: PreparedComparison, folder: ComparisonFolder, observer: Observer, executor: Executor
) -> ComparisonDocument:
    setup = prepared.setup
    method = prepared.config.evaluator.method
    cache = EvaluationCache(folder.evaluations, setup.conditions(prepared.basis))
    job = EvaluationJob(setup, prepared.basis, partial(observer.tick, "supernet"))
    if cache.empty:
        for line in _plan(prepared, executor):
            observer.message(line)
    with open_pool(
        executor,
        folder.checkpoint / POOL,
        errors=(EvaluationError, SpaceError),
        rounding=rounding,
        on_message=observer.message,
    ) as pool:
        tick = partial(observer.tick, "evaluate")
        evaluations = Evaluations(prepared, cache, pooled(pool, job), tick)
        samples = _samples(prepared, evaluations.of(_count(prepared, evaluations, observer)))
        if pool.shares:
            observer.message(f"evaluated by {listed(pool.shares)}")
    errors = [sample.means for sample in samples]
    level = _level(prepared)
    pairs = compare_pairs(
        errors, prepared.labels, paired=prepared.paired, method=method, level=level
    )
    power = _power(prepared, errors)
    notes = [*notes_on(prepared, samples, power), *undecided(pairs, prepared, power.spread)]
    return document(prepared, samples, pairs, power, sentence=pairs[0].sentence, notes=notes)


def _plan(prepared: PreparedComparison, executor: Executor) -> Iterator[str]:
    """What has to be trained, and about how long that takes on this machine."""
    config, basis = prepared.config, prepared.basis
    steps, repeats = config.evaluator.steps, config.sampling.repeats
    if config.evaluator.method != "train" or isinstance(basis, Table):
        return
    networks = config.sampling.samples or min(_needed(prepared), len(prepared.matching.tuples))
    count = networks * len(prepared.spaces) * repeats
    each = f"{networks:,} networks per space" + (f", {repeats} seeds each" if repeats > 1 else "")
    yield f"plan: {each}: {count:,} to train for {steps:,} steps"
    if count * steps < FEW_STEPS or executor.clustered:
        return
    workers = executor.workers or 1
    alike = f"with {workers} workers" if workers > 1 else "with 1 worker"
    with threads(1) if workers > 1 else nullcontext():
        seconds = seconds_of(basis, config.evaluator, prepared.pools[0].architecture(0))
    took = duration(seconds * count / workers)
    yield f"plan: about {took} on {basis.device.type} {alike}, by a few timed steps"


def undecided(
    pairs: Sequence[ComparedPair], prepared: PreparedComparison, spread: float | None
) -> list[str]:
    """How many networks would decide the pairs without a verdict, if the differences are real."""
    found = []
    for pair in pairs:
        small = abs(pair.effect.value)
        if pair.verdict != "none" or not small or not spread:
            continue
        needed = needed_for(small, spread, pair.level, paired=prepared.paired)
        names = f"{prepared.labels[0]} and {prepared.labels[pair.b]}"
        about = "more than" if needed >= 100 * MOST else "about"
        found.append(
            f"{about} {needed:,} networks per space would decide between {names} (80 % power), "
            f"if their true difference is the one found here, {100 * small:.2g} points"
        )
    return found


def _incomparable(prepared: PreparedComparison) -> ComparisonDocument:
    match = prepared.config.sampling.match
    costs = [pool.cost(match) for pool in prepared.pools]
    spans = [(int(cost.min()), int(cost.max())) for cost in costs]
    samples = _samples(prepared, [[] for _ in prepared.spaces])
    power = PowerDocument(power=POWER)
    sentence = not_comparable(prepared.labels, spans, match)
    notes = notes_on(prepared, samples, power)
    return document(prepared, samples, (), power, sentence=sentence, notes=notes)


def _count(prepared: PreparedComparison, evaluations: Evaluations, observer: Observer) -> int:
    """Networks per space."""
    config, most = prepared.config, len(prepared.matching.tuples)
    if config.evaluator.method in SCORES_ONLY:
        return config.sampling.samples or min(MOST, most)
    level = level_of(len(prepared.spaces) - 1, _level(prepared))
    spread = ASSUMED_SPREAD * 2**0.5
    if config.sampling.samples is not None:
        found = found_with(config.sampling.samples, spread, level, paired=prepared.paired)
        observer.message(
            f"{config.sampling.samples} networks per space can detect a difference of "
            f"{100 * found:.2g} points (80 % power, assuming a standard deviation of "
            f"{100 * ASSUMED_SPREAD:g} points)"
        )
        return config.sampling.samples
    effect, needed = _effect(prepared), _needed(prepared)
    observer.message(
        f"{needed} networks per space can detect a difference of {config.sampling.effect:g} points "
        f"(80 % power, assuming a standard deviation of {100 * ASSUMED_SPREAD:g} points); a pilot "
        "measures the standard deviation first"
    )
    return planned(
        evaluations.errors, effect, most, paired=prepared.paired, on_message=observer.message
    )


def _needed(prepared: PreparedComparison) -> int:
    """Networks per space that detect the difference of the settings, if they vary as assumed."""
    spread, level = ASSUMED_SPREAD * 2**0.5, level_of(len(prepared.spaces) - 1, _level(prepared))
    return needed_for(_effect(prepared), spread, level, paired=prepared.paired)


def _effect(prepared: PreparedComparison) -> float:
    """The difference to detect, as a share: in the settings, people write points."""
    return prepared.config.sampling.effect / 100


def _power(prepared: PreparedComparison, errors: list[list[float]]) -> PowerDocument:
    config, paired, count = prepared.config, prepared.paired, len(errors[0])
    level = level_of(len(errors) - 1, _level(prepared))
    if config.evaluator.method in SCORES_ONLY:
        return PowerDocument(power=POWER)
    spread = spread_of(errors, paired=paired)
    found = found_with(count, spread, level, paired=paired)
    if config.sampling.samples is not None:
        return PowerDocument(power=POWER, spread=spread, detectable=found)
    effect = _effect(prepared)
    return PowerDocument(
        effect=effect,
        power=POWER,
        samples=needed_for(effect, spread, level, paired=paired),
        spread=spread,
        detectable=found,
        pilot=min(PILOT, count),
    )


def _level(prepared: PreparedComparison) -> float:
    """Confidence level of the verdict, before the correction for several pairs."""
    config = prepared.config
    given = config.sampling.samples is not None or config.evaluator.method in SCORES_ONLY
    return LEVEL if given else PLANNED_LEVEL


def _samples(
    prepared: PreparedComparison, found: list[list[tuple[Evaluation, ...]]]
) -> tuple[Sample, ...]:
    config = prepared.config
    tuples = prepared.matching.tuples[: len(found[0])]
    return tuple(
        Sample(
            space,
            prepared.labels[place],
            config.spaces[place],
            prepared.pools[place],
            prepared.matching.shares[place],
            tuple(int(row) for row in tuples[:, place]),
            tuple(networks),
            tuple(
                tuple(error_of(config.evaluator.method, each) for each in network)
                for network in networks
            ),
        )
        for place, (space, networks) in enumerate(zip(prepared.spaces, found, strict=True))
    )


def notes_on(
    prepared: PreparedComparison, samples: Sequence[Sample], power: PowerDocument
) -> tuple[str, ...]:
    """The remarks that hold for this comparison."""
    return (
        *prepared.basis.notes,
        *_on_the_images(prepared),
        *_on_the_method(prepared),
        *_on_the_spaces(prepared),
        *_on_the_samples(prepared, samples, power),
    )


def _on_the_images(prepared: PreparedComparison) -> tuple[str, ...]:
    if isinstance(prepared.basis, Table) or prepared.config.evaluator.method in SCORES_ONLY:
        return ()  # no errors are measured
    few = few_measured("errors were measured", len(prepared.basis.measured))
    return (*few, *warnings_of(prepared.basis.data))


def _on_the_method(prepared: PreparedComparison) -> Iterator[str]:
    config = prepared.config.evaluator
    if config.method in PROXIES:
        yield (
            f"{config.method} is a proxy ({PROXIES[config.method]}): only training can confirm "
            "the verdict"
        )
    if config.method == "supernet":
        yield "only one supernet was trained: the intervals leave out how supernets vary"
    if config.split == "validation":
        yield (
            "errors were measured on a part of the train split: a space that was learned on these "
            "images has seen them and has an advantage"
        )
    one_seed = prepared.config.sampling.repeats == 1 and prepared.matching.comparable
    if config.method in ("train", "table") and one_seed:
        yield "each network was trained with one seed only: its error varies with the seed"


def _on_the_spaces(prepared: PreparedComparison) -> Iterator[str]:
    if len({skeleton_key(space.skeleton) for space in prepared.spaces}) > 1:
        names = sorted({space.skeleton.name for space in prepared.spaces})
        yield (
            f"the spaces have different skeletons ({', '.join(names)}): "
            "the verdict is about skeletons and cells together"
        )
    if prepared.config.sampling.match == "none":
        yield "the networks were not matched by cost: the verdict may reflect a difference in cost"


def _on_the_samples(
    prepared: PreparedComparison, samples: Sequence[Sample], power: PowerDocument
) -> Iterator[str]:
    for sample in samples:
        different = len({architecture_key(network) for network in sample.networks})
        if different < len(sample.rows):
            yield (
                f"{sample.label}: {len(sample.rows)} draws gave {different} different "
                f"network{'' if different == 1 else 's'}; repeated networks got other seeds"
            )
    if power.effect is not None and (power.detectable or 0.0) > 1.05 * power.effect:
        yield (
            f"there are too few networks to detect a difference of {100 * power.effect:g} points, "
            f"which takes {power.samples} per space; these networks can detect a difference of "
            f"{100 * (power.detectable or 0.0):.2g} points"
        )
