"""A whole comparison: matched networks, their evaluations, the verdict. It can be resumed."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import zip_longest
from statistics import fmean
from typing import Final

from autospace.comparison.document import ComparisonDocument, PowerDocument
from autospace.comparison.encoding import Sample, document
from autospace.comparison.evaluations import Evaluations, error_of
from autospace.comparison.folder import ComparisonFolder
from autospace.comparison.planning import (
    confidence,
    effect_of,
    make_plan,
    network_count,
    too_many_diverged,
    trains,
)
from autospace.comparison.sample_size import (
    MOST_COUNTED,
    PILOT,
    POWER,
    counted,
    found_with,
    in_points,
    level_of,
    needed_for,
    spread_of,
)
from autospace.comparison.settings import SamplingConfig
from autospace.comparison.setup import PreparedComparison, load_source, prepare
from autospace.comparison.verdict import (
    ComparedPair,
    compare_pairs,
    untrained,
)
from autospace.compute.executor import Executor, open_pool
from autospace.compute.pool import POOL
from autospace.data.examples import DataSet
from autospace.data.settings import PYTHON
from autospace.data.splits import few_measured
from autospace.evaluators.evaluate import (
    EvaluationCache,
    EvaluationJob,
    executor_of,
    pooled,
    use_of_devices,
)
from autospace.evaluators.evaluator import (
    PROXIES,
    SCORES_ONLY,
    Evaluation,
    EvaluationError,
    architecture_key,
    skeleton_key,
)
from autospace.evaluators.make import Basis
from autospace.evaluators.tabular import Table
from autospace.networks.rounding import rounding
from autospace.progress import Observer, OfNodes
from autospace.spaces.cost import NAMES
from autospace.spaces.errors import SpaceError
from autospace.spaces.space import Space


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
        executor = Executor.of(workers)
        try:
            folder.check_unchanged()
            executor.check()
            config = folder.config
            loaded = folder.spaces() or [
                given or _named_space(source, folder)
                for source, given in zip_longest(config.spaces, spaces)
            ]
            reading = partial(observer.tick, "data")
            prepared = prepare(config, loaded, folder.store, device, reading, images, executor)
            executor = executor_of(prepared.setup, executor)
        except Exception:
            folder.abandon()
            raise
        folder.settle(loaded, prepared.basis.digest)
        if not isinstance(prepared.basis, Table):
            folder.save_data(prepared.basis.record)
        for note in (*prepared.basis.lines, *use_of_devices(prepared.setup, executor)):
            observer.message(note)
        comparison = _compared(prepared, folder, observer, executor)
        folder.save_result(comparison)
        return comparison


def _compared(
    prepared: PreparedComparison, folder: ComparisonFolder, observer: Observer, executor: Executor
) -> ComparisonDocument:
    setup = prepared.setup
    method = prepared.config.evaluator.method
    cache = EvaluationCache(folder.evaluations, setup.conditions(prepared.basis))
    job = EvaluationJob(setup, prepared.basis, partial(observer.tick, "supernet"))
    observer.planned(make_plan(prepared, cache, executor))
    if not prepared.matching.comparable:
        return _incomparable(prepared)
    cache.open()
    with open_pool(
        executor,
        folder.checkpoint / POOL,
        errors=(EvaluationError, SpaceError),
        rounding=rounding,
        on_message=observer.message,
        on_nodes=observer.nodes,
    ) as pool:
        tick = partial(OfNodes(observer, lambda: pool.shares).tick, "evaluate")
        evaluations = Evaluations(prepared, cache, pooled(pool, job), tick)
        count = network_count(prepared, evaluations, observer)
        samples = _samples(prepared, evaluations.of(count))
    lost = [len(sample.diverged) if trains(prepared) else 0 for sample in samples]
    if too_many_diverged(lost, count):
        return _undecidable(prepared, samples, lost)
    errors = [sample.means for sample in samples]
    level = confidence(prepared)
    pairs = compare_pairs(
        errors, prepared.labels, paired=prepared.paired, method=method, level=level, diverged=lost
    )
    power = _power(prepared, errors)
    notes = [*notes_on(prepared, samples, power), *undecided(pairs, prepared, errors)]
    return document(prepared, samples, pairs, power, sentence=pairs[0].sentence, notes=notes)


def undecided(
    pairs: Sequence[ComparedPair], prepared: PreparedComparison, errors: Sequence[Sequence[float]]
) -> list[str]:
    """How many networks would decide the pairs without a verdict, if the differences are real.

    Args:
        pairs: the comparisons with the first space.
        prepared: the comparison.
        errors: of every space, one per network; scores do not count.
    """
    found: list[str] = []
    if prepared.config.evaluator.method in SCORES_ONLY:
        return found
    for pair in pairs:
        small = abs(pair.effect.value)
        # That of this pair: others may spread much more.
        spread = spread_of([errors[0], errors[pair.b]], paired=prepared.paired)
        # Means that are equal but for rounding differ by less than the last digit of an error.
        if pair.verdict != "none" or small < SMALLEST or not spread:
            continue
        needed = needed_for(small, spread, pair.level, paired=prepared.paired)
        names = f"{prepared.labels[0]} and {prepared.labels[pair.b]}"
        about = "" if needed >= MOST_COUNTED else "about "
        found.append(
            f"{about}{counted(needed)} networks per space would decide between {names} (80 % "
            f"power), if their true difference is the one found here, "
            f"{in_points(f'{100 * small:.2g}')}"
        )
    return found


def _incomparable(prepared: PreparedComparison) -> ComparisonDocument:
    samples = _samples(prepared, [[] for _ in prepared.spaces])
    power = PowerDocument(power=POWER)
    why, *clauses = prepared.incomparable()
    cannot = f"the spaces cannot be compared at equal {NAMES[prepared.config.sampling.match]}"
    sentence = "; ".join((f"{cannot}, because {why}", *clauses))
    notes = notes_on(prepared, samples, power)
    return document(prepared, samples, (), power, sentence=sentence, notes=notes)


def _undecidable(
    prepared: PreparedComparison, samples: Sequence[Sample], diverged: Sequence[int]
) -> ComparisonDocument:
    power = PowerDocument(power=POWER)
    sentence = untrained(prepared.labels, diverged, len(samples[0].rows))
    notes = notes_on(prepared, samples, power)
    return document(prepared, samples, (), power, sentence=sentence, notes=notes)


def _power(prepared: PreparedComparison, errors: list[list[float]]) -> PowerDocument:
    config, paired, count = prepared.config, prepared.paired, len(errors[0])
    level = level_of(len(errors) - 1, confidence(prepared))
    if config.evaluator.method in SCORES_ONLY:
        return PowerDocument(power=POWER)
    spread = spread_of(errors, paired=paired)
    found = found_with(count, spread, level, paired=paired)
    if config.sampling.samples is not None:
        return PowerDocument(power=POWER, spread=spread, detectable=found)
    effect = effect_of(prepared)
    return PowerDocument(
        effect=effect,
        power=POWER,
        samples=needed_for(effect, spread, level, paired=paired),
        spread=spread,
        detectable=found,
        pilot=min(PILOT, count),
    )


def _samples(
    prepared: PreparedComparison, found: list[list[tuple[Evaluation, ...]]]
) -> tuple[Sample, ...]:
    config, basis = prepared.config, prepared.basis
    tuples = prepared.matching.tuples[: len(found[0])]
    seeds = config.sampling.repeats
    if isinstance(basis, Table):
        seeds = min(seeds, basis.fewest_scores)
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
            seeds,
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
        *_on_the_depth(prepared, samples),
        *_on_the_length(prepared),
        *_on_the_diverged(prepared, samples),
    )


DEPTH_APART: Final = 1.0
"""Layers: spaces whose networks have that many more on average differ in depth."""
SMALLEST: Final = 1e-9
"""Errors are rounded to eight decimals."""
UNITS: Final = {"text": "tokens", "sentences": "sentences"}
"""What is counted, by what networks read; images otherwise."""


def _on_the_images(prepared: PreparedComparison) -> tuple[str, ...]:
    if isinstance(prepared.basis, Table) or prepared.config.evaluator.method in SCORES_ONLY:
        return ()  # no errors are measured
    units = UNITS.get(prepared.spaces[0].skeleton.reads, "images")
    few = few_measured("errors were measured", len(prepared.basis.measured), units)
    return (*few, *prepared.basis.warnings)


def _on_the_method(prepared: PreparedComparison) -> Iterator[str]:
    config = prepared.config.evaluator
    if config.method in PROXIES:
        yield (
            f"{config.method} is a proxy ({PROXIES[config.method]}): only training can confirm "
            "the verdict"
        )
    if config.method in SCORES_ONLY:
        of_scores = {"method", "split", "table"}
        given = config.model_dump(exclude=of_scores, exclude_defaults=True)
        names = [f"evaluator.{each}" for each in given]
        if prepared.config.sampling.effect != SamplingConfig().effect:
            names.append("sampling.effect")  # of errors, which scores are not
        if names:
            said = f"{config.method} is a score of untrained networks"
            yield f"{', '.join(names)} without effect: {said}"
    if config.method == "supernet":
        yield "only one supernet was trained: the intervals leave out how supernets vary"
    if config.split == "validation":
        yield (
            "errors were measured on a part of the train split: a space that was learned on these "
            "images has seen them and has an advantage"
        )
    if not prepared.matching.comparable:
        return
    if _single(prepared.basis):
        yield "the table has one score of each network: how it varies with the seed is unknown"
    elif config.method in ("train", "table") and prepared.config.sampling.repeats == 1:
        yield "each network was trained with one seed only: its error varies with the seed"


def _single(basis: Basis) -> bool:
    """Whether the basis is a table of one score per network: no seed changes an evaluation."""
    return isinstance(basis, Table) and basis.scores.shape[1] == 1


def _on_the_spaces(prepared: PreparedComparison) -> Iterator[str]:
    if not prepared.matching.comparable:
        return  # there is no verdict
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
    again = "have equal errors" if _single(prepared.basis) else "got other seeds"
    for sample in samples:
        different = len({architecture_key(network) for network in sample.networks})
        if different < len(sample.rows):
            yield (
                f"{sample.label}: {len(sample.rows)} draws gave {different} different "
                f"network{'' if different == 1 else 's'}; repeated networks {again}"
            )
    if power.effect is not None and (power.detectable or 0.0) > 1.05 * power.effect:
        yield (
            "there are too few networks to detect a difference of "
            f"{in_points(f'{100 * power.effect:g}')}, which takes {counted(power.samples or 0)} "
            "per space; these networks can detect a difference of "
            f"{in_points(f'{100 * (power.detectable or 0.0):.2g}')}"
        )


def _on_the_depth(prepared: PreparedComparison, samples: Sequence[Sample]) -> Iterator[str]:
    # After short trainings, networks of few layers are ahead that may fall behind after long ones.
    if not trains(prepared) or not all(sample.rows for sample in samples):
        return
    depths = [
        fmean(len(network.cells) - network.skipped for network in sample.networks)
        for sample in samples
    ]
    if max(depths) - min(depths) < DEPTH_APART:
        return
    (first, depth), *others = [
        (sample.label, f"{depth:.1f}") for sample, depth in zip(samples, depths, strict=True)
    ]
    told = [f"networks of {first} have {depth} layers that are not skipped, on average"]
    yield (
        f"{', '.join(told + [f'those of {label} {depth}' for label, depth in others])}: "
        "which depth is best may depend on evaluator.steps"
    )


FEW_EPOCHS: Final = 5.0
"""Trainings that see their images less often are short."""


def _on_the_length(prepared: PreparedComparison) -> Iterator[str]:
    # The lead of wide networks shrank from 1.3 to 5 epochs: docs/evidence/results.md.
    config, basis = prepared.config.evaluator, prepared.basis
    if config.method != "train" or isinstance(basis, Table) or not prepared.matching.comparable:
        return
    count = len(basis.training)
    epochs = config.steps * config.batch * basis.row / count
    if epochs < FEW_EPOCHS:
        units = UNITS.get(prepared.spaces[0].skeleton.reads, "images")
        yield (
            f"{config.steps:,} steps show a network each of {count:,} {units} {epochs:.2g} times: "
            "after longer trainings (evaluator.steps) the verdict may be another one"
        )


MOST_NAMED: Final = 3
"""Networks that diverged and are named, of each space; the file lists all: they have no loss."""


def _on_the_diverged(prepared: PreparedComparison, samples: Sequence[Sample]) -> Iterator[str]:
    if not trains(prepared):
        return
    for sample in samples:
        if sample.diverged:
            numbers = [str(place + 1) for place in sample.diverged]
            more = len(numbers) - MOST_NAMED
            named = ", ".join(numbers[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
            yield f"{sample.label}: diverged in training: network {named} of {len(sample.rows)}"
    if any(sample.diverged for sample in samples):
        rate = prepared.config.evaluator.learning_rate
        yield (
            f"evaluator.learning_rate is {rate:g}; try a lower one, such as "
            f"--set evaluator.learning_rate={rate / 10:g}"
        )
