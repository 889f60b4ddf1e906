"""Cost arithmetic against torch's own counter, published numbers, hand arithmetic, brute force."""

import itertools
import random
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks.captions import packed
from autospace.networks.cells import CellModule
from autospace.networks.network import Network, build_network
from autospace.spaces import (
    Architecture,
    Budget,
    Candidate,
    Cell,
    Cost,
    Layer,
    LayerShape,
    Skeleton,
    Space,
    SpaceError,
    builtin_names,
    cell_cost,
    load,
    load_skeleton,
    mbconv,
    network_cost,
)
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.cost import total
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import LayerSpec, Stem
from tests.slow import slowly
from tests.strategies import cells, shapes, skeletons, spaces


def counted(module: nn.Module, *shape: int) -> Cost:
    """What torch counts: FLOPs of a forward pass, two for every multiply-accumulate."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.eval()(torch.empty(1, *shape, device="meta"))
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return Cost(flops // 2, sum(p.numel() for p in module.parameters() if p.requires_grad))


def counted_cell(cell: Cell, shape: LayerShape) -> Cost:
    with torch.device("meta"):
        module = CellModule(cell, shape)
    return counted(module, shape.in_channels, shape.resolution, shape.resolution)


def counted_network(skeleton: Skeleton, chosen: tuple[Cell, ...]) -> Cost:
    if isinstance(skeleton, CaptionSkeleton):
        return _counted_caption(skeleton, chosen)
    if isinstance(skeleton, SequenceSkeleton):
        return _counted_token(skeleton, chosen)
    if isinstance(skeleton, EncoderSkeleton):
        return counted_sentence(skeleton, chosen)
    with torch.device("meta"):
        network = Network(skeleton, chosen)
    return counted(network, skeleton.in_channels, skeleton.resolution, skeleton.resolution)


def _counted_token(skeleton: SequenceSkeleton, chosen: tuple[Cell, ...]) -> Cost:
    """What torch counts for one token of a text, and the weights."""
    network = build_network(skeleton, chosen)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(2, 1, dtype=torch.int64))  # the number of a segment, and a token
    params = sum(each.numel() for each in network.parameters())
    return Cost(counter.get_total_flops() // 2, params)


def _counted_caption(skeleton: CaptionSkeleton, chosen: tuple[Cell, ...]) -> Cost:
    """What torch counts for an image and one token of its caption, and the weights."""
    network = build_network(skeleton, chosen).eval()
    side = skeleton.resolution
    image = torch.zeros(1, skeleton.in_channels, side, side)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(packed(image, torch.zeros(1, 1, dtype=torch.int64)))
    params = sum(each.numel() for each in network.parameters())
    return Cost(counter.get_total_flops() // 2, params)


def counted_sentence(skeleton: EncoderSkeleton, chosen: tuple[Cell, ...]) -> Cost:
    """What torch counts for a sentence of full length, and the weights."""
    with torch.device("meta"):
        network = build_network(skeleton, chosen)
        sentence = torch.ones(1, skeleton.length, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(sentence)
    params = sum(each.numel() for each in network.parameters())
    return Cost(counter.get_total_flops() // 2, params)


@given(cells(most_nodes=5), shapes())
@settings(max_examples=60)
def test_a_cells_cost_is_what_torch_counts(cell: Cell, shape: LayerShape) -> None:
    assert cell_cost(cell, shape) == counted_cell(cell, shape)


@given(st.data())
@settings(max_examples=30)
def test_a_networks_cost_is_what_torch_counts(data: st.DataObject) -> None:
    skeleton = data.draw(skeletons())
    chosen = tuple(data.draw(cells(zero=shape.shortcut)) for shape in skeleton.shapes)
    assert network_cost(skeleton, chosen) == counted_network(skeleton, chosen)


def _sized(names: Iterable[str]) -> list[Any]:
    """The names, those of large networks for the slow tests: torch builds and counts each."""
    large = ("mobile", "mobilenetv2", "bats", "bats-c48", "darts", "darts-imagenet", "ofa-mbv3")
    found = [(name, name.partition("@")[2] in large) for name in names]
    return [
        *(name for name, slow in found if not slow),
        *slowly(*(name for name, slow in found if slow)),
    ]


@pytest.mark.parametrize("name", _sized(n for n in builtin_names() if load(n).kind == "mobile"))
def test_every_builtin_candidate_costs_what_torch_counts(name: str) -> None:
    distinct = {
        (layer.shape.in_channels, layer.shape.out_channels, layer.shape.stride): layer
        for layer in load(name).layers
    }
    for layer in distinct.values():
        torchs = [counted_cell(each.cell, layer.shape) for each in layer.candidates]
        assert list(layer.costs) == torchs


@pytest.mark.parametrize("name", _sized(builtin_names()))
def test_sampled_builtin_architectures_cost_what_torch_counts(name: str) -> None:
    space = load(name)
    sampled = space.sample(random.Random(name))
    madds, params, bops = space.cost(sampled.choices)
    # Torch counts products of signs as any others.
    assert Cost(madds + bops, params) == counted_network(space.skeleton, sampled.cells)
    assert (bops > 0) == (space.kind in ("binary", "bats"))


def test_the_reference_on_mobilenetv2_costs_what_was_published() -> None:
    space = load("reference@mobilenetv2")
    cost = space.cost(space.reference)
    assert cost == Cost(300_774_272, 3_504_872)
    assert (round(cost.madds, -6), round(cost.params, -5)) == (300_000_000 + 10**6, 3_500_000)


# One layer of 8 channels to 10 at 5x5 pixels; expansion 3 makes 24 inner channels. By hand:
# expansion 8*24*25 = 4800 MAdds, 8*24 + 2*24 = 240 params;
# projection 24*10*25 = 6000 MAdds at stride 1 (9 of 25 pixels at stride 2), 24*10 + 2*10 = 260.
AROUND = Cost(4800 + 6000, 240 + 260)
BY_HAND = {
    "skip_connect": Cost(0, 0),
    "dw_conv_1x1": Cost(24 * 25, 24 + 48),
    "dw_conv_3x3": Cost(24 * 9 * 25, 24 * 9 + 48),
    "dw_conv_5x5": Cost(24 * 25 * 25, 24 * 25 + 48),
    "dw_conv_7x7": Cost(24 * 49 * 25, 24 * 49 + 48),
    "dw_conv_3x3_d2": Cost(24 * 9 * 25, 24 * 9 + 48),
    "dw_conv_3x3_d3": Cost(24 * 9 * 25, 24 * 9 + 48),
    "avg_pool_3x3": Cost(0, 0),
    "max_pool_3x3": Cost(0, 0),
}


@pytest.mark.parametrize("operation", BY_HAND)
def test_an_operation_costs_what_hand_arithmetic_says(operation: str) -> None:
    cell = Cell.from_edges([(0, 3, operation)], expansion=3)
    shape = LayerShape("layer_00", 8, 10, 1, 5)
    assert cell_cost(cell, shape) == AROUND.plus(BY_HAND[operation])


@pytest.mark.parametrize(
    ("mix", "extra"),
    # Squeeze-and-excitation: hidden 8 // 4 = 2; 24*2 + 2*24 MAdds, the same and 2 + 24 biases.
    [("sum", Cost(0, 0)), ("gate", Cost(0, 0)), ("se", Cost(96, 96 + 26))],
)
def test_a_mix_costs_what_hand_arithmetic_says(mix: str, extra: Cost) -> None:
    cell = Cell.from_edges([(0, 1, "skip_connect")], nodes=2, mix=(mix,), expansion=3)
    shape = LayerShape("layer_00", 8, 10, 1, 5)
    assert cell_cost(cell, shape) == AROUND.plus(extra)


def test_stride_two_costs_what_hand_arithmetic_says() -> None:
    # 5x5 pixels become 3x3 on the edges into the last node; inner edges and the expansion stay.
    edges = [(0, 1, "dw_conv_3x3"), (1, 2, "dw_conv_5x5")]
    cell = Cell.from_edges(edges, nodes=3, expansion=3)
    madds = 8 * 24 * 25 + 24 * 9 * 25 + 24 * 25 * 9 + 24 * 10 * 9
    params = 240 + (24 * 9 + 48) + (24 * 25 + 48) + 260
    assert cell_cost(cell, LayerShape("layer_00", 8, 10, 2, 5)) == Cost(madds, params)


def test_without_expansion_there_is_no_expansion_convolution() -> None:
    cell = mbconv(3, 1)
    shape = LayerShape("layer_00", 8, 10, 1, 5)
    assert cell_cost(cell, shape) == Cost(8 * 9 * 25 + 8 * 10 * 25, 8 * 9 + 16 + 8 * 10 + 20)


def test_stem_and_head_cost_what_hand_arithmetic_says() -> None:
    # 7x7 grey images; the stem halves them to 4x4, its block is dw 3x3 + projection 3 -> 2.
    skeleton = Skeleton("tiny", 1, 7, 5, Stem(3, 2, 2), (LayerSpec(2),), head=6)
    stem = Cost(9 * 3 * 16, 9 * 3 + 6)
    block = Cost(3 * 9 * 16 + 3 * 2 * 16, 3 * 9 + 6 + 3 * 2 + 4)
    head = Cost(2 * 6 * 16 + 6 * 5, 2 * 6 + 12 + 6 * 5 + 5)
    skipped = Cell.from_edges([], expansion=1)
    assert network_cost(skeleton, [skipped]) == total([stem, block, head])


@given(spaces())
@settings(max_examples=25)
def test_range_and_size_are_those_of_all_architectures(space: Space) -> None:
    every = [
        Architecture(space.skeleton, chosen).cost
        for chosen in itertools.product(*(layer.candidates for layer in space.layers))
    ]
    assert space.size == len(every)
    for found, values in (
        (space.madds, [cost.madds for cost in every]),
        (space.params, [cost.params for cost in every]),
    ):
        mean = Fraction(sum(values), len(values))
        assert found == (min(values), float(mean), max(values))


@given(spaces())
@settings(max_examples=25)
def test_a_space_refuses_a_budget_that_its_most_expensive_network_exceeds(
    space: Space,
) -> None:
    most = max(
        Architecture(space.skeleton, chosen).cost.madds
        for chosen in itertools.product(*(layer.candidates for layer in space.layers))
    )
    just_enough = Budget(max_madds=most)
    Space(space.name, space.skeleton, space.operations, space.layers, budget=just_enough)
    too_small = Budget(max_madds=most - 1)
    with pytest.raises(SpaceError) as caught:
        Space(space.name, space.skeleton, space.operations, space.layers, budget=too_small)
    problem = f"{most - 1}, but the most expensive architecture of the space has {most}"
    assert str(caught.value) == f"budget.max_madds: {problem}"


def test_a_budget_of_params_is_a_promise_too() -> None:
    skeleton = load_skeleton("digits")
    layers = tuple(Layer(s, (Candidate("a", mbconv(3, 6)),)) for s in skeleton.shapes)
    with pytest.raises(SpaceError, match=r"^budget\.max_params: 28053, but .* has 28054$"):
        Space("x", skeleton, ("dw_conv_3x3",), layers, budget=Budget(max_params=28053))


@pytest.mark.parametrize(
    ("limits", "cost", "allowed"),
    [
        ((None, None), (10, 10), True),
        ((10, 10), (10, 10), True),
        ((9, None), (10, 1), False),
        ((None, 9), (1, 10), False),
    ],
)
def test_a_budget_allows_up_to_its_limits(
    limits: tuple[int | None, int | None], cost: tuple[int, int], allowed: bool
) -> None:
    assert Budget(*limits).allows(Cost(*cost)) is allowed
