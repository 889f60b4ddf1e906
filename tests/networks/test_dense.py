"""Dense cells and their networks as torch modules."""

import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks.cells import recompute_cells
from autospace.networks.dense import DenseModule, ResidualBlock
from autospace.networks.network import Network, build_cell
from autospace.spaces import LayerShape
from autospace.spaces.cells.dense_cell import DenseCell
from autospace.spaces.cost import residual_cost
from tests.spaces.dense.nasbench201 import OPERATIONS, SPACE, architecture_of

SHAPE = LayerShape("layer_00", 4, 4, 1, 7, around=False)


def _counted(module: nn.Module, *shape: int) -> tuple[int, int]:
    """MAdds that torch counts, and params."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(torch.empty(1, *shape, device="meta"))
    params = sum(parameter.numel() for parameter in module.parameters())
    return counter.get_total_flops() // 2, params


def test_networks_have_the_params_and_madds_that_are_stated() -> None:
    rng = random.Random(0)
    live = 0
    for _ in range(8):
        architecture = SPACE.sample(rng)
        with torch.device("meta"):
            network = Network(SPACE.skeleton, architecture.cells)
        madds, params = _counted(network, 3, 32, 32)
        assert params == architecture.cost.params
        cell: DenseCell = architecture.shared_cells[0]  # type: ignore[assignment]
        if cell.pruned() == cell:
            live += 1
            assert madds == architecture.cost.madds
        else:
            assert madds <= architecture.cost.madds
    assert live >= 2


@pytest.mark.parametrize("shape", [(4, 8, 2, 7), (4, 4, 1, 8), (4, 6, 1, 8), (6, 6, 2, 8)])
def test_a_residual_block_costs_what_torch_counts(shape: tuple[int, int, int, int]) -> None:
    layer = LayerShape("fixed", *shape)
    with torch.device("meta"):
        block = ResidualBlock(layer)
    assert (*_counted(block, shape[0], shape[3], shape[3]), 0) == residual_cost(layer)


def _applied(module: nn.Module, name: str, x: torch.Tensor) -> torch.Tensor:
    """An operation written out with torch's functions alone."""
    if name == "none":
        return torch.zeros_like(x)
    if name == "skip_connect":
        return x
    if name == "avg_pool_3x3":
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    weight = next(each for each in module.parameters() if each.dim() == 4)
    found = F.conv2d(F.relu(x), weight, padding=weight.shape[-1] // 2)
    return F.batch_norm(found, None, None, training=True)


def test_a_cell_computes_what_its_string_says() -> None:
    rng, generator = random.Random(1), torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 7, 7, generator=generator)
    for _ in range(40):
        names = [rng.choice(OPERATIONS) for _ in range(6)]
        cell = DenseCell.of(names)
        module = build_cell(cell, SHAPE)  # type: ignore[arg-type]
        nodes, left = [x], iter(names)
        for target in range(1, 4):
            total = torch.zeros_like(x)
            for source in range(target):
                name = next(left)
                key = f"{source}_{target}"
                operation = module.operations[key] if key in module.operations else nn.Identity()
                total = total + _applied(operation, name, nodes[source])
            nodes.append(total)
        torch.testing.assert_close(module(x), nodes[-1], rtol=1e-4, atol=1e-5)


def test_a_cell_of_none_gives_zeros_and_its_network_still_trains() -> None:
    string = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    network = Network(SPACE.skeleton, architecture_of(string).cells)
    x = torch.randn(2, 3, 32, 32)
    assert not network.cell(0)(network.stem(x)).any()
    network(x).sum().backward()
    assert network.classifier.bias.grad is not None


def test_computing_a_cell_again_gives_the_same_gradients() -> None:
    cell = DenseCell.of(["nor_conv_3x3", "none", "nor_conv_1x1", *["skip_connect"] * 3])
    torch.manual_seed(0)
    plain, again = DenseModule(cell, SHAPE), DenseModule(cell, SHAPE)
    again.load_state_dict(plain.state_dict())
    recompute_cells(again)
    x = torch.randn(2, 4, 7, 7)
    for module in (plain, again):
        module(x).square().sum().backward()
    for first, second in zip(plain.parameters(), again.parameters(), strict=True):
        assert first.grad is not None
        assert second.grad is not None
        assert torch.equal(first.grad, second.grad)


def test_before_rest_and_trace_agree_with_a_whole_pass() -> None:
    architecture = SPACE.sample(random.Random(2))
    network = Network(SPACE.skeleton, architecture.cells).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        whole, trace = network(x), network.trace(x)
        for layer in (0, 4, 5, 9, 10, 14):
            torch.testing.assert_close(network.rest(network.before(x, layer), layer), whole)
            torch.testing.assert_close(trace.inputs[layer], network.before(x, layer))
    torch.testing.assert_close(trace.logits, whole)
    assert [each.shape[1:] for each in trace.inputs[::5]] == [
        (16, 32, 32), (32, 16, 16), (64, 8, 8)
    ]  # fmt: skip
