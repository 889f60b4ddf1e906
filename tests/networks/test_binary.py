"""Binary convolutions: signs, the straight-through gradient, bit counts, scales, and stages."""

import random
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks.binary import (
    BinaryConvolution,
    BinaryLayer,
    BinaryModule,
    PrecisionStage,
    plain_sign,
    set_precision,
    sign,
)
from autospace.networks.network import Network, build_cell
from autospace.spaces import LayerShape, load
from autospace.spaces.cells.binary import (
    BINARY_OPERATIONS,
    Binary,
    BinaryCell,
    preprocessing_cost,
)
from autospace.spaces.cells.operations import binary_groups

FAMILY = Binary()
PRIOR = FAMILY.prior(BINARY_OPERATIONS)
SHAPES = [
    LayerShape("layer_00", 12, 12, 1, 8),
    LayerShape("layer_00", 12, 24, 2, 9),
    LayerShape("layer_00", 10, 7, 1, 6),
]


def test_every_number_has_one_of_two_signs() -> None:
    x = torch.tensor([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0, float("inf"), -float("inf")])
    assert plain_sign(x).tolist() == [-1, -1, 1, 1, 1, 1, 1, -1]
    assert set(sign(torch.randn(1000, requires_grad=True)).tolist()) == {-1.0, 1.0}
    for kind in (torch.float64, torch.bfloat16):
        assert sign(x.to(kind).requires_grad_()).dtype == kind


def test_what_is_no_number_does_not_become_a_sign() -> None:
    assert plain_sign(torch.tensor([float("nan")])).isnan().all()


def test_the_gradient_of_the_sign_is_the_indicator() -> None:
    values = [-3.0, -1.0, -0.999, 0.0, 0.5, 0.999, 1.0, 1.001]
    x = torch.tensor(values, requires_grad=True)
    upper = torch.arange(1.0, len(values) + 1)
    (found,) = torch.autograd.grad(sign(x), x, upper)
    assert found.tolist() == [g if abs(v) < 1 else 0 for v, g in zip(values, upper, strict=True)]


@pytest.mark.parametrize(("groups", "dilation"), [(1, 1), (4, 1), (2, 2)])
def test_inside_it_is_n_minus_twice_the_number_of_different_bits(
    groups: int, dilation: int
) -> None:
    torch.manual_seed(0)
    layer = BinaryConvolution(8, 12, 3, dilation=dilation, groups=groups)
    x = torch.randn(2, 8, 9, 9)
    found = layer(x)
    bits, kernels = x >= 0, layer.weight >= 0
    per, out = 8 // groups, 12 // groups
    for y, column, channel in ((3, 4, 0), (5, 5, 7), (4, 3, 11)):
        first = channel // out * per
        rows = slice(y - dilation, y + dilation + 1, dilation)
        columns = slice(column - dilation, column + dilation + 1, dilation)
        window = bits[1, first : first + per, rows, columns]
        different = int((window ^ kernels[channel]).sum())
        assert found[1, channel, y, column] == 9 * per - 2 * different


def test_zeros_at_the_border_add_nothing() -> None:
    layer = BinaryConvolution(1, 1, 3)
    layer.weight.data.fill_(1.0)
    # A corner sees four pixels: five fewer than inside, where a count of bits would see nine.
    assert layer(torch.ones(1, 1, 5, 5))[0, 0, 0, 0] == 4


def test_the_slope_of_alpha_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    layer = BinaryConvolution(4, 4, 3).double()
    x, weights = torch.randn(2, 4, 5, 5).double(), torch.randn(2, 4, 5, 5).double()

    def loss() -> torch.Tensor:
        found: torch.Tensor = (layer(x) * weights).tanh().sum()
        return found

    (found,) = torch.autograd.grad(loss(), layer.alpha)
    for channel in range(4):
        values = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                layer.alpha[channel] += step
                values.append(float(loss()))
                layer.alpha[channel] -= step
        assert (values[0] - values[1]) / 2e-6 == pytest.approx(float(found[channel]), rel=1e-5)


@pytest.mark.parametrize("c", [0.25, 1.5])
def test_with_weights_of_one_magnitude_it_is_the_real_convolution(c: float) -> None:
    torch.manual_seed(0)
    layer = BinaryConvolution(8, 8, 3, groups=4)
    layer.weight.data = c * plain_sign(torch.randn_like(layer.weight))
    layer.alpha.data.fill_(c)
    x = plain_sign(torch.randn(2, 8, 6, 6))
    plain = F.conv2d(x, layer.weight, padding=1, groups=4)
    torch.testing.assert_close(layer(x), plain)
    # So going to real weights and back changes nothing either.
    stages: tuple[PrecisionStage, ...] = ("binary_inputs", "real", "binary")
    for stage in stages:
        layer.set_precision(stage)
        torch.testing.assert_close(layer(x), plain)


def test_alpha_takes_up_the_magnitude_of_the_weights_and_gives_it_back() -> None:
    torch.manual_seed(0)
    layer = BinaryConvolution(6, 6, 3)
    layer.set_precision("binary_inputs")
    layer.alpha.data.fill_(2.0)
    layer.set_precision("real")
    assert layer.alpha.tolist() == [2.0] * 6
    layer.set_precision("binary")
    torch.testing.assert_close(layer.alpha.detach(), 2 * layer.weight.abs().mean((1, 2, 3)))
    layer.set_precision("binary_inputs")
    torch.testing.assert_close(layer.alpha.detach(), torch.full((6,), 2.0))


@pytest.mark.parametrize("name", ["binary@digits", "bats@bats-small"])
def test_alpha_begins_at_the_mean_magnitude_of_its_filter(name: str) -> None:
    space = load(name)
    chosen = space.sample(random.Random(2))
    network = Network(space.skeleton, chosen.cells)
    convolutions = [
        part for part in network.layers.modules() if isinstance(part, BinaryConvolution)
    ]
    assert convolutions
    for each in convolutions:
        torch.testing.assert_close(each.alpha.detach(), each.weight.abs().mean((1, 2, 3)))


@pytest.mark.parametrize(
    ("stage", "inputs", "weights"),
    [("real", False, False), ("binary_inputs", True, False), ("binary", True, True)],
)
def test_stages_are_those_of_the_table(stage: PrecisionStage, inputs: bool, weights: bool) -> None:
    torch.manual_seed(0)
    layer = BinaryConvolution(4, 4, 3)
    layer.set_precision(stage)
    x = torch.randn(2, 4, 5, 5)
    used = plain_sign(x) if inputs else x
    kernel = plain_sign(layer.weight) if weights else layer.weight
    by_hand = F.conv2d(used, kernel, padding=1) * layer.alpha[:, None, None]
    torch.testing.assert_close(layer(x), by_hand)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.any()


def test_a_layer_is_norm_convolution_slopes_shuffle_and_residual() -> None:
    torch.manual_seed(0)
    layer = BinaryLayer(8, 8, 3, groups=4, shuffled=4)
    layer.activation.weight.data.uniform_()
    x = torch.randn(4, 8, 6, 6)
    normed = F.batch_norm(x, None, None, training=True)
    convolution = layer.convolution
    y = F.conv2d(plain_sign(normed), plain_sign(convolution.weight), padding=1, groups=4)
    y = F.prelu(y * convolution.alpha[:, None, None], layer.activation.weight)
    shuffled = y.view(4, 4, 2, 6, 6).transpose(1, 2).reshape(4, 8, 6, 6)
    torch.testing.assert_close(layer(x), x + shuffled)


@pytest.mark.parametrize("shape", SHAPES)
def test_costs_are_what_torch_counts(shape: LayerShape) -> None:
    rng = random.Random(0)
    for _ in range(10):
        cell = FAMILY.random_cell(PRIOR, rng)
        module = build_cell(cell, shape)  # type: ignore[arg-type]
        with FlopCounterMode(display=False) as counter:
            found = module(torch.randn(2, shape.in_channels, shape.resolution, shape.resolution))
        cost = FAMILY.cost(cell, shape)
        assert found.shape == (2, shape.out_channels, *[shape.out_resolution] * 2)
        # Torch counts products of signs as any others.
        assert (0, counter.get_total_flops() // 4) == (cost.madds, cost.bops)
        assert sum(p.numel() for p in module.parameters()) == cost.params


def test_the_cost_of_a_grouped_convolution_by_hand() -> None:
    operation = BINARY_OPERATIONS["bin_conv_5x5"]
    # 48 channels in 12 groups of 4: 25 * 4 products an output; BN 2, scale 1 and slope 1 each.
    assert operation.cost(48, 49) == (0, 25 * 4 * 48 + 4 * 48, 25 * 4 * 48 * 49)
    assert [binary_groups(width) for width in (12, 16, 40, 7, 48)] == [12, 4, 4, 1, 12]
    assert preprocessing_cost(8, 16, 9) == (0, 8 * 16 + 16 + 32, 8 * 16 * 9)


def test_a_cell_without_a_path_gives_zeros_and_its_network_trains() -> None:
    shape = SHAPES[0]
    module = BinaryModule(FAMILY.skipped, shape)
    x = torch.randn(2, 12, 8, 8).contiguous(memory_format=torch.channels_last)
    assert not module(x).any()
    assert module(x).is_contiguous(memory_format=torch.channels_last)
    space = load("binary@digits")
    cells = [layer.candidates[-1].cell for layer in space.layers]
    network = Network(space.skeleton, cells)
    network(torch.randn(2, 1, 8, 8)).sum().backward()
    assert network.classifier.bias.grad is not None


def test_computing_a_cell_again_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    cell = BinaryCell.from_edges(
        [(0, 1, "bin_conv_3x3"), (0, 3, "skip_connect"), (1, 3, "max_pool_3x3")]
    )
    module = BinaryModule(cell, SHAPES[1])
    x = torch.randn(4, 12, 9, 9, requires_grad=True)
    found: list[Any] = []
    for recomputes in (False, True):
        module.recomputes = recomputes
        weights = list(module.parameters())
        found.append(torch.autograd.grad(module(x).square().sum(), [x, *weights]))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_equal_keys_are_equal_functions_and_the_canonical_cell_is_one(seed: int) -> None:
    rng = random.Random(seed)
    cell, shape = FAMILY.random_cell(PRIOR, rng), SHAPES[0]
    same = FAMILY.canonical(cell)
    assert FAMILY.key(same, shape) == FAMILY.key(cell, shape)
    assert FAMILY.cost(same, shape) == FAMILY.cost(cell, shape)
    child = FAMILY.mutate(cell, PRIOR, rng)
    assert child != cell
    assert not child.is_zero


def test_setting_the_stage_reaches_every_binary_convolution_and_nothing_else() -> None:
    space = load("binary@digits")
    network = Network(space.skeleton, [layer.candidates[0].cell for layer in space.layers])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    set_precision(network, "real")
    stages = {p.precision for p in network.modules() if isinstance(p, BinaryConvolution)}
    assert stages == {"real"}
    changed = {n for n, v in network.state_dict().items() if not torch.equal(v, before[n])}
    assert {name.rpartition(".")[2] for name in changed} == {"alpha"}
    ordinary = nn.Conv2d(2, 2, 1)
    set_precision(ordinary, "real")
