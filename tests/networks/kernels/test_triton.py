"""The kernels for a GPU: they compute what PyTorch computes, compile, and stand back."""

import copy
import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from autospace.compute.device import make_execution
from autospace.networks.cells import CellModule
from autospace.networks.fused import Fusible, GpuKernels
from autospace.networks.kernels import gpu
from autospace.networks.network import placed
from autospace.runs.settings import Precision
from autospace.spaces import Cell, LayerShape
from tests.slow import slowly

ROOT = Path(__file__).resolve().parents[3]
NAME = "autospace.networks.kernels.gpu_code"
KERNELS = (
    *("depthwise", "measure", "coefficients", "normalise", "sum_slopes", "join"),
    *("norm_slopes", "input_slopes", "weight_slopes"),
)
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs Triton, which Linux alone has"
)


@needs_triton
def test_in_the_interpreter_they_give_what_pytorch_gives() -> None:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*words, "tests/networks/kernels/test_on_interpreter.py"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_modules_that_something_watches_are_left_to_pytorch() -> None:
    module = CellModule(
        Cell.from_edges([(0, 3, "dw_conv_3x3")]), LayerShape("layer_00", 4, 4, 1, 6)
    )
    (part,) = module.operations.values()
    assert isinstance(part, Fusible)
    x, backend = torch.randn(2, 4, 6, 6), GpuKernels()
    assert backend.replaces(part, x)
    assert not backend.replaces(part.eval(), x)
    part.train()
    part.register_forward_hook(lambda *_: None)
    assert not backend.replaces(part, x)
    assert not backend.takes(x)  # not on a GPU


def test_without_being_asked_for_they_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(gpu.VARIABLE, raising=False)
    gpu.look_again()
    assert not gpu.usable(torch.device("cuda", 0))
    gpu.look_again()


def test_a_value_without_effect_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu.VARIABLE, "on")
    gpu.look_again()
    with pytest.warns(UserWarning, match=r'^AUTOSPACE_TRITON: "on" has no effect; allowed: 0, 1$'):
        assert not gpu.usable(torch.device("cuda", 0))
    gpu.look_again()


def test_who_asks_for_them_in_vain_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gpu.VARIABLE, "1")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    gpu.look_again()
    with pytest.warns(UserWarning, match="AUTOSPACE_TRITON=1 has no effect on cuda:0: Triton is"):
        assert not gpu.usable(torch.device("cuda", 0))
    assert not gpu.usable(torch.device("cuda", 0))  # said once
    gpu.look_again()


@pytest.mark.gpu
@needs_triton
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_they_give_what_pytorch_gives(
    precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not the current device, where there is another.
    device = torch.device("cuda", torch.cuda.device_count() - 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    cell = Cell.from_edges(
        [(0, 1, "dw_conv_3x3_d2"), (1, 3, "dw_conv_3x3")], mix=("se", "sum", "gate"), expansion=3
    )
    torch.manual_seed(0)
    module = placed(CellModule(cell, LayerShape("layer_00", 16, 24, 2, 16)), device).train()
    x = torch.randn(8, 16, 16, 16, device=device).to(memory_format=torch.channels_last)
    found = []
    for value in ("1", "0"):
        monkeypatch.setenv(gpu.VARIABLE, value)
        gpu.look_again()
        assert gpu.usable(device) == (value == "1")
        own = copy.deepcopy(module)
        with make_execution(precision, False, device, pytest.fail).autocast():
            output = own(x)
        output.float().square().mean().backward()
        gradients = [each.grad for each in own.parameters()]
        found.append([output.float(), *gradients, *own.buffers()])
    gpu.look_again()
    for one, other in zip(*found, strict=True):
        distance = (one - other).float().norm() / other.float().norm().clamp(min=1e-6)
        assert distance < (1e-4 if precision == "float32" else 0.1)


@needs_triton
@pytest.mark.parametrize(
    "name",
    ["normalise", *slowly(*(each for each in KERNELS if each != "normalise"))],
)
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_they_compile_for_a_gpu_that_is_not_here(
    monkeypatch: pytest.MonkeyPatch, name: str, dtype: str
) -> None:
    import triton
    from triton.backends.compiler import GPUTarget

    monkeypatch.setenv("TRITON_DEFAULT_FP_FUSION", "1")
    kernel = getattr(importlib.import_module(NAME), name)
    constants = {
        **{"STEPS": 4, "SIDE": 3, "CHANNELS": gpu.LANES, "COLUMNS": gpu.LANES},
        **{"PIXELS": gpu.TAPS if "SIDE" in kernel.arg_names else gpu.ROWS},
        **{"CHUNKS": gpu.JOINED, "TRACKS": True, "ACTIVATES": True},
    }
    own = {"x", "z", "y", "gradient", "slopes"} | ({"found"} if name == "input_slopes" else set())
    floats = {"weight", "bias", "moments", "sums", "factors", "found"}
    floats |= {"running_mean", "running_var"}
    kinds = {
        **dict.fromkeys(floats, "*fp32"),
        **dict.fromkeys(own, f"*{dtype}"),
        **dict.fromkeys(("eps", "momentum"), "fp32"),
        **dict.fromkeys(constants, "constexpr"),
    }
    signature = {each: kinds.get(each, "i32") for each in kernel.arg_names}
    values = {
        (place,): constants[each]
        for place, each in enumerate(kernel.arg_names)
        if each in constants
    }
    source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=values)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert made.asm["cubin"]
