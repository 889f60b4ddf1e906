"""Once-for-All's layers as modules: what they compute by hand, and what they cost."""

import random
from typing import Any, cast

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks.cells import recompute_cells
from autospace.networks.network import Network
from autospace.networks.ofa import HardAttention, OfaModule, Shortcut
from autospace.spaces import LayerShape, load
from autospace.spaces.cells.ofa import SKIPPED, OfaCell
from tests.spaces.ofa.spaces import small_space

SPACE = small_space()


@pytest.mark.parametrize("seed", range(4))
def test_a_network_has_the_params_and_products_that_are_stated(seed: int) -> None:
    for space in (SPACE, load("ofa@ofa-small")):
        architecture = space.sample(random.Random(seed))
        skeleton = architecture.skeleton
        network = Network(skeleton, architecture.cells).eval()
        side = skeleton.resolution
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, skeleton.in_channels, side, side))
        assert sum(each.numel() for each in network.parameters()) == architecture.cost.params
        assert counter.get_total_flops() == 2 * architecture.cost.madds


def test_attention_is_a_hard_sigmoid_of_two_layers() -> None:
    torch.manual_seed(0)
    module = HardAttention(32).double()
    x = torch.randn(2, 32, 5, 5, dtype=torch.float64)
    means = x.mean((2, 3))
    held = dict(module.named_parameters())
    hidden = means @ held["reduce.weight"][:, :, 0, 0].T + held["reduce.bias"]
    z = hidden.clamp_min(0) @ held["expand.weight"][:, :, 0, 0].T + held["expand.bias"]
    weights = ((z + 3) / 6).clamp(0, 1)
    torch.testing.assert_close(module(x), x * weights[:, :, None, None])


@pytest.mark.parametrize("activation", ["relu", "relu6", "h_swish"])
@pytest.mark.parametrize("attention", [False, True])
def test_a_cell_computes_what_its_parts_do(activation: str, attention: bool) -> None:
    torch.manual_seed(1)
    shape = LayerShape("one", 8, 16, 2, 9, activation=activation, attention=attention)
    module = OfaModule(OfaCell.of(5, 3), shape).double().eval()
    x = torch.randn(2, 8, 9, 9, dtype=torch.float64)
    act: Any = {
        "relu": lambda v: v.clamp_min(0),
        "relu6": lambda v: v.clamp(0, 6),
        "h_swish": lambda v: v * (v + 3).clamp(0, 6) / 6,
    }[activation]

    def normed(norm: Any, v: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(v, norm.running_mean, norm.running_var, norm.weight, norm.bias)

    expand, depthwise, project = cast(
        tuple[Any, Any, Any], (module.expand, module.operations["0_1"], module.project)
    )
    y = act(normed(expand[1], F.conv2d(x, expand[0].weight)))
    y = act(normed(depthwise[1], F.conv2d(y, depthwise[0].weight, None, 2, 2, 1, 24)))
    if attention:
        y = module.mixes["1"](y)
    y = normed(project[1], F.conv2d(y, project[0].weight))
    torch.testing.assert_close(module(x), y)
    assert y.shape == (2, 16, 5, 5)


def test_a_skipped_layer_is_zero_and_keeps_its_input() -> None:
    shape = SPACE.skeleton.shapes[1]
    module = OfaModule(SKIPPED, shape)
    x = torch.randn(2, 4, 8, 8)
    assert torch.equal(module(x), torch.zeros_like(x))
    x = x.contiguous(memory_format=torch.channels_last)
    assert module(x).is_contiguous(memory_format=torch.channels_last)
    assert not list(module.parameters())


def test_the_block_of_the_stem_has_an_identity_where_it_keeps_the_channels() -> None:
    with_identity = Network(SPACE.skeleton, [OfaCell.of(3, 3)] * 5).stem[1]
    assert isinstance(with_identity, Shortcut)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(with_identity(x), x + with_identity.cell(x))
    other = load("ofa@ofa-proxyless")
    assert isinstance(Network(other.skeleton, [OfaCell.of(3, 3)] * 21).stem[1], OfaModule)


def test_recomputing_cells_changes_no_gradient() -> None:
    found = []
    for recomputes in (False, True):
        torch.manual_seed(0)
        network = Network(SPACE.skeleton, SPACE.sample(random.Random(3)).cells).train()
        if recomputes:
            recompute_cells(network)
        network(torch.randn(4, 1, 8, 8)).square().sum().backward()
        found.append([each.grad for each in network.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_parts_of_equal_names_fit_into_each_other() -> None:
    shape = SPACE.skeleton.shapes[3]
    first, second = (OfaModule(OfaCell.of(k, 4), shape) for k in (3, 5))
    shared = set(first.parts) & set(second.parts)
    assert shared == {"ofa e4 expand", "ofa e4 project", "ofa e4 se"}
    for name in shared:
        ours, theirs = (m.get_submodule(m.parts[name]).state_dict() for m in (first, second))
        assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
