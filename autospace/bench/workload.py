"""The work of the suites `speed` and `cost`, and clocks to time it.

The work is a network, candidates, and images of noise. The cells are fixed, not drawn, so that
another version of this program measures the same cells. They have every operation, including the
depthwise 5x5 and 7x7, whose gradients are expensive.

Other work on the machine disturbs the timing as little as possible. On a CPU the clock counts the
processor time of this process, in one thread, without that of other processes. On a GPU it is the
wall clock, read after the device has finished.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import torch

from autospace.compute.device import make_execution
from autospace.data.batches import Batch
from autospace.networks.network import Network, placed
from autospace.progress import Tick, no_tick
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces.cells.cell import Cell, mbconv
from autospace.spaces.skeleton import LayerSpec, Skeleton, Stem

Clock = Callable[[], float]
"""Seconds since an arbitrary moment."""
_ROBUST_FROM = 5


def clock_of(device: torch.device) -> Clock:
    """The clock for work on a device."""
    if device.type != "cuda":
        return time.process_time

    def finished() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return finished


def spread(values: Sequence[float]) -> float:
    """Standard deviation of values; from five values on, an estimate that ignores outliers."""
    if len(values) < 2:
        return 0.0
    if len(values) < _ROBUST_FROM:
        return statistics.stdev(values)
    middle = statistics.median(values)
    return 1.4826 * statistics.median(abs(value - middle) for value in values)


REFERENCE: Final = mbconv(3, 3)
CANDIDATES: Final = (
    mbconv(5, 3),
    Cell.from_edges([(0, 1, "dw_conv_3x3"), (1, 3, "dw_conv_7x7")], expansion=3),
    Cell.from_edges(
        [(0, 1, "dw_conv_3x3_d2"), (0, 3, "skip_connect"), (1, 3, "dw_conv_3x3_d3")],
        mix=("sum", "sum", "se"),
        expansion=3,
    ),
    Cell.from_edges(
        [
            (0, 1, "max_pool_3x3"),
            (0, 2, "dw_conv_5x5"),
            (1, 3, "avg_pool_3x3"),
            (2, 3, "dw_conv_3x3"),
        ],
        mix=("gate", "sum", "sum"),
        expansion=3,
    ),
)
SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Size:
    """The amount of work of a measurement.

    Attributes:
        channels: of the layers of each stage; a stage halves the resolution of the one before.
        depth: layers per stage.
        candidates: K, at most four.
        batch: images per training batch; validation batches are as large.
    """

    channels: tuple[int, ...]
    depth: int
    resolution: int
    candidates: int
    batch: int

    @property
    def skeleton(self) -> Skeleton:
        """The network."""
        layers = [
            LayerSpec(channels, 2 if stage and not index else 1)
            for stage, channels in enumerate(self.channels)
            for index in range(self.depth)
        ]
        return Skeleton("bench", 3, self.resolution, 10, Stem(self.channels[0], 1), tuple(layers))

    @property
    def cells(self) -> list[list[Cell]]:
        """The candidates of every layer."""
        return [list(CANDIDATES[: self.candidates]) for _ in self.skeleton.layers]


FULL: Final = Size((16, 32, 64), 4, 32, 4, 64)
"""The size that docs/evidence/performance.md reports; a plain step takes half a minute."""
LARGE: Final = Size((16, 32, 64), 2, 32, 4, 32)
"""A quarter of its work, so that the whole suite `speed` ends within ten minutes."""
MIDDLE: Final = Size((16, 32, 64), 1, 32, 4, 32)
QUICK: Final = Size((16, 32), 1, 16, 4, 16)


class SameBatch:
    """Gives the same images at every step, so that reading costs nothing, and counts its calls."""

    def __init__(self, size: Size, device: torch.device, *, channels_last: bool) -> None:
        generator = torch.Generator().manual_seed(SEED)
        shape = (size.batch, 3, size.resolution, size.resolution)
        images = torch.randn(shape, generator=generator)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        labels = torch.randint(0, 10, (size.batch,), generator=generator)
        self._batch = (images.to(device, memory_format=layout), labels.to(device))
        self.calls = 0

    def batch(self, step: int) -> Batch:
        """Images [N, 3, H, W] and labels [N]."""
        del step
        self.calls += 1
        return self._batch


def make_setting(
    size: Size, options: ScoringConfig, device: torch.device, tick: Tick = no_tick
) -> ScoringContext:
    """The context of a scorer. Its reference is not trained, which takes the same time per step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = Network(size.skeleton, [REFERENCE] * len(size.skeleton.layers))
    training, validation = (SameBatch(size, device, channels_last=True) for _ in range(2))
    # As in a run on this device, but without messages.
    execution = make_execution("auto", True, device, lambda _: None)
    reference = freeze(placed(network, device))
    return ScoringContext(reference, training, validation, options, SEED, tick, execution)
