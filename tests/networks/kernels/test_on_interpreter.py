"""The kernels for a GPU, on a CPU against PyTorch in double precision.

`test_triton.py` starts these: Triton interprets what it was imported for, so they need a process
of their own.
"""

import copy
import os
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks import fused
from autospace.networks.cells import CellModule
from autospace.networks.fused import GpuKernels, Plain
from autospace.networks.kernels import gpu
from autospace.spaces import Cell, LayerShape
from tests.networks.kernels.tools import plainly

# A value near a corner of ReLU6 may be rounded across it.
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 0.02}

pytestmark = pytest.mark.skipif(
    "TRITON_INTERPRET" not in os.environ, reason="started by test_triton.py"
)


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that ran."""
    code, ran = gpu._code(), list[str]()

    class Watched:
        def __getattr__(self, name: str) -> Any:
            ran.append(name)
            return getattr(code, name)

    monkeypatch.setattr(gpu, "_code", Watched)
    return ran


def _distance(found: torch.Tensor | None, exact: torch.Tensor | None) -> float:
    assert found is not None
    assert exact is not None
    found, exact = found.detach().double(), exact.detach()
    return float((found - exact).norm() / exact.norm().clamp(min=1e-9))


def _drawn(size: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    x = torch.randn(size) * 2 + 1
    return x.to(dtype, memory_format=torch.channels_last).requires_grad_()


def _norm(channels: int, *, tracks: bool) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels, track_running_stats=tracks)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    return norm


@pytest.mark.parametrize(
    ("dtype", "activate", "tracks", "chunks"),
    [
        (torch.float32, True, True, 1),
        (torch.float32, False, False, 256),
        (torch.bfloat16, True, False, 256),
    ],
)
def test_batch_normalisation_is_pytorchs(
    interpreted: list[str],
    monkeypatch: pytest.MonkeyPatch,
    dtype: torch.dtype,
    activate: bool,
    tracks: bool,
    chunks: int,
) -> None:
    monkeypatch.setattr(gpu, "CHUNKS", chunks)
    torch.manual_seed(0)
    x, norm = _drawn((3, 35, 7, 5), dtype), _norm(35, tracks=tracks)
    exact, exact_x = copy.deepcopy(norm).double(), x.detach().double().requires_grad_()
    y, exact_y = gpu.norm_act(x, norm, activate=activate), exact(exact_x)
    exact_y = F.relu6(exact_y) if activate else exact_y
    gradient = torch.randn(y.shape).to(dtype)
    y.backward(gradient)
    exact_y.backward(gradient.double())
    pairs = [(y, exact_y), (x.grad, exact_x.grad), (norm.weight.grad, exact.weight.grad)]
    pairs.append((norm.bias.grad, exact.bias.grad))
    assert max(_distance(*pair) for pair in pairs) < TOLERANCES[dtype]
    for name, value in exact.named_buffers():
        torch.testing.assert_close(norm.get_buffer(name).to(value.dtype), value, rtol=1e-5, atol=0)
    assert {"measure", "coefficients", "normalise", "sum_slopes", "norm_slopes"} <= {*interpreted}


@pytest.mark.parametrize(
    ("dtype", "side", "stride", "dilation"),
    [
        (torch.float32, 3, 1, 2),
        (torch.float32, 3, 2, 3),
        (torch.float32, 5, 2, 1),
        (torch.bfloat16, 3, 2, 2),
    ],
)
def test_depthwise_convolutions_are_pytorchs(
    interpreted: list[str], dtype: torch.dtype, side: int, stride: int, dilation: int
) -> None:
    torch.manual_seed(1)
    x, norm = _drawn((2, 19, 7, 6), dtype), _norm(19, tracks=True)
    padding = dilation * (side - 1) // 2
    convolution = nn.Conv2d(19, 19, side, stride, padding, dilation, groups=19, bias=False)
    exact = copy.deepcopy(nn.Sequential(convolution, norm)).double()
    exact_x = x.detach().double().requires_grad_()
    y = gpu.depthwise_norm_act(x, convolution, norm, activate=False)
    exact_y = exact(exact_x)
    gradient = torch.randn(y.shape).to(dtype)
    y.backward(gradient)
    exact_y.backward(gradient.double())
    pairs = [(y, exact_y), (x.grad, exact_x.grad)]
    own, others = (convolution, norm), exact.children()
    for part, other in zip(own, others, strict=True):
        pairs += zip(
            (each.grad for each in part.parameters()),
            (each.grad for each in other.parameters()),
            strict=True,
        )
    assert max(_distance(*pair) for pair in pairs) < TOLERANCES[dtype]
    assert {"depthwise", "input_slopes", "weight_slopes", "join"} <= {*interpreted}


class _OnCpu(GpuKernels):
    def takes(self, x: torch.Tensor) -> bool:
        return x.dim() == 4


def test_a_cell_is_trained_by_them(interpreted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell.from_edges(
        [(0, 1, "dw_conv_3x3_d2"), (0, 3, "max_pool_3x3"), (1, 3, "dw_conv_3x3")],
        mix=("se", "sum", "gate"),
        expansion=2,
    )
    torch.manual_seed(2)
    module = CellModule(cell, LayerShape("layer_00", 4, 6, 2, 6)).train()
    exact, x = copy.deepcopy(module).double(), torch.randn(3, 4, 6, 6)
    gradient = torch.randn(3, 6, 3, 3)
    monkeypatch.setattr(fused, "BACKENDS", (_OnCpu(), Plain()))
    module(x).backward(gradient)
    monkeypatch.undo()
    with plainly():
        exact(x.double()).backward(gradient.double())
    for (name, one), other in zip(module.named_parameters(), exact.parameters(), strict=True):
        assert _distance(one.grad, other.grad) < 1e-4, name
    for name, value in exact.named_buffers():
        torch.testing.assert_close(
            module.get_buffer(name).to(value.dtype), value, rtol=1e-4, atol=1e-6
        )
    assert interpreted.count("depthwise") == 1
    assert interpreted.count("measure") == 3  # expansion, the other convolution, projection
