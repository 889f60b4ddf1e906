"""Skeletons whose layers share a cell, and spaces whose choices are edges."""

import random
from collections import Counter
from dataclasses import replace

import pytest

from autospace.spaces import (
    Architecture,
    Candidate,
    Cost,
    Layer,
    LayerSpec,
    Skeleton,
    Space,
    SpaceError,
    Stem,
    cell_cost,
    from_json,
    load,
    load_skeleton,
    to_json,
)
from autospace.spaces.choices import Choices, limits_of
from autospace.spaces.cost import Budget, fixed_cost
from autospace.spaces.sampling import sample_within
from autospace.spaces.space import network_cost
from tests.spaces.dense.nasbench201 import (
    OPERATIONS,
    SOME,
    SPACE,
    Published,
    architecture_of,
    flops_of,
    operations_of,
    published,
    whole,
)

SMALL = Skeleton(
    "small",
    3,
    8,
    10,
    Stem(4, 1),
    (LayerSpec(4), LayerSpec(4), LayerSpec(8, 2, fixed=True), LayerSpec(8)),
    preactivation=True,
    ties=(0, 0, 1),
)
"""Two groups of layers: the first two, and the last alone."""


@pytest.mark.parametrize("given", SOME)
def test_params_and_flops_are_those_that_were_published(given: Published) -> None:
    found = architecture_of(given.string)
    assert (found.cost.params, flops_of(found)) == (given.params, given.flops)


def test_params_and_flops_of_all_published_networks_are_equal() -> None:
    rows = published()
    if not rows:
        pytest.skip("the published table is not here")
    costs = [dict(zip([each.id for each in layer.candidates], layer.costs, strict=True))
             for layer in SPACE.layers]  # fmt: skip
    fixed = fixed_cost(SPACE.skeleton)
    for row in rows:
        names = operations_of(row.string)
        cost = fixed
        for layer, name in zip(costs, names, strict=True):
            cost = cost.plus(layer[name])
        convolutions = sum(name.startswith("nor_conv") for name in names)
        extra = 143_360 * (3 * convolutions + 9 * names.count("avg_pool_3x3")) + 160_832
        assert (cost.params, cost.madds + extra) == (row.params, row.flops), row.string
    assert len(rows) == 9445


def test_the_space_has_the_size_and_the_extremes_of_the_benchmark() -> None:
    assert SPACE.size == 15_625
    assert (SPACE.params.min, SPACE.params.max) == (73_306, 1_531_546)
    assert (SPACE.madds.min, SPACE.madds.max) == (7_783_040, 220_119_680)
    assert [layer.shape.name for layer in SPACE.layers] == [
        f"edge_{source}_{target}" for target in (1, 2, 3) for source in range(target)
    ]
    assert all(tuple(layer.by_id) == OPERATIONS for layer in SPACE.layers)


def test_all_layers_have_the_cell_whose_edges_were_chosen() -> None:
    architecture = SPACE.sample(random.Random(3))
    assert len(architecture.candidates) == 6
    assert len(architecture.cells) == 15
    assert len(set(architecture.cells)) == len(architecture.keys) == 1
    assert architecture.cells[0].operations == tuple(architecture.choices.values())
    assert from_json(to_json(architecture)) == architecture


def test_a_cost_is_the_sum_over_edges_and_the_sum_over_layers() -> None:
    architecture = SPACE.sample(random.Random(5))
    by_layer = network_cost(SPACE.skeleton, architecture.cells)
    by_edge = fixed_cost(SPACE.skeleton)
    for layer, candidate in zip(SPACE.layers, architecture.candidates, strict=True):
        by_edge = by_edge.plus(cell_cost(candidate.cell, layer.shape))
    assert by_layer == by_edge == architecture.cost


def test_sampling_is_uniform_over_the_strings() -> None:
    rng = random.Random(0)
    counts = Counter(SPACE.sample(rng).cells[0].operations[:2] for _ in range(5000))
    assert len(counts) == 25
    # 200 expected of each pair; chi-square of 24 degrees, 1 in 10,000 above 61.
    assert sum((count - 200) ** 2 / 200 for count in counts.values()) < 61


def test_sampling_within_a_budget_keeps_it_and_finds_all_that_fit() -> None:
    budget = Budget(max_params=80_000)
    fitting = sample_within(SPACE, budget, 10**6, random.Random(0))
    # Without convolutions 3^6 strings; one 1x1 convolution costs 5 * (16^2+32^2+64^2 + 2*112).
    assert len(fitting) == 3**6
    assert 73_306 + 5 * (16**2 + 32**2 + 64**2 + 2 * 112) > 80_000
    assert {each.cost.params for each in fitting} == {73_306}


def test_choices_mutate_edge_by_edge() -> None:
    choices = Choices(SPACE, limits_of(SPACE, Budget(max_params=400_000)))
    rng = random.Random(0)
    path = choices.draw(rng)
    for _ in range(200):
        child = choices.mutated(path, rng, 0.0)
        assert sum(a != b for a, b in zip(child, path, strict=True)) == 1
        assert choices.cost(child).params <= 400_000
        path = child


def test_groups_of_layers_have_cells_of_their_own() -> None:
    assert [shape.name for shape in SMALL.shapes] == ["layer_00", "layer_02"]
    assert [len(shape.layers) for shape in SMALL.shapes] == [2, 1]
    first, second = whole("nor_conv_3x3"), whole("skip_connect")
    architecture = Architecture(SMALL, (Candidate("a", first), Candidate("b", second)))
    assert architecture.cells == (first, first, second)
    # Stem 3*4*9 + 8; two layers 9*16 + 8; block 9*4*8 + 16 + 9*64 + 16 + 32; norm 16; 8*10 + 10.
    assert architecture.cost.params == 116 + 2 * 152 + 928 + 16 + 90
    assert from_json(to_json(architecture)) == architecture


def test_edges_of_several_groups_are_named_by_their_first_layer() -> None:
    both = replace(SMALL, nodes=3)
    assert [shape.name for shape in both.shapes] == [
        f"layer_{layer}_edge_{edge}" for layer in ("00", "02") for edge in ("0_1", "0_2", "1_2")
    ]


def test_ties_that_tie_nothing_are_no_ties() -> None:
    assert replace(SMALL, ties=(0, 1, 2)) == replace(SMALL, ties=())


def test_a_space_of_whole_cells_may_share_layers() -> None:
    cells = [whole(name) for name in OPERATIONS]
    offered = tuple(Candidate(f"c{i}", cell) for i, cell in enumerate(cells))
    layers = tuple(Layer(shape, offered) for shape in SMALL.shapes)
    space = Space("tied", SMALL, OPERATIONS, layers)
    assert from_json(to_json(space)) == space
    assert space.size == 25
    three = space.layers[0].costs[3]
    assert three == Cost(2 * 9 * 16 * 64, 2 * (9 * 16 + 8))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ties": (0, 0)}, "^ties: 2 entries; allowed: 3, one per layer of cells$"),
        ({"ties": (1, 0, 0)}, r"^ties\[0\]: 1; allowed: 0 to 0$"),
        ({"ties": (0, 2, 1)}, r"^ties\[1\]: 2; allowed: 0 to 1$"),
        ({"ties": (0, 0, True)}, r"^ties\[2\]: true; allowed: 0 to 1$"),
        ({"nodes": 1}, "^nodes: 1; allowed: 2 to 8$"),
        ({"nodes": True}, "^nodes: true; allowed: 2 to 8$"),
        ({"head": 8}, "^head: 8; allowed: 0 with preactivation$"),
        ({"stem": Stem(4, 1, 4)}, "^stem.block: 4; allowed: none with preactivation$"),
        ({"preactivation": False}, r"^layers\[2\]\.fixed: true; allowed: with preactivation only$"),
        (
            {"layers": (LayerSpec(4, 1, fixed=True), LayerSpec(4)), "ties": ()},
            r"^layers\[0\]\.fixed: true; allowed: inner layers only$",
        ),
        (
            {"layers": (LayerSpec(4), LayerSpec(4, 2)), "ties": (0, 0)},
            r"^ties\[1\]: 0: layer_01 and layer_00 differ in stride or shortcut; allowed: layers",
        ),
        ({"layers": (LayerSpec(4),) * 60, "ties": (), "nodes": 3}, "^nodes: 3: 180 edges of all"),
    ],
)
def test_a_skeleton_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        replace(SMALL, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mbconv@nasbench201", "no cell of mbconv fits edge_0_1 of the skeleton nasbench201"),
        ("nasbench201@cifar", "no cell of nasbench201 fits layer_00 of the skeleton cifar"),
        ("nasbench201@mobile", "allowed: nasbench201@nasbench201$"),
    ],
)
def test_families_and_skeletons_that_do_not_fit_are_refused(name: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        load(name)


def test_a_mobile_space_has_no_shared_layers_in_its_file() -> None:
    text = to_json(load("mbconv@digits"))
    with pytest.raises(SpaceError, match=r"^skeleton\.ties: unknown key"):
        from_json(text.replace('"head": ', '"ties": [0], "head": ', 1))
    with pytest.raises(SpaceError, match=r"^layers\[\d\]\.candidates\[0\]: .*kind|kind"):
        Space(
            "mixed",
            load_skeleton("nasbench201"),
            ("skip_connect",),
            tuple(
                Layer(shape, load("mbconv@digits").layers[0].candidates)
                for shape in load_skeleton("nasbench201").shapes
            ),
        )
