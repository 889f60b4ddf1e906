"""The matrices of AutoSpace's authors as a space: their file, hand-made ones, and wrong ones."""

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import (
    Cell,
    LayerSpec,
    Skeleton,
    Space,
    SpaceError,
    Stem,
    cell_cost,
    load_skeleton,
    mbconv,
)
from tests.spaces.test_cost import counted_network

# The authors' file has no licence, so it is not part of this repository; it may stand beside it.
BESIDE = Path(__file__).parents[3] / "shared" / "data" / "autospace_iccv2021_search_space.json"
PUBLISHED = Path(os.environ.get("AUTOSPACE_ICCV2021_SPACE", BESIDE))
Matrix = list[list[Any]]

K3: Matrix = [[0, 0, 0, 2], [5, 0, 0, [0, 0]], [1, 2, 0, 0], [1, 1, 2, 0]]
CHAIN: Matrix = [[0, 0, 0, 2], [5, 0, 0, [0, 0]], [1, 5, 0, 0], [1, 1, 2, 0]]
ALL: Matrix = [[0, 0, 0, 1], [3, 0, 0, [0, 1]], [7, 2, 0, 0], [9, 5, 1, 0]]


def imported(blocks: Any, skeleton: Skeleton | None = None, **more: Any) -> Space:
    text = json.dumps({"name": "x", "blocks": blocks, **more})
    value = import_text("autospace-iccv2021", text, Target(skeleton))
    assert isinstance(value, Space)
    return value


def flat_skeleton(layers: int) -> Skeleton:
    return Skeleton("flat", 3, 8, 10, Stem(4, 1), (LayerSpec(4),) * layers)


def test_a_matrix_is_read_as_the_design_says() -> None:
    (layer,) = imported([[ALL]], flat_skeleton(1)).layers
    assert layer.candidates[0].cell == Cell.from_edges(
        [
            (0, 1, "dw_conv_1x1"),
            (0, 2, "dw_conv_3x3_d2"),
            (1, 2, "skip_connect"),
            (0, 3, "dw_conv_3x3_d3"),
            (1, 3, "dw_conv_3x3"),
        ],
        mix=("sum", "sum", "gate"),
        expansion=3,
    )


def test_a_matrix_may_be_a_text() -> None:
    skeleton = flat_skeleton(1)
    assert imported([[str(ALL), K3]], skeleton) == imported([[ALL, K3]], skeleton)


@pytest.mark.parametrize("layers", [1, 2, 3, 6, 21])
def test_lists_are_spread_over_two_layers_each(layers: int) -> None:
    codes = (1, 2, 3, 5, 7, 9)
    lists = []
    for index in range((layers + 1) // 2):
        marked: Matrix = [
            [0, 0, 0, 0],
            [codes[index % 6], 0, 0, [0, 0]],
            [1, 1, 0, 0],
            [2, 1, 1, 0],
        ]
        marked[2][1] = codes[index // 6]
        lists.append([marked])
    space = imported(lists, flat_skeleton(layers))
    # Block 0 is the fixed one of the stem; layer l is block l + 1.
    expected = [lists[(block - 1) // 2] for block in range(1, layers + 1)]
    for layer, (wanted,) in zip(space.layers, expected, strict=True):
        same = imported([[wanted]], flat_skeleton(1)).layers[0]
        assert layer.candidates[0].cell == same.candidates[0].cell


def test_a_list_per_layer_fits_too() -> None:
    space = imported([[K3], [CHAIN], [ALL]], flat_skeleton(3))
    assert [layer.candidates[0].cell.expansion for layer in space.layers] == [6, 6, 3]


def test_the_common_end_of_all_lists_is_the_reference_cells() -> None:
    space = imported([[ALL, CHAIN, K3], [CHAIN, K3, CHAIN, K3]], flat_skeleton(4))
    kinds = [[each.origin.kind for each in layer.candidates] for layer in space.layers]
    assert kinds[0] == kinds[1] == ["imported", "reference", "reference"]
    assert kinds[2] == kinds[3] == ["imported", "imported", "reference", "reference"]
    assert space.reference == dict.fromkeys(["layer_00", "layer_01"], "cell_2") | dict.fromkeys(
        ["layer_02", "layer_03"], "cell_3"
    )
    for layer in space.layers:
        scored = [each.id for each in layer.candidates if each.fitness is not None]
        assert scored == [space.reference[layer.shape.name]]


def test_lists_that_are_all_alike_have_no_reference_cells() -> None:
    space = imported([[ALL, K3], [ALL, K3]], flat_skeleton(4))
    kinds = {each.origin.kind for layer in space.layers for each in layer.candidates}
    assert kinds == {"imported"}


def test_without_an_mbconv_k3_in_every_layer_there_is_no_reference() -> None:
    assert imported([[K3, ALL], [ALL]], flat_skeleton(4)).reference == {}


def with_entry(i: int, j: int, value: Any) -> list[Any]:
    matrix: list[Any] = [list(row) for row in ALL]
    matrix[i][j] = value
    return [[K3, matrix]]


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        (with_entry(1, 0, 4), "blocks[0][1][1][0]: 4; allowed: 1, 2, 3, 5, 7, 9"),
        (with_entry(3, 2, True), "blocks[0][1][3][2]: true; allowed: 1, 2, 3, 5, 7, 9"),
        (with_entry(3, 2, 5.0), "blocks[0][1][3][2]: 5.0; allowed: 1, 2, 3, 5, 7, 9"),
        (with_entry(0, 3, 3), "blocks[0][1][0][3]: 3; allowed: 0, 1, 2"),
        (with_entry(1, 3, [0, 2]), "blocks[0][1][1][3][1]: 2; allowed: 0, 1"),
        (with_entry(1, 3, [0]), "blocks[0][1][1][3]: a list of 1; allowed: a list of 2"),
        (with_entry(2, 3, 1), "blocks[0][1][2][3]: 1; allowed: 0"),
        (with_entry(1, 1, 5), "blocks[0][1][1][1]: 5; allowed: 0"),
        ([["[[0"]], "blocks[0][0]: not JSON: "),
        ([[ALL[:3]]], "blocks[0][0]: a list of 3; allowed: a list of 4"),
        ([[]], "blocks[0]: a list of 0; allowed: a list of 1 to 4096"),
        (7, "blocks: 7; allowed: a list of 1 to 128"),
        ([[K3]] * 3, "blocks: 3 lists, but the skeleton flat has 1 layers; allowed: 1"),
    ],
)
def test_an_error_names_the_entry_and_what_is_allowed(blocks: Any, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        imported(blocks, flat_skeleton(1))
    assert str(caught.value).startswith(message)


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"^alpha: unknown key; allowed: name, blocks$"):
        imported([[K3]], flat_skeleton(1), alpha=1)


def test_a_cell_without_a_path_is_refused_where_the_layer_needs_one() -> None:
    none = [[0, 0, 0, 0], [1, 0, 0, [0, 0]], [1, 1, 0, 0], [1, 1, 1, 0]]
    down = Skeleton("down", 3, 8, 10, Stem(4, 1), (LayerSpec(4), LayerSpec(8, 2)))
    with pytest.raises(SpaceError, match=r"^blocks\[0\]\.candidates\[0\]\.edges: no path"):
        imported([[none]], down)
    assert imported([[none]], flat_skeleton(2)).layers[0].candidates[0].cell.is_zero


@pytest.fixture(scope="module")
def published() -> Space:
    if not PUBLISHED.is_file():
        pytest.skip("the published file is not here")
    value = import_text("autospace-iccv2021", PUBLISHED.read_text("utf-8"), Target())
    assert isinstance(value, Space)
    return value


def test_the_published_space_has_99_cells_65_of_them_distinct(published: Space) -> None:
    assert (published.provenance["cells"], published.provenance["distinct_cells"]) == (99, 65)
    assert [len(layer.candidates) for layer in published.layers] == [9] * 21
    per_list = [[each.cell for each in layer.candidates] for layer in published.layers[::2]]
    cells = Counter(cell for cells in per_list for cell in cells)
    assert (cells.total(), len(cells)) == (99, 65)


def test_the_published_space_ends_every_layer_with_three_reference_cells(published: Space) -> None:
    for layer in published.layers:
        kinds = [each.origin.kind for each in layer.candidates]
        assert kinds == ["imported"] * 6 + ["reference"] * 3
    assert set(published.reference.values()) == {"cell_8"}
    # At stride 1 the reference is MBConv k3 of expansion 6, also by its cost.
    layer = published.layers[1]
    assert cell_cost(layer.candidates[8].cell, layer.shape) == cell_cost(mbconv(3, 6), layer.shape)


def test_architectures_of_the_published_space_cost_what_torch_counts(published: Space) -> None:
    assert published.skeleton == load_skeleton("mobile")
    drawn = published.sample(random.Random(0))
    assert drawn.cost == counted_network(published.skeleton, drawn.cells)
