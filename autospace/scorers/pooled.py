"""Scoring by a pool of processes: any free process trains the next independent candidate.

Every process gives the same loss, which depends on layer, cell and repeat alone. On several GPUs
each process trains one part of the candidates, all together and recorded, as one process would.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from autospace.captions.passages import CaptionBatches
from autospace.compute.device import make_execution, own_device
from autospace.compute.execution import ExecutionSettings
from autospace.compute.machine import available_memory, cores
from autospace.compute.pool import Pool
from autospace.compute.worker import Plain, Report, Work
from autospace.data.batches import Batches, BatchSource, moved_pixels
from autospace.data.storage import Mapped
from autospace.networks.network import Network, build_network, placed
from autospace.progress import Message, Tick
from autospace.runs.files import check_room_for
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.local import DistilledScorer, InPlaceScorer, LocalScorer
from autospace.scorers.probe import ProbeScorer
from autospace.scorers.recurrent import RecurrentScorer
from autospace.scorers.scorer import ScoringConfig, ScoringMethod
from autospace.scorers.whole import WholeNetworks, packed_cell, unpacked_cell
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import cell_cost
from autospace.spaces.files.codec import from_json, to_json
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import Skeleton
from autospace.text.segments import Segments
from autospace.training.task import task_of

ScorerType = (
    type[ProbeScorer]
    | type[LocalScorer]
    | type[InPlaceScorer]
    | type[DistilledScorer]
    | type[WholeNetworks]
)
INDEPENDENT: Final[dict[ScoringMethod, ScorerType]] = {
    "calibrated": ProbeScorer,
    "probe": ProbeScorer,
    "local": LocalScorer,
    "in-place": InPlaceScorer,
    "distilled": DistilledScorer,
    "predicted": WholeNetworks,
}
"""Scorers that train candidates or networks one by one, so that processes can share the work."""
PROCESS_BYTES: Final = 400 << 20
"""Memory of a process before it trains anything."""
WIDEST_EXPANSION: Final = 6
KEPT_TENSORS: Final = 12
"""Tensors of its hidden width that a cell keeps for the backward pass: edges, sums, expansion."""
SPARED: Final = 4
"""A quarter of the available memory may hold features of the reference."""
SECONDS_BETWEEN_TICKS: Final = 0.2
STEP_MADDS: Final = 7_000_000
"""The fixed work of a step, as MAdds: a step of the smallest cell takes as long (measured)."""
FILE: Final = "scoring.safetensors"
Position = tuple[int, int]
"""Layer, and index among its candidates."""


class PooledScorer:
    """Fitness is the loss of the reference's own cell minus the loss of the candidate.

    The reference's cell, the baseline, is trained from scratch like every candidate.
    """

    def __init__(self, context: ScoringContext, pool: Pool) -> None:
        self._on_cpu = context.of_workers.device == "cpu"
        if pool.count > 1 and self._on_cpu:
            share = pool.memory // SPARED
            context = replace(context, kept_bytes=min(context.kept_bytes, share))
        self._context, self._pool = context, pool
        self._job = ScoringJob(context)
        seen = _kind(context).TENSORS_SEEN
        self._kept = seen * _input_bytes(context) <= context.kept_bytes
        self._baselines: dict[int, list[float]] = {}
        self._said: set[str] = set()

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate of every layer; see `autospace.scorers.scorer.Scorer`."""
        if repeat not in self._baselines:
            own = [[cell] for cell in self._context.own_cells]
            self._baselines[repeat] = [loss for (loss,) in self._losses(own, repeat)]
        pairs = zip(self._losses(candidates, repeat), self._baselines[repeat], strict=True)
        return [[own - loss for loss in layer] for layer, own in pairs]

    def _losses(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        work = self._work(candidates)
        # Features that are not kept are computed again for every part; then few parts are best.
        # A single process trains all candidates together, step by step, on the same features, and
        # a GPU is only busy with many candidates at a time: it gets one part in every round.
        several = self._kept and self._pool.count > 1 and self._on_cpu
        parts = one_by_one(work) if several else in_order(work, self._pool.count)
        requests = [
            {"candidates": _documents(candidates, part), "repeat": repeat} for part in parts
        ]
        efforts = [sum(work[each] for each in part) for part in parts]
        progress = _Progress(self._context, efforts, self._said)
        found = [[0.0] * len(row) for row in candidates]
        for index, losses in self._pool.results(self._job, requests, progress.on_message):
            progress.on_message(index, self._context.options.steps)
            values = [loss for row in losses for loss in row]
            for (layer, place), loss in zip(parts[index], values, strict=True):
                found[layer][place] = loss
        return found

    def _work(self, candidates: Sequence[Sequence[Cell]]) -> dict[Position, int]:
        """The work of a step of each candidate, in MAdds: signs are multiplied as numbers."""
        shapes, batch = self._context.reference.skeleton.shapes, self._context.options.batch
        costs = {
            (layer, place): cell_cost(cell, shape)
            for layer, (row, shape) in enumerate(zip(candidates, shapes, strict=True))
            for place, cell in enumerate(row)
        }
        return {at: STEP_MADDS + batch * (cost.madds + cost.bops) for at, cost in costs.items()}


def one_by_one(work: dict[Position, int]) -> list[list[Position]]:
    """The candidates, the most expensive first; any free process takes the next."""
    return [[position] for position in sorted(work, key=lambda each: -work[each])]


def in_order(work: dict[Position, int], count: int) -> list[list[Position]]:
    """At most `count` parts of about equal work, each of neighbouring layers."""
    whole = sum(work.values())
    parts: list[list[Position]] = [[] for _ in range(count)]
    for (position, effort), end in zip(work.items(), accumulate(work.values()), strict=True):
        parts[count * (2 * end - effort) // (2 * whole)].append(position)
    return [part for part in parts if part]


def _documents(
    candidates: Sequence[Sequence[Cell]], part: list[Position]
) -> list[list[dict[str, Any]]]:
    rows: list[list[dict[str, Any]]] = [[] for _ in candidates]
    for layer, place in part:
        rows[layer].append(packed_cell(candidates[layer][place]))
    return rows


def _input_bytes(context: ScoringContext) -> int:
    """Memory of the inputs of all layers, over the training batches of a repeat."""
    options, shapes = context.options, context.reference.skeleton.shapes
    numbers = sum(shape.received for shape in shapes)
    return 4 * numbers * options.batch * options.steps


class _Progress:
    """Reports the progress of a round, in steps of all candidates."""

    def __init__(self, context: ScoringContext, work: list[int], said: set[str]) -> None:
        self._context, self._work, self._done = context, work, [0] * len(work)
        self._said = said

    def on_message(self, index: int, message: Plain) -> None:
        """Receives the number of steps that a part has done, or a message for the user."""
        if isinstance(message, str):
            # What one worker finds, others find as well: it is said once.
            if message not in self._said:
                self._said.add(message)
                self._context.on_message(message)
            return
        self._done[index] = message
        done = sum(work * each for work, each in zip(self._work, self._done, strict=True))
        self._context.tick(done // sum(self._work), self._context.options.steps)


@dataclass(frozen=True)
class ScoringJob:
    """Training of candidates, by one of the scorers in `INDEPENDENT`; see `Job`.

    A request holds candidates per layer and a repeat; its result is their losses. Messages are
    numbers of finished steps, and texts for the user.
    """

    context: ScoringContext

    def begin(self, report: Report) -> Work:
        """Trains in this process, with this context."""
        return _training(replace(self.context, tick=lambda done, _: report(done)))

    def pack(self, folder: Path, *, whole: bool) -> Plain:
        """Writes the reference's weights and the images into one file, and all settings.

        Images that lie in a file already stay there. Workers that see nothing of this machine but
        the folder get that file, as a link in it.

        Raises:
            RoomError: the disk has no room for a copy of the images.
            TypeError: batches or task are not those that the reference is usually trained with.
        """
        context, network = self.context, self.context.reference
        usual = task_of(network.skeleton)
        if context.task != usual:
            raise TypeError(f"task {context.task}: cannot be sent to workers; allowed: {usual}")
        tensors = {f"reference.{name}": each for name, each in network.state_dict().items()}
        settings: dict[str, Any] = {
            "skeleton": to_json(network.skeleton),
            "cells": [packed_cell(cell) for cell in context.own_cells],
            "options": context.options.model_dump_json(),
            "seed": context.seed,
            "execution": context.of_workers._asdict(),
        }
        for name, source in zip(_SPLITS, (context.training, context.validation), strict=True):
            images, settings[name] = _checked(source, network.skeleton).packed()
            tensors |= {f"{name}.{key}": each for key, each in images.items()}
        both = tensors.get(_PIXELS), tensors.get("validation.pixels")
        if both[0] is not None and both[1] is not None and both[0].data_ptr() == both[1].data_ptr():
            del tensors["validation.pixels"]  # Parts of one large split.
        folder.mkdir(parents=True, exist_ok=True)
        for name in _SPLITS:
            if whole and settings[name].get("mapped"):
                settings[name]["mapped"][0] = _linked(folder, settings[name]["mapped"][0])
        check_room_for(sum(each.nbytes for each in tensors.values()), folder)
        contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, folder / FILE, {"settings": json.dumps(settings)})
        return {"file": FILE, "kept_bytes": context.kept_bytes}

    @staticmethod
    def begin_packed(packed: Plain, folder: Path, report: Report) -> Work:
        """Trains with the contents of the file, on a CPU or on the GPU of this process."""
        with safe_open(folder / packed["file"], "pt") as stream:
            settings = json.loads(stream.metadata()["settings"])
            # Mapped, not read: all processes share one copy of the images.
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        for name in _SPLITS:
            mapped = settings[name].get("mapped")
            if mapped and (name == _SPLITS[0] or mapped != settings[_SPLITS[0]].get("mapped")):
                tensors[f"{name}.pixels"] = Mapped(folder / mapped[0], mapped[1]).pixels
        told = ExecutionSettings(**settings["execution"])
        device = own_device(told.device)
        pixels = tensors.get(_PIXELS)
        shared = {} if pixels is None else {"pixels": moved_pixels(pixels, device)}
        reference = _reference(settings, _under(tensors, "reference"), device)
        source = _source_of(reference.skeleton)
        training, validation = (
            source.unpacked(shared | _under(tensors, name), settings[name], device)
            for name in _SPLITS
        )
        execution = make_execution(told.precision, told.cuda_graphs, device, report)
        context = ScoringContext(
            reference,
            training,
            validation,
            ScoringConfig.model_validate_json(settings["options"]),
            settings["seed"],
            _sparing(report),
            execution,
            task_of(reference.skeleton),
            kept_bytes=packed["kept_bytes"],
        )
        return _training(context)


def _training(context: ScoringContext) -> Work:
    scorer = _kind(context)(context)

    def losses(request: Plain) -> Plain:
        # What ran out of memory before does not count, such as the warm-up, if it was done here.
        context.execution.parts.begin_again()
        rows = [[unpacked_cell(each) for each in row] for row in request["candidates"]]
        return scorer.losses(rows, request["repeat"])

    return losses


_SPLITS: Final = ("training", "validation")
_PIXELS: Final = "training.pixels"


def _linked(folder: Path, file: str) -> str:
    """The name of a link to a file in the folder."""
    link = folder / Path(file).name
    if not link.is_symlink():
        link.symlink_to(file)
    return link.name


def _kind(context: ScoringContext) -> ScorerType | type[RecurrentScorer]:
    if isinstance(context.reference.skeleton, SequenceSkeleton):
        return RecurrentScorer
    return INDEPENDENT[context.options.method]


SourceType = type[Batches] | type[Segments] | type[CaptionBatches]
SOURCES: Final[dict[str, SourceType]] = {"text": Segments, "captions": CaptionBatches}
"""The batches of networks that read neither images with classes nor sentences."""


def _source_of(skeleton: Skeleton) -> SourceType:
    return SOURCES.get(skeleton.reads, Batches)


def _checked(source: BatchSource, skeleton: Skeleton) -> Batches | Segments | CaptionBatches:
    wanted = _source_of(skeleton)
    if not isinstance(source, wanted):
        problem = f"{type(source).__name__}: cannot be sent to workers"
        raise TypeError(f"{problem}; allowed: {wanted.__name__}")
    return source


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    start = f"{prefix}."
    return {name[len(start) :]: each for name, each in tensors.items() if name.startswith(start)}


def _reference(
    settings: dict[str, Any], weights: dict[str, torch.Tensor], device: torch.device
) -> Network:
    skeleton = from_json(settings["skeleton"])
    if not isinstance(skeleton, Skeleton):
        raise TypeError(f"skeleton: a {type(skeleton).__name__}; allowed: a Skeleton")
    made = build_network(skeleton, [unpacked_cell(each) for each in settings["cells"]])
    made.load_state_dict(weights)
    return freeze(cast(Network, placed(made, device)))


def _sparing(report: Report) -> Tick:
    """Reports the number of finished steps, but at most once per `SECONDS_BETWEEN_TICKS`."""
    last = 0.0

    def tick(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_TICKS:
            report(done)
            last = time.monotonic()

    return tick


def process_bytes(skeleton: Skeleton, batch: int, method: ScoringMethod) -> int:
    """Memory of a process that trains the largest cell of a skeleton on batches, or all of them."""
    widths = [shape.received for shape in skeleton.shapes]
    width = sum(widths) if method == "predicted" else max(widths)
    return PROCESS_BYTES + 4 * batch * width * WIDEST_EXPANSION * KEPT_TENSORS


def fitting_count(
    skeleton: Skeleton,
    candidates: int,
    batch: int,
    threads: int,
    method: ScoringMethod,
    on_message: Message,
) -> int:
    """Number of processes that cores, memory and the amount of work allow.

    Args:
        skeleton: of the reference network.
        candidates: number of candidates per layer and round.
        batch: number of training images per step.
        threads: number of threads of each process.
        method: of scoring.
        on_message: receives a message if memory limits the number.
    """
    left = available_memory() * (SPARED - 1) // SPARED
    by_memory = left // process_bytes(skeleton, batch, method)
    wanted = max(1, min(cores() // threads, candidates * len(skeleton.shapes)))
    count = max(1, min(wanted, by_memory))
    if count < wanted:
        cells = "1 cell is" if count == 1 else f"{count} cells are"
        problem = f"{cells} trained at a time instead of {wanted}"
        on_message(f"{problem}, because memory is short")
    return count
