"""What a run will take, before the long work: its size, and its time from a few timed steps.

The steps are done on copies and leave no trace: batches and weights depend on seeds, not on what
was done before. They run without recordings. A GPU that records steps is faster in the run itself,
so that the plan says "at most".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from autospace.compute.cuda_graphs import NO_GRAPHS
from autospace.compute.device import memory_mb, thread_count, threads
from autospace.compute.execution import Execution, Microbatches
from autospace.compute.timing import Forecast, seconds_of_step
from autospace.data.batches import BatchSource
from autospace.evolution.families import reference_network
from autospace.evolution.loop import repeat_of
from autospace.evolution.parts import Parts
from autospace.evolution.plan import Plan
from autospace.evolution.reference import new_reference
from autospace.evolution.settings import Config
from autospace.progress import Planned, no_message
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.pooled import INDEPENDENT, process_bytes
from autospace.scorers.predicted import AGAIN
from autospace.spaces.cost import most_expensive_reference
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.text import human, plural
from autospace.training.short import Recipe, train
from autospace.training.task import task_of


@dataclass(frozen=True, kw_only=True)
class RunWork:
    """The work of a run.

    Attributes:
        parts: the data.
        training: batches that train cells.
        validation: batches that their fitness is measured on.
        warming: batches that the reference is trained on.
        workers: processes that train cells.
        scoring_threads: threads of each.
        devices: that they compute on, in turn; empty if that is the device of `execution`.
    """

    config: Config
    plan: Plan
    execution: Execution
    parts: Parts
    training: BatchSource
    validation: BatchSource
    warming: BatchSource
    workers: int
    scoring_threads: int
    clustered: bool
    devices: tuple[str, ...] = ()

    @property
    def cells(self) -> int:
        """Cells to score, at most."""
        return self.plan.rounds * len(self.plan.skeleton.shapes) * self.plan.candidates


def forecast(work: RunWork) -> Forecast:
    """Times a few steps of both phases of a run."""
    device, options = work.execution.device, work.config.scoring
    resolution, warm_up = work.plan.skeleton.resolution, work.config.warm_up
    with threads(thread_count(work.config.threads, resolution)):
        steps = _steps(work, work.warming, warm_up.learning_rate)
        warming = warm_up.steps * seconds_of_step(steps, device)
    with threads(work.scoring_threads):
        scoring = (_networks_seconds if options.method == "predicted" else _scoring_seconds)(work)
    memory = memory_mb(device)
    if work.workers > 1 and device.type == "cpu" and not work.devices:
        each = process_bytes(work.plan.skeleton, options.batch * work.parts.row, options.method)
        memory += work.workers * each // 2**20
    clustered, devices = work.clustered, work.devices
    return Forecast(
        warming + scoring,
        device,
        work.workers,
        memory,
        clustered,
        most=work.execution.records,
        others=devices,
    )


def _plain(work: RunWork) -> Execution:
    return replace(work.execution, graphs=NO_GRAPHS, parts=Microbatches(no_message))


def _steps(work: RunWork, batches: BatchSource, rate: float) -> Callable[[int], None]:
    """Trains the reference network for a number of steps."""
    skeleton, cells = reference_network(work.plan.skeleton, work.plan.references[0][1])
    network = new_reference(skeleton, cells, work.config.seed, work.execution.device)

    def run(steps: int) -> None:
        task = task_of(skeleton)
        train(network, batches, Recipe(steps, rate), execution=_plain(work), task=task)

    return run


def _networks_seconds(work: RunWork) -> float:
    """The time of all networks that are trained from scratch."""
    options = work.config.scoring
    run = _steps(work, work.training, Recipe(1).learning_rate)
    step = seconds_of_step(run, work.execution.device)
    return sum(_networks(work)) * options.network_steps * step / work.workers


def _networks(work: RunWork) -> tuple[int, int]:
    """How many networks are trained from scratch: at first, and where cells are scored again."""
    plan, count = work.plan, work.config.scoring.networks
    again = plan.confirming_rounds + bool(plan.rescore) * plan.generations
    return count, again * max(plan.candidates, count // AGAIN)


def _scoring_seconds(work: RunWork) -> float:
    """The time of all rounds; of each, the cells in it and the reference's own."""
    plan, options = work.plan, work.config.scoring
    alone = options.method in INDEPENDENT
    # Cells that are trained alone take time each; those of a supernet take it together.
    count = min(plan.candidates, len(plan.references)) if alone else plan.candidates
    used = [plan.references[i % len(plan.references)][1] for i in range(count)]
    networks = [reference_network(plan.skeleton, cell) for cell in used]
    skeleton, cells = networks[0]
    offered = list(zip(*(each for _, each in networks), strict=True))
    network = freeze(new_reference(skeleton, cells, work.config.seed, work.execution.device))

    def run(steps: int) -> None:
        shorter: dict[str, Any] = {
            "steps": steps,
            "validation_batches": max(1, options.validation_batches * steps // options.steps),
            "weights": "fresh",
        }
        if options.method == "calibrated":
            shorter["method"] = "probe"
        context = ScoringContext(
            network,
            work.training,
            work.validation,
            options.model_copy(update=shorter),
            work.config.seed,
            execution=_plain(work),
            task=task_of(skeleton),
        )
        make_scorer(context).score(offered, 0)

    step = seconds_of_step(run, work.execution.device)
    if not alone:
        return plan.rounds * options.steps * step
    repeats = len({repeat_of(plan, index) for index in range(plan.rounds)})
    layers, groups = len(cells), len({*plan.skeleton.groups})
    # A candidate is tried in every layer of those that share it.
    trained = work.cells * layers // groups + repeats * layers
    return options.steps * step * trained / (layers * (count + 1)) / work.workers


def planned(work: RunWork) -> Planned:
    """The plan of a run."""
    estimate, warnings = forecast(work), work.parts.record["warnings"]
    record = {**_record(work), "estimate": estimate.record, "warnings": warnings}
    lines = (*_lines(record, work), *estimate.lines)
    return Planned(lines, record)


def _lines(record: dict[str, Any], work: RunWork) -> tuple[str, ...]:
    network, unit = record["network"], work.parts.unit
    layers, places = network["layers"], len(work.plan.skeleton.shapes)
    training, measuring = work.parts.sizes
    if work.plan.skeleton.reads == "text":
        size = f"{network['vocabulary']:,} kinds of tokens, {human(network['params'])} params"
    elif work.plan.skeleton.reads == "captions":
        kinds = f"{network['vocabulary']:,} kinds of tokens"
        side = network["resolution"]
        images = f"{side}x{side}x{network['channels']} images, {kinds}"
        size = f"{layers} layers, {images}, {human(network['madds'])} MAdds"
    elif work.plan.skeleton.reads == "sentences":
        kinds = f"sentences of {network['length']} tokens of {network['vocabulary']:,} kinds"
        size = f"{layers} layers, {kinds}, {human(network['madds'])} MAdds"
    else:
        side = network["resolution"]
        size = f"{side}x{side}x{network['channels']}, {human(network['madds'])} MAdds"
        if "bops" in network:
            size += f", {human(network['bops'])} binary operations"
        size = f"{layers} layers, {size}"
    return (
        f"plan: {training:,} {unit} train cells, {measuring:,} measure their fitness",
        f"plan: reference {network['reference']} on skeleton {network['skeleton']}: {size}",
        f"plan: {record['warm_up_steps']:,} steps of warm-up; {record['rounds']} rounds x "
        f"{plural(places, 'layer' if places == layers else 'choice')} x {record['candidates']} "
        f"cells = {record['cells']:,} to score",
        *_of_networks(work),
    )


def _of_networks(work: RunWork) -> tuple[str, ...]:
    if work.config.scoring.method != "predicted":
        return ()
    first, again = _networks(work)
    steps = f"for {work.config.scoring.network_steps:,} steps each"
    return (f"plan: {first:,} whole networks are trained {steps}, {again:,} more at most later",)


def _record(work: RunWork) -> dict[str, Any]:
    plan, unit = work.plan, work.parts.unit
    training, measuring = work.parts.sizes
    return {
        plan.skeleton.reads: work.parts.record,
        f"{unit}_training_cells": training,
        f"{unit}_measuring_fitness": measuring,
        "network": _network(plan),
        "warm_up_steps": work.config.warm_up.steps,
        "rounds": plan.rounds,
        "candidates": plan.candidates,
        "cells": work.cells,
        "steps_of_a_cell": work.config.scoring.steps,
    }


def _network(plan: Plan) -> dict[str, Any]:
    skeleton, (name, cell) = plan.skeleton, plan.references[0]
    cost = most_expensive_reference(skeleton, [cell])
    reads = {
        "resolution": skeleton.resolution,
        "channels": skeleton.in_channels,
        "classes": skeleton.classes,
    }
    layers = len(skeleton.layers)
    if isinstance(skeleton, SequenceSkeleton):
        images = {"resolution": skeleton.resolution, "channels": skeleton.in_channels}
        reads = {"vocabulary": skeleton.vocabulary, "width": skeleton.width}
        reads |= images if skeleton.side else {}
        layers = len(skeleton.cell_layers)
    elif isinstance(skeleton, EncoderSkeleton):
        reads = {
            "length": skeleton.length,
            "vocabulary": skeleton.vocabulary,
            "width": skeleton.width,
            "classes": skeleton.classes,
        }
    return {
        "skeleton": skeleton.name,
        "layers": layers,
        **reads,
        "reference": name,
        "madds": cost.madds,
        "params": cost.params,
        **({"bops": cost.bops} if plan.operators.family.binary else {}),
    }
