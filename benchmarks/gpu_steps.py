"""Scorers and training steps on a device: right at all, and how fast in which way of execution."""

import os
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, pairwise
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity
from torch.profiler import profile as profiler

from autospace.bench.plain_path import PlainSearch, PlainSupernet
from autospace.bench.workload import (
    CANDIDATES,
    QUICK,
    REFERENCE,
    SameBatch,
    Size,
    clock_of,
    make_setting,
)
from autospace.bench.workload import FULL as HOT_LOOP
from autospace.compute.cuda_graphs import NO_GRAPHS, make_graphs
from autospace.compute.device import LANES, resolve_precision
from autospace.compute.execution import PLAIN, Execution
from autospace.compute.side_streams import ONE_LANE, make_lanes
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.data.load import load_data
from autospace.networks.kernels import gpu
from autospace.networks.network import Network, placed
from autospace.scorers import make
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces import Cell
from autospace.training.short import Recipe, train

Row = dict[str, Any]
SCORERS = tuple(method for method in make.SCORERS if method != "predicted")
"""`predicted` trains whole networks, which `training` times."""


@dataclass(frozen=True)
class Amount:
    """How much the measurements do."""

    checked: Size
    size: Size
    most_candidates: tuple[int, ...]
    steps: int
    training_steps: int
    images: int


FULL = Amount(QUICK, HOT_LOOP, (1, 2, 4, 8), 10, 60, 10_000)
TINY = Size((8,), 1, 8, 2, 4)
SMOKE = Amount(TINY, TINY, (1, 2), 1, 5, 64)

# Largest difference of any fitness after a few steps, as a share of the largest fitness.
TOLERANCES = {"float32 against the CPU": 0.05, "recorded against called": 0.05, "bfloat16": 0.5}
ROUNDING = 1e-6
"""Relative change of the reference's weights, about what another order of sums does."""
TIMES_ROUNDING = 5.0
"""A scorer whose steps know signs only, as Adam's, may move this much further than rounding."""


def executions(device: torch.device, on_message: Callable[[str], None]) -> dict[str, Execution]:
    """The ways of execution side by side; the last is what a run does by default."""
    half = torch.bfloat16 if device.type == "cpu" else resolve_precision("auto", device)
    graphs = make_graphs(device, on_message)
    return {
        "eager float32": Execution(device, torch.float32, NO_GRAPHS),
        "eager bfloat16": Execution(device, half, NO_GRAPHS),
        "recorded float32": Execution(device, torch.float32, graphs),
        "recorded bfloat16": Execution(device, half, graphs, lanes=make_lanes(device, LANES)),
    }


@contextmanager
def exact_float32() -> Iterator[None]:
    """Without the 19-bit numbers that a GPU may multiply in place of float32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def correctness(amount: Amount, device: torch.device, ways: dict[str, Execution]) -> dict[str, Row]:
    """Per scorer, how far fitness moves from the CPU to the device and from way to way."""
    found: dict[str, Row] = {}
    for method in SCORERS:
        with exact_float32():
            cpu = _fitness(amount, method, PLAIN)
            own = max(_furthest(cpu, _fitness(amount, method, PLAIN, seed)) for seed in range(1, 4))
            called, half, recorded = (
                _fitness(amount, method, ways[name])
                for name in ("eager float32", "eager bfloat16", "recorded float32")
            )
        moved = {
            "float32 against the CPU": _furthest(cpu, called),
            "recorded against called": _furthest(called, recorded),
            "bfloat16": _furthest(called, half),
        }
        allowed = {name: max(each, TIMES_ROUNDING * own) for name, each in TOLERANCES.items()}
        right = all(value <= allowed[name] for name, value in moved.items())
        moved["CPU, reference rounded"] = own
        found[method] = {"right": right, "furthest": moved, "fitness": called}
    return found


def _fitness(
    amount: Amount, method: str, execution: Execution, rounding: int | None = None
) -> list[list[float]]:
    """Fitness of the fixed cells; with the seed of a change of the reference by rounding."""
    options = ScoringConfig(
        method=method, steps=5, batch=amount.checked.batch, validation_batches=5
    )
    setting = make_setting(amount.checked, options, execution.device)
    if rounding is not None:
        drawn = torch.Generator().manual_seed(rounding)
        for weight in setting.reference.parameters():
            weight.data *= 1 + ROUNDING * torch.randn(weight.shape, generator=drawn)
    return make_scorer(replace(setting, execution=execution)).score(amount.checked.cells, 0)


def _furthest(one: list[list[float]], other: list[list[float]]) -> float:
    """Largest difference, over the largest fitness of the first."""
    first, second = (list(chain.from_iterable(each)) for each in (one, other))
    differences = [abs(a - b) for a, b in zip(first, second, strict=True)]
    # All of them may be 0, on a device that computes nothing.
    return max(differences) / max(1e-12, *map(abs, first))


def search_steps(amount: Amount, device: torch.device, ways: dict[str, Execution]) -> Row:
    """A whole search step of the mixture, plain and in every way, with peak memory."""
    found: Row = {"plain eager float32 nchw": _plain(amount.size, device)}
    for name, execution in ways.items():
        found[name] = _mixture(amount.size, amount.size.cells, execution)
    plain = found["plain eager float32 nchw"]["seconds"]
    for row in found.values():
        row["times_plain"] = plain / row["seconds"]
        row["images_per_s"] = 2 * amount.size.batch / row["seconds"]
    return found


def profile(amount: Amount, device: torch.device, ways: dict[str, Execution]) -> list[Row]:
    """What a round of the default scorer launches, and how long the device is busy with it."""
    return [
        _profiled(amount, device, replace(ways["recorded bfloat16"], lanes=lanes))
        for lanes in (ONE_LANE, make_lanes(device, LANES))
    ]


def _profiled(amount: Amount, device: torch.device, execution: Execution) -> Row:
    options = ScoringConfig(
        method="probe", steps=2 * amount.steps, batch=amount.size.batch, validation_batches=1
    )
    setting = make_setting(amount.size, options, device)
    scorer = make_scorer(replace(setting, execution=execution))
    scorer.score(amount.size.cells, 0)
    watched = ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU
    with profiler(activities=[watched], acc_events=True) as found:
        scorer.score(amount.size.cells, 0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    kind = getattr(DeviceType, device.type.upper())
    spans = sorted(
        (each.time_range.start, each.time_range.end, each.name)
        for each in found.events() or ()
        if each.device_type == kind
    )
    busy, reached, times = 0.0, 0.0, defaultdict[str, list[float]](list)
    for start, end, name in spans:
        busy += max(0.0, end - max(start, reached))
        reached = max(end, reached)
        times[name].append((end - start) / 1000)
    largest = sorted(times.items(), key=lambda item: -sum(item[1]))[:30]
    return {
        "scorer": "probe",
        "lanes": LANES if execution.lanes is not ONE_LANE else 1,
        "batch": amount.size.batch,
        "steps": options.steps,
        "kernels": len(spans),
        "sum_ms": sum(map(sum, times.values())),
        "busy_ms": busy / 1000,
        "wall_ms": (reached - spans[0][0]) / 1000,
        "largest": [
            {"kernel": name[:110], "calls": len(each), "ms": sum(each)} for name, each in largest
        ],
    }


def candidate_sweep(amount: Amount, ways: dict[str, Execution]) -> list[Row]:
    """Time and memory of the default scorer and of the mixture against K."""
    execution = ways["recorded bfloat16"]
    rows = []
    for count in amount.most_candidates:
        cells = [list((*CANDIDATES, *CANDIDATES)[:count]) for _ in amount.size.skeleton.layers]
        probe = _round(amount, "probe", cells, execution)
        mixture = _mixture(amount.size, cells, execution)
        rows.append({"candidates": count, "probe_round": probe, "mixture_step": mixture})
    return rows


def lane_sweep(amount: Amount, device: torch.device, ways: dict[str, Execution]) -> dict[str, Row]:
    """A round of the default scorer against the number of side streams."""
    way, cells = ways["recorded bfloat16"], amount.size.cells
    return {
        str(count): _round(amount, "probe", cells, replace(way, lanes=make_lanes(device, count)))
        for count in (1, 2, 4, 8)
    }


def kernels(amount: Amount, ways: dict[str, Execution]) -> dict[str, Row]:
    """A round of the default scorer, and a training, with our kernels in Triton and without."""
    found = {}
    steps, before = replace(amount, steps=5 * amount.steps), os.environ.get(gpu.VARIABLE)
    try:
        for name, value in (("triton", "1"), ("pytorch", "0")):
            os.environ[gpu.VARIABLE] = value
            gpu.look_again()
            device = ways["recorded float32"].device
            if value == "1" and device.type == "cuda" and not gpu.usable(device):
                raise RuntimeError("the kernels in Triton cannot be used here; a warning says why")
            found[name] = {
                way: {
                    "probe_round": _round(steps, "probe", amount.size.cells, ways[way]),
                    "training_images_per_s": training(amount, device, {way: ways[way]})[way],
                }
                for way in ("recorded float32", "recorded bfloat16")
            }
    finally:
        os.environ.pop(gpu.VARIABLE)
        if before is not None:
            os.environ[gpu.VARIABLE] = before
        gpu.look_again()
    return found


def rounds(amount: Amount, ways: dict[str, Execution]) -> dict[str, Row]:
    """One round of every scorer in every way; all have the same number of steps per candidate."""
    cells = amount.size.cells
    return {
        method: {name: _round(amount, method, cells, way) for name, way in ways.items()}
        for method in SCORERS
    }


def training(amount: Amount, device: torch.device, ways: dict[str, Execution]) -> dict[str, float]:
    """Images a second of the reference's training, with data and augmentation on the device."""
    skeleton = amount.size.skeleton
    source = f"synthetic:classes=10,train={amount.images},test=20,channels=3"
    data = load_data(source, resolution=skeleton.resolution, seed=0)
    batches = Batches(
        data.train,
        amount.size.batch,
        0,
        device,
        Normaliser.from_examples(data.train),
        Augment(crop=2, flip=True),
    )
    found = {}
    for name, execution in ways.items():
        network = placed(Network(skeleton, [REFERENCE] * len(skeleton.layers)), device)
        marks = _Marks(device, every=max(1, amount.training_steps // 5))
        recipe = Recipe(amount.training_steps)
        train(network, batches, recipe, after_step=marks.after, execution=execution)
        found[name] = marks.every * amount.size.batch / marks.median()
    return found


class _Marks:
    """Times of a device's work, taken every so many steps; the first stretch only warms up."""

    def __init__(self, device: torch.device, every: int = 1) -> None:
        self.every, self._clock = every, clock_of(device)
        self._times = [self._clock()]

    def after(self, step: int, _: object) -> None:
        if (step + 1) % self.every == 0:
            self._times.append(self._clock())

    def median(self, last: int = 0) -> float:
        """Seconds of a stretch, of the last ones only if so many are wanted."""
        stretches = [after - before for before, after in pairwise(self._times)][1:]
        return statistics.median(stretches[-last:])


def _plain(size: Size, device: torch.device) -> Row:
    choices = [[*cells, REFERENCE] for cells in size.cells]
    memory = _Memory(device)
    search = PlainSearch(PlainSupernet(size.skeleton, choices).to(device))
    batch = SameBatch(size, device, channels_last=False).batch(0)
    marks = _Marks(device)
    for step in range(7):
        search.step(batch, batch)
        marks.after(step, None)
    return {"seconds": marks.median(), "peak_mb": memory.peak()}


def _mixture(size: Size, cells: list[list[Cell]], execution: Execution) -> Row:
    """Only the last steps count: those before train weights alone, or are about to be recorded."""
    memory, marks = _Memory(execution.device), _Marks(execution.device)
    options = ScoringConfig(method="mixture", steps=8, batch=size.batch)
    setting = make_setting(size, options, execution.device, marks.after)
    make_scorer(replace(setting, execution=execution)).score(cells, 0)
    return {"seconds": marks.median(last=3), "peak_mb": memory.peak()}


def _round(amount: Amount, method: str, cells: list[list[Cell]], execution: Execution) -> Row:
    """A round of a scorer that has scored before, as all rounds of a run but the first."""
    size, device = amount.size, execution.device
    memory, clock = _Memory(device), clock_of(device)
    options = ScoringConfig(
        method=method, steps=amount.steps, batch=size.batch, validation_batches=5
    )
    scorer = make_scorer(replace(make_setting(size, options, device), execution=execution))
    scorer.score(cells, 0)
    started = clock()
    scorer.score(cells, 0)
    return {"seconds": clock() - started, "peak_mb": memory.peak()}


class _Memory:
    """Peak of a GPU's memory, beyond what was in use before."""

    def __init__(self, device: torch.device) -> None:
        self._device, self._before = device, 0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)

    def peak(self) -> float | None:
        if self._device.type != "cuda":
            return None
        return (torch.cuda.max_memory_allocated(self._device) - self._before) / 2**20
