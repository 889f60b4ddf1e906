"""Blocks of convolutions: counts of published networks, keys, modules, and the exported file."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autospace.exporters.pytorch.export import export_architecture
from autospace.exporters.targets import TARGETS
from autospace.networks.network import build_cell, build_network
from autospace.spaces import Architecture, SpaceError, from_json, load, network_cost, to_json
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.conv import (
    CONV_OPERATIONS,
    Conv,
    ConvCell,
    ConvPrior,
    basic,
    bottleneck,
    convnext,
)
from autospace.spaces.cells.operations import Cost
from autospace.spaces.skeleton import LayerSpec, Skeleton, Stem

FAMILY = Conv()
PRIOR = ConvPrior(tuple(name for name in CONV_OPERATIONS if name != "none"))
SHAPES = (
    LayerShape("same", 8, 8, 1, 8),
    LayerShape("own identity", 8, 8, 1, 8, around=False),
    LayerShape("half", 8, 8, 2, 9),
    LayerShape("wider", 8, 12, 1, 8),
    LayerShape("half and wider", 8, 16, 2, 7, around=False),
)


def resnet18() -> Skeleton:
    """The widths of ResNet-18, with the stem that skeletons have."""
    widths = [(64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]
    layers = tuple(LayerSpec(channels, stride) for channels, stride in widths)
    return Skeleton("resnet18", 3, 224, 1000, Stem(64, 2), layers, 0, preactivation=True)


def cost_of(skeleton: Skeleton, cell: Any) -> Cost:
    """Of the network with one cell in every layer."""
    return network_cost(skeleton, [cell] * len(skeleton.layers))


def test_params_and_madds_of_resnets_are_the_published_ones_but_for_stem_and_head() -> None:
    # He et al., CVPR 2016, as counted in torchvision (ResNet-18: 11,689,512 params; ResNet-50:
    # 25,557,032 params and 4,089,184,256 MAdds) and, with 269,722 params for shortcuts without
    # weights, in ResNet-20 for CIFAR-10.
    stem = 64 * 3 * (49 - 9)  # 3x3 in place of 7x7
    found = cost_of(resnet18(), basic())
    # Pooling is the stride of the first layer here, so it has a shortcut with weights.
    assert found.params == 11_689_512 - stem + 2 * 512 + (64 * 64 + 2 * 64)
    space = load("conv@resnet50")
    found = cost_of(space.skeleton, bottleneck())
    assert found.params == 25_557_032 - stem + 2 * 2048
    # The first 1x1 convolution sees 112 x 112 pixels, before pooling.
    first = 64 * 64 * (112**2 - 56**2)
    assert found.madds == 4_089_184_256 - stem * 112**2 + first
    space = load("conv@resnet20")
    found = cost_of(space.skeleton, basic())
    shortcuts = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert found.params == 269_722 + shortcuts + 2 * 64


def test_the_block_of_convnext_by_hand() -> None:
    shape = replace(SHAPES[0], in_channels=96, out_channels=96, resolution=56)
    depthwise, wide = 49 * 96 + 2 * 96, 2 * 4 * 96 * 96 + 4 * 96 + 2 * 96
    found = FAMILY.cost(convnext(), shape)
    assert found.params == depthwise + wide
    assert found.madds == (49 * 96 + 8 * 96 * 96) * 56 * 56


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_costs_are_what_torch_counts(shape: LayerShape) -> None:
    rng = random.Random(0)
    for cell in (FAMILY.skipped, *(FAMILY.random_cell(PRIOR, rng) for _ in range(15))):
        module = build_cell(cell, shape)  # type: ignore[arg-type]
        with FlopCounterMode(display=False) as counter:
            found = module(torch.randn(2, shape.in_channels, shape.resolution, shape.resolution))
        cost = FAMILY.cost(cell, shape)
        assert found.shape == (2, shape.out_channels, *[shape.out_resolution] * 2)
        assert counter.get_total_flops() // 4 == cost.madds
        assert sum(p.numel() for p in module.parameters()) == cost.params


def with_known_weights(cell: ConvCell, shape: LayerShape) -> nn.Module:
    """A cell whose weights depend on the shapes of its tensors alone."""
    module = build_cell(cell, shape).double().eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for tensor in module.parameters():
            generator = torch.Generator().manual_seed(tensor.numel() + 7 * tensor.dim())
            tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64))
    return module


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.sampled_from(SHAPES))
def test_equal_keys_are_equal_functions(seed: int, shape: LayerShape) -> None:
    rng = random.Random(seed)
    few = replace(PRIOR, operations=("skip_connect", "conv_3x3", "avg_pool_3x3", "max_pool_3x3"))
    cell = FAMILY.random_cell(few, rng)
    others = [FAMILY.canonical(cell)]
    for _ in range(20):
        others.append(FAMILY.mutate(others[-1], few, rng))
    x = torch.randn(2, shape.in_channels, *[shape.resolution] * 2, dtype=torch.float64)
    wanted = with_known_weights(cell, shape)(x)
    same = [each for each in others if FAMILY.key(each, shape) == FAMILY.key(cell, shape)]
    assert others[0] in same
    assert FAMILY.cost(others[0], shape) == FAMILY.cost(cell, shape)
    for each in same:
        torch.testing.assert_close(with_known_weights(each, shape)(x), wanted)


def test_an_identity_out_of_the_input_counts_where_the_layer_changes_the_shape() -> None:
    direct = ConvCell.from_edges([(0, 3, "conv_3x3")])
    behind = ConvCell.from_edges([(0, 1, "skip_connect"), (1, 3, "conv_3x3")])
    same, _, half, wider, _ = SHAPES
    assert FAMILY.key(direct, same) == FAMILY.key(behind, same)
    for shape in (half, wider):
        assert FAMILY.key(direct, shape) != FAMILY.key(behind, shape)
    # In a bottleneck the width changes before the graph.
    reduced = [replace(each, reduction=2) for each in (direct, behind)]
    assert len({FAMILY.key(each, wider) for each in reduced}) == 1
    assert len({FAMILY.key(each, wider) for each in (direct, *reduced)}) == 2


def test_reductions_that_leave_the_same_width_are_one_cell() -> None:
    narrow = LayerShape("narrow", 3, 3, 1, 8)
    keys = {r: FAMILY.key(replace(bottleneck(), reduction=r), narrow) for r in (1, 2, 4)}
    assert keys[2] == keys[4] != keys[1]
    assert len({FAMILY.key(replace(bottleneck(), reduction=r), SHAPES[0]) for r in (2, 4)}) == 2


def test_every_picture_shows_the_shortcut() -> None:
    space = load("conv@resnet20")
    one = space.architecture({layer.shape.name: "resnet" for layer in space.layers})
    for name in ("dot", "mermaid"):
        target: Any = TARGETS[name]
        assert target.architecture(one).count('"shortcut"') == 9
        assert "shortcut" in target.space(space)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_variation_stays_in_the_family_and_files_give_cells_back(seed: int) -> None:
    rng = random.Random(seed)
    first, second = FAMILY.random_cell(PRIOR, rng), FAMILY.random_cell(PRIOR, rng)
    child = FAMILY.crossover(first, second, rng)
    for cell in (FAMILY.mutate(first, PRIOR, rng), child):
        assert not cell.is_zero
        assert cell == cell.pruned()
        document = FAMILY.document.model_validate(FAMILY.encoded(cell))
        assert FAMILY.decoded(document) == cell
    assert FAMILY.mutate(first, PRIOR, rng) != first


def test_mutations_reach_every_operation_and_reduction() -> None:
    rng, cell = random.Random(0), basic()
    seen: set[str | int] = set()
    for _ in range(600):
        cell = FAMILY.mutate(cell, PRIOR, rng)
        seen |= {*cell.operations, cell.reduction}
    assert seen == {*CONV_OPERATIONS, 1, 2, 4}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"reduction": 3}, "reduction: 3; allowed: 1, 2, 4"),
        ({"reduction": True}, "reduction: true; allowed: 1, 2, 4"),
        ({"chosen": ()}, "edges: 0 edges; allowed: 6, all of 4 nodes"),
    ],
)
def test_cells_that_cannot_be_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpaceError) as caught:
        replace(basic(), **change)
    assert str(caught.value) == problem


def test_the_space_is_read_back_and_no_such_cell_fits_tied_layers() -> None:
    space = load("conv@resnet20")
    assert from_json(to_json(space)) == space
    assert load("conv@cifar").size == 9**12
    with pytest.raises(SpaceError, match=r'"conv" at .*allowed here: dense|no cell of conv fits'):
        load("conv@nasbench201")


def test_computing_a_cell_again_gives_the_same_gradients() -> None:
    torch.manual_seed(0)
    module = build_cell(bottleneck(), SHAPES[4])  # type: ignore[arg-type]
    x = torch.randn(4, 8, 7, 7, requires_grad=True)
    found: list[Any] = []
    for recomputes in (False, True):
        module.recomputes = recomputes
        weights = list(module.parameters())
        found.append(torch.autograd.grad(module(x).square().sum(), [x, *weights]))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("name", ["resnet20", "digits"])
def test_the_exported_file_is_the_network(name: str, tmp_path: Path) -> None:
    space, rng = load(f"conv@{name}"), random.Random(1)
    skeleton = space.skeleton
    cells: list[Any] = [FAMILY.random_cell(PRIOR, rng) for _ in space.layers]
    cells[1], cells[2] = FAMILY.skipped, bottleneck()
    candidates = tuple(
        replace(layer.candidates[0], id=f"own_{index}", cell=cell, fitness=None)
        for index, (layer, cell) in enumerate(zip(space.layers, cells, strict=True))
    )
    network = build_network(skeleton, cells).eval()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
    held: dict[str, Any] = {"__name__": "exported"}
    exec(export_architecture(Architecture(skeleton, candidates)), held)
    again = held["build"]()
    again.load_state_dict(network.state_dict())
    images = torch.randn(2, skeleton.in_channels, *[skeleton.resolution] * 2)
    torch.testing.assert_close(again.eval()(images), network(images))
