"""Tensors that their readers normalise: readers of every kind and number, against PyTorch."""

import copy
import weakref

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from autospace.compute.device import threads
from autospace.networks.cells import CellModule
from autospace.networks.fused import Node, applied
from autospace.networks.kernels import native, norms
from autospace.networks.operations import ConvNorm
from autospace.spaces import Cell, LayerShape
from tests.networks.kernels.tools import needs_kernels, outcome, plainly

pytestmark = needs_kernels


def wide(cell: Cell, resolution: int, stride: int = 1) -> CellModule:
    torch.manual_seed(0)
    module = CellModule(cell, LayerShape("layer_00", 7, 11, stride, resolution)).double().train()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias, 1)
    return module


def drawn(*size: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 11),
    st.booleans(),
    st.sampled_from([(True, True), (True, False), (False, True)]),
)
@settings(max_examples=60, deadline=None)
def test_a_1x1_convolution_is_pytorchs(
    inputs: int,
    outputs: int,
    side: int,
    images: int,
    activate: bool,
    asked: tuple[bool, bool],
) -> None:
    # Of two values, batch normalisation makes 1 and -1, whatever they are: rounding is all.
    assume(images * side * side > 2)
    torch.manual_seed(inputs)
    part = ConvNorm(inputs, outputs, activate=activate).double().train()
    part.requires_grad_(asked[0])
    x = drawn(images, inputs, side, side).requires_grad_(asked[1])
    fused = outcome(copy.deepcopy(part), x)
    with plainly():
        plain = outcome(part, x)
    assert fused.gradients.keys() == plain.gradients.keys()
    fused.assert_close(plain, 1e-9)


@pytest.mark.parametrize("resolution", [20, 33, 70])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("operation", ["dw_conv_3x3", "dw_conv_5x5", "dw_conv_3x3_d3"])
def test_images_that_are_taken_in_strips(resolution: int, stride: int, operation: str) -> None:
    module = wide(Cell.from_edges([(0, 1, operation), (1, 3, operation)]), resolution, stride)
    x = drawn(2, 7, resolution, resolution).requires_grad_()
    fused = outcome(copy.deepcopy(module), x)
    with plainly():
        fused.assert_close(outcome(module, x), 1e-9)


def test_more_channels_than_are_seen_to_together() -> None:
    part = ConvNorm(300, 300, 7, groups=300, stride=2).double().train()
    x = drawn(2, 300, 41, 41).requires_grad_()
    fused = outcome(copy.deepcopy(part), x)
    with plainly():
        fused.assert_close(outcome(part, x), 1e-9)


READERS = {
    "one": [(0, 3, "dw_conv_3x3")],
    "two": [(0, 1, "dw_conv_3x3"), (0, 3, "dw_conv_5x5"), (1, 3, "dw_conv_3x3")],
    "a convolution and a pool": [
        (0, 1, "max_pool_3x3"),
        (0, 3, "dw_conv_5x5"),
        (1, 3, "dw_conv_3x3"),
    ],
    "a convolution and a skip": [
        (0, 1, "dw_conv_3x3"),
        (0, 3, "skip_connect"),
        (1, 3, "dw_conv_3x3"),
    ],
    "the projection alone": [(0, 3, "skip_connect")],
}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a normalisation found its sums made by its reader, for each of them."""
    seen: list[bool] = []
    real = norms.Sums.take

    def noted(sums: norms.Sums, slope: torch.Tensor) -> norms.Pair | None:
        found = real(sums, slope)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(norms.Sums, "take", noted)
    return seen


@pytest.mark.parametrize(
    ("readers", "made"),
    [
        ("one", [False, True, True]),
        ("two", [False, False, True, False, False]),
        ("a convolution and a pool", [False, False, False, False]),
        ("a convolution and a skip", [False, False, True, False]),
        ("the projection alone", [False, True]),
    ],
)
def test_an_only_reader_makes_the_sums(readers: str, made: list[bool], taken: list[bool]) -> None:
    module = wide(Cell.from_edges(READERS[readers], expansion=3), 9)
    x = drawn(3, 7, 9, 9).requires_grad_()
    fused = outcome(copy.deepcopy(module), x)
    with plainly():
        fused.assert_close(outcome(module, x), 1e-9)
    assert sorted(taken) == sorted(made)


@pytest.mark.parametrize("readers", list(READERS))
def test_the_backward_pass_may_run_twice_and_in_part(readers: str) -> None:
    module = wide(Cell.from_edges(READERS[readers], expansion=3), 9)
    x = drawn(3, 7, 9, 9).requires_grad_()
    sources = [x, *module.parameters()]
    once = torch.autograd.grad(module(x).square().sum(), sources)
    loss = module(x).square().sum()
    # Readers come by and leave sums, of another slope, for norms that are not reached.
    torch.autograd.grad(2 * loss, list(module.project.parameters()), retain_graph=True)  # type: ignore[union-attr]
    torch.autograd.grad(3 * loss, sources, retain_graph=True)
    again = torch.autograd.grad(loss, sources)
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_a_tensor_is_gone_once_the_backward_pass_has_used_it() -> None:
    expand, middle = ConvNorm(4, 8), ConvNorm(8, 8, 3, groups=8)
    first = applied(expand, Node(torch.randn(2, 4, 5, 5)))
    second = applied(middle, first)
    assert isinstance(first.value, norms.Pending)
    assert isinstance(second.value, norms.Pending)
    held = weakref.ref(first.value.z)
    loss = second.finished().sum()
    del first, second
    assert held() is not None
    loss.backward()
    assert held() is None
    assert loss.grad_fn is not None


def test_sums_are_for_the_slope_that_they_were_made_of() -> None:
    sums, slope = norms.Sums(), torch.ones(2)
    found = (torch.zeros(2), torch.ones(2))
    sums.keep(slope, found)
    assert sums.take(slope) is found
    assert sums.take(slope) is None
    sums.keep(slope, found)
    assert sums.take(slope.clone()) is None
    sums.keep(slope, found)
    slope.add_(1)
    assert sums.take(slope) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("images", [3, 11])
def test_1x1_convolutions_do_not_depend_on_the_number_of_threads(
    dtype: torch.dtype, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "SMALL", 0)
    module = wide(Cell.from_edges(READERS["one"], expansion=3), 8).to(dtype)
    x = drawn(images, 7, 8, 8).to(dtype).requires_grad_()
    one = outcome(copy.deepcopy(module), x)
    with threads(3):
        three = outcome(module, x)
    one.assert_equal(three)


@pytest.mark.parametrize("channels", [13, 16])
def test_tensors_that_go_past_the_caches_hold_the_same(channels: int) -> None:
    # More than four megabytes each; with 13 channels nothing is aligned.
    part = ConvNorm(channels, channels, 3, groups=channels).train()
    x = drawn(17, channels, 70, 70).float().requires_grad_()
    fused = outcome(copy.deepcopy(part), x)
    with plainly():
        exact = outcome(copy.deepcopy(part).double(), x.double())
        plain = outcome(part, x)
    for name, error in fused.errors(exact).items():
        assert error <= 1e-4 + 10 * plain.errors(exact)[name], name


def test_moments_are_exact_where_the_mean_is_large_and_rows_differ() -> None:
    # The first pixels, around which moments are summed, are far off the mean of the others.
    norm_part = ConvNorm(8, 8, 3, groups=8).train()
    nn.init.ones_(norm_part.convolution.weight)
    x = torch.full((2, 8, 40, 40), 1000.0)
    x[:, :, 4:] += drawn(2, 8, 36, 40).float() + 50
    with plainly():
        exact = copy.deepcopy(norm_part).double()(x.double())
    assert (norm_part(x).double() - exact).abs().max() < 1e-3
