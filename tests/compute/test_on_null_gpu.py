"""What PyTorch's own code for CUDA does with our work: kernels, waits, streams, memory, recordings.

No number is real here, since no kernel computes. `test_null_gpu.py` starts these.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn
from torch.cuda import _sanitizer

from autospace.compute.device import LANES, make_execution
from autospace.compute.execution import Execution
from autospace.compute.narrow_weights import OwnWeights
from autospace.compute.side_streams import ONE_LANE, SideStreams, make_lanes
from autospace.data.batches import Augment, Batches, Normaliser
from autospace.networks.network import Network, placed
from autospace.progress import Tick, no_tick
from autospace.scorers import independent
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.pooled import INDEPENDENT
from autospace.scorers.scorer import ScoringConfig, ScoringMethod
from autospace.spaces import Cell, mbconv
from autospace.supernets.shared_weights import recalibrate
from tests.compute.null_gpu.counts import NullGpu
from tests.scorers.conftest import IN_REFERENCE, SKELETON, examples

pytestmark = pytest.mark.skipif(
    "AUTOSPACE_NULL_GPU" not in os.environ, reason="started by test_null_gpu.py"
)
STEPS = 8
WIDE = Cell.from_edges([(0, 1, "dw_conv_5x5"), (1, 3, "max_pool_3x3")], expansion=3)
GATED = Cell.from_edges(
    [(0, 2, "dw_conv_3x3_d2"), (0, 3, "skip_connect"), (2, 3, "dw_conv_3x3")],
    expansion=1,
    mix=("sum", "gate", "se"),
)
CELLS = [[WIDE, GATED, mbconv(3, 6)], [GATED, mbconv(5, 3)], [WIDE, mbconv(7, 6)]]
each_scorer = pytest.mark.parametrize("method", IN_REFERENCE)


@pytest.fixture
def gpu() -> Iterator[NullGpu]:
    found = NullGpu()
    yield found
    found.reset()


def _execution(name: str = "cuda", *, graphs: bool, **changes: Any) -> Execution:
    def refused(message: str) -> None:
        raise AssertionError(message)

    made = make_execution("bfloat16", graphs, torch.device(name), refused)
    return replace(made, **changes)


def _context(
    method: ScoringMethod, execution: Execution, tick: Tick = no_tick, **options: Any
) -> ScoringContext:
    given = {"batch": 8, "steps": STEPS, "validation_batches": 6, **options}
    torch.manual_seed(0)
    device, norm = execution.device, Normaliser.from_examples(examples(64, 1))
    return ScoringContext(
        freeze(placed(Network(SKELETON, [mbconv(3, 1)] * 3), device)),
        Batches(examples(64, 1), 8, 1, device, norm, Augment(crop=1, flip=True, cutout=2)),
        Batches(examples(64, 2), 8, 2, device, norm),
        ScoringConfig(method=method, **given),
        seed=5,
        execution=execution,
        tick=tick,
    )


# The step of `gated` differs from draw to draw, so it is not recorded.
@pytest.mark.parametrize("method", [each for each in IN_REFERENCE if each != "gated"])
def test_steps_are_recorded_without_a_refusal(gpu: NullGpu, method: ScoringMethod) -> None:
    scorer = make_scorer(_context(method, _execution(graphs=True)))
    scorer.score(CELLS, 0)
    gpu.reset()
    scorer.score(CELLS, 0)
    found = gpu.counts()
    assert gpu.complaints == {}
    assert found.calls["captures ended"] >= 2
    assert sum(found.replayed.values()) > 0


@each_scorer
def test_no_loop_waits(gpu: NullGpu, method: ScoringMethod) -> None:
    seen: list[tuple[int, int, int]] = []
    context = _context(
        method,
        _execution(graphs=False),
        tick=lambda done, total: seen.append((done, total, gpu.counts().waits)),
    )
    make_scorer(context).score([[WIDE]] * 3, 0)
    # Before the first step of a loop something may be looked at, and after its last the results.
    waits = [
        after - before
        for (first, _, before), (second, total, after) in pairwise(seen)
        if 1 <= first == second - 1 < total - 1
    ]
    assert len(waits) >= STEPS - 2
    assert set(waits) == {0}


@pytest.mark.parametrize("method", [each for each in INDEPENDENT if each in IN_REFERENCE])
def test_candidates_are_recorded_on_side_streams_with_the_same_kernels(
    gpu: NullGpu, method: ScoringMethod
) -> None:
    kernels, streams = [], []
    for count in (1, LANES):
        lanes = make_lanes(torch.device("cuda"), count)
        scorer = make_scorer(_context(method, _execution(graphs=True, lanes=lanes)))
        scorer.score(CELLS, 0)
        gpu.reset()
        scorer.score(CELLS, 0)
        found = gpu.counts()
        kernels.append(found.replayed)
        streams.append(found.calls["streams of captures"] / found.calls["captures ended"])
        assert gpu.complaints == {}
    assert kernels[0] == kernels[1]
    assert streams[0] == 1
    assert streams[1] >= LANES


# What the sanitizer keeps of every operation makes it slow: few steps, few cells.
@pytest.mark.parametrize("method", ["probe", "local", "in-place"])
def test_side_streams_do_not_race(gpu: NullGpu, method: ScoringMethod) -> None:
    execution = _execution(graphs=False)
    assert isinstance(execution.lanes, SideStreams)
    context = _context(method, execution, steps=2, validation_batches=1)
    with _races_are_errors():
        make_scorer(context).score([[WIDE], [GATED], [mbconv(5, 1)]], 0)
    assert gpu.complaints == {}


def test_a_race_would_be_found() -> None:
    x = torch.ones(8, device="cuda")
    stream = torch.cuda.Stream()

    def both() -> None:
        x.add_(1)
        with torch.cuda.stream(stream):
            x.mul_(2)

    with _races_are_errors(), pytest.raises(_sanitizer.CUDASanitizerErrors):
        both()


@contextmanager
def _races_are_errors() -> Iterator[None]:
    """PyTorch's sanitizer: it knows which stream touches what, and what waits for what."""
    sanitizer = _sanitizer.CUDASanitizer()
    look = _sanitizer.ArgumentHandler._handle_argument

    def looked(handler: Any, value: Any, *rest: Any, **named: Any) -> None:
        # It knows tensors without numbers by their Python object, whose address is used again.
        if not (isinstance(value, torch.Tensor) and value.numel() == 0):
            look(handler, value, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sanitizer.ArgumentHandler, "_handle_argument", looked)
        sanitizer.enable()
        try:
            yield
        finally:
            sanitizer.disable()


def _kernels_of_a_step(gpu: NullGpu) -> int:
    """Of one more training step of `probe`."""
    found = []
    for steps in (STEPS, STEPS + 1):
        context = _context("probe", _execution(graphs=False, lanes=ONE_LANE), steps=steps)
        scorer = make_scorer(context)
        gpu.reset()
        scorer.score(CELLS, 0)
        found.append(sum(gpu.counts().launched.values()))
    return found[1] - found[0]


def test_a_step_has_no_kernel_that_nobody_needs(
    gpu: NullGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = _kernels_of_a_step(gpu)
    monkeypatch.setattr(independent, "weights_of", lambda *_: OwnWeights())
    with_casts = _kernels_of_a_step(gpu)
    monkeypatch.setattr(independent, "_keep_no_statistics", lambda _: None)
    with_statistics = _kernels_of_a_step(gpu)

    def one_by_one(groups: list[list[nn.Parameter]], most: float) -> None:
        for group in groups:
            nn.utils.clip_grad_norm_(group, most)

    monkeypatch.setattr(independent, "clip_each", one_by_one)
    with_both = _kernels_of_a_step(gpu)
    candidates = len(SKELETON.layers) + sum(map(len, CELLS))
    print(now, with_casts, with_statistics, with_both, candidates)
    assert now < with_casts - 3 * candidates
    assert with_casts < with_statistics - candidates
    assert with_statistics < with_both - 3 * candidates


def test_a_round_gives_its_memory_back(gpu: NullGpu) -> None:
    scorer = make_scorer(_context("probe", _execution(graphs=True)))
    scorer.score(CELLS, 0)
    torch.cuda.empty_cache()
    before = gpu.counts().memory["0"]
    scorer.score(CELLS, 1)
    torch.cuda.empty_cache()
    assert gpu.counts().memory["0"] <= before + (2 << 20)


def test_work_on_the_second_device_leaves_the_first_alone(gpu: NullGpu) -> None:
    torch.cuda.empty_cache()
    before = gpu.counts().memory["0"]
    make_scorer(_context("probe", _execution("cuda:1", graphs=True))).score(CELLS, 0)
    assert gpu.counts().memory["0"] <= before
    assert gpu.counts().memory["1"] > 0
    assert gpu.complaints == {}


def test_recalibrating_does_not_wait(gpu: NullGpu) -> None:
    device, norm = torch.device("cuda"), Normaliser.from_examples(examples(64, 1))
    network = placed(Network(SKELETON, [mbconv(3, 3)] * 3), device)
    batches = Batches(examples(64, 1), 8, 1, device, norm)
    images = [batches.batch(step)[0] for step in range(3)]
    gpu.reset()
    recalibrate([network], network, images)
    assert gpu.counts().waits == 0
