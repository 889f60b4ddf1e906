"""Spaces as the matrices of AutoSpace's authors: what goes through comes back."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.exporters.autospace_iccv2021 import CODES, FLAGS, export_space
from autospace.importers.autospace_iccv2021 import EXPANSION_OF, MIX_OF, OPERATION_OF
from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import (
    OPERATIONS,
    Candidate,
    Cell,
    Layer,
    Skeleton,
    Space,
    SpaceError,
    canonical_key,
    load,
    mbconv,
)
from tests.importers.test_autospace_iccv2021 import PUBLISHED, flat_skeleton
from tests.strategies import cells, skeletons, spaces


def back(space: Space) -> Space:
    value = import_text("autospace-iccv2021", export_space(space), Target(space.skeleton))
    assert isinstance(value, Space)
    return value


def space_of(skeleton: Skeleton, lists: list[list[Cell]]) -> Space:
    layers = tuple(
        Layer(shape, tuple(Candidate(f"c{i}", cell) for i, cell in enumerate(found)))
        for shape, found in zip(skeleton.shapes, lists, strict=True)
    )
    return Space("x", skeleton, tuple(OPERATIONS), layers)


@st.composite
def expressible(draw: st.DrawFn) -> Space:
    """Spaces of four-node cells in the format's vocabulary; pairs of layers often alike."""
    skeleton = draw(skeletons())
    lists: list[list[Cell]] = []
    for index, shape in enumerate(skeleton.shapes):
        if index % 2 and draw(st.booleans()) and (shape.shortcut or not _any_zero(lists[-1])):
            lists.append(lists[-1])
            continue
        strategy = cells(
            nodes=4, operations=tuple(CODES), mixes=tuple(FLAGS), zero=shape.shortcut
        ).filter(lambda cell: cell.mix[0] == "sum")
        lists.append(draw(st.lists(strategy, min_size=1, max_size=3)))
    return space_of(skeleton, lists)


def _any_zero(found: list[Cell]) -> bool:
    return any(cell.is_zero for cell in found)


@given(expressible())
def test_cells_that_the_format_can_express_come_back_the_same(space: Space) -> None:
    found = back(space)
    for layer, same in zip(space.layers, found.layers, strict=True):
        assert [each.cell for each in same.candidates] == [each.cell for each in layer.candidates]


@given(spaces())
def test_any_space_comes_back_with_the_same_functions_or_is_refused(space: Space) -> None:
    try:
        found = back(space)
    except SpaceError as error:
        assert error.path.startswith("layer_")  # noqa: PT017
        return
    for layer, same in zip(space.layers, found.layers, strict=True):
        for one, other in zip(layer.candidates, same.candidates, strict=True):
            stride = layer.shape.stride
            assert canonical_key(one.cell, stride) == canonical_key(other.cell, stride)


def test_both_directions_know_the_same_codes() -> None:
    assert {code: name for name, code in CODES.items()} == OPERATION_OF
    assert {flag: mix for mix, flag in FLAGS.items()} == MIX_OF
    assert list(EXPANSION_OF.values()) == [1, 3, 6]


def test_an_mbconv_is_written_as_one_edge_with_its_expansion() -> None:
    space = space_of(flat_skeleton(1), [[mbconv(3, 3)]])
    expected = [[0, 0, 0, 1], [1, 0, 0, [0, 0]], [1, 1, 0, 0], [5, 1, 1, 0]]
    assert json.loads(export_space(space))["blocks"] == [[expected]]


def test_equal_pairs_of_layers_share_a_list() -> None:
    k3, d2 = mbconv(3, 6), Cell.from_edges([(0, 3, "dw_conv_3x3_d2")])
    shared = space_of(flat_skeleton(5), [[k3], [k3], [d2], [d2], [k3]])
    assert len(json.loads(export_space(shared))["blocks"]) == 3
    own = space_of(flat_skeleton(5), [[k3], [d2], [d2], [d2], [k3]])
    assert len(json.loads(export_space(own))["blocks"]) == 5


EDGES = [(0, 1, "dw_conv_3x3"), (1, 2, "skip_connect")]


@pytest.mark.parametrize(
    "cell",
    [
        mbconv(3, 6, nodes=2),
        mbconv(3, 6, nodes=7),
        Cell.from_edges(EDGES, nodes=3),
        # A gate at the one inner node, which becomes node 2 of the matrix.
        Cell.from_edges(EDGES, nodes=3, mix=("gate", "sum")),
        # What the format cannot say is dead.
        Cell.from_edges([(0, 3, "dw_conv_3x3"), (0, 1, "max_pool_3x3")], mix=("se", "sum", "sum")),
    ],
)
def test_a_cell_of_other_size_is_written_with_four_nodes(cell: Cell) -> None:
    (layer,) = back(space_of(flat_skeleton(1), [[cell]])).layers
    assert canonical_key(layer.candidates[0].cell) == canonical_key(cell)


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (mbconv(5, 6), "dw_conv_5x5 on edge 0>3 has no code; allowed: none, skip_connect, dw_co"),
        (mbconv(3, 6, se=True), "node 3 mixes by se; allowed: sum, gate"),
        (
            Cell.from_edges([(0, 1, "dw_conv_3x3"), (1, 2, "dw_conv_3x3"), (2, 3, "skip_connect")],
                            mix=("gate", "gate", "sum")),
            "node 1 mixes by gate; allowed: sum (only nodes 2 and 3 can be gated)",
        ),
        (
            Cell.from_edges([(i, i + 1, "dw_conv_3x3") for i in range(4)], nodes=5),
            "5 live nodes; allowed: up to 4",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_expressed_is_named(cell: Cell, why: str) -> None:
    space = space_of(flat_skeleton(1), [[mbconv(3, 6), cell]])
    with pytest.raises(SpaceError) as caught:
        export_space(space)
    assert str(caught.value).startswith(f"layer_00.c1: {why}")


def test_a_built_in_space_is_refused_at_its_first_5x5() -> None:
    with pytest.raises(SpaceError, match=r"^layer_00\.mbconv_k5_e3: dw_conv_5x5"):
        export_space(load("mbconv@cifar"))


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published file is not here")
def test_the_published_file_comes_back_number_by_number() -> None:
    text = PUBLISHED.read_text("utf-8")
    space = import_text("autospace-iccv2021", text, Target())
    assert isinstance(space, Space)
    assert json.loads(export_space(space)) == json.loads(text)


def test_an_expansion_without_a_code_is_named() -> None:
    space = load("mbconv@digits")
    layer = space.layers[0]
    wide = replace(layer, candidates=(Candidate("wide", mbconv(3, 4)),))
    changed = Space("w", space.skeleton, space.operations, (wide, *space.layers[1:]))
    with pytest.raises(SpaceError, match=r"^layer_00\.wide: expansion 4 has no code"):
        export_space(changed)
