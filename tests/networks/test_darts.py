"""DARTS cells and their networks as torch modules, against the formulas of the paper."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks.darts import DartsModule, FactorisedReduction
from autospace.networks.network import Network
from autospace.spaces import FAMILIES, Cost, cell_cost, load
from autospace.spaces.cells.darts_cell import DartsCell
from tests.spaces.darts.genotypes import TINY, V2_NORMAL, V2_REDUCE, darts_v2, network
from tests.spaces.darts.test_darts_cells import cells


def counted(module: nn.Module, *inputs: torch.Tensor) -> Cost:
    """MAdds and params of a module, by torch's own counter."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module.eval()(*inputs)
    params = sum(parameter.numel() for parameter in module.parameters())
    return Cost(counter.get_total_flops() // (2 * len(inputs[0])), params)


@pytest.mark.parametrize("name", ["darts", "darts-imagenet", "darts-small"])
def test_a_network_has_the_stated_cost(name: str) -> None:
    architecture = darts_v2(name)
    skeleton = architecture.skeleton
    images = torch.randn(1, skeleton.in_channels, skeleton.resolution, skeleton.resolution)
    assert counted(Network(skeleton, architecture.cells), images) == architecture.cost


@given(cells(4), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_any_cell_costs_what_its_module_has_if_all_of_it_is_used(cell: DartsCell, at: int) -> None:
    whole = DartsCell(4, cell.chosen, (2, 3, 4, 5))
    shape = TINY.cell_layers[at]
    x = torch.randn(2, 2 * shape.width + 3, shape.resolution, shape.resolution)
    module = DartsModule(whole, shape)
    assert counted(module, x) == cell_cost(whole, shape)
    assert module(x).shape == (2, shape.out_channels, shape.out_resolution, shape.out_resolution)


def by_formula(network: Network, images: torch.Tensor) -> torch.Tensor:
    """The network of the paper, layer by layer, with the weights of ours."""
    before = last = network.stem[0](images)
    for layer, cell in enumerate(network.layers):
        assert isinstance(cell, DartsModule)
        inputs = network.inputs[layer]
        nodes = [inputs.before(before), inputs.last(last)]  # type: ignore[operator]
        for node in range(2, 6):
            total = torch.zeros(())
            for index, (source, _, name) in enumerate(cell.darts.into(node)):
                if name != "none":
                    total = total + cell.operations[f"{node}_{index}"](nodes[source])
            nodes.append(total)
        before, last = last, torch.cat(nodes[2:], 1)
    return network.classifier(last.mean((2, 3)))  # type: ignore[no-any-return]


def test_a_network_computes_what_the_paper_says() -> None:
    torch.manual_seed(0)
    space = load("darts@darts-small")
    for architecture in (
        network(DartsCell.of(V2_NORMAL), DartsCell.of(V2_REDUCE), TINY),
        space.sample(random.Random(0)),
    ):
        skeleton = architecture.skeleton
        found = Network(skeleton, architecture.cells).eval()
        images = torch.randn(3, skeleton.in_channels, skeleton.resolution, skeleton.resolution)
        with torch.no_grad():
            expected = by_formula(found, images)
            torch.testing.assert_close(found(images), expected)
            torch.testing.assert_close(found.rest(found.before(images, 2), 2), expected)
            torch.testing.assert_close(found.trace(images).logits, expected)


@pytest.mark.parametrize("side", [4, 5])
def test_a_factorised_reduction_reads_alternate_pixels(side: int) -> None:
    module = FactorisedReduction(3, 5).eval()
    x = torch.randn(1, 3, side, side)
    found = module(x)
    positive = F.relu(x)
    out = -(-side // 2)
    assert found.shape == (1, 5, out, out)
    scale = 1 / (1 + module.norm.eps) ** 0.5
    for row in range(out):
        for column in range(out):
            even = module.even.weight[:, :, 0, 0] @ positive[0, :, 2 * row, 2 * column]
            torch.testing.assert_close(found[0, :2, row, column], even * scale)
            odd = torch.zeros(3)
            if 2 * row + 1 < side and 2 * column + 1 < side:
                odd = module.odd.weight[:, :, 0, 0] @ positive[0, :, 2 * row + 1, 2 * column + 1]
            torch.testing.assert_close(found[0, 2:, row, column], odd * scale)


def test_equal_keys_mean_equal_functions() -> None:
    """A cell and its canonical form compute the same, up to the order of channels."""
    torch.manual_seed(1)
    shape = TINY.cell_layers[0]
    cell = DartsCell.of(V2_NORMAL, (3, 5, 2, 4))
    other = FAMILIES["darts"].canonical(cell)
    first, second = DartsModule(cell, shape).eval(), DartsModule(other, shape).eval()
    for node in range(2, 6):
        edges = list(other.into(node))
        for index, edge in enumerate(cell.into(node)):
            place = edges.index(edge)
            given = first.operations[f"{node}_{index}"].state_dict()
            second.operations[f"{node}_{place}"].load_state_dict(given)
    x = torch.randn(2, 8, 9, 9)
    blocks = dict(zip(cell.concat, first(x).split(4, 1), strict=True))
    torch.testing.assert_close(second(x), torch.cat([blocks[node] for node in other.concat], 1))


def test_a_cell_without_operations_is_zero_and_an_unused_node_is_not_computed() -> None:
    shape = TINY.cell_layers[1]
    x = torch.randn(2, 12, 9, 9)
    zero = DartsModule(FAMILIES["darts"].skipped, shape)
    assert zero(x).shape == (2, 24, 5, 5)
    assert not zero(x).any()
    assert zero(x.contiguous(memory_format=torch.channels_last)).is_contiguous(
        memory_format=torch.channels_last
    )
    pairs = [("sep_conv_3x3", 0), ("none", 0), *[("skip_connect", 1), ("none", 0)] * 3]
    module = DartsModule(DartsCell.of(pairs, (3, 4, 5)), shape)
    module(x).sum().backward()
    assert all(p.grad is None for p in module.operations["2_0"].parameters())
