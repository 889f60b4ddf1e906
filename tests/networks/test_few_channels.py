"""1x1 convolutions of few channels with a stride: oneDNN writes their gradients past memory."""

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.operations import StridedConvolution

ROOT = Path(__file__).parents[2]
TRAINED = """
import torch
from autospace.networks.bats import BinaryReduction
from autospace.networks.darts import FactorisedReduction
from autospace.networks.operations import ConvNorm

torch.manual_seed(0)
made = {
    "darts": FactorisedReduction(4, 4),
    "bats": BinaryReduction(3, 4),
    "convolution": ConvNorm(4, 8, 1, stride=2),
}
for name, module in made.items():
    module.to(memory_format=torch.channels_last)
    for _ in range(60):
        x = torch.randn(60, 4 - (name == "bats"), 8, 8).to(memory_format=torch.channels_last)
        module(x.requires_grad_(True)).square().sum().backward()
        spread = [torch.randn(size) for size in range(1, 200, 7)]  # what damage would lie in
    print(name)
"""


def test_they_are_trained_where_there_is_no_avx_512() -> None:
    """Without `StridedConvolution`, the process ends with a signal."""
    limited = {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "AUTOSPACE_NATIVE": "0",
        "MALLOC_CHECK_": "3",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", TRAINED],
        env=os.environ | limited,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["darts", "bats", "convolution"]), done


@pytest.mark.parametrize(
    ("channels", "stride", "side"),
    [*product((1, 3, 7, 8, 12), (2, 3), (7, 8)), (4, (2, 1), 8)],
)
def test_they_compute_what_others_do(
    channels: int, stride: int | tuple[int, int], side: int
) -> None:
    torch.manual_seed(channels)
    module = StridedConvolution(channels, 5, 1, stride).double()
    plain = nn.Conv2d(channels, 5, 1, stride).double()
    plain.load_state_dict(module.state_dict())
    found = []
    for each in (module, plain):
        x = torch.linspace(-1, 1, 2 * channels * side**2).double()
        x = x.reshape(2, channels, side, side).requires_grad_(True)
        y = each(x)
        F.softplus(y).sum().backward()
        assert each.weight.grad is not None
        found.append([y, x.grad, each.weight.grad])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
