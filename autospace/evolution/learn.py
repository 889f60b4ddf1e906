"""A whole run: data, warm-up, evolution, learned space; resumable after any step."""

import sys
import time
from contextlib import AbstractContextManager
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from autospace.compute.device import memory_mb
from autospace.compute.processes import EndedError
from autospace.compute.threads import thread_count, threads
from autospace.data.augment import Augment
from autospace.data.batches import Batches, Normaliser
from autospace.data.splits import divide
from autospace.evolution.checkpoint import event_out
from autospace.evolution.folder import RunError, RunFolder
from autospace.evolution.learned import learned_space
from autospace.evolution.loop import evolve, start
from autospace.evolution.observer import Observer
from autospace.evolution.population import State
from autospace.evolution.reference import new_reference, warm_up
from autospace.evolution.setup import LATENCY_TABLE, Prepared, prepare
from autospace.latency.budget import keep_table
from autospace.networks.kernels import described
from autospace.networks.network import Network
from autospace.scorers.context import Setting, freeze
from autospace.scorers.crew import Crew, crew, fitting_count
from autospace.scorers.make import LONE, make_scorer
from autospace.scorers.scorer import Scorer
from autospace.seeds import derived_seed
from autospace.spaces.limits import MAX_NAME
from autospace.spaces.space import Space

VALIDATION_BATCH_FACTOR = 2
SCORING = "scoring.pt"


def learn(
    folder: RunFolder, observer: Observer, device: str | None = None, workers: int | None = 1
) -> Space:
    """Runs, or goes on with, the run in a folder, and returns the learned space.

    A finished run is only read. One that cannot start leaves the folder as it was.

    Args:
        folder: of the run.
        observer: is told how it goes on.
        device: instead of the configuration's.
        workers: processes that train candidates on a CPU; None for as many as cores and memory
            have room for. They change nothing but the time. With more than one, a script that
            calls this has to be importable: `if __name__ == "__main__"`.

    Raises:
        DataError, SpaceError, BudgetError, ConfigError, RunError: what the configuration asks for
            cannot be.
        CheckpointError: the run was damaged.
    """
    with folder.locked():
        if folder.finished:
            return folder.load_space()
        try:
            prepared = prepare(folder.config, folder, observer, device)
        except Exception:
            folder.abandon()
            raise
        folder.settle(prepared.skeleton, prepared.data.digest)
        keep_table(prepared.plan.latency, folder.checkpoint / LATENCY_TABLE)
        with (
            threads(thread_count(folder.config.threads, prepared.skeleton.resolution)),
            _crew(prepared, folder, observer, workers) as crew,
        ):
            try:
                return _learned(prepared, folder, observer, crew)
            except EndedError as error:
                problem = f"{folder.path}: {error}; nothing is lost; out of memory?"
                raise RunError(f"{problem} go on with fewer --workers") from None


def _learned(prepared: Prepared, folder: RunFolder, observer: Observer, crew: Crew | None) -> Space:
    training, validation, images = _batches(prepared)
    network = _warmed_up(prepared, images, folder, observer)
    setting = Setting(
        freeze(network),
        training,
        validation,
        prepared.config.scoring,
        prepared.config.seed,
        partial(observer.tick, "score"),
        prepared.execution,
    )
    with threads(_scoring_threads(prepared)):
        state = _evolved(prepared, make_scorer(setting, crew), folder, observer)
    space = learned_space(
        prepared.plan,
        state,
        name=f"learned@{prepared.skeleton.name}"[:MAX_NAME],
        budget=prepared.budget,
        provenance=_provenance(prepared),
    )
    folder.save_space(space)
    return space


def _batches(prepared: Prepared) -> tuple[Batches, Batches, Batches]:
    """Batches that train candidates, that fitness is read off, and that warm up the reference.

    The train split is divided in two; the test split is not touched.
    """
    config, device = prepared.config, prepared.execution.device
    weights, fitness = divide(prepared.data.train, config.data.validation, config.seed)
    norm = Normaliser.from_examples(weights)
    augment = Augment(config.data.crop, config.data.flip, config.data.cutout)

    def seed(name: str) -> int:
        return derived_seed(config.seed, "batches", name)

    batch = config.scoring.batch
    return (
        Batches(weights, batch, seed("train"), device, norm, augment),
        Batches(fitness, VALIDATION_BATCH_FACTOR * batch, seed("validate"), device, norm),
        Batches(weights, config.warm_up.batch, seed("warm-up"), device, norm, augment),
    )


def _warmed_up(
    prepared: Prepared, images: Batches, folder: RunFolder, observer: Observer
) -> Network:
    cell = prepared.plan.references[0][1]
    cells = [cell] * len(prepared.skeleton.layers)
    config = prepared.config
    execution = prepared.execution
    network = new_reference(prepared.skeleton, cells, config.seed, execution.device)
    tick = partial(observer.tick, "warm-up")
    warm_up(network, images, config.warm_up, folder.checkpoint, tick, execution)
    return network


def _crew(
    prepared: Prepared, folder: RunFolder, observer: Observer, workers: int | None
) -> AbstractContextManager[Crew | None]:
    scoring, each = prepared.config.scoring, _scoring_threads(prepared)
    if scoring.method not in LONE or prepared.execution.device.type != "cpu":
        workers = 1
    elif workers is None:
        candidates = prepared.plan.candidates
        workers = fitting_count(prepared.skeleton, candidates, scoring.batch, each, observer.say)
    return crew(folder.checkpoint / SCORING, workers, each, observer.say)


def _scoring_threads(prepared: Prepared) -> int:
    """Candidates that do not meet get a thread each: cores are used by several of them."""
    config = prepared.config
    if config.threads == "auto" and config.scoring.method in LONE:
        return 1
    return thread_count(config.threads, prepared.skeleton.resolution)


def _evolved(prepared: Prepared, scorer: Scorer, folder: RunFolder, observer: Observer) -> State:
    state = folder.load_state(prepared.skeleton) or start(prepared.plan)
    folder.mend_events(state.history)
    if state.round >= prepared.plan.rounds:
        return state
    started = time.perf_counter()
    for after in evolve(prepared.plan, scorer, state):
        seconds = time.perf_counter() - started
        # The event first: of a round that the checkpoint does not know, it is dropped again.
        folder.append_event(
            event_out(after)
            | {"seconds": round(seconds, 3), "memory_mb": memory_mb(prepared.execution.device)}
        )
        folder.save_state(after)
        observer.round(prepared.plan, after, seconds)
        state, started = after, time.perf_counter()
    return state


def _provenance(prepared: Prepared) -> dict[str, Any]:
    config = prepared.config.model_dump(mode="json")
    # Where the images lie and which device does the work belong to a machine, not to the result.
    config["data"]["source"] = prepared.data.name
    config["device"] = prepared.execution.device.type
    config["precision"] = str(prepared.execution.precision).removeprefix("torch.")
    config["skeleton"] = prepared.skeleton.name
    # Compiled or not, sums are rounded differently: scores agree to the last digits only.
    kernels = described().partition(",")[0].partition(":")[0]
    latency = prepared.plan.latency
    if prepared.config.budget.latency_table is not None:
        config["budget"]["latency_table"] = Path(prepared.config.budget.latency_table).name
    names = ("autospace", "torch", "deap", "numpy")
    versions = {name: metadata.version(name) for name in names}
    return {
        "method": f"AutoSpace (Zhou et al., ICCV 2021), {prepared.config.scoring.method} scoring",
        "config": config,
        "data": {
            "name": prepared.data.name,
            "sha256": prepared.data.digest,
            "classes": list(prepared.data.classes),
        },
        "kernels": kernels if prepared.execution.device.type == "cpu" else "CUDA's",
        "versions": {**versions, "python": ".".join(map(str, sys.version_info[:2]))},
        **({"latency": latency.described} if latency else {}),
    }
