"""A whole run: data, warm-up, evolution, learned space. It can be resumed after any step."""

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from autospace.compute.device import (
    kept_bytes,
    make_execution,
    memory_mb,
    resolve_device,
    thread_count,
    threads,
)
from autospace.compute.execution import Execution
from autospace.compute.executor import HERE, Executor, open_pool
from autospace.compute.pool import POOL, Pool
from autospace.compute.worker import WorkerLostError
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.examples import DataSet, Examples
from autospace.data.load import load_data
from autospace.data.settings import PYTHON
from autospace.data.splits import divide, few_measured
from autospace.data.summary import lines_of, record
from autospace.evolution.folder import RunError, RunFolder, event_out
from autospace.evolution.loop import evolve, learned_space, new_archive, repeat_of, start
from autospace.evolution.plan import CellLimit, Plan, make_budget, make_plan, reference_cells
from autospace.evolution.population import EvolutionState
from autospace.evolution.reference import new_reference, warm_up
from autospace.evolution.settings import Config
from autospace.latency.budget import LatencyBudget, keep_table, latency_budget, limit_table
from autospace.networks.fused import described
from autospace.networks.network import Network
from autospace.networks.rounding import rounding
from autospace.progress import Event, Observer
from autospace.runs.errors import OUT
from autospace.runs.folder import CONFIG
from autospace.runs.state import load_state, save_state
from autospace.scorers.context import KEPT_BYTES, KeptWeights, ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.pooled import INDEPENDENT, fitting_count
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.cost import Budget, layer_shares
from autospace.spaces.errors import SpaceError
from autospace.spaces.files.library import load_skeleton
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Space

DEFAULT_SKELETONS = {"digits": "digits"}
LATENCY_TABLE = "latency.json"


@dataclass(frozen=True)
class RoundEvent(Event):
    """A round is complete and saved: the plan of the run, and the state after the round.

    Attributes:
        folder: of the run.
        shares: how many requests each node of a cluster has done so far.
    """

    plan: Plan
    state: EvolutionState
    folder: Path = Path()
    shares: Mapping[str, int] = field(default_factory=dict)

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.folder

    @property
    def step(self) -> int:
        """The number of the round."""
        return self.state.round

    def numbers(self) -> Mapping[str, float]:
        """Fitness of all layers and of each, and the share of cells within the budget."""
        record = self.state.history[-1]
        names = [shape.name for shape in self.plan.skeleton.shapes]
        layers = zip(names, record.layers, strict=True)
        return {
            "fitness/best": record.best,
            "fitness/mean": record.mean,
            "feasible rate": record.drawn.feasible_rate,
            "seconds": self.seconds,
            **{f"fitness of {name}": layer.best for name, layer in layers},
        }


@dataclass(frozen=True)
class PreparedRun:
    """Everything that a run needs before anything is trained.

    Attributes:
        weights: the part of the train split that trains cells.
        fitness: the part that their fitness is measured on.
    """

    config: Config
    data: DataSet
    weights: Examples
    fitness: Examples
    skeleton: Skeleton
    budget: Budget
    latency: LatencyBudget | None
    plan: Plan
    execution: Execution

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on how far the result can be trusted; the space keeps them."""
        return few_measured("fitness is measured", len(self.fitness))


@dataclass(frozen=True)
class Passed:
    """What a Python program passes to a run as a value, where settings hold a name.

    Attributes:
        images: in place of `data.source`.
        skeleton: in place of `skeleton`.
    """

    images: DataSet | None = None
    skeleton: Skeleton | None = None


NOTHING_PASSED: Final = Passed()


def prepare(
    config: Config,
    folder: RunFolder,
    observer: Observer,
    device: str | None = None,
    passed: Passed = NOTHING_PASSED,
) -> PreparedRun:
    """Reads the data and determines skeleton, budget and plan; trains nothing."""
    chosen = resolve_device(device or config.device)
    execution = make_execution(config.precision, config.cuda_graphs, chosen, observer.message)
    skeleton = folder.skeleton or passed.skeleton or _named_skeleton(config, folder)
    data = load_data(
        passed.images or config.data.source,
        resolution=config.data.resolution or skeleton.resolution,
        limit=config.data.limit,
        seed=config.seed,
        cache=folder.cache,
        tick=partial(observer.tick, "data"),
        aspect=config.data.aspect,
        ground=config.data.ground,
    )
    channels, resolution = data.train.images.shape[1:3]
    skeleton = skeleton.fitted(
        in_channels=channels, resolution=resolution, classes=len(data.classes)
    )
    references = reference_cells(config.cells)
    cells = [cell for _, cell in references]
    budget = make_budget(config.budget, skeleton, references)
    latency = _latency(config, skeleton, cells, folder)
    limits: tuple[CellLimit, ...] = (layer_shares(skeleton, cells, budget),)
    plan = make_plan(
        config, skeleton, references, limits if latency is None else (*limits, latency)
    )
    parts = divide(data.train, config.data.validation, config.seed)
    prepared = PreparedRun(config, data, *parts, skeleton, budget, latency, plan, execution)
    # Last, so that what is wrong stands alone.
    for note in (*lines_of(data), *prepared.notes):
        observer.message(note)
    return prepared


def _named_skeleton(config: Config, folder: RunFolder) -> Skeleton:
    name = config.skeleton
    if name == PYTHON and folder.reopened:
        raise folder.not_begun("skeleton, which was passed from Python")
    if name == "auto":
        name = DEFAULT_SKELETONS.get(config.data.source.partition(":")[0], "cifar")
    return load_skeleton(name)


def _latency(
    config: Config, skeleton: Skeleton, cells: Sequence[Cell], folder: RunFolder
) -> LatencyBudget | None:
    kept = None if folder.replacing else folder.checkpoint / LATENCY_TABLE
    table = limit_table(config.budget.latency_table, kept)
    if table is None:
        return None
    return latency_budget(table, skeleton, cells, config.budget.max_latency_ms)


VALIDATION_BATCH_FACTOR = 2


def learn(
    folder: RunFolder,
    observer: Observer,
    device: str | None = None,
    workers: Executor | int | None = 1,
    passed: Passed = NOTHING_PASSED,
) -> Space:
    """Starts or resumes the run in a folder, and returns the learned space.

    A finished run is only read. One that cannot start leaves the folder as it was.

    Args:
        folder: of the run.
        observer: receives its progress.
        device: overrides the one in the configuration.
        workers: who trains candidates on a CPU, or the number of processes; None for as many as
            cores and memory allow. This changes only the time. With processes, a script that calls
            this must be importable: `if __name__ == "__main__"`.
        passed: values in place of settings.

    Raises:
        DataError, SpaceError, BudgetError, ConfigError, RunError: the configuration cannot be
            carried out.
        CheckpointError: the run was damaged.
    """
    with folder.locked():
        if folder.finished:
            return folder.load_space()
        try:
            prepared = prepare(folder.config, folder, observer, device, passed)
        except Exception:
            folder.abandon()
            raise
        folder.settle(prepared.skeleton, prepared.data.digest)
        folder.save_data(record(prepared.data))
        # Before anything is trained: a damaged state is known at once.
        state = folder.load_state(prepared.skeleton, prepared.plan.operators.family.kind)
        state = state or start(prepared.plan)
        _check_phases(prepared.plan, state, folder)
        state = _with_archive(prepared, state, folder)
        folder.mend_events(state.history)
        latency = prepared.latency
        table = None if latency is None else latency.prediction.table
        keep_table(table, folder.checkpoint / LATENCY_TABLE)
        with (
            threads(thread_count(folder.config.threads, prepared.skeleton.resolution)),
            _pool(prepared, folder, observer, Executor.of(workers)) as pool,
        ):
            try:
                return _learned(prepared, state, folder, observer, pool)
            except WorkerLostError as error:
                problem = f"{folder.path}: {error}; nothing is lost"
                raise RunError(f"{problem}; resume with fewer workers") from None


def _check_phases(plan: Plan, state: EvolutionState, folder: RunFolder) -> None:
    """Refuses another number of generations, once rounds have been done that it would change.

    Raises:
        RunError: there are such rounds.
    """
    # The generations of a run that stops early are not all done.
    ended = plan.shortened(state)
    if any(record.phase != ended.phase(record.index) for record in state.history):
        done = sum(record.phase == "evolve" for record in state.history)
        raise RunError(
            f"{folder.path / CONFIG}: evolution.generations is {plan.generations}, but this run "
            f"has {done} behind it; put the old number back, or start a new run with {OUT}"
        )


def _with_archive(
    prepared: PreparedRun, state: EvolutionState, folder: RunFolder
) -> EvolutionState:
    """The state with all that was scored before it, if the plan predicts fitness."""
    archive, family = new_archive(prepared.plan), prepared.plan.operators.family
    if archive is None:
        return state
    plan = prepared.plan.shortened(state)
    for index, scored in enumerate(
        folder.scored_cells(state.round, prepared.skeleton, family.kind)
    ):
        archive = archive.after(scored, repeat_of(plan, index))
    return replace(state, archive=archive)


def _learned(
    prepared: PreparedRun,
    state: EvolutionState,
    folder: RunFolder,
    observer: Observer,
    pool: Pool,
) -> Space:
    training, validation, images = _batches(prepared)
    network = _warmed_up(prepared, images, folder, observer)
    kept = KeptWeights() if prepared.config.scoring.weights == "kept" else None
    setting = ScoringContext(
        freeze(network),
        training,
        validation,
        prepared.config.scoring,
        prepared.config.seed,
        partial(observer.tick, "score"),
        prepared.execution,
        kept=kept,
        kept_bytes=kept_bytes(prepared.execution.device, KEPT_BYTES),
        on_message=observer.message,
    )
    with threads(_scoring_threads(prepared)):
        state = _evolved(prepared, state, (setting, pool), folder, observer)
    space = learned_space(
        prepared.plan,
        state,
        name=f"learned@{prepared.skeleton.name}"[:MAX_NAME],
        budget=prepared.budget,
        provenance=_provenance(prepared, state),
    )
    folder.save_space(space)
    return space


def _batches(prepared: PreparedRun) -> tuple[Batches, Batches, Batches]:
    """Batches that train candidates, that fitness is read off, and that warm up the reference.

    The train split is divided in two; the test split is not touched.
    """
    config, device = prepared.config, prepared.execution.device
    norm = Normaliser.from_examples(prepared.weights)
    augment = Augment(config.data.crop, config.data.flip, config.data.cutout)

    def seed(name: str) -> int:
        return derived_seed(config.seed, "batches", name)

    batch = config.scoring.batch
    return (
        Batches(prepared.weights, batch, seed("train"), device, norm, augment),
        Batches(prepared.fitness, VALIDATION_BATCH_FACTOR * batch, seed("validate"), device, norm),
        Batches(prepared.weights, config.warm_up.batch, seed("warm-up"), device, norm, augment),
    )


def _warmed_up(
    prepared: PreparedRun, images: Batches, folder: RunFolder, observer: Observer
) -> Network:
    cell = prepared.plan.references[0][1]
    cells = [cell] * len(prepared.skeleton.layers)
    config = prepared.config
    execution = prepared.execution
    network = new_reference(prepared.skeleton, cells, config.seed, execution.device)
    tick = partial(observer.tick, "warm-up")
    warm_up(network, images, config.warm_up, folder.checkpoint, tick, execution)
    return network


def _pool(
    prepared: PreparedRun, folder: RunFolder, observer: Observer, executor: Executor
) -> AbstractContextManager[Pool]:
    scoring, each = prepared.config.scoring, _scoring_threads(prepared)
    executor.check_device(prepared.execution.device.type)
    if scoring.method not in INDEPENDENT or prepared.execution.device.type != "cpu":
        if executor.clustered:
            observer.message(f"scoring.method {scoring.method} trains one network: it stays here")
        executor = HERE
    elif executor.sized(1) != executor:
        candidates = prepared.plan.candidates
        executor = executor.sized(
            fitting_count(prepared.skeleton, candidates, scoring.batch, each, observer.message)
        )
    return open_pool(
        executor,
        folder.checkpoint / POOL,
        thread_count=each,
        errors=(SpaceError,),
        ahead=True,
        rounding=rounding,
        on_message=observer.message,
    )


def _scoring_threads(prepared: PreparedRun) -> int:
    """Independent candidates get a thread each: cores are used by several of them."""
    config = prepared.config
    if config.threads == "auto" and config.scoring.method in INDEPENDENT:
        return 1
    return thread_count(config.threads, prepared.skeleton.resolution)


def _evolved(
    prepared: PreparedRun,
    state: EvolutionState,
    work: tuple[ScoringContext, Pool],
    folder: RunFolder,
    observer: Observer,
) -> EvolutionState:
    context, pool = work
    kept, scorer = context.kept, make_scorer(context, pool)
    plan = prepared.plan.shortened(state)
    if state.round >= plan.rounds:
        return state
    if kept is not None and state.round:
        kept.restore(load_state(folder.kept_weights(state.round), prepared.execution.device))
    prepared.execution.parts.begin_again()
    started = time.perf_counter()
    for after in evolve(prepared.plan, scorer, state):
        seconds = time.perf_counter() - started
        # The event first: of a round that the checkpoint does not know, it is dropped again.
        folder.append_event(
            event_out(after)
            | {"seconds": round(seconds, 3), "memory_mb": memory_mb(prepared.execution.device)},
            durable=plan.predicts,
        )
        if kept is not None:
            save_state(folder.kept_weights(after.round), kept.state())
        folder.save_state(after)
        plan, before = prepared.plan.shortened(after), plan
        observer.event(RoundEvent(seconds, plan, after, folder.path, pool.shares))
        if plan.rounds < before.rounds:
            observer.message(prepared.plan.stop(after))
        prepared.execution.parts.begin_again()
        state, started = after, time.perf_counter()
    return state


UNUSED: Final = (
    ("data", "aspect", "squash"),
    ("data", "ground", "white"),
    ("evolution", "rescore", 0),
    ("evolution", "stop_after", 0),
    ("evolution", "tied", 1),
    ("evolution", "screen", 1),
    ("evolution", "shrink", False),
    ("scoring", "weights", "fresh"),
)
"""Settings that are not part of how a space came about if they have these values."""


def _provenance(prepared: PreparedRun, state: EvolutionState) -> dict[str, Any]:
    stop, quality = prepared.plan.stop(state), state.archive and state.archive.predictor.quality
    config = prepared.config.model_dump(mode="json")
    for section, name, value in UNUSED:
        if config[section].get(name) == value:
            del config[section][name]
    if prepared.config.scoring.method != "calibrated":
        del config["scoring"]["shrinkage"]
    # Where the images lie and which device does the work belong to a machine, not to the result.
    config["data"]["source"] = prepared.data.name
    config["device"] = prepared.execution.device.type
    config["precision"] = str(prepared.execution.precision).removeprefix("torch.")
    config["skeleton"] = prepared.skeleton.name
    # Compiled or not, sums are rounded differently: scores agree to the last digits only.
    kernels = described().partition(",")[0].partition(":")[0]
    latency = prepared.latency
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
        **({"evolution": stop} if stop else {}),
        **({"predictor": quality._asdict()} if quality else {}),
        **({"notes": list(prepared.notes)} if prepared.notes else {}),
    }
