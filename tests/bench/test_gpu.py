"""The same measurements on a GPU, where there is one."""

import pytest
import torch

from autospace.bench import speed
from autospace.bench.workload import Size
from autospace.latency.parts import Part
from autospace.latency.timing import LatencyBench, stopwatch_of, timed

pytestmark = pytest.mark.gpu
TINY = Size((4,), 1, 8, 3, 4)


def test_steps_generations_and_memory_are_measured() -> None:
    device = torch.device("cuda")
    for measure in (speed.search_step_ratio, speed.generation_ratio):
        assert measure(TINY, 2, device, lambda line: None).value > 0
    assert speed.growth("ours", TINY, device) > 0
    assert speed.growth("plain", TINY, device) > 0


def test_a_larger_part_takes_longer() -> None:
    device = torch.device("cuda")
    bench = LatencyBench(device, torch.float32, 32)
    parts = [Part("dw_conv_7x7", 256, 256, side) for side in (64, 8)]
    large, small = timed([bench.part(part) for part in parts], stopwatch_of(device, 1), 5)
    assert large.mean_ms > small.mean_ms > 0
