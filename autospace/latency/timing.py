"""Times many short pieces of work, little affected by drift, warm-up and interruptions.

Every pass times every piece once, each time in a new order. A temporary slowdown of the machine
therefore affects all pieces alike, and the caches hold other work, as in a network. The first pass
only warms up. On a GPU, a piece that is too short for the clock is repeated. The middle half of the
measurements of a piece counts.

`LatencyBench` builds parts as torch modules with inputs, ready to be timed as in a network.
"""

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import torch
from torch import nn

from autospace.latency.parts import Part
from autospace.networks.binary import BinaryLayer, binary_cell_operation
from autospace.networks.conv import conv_operation, conv_shortcut
from autospace.networks.darts import INPUT_MODULES, build_edge, stem_parts
from autospace.networks.dense import (
    ActivatedConvolution,
    NormActivation,
    ResidualBlock,
    dense_operation,
)
from autospace.networks.network import Network, placed
from autospace.networks.ofa import Activated, Mixing, OfaModule
from autospace.networks.operations import ConvNorm, Gate, SqueezeExcite, build_operation
from autospace.progress import Tick, no_tick
from autospace.spaces.cells.cell import Edge, LayerShape
from autospace.spaces.cells.darts_cell import INPUTS
from autospace.spaces.cells.ofa import OfaCell

GPU_SECONDS: Final = 1e-3
MOST_REPEATS: Final = 1000
COARSE: Final = 1e-5
"""Seconds; short parts take about as long. A clock that moves on in longer steps is not used."""
STEPS: Final = 3
"""Steps of a clock that are measured; an interruption may lengthen one."""
Work = Callable[[], object]
Clock = Callable[[], float]


class Stopwatch(NamedTuple):
    """A way to time work.

    Attributes:
        seconds: measures a number of repeats of a piece of work.
        least: seconds that one measurement should take; 0 for one repeat.
    """

    seconds: Callable[[Work, int], float]
    least: float = 0.0


class Timed(NamedTuple):
    """Mean and standard deviation of the middle half of n measurements, in milliseconds."""

    mean_ms: float
    std_ms: float
    n: int


def timed(
    pieces: Sequence[Work],
    stopwatch: Stopwatch,
    passes: int,
    tick: Tick = no_tick,
    seed: int = 0,
) -> list[Timed]:
    """Times every piece of work; `tick` receives the number of finished passes and of all."""
    repeats = [_repeats(piece, stopwatch) for piece in pieces]
    seconds: list[list[float]] = [[] for _ in pieces]
    order, rng = list(range(len(pieces))), random.Random(seed)
    for done in range(passes):
        tick(done, passes)
        rng.shuffle(order)
        for index in order:
            taken = stopwatch.seconds(pieces[index], repeats[index])
            seconds[index].append(taken / repeats[index])
    return [middle_half(values) for values in seconds]


def middle_half(seconds: Sequence[float]) -> Timed:
    """The values without the fastest and slowest quarter, which contain most disturbances."""
    cut = len(seconds) // 4
    kept = sorted(seconds)[cut : len(seconds) - cut]
    deviation = statistics.stdev(kept) if len(kept) > 1 else 0.0
    return Timed(1e3 * statistics.mean(kept), 1e3 * deviation, len(seconds))


def stopwatch_of(device: torch.device, threads: int) -> Stopwatch:
    """Events of the device on a GPU; on a CPU the processor time of one thread, or the wall clock.

    The processor time of one thread leaves out other processes. With several threads, only the
    wall clock measures how long they took together; and where the system counts processor time in
    long steps, as Windows does, only the wall clock measures short parts.
    """
    if device.type == "cuda":
        return Stopwatch(partial(_on_gpu, device), GPU_SECONDS)
    one = threads == 1 and _step(time.thread_time) < COARSE
    return Stopwatch(_by(time.thread_time if one else time.perf_counter))


def _step(clock: Clock) -> float:
    """Seconds from one reading of a clock to the next that differs, the least of some.

    It is measured: Windows names 1e-7, and counts processor time in steps of 1/64.
    """

    def once() -> float:
        begun = clock()
        while (now := clock()) == begun:
            pass
        return now - begun

    return min(once() for _ in range(STEPS))


def _by(clock: Clock) -> Callable[[Work, int], float]:
    def seconds(work: Work, repeats: int) -> float:
        started = clock()
        for _ in range(repeats):
            work()
        return clock() - started

    return seconds


def _on_gpu(device: torch.device, work: Work, repeats: int) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    # Events are recorded on the current device, which is the first one unless it is said.
    with torch.cuda.device(device):
        torch.cuda.synchronize()
        begin.record()
        for _ in range(repeats):
            work()
        end.record()
        torch.cuda.synchronize()
    return float(begin.elapsed_time(end)) / 1e3


def _repeats(work: Work, stopwatch: Stopwatch) -> int:
    """The number of repeats of a piece in one measurement; runs the piece, which warms it up."""
    repeats = 1
    while True:
        seconds = stopwatch.seconds(work, repeats)
        if seconds >= stopwatch.least or repeats >= MOST_REPEATS:
            return repeats
        repeats = min(MOST_REPEATS, 2 * repeats)


class Classifier(nn.Module):
    """Global average and linear layer."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(features, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of features [N, C, H, W]."""
        logits: torch.Tensor = self.linear(x.mean(dim=(2, 3)))
        return logits


class Pooled(nn.Module):
    """Global average, and a module of what it gives."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, C, H, W] -> [N, C']."""
        found: torch.Tensor = self.inner(x.mean(dim=(2, 3)))
        return found


class LatencyBench:
    """Builds the work that is timed on one device: inference with one batch and number type."""

    def __init__(self, device: torch.device, dtype: torch.dtype, batch: int) -> None:
        self.device, self.dtype, self.batch = device, dtype, batch
        self._buffer = torch.empty(0, device=device, dtype=dtype)

    def part(self, part: Part) -> Work:
        """A forward pass of a part."""
        if part.name == "cat":
            halves = self.images(part.inputs, part.resolution).chunk(2, 1)
            return lambda: torch.cat(halves, 1)
        if part.name == "sum":
            x = self.images(part.inputs, part.resolution)
            other = x.clone(memory_format=torch.preserve_format)
            return lambda: x + other
        return self.module(build_part(part), part.inputs, part.resolution)

    def network(self, network: Network) -> Work:
        """A forward pass of a whole network."""
        skeleton = network.skeleton
        return self.module(network, skeleton.in_channels, skeleton.resolution)

    def module(self, module: nn.Module, channels: int, resolution: int) -> Work:
        """A forward pass of any module that takes images of this shape."""
        x = self.images(channels, resolution)
        ready = placed(module.eval().requires_grad_(False), self.device).to(self.dtype)
        return torch.no_grad()(lambda: ready(x))

    def images(self, channels: int, resolution: int) -> torch.Tensor:
        """A batch [N, C, H, W] in the memory format that networks work in.

        All batches use the same memory: in a network, too, a part reads what was just written.
        """
        shape = (self.batch, resolution, resolution, channels)
        size = math.prod(shape)
        if size > len(self._buffer):
            generator = torch.Generator().manual_seed(0)
            values = torch.randn(size, generator=generator)
            self._buffer = values.to(self.device, self.dtype)
        return self._buffer[:size].view(shape).permute(0, 3, 1, 2)


def build_part(part: Part) -> nn.Module:
    """The module of a part other than `sum` and `cat`."""
    family, *names = part.name.split("/")
    if names:
        return _OF_FAMILY[family](part, *names)
    match part.name:
        case "stem":
            return ConvNorm(part.inputs, part.outputs, 3, stride=part.stride)
        case "expand" | "head":
            return ConvNorm(part.inputs, part.outputs)
        case "project":
            return ConvNorm(part.inputs, part.outputs, activate=False)
        case "classifier":
            return Classifier(part.inputs, part.outputs)
        case "gate":
            return Gate()
        case "se":
            return SqueezeExcite(part.inputs, part.outputs)
    return build_operation(part.name, part.inputs, part.stride)


def _dense_part(part: Part, name: str) -> nn.Module:
    match name:
        case "stem":
            return ConvNorm(part.inputs, part.outputs, 3, stride=part.stride, activate=False)
        case "block":
            return ResidualBlock(_shape(part))
        case "norm":
            return NormActivation(part.inputs)
    return dense_operation(name, part.inputs)


def _paired_part(part: Part, name: str, groups: str = "", *, binary: bool) -> nn.Module:
    if name == "stem":
        return stem_parts((part.inputs, part.outputs), part.stride, activated=binary)[0]
    if name in ("whole", "halved"):
        whole, halved = INPUT_MODULES[binary]
        return (whole if name == "whole" else halved)(part.inputs, part.outputs)
    edge = Edge(0 if part.stride > 1 else INPUTS, INPUTS + 1, name)
    return build_edge(edge, replace(_shape(part), binary_groups=int(groups) if binary else 0))


def _binary_part(part: Part, name: str) -> nn.Module:
    if name == "expand":
        return BinaryLayer(part.inputs, part.outputs)
    return binary_cell_operation(name, part.inputs, part.stride)


def _conv_part(part: Part, name: str) -> nn.Module:
    if name == "shortcut":
        return conv_shortcut(part.inputs, part.outputs, part.stride)
    if name in ("reduce", "widen"):
        return ActivatedConvolution(part.inputs, part.outputs, 1)
    return conv_operation(name, part.inputs, part.outputs, part.stride)


def _ofa_part(part: Part, name: str, activation: str, attention: str = "") -> nn.Module:
    match name:
        case "stem":
            return Activated(
                part.inputs, part.outputs, 3, stride=part.stride, activation=activation
            )
        case "head":
            return Activated(part.inputs, part.outputs, activation=activation)
        case "last":
            return Pooled(Mixing(part.inputs, part.outputs, activation))
    kernel, expansion = map(int, name.removeprefix("k").split("e"))
    shape = replace(_shape(part), activation=activation, attention=attention == "se")
    return OfaModule(OfaCell.of(kernel, expansion), shape)


_OF_FAMILY: Final[dict[str, Callable[..., nn.Module]]] = {
    "dense": _dense_part,
    "darts": partial(_paired_part, binary=False),
    "binary": _binary_part,
    "conv": _conv_part,
    "bats": partial(_paired_part, binary=True),
    "ofa": _ofa_part,
}
"""Per family, what builds the parts that `autospace.latency.parts` names after it."""


def _shape(part: Part) -> LayerShape:
    sizes = part.inputs, part.outputs, part.stride, part.resolution
    return LayerShape("part", *sizes, around=False, width=part.inputs)


def largest_first(parts: Sequence[Part]) -> list[Part]:
    """The parts, those with the largest inputs first, so that one buffer serves them all."""
    return sorted(parts, key=lambda part: -part.inputs * part.resolution**2)
