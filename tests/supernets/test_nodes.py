"""The supernet of DARTS cells whose nodes are chosen one by one."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from autospace.networks.cells import recompute_cells
from autospace.networks.network import Network
from autospace.spaces import Layer, Space, SpaceError, load, load_skeleton
from autospace.spaces.cells.cell import Edge
from autospace.supernets.families import ON_NODES, check_method, supernet_over
from autospace.supernets.nodes import NodeBank, NodeSupernet
from autospace.supernets.supernet import OnePath

WHOLE = load("darts@darts-small")


def small(count: int = 6) -> Space:
    """A few candidates of every node, for a supernet that is quickly built."""
    rng = random.Random(0)
    layers = tuple(
        Layer(layer.shape, tuple(rng.sample(layer.candidates, count))) for layer in WHOLE.layers
    )
    return Space("small", WHOLE.skeleton, WHOLE.operations, layers)


SPACE = small()


def supernet(space: Space = SPACE) -> NodeSupernet:
    found = supernet_over(space, 0, "cpu").double()
    assert isinstance(found, NodeSupernet)
    return found


def images(count: int = 4) -> torch.Tensor:
    return torch.randn(
        count, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


def by_network(shared: NodeSupernet, path: list[int]) -> torch.Tensor:
    """The same path as a network of its own, whose normalisations have no weights either."""
    chosen = {
        layer.shape.name: layer.candidates[i].id
        for layer, i in zip(SPACE.layers, path, strict=True)
    }
    architecture = SPACE.architecture(chosen)
    network = Network(SPACE.skeleton, architecture.cells).double()
    for name in ("stem", "inputs", "classifier"):
        getattr(network, name).load_state_dict(getattr(shared.network, name).state_dict())
    for layer, bank in enumerate(shared.banks):
        module: Any = network.cell(layer)
        operations: Any = bank.operations
        for index, edge in enumerate(module.darts.chosen):
            place = f"{edge.target}_{edge.source}_{edge.operation}"
            module.operations[f"{edge.target}_{index % 2}"] = operations[place]
    logits: torch.Tensor = network.train()(images())
    return logits


def test_a_path_is_the_network_that_it_names() -> None:
    shared, rng = supernet().train(), random.Random(2)
    for _ in range(3):
        path = [rng.randrange(6) for _ in SPACE.layers]
        found = OnePath(shared, path)(images())
        torch.testing.assert_close(found, by_network(shared, path))


def test_a_mixture_of_one_candidate_is_its_path() -> None:
    shared = supernet().train()
    path = [1, 0, 2, 3, 4, 5, 0, 1]
    weights = [torch.zeros(6, dtype=torch.float64) for _ in path]
    for row, index in zip(weights, path, strict=True):
        row[index] = 1
    torch.testing.assert_close(
        shared.mixture(images(), weights), shared.single_path(images(), path)
    )


def test_a_mixture_is_the_weighted_sum_of_candidates() -> None:
    """Of the first layer, whose nodes 2 and 3 both read inputs: by hand, candidate by candidate."""
    shared = supernet().train()
    weights = [torch.rand(6, dtype=torch.float64) for _ in SPACE.layers]
    x = shared.enter(images())
    mixed = shared.mixed(weights)[0](x)
    nodes = [x[:, :4], x[:, 4:8]]
    bank: Any = shared.banks[0]
    for layer, row in zip(SPACE.layers[:4], weights, strict=False):
        total = torch.zeros(())
        for candidate, weight in zip(layer.candidates, row, strict=True):
            cell: Any = candidate.cell
            for source, target, name in cell.chosen:
                total = total + weight * bank.operations[f"{target}_{source}_{name}"](nodes[source])
        nodes.append(total)
    torch.testing.assert_close(mixed, torch.cat(nodes[2:], 1))


def test_weights_move_only_along_the_path_and_alpha_has_a_slope() -> None:
    shared = supernet().train()
    shared.single_path(images(), [0] * 8).sum().backward()
    moved = {
        name for name, p in shared.named_parameters() if p.grad is not None and "banks" in name
    }
    used = {f"{e.target}_{e.source}_{e.operation}" for layer in SPACE.layers
            for e in layer.candidates[0].cell.chosen}  # type: ignore[attr-defined]  # fmt: skip
    assert {name.split(".")[3] for name in moved} <= used
    alphas = [torch.zeros(6, dtype=torch.float64, requires_grad=True) for _ in SPACE.layers]
    shared.mixture(images(), [a.softmax(0) for a in alphas]).square().sum().backward()
    assert all(a.grad is not None and a.grad.abs().sum() > 0 for a in alphas)


def test_recomputed_layers_have_the_same_gradients() -> None:
    found = []
    for recompute in (False, True):
        shared = supernet().train()
        if recompute:
            recompute_cells(shared)
        alphas = [torch.zeros(6, dtype=torch.float64, requires_grad=True) for _ in SPACE.layers]
        loss = shared.mixture(images(), [a.softmax(0) for a in alphas]).square().sum()
        weights = [p for p in shared.parameters() if p.requires_grad]
        found.append(torch.autograd.grad(loss, [*alphas, *weights], allow_unused=True))
    assert all(bank.recomputes for bank in shared.banks)
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(plain, again)


def test_normalisations_have_no_weights_and_follow_pools() -> None:
    shared = supernet(WHOLE)
    norms = [m for m in shared.banks.modules() if isinstance(m, nn.BatchNorm2d)]
    assert not any(norm.affine or norm.weight is not None for norm in norms)
    # 14 edges of 7 operations in each of 6 layers.
    assert [len(bank.operations) for bank in shared.banks] == [98] * 6  # type: ignore[arg-type]
    pool: Any = shared.banks[0].operations["2_0_max_pool_3x3"]  # type: ignore[index]
    assert isinstance(pool[1], nn.BatchNorm2d)


def test_equal_seeds_have_equal_weights() -> None:
    first, second = supernet().state_dict(), supernet().state_dict()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_methods_that_hold_every_candidate_apart_are_refused() -> None:
    for method in ("proxyless", "gdas", "nasp", "petridish", "gm", "nas-lid"):
        with pytest.raises(SpaceError, match=rf"^skeleton: candidates .* which {method} does not"):
            check_method(method, WHOLE.skeleton)
        check_method(method, load_skeleton("digits"))
    # One cell of each kind stands in all blocks: their paths are not independent.
    with pytest.raises(
        SpaceError, match=r"^skeleton: blocks of .* share cells, .* allowed: random"
    ):
        check_method("dna", WHOLE.skeleton)
    whole = replace(WHOLE.skeleton, nodes=None, ties=())
    check_method("gdas", whole)
    with pytest.raises(SpaceError, match=r"^skeleton: blocks of .* need what two layers before"):
        check_method("dna", whole)
    for method in ON_NODES:
        check_method(method, WHOLE.skeleton)


def _partial_by_hand(
    bank: NodeBank, weights: dict[Edge, torch.Tensor], inputs: list[torch.Tensor], k: int
) -> torch.Tensor:
    """The one node of a cell as in PC-DARTS: beta times a mixture of part of the channels."""
    terms = []
    for source, x in enumerate(inputs):
        own = {edge: weight for edge, weight in weights.items() if edge.source == source}
        beta: Any = sum(own.values())
        part = x.shape[1] // k
        mixed: Any = sum(
            weight / beta * bank.operations[f"2_{source}_{edge.operation}"](x[:, :part])
            for edge, weight in own.items()
        )
        passed = x[:, part:]
        if mixed.shape[-1] < x.shape[-1]:
            passed = nn.MaxPool2d(2, 2)(passed)
        both = torch.cat([mixed, passed], 1)
        count, channels, height, width = both.shape
        groups = both.view(count, k, channels // k, height, width)
        shuffled = groups.transpose(1, 2).contiguous().view(count, channels, height, width)
        terms.append(beta * shuffled)
    total: torch.Tensor = terms[0] + terms[1]
    return total


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("k", [2, 4])
def test_sampled_channels_are_those_of_pc_darts(stride: int, k: int) -> None:
    shape = next(
        replace(each, concat=1, width=8)
        for each in SPACE.skeleton.cell_layers
        if each.stride == stride
    )
    names = ("sep_conv_3x3", "max_pool_3x3", "skip_connect")
    edges = [Edge(source, 2, name) for source in (0, 1) for name in names]
    torch.manual_seed(3)
    bank = NodeBank(shape, edges, k).double()
    assert all(each.shape[0] <= 8 // k for each in bank.parameters())
    drawn = torch.randn(len(edges), dtype=torch.float64).softmax(0)
    weights = dict(zip(edges, drawn.unbind(), strict=True))
    inputs = [torch.randn(2, 8, 6, 6, dtype=torch.float64) for _ in range(2)]
    found = bank.on_edges(weights, edges, torch.cat(inputs, 1))
    torch.testing.assert_close(found, _partial_by_hand(bank, weights, inputs, k))


def test_a_sampled_path_has_every_edge_once() -> None:
    found = supernet_over(SPACE, 0, "cpu", 2).double()
    rng = random.Random(4)
    path = [rng.randrange(6) for _ in SPACE.layers]
    ones = [torch.eye(6, dtype=torch.float64)[index] for index in path]
    alone = OnePath(found, path)(images())
    torch.testing.assert_close(found.mixture(images(), ones), alone)
    sizes = [
        sum(each.numel() for name, each in given.named_parameters() if name.startswith("banks."))
        for given in (found, supernet())
    ]
    assert sizes[0] < 0.6 * sizes[1]


def test_channels_pass_by_two_operations_of_one_edge_twice() -> None:
    # As on a path through a cell of NASNet, some of whose nodes read one input twice.
    shape = replace(SPACE.skeleton.cell_layers[0], concat=1, width=8)
    edges = [Edge(0, 2, "sep_conv_3x3"), Edge(0, 2, "skip_connect")]
    bank = NodeBank(shape, edges, 4).double()
    x = torch.randn(2, 16, 6, 6, dtype=torch.float64)
    ones = {edge: torch.ones((), dtype=torch.float64) for edge in edges}
    torch.testing.assert_close(bank.on_edges(None, edges, x), bank.on_edges(ones, edges, x))


def test_channels_that_cannot_be_sampled_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"^supernet\.sampled: 5, which does not divide the \d+"):
        supernet_over(SPACE, 0, "cpu", 5)
    for name in ("mbconv@digits", "enas-rnn@rnn-small"):
        with pytest.raises(SpaceError, match=r"^supernet\.sampled: 4, but no nodes .*allowed: 1$"):
            supernet_over(load(name), 0, "cpu", 4)
