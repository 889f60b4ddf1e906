"""ks, e and d of a sub-network as an architecture."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import Architecture, LayerSpec, Skeleton, SpaceError, Stem, load_skeleton
from tests.importers.network_files import block, counted, mbconv_layer, network_file

LAYERS, STAGES = 21, 6


def imported(settings: Any, target: Target | None = None) -> Architecture:
    value = import_text("once-for-all", json.dumps(settings), target or Target())
    assert isinstance(value, Architecture)
    return value


@given(
    st.lists(st.sampled_from((3, 5, 7)), min_size=LAYERS, max_size=LAYERS),
    st.lists(st.integers(1, 8), min_size=LAYERS, max_size=LAYERS),
    st.lists(st.integers(1, 5), min_size=STAGES, max_size=STAGES),
)
def test_every_stage_keeps_its_first_blocks(ks: list[int], e: list[int], d: list[int]) -> None:
    found = list(imported({"ks": ks, "e": e, "d": d}).choices.values())
    # Five stages of four blocks and one of one, as OFAProxylessNASNets has them.
    stages = [list(range(start, min(start + 4, LAYERS))) for start in range(0, LAYERS, 4)]
    for blocks, depth in zip(stages, d, strict=True):
        for place, index in enumerate(blocks):
            kept = f"mbconv_k{ks[index]}_e{e[index]}"
            assert found[index] == (kept if place < depth else "skip")


def test_a_sub_network_costs_what_torch_counts_without_the_skipped_blocks() -> None:
    widths = (24, 40, 80, 96, 192, 320)
    depths, strides = (2, 3, 4, 2, 3, 1), (2, 2, 2, 1, 2, 1)
    blocks, width = [block(mbconv_layer(32, 16, 3, 1, 1), 32)], 16
    for outer, depth, stride in zip(widths, depths, strides, strict=True):
        for index in range(depth):
            layer = mbconv_layer(width, outer, 5, stride if index == 0 else 1, 6)
            blocks.append(block(layer, width))
            width = outer
    file = network_file(blocks, stem=32, width=320)
    found = imported({"ks": 5, "e": 6, "d": list(depths), "wid": None, "r": [160]})
    assert found.skeleton.resolution == 160
    assert found.cost == counted(file, 160)


def test_one_number_stands_for_all() -> None:
    found = imported({"ks": 7, "e": 3, "d": 4})
    assert set(found.choices.values()) == {"mbconv_k7_e3"}
    assert found.skeleton == load_skeleton("mobile")


def test_the_resolution_that_the_user_gives_counts() -> None:
    settings = {"ks": 3, "e": 6, "d": 2, "image_size": 160}
    assert imported(settings, Target(resolution=96)).skeleton.resolution == 96
    assert imported(settings).skeleton.resolution == 160


def test_stages_are_those_of_the_skeleton() -> None:
    layers = (LayerSpec(8), LayerSpec(8), LayerSpec(16, 2), LayerSpec(16))
    skeleton = Skeleton("four", 3, 32, 10, Stem(8, 1), layers)
    found = imported({"ks": [3, 5, 7, 3], "e": 6, "d": [1, 2]}, Target(skeleton))
    assert list(found.choices.values()) == ["mbconv_k3_e6", "skip", "mbconv_k7_e6", "mbconv_k3_e6"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "an empty list; allowed: an object"),
        ({"ks": 3, "e": 6}, "d: missing key"),
        ({"ks": 3, "e": 6, "d": 2, "w": 1.2}, "w: unknown key; allowed: r, image_size, wid, ks"),
        ({"ks": 3, "e": 6, "d": 2, "wid": [0]}, "wid: a list; allowed: null"),
        ({"ks": 3, "e": [6] * 20 + [9], "d": 2}, "e[20]: 9; allowed: 1 to 8"),
        ({"ks": 4, "e": 6, "d": 2}, "ks[0]: 4; allowed: 3, 5, 7"),
        ({"ks": 3, "e": 6, "d": 0}, "d[0]: 0; allowed: 1 to 64"),
        ({"ks": 3, "e": 6, "d": "2"}, 'd[0]: "2"; allowed: 1 to 64'),
        ({"ks": 3, "e": 6, "d": 2, "r": 0}, "r: 0; allowed: 1 to 4096"),
        (
            {"ks": [3] * 20, "e": 6, "d": 2},
            "ks: 20 entries, but the skeleton mobile has 21 layers (20 and 5 belong to OFAMobile",
        ),
        ({"ks": [3] * 4, "e": 6, "d": 2}, "ks: 4 entries, but the skeleton mobile has 21 layers"),
    ],
)
def test_what_does_not_fit_is_named(settings: Any, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        imported(settings)
    assert str(caught.value).startswith(message)
