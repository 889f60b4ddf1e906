"""The kernels for a GPU: they compute what PyTorch computes, compile, and stand back."""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from autospace.networks.cells import CellModule
from autospace.networks.fused import Fusible, GpuKernels
from autospace.networks.kernels import gpu
from autospace.spaces import Cell, LayerShape

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


@needs_triton
@pytest.mark.parametrize(
    "name",
    [pytest.param(each, marks=[] if each == "normalise" else pytest.mark.slow) for each in KERNELS],
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
