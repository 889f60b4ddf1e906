"""Gradient checkpointing changes what is kept for the backward pass, and nothing else."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from autospace.networks.cells import CellModule, recompute_cells
from autospace.networks.network import Network, placed
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import Cell, LayerShape, LayerSpec, Skeleton, Stem, mbconv
from tests.networks.kernels.tools import plainly
from tests.scorers.conftest import MakeSetting
from tests.strategies import cells, shapes

SKELETON = Skeleton("deep", 3, 16, 4, Stem(8, 1), (LayerSpec(8), LayerSpec(16, 2), LayerSpec(16)))


def trained(module: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, gradients and buffers after two passes, the second from where the first ended."""
    x = x.clone().requires_grad_()
    for _ in range(2):
        module.zero_grad()
        output = module(x)
        output.square().sum().backward()
    gradients = {name: each.grad for name, each in module.named_parameters()}
    found = {"output": output, "x": x.grad, **gradients, **dict(module.named_buffers())}
    return {name: each.detach().clone() for name, each in found.items() if each is not None}


@pytest.mark.parametrize("way", [nullcontext, plainly])
@settings(max_examples=40)
@given(cell=cells(), shape=shapes(), seed=st.integers(0, 99))
def test_gradients_and_running_statistics_are_the_same_to_the_bit(
    way: Callable[[], AbstractContextManager[None]], cell: Cell, shape: LayerShape, seed: int
) -> None:
    found = []
    for recomputes in (False, True):
        torch.manual_seed(seed)
        module = placed(CellModule(cell, shape), "cpu").train()
        side = shape.resolution
        x = torch.randn(3, shape.in_channels, side, side).to(memory_format=torch.channels_last)
        if recomputes:
            recompute_cells(module)
        with way():
            found.append(trained(module, x) if module.project is not None else {})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_settings_of_the_norms_come_back_even_from_an_error() -> None:
    module = CellModule(mbconv(3, 3), LayerShape("layer", 4, 4, 1, 8)).train()
    recompute_cells(module)
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    output = module(torch.randn(2, 4, 8, 8, requires_grad=True))
    handle = norms[-1].register_forward_pre_hook(_fails)
    with pytest.raises(RuntimeError, match="on the way back"):
        output.sum().backward()
    handle.remove()
    assert {norm.momentum for norm in norms} == {0.1}
    assert {int(norm.num_batches_tracked or 0) for norm in norms} == {1}


def _fails(*_: Any) -> None:
    raise RuntimeError("failed on the way back")


def test_less_is_kept_for_the_backward_pass() -> None:
    wide = Cell.from_edges(
        [
            (0, 1, "dw_conv_5x5"),
            (0, 2, "dw_conv_3x3"),
            (1, 3, "max_pool_3x3"),
            (2, 3, "dw_conv_3x3"),
        ],
        expansion=6,
        mix=("se", "gate", "sum"),
    )
    network = placed(Network(SKELETON, [wide] * 3), "cpu").train()
    images = torch.randn(8, 3, 16, 16).to(memory_format=torch.channels_last)
    whole = kept_bytes(network, images)
    recompute_cells(network)
    assert kept_bytes(network, images) < whole / 5


def kept_bytes(network: Network, images: torch.Tensor) -> int:
    """Bytes that autograd holds after a forward pass, weights apart."""
    weights = {each.untyped_storage().data_ptr() for each in network.parameters()}
    held: dict[int, int] = {}
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = network(images)
    assert logits.requires_grad
    return sum(held.values())


@pytest.mark.parametrize("method", ["mixture", "gated"])
def test_scores_are_the_same(
    make_setting: MakeSetting, cells: list[list[Cell]], method: ScoringMethod
) -> None:
    found = [
        make_scorer(make_setting(method, recompute=recompute)).score(cells, 0)
        for recompute in (False, True)
    ]
    assert found[0] == found[1]
