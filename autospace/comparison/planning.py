"""How many networks a comparison evaluates, and how long that takes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from autospace.comparison.evaluations import Evaluations, amount
from autospace.comparison.sample_size import (
    ASSUMED_SPREAD,
    MOST,
    PILOT,
    PLANNED_LEVEL,
    counted,
    found_with,
    in_points,
    level_of,
    needed_for,
    planned,
)
from autospace.comparison.setup import PreparedComparison
from autospace.comparison.statistics import LEVEL
from autospace.compute.device import threads
from autospace.compute.executor import Executor
from autospace.compute.timing import Forecast
from autospace.data.images import Halves
from autospace.evaluators.evaluate import EvaluationCache
from autospace.evaluators.evaluator import SCORES_ONLY, EvaluationMethod
from autospace.evaluators.stand_alone import seconds_of
from autospace.evaluators.tabular import Table
from autospace.progress import Observer, Planned

FEW_STEPS: Final = 1000
"""A comparison that trains for fewer steps in all is over before its time is known."""


def make_plan(prepared: PreparedComparison, cache: EvaluationCache, executor: Executor) -> Planned:
    """What will be evaluated, and about how long that takes on this machine.

    Training is timed, unless there is little of it, or everything is known already.
    """
    config, basis = prepared.config, prepared.basis
    networks = _expected(prepared)
    count, known = amount(prepared, cache, networks)
    forecast = None
    if config.evaluator.method == "train" and not isinstance(basis, Table):
        steps = (count - known) * config.evaluator.steps
        if steps >= FEW_STEPS:
            forecast = _timed(prepared, basis, executor, count - known)
    values = {
        prepared.spaces[0].skeleton.reads: None if isinstance(basis, Table) else basis.record,
        "networks_per_space": networks,
        "seeds": config.sampling.repeats,
        "evaluations": count,
        "known_evaluations": known,
        "method": config.evaluator.method,
        "steps": 0 if isinstance(basis, Table) else config.evaluator.steps,
        "estimate": None if forecast is None else forecast.record,
    }
    lines = (_amount(values), *(() if forecast is None else forecast.lines))
    if not networks:
        lines = (*lines, *(f"plan: {clause}" for clause in prepared.incomparable()))
    return Planned(lines, values)


_DONE: Final[Mapping[EvaluationMethod, str]] = {
    "train": "to train for {steps:,} steps",
    "table": "to look up in the table",
    "supernet": "to evaluate with one supernet, which is trained for {steps:,} steps",
}


def _amount(values: Mapping[str, Any]) -> str:
    networks, seeds = values["networks_per_space"], values["seeds"]
    if not networks:
        return "plan: no networks of equal cost, nothing to evaluate"
    each = f"{networks:,} networks per space" + (f", {seeds} seeds each" if seeds > 1 else "")
    done = _DONE.get(values["method"], "to score untrained").format(steps=values["steps"])
    known = values["known_evaluations"]
    return f"plan: {each}: {values['evaluations']:,} {done}" + (f", {known:,} known" * bool(known))


def _timed(
    prepared: PreparedComparison, images: Halves, executor: Executor, count: int
) -> Forecast:
    workers = executor.workers or 1
    with threads(1):  # as every worker has, this process among them
        each = seconds_of(images, prepared.config.evaluator, prepared.pools[0].architecture(0))
    seconds = each * count / workers
    return Forecast(
        seconds,
        images.device,
        workers,
        clustered=executor.clustered,
        most=images.device.type == "cuda",
        others=executor.devices,
    )


def _expected(prepared: PreparedComparison) -> int:
    """Networks per space, as far as that is known before the pilot."""
    config, most = prepared.config, len(prepared.matching.tuples)
    if not prepared.matching.comparable:
        return 0
    if config.evaluator.method in SCORES_ONLY:
        return config.sampling.samples or min(MOST, most)
    # No plan has fewer than its pilot, and none more than `MOST`.
    return config.sampling.samples or min(max(PILOT, needed(prepared)), MOST, most)


def network_count(
    prepared: PreparedComparison, evaluations: Evaluations, observer: Observer
) -> int:
    """Networks per space."""
    config = prepared.config
    if config.evaluator.method in SCORES_ONLY:
        return _expected(prepared)
    level = level_of(len(prepared.spaces) - 1, confidence(prepared))
    spread = ASSUMED_SPREAD * 2**0.5
    if config.sampling.samples is not None:
        found = found_with(config.sampling.samples, spread, level, paired=prepared.paired)
        observer.message(
            f"{config.sampling.samples} networks per space can detect a difference of "
            f"{in_points(f'{100 * found:.2g}')} (80 % power, assuming a standard deviation of "
            f"{100 * ASSUMED_SPREAD:g} points)"
        )
        return config.sampling.samples
    effect, enough, most = effect_of(prepared), needed(prepared), len(prepared.matching.tuples)
    observer.message(
        f"{counted(enough)} networks per space can detect a difference of "
        f"{in_points(f'{config.sampling.effect:g}')} (80 % power, assuming a standard deviation of "
        f"{100 * ASSUMED_SPREAD:g} points); a pilot measures the standard deviation first"
    )
    pilot = min(PILOT, most)
    diverged = [
        sum(any(each.loss is None for each in network) for network in column)
        for column in evaluations.of(pilot)
    ]
    if trains(prepared) and too_many_diverged(diverged, pilot):
        observer.message(f"the comparison ends after the pilot of {pilot}: too many diverged")
        return pilot
    return planned(
        evaluations.errors, effect, most, paired=prepared.paired, on_message=observer.message
    )


def trains(prepared: PreparedComparison) -> bool:
    """Whether weights are trained, so that a training can diverge; its evaluation has no loss."""
    return prepared.config.evaluator.method in ("train", "supernet")


def too_many_diverged(diverged: Sequence[int], samples: int) -> bool:
    """Whether, in some space, so many networks diverged that a verdict would be about them.

    Args:
        diverged: how many in every space.
        samples: networks of every space.
    """
    return any(2 * each >= samples for each in diverged)


def needed(prepared: PreparedComparison) -> int:
    """Networks per space that detect the difference of the settings, if they vary as assumed."""
    spread, level = (
        ASSUMED_SPREAD * 2**0.5,
        level_of(len(prepared.spaces) - 1, confidence(prepared)),
    )
    return needed_for(effect_of(prepared), spread, level, paired=prepared.paired)


def effect_of(prepared: PreparedComparison) -> float:
    """The difference to detect, as a share: in the settings, people write points."""
    return prepared.config.sampling.effect / 100


def confidence(prepared: PreparedComparison) -> float:
    """Confidence level of the verdict, before the correction for several pairs."""
    config = prepared.config
    given = config.sampling.samples is not None or config.evaluator.method in SCORES_ONLY
    return LEVEL if given else PLANNED_LEVEL
