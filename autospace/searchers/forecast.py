"""What a search will do, and about how long that takes on this machine."""

from collections.abc import Callable
from typing import Any, Final

from autospace.compute.device import memory_mb
from autospace.compute.executor import Executor
from autospace.compute.timing import Forecast, seconds_of_step
from autospace.evaluators.stand_alone import seconds_of
from autospace.progress import Planned
from autospace.searchers.fitness_search import FitnessSearch
from autospace.searchers.method import SearchMethod
from autospace.searchers.trials import recipe_of
from autospace.seeds import stream

FEW_STEPS: Final = 1000
"""A search that trains for fewer steps in all is over before its time is known."""


def make_plan(
    method: SearchMethod, make: Callable[[], SearchMethod], executor: Executor
) -> Planned:
    """The plan of a search.

    Args:
        method: that will be run.
        make: makes the same again: steps of it are timed, and it is thrown away.
        executor: who trains architectures alone.
    """
    problem, config = method.problem, method.problem.config
    alone = _trained_alone(method)
    training = 0 if method.trials or problem.table is not None else _training_steps(method)
    values = {
        "images": None if problem.table is not None else problem.data.record,
        "method": config.method,
        "space": problem.choices.space.name,
        "steps": training,
        "evaluations": method.most_networks if isinstance(method, FitnessSearch) else None,
        "trained_alone": alone,
        "steps_alone": config.trial.steps if alone else 0,
    }
    enough = training + alone * config.trial.steps >= FEW_STEPS
    forecast = _forecast(method, make(), executor) if enough else None
    values["estimate"] = None if forecast is None else forecast.record
    lines = (*_lines(values), *(() if forecast is None else forecast.lines))
    return Planned(lines, values)


def _lines(values: dict[str, Any]) -> list[str]:
    method, alone = f"plan: method {values['method']}", values["trained_alone"]
    each = f"to train alone, for {values['steps_alone']:,} steps each"
    if alone and not values["steps"]:
        return [f"{method}: {alone:,} networks {each}"]
    steps, evaluations = values["steps"], values["evaluations"]
    parts = [f"{steps:,} steps"] if steps else []
    parts += [f"{evaluations:,} networks to evaluate"] if evaluations else []
    finalists = "1 finalist" if alone == 1 else f"{alone} finalists"
    head = f"{method}: {', '.join(parts)}" if parts else method
    return [head, *([f"plan: {finalists} {each}"] if alone else [])]


def _trained_alone(method: SearchMethod) -> int:
    """How many architectures are trained alone at most, the finalists among them."""
    if method.problem.table is not None:
        return 0
    if method.trials:
        return method.most_networks  # the finalists are among them
    return min(method.problem.config.finalists, method.problem.choices.space.size)


def _training_steps(method: SearchMethod) -> int:
    return method.fitness.steps if isinstance(method, FitnessSearch) else method.steps


def _forecast(method: SearchMethod, copy: SearchMethod, executor: Executor) -> Forecast:
    problem, workers = method.problem, executor.workers or 1
    seconds, training = 0.0, 0 if method.trials else _training_steps(method)
    if training:
        seconds += training * seconds_of_step(_Steps(copy), problem.device)
    if isinstance(copy, FitnessSearch) and copy.supernets:
        seconds += method.most_networks * seconds_of_step(_Evaluations(copy), problem.device)
    network = problem.choices.architecture(problem.choices.draw(stream(problem.seed, "forecast")))
    each = seconds_of(problem.data, recipe_of(problem), network)
    seconds += _trained_alone(method) * each / workers
    return Forecast(
        seconds,
        problem.device,
        workers,
        memory_mb(problem.device),
        clustered=executor.clustered,
        least=not method.even,
        others=executor.devices,
    )


class _Steps:
    """Does the next steps of a search, if there are any left."""

    def __init__(self, method: SearchMethod) -> None:
        self._method, self._done = method, 0

    def __call__(self, steps: int) -> None:
        for _ in range(min(steps, self._method.steps - self._done)):
            self._method.step(self._done)
            self._done += 1


class _Evaluations:
    """Evaluates random architectures with shared weights."""

    def __init__(self, method: FitnessSearch) -> None:
        self._method, self._done = method, 0

    def __call__(self, steps: int) -> None:
        choices, seed = self._method.problem.choices, self._method.problem.seed
        for _ in range(steps):
            self._method.fitness.accuracy(choices.draw(stream(seed, "forecast", self._done)))
            self._done += 1
