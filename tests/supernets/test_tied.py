"""The supernet of layers that share a cell, whole or edge by edge."""

import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from autospace.networks.cells import recompute_cells
from autospace.networks.network import Network
from autospace.searchers.gradient.gates import gated_path
from autospace.spaces import (
    Candidate,
    Edge,
    Layer,
    Skeleton,
    Space,
    SpaceError,
    load,
)
from autospace.spaces.cells.dense_cell import OPERATIONS, DenseCell
from autospace.supernets.families import NOT_ON_TIED, check_method, supernet_over
from autospace.supernets.supernet import OnePath
from autospace.supernets.tied import EdgeBank, TiedSupernet
from tests.spaces.dense.nasbench201 import whole
from tests.spaces.dense.test_shared_layers import SMALL

EDGES = replace(SMALL, name="edges", nodes=3)
"""Two groups of cells with three edges each."""


def by_edge(skeleton: Skeleton = EDGES) -> Space:
    layers = []
    for shape in skeleton.shapes:
        assert shape.edge is not None
        cells: list[Any] = [
            DenseCell.on(Edge(*shape.edge, name), shape.nodes) for name in OPERATIONS
        ]
        candidates = tuple(
            Candidate(name, cell) for name, cell in zip(OPERATIONS, cells, strict=True)
        )
        layers.append(Layer(shape, candidates))
    return Space("edges", skeleton, tuple(OPERATIONS), tuple(layers))


def by_cell() -> Space:
    cells = [whole("nor_conv_3x3"), whole("avg_pool_3x3", "nor_conv_1x1", "skip_connect")]
    candidates = tuple(Candidate(f"cell_{i}", cell) for i, cell in enumerate(cells))
    layers = tuple(Layer(shape, candidates) for shape in SMALL.shapes)
    return Space("cells", SMALL, tuple(OPERATIONS), layers)


SPACES = {"edges": by_edge(), "cells": by_cell()}


def supernet(space: Space) -> TiedSupernet:
    found = supernet_over(space, 0, "cpu").double()
    assert isinstance(found, TiedSupernet)
    return found


def images(count: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, 8, 8, dtype=torch.float64, generator=generator)


def paths(space: Space, count: int = 8) -> list[tuple[int, ...]]:
    rng = random.Random(0)
    sizes = [len(layer.candidates) for layer in space.layers]
    return [tuple(rng.randrange(size) for size in sizes) for _ in range(count)]


def alone(shared: TiedSupernet, space: Space, path: tuple[int, ...]) -> Network:
    """A path as a network of its own that has the modules of the supernet."""
    chosen = {
        layer.shape.name: layer.candidates[index].id
        for layer, index in zip(space.layers, path, strict=True)
    }
    network = Network(space.skeleton, space.architecture(chosen).cells).double()
    for name in ("stem", "fixed", "head", "last", "classifier"):
        setattr(network, name, getattr(shared.network, name))
    size = space.skeleton.choices_per_cell
    banks: Any = shared.banks
    for layer, (bank, group) in enumerate(zip(banks, space.skeleton.groups, strict=True)):
        own = path[group * size : (group + 1) * size]
        if not isinstance(bank, EdgeBank):
            network.layers[layer] = bank.choices[0][own[0]]
            continue
        module: Any = network.layers[layer]
        choices: Any = bank.choices
        for edge, row, index in zip(module.dense.chosen, choices, own, strict=True):
            if edge.operation != "none":
                module.operations[f"{edge.source}_{edge.target}"] = row[index]
    return network


@pytest.mark.parametrize("name", SPACES)
def test_a_path_is_the_network_that_it_names(name: str) -> None:
    space = SPACES[name]
    shared = supernet(space).train()
    for path in paths(space):
        found = OnePath(shared, path)(images())
        torch.testing.assert_close(found, alone(shared, space, path).train()(images()))


@pytest.mark.parametrize("name", SPACES)
def test_a_mixture_of_one_candidate_is_its_path(name: str) -> None:
    space = SPACES[name]
    shared = supernet(space).train()
    for path in paths(space):
        weights = [
            torch.eye(len(layer.candidates), dtype=torch.float64)[index]
            for layer, index in zip(space.layers, path, strict=True)
        ]
        torch.testing.assert_close(
            shared.mixture(images(), weights), shared.single_path(images(), path)
        )


def test_a_mixture_on_an_edge_is_the_weighted_sum_of_its_operations() -> None:
    space = SPACES["edges"]
    shared = supernet(space).train()
    weights = [torch.rand(len(OPERATIONS), dtype=torch.float64) for _ in space.layers]
    x = shared.enter(images())
    bank: Any = shared.banks[0]

    def mixed(choice: int, value: torch.Tensor) -> torch.Tensor:
        terms = [
            weight * part(value)
            for weight, part in zip(weights[choice], bank.choices[choice], strict=True)
        ]
        return torch.stack(terms).sum(0)

    first = mixed(0, x)  # edges 0 to 1, 0 to 2 and 1 to 2
    torch.testing.assert_close(shared.mixed(weights)[0](x), mixed(1, x) + mixed(2, first))


@pytest.mark.parametrize("name", SPACES)
def test_gates_get_the_slopes_of_a_mixture_at_its_path(name: str) -> None:
    """Summed over the layers that make a choice together."""
    space = SPACES[name]
    shared = supernet(space).train()
    for path in paths(space, 4):
        rows = [torch.eye(len(layer.candidates), dtype=torch.float64)[index].requires_grad_()
                for layer, index in zip(space.layers, path, strict=True)]  # fmt: skip
        seen = [range(len(row)) for row in rows]
        given = torch.autograd.grad(
            gated_path(shared, images(), path, rows, seen).square().sum(), rows
        )
        wanted = torch.autograd.grad(shared.mixture(images(), rows).square().sum(), rows)
        for ours, theirs in zip(given, wanted, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_weights_move_only_between_input_and_output() -> None:
    space = SPACES["edges"]
    shared = supernet(space).train()
    conv, none = list(OPERATIONS).index("nor_conv_3x3"), list(OPERATIONS).index("none")
    # In the first group the edge to node 1 leads nowhere.
    path = (conv, conv, none, conv, none, conv)
    shared.single_path(images(), path).sum().backward()
    moved = {
        name.split(".")[1:5:2] and ".".join(name.split(".")[1:5])
        for name, weight in shared.named_parameters()
        if weight.grad is not None and name.startswith("banks")
    }
    assert moved == {
        f"0.choices.1.{conv}", f"1.choices.1.{conv}", f"2.choices.0.{conv}", f"2.choices.2.{conv}"
    }  # fmt: skip


def test_what_leads_nowhere_is_no_part_of_a_path() -> None:
    space = SPACES["edges"]
    shared = supernet(space).train()
    conv, none = list(OPERATIONS).index("nor_conv_3x3"), list(OPERATIONS).index("none")
    path = (conv, conv, none, conv, conv, conv)
    dead: Any = shared.banks[0]
    dead = dead.choices[0][conv]
    before = [each.clone() for each in dead.buffers()]
    shared.single_path(images(), path)
    # It is not computed: its statistics rest, and no optimiser of the path holds its weights.
    assert before
    assert all(map(torch.equal, dead.buffers(), before))
    used = {id(each) for part in shared.parts(path) for each in part.parameters()}
    assert not used & {id(each) for each in dead.parameters()}


def test_a_cell_without_a_path_gives_zero() -> None:
    space = SPACES["edges"]
    shared = supernet(space).eval()
    none = list(OPERATIONS).index("none")
    x = shared.enter(images())
    assert not shared.active((none,) * 6)[0](x).any()
    assert not shared.mixed([torch.eye(5, dtype=torch.float64)[none]] * 6)[0](x).any()
    assert [shared.is_zero(0, index) for index in range(5)] == [True, False, False, False, False]


def test_candidates_are_the_modules_of_all_their_layers() -> None:
    shared = supernet(SPACES["edges"])
    conv = list(OPERATIONS).index("nor_conv_3x3")
    assert [sum(p.numel() for p in row[conv].parameters()) for row in shared.choices] == [
        2 * 9 * 4 * 4] * 3 + [9 * 8 * 8] * 3  # fmt: skip
    assert [shared.first_layer(choice) for choice in range(6)] == [0, 0, 0, 2, 2, 2]
    held = [id(each) for row in shared.choices for part in row for each in part.parameters()]
    assert len(held) == len(set(held))
    assert set(held) <= {id(each) for each in shared.parameters()}
    names = [*shared.state_dict()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", SPACES)
def test_cells_that_are_computed_again_have_the_same_gradients(name: str) -> None:
    space = SPACES[name]
    found = []
    for again in (False, True):
        shared = supernet(space).train()
        if again:
            recompute_cells(shared)
        rows = [torch.full((len(layer.candidates),), 0.3, dtype=torch.float64, requires_grad=True)
                for layer in space.layers]  # fmt: skip
        shared.mixture(images(), rows).square().sum().backward()
        statistics = [b.clone() for n, b in shared.named_buffers() if "running" in n]
        found.append([*(row.grad for row in rows), *statistics])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_space_of_the_benchmark_has_weights_for_all_its_operations() -> None:
    space = load("nasbench201@nasbench201")
    shared = supernet_over(space, 0, "cpu")
    assert isinstance(shared, TiedSupernet)
    weights = sum(each.numel() for each in shared.banks.parameters())
    # 15 layers of three widths, six edges each, a 1x1 and a 3x3 convolution on an edge.
    assert weights == 5 * 6 * sum(10 * width**2 for width in (16, 32, 64))


@pytest.mark.parametrize("method", NOT_ON_TIED)
def test_methods_that_take_layers_apart_are_refused(method: str) -> None:
    for space in SPACES.values():
        with pytest.raises(SpaceError, match=f"share cells, .*{method}") as caught:
            check_method(method, space.skeleton)
        # Neither of the two is offered in place of the other.
        assert str(caught.value).endswith("; allowed: all but dna and petridish")
        check_method("gdas", space.skeleton)
