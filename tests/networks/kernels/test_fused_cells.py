"""Cells trained by the kernels against the same cells trained by PyTorch's own operations."""

import copy
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from autospace.compute.device import threads
from autospace.networks.cells import CellModule
from autospace.networks.kernels import native
from autospace.networks.kernels.norms import norm_act
from autospace.networks.network import placed
from autospace.networks.operations import ConvNorm, SqueezeExcite
from autospace.spaces import OPERATIONS, Cell, LayerShape, mbconv
from tests.networks.kernels.tools import Outcome, needs_kernels, outcome, plainly
from tests.strategies import cells, shapes

REAL = tuple(name for name in OPERATIONS if name != "none")
pytestmark = needs_kernels


def module_of(cell: Cell, shape: LayerShape, dtype: torch.dtype = torch.float64) -> CellModule:
    torch.manual_seed(0)
    module = placed(CellModule(cell, shape), "cpu").to(dtype).train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias, 1)
    return module


def images(shape: LayerShape, count: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    size = (count, shape.in_channels, shape.resolution, shape.resolution)
    return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)


def both(
    module: nn.Module, x: torch.Tensor, prepare: Callable[[nn.Module], object] = lambda module: None
) -> tuple[Outcome, Outcome]:
    """What two equal modules give: by the kernels, and plainly."""
    other = copy.deepcopy(module)
    for each in (module, other):
        prepare(each)
    fused = outcome(module, x)
    with plainly():
        return fused, outcome(other, x)


@given(cells(zero=False), shapes(most_channels=19), st.integers(2, 3))
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
def test_outputs_gradients_and_statistics_are_the_plain_ones(
    cell: Cell, shape: LayerShape, count: int
) -> None:
    fused, plain = both(module_of(cell, shape), images(shape, count))
    fused.assert_close(plain, 1e-9)


@pytest.mark.parametrize("operation", REAL)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("mix", ["sum", "gate", "se"])
def test_every_operation_at_every_stride_with_every_mix(
    operation: str, stride: int, mix: str
) -> None:
    cell = Cell.from_edges(
        [(0, 1, operation), (0, 2, operation), (1, 2, operation)],
        nodes=3,
        mix=(mix, mix),
        expansion=3,
    )
    shape = LayerShape("layer_00", 6, 6, stride, 9)
    fused, plain = both(module_of(cell, shape), images(shape, 3))
    fused.assert_close(plain, 1e-9)


@given(cells(zero=False, most_nodes=4), shapes(most_channels=19))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_in_single_precision_rounding_is_no_worse_than_plainly(
    cell: Cell, shape: LayerShape
) -> None:
    # Against double precision, for both paths are rounded. With few values per channel the
    # deviation may be tiny and its inverse anything, so there are many.
    module, x = module_of(cell, shape), images(shape, 8)
    if shape.out_resolution < 3:
        return
    single = outcome(copy.deepcopy(module).float(), x.float())
    with plainly():
        exact = outcome(copy.deepcopy(module), x)
        plain = outcome(copy.deepcopy(module).float(), x.float())
    for name, error in single.errors(exact).items():
        assert error <= 1e-4 + 10 * plain.errors(exact)[name], name


@pytest.mark.parametrize("momentum", [None, 0.0, 0.1, 1.0])
def test_running_statistics_move_as_batch_normalisation_moves_them(momentum: float | None) -> None:
    def prepare(module: nn.Module) -> None:
        module[1].momentum = momentum  # type: ignore[index]

    part = ConvNorm(5, 5, 3, groups=5).double().train()
    x = torch.randn(4, 5, 6, 6, dtype=torch.float64)
    first, second = copy.deepcopy(part), part
    for each in (first, second):
        prepare(each)
    for scale in (1, 3):
        fused = outcome(first, x * scale)
        with plainly():
            plain = outcome(second, x * scale)
        fused.assert_close(plain, 1e-9)
        assert first.norm.num_batches_tracked == second.norm.num_batches_tracked == 1 + (scale > 1)


@pytest.mark.parametrize("groups", [1, 12])
@pytest.mark.parametrize("frozen", ["weights", "input", "norm", "convolution"])
def test_only_gradients_that_are_asked_for_come_back(groups: int, frozen: str) -> None:
    part = ConvNorm(12, 12, 5, groups=groups).double().train()
    if frozen == "weights":
        part.requires_grad_(False)
    if frozen == "norm":
        part.norm.requires_grad_(False)
    if frozen == "convolution":
        part.convolution.requires_grad_(False)
    x = torch.randn(3, 12, 7, 7, dtype=torch.float64)
    fused, plain = both(part, x if frozen == "input" else x.requires_grad_())
    assert fused.gradients.keys() == plain.gradients.keys()
    assert len(fused.gradients) == {"weights": 1, "input": 3, "norm": 2, "convolution": 3}[frozen]
    fused.assert_close(plain, 1e-9)


@pytest.mark.parametrize("frozen", ["reduce", "expand", "input", "all weights"])
def test_attention_gives_only_gradients_that_are_asked_for(frozen: str) -> None:
    attention = SqueezeExcite(6, 3).double()
    for name, parameter in attention.named_parameters():
        parameter.requires_grad_(not (frozen == "all weights" or name.startswith(frozen)))
    x = torch.randn(3, 6, 5, 5, dtype=torch.float64)
    fused, plain = both(attention, x if frozen == "input" else x.requires_grad_())
    wanted = {"reduce": 3, "expand": 3, "input": 4, "all weights": 1}
    assert len(fused.gradients) == wanted[frozen]
    assert fused.gradients.keys() == plain.gradients.keys()
    fused.assert_close(plain, 1e-9)


class Node(nn.Module):
    """A cell without its dense convolutions, whose sums in PyTorch depend on the threads."""

    def __init__(self, cell: CellModule) -> None:
        super().__init__()
        self.cell = cell
        self.norm = nn.BatchNorm2d(cell.shape.in_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell.features(norm_act(x, self.norm, activate=True))


@pytest.mark.parametrize("operation", ["dw_conv_3x3", "dw_conv_5x5", "dw_conv_3x3_d3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_do_not_depend_on_the_number_of_threads(
    operation: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "SMALL", 0)
    cell = Cell.from_edges([(0, 1, operation), (0, 3, operation), (1, 3, operation)], expansion=1)
    shape = LayerShape("layer_00", 27, 27, 1, 8)
    module = Node(module_of(cell, shape, dtype)).to(dtype)
    x = images(shape, 5, dtype).requires_grad_()
    one = outcome(copy.deepcopy(module), x)
    with threads(3):
        three = outcome(module, x)
    one.assert_equal(three)


@pytest.mark.parametrize("place", ["result", "submit"])
def test_no_thread_still_writes_when_a_kernel_has_been_interrupted(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    working, begun, ended = threading.Event(), list[int](), list[int]()

    def kernel(start: int, stop: int) -> int:
        begun.append(start)
        working.set()
        time.sleep(0.1)
        ended.append(start)
        return 0

    def fail(owner: type, name: str, error: BaseException, call: int = 0) -> None:
        real, calls = getattr(owner, name), itertools.count()

        def method(*arguments: Any) -> Any:
            if next(calls) != call:
                return real(*arguments)
            working.wait()
            raise error

        monkeypatch.setattr(owner, name, method)

    error = KeyboardInterrupt() if place == "result" else RuntimeError("can't start new thread")
    if place == "result":
        fail(Future, "result", error)
    else:
        fail(ThreadPoolExecutor, "submit", error, call=1)
    # Whoever presses Ctrl-C once may press it twice.
    fail(Future, "exception", KeyboardInterrupt())
    with threads(3), pytest.raises(type(error)):
        native.shared_out(kernel, 3, native.SMALL)
    left = set(begun) - set(ended)
    time.sleep(0.15)
    assert left == set()
    assert begun
    assert len(begun) == len(ended)


def _by(instructions: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on, this set of kernels does the work."""
    found = native.kernels(dtype, instructions)
    monkeypatch.setattr("autospace.networks.kernels.native.kernels", lambda dtype: found)


def test_the_environment_may_choose_narrower_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    widest = {"compiled, AVX-512": 64, "compiled, AVX2": 32, "compiled": 0}[native.described()]
    for width, name in native.SETS.items():
        monkeypatch.setenv(native.VARIABLE, name)
        found = native.kernels(torch.float32)
        assert found is not None
        # A processor without them keeps its widest.
        wanted = native.SETS[min(width, widest)]
        assert {each.__name__.rpartition("_")[2] for each in found.values()} == {wanted}


@pytest.mark.parametrize("operation", ["dw_conv_7x7", "dw_conv_3x3_d2", "dw_conv_1x1"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [3, 7, 9, 17])
def test_every_set_of_instructions_computes_the_same(
    operation: str, dtype: torch.dtype, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell.from_edges([(0, 1, operation), (1, 3, operation)], expansion=3)
    shape = LayerShape("layer_00", channels, 9, 2, 8)
    module, x = module_of(cell, shape, dtype), images(shape, 5, dtype)
    best = outcome(copy.deepcopy(module), x)
    _by("base", dtype, monkeypatch)
    best.assert_close(outcome(module, x), 1e-9 if dtype == torch.float64 else 1e-3)


@pytest.mark.skipif(
    not native.described().endswith("AVX-512"), reason="the processor has no AVX-512"
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 6, 8, 15, 16, 24, 33])
@pytest.mark.parametrize("mix", ["sum", "gate", "se"])
def test_wider_vectors_change_no_bit(
    mix: str, dtype: torch.dtype, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges = [(0, 1, "dw_conv_5x5"), (0, 2, "dw_conv_3x3_d2"), (1, 3, "dw_conv_7x7")]
    cell = Cell.from_edges([*edges, (2, 3, "dw_conv_1x1")], mix=(mix,) * 3, expansion=3)
    shape = LayerShape("layer_00", channels, channels + 2, 2, 9)
    module, x = module_of(cell, shape, dtype), images(shape, 5, dtype)
    x[0, 0, 0, 0], x[-1, -1, 1, 1] = float("nan"), float("inf")
    clean = images(shape, 5, dtype)
    wide = [outcome(copy.deepcopy(module), each) for each in (x, clean)]
    _by("avx2", dtype, monkeypatch)
    for found, each in zip(wide, (x, clean), strict=True):
        narrow = outcome(copy.deepcopy(module), each)
        assert found.tensors.keys() == narrow.tensors.keys()
        for name, value in found.tensors.items():
            other = narrow.tensors[name]
            assert torch.equal(value.isnan(), other.isnan()), name
            assert torch.equal(value.nan_to_num(), other.nan_to_num()), name


def test_large_results_go_past_the_caches_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    # 24 channels: pixels begin in the middle of a line of the cache, and a vector is not full.
    shape = LayerShape("layer_00", 24, 24, 1, 64)
    module = module_of(mbconv(3, 1), shape, torch.float32)
    x = images(shape, 6, torch.float32)
    found = outcome(copy.deepcopy(module), x)
    with plainly():
        found.assert_close(outcome(module, x), 1e-3)


def test_what_is_not_a_number_comes_through() -> None:
    part = ConvNorm(4, 4, 3, groups=4).train()
    x = torch.randn(2, 4, 5, 5)
    x[0, 1, 2, 2] = float("nan")
    found = part(x)
    assert found[:, 1].isnan().all()
    assert not found[:, 0].isnan().any()
