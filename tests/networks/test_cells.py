"""Cells as torch modules against a plainly written interpreter of cells."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import CellModule
from autospace.spaces import OPERATIONS, Cell, LayerShape, mbconv
from tests.strategies import cells, shapes

REAL = tuple(name for name in OPERATIONS if name != "none")


def images(shape: LayerShape, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    side = shape.resolution
    return torch.randn(2, shape.in_channels, side, side, generator=generator, dtype=torch.float64)


def module_of(cell: Cell, shape: LayerShape, seed: int = 0) -> CellModule:
    """In double precision, with batch normalisations that do something."""
    torch.manual_seed(seed)
    module = CellModule(cell, shape).double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.weight, part.bias, part.running_mean):
                nn.init.normal_(values)  # type: ignore[arg-type]
            nn.init.uniform_(part.running_var, 0.5, 2)  # type: ignore[arg-type]
    return module


class Interpreter:
    """Computes a cell by the words of the design, with weights looked up by name."""

    def __init__(self, cell: Cell, shape: LayerShape, module: CellModule) -> None:
        self.cell, self.shape, self.training = cell, shape, module.training
        self.values = dict(module.named_parameters()) | dict(module.named_buffers())

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        if self.training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
        else:
            mean = self.values[f"{name}.running_mean"]
            variance = self.values[f"{name}.running_var"]
        scale = self.values[f"{name}.weight"] / torch.sqrt(variance + 1e-5)
        shift = self.values[f"{name}.bias"] - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def edge(self, x: torch.Tensor, operation: str, stride: int, name: str) -> torch.Tensor:
        if operation == "skip_connect":
            return x if stride == 1 else pool(x, "mean", 2, 2, 0)
        if operation == "avg_pool_3x3":
            return pool(x, "mean", 3, stride, 1)
        if operation == "max_pool_3x3":
            return pool(x, "max", 3, stride, 1)
        size, _, dilation = operation.removeprefix("dw_conv_").partition("_d")
        kernel, step = int(size[0]), int(dilation or 1)
        weight = self.values[f"{name}.0.weight"]
        padding = step * (kernel - 1) // 2
        x = F.conv2d(x, weight, None, stride, padding, step, groups=x.shape[1])
        return self.norm(x, f"{name}.1").clamp(0, 6)

    def mix(self, x: torch.Tensor, mix: str, name: str) -> torch.Tensor:
        average = x.mean((2, 3), keepdim=True)
        if mix == "gate":
            return x / (1 + torch.exp(-average))
        if mix == "se":
            hidden = F.conv2d(
                average, self.values[f"{name}.reduce.weight"], self.values[f"{name}.reduce.bias"]
            ).clamp(min=0)
            logits = F.conv2d(
                hidden, self.values[f"{name}.expand.weight"], self.values[f"{name}.expand.bias"]
            )
            return x / (1 + torch.exp(-logits))
        return x

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        cell, last = self.cell, self.cell.nodes - 1
        if cell.expansion > 1:
            x = F.conv2d(x, self.values["expand.0.weight"])
            x = self.norm(x, "expand.1").clamp(0, 6)
        nodes = {0: x}
        for target in range(1, cell.nodes):
            stride = self.shape.stride if target == last else 1
            incoming = [
                self.edge(nodes[edge.source], edge.operation, stride, f"operations.{key}")
                for edge in cell.edges
                if edge.target == target and edge.source in nodes
                for key in (f"{edge.source}_{target}",)
                # Dead ends reach no output and have no weights.
                if {edge.source, target} <= cell.live_nodes
            ]
            if incoming:
                total = torch.stack(incoming).sum(0)
                nodes[target] = self.mix(total, cell.mix[target - 1], f"mixes.{target}")
        return self.norm(F.conv2d(nodes[last], self.values["project.0.weight"]), "project.1")


def pool(x: torch.Tensor, kind: str, kernel: int, stride: int, padding: int) -> torch.Tensor:
    """Pooling over the part of each window that lies within the image."""
    height, width = x.shape[2:]
    rows = []
    for top in range(-padding, height - padding if padding else height, stride):
        row = []
        for left in range(-padding, width - padding if padding else width, stride):
            window = x[:, :, max(top, 0) : top + kernel, max(left, 0) : left + kernel]
            row.append(window.mean((2, 3)) if kind == "mean" else window.amax((2, 3)))
        rows.append(torch.stack(row, dim=-1))
    return torch.stack(rows, dim=-2)


@pytest.mark.parametrize(
    ("operation", "stride", "side"), list(itertools.product(REAL, (1, 2), (1, 2, 5, 8)))
)
def test_an_operation_keeps_or_halves_the_side_rounding_up(
    operation: str, stride: int, side: int
) -> None:
    cell = Cell.from_edges([(0, 1, operation)], nodes=2, expansion=3)
    module = CellModule(cell, LayerShape("x", 2, 5, stride, side)).eval()
    out = -(-side // stride)
    assert module(torch.zeros(3, 2, side, side)).shape == (3, 5, out, out)


@given(cells(zero=True), shapes(), st.booleans())
@settings(max_examples=60)
def test_a_cell_computes_what_the_interpreter_computes(
    cell: Cell, shape: LayerShape, training: bool
) -> None:
    module = module_of(cell, shape).train(training)
    x = images(shape)
    if cell.is_zero:
        wanted = x.new_zeros(2, shape.out_channels, shape.out_resolution, shape.out_resolution)
    else:
        wanted = Interpreter(cell, shape, module)(x)
    torch.testing.assert_close(module(x), wanted, rtol=1e-9, atol=1e-9)


@given(cells(zero=False), shapes())
@settings(max_examples=25)
def test_a_cells_gradients_are_the_interpreters(cell: Cell, shape: LayerShape) -> None:
    module = module_of(cell, shape).eval()
    x = images(shape).requires_grad_()
    weigh = torch.randn(module(x).shape, dtype=torch.float64)
    inputs = [x, *module.parameters()]
    found = torch.autograd.grad((module(x) * weigh).sum(), inputs, allow_unused=True)
    plain = (Interpreter(cell, shape, module)(x) * weigh).sum()
    wanted = torch.autograd.grad(plain, inputs, allow_unused=True)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("stride", [1, 2])
def test_mbconv_is_mobilenetv2s_inverted_residual_block(stride: int) -> None:
    shape = LayerShape("x", 4, 4, stride, 9)
    module = module_of(mbconv(3, 6), shape).eval()
    # Sandler et al., CVPR 2018, table 1, in the order of its rows.
    block = nn.Sequential(
        nn.Conv2d(4, 24, 1, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU6(),
        nn.Conv2d(24, 24, 3, stride, 1, groups=24, bias=False),
        nn.BatchNorm2d(24),
        nn.ReLU6(),
        nn.Conv2d(24, 4, 1, bias=False),
        nn.BatchNorm2d(4),
    ).double()
    pairs = zip(block.state_dict(), module.state_dict().values(), strict=True)
    # Registered in another order: expansion, operations, projection is the block's own.
    block.load_state_dict(dict(pairs))
    torch.testing.assert_close(module(images(shape)), block.eval()(images(shape)))


@pytest.mark.parametrize(("channels", "hidden"), [(16, 4), (24, 6), (7, 1), (3, 1), (1, 1)])
@pytest.mark.parametrize("expansion", [1, 6])
def test_the_hidden_width_of_se_is_a_quarter_of_the_cells_input_channels(
    channels: int, hidden: int, expansion: int
) -> None:
    # As in MnasNet and EfficientNet: a quarter of what enters the block, not of its inner width.
    module = CellModule(mbconv(3, expansion, se=True), LayerShape("x", channels, 8, 1, 4))
    assert module.state_dict()["mixes.3.reduce.weight"].shape == (
        hidden,
        channels * expansion,
        1,
        1,
    )


def test_a_cell_without_a_path_has_no_weights() -> None:
    cell = Cell.from_edges([(0, 1, "dw_conv_3x3")], mix=("se", "se", "se"))
    assert list(CellModule(cell, LayerShape("x", 2, 2, 1, 4)).parameters()) == []


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("cell", [mbconv(3, 1), Cell.from_edges([])], ids=["conv", "zero"])
def test_channels_that_lie_side_by_side_stay_side_by_side(cell: Cell, stride: int) -> None:
    shape = LayerShape("x", 4, 6, stride, 8)
    x = images(shape).contiguous(memory_format=torch.channels_last)
    output = module_of(cell, shape)(x)
    assert output.shape == (2, 6, 8 // stride, 8 // stride)
    assert output.dtype == x.dtype
    assert output.is_contiguous(memory_format=torch.channels_last)


def test_zeros_for_planes_are_planes() -> None:
    shape = LayerShape("x", 4, 6, 2, 8)
    assert module_of(Cell.from_edges([]), shape)(images(shape)).is_contiguous()


@given(cells(zero=False), shapes())
@settings(max_examples=25)
def test_every_weight_of_a_cell_gets_a_gradient(cell: Cell, shape: LayerShape) -> None:
    module = module_of(cell, shape).eval()
    (module(images(shape)) ** 2).sum().backward()
    assert all(parameter.grad is not None for parameter in module.parameters())
