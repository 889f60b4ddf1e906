"""A whole comparison: matched networks, evaluations, verdict; resumable at any time."""

from typing import Protocol

from autospace.comparison.effects import LEVEL
from autospace.comparison.encoding import to_text
from autospace.comparison.evaluating import Evaluations, error_of
from autospace.comparison.folder import ComparisonFolder
from autospace.comparison.notes import notes_on
from autospace.comparison.power import ASSUMED_SPREAD, MOST
from autospace.comparison.result import Comparison, DataFacts, Power, Sample
from autospace.comparison.sample_size import (
    PLANNED_LEVEL,
    found_with,
    level_of,
    needed_for,
    planned,
    spread_of,
)
from autospace.comparison.setup import Prepared, prepare
from autospace.comparison.sources import load_source
from autospace.comparison.verdict import judge, not_comparable
from autospace.data.images import Images
from autospace.evaluators.cache import EvaluationCache
from autospace.evaluators.evaluator import Evaluation
from autospace.evaluators.make import make_evaluator
from autospace.evaluators.settings import SCORES_ONLY
from autospace.evaluators.workers import default_workers, making


class Observer(Protocol):
    """Who is told how a comparison goes on. Any method may raise to stop it."""

    def say(self, message: str) -> None:
        """A remark for the user."""
        ...

    def tick(self, phase: str, done: int, total: int) -> None:
        """Work done within a phase: `data`, `supernet` or `evaluate`."""
        ...


def compare(
    folder: ComparisonFolder,
    observer: Observer,
    *,
    device: str | None = None,
    workers: int | None = None,
) -> Comparison:
    """Makes, or goes on with, the comparison in a folder, and writes its result there.

    Args:
        folder: a new comparison, or one that was stopped.
        observer: is told how it goes on.
        device: in place of the one in the settings.
        workers: processes that evaluate; by default one per core, on a GPU one.

    Raises:
        DataError, SpaceError, ConfigError, EvaluationError, RunError: what the settings ask for
            cannot be.
            The last also if another process is working on it.
    """
    with folder.locked():
        try:
            config = folder.config
            spaces = folder.spaces() or [load_source(each, config.seed) for each in config.spaces]
            prepared = prepare(config, spaces, folder.store, device, observer.tick)
        except Exception:
            folder.abandon()
            raise
        folder.settle(spaces, prepared.images.data.digest)
        for note in prepared.images.data.notes:
            observer.say(note)
        if prepared.matching.comparable:
            comparison = _compared(prepared, folder, observer, workers)
        else:
            comparison = _incomparable(prepared)
        folder.save(to_text(comparison))
        return comparison


def _compared(
    prepared: Prepared, folder: ComparisonFolder, observer: Observer, workers: int | None
) -> Comparison:
    images, setup = prepared.images, prepared.setup
    method = prepared.config.evaluator.method
    cache = EvaluationCache(folder.evaluations, setup.conditions(images))
    with making(
        setup,
        workers or default_workers(images.device),
        lambda: make_evaluator(setup, images, observer.tick),
        shared=method == "supernet",
    ) as maker:
        evaluations = Evaluations(prepared, cache, maker, observer.tick)
        samples = _samples(prepared, evaluations.of(_count(prepared, evaluations, observer)))
    errors = [sample.means for sample in samples]
    level = _level(prepared)
    pairs = judge(errors, prepared.labels, paired=prepared.paired, method=method, level=level)
    power = _power(prepared, errors)
    return Comparison(
        prepared.config,
        _facts(images),
        prepared.matching,
        samples,
        tuple(pairs),
        power,
        pairs[0].sentence,
        notes_on(prepared, samples, power),
    )


def _incomparable(prepared: Prepared) -> Comparison:
    config = prepared.config
    spans = []
    for pool in prepared.pools:
        cost = pool.cost(config.sampling.match)
        spans.append((int(cost.min()), int(cost.max())))
    samples = _samples(prepared, [[] for _ in prepared.spaces])
    power = Power(None, None, None, None)
    return Comparison(
        config,
        _facts(prepared.images),
        prepared.matching,
        samples,
        (),
        power,
        not_comparable(prepared.labels, spans, config.sampling.match),
        notes_on(prepared, samples, power),
    )


def _count(prepared: Prepared, evaluations: Evaluations, observer: Observer) -> int:
    """Networks per space."""
    config, most = prepared.config, len(prepared.matching.tuples)
    if config.evaluator.method in SCORES_ONLY:
        return config.sampling.samples or min(MOST, most)
    level = level_of(len(prepared.spaces) - 1, _level(prepared))
    spread = ASSUMED_SPREAD * 2**0.5
    if config.sampling.samples is not None:
        found = found_with(config.sampling.samples, spread, level, paired=prepared.paired)
        observer.say(
            f"n = {config.sampling.samples} each finds {found:.2g} points with 80 % power, "
            f"if errors spread by {ASSUMED_SPREAD} points"
        )
        return config.sampling.samples
    needed = needed_for(config.sampling.effect, spread, level, paired=prepared.paired)
    observer.say(
        f"to find {config.sampling.effect:g} points with 80 % power takes n = {needed} each, "
        f"if errors spread by {ASSUMED_SPREAD} points; a pilot will tell"
    )
    return planned(
        evaluations.errors, config.sampling.effect, most, paired=prepared.paired, say=observer.say
    )


def _power(prepared: Prepared, errors: list[list[float]]) -> Power:
    config, paired = prepared.config, prepared.paired
    level = level_of(len(errors) - 1, _level(prepared))
    if config.evaluator.method in SCORES_ONLY:
        return Power(None, None, None, None)
    spread = spread_of(errors, paired=paired)
    found = found_with(len(errors[0]), spread, level, paired=paired)
    if config.sampling.samples is not None:
        return Power(None, None, spread, found)
    needed = needed_for(config.sampling.effect, spread, level, paired=paired)
    return Power(config.sampling.effect, needed, spread, found)


def _level(prepared: Prepared) -> float:
    """Confidence of the verdict, before it is shared among several pairs."""
    config = prepared.config
    given = config.sampling.samples is not None or config.evaluator.method in SCORES_ONLY
    return LEVEL if given else PLANNED_LEVEL


def _samples(prepared: Prepared, found: list[list[tuple[Evaluation, ...]]]) -> tuple[Sample, ...]:
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


def _facts(images: Images) -> DataFacts:
    data = images.data
    return DataFacts(
        data.name, data.digest, len(data.classes), len(images.training), len(images.measured)
    )
