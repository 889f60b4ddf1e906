"""Binary cells with two inputs as values: published counts, cost, key, variation and documents."""

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from math import gcd
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.spaces import (
    FAMILIES,
    Cost,
    LayerShape,
    SpaceError,
    cell_cost,
    cell_key,
    from_json,
    json_schema,
    load,
    load_skeleton,
    to_json,
)
from autospace.spaces.cells.bats import (
    BATS_OPERATIONS,
    BATS_USUAL,
    BNAS_USUAL,
    GROUPED,
    SEPARABLE,
    BatsCell,
)
from autospace.spaces.cells.darts_cell import DartsCell
from autospace.spaces.cells.family import changes, notation
from autospace.spaces.difference import difference
from tests.spaces.bats.genotypes import NORMAL, REDUCE, TINY, bats, separable
from tests.spaces.darts.genotypes import Pairs

FAMILY = FAMILIES["bats"]
PRIOR = FAMILY.prior(BATS_USUAL)
SHAPE, HALF = TINY.cell_layers[:2]


@st.composite
def cells(draw: st.DrawFn, nodes: int = 4) -> BatsCell:
    """Whole cells of any operations."""
    pairs = [
        (draw(st.sampled_from(tuple(BATS_OPERATIONS))), draw(st.integers(0, node - 1)))
        for node in range(2, 2 + nodes)
        for _ in range(2)
    ]
    return BatsCell.of(pairs)


# Counts that others published.


def layers_by_hand(width: int) -> Iterator[tuple[int, int, int, int]]:
    """Of the 20 cells for CIFAR-10: width, stride, and channels of both inputs."""
    before = last = 3 * width
    for index in range(20):
        stride = 2 if index in (6, 13) else 1
        width *= stride
        yield width, stride, before, last
        before, last = last, 4 * width


def counted_by_hand(width: int, groups: int) -> tuple[int, int, int]:
    """Params without scales, scales, and binary operations of the published network.

    Written down from the authors' library, without any code of the program.
    """
    params, scales, bops = 27 * 3 * width + 2 * 3 * width, 0, 0
    side = 32
    for c, stride, before, last in layers_by_hand(width):
        for channels in (before, last):
            params += 2 * channels + channels * c + c
            scales += c
            bops += channels * c * side**2
        pairs: Pairs = NORMAL if stride == 1 else REDUCE
        out = side // stride
        for operation, _ in pairs:
            if "pool" not in operation:
                weights = int(operation[-1]) ** 2 * c * (c // groups)
                params += 2 * c + weights + c
                scales += c
                bops += weights * out**2
        side = out
    params += 4 * 4 * width * 10 + 10
    return params, scales, bops


@pytest.mark.parametrize(
    ("name", "width", "groups", "params"),
    [("bats", 60, 12, 9_593_950), ("bats-c48", 48, 6, 9_818_458)],
)
def test_bats_has_the_params_of_the_authors_network(
    name: str, width: int, groups: int, params: int
) -> None:
    # Counted in the network that the authors' library builds of the published cells. It has no
    # scales, which their trainer adds to every binary convolution.
    found, scales, bops = counted_by_hand(width, groups)
    assert found == params
    cost = bats(name).cost
    assert cost.params - scales == params
    # Stem and classifier are all that is real.
    assert cost == Cost(81 * width * 1024 + 160 * width, params + scales, bops)


def test_the_spaces_have_as_many_cells_as_that_of_darts() -> None:
    for family, usual in (("bats", BATS_USUAL), ("bnas", BNAS_USUAL)):
        for skeleton in ("bats", "bats-c48", "bats-small"):
            space = load(f"{family}@{skeleton}")
            assert space.size == 1_037_664_180**2
            assert space.operations == usual
            assert space.kind == "bats"
    assert len(BATS_USUAL) == len(BNAS_USUAL) == 7


def test_operations_cost_what_they_cost_by_hand() -> None:
    # 4 channels in 2 groups at 9x9; per channel: normalisation 2, scale 1, slope 1.
    def alone(name: str, shape: LayerShape = SHAPE, source: int = 0) -> Cost:
        pairs = [(name, source), ("none", 1), *[("none", 0)] * 6]
        return cell_cost(BatsCell.of(pairs), shape)

    assert alone("bin_conv_3x3") == Cost(0, 9 * 4 * 2 + 4 * 4, 9 * 4 * 2 * 81)
    assert alone("bin_conv_5x5_d2") == Cost(0, 25 * 4 * 2 + 4 * 4, 25 * 4 * 2 * 81)
    # A depthwise and a 1x1 convolution, each with scale and normalisation.
    assert alone("bin_sep_conv_3x3") == Cost(0, 36 + 16 + 6 * 4, (36 + 16) * 81)
    assert alone("bin_dil_conv_5x5") == Cost(0, 100 + 16 + 6 * 4, (100 + 16) * 81)
    assert alone("skip_connect") == alone("max_pool_3x3") == alone("none") == Cost()
    # At stride 2 to 5x5, 6 channels.
    # 3 channels read the 25 pixels at even places, 3 the 16 at odd ones.
    assert alone("skip_connect", HALF) == Cost(0, 36 + 4 * 6, 6 * (3 * 25 + 3 * 16))
    assert alone("bin_conv_3x3", HALF) == Cost(0, 9 * 6 * 3 + 4 * 6, 9 * 6 * 3 * 25)
    assert alone("avg_pool_3x3", HALF) == Cost()


@given(st.integers(1, 64), st.integers(1, 64))
def test_groups_divide_the_width(channels: int, groups: int) -> None:
    skeleton = replace(TINY, layers=tuple(replace(each, channels=channels) for each in TINY.layers))
    shape = replace(skeleton, binary_groups=groups).cell_layers[0]
    cell = BatsCell.of([("bin_conv_3x3", 0), ("none", 1), *[("none", 0)] * 6])
    used = gcd(groups, channels)
    weights = 9 * channels * channels // used
    assert cell_cost(cell, shape) == Cost(0, weights + 4 * channels, weights * 81)


# The rest is that of DARTS: these tests say that it has the operations of this family.


@given(cells(), st.sampled_from([SHAPE, HALF]))
def test_a_key_is_that_of_the_canonical_cell_and_no_other_family_has_it(
    cell: BatsCell, shape: LayerShape
) -> None:
    other = FAMILY.canonical(cell)
    assert type(other) is BatsCell
    assert cell_key(other, shape) == cell_key(cell, shape)
    assert cell_key(cell, shape) == "zero" or cell_key(cell, shape).startswith("bats ")


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_variation_stays_in_the_family_and_the_vocabulary(seed: int, other: int) -> None:
    first, second = (FAMILY.random_cell(PRIOR, random.Random(each)) for each in (seed, other))
    rng = random.Random(seed)
    for cell in (first, FAMILY.mutate(first, PRIOR, rng), FAMILY.crossover(first, second, rng)):
        assert type(cell) is BatsCell
        assert set(cell.operations) <= set(BATS_USUAL)


@given(cells())
def test_cells_are_written_and_read(cell: BatsCell) -> None:
    document: Any = type("Document", (), {})()
    encoded = FAMILY.encoded(cell)
    document.nodes, document.concat = encoded["nodes"], encoded["concat"]
    document.edges = cell.chosen
    assert FAMILY.decoded(document) == cell
    assert changes(cell, cell) == ""
    assert notation(cell).startswith("2: ")


@pytest.mark.parametrize("made", [bats("bats-small"), separable("bats-small")])
def test_files_follow_the_schema_and_read_back_equal(made: Any) -> None:
    text = to_json(made)
    schema = json_schema("autospace.architecture", kind="bats")
    jsonschema.validate(json.loads(text), schema)
    assert from_json(text) == made
    space = load("bats@bats-small")
    jsonschema.validate(json.loads(to_json(space)), json_schema(kind="bats"))
    assert from_json(to_json(space)) == space
    assert json.loads(text)["skeleton"]["binary_groups"] == 2


def test_real_and_binary_cells_do_not_mix() -> None:
    real = DartsCell.of([("sep_conv_3x3", 0), ("skip_connect", 1)] * 4)
    signs = BatsCell.of([("bin_conv_3x3", 0), ("skip_connect", 1)] * 4)
    plain = replace(TINY, binary_groups=0).cell_layers[0]
    with pytest.raises(SpaceError, match=r'^kind: "darts" at layer_00; allowed here: bats$'):
        FAMILIES["darts"].check(real, SHAPE)
    with pytest.raises(SpaceError, match=r'^kind: "bats" at layer_00; allowed here: darts$'):
        FAMILY.check(signs, plain)
    with pytest.raises(SpaceError, match='unknown operation "sep_conv_3x3"'):
        BatsCell.of([("sep_conv_3x3", 0), ("skip_connect", 1)] * 4)
    with pytest.raises(SpaceError, match='unknown operation "bin_conv_3x3"'):
        DartsCell.of([("bin_conv_3x3", 0), ("skip_connect", 1)] * 4)
    pools: Pairs = [("max_pool_3x3", 0), ("skip_connect", 1)] * 4
    assert BatsCell.of(pools) != DartsCell.of(pools)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("darts@bats", "darts@darts or darts@darts-imagenet or darts@darts-small"),
        ("bats@darts", "bats@bats or bats@bats-c48 or bats@bats-small"),
        ("bnas@darts-small", "bnas@bats or bnas@bats-c48 or bnas@bats-small"),
        ("binary@bats-small", "bats@bats or"),
        ("mbconv@bats", "bats@bats or"),
    ],
)
def test_a_skeleton_of_the_other_kind_is_refused_with_what_fits(name: str, allowed: str) -> None:
    with pytest.raises(SpaceError) as caught:
        load(name)
    assert str(caught.value).startswith(f"{name}: no cell of {name.partition('@')[0]} fits ")
    assert allowed in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"binary_groups": -1}, "binary_groups: -1; allowed: 0 to 64"),
        ({"binary_groups": 65}, "binary_groups: 65; allowed: 0 to 64"),
        ({"binary_groups": True}, "binary_groups: true; allowed: 0 to 64"),
    ],
)
def test_a_wrong_number_of_groups_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        replace(TINY, **changed)
    assert message in str(caught.value)
    with pytest.raises(SpaceError, match="binary_groups: 2"):
        replace(load_skeleton("digits"), binary_groups=2)


def test_two_spaces_of_other_groups_differ() -> None:
    first = load("bats@bats-small")
    skeleton = replace(first.skeleton, binary_groups=4)
    pairs = zip(skeleton.shapes, first.layers, strict=True)
    second = replace(
        first,
        skeleton=skeleton,
        layers=tuple(type(layer)(shape, layer.candidates) for shape, layer in pairs),
    )
    assert "binary_groups" in difference(first, second).skeleton


def test_the_names_of_darts_stand_for_one_operation_each() -> None:
    for table in (GROUPED, SEPARABLE):
        assert len(set(table.values())) == len(table)
        assert set(table.values()) <= set(BATS_OPERATIONS)
