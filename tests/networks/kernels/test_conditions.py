"""The kernels stand back wherever PyTorch's own modules have to be seen."""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks import fused
from autospace.networks.cells import CellModule
from autospace.networks.fused import described
from autospace.networks.kernels import native
from autospace.networks.operations import ConvNorm
from autospace.spaces import Cell, LayerShape
from tests.networks.kernels.tools import needs_kernels, plainly

CELL = Cell.from_edges(
    [(0, 1, "dw_conv_3x3"), (1, 3, "dw_conv_5x5")], mix=("gate", "sum", "se"), expansion=3
)
ATTENTION = {"scaled", "slope_sums"}
SHAPE = LayerShape("layer_00", 4, 4, 1, 6)

pytestmark = needs_kernels


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the kernels that ran."""
    seen: list[str] = []
    real = native.shared_out

    def noted(kernel: Callable[..., int], *arguments: object) -> None:
        seen.append(kernel.__name__)
        real(kernel, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("autospace.networks.kernels.native.shared_out", noted)
    return seen


def module() -> CellModule:
    torch.manual_seed(0)
    return CellModule(CELL, SHAPE).train()


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 4, 6, 6)


def test_in_training_the_kernels_run_forward_and_backward(calls: list[str]) -> None:
    module()(images()).sum().backward()
    assert _kinds(calls) == ATTENTION | {
        "node", "depthwise", "depthwise_slopes", "pointwise", "pointwise_slopes"
    }  # fmt: skip


def _kinds(calls: list[str]) -> set[str]:
    return {name.partition("_float")[0] for name in calls}


def test_attention_that_is_hooked_runs_plainly(calls: list[str]) -> None:
    cell = module()
    for part in cell.mixes.modules():
        part.register_forward_hook(lambda *_: None)
    cell(images()).sum().backward()
    assert "node" in _kinds(calls)
    assert "scaled" not in _kinds(calls)


def test_gradients_may_be_asked_for_twice() -> None:
    cell = module()
    loss = cell(images()).square().sum()
    once = torch.autograd.grad(loss, list(cell.parameters()), retain_graph=True)
    again = torch.autograd.grad(loss, list(cell.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def _hooked(cell: CellModule) -> None:
    for part in cell.modules():
        if isinstance(part, nn.ReLU6 | nn.BatchNorm2d):
            part.register_forward_hook(lambda *_: None)


def _untracked(cell: CellModule) -> None:
    for part in cell.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.track_running_stats = False


def _replaced(cell: CellModule) -> None:
    for part in cell.modules():
        if isinstance(part, ConvNorm):
            part[1] = nn.GroupNorm(1, part.norm.num_features)


def _smooth(cell: CellModule) -> None:
    for part in cell.modules():
        if isinstance(part, ConvNorm) and len(part) == 3:  # with ReLU6
            part[2] = nn.Softplus()


@pytest.mark.parametrize(
    ("change", "left"),
    [(nn.Module.eval, set()), *((each, ATTENTION) for each in (_hooked, _untracked, _replaced))],
)
def test_a_module_that_is_not_plain_training_runs_plainly(
    calls: list[str], change: Callable[[CellModule], object], left: set[str]
) -> None:
    cell = module()
    change(cell)
    cell(images()).sum().backward()
    assert _kinds(calls) == left


def test_another_activation_is_the_one_that_is_computed(calls: list[str]) -> None:
    cell, x = module(), images()
    _smooth(cell)
    found = cell(x)
    with plainly():
        assert torch.allclose(found, copy.deepcopy(cell)(x), atol=1e-5)
    assert not [name for name in calls if name.startswith("depthwise")]


@pytest.mark.parametrize(
    "watcher",
    [
        lambda: torch.autocast("cpu", torch.bfloat16),
        lambda: FlopCounterMode(display=False),
        plainly,
    ],
)
def test_a_watcher_of_operations_sees_them(
    calls: list[str], watcher: Callable[[], AbstractContextManager[object]]
) -> None:
    with watcher():
        module()(images()).sum().backward()
    assert calls == []


def test_a_global_hook_sees_every_module(calls: list[str]) -> None:
    seen: set[type[nn.Module]] = set()
    handle = nn.modules.module.register_module_forward_hook(lambda m, *_: seen.add(type(m)))
    try:
        module()(images())
    finally:
        handle.remove()
    assert calls == []
    assert {nn.Conv2d, nn.BatchNorm2d, nn.ReLU6} <= seen


def test_functional_transforms_work_on_a_cell_in_training(calls: list[str]) -> None:
    cell = module()
    weights: dict[str, torch.Tensor] = dict(cell.named_parameters())
    buffers = dict(cell.named_buffers())
    for norm in (part for part in cell.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.momentum = 0.1

    def loss(chosen: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        state = (chosen, {name: value.clone() for name, value in buffers.items()})
        output: torch.Tensor = torch.func.functional_call(cell, state, (x,))
        return output.sum()

    found = torch.func.grad(loss)(weights, images())
    assert found.keys() == weights.keys()
    assert calls == []


def test_export_records_pytorchs_operations(calls: list[str]) -> None:
    exported = torch.export.export(module(), (images(),))
    assert "conv2d" in str(exported.graph)
    assert calls == []


@pytest.mark.parametrize(
    "x",
    [
        images().to(torch.bfloat16),
        images().requires_grad_().to("meta"),
    ],
)
def test_other_tensors_run_plainly(calls: list[str], x: torch.Tensor) -> None:
    module().to(x.dtype).to(x.device)(x)
    assert calls == []


def test_one_value_per_channel_is_the_error_that_it_was(calls: list[str]) -> None:
    cell = CellModule(CELL, LayerShape("layer_00", 4, 4, 1, 1)).train()
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        cell(torch.randn(1, 4, 1, 1))


def test_a_second_derivative_is_an_error_and_plainly_a_number() -> None:
    cell, x = module(), images().requires_grad_()
    (slope,) = torch.autograd.grad(cell(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        slope.sum().backward()
    with plainly():
        (slope,) = torch.autograd.grad(cell(x).square().sum(), x, create_graph=True)
        slope.sum().backward()
    assert x.grad is not None


class _Doubled(ConvNorm):
    """A module of somebody else's, with a forward pass of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def test_a_subclass_with_its_own_forward_pass_is_computed_by_it() -> None:
    cell, x = module(), images()
    cell.operations["0_1"] = _Doubled(12, 12, 3, groups=12).train()
    with plainly():
        wanted = copy.deepcopy(cell)(x)
    assert torch.allclose(cell(x), wanted, atol=1e-5)


class _Recording(fused.Plain):
    """A second backend, for attention alone."""

    def __init__(self) -> None:
        self.computed: list[str] = []

    def replaces(self, module: fused.Fusible, x: torch.Tensor) -> bool:
        return isinstance(module, fused.FusibleAttention)

    def compute(self, module: fused.Fusible, node: fused.Node) -> fused.Value:
        self.computed.append(type(module).__name__)
        return super().compute(module, node)


def test_the_first_backend_that_takes_a_module_computes_it(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, x = module(), images()
    wanted = copy.deepcopy(cell)(x)
    other = _Recording()
    monkeypatch.setattr(fused, "BACKENDS", (other, *fused.BACKENDS))
    calls.clear()
    assert torch.allclose(cell(x), wanted, atol=1e-5)
    assert other.computed == ["Gate", "SqueezeExcite"]
    assert "scaled" not in _kinds(calls)
    assert {"depthwise", "pointwise"} <= _kinds(calls)


def test_without_the_library_cells_train_plainly(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, x = module(), images()
    with plainly():
        wanted = copy.deepcopy(cell)(x)
    monkeypatch.setattr("autospace.networks.fused.kernels", lambda dtype: None)
    assert torch.equal(cell(x), wanted)
    assert calls == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("EXTENSION_SUFFIXES", [".no-such-suffix"], "none were compiled"),
        ("VERSION", -1, "of another version of autospace"),
        ("__file__", None, "for another processor or system"),
        ("VERSION", native.VERSION, "compiled"),
    ],
)
def test_which_kernels_are_in_use_is_said(
    name: str, value: object, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if name == "__file__":
        value = tmp_path / "native.py"
        (tmp_path / f"_native{EXTENSION_SUFFIXES[-1]}").write_bytes(b"of another system")
    monkeypatch.setattr(native, name, value)
    native._library.cache_clear()
    try:
        assert said in described()
    finally:
        native._library.cache_clear()


def test_the_environment_turns_the_kernels_off() -> None:
    with plainly():
        assert described() == "PyTorch's: AUTOSPACE_NATIVE=0"
    assert described().startswith("compiled")


@pytest.mark.parametrize("value", ["no", "AVX512"])
def test_a_value_that_has_no_effect_is_told_once(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(native.VARIABLE, value)
    with pytest.warns(UserWarning, match=f'"{value}" has no effect; allowed: 0, 1, avx512') as told:
        module()(images()).sum().backward()
    assert len(told) == 1
    assert described().startswith("compiled")


@pytest.mark.parametrize("value", ["", "0", "1", "avx512", "avx2", "base"])
def test_a_value_that_has_an_effect_is_no_reason_to_warn(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(native.VARIABLE, value)
    module()(images())  # a warning would be an error
    assert fused.hindrance() == ""
