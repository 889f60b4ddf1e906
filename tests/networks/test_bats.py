"""Binary cells with two inputs as torch modules: cost, operations by hand, stages, and files."""

import random
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from autospace.exporters.targets import TARGETS
from autospace.networks.bats import BinaryReduction, bats_operation
from autospace.networks.binary import BinaryConvolution, PrecisionStage, plain_sign, set_precision
from autospace.networks.darts import DartsModule
from autospace.networks.deploy import deploy
from autospace.networks.network import Network
from autospace.networks.weights import load_weights, save_weights
from autospace.spaces import Architecture, Cost, cell_cost, load
from autospace.spaces.cells.bats import BatsCell
from tests.spaces.bats.genotypes import TINY, bats, cells, separable
from tests.spaces.bats.test_bats_cells import cells as any_cells
from tests.spaces.darts.genotypes import network


def counted(module: nn.Module, *inputs: torch.Tensor) -> Cost:
    """MAdds, params and binary operations of a module: torch's counter, told apart by a hook."""
    signs, hooks = [0], []
    for part in module.modules():
        if isinstance(part, BinaryConvolution):

            def hook(each: Any, _: Any, y: torch.Tensor) -> None:
                signs[0] += each.weight[0].numel() * y.numel()

            hooks.append(part.register_forward_hook(hook))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(*inputs)
    for each in hooks:
        each.remove()
    count = len(inputs[0])
    whole = counter.get_total_flops() // (2 * count)
    params = sum(parameter.numel() for parameter in module.parameters())
    return Cost(whole - signs[0] // count, params, signs[0] // count)


@pytest.mark.parametrize("name", ["bats", "bats-c48", "bats-small"])
def test_a_network_has_the_stated_cost(name: str) -> None:
    for architecture in (bats(name), separable(name)):
        skeleton = architecture.skeleton
        images = torch.randn(1, skeleton.in_channels, skeleton.resolution, skeleton.resolution)
        assert counted(Network(skeleton, architecture.cells), images) == architecture.cost


@given(any_cells(), st.integers(0, 2))
@settings(max_examples=30, deadline=None)
def test_any_cell_costs_what_its_module_has(cell: BatsCell, at: int) -> None:
    shape = TINY.cell_layers[at]
    x = torch.randn(2, 2 * shape.width + 3, shape.resolution, shape.resolution)
    module = DartsModule(cell, shape)
    assert counted(module, x) == cell_cost(cell, shape)
    assert module(x).shape == (2, shape.out_channels, shape.out_resolution, shape.out_resolution)


def normalised(x: torch.Tensor, norm: nn.BatchNorm2d) -> torch.Tensor:
    """Batch normalisation by the definition, with batch statistics."""
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
    scale, shift = norm.weight[:, None, None], norm.bias[:, None, None]
    return (x - mean) / (var + norm.eps).sqrt() * scale + shift


def signed(x: torch.Tensor, layer: BinaryConvolution, **options: Any) -> torch.Tensor:
    """A convolution of signs with signs, times the scale."""
    found = F.conv2d(plain_sign(x), plain_sign(layer.weight), **options)
    return found * layer.alpha[:, None, None]


def shaken(module: nn.Module) -> nn.Module:
    """The module with other scales, slopes and normalisations than it begins with."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module.train()


@pytest.mark.parametrize(("groups", "used", "stride"), [(2, 2, 1), (12, 4, 1), (3, 1, 2)])
def test_a_grouped_convolution_is_that_of_bats(groups: int, used: int, stride: int) -> None:
    torch.manual_seed(0)
    module: Any = shaken(bats_operation("bin_conv_5x5_d2", 8, stride, groups))
    x = torch.randn(3, 8, 9, 9)
    options = {"padding": 4, "dilation": 2, "groups": used, "stride": stride}
    y = signed(normalised(x, module.norm), module.convolution, **options)
    y = torch.where(y > 0, y, y * module.activation.weight[:, None, None])
    # Channel i of part p goes to place 4 i + p: 0 2 4 6 1 3 5 7 of 8 channels in 4 parts.
    y = y[:, [0, 2, 4, 6, 1, 3, 5, 7]]
    torch.testing.assert_close(module(x), x + y if stride == 1 else y)


def test_a_separable_convolution_is_that_of_cp_nas() -> None:
    torch.manual_seed(0)
    module: Any = shaken(bats_operation("bin_dil_conv_3x3", 6, 2, 2))
    x = torch.randn(3, 6, 9, 9)
    y = signed(x, module[0], padding=2, dilation=2, groups=6, stride=2)
    y = signed(normalised(y, module[1]), module[2])
    torch.testing.assert_close(module(x), normalised(y, module[3]))


@pytest.mark.parametrize("side", [1, 4, 5])
def test_a_reduction_reads_alternate_pixels(side: int) -> None:
    torch.manual_seed(0)
    module: Any = shaken(BinaryReduction(3, 5))
    x = torch.randn(2, 3, side, side)
    signs = plain_sign(normalised(x, module.norm))
    out = -(-side // 2)
    found = module(x)
    assert found.shape == (2, 5, out, out)
    for row in range(out):
        for column in range(out):
            even = plain_sign(module.even.weight[:, :, 0, 0]) @ signs[1, :, 2 * row, 2 * column]
            odd = torch.zeros(3)
            if 2 * row + 1 < side and 2 * column + 1 < side:
                pixel = signs[1, :, 2 * row + 1, 2 * column + 1]
                odd = plain_sign(module.odd.weight[:, :, 0, 0]) @ pixel * module.odd.alpha
            y = torch.cat([even * module.even.alpha, odd])
            y = torch.where(y > 0, y, y * module.activation.weight)
            torch.testing.assert_close(found[1, :, row, column], y)


def by_definition(network: Network, images: torch.Tensor) -> torch.Tensor:
    """The network, cell by cell, with the modules of ours for inputs and operations."""
    before = last = F.relu(network.stem[0][1](network.stem[0][0](images)))  # type: ignore[index]
    for layer, cell in enumerate(network.layers):
        assert isinstance(cell, DartsModule)
        inputs = network.inputs[layer]
        nodes = [inputs.before(before), inputs.last(last)]  # type: ignore[operator]
        for node in range(2, 6):
            edges = enumerate(cell.darts.into(node))
            terms = [cell.operations[f"{node}_{i}"](nodes[e.source]) for i, e in edges]
            nodes.append(terms[0] + terms[1])
        before, last = last, torch.cat(nodes[2:], 1)
    return network.classifier(last.mean((2, 3)))  # type: ignore[no-any-return]


def test_a_network_is_its_cells_between_a_real_stem_and_a_real_classifier() -> None:
    torch.manual_seed(0)
    for family in ("bats", "bnas"):
        architecture = load(f"{family}@bats-small").sample(random.Random(0))
        skeleton = architecture.skeleton
        found = Network(skeleton, architecture.cells).eval()
        images = torch.randn(3, skeleton.in_channels, skeleton.resolution, skeleton.resolution)
        with torch.no_grad():
            torch.testing.assert_close(found(images), by_definition(found, images))
        real = [
            name
            for name, part in found.named_modules()
            if isinstance(part, nn.Conv2d | nn.Linear) and not isinstance(part, BinaryConvolution)
        ]
        assert real == ["stem.0.0", "classifier"]


def test_inputs_of_the_width_of_a_layer_are_added() -> None:
    """As in the library of BATS: a residual where widths agree, none where they do not."""
    network_ = Network(bats("bats-small").skeleton, bats("bats-small").cells)
    first: Any = network_.inputs[0]
    assert not first.before.residual  # 24 channels to 8
    pair: Any = shaken(type(first.last)(8, 8))
    x = torch.randn(2, 8, 4, 4)
    y = signed(normalised(x, pair.norm), pair.convolution)
    y = torch.where(y > 0, y, y * pair.activation.weight[:, None, None])
    torch.testing.assert_close(pair(x), x + y)


@pytest.mark.parametrize("stage", ["real", "binary_inputs", "binary"])
def test_stages_reach_inputs_and_operations(stage: PrecisionStage) -> None:
    architecture = bats("bats-small")
    found = Network(architecture.skeleton, architecture.cells)
    set_precision(found, stage)
    parts = [part for part in found.modules() if isinstance(part, BinaryConvolution)]
    # Two inputs of each of 6 layers, one of them in halves behind each of 2 reductions; 6
    # convolutions in each of 4 normal cells, 5 in each of 2 reductions.
    assert len(parts) == 12 + 2 + 4 * 6 + 2 * 5
    assert {part.precision for part in parts} == {stage}


ARCHITECTURES = [
    network(*cells(names), TINY)
    for names in (
        {**dict.fromkeys(["sep_conv_3x3", "sep_conv_5x5"], "bin_conv_3x3"), **each}
        for each in (
            {
                "dil_conv_5x5": "bin_conv_5x5_d2",
                "max_pool_3x3": "max_pool_3x3",
                "avg_pool_3x3": "skip_connect",
            },
            {
                "dil_conv_5x5": "bin_dil_conv_5x5",
                "max_pool_3x3": "bin_sep_conv_3x3",
                "avg_pool_3x3": "avg_pool_3x3",
            },
        )
    )
] + [load("bats@bats-small").sample(random.Random(3))]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_exported_file_computes_and_learns_what_the_network_does(
    architecture: Architecture,
) -> None:
    export = TARGETS["pytorch"].architecture
    assert export is not None
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(export(architecture), "exported.py", "exec"), names)
    skeleton = architecture.skeleton
    torch.manual_seed(0)
    ours = Network(skeleton, architecture.cells).double()
    # As it begins, many sums of signs are exactly 0 but for rounding, and so is their sign.
    shaken(ours)
    made = names["build"]().double()
    made.load_state_dict(ours.state_dict())
    x = torch.randn(3, skeleton.in_channels, *[skeleton.resolution] * 2, dtype=torch.float64)
    for mode in (False, True):
        torch.testing.assert_close(made.train(mode)(x), ours.train(mode)(x))
    made(x).square().sum().backward()
    ours(x).square().sum().backward()
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(made.get_parameter(name).grad, parameter.grad)
    assert sum(each.numel() for each in made.parameters()) == architecture.cost.params


@pytest.mark.parametrize("target", ["huggingface", "timm"])
def test_hubs_take_binary_networks(target: str) -> None:
    export = TARGETS[target].architecture
    assert export is not None
    text = export(bats("bats"))
    assert "BinaryReduction" in text
    compile(text, "exported.py", "exec")


@pytest.mark.slow
@pytest.mark.parametrize("target", ["onnx", "pt2"])
def test_a_runtime_computes_what_the_network_computes(
    target: Literal["onnx", "pt2"], tmp_path: Path
) -> None:
    if target == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    architecture = ARCHITECTURES[0]
    skeleton = architecture.skeleton
    torch.manual_seed(0)
    found = Network(skeleton, architecture.cells)
    found.train()(torch.randn(8, skeleton.in_channels, *[skeleton.resolution] * 2))
    path = tmp_path / "weights.safetensors"
    save_weights(path, found, architecture)
    again, weights = load_weights(path)
    assert again == architecture
    other = Network(again.skeleton, again.cells)
    other.load_state_dict(weights)
    x = torch.randn(2, skeleton.in_channels, *[skeleton.resolution] * 2)
    assert torch.equal(other.eval()(x), found.eval()(x))
    made = deploy(architecture, target, tmp_path / f"network.{target}", weights=path)
    assert made.trained
    assert made.difference is not None
    assert made.difference < 1e-4
