"""A whole run: data, warm-up, evolution, learned space. It can be resumed after any step."""

import math
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from autospace.compute.device import (
    Hardware,
    kept_bytes,
    kept_share,
    memory_mb,
    thread_count,
    threads,
)
from autospace.compute.executor import Executor, open_pool
from autospace.compute.machine import return_freed_memory
from autospace.compute.pool import POOL, Pool
from autospace.compute.worker import WorkerLostError
from autospace.data.batches import BatchSource
from autospace.evolution.families import reference_network, references_on
from autospace.evolution.folder import ReferenceDocument, RunError, RunFolder, event_out
from autospace.evolution.forecast import RunWork, planned
from autospace.evolution.loop import (
    evolve,
    founders,
    learned_space,
    new_archive,
    repeat_of,
    start,
)
from autospace.evolution.parts import RunBatches
from autospace.evolution.plan import Plan, make_plan
from autospace.evolution.population import EvolutionState
from autospace.evolution.preparation import (
    LATENCY_TABLE,
    NOTHING_PASSED,
    Passed,
    PreparedRun,
    executor_of,
    prepare,
    scoring_threads,
    warn,
)
from autospace.evolution.provenance import provenance
from autospace.evolution.reference import WEIGHTS, new_reference, warm_up
from autospace.latency.budget import keep_table
from autospace.networks.network import Network
from autospace.networks.rounding import rounding
from autospace.progress import Event, Observer, OfNodes, Planned
from autospace.runs.errors import FORCE, OUT, CheckpointError
from autospace.runs.folder import CONFIG
from autospace.runs.state import restore_from, save_state
from autospace.scorers.context import KEPT_BYTES, KeptWeights, ScoringContext, freeze
from autospace.scorers.make import SharedScorer, make_scorer
from autospace.scorers.scorer import Scorer
from autospace.scorers.whole import Trained
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.errors import SpaceError
from autospace.spaces.space import Space, reference_cells_of
from autospace.training.task import task_of

NETWORKS: Final = "networks.json"
"""The networks that `scoring.method = "predicted"` has trained, in the checkpoint."""


@dataclass(frozen=True)
class RoundEvent(Event):
    """A round is complete and saved: the plan of the run, and the state after the round.

    Attributes:
        folder: of the run.
    """

    plan: Plan
    state: EvolutionState
    folder: Path = Path()

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
        workers: who trains candidates on a CPU or on several GPUs, or the number of processes; None
            for as many as cores and memory allow, or one per GPU. This changes only the time. With
            processes, a script that calls this must be importable: `if __name__ == "__main__"`.
        passed: values in place of settings.

    Raises:
        DataError, SpaceError, BudgetError, ConfigError, RunError: the configuration cannot be
            carried out.
        CheckpointError: the run was damaged.
    """
    with folder.locked():
        if folder.finished:
            return folder.load_space()
        _check_resumed(folder)
        given = Executor.of(workers)
        try:
            given.check()
            prepared = prepare(folder.config, folder, observer, device, passed, given)
            executor = executor_of(prepared, given, observer.message)
        except Exception:
            folder.abandon()
            raise
        folder.settle(prepared.skeleton, prepared.parts.digest)
        folder.save_data(prepared.parts.record)
        # Before anything is trained: a damaged state is known at once.
        state = folder.load_state(prepared.skeleton, prepared.plan.operators.family.kind)
        state = state or start(prepared.plan)
        _check_phases(prepared.plan, state, folder)
        state = _with_archive(prepared, state, folder)
        folder.mend_events(state.history, observer.message)
        table = prepared.latency.prediction.table if prepared.latency else None
        keep_table(table, folder.checkpoint / LATENCY_TABLE)
        batches = prepared.parts.batches(folder.config, prepared.execution.device)
        if not (folder.checkpoint / WEIGHTS).exists():
            observer.planned(_plan(prepared, batches, executor))
        with (
            threads(thread_count(folder.config.threads, prepared.skeleton.resolution)),
            _pool(prepared, folder, observer, executor) as pool,
        ):
            try:
                state, reference = _learned(prepared, batches, state, folder, observer, pool)
            except WorkerLostError as error:
                problem = f"{folder.path}: {error}; nothing is lost"
                raise RunError(f"{problem}; resume with fewer workers") from None
        return _saved(prepared, state, reference, folder, pool.hardware)


def _saved(
    prepared: PreparedRun,
    state: EvolutionState,
    reference: ReferenceDocument,
    folder: RunFolder,
    hardware: Hardware | None,
) -> Space:
    """Writes the learned space, and so finishes the run, which is only read from then on.

    By then the files of the pool are gone, as nothing would remove them later.
    """
    space = learned_space(
        prepared.plan,
        state,
        name=f"learned@{prepared.skeleton.name}"[:MAX_NAME],
        budget=prepared.budget,
        provenance=provenance(
            prepared,
            state,
            reference.warnings,
            hardware,
            Trained(folder.checkpoint / NETWORKS).errors,
        ),
    )
    folder.save_space(space)
    return space


def _check_resumed(folder: RunFolder) -> None:
    """Refuses a run that cannot be resumed, before its images are read.

    Raises:
        RunError: a setting or version has changed.
        CheckpointError: its state is damaged.
    """
    folder.check_unchanged()
    skeleton = folder.skeleton
    if skeleton is None:
        return
    Trained(folder.checkpoint / NETWORKS)  # It reads, and refuses, what is damaged.
    config = folder.config
    plan = make_plan(config, skeleton, references_on(skeleton, config.cells), ())
    state = folder.load_state(skeleton, plan.operators.family.kind)
    if state is not None:
        _check_phases(plan, state, folder)
        weights = folder.checkpoint / WEIGHTS
        if not weights.exists():
            # Trained anew, it need not be the same reference: not on a GPU.
            problem = f"is missing, but {state.round} rounds were scored with this reference"
            raise CheckpointError(f"{weights}: {problem}; put it back, or start again with {FORCE}")


def _plan(prepared: PreparedRun, batches: RunBatches, executor: Executor) -> Planned:
    training, validation, warming = batches
    work = RunWork(
        config=prepared.config,
        plan=prepared.plan,
        parts=prepared.parts,
        execution=prepared.execution,
        training=training,
        validation=validation,
        warming=warming,
        workers=executor.workers or 1,
        scoring_threads=scoring_threads(prepared),
        clustered=executor.clustered,
        devices=executor.devices,
    )
    return planned(work)


def _check_phases(plan: Plan, state: EvolutionState, folder: RunFolder) -> None:
    """Refuses another number of generations, once rounds have been done that it would change.

    Raises:
        RunError: there are such rounds.
    """
    # The generations of a run that stops early are not all done.
    ended = plan.shortened(state)
    done = sum(record.phase == "evolve" for record in state.history)
    changed = any(record.phase != ended.phase(record.index) for record in state.history)
    if changed or done > plan.generations:
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
    batches: RunBatches,
    state: EvolutionState,
    folder: RunFolder,
    observer: Observer,
    pool: Pool,
) -> tuple[EvolutionState, ReferenceDocument]:
    """The state after the last round, and what the reference was measured to be."""
    training, validation, warming = batches
    observer = OfNodes(observer, lambda: pool.shares)
    network = _warmed_up(prepared, warming, folder, observer)
    reference = _measured(prepared, network, folder, observer)
    return_freed_memory()
    kept = KeptWeights() if prepared.config.scoring.weights == "kept" else None
    setting = ScoringContext(
        freeze(network),
        training,
        validation,
        prepared.config.scoring,
        prepared.config.seed,
        partial(observer.tick, "score"),
        prepared.execution,
        task_of(prepared.skeleton),
        kept=kept,
        kept_bytes=_kept_bytes(prepared, pool),
        on_message=observer.message,
        elsewhere=None if pool.hardware is None else prepared.settings_on(pool.hardware),
        candidates=prepared.plan.candidates,
        founders=founders(prepared.plan) if prepared.config.scoring.method == "predicted" else (),
        networks=folder.checkpoint / NETWORKS,
    )
    with threads(scoring_threads(prepared)):
        state = _evolved(prepared, state, (setting, pool), folder, observer)
    return state, reference


def _warmed_up(
    prepared: PreparedRun, batches: BatchSource, folder: RunFolder, observer: Observer
) -> Network:
    config, execution = prepared.config, prepared.execution
    skeleton, cells = reference_network(prepared.skeleton, prepared.plan.references[0][1])
    network = new_reference(skeleton, cells, config.seed, execution.device)
    tick = partial(observer.tick, "warm-up")
    warm_up(network, batches, config.warm_up, folder.checkpoint, tick, execution)
    return network


def _scorer(prepared: PreparedRun, setting: ScoringContext, pool: Pool) -> Scorer:
    scorer, skeleton = make_scorer(setting, pool), prepared.skeleton
    if skeleton == skeleton.untied:
        return scorer
    # The reference's cell of every group of layers that share one.
    cells = reference_cells_of(skeleton, prepared.plan.references[0][1])
    return SharedScorer(scorer, skeleton, cells)


def _measured(
    prepared: PreparedRun, network: Network, folder: RunFolder, observer: Observer
) -> ReferenceDocument:
    """The accuracy of the reference, which a resumed run measures again: it is quickly done."""
    found = prepared.parts.measured(network, prepared.config.seed, prepared.execution.device)
    folder.save_reference(found)
    observer.message(f"reference: {found.described}")
    warn(observer, found.warnings)
    return found


def _kept_bytes(prepared: PreparedRun, pool: Pool) -> int:
    """Memory for features of the reference; workers on one GPU divide it among them."""
    if pool.hardware is not None:
        on_gpus = pool.hardware.kind != "cpu"
        return kept_share(pool.memory, KEPT_BYTES) if on_gpus else KEPT_BYTES
    device, count = prepared.execution.device, len(prepared.devices)
    whole = kept_bytes(device, KEPT_BYTES)
    return whole if device.type == "cpu" else whole // math.ceil(pool.count / count)


def _pool(
    prepared: PreparedRun, folder: RunFolder, observer: Observer, executor: Executor
) -> AbstractContextManager[Pool]:
    return open_pool(
        executor,
        folder.checkpoint / POOL,
        thread_count=scoring_threads(prepared),
        errors=(SpaceError,),
        ahead=True,
        rounding=rounding,
        on_message=observer.message,
        on_nodes=observer.nodes,
    )


def _evolved(
    prepared: PreparedRun,
    state: EvolutionState,
    work: tuple[ScoringContext, Pool],
    folder: RunFolder,
    observer: Observer,
) -> EvolutionState:
    context, pool = work
    kept, scorer = context.kept, _scorer(prepared, context, pool)
    plan = prepared.plan.shortened(state)
    if state.round >= plan.rounds:
        return state
    if kept is not None and state.round:
        restore_from(folder.kept_weights(state.round), prepared.execution.device, kept)
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
        observer.event(RoundEvent(seconds, plan, after, folder.path))
        if plan.rounds < before.rounds:
            observer.message(prepared.plan.stop(after))
        prepared.execution.parts.begin_again()
        state, started = after, time.perf_counter()
    return state
