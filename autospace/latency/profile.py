"""Profiling a device: times every part, fits a correction to networks, checks the predictions.

A profile covers any cell on a skeleton, or the candidates of a space.
"""

import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from scipy.optimize import nnls
from scipy.stats import kendalltau

from autospace.compute.machine import this_machine
from autospace.latency.parts import Part, cell_parts, fixed_parts, parts_of_skeleton, parts_of_space
from autospace.latency.table import MAX_ROWS, Check, Correction, LatencyTable, Row
from autospace.latency.timing import LatencyBench, Timed, largest_first, stopwatch_of, timed
from autospace.networks.network import Network
from autospace.progress import Message, Tick
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import CELLS, FAMILIES
from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture, Candidate, Space


@dataclass(frozen=True, slots=True)
class TimedNetwork:
    """A timed network: the sum of its parts, their number, and its own time; in milliseconds."""

    parts_ms: float
    parts: int
    measured_ms: float

    def predicted_ms(self, correction: Correction) -> float:
        """The prediction under a correction, in milliseconds."""
        return correction.scale * self.parts_ms + correction.overhead_ms * self.parts


def fitted(samples: Sequence[TimedNetwork]) -> Correction:
    """Scale and overhead that minimise the squared relative error; neither is negative."""
    shares = [[s.parts_ms / s.measured_ms, s.parts / s.measured_ms] for s in samples]
    (scale, overhead), _ = nnls(shares, [1.0] * len(samples))
    return Correction(scale=float(scale), overhead_ms=float(overhead))


def checked(samples: Sequence[TimedNetwork], correction: Correction) -> Check:
    """Errors and rank correlation of a prediction."""
    predicted = [sample.predicted_ms(correction) for sample in samples]
    measured = [sample.measured_ms for sample in samples]
    tau = float(kendalltau(predicted, measured)[0])  # not a number if all are equal
    errors = [abs(p - m) / m for p, m in zip(predicted, measured, strict=True)]
    return Check(
        networks=len(samples),
        median_error=statistics.median(errors),
        worst_error=max(errors),
        tau=0.0 if math.isnan(tau) else tau,
    )


PASSES: Final = 48
PASSES_PER_LINE: Final = 8
FITTED_ON: Final = 12
CHECKED_ON: Final = 12
DTYPES: Final = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
Draw = Callable[[], Sequence[Cell]]
"""A random architecture: a cell per layer."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is profiled: the parts to be timed, and random networks made of them.

    Raises:
        SpaceError: no table holds so many parts.
    """

    name: str
    skeleton: Skeleton
    parts: Sequence[Part]
    draw: Draw

    def __post_init__(self) -> None:
        if len(self.parts) > MAX_ROWS:
            problem = f"{len(self.parts):,} parts; allowed in a latency table: up to {MAX_ROWS:,}"
            raise SpaceError(self.name, problem)


def profile(
    subject: Subject, *, device: torch.device, dtype: str, batch: int, on_message: Message
) -> LatencyTable:
    """The latency table of a device; `on_message` receives what is being measured."""
    bench = LatencyBench(device, DTYPES[dtype], batch)
    parts = largest_first(subject.parts)
    architectures = [list(subject.draw()) for _ in range(FITTED_ON + CHECKED_ON)]
    networks = [Network(subject.skeleton, cells) for cells in architectures]
    # Together, so that parts and networks are timed in the same state of the machine.
    work = [*map(bench.part, parts), *map(bench.network, networks)]
    on_message(f"profile: {len(parts)} parts and {len(networks)} networks")
    stopwatch = stopwatch_of(device, torch.get_num_threads())
    times = timed(work, stopwatch, PASSES, _told(on_message))
    order = {part: index for index, part in enumerate(subject.parts)}
    found = dict(zip(parts, times, strict=False))
    rows = [_row(part, found[part]) for part in sorted(found, key=order.__getitem__)]
    samples = [
        _sample(subject.skeleton, cells, found, time)
        for cells, time in zip(architectures, times[len(parts) :], strict=True)
    ]
    correction = fitted(samples[:FITTED_ON])
    machine = this_machine(device)
    return LatencyTable.model_validate(
        {
            "device": machine.device,
            "processor": machine.processor,
            "dtype": dtype,
            "batch": batch,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "subject": subject.name,
            "rows": rows,
            "correction": correction,
            "check": checked(samples[FITTED_ON:], correction),
        }
    )


def _sample(
    skeleton: Skeleton, cells: Sequence[Cell], found: dict[Part, Timed], time: Timed
) -> TimedNetwork:
    parts = list(fixed_parts(skeleton))
    for cell, shape in zip(cells, skeleton.cell_layers, strict=True):
        parts.extend(cell_parts(cell, shape))
    return TimedNetwork(sum(found[part].mean_ms for part in parts), len(parts), time.mean_ms)


def _row(part: Part, time: Timed) -> Row:
    return Row(
        part=part.name,
        inputs=part.inputs,
        outputs=part.outputs,
        resolution=part.resolution,
        stride=part.stride,
        mean_ms=time.mean_ms,
        std_ms=time.std_ms,
        n=time.n,
    )


def _told(on_message: Message) -> Tick:
    def tick(done: int, total: int) -> None:
        if done % PASSES_PER_LINE == 0:
            on_message(f"profile: pass {done} of {total}")

    return tick


def of_skeleton(skeleton: Skeleton, rng: random.Random, family: str = "auto") -> Subject:
    """Every part that any cell may need, and networks of random cells.

    Args:
        skeleton: around the cells.
        rng: draws the networks.
        family: `auto` for the cells that are evolved there, or a name of `CELLS`.

    Raises:
        SpaceError: these cells do not fit the skeleton.
    """
    if family not in ("auto", *CELLS):
        raise SpaceError("family", f"{shown(family)}; {offered(family, ('auto', *CELLS))}")
    kind, operations = CELLS.get(family, (skeleton.kind, tuple(FAMILIES[skeleton.kind].usual)))
    for shape in skeleton.shapes:
        FAMILIES[kind].check(FAMILIES[kind].least(shape), shape)
    parts = parts_of_skeleton(skeleton, kind, operations)
    name = skeleton.name if family == "auto" else f"{skeleton.name}, {family}"
    return Subject(name, skeleton, parts, lambda: _random_cells(skeleton, rng, kind, operations))


def _random_cells(
    skeleton: Skeleton, rng: random.Random, kind: str, operations: Sequence[str]
) -> Sequence[Cell]:
    """The cells of a random network; those of layers that share one are equal."""
    family = FAMILIES[kind]
    chosen = []
    for shape in skeleton.shapes:
        # As large as a cell here; in stages all are, and the cheapest has an unusual expansion.
        like = () if shape.staged else (family.least(shape),)
        prior = family.prior(operations, like)
        cell = family.random_cell(prior, rng)
        chosen.append(Candidate("random", family.at(cell, shape)))
    return Architecture(skeleton, tuple(chosen)).cells


def of_space(space: Space, rng: random.Random) -> Subject:
    """The parts of a space's candidates, and architectures drawn from it."""
    return Subject(
        space.name, space.skeleton, parts_of_space(space), lambda: space.sample(rng).cells
    )
