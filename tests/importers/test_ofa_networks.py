"""Sub-networks of Once-for-All with stages: lists on a skeleton, and net.config."""

import contextlib
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import Architecture, SpaceError, load, load_skeleton
from autospace.spaces.cells.ofa import OfaCell
from tests.importers.network_files import block, mbconv_layer

MBV3 = load_skeleton("ofa-mbv3")
STAGES = ((24, 2, "relu", False), (40, 2, "relu", True), (80, 2, "h_swish", False),
          (112, 1, "h_swish", True), (160, 2, "h_swish", True))  # fmt: skip


def convolution(
    before: int, after: int, kernel: int, stride: int, act: str, norm: bool = True
) -> Any:
    return {"name": "ConvLayer", "kernel_size": kernel, "stride": stride, "dilation": 1,
            "groups": 1, "bias": False, "has_shuffle": False, "use_se": False,
            "in_channels": before, "out_channels": after, "use_bn": norm, "act_func": act,
            "dropout_rate": 0, "ops_order": "weight_bn_act"}  # fmt: skip


def ofa_layer(
    before: int, after: int, kernel: int, stride: int, ratio: int, act: str, se: bool
) -> Any:
    inner = None if ratio == 1 else before * ratio
    layer = {"name": "MBConvLayer", "in_channels": before, "out_channels": after,
             "kernel_size": kernel, "stride": stride, "expand_ratio": ratio,
             "mid_channels": inner, "act_func": act, "use_se": se, "groups": None}  # fmt: skip
    identity = {"name": "IdentityLayer", "in_channels": before, "out_channels": before,
                "use_bn": False, "act_func": None, "dropout_rate": 0,
                "ops_order": "weight_bn_act"}  # fmt: skip
    same = stride == 1 and before == after
    return {"name": "ResidualBlock", "conv": layer, "shortcut": identity if same else None}


def net_config(kernels: list[int], ratios: list[int], depths: list[int]) -> dict[str, Any]:
    blocks, width, layer = [ofa_layer(16, 16, 3, 1, 1, "relu", False)], 16, 0
    for (after, stride, act, se), depth in zip(STAGES, depths, strict=True):
        for place in range(4):
            if place < depth:
                step = stride if place == 0 else 1
                ratio = ratios[layer]
                blocks.append(ofa_layer(width, after, kernels[layer], step, ratio, act, se))
                width = after
            layer += 1
    return {
        "name": "MobileNetV3",
        "bn": {"momentum": 0.1, "eps": 1e-5, "ws_eps": None},
        "first_conv": convolution(3, 16, 3, 2, "h_swish"),
        "blocks": blocks,
        "final_expand_layer": convolution(160, 960, 1, 1, "h_swish"),
        "feature_mix_layer": convolution(960, 1280, 1, 1, "h_swish", norm=False),
        "classifier": {"name": "LinearLayer", "in_features": 1280, "out_features": 1000,
                       "bias": True, "use_bn": False, "act_func": None, "dropout_rate": 0,
                       "ops_order": "weight_bn_act"},
    }  # fmt: skip


def read(form: str, plain: Any, target: Target | None = None) -> Architecture:
    found = import_text(form, json.dumps(plain), target or Target())
    assert isinstance(found, Architecture)
    return found


DRAWN = st.tuples(
    st.lists(st.sampled_from((3, 5, 7)), min_size=20, max_size=20),
    st.lists(st.sampled_from((3, 4, 6)), min_size=20, max_size=20),
    st.lists(st.integers(2, 4), min_size=5, max_size=5),
)


@given(DRAWN)
@settings(max_examples=25)
def test_lists_and_net_config_of_a_sub_network_are_the_same_architecture(drawn: Any) -> None:
    kernels, ratios, depths = drawn
    lists = {"ks": kernels, "e": ratios, "d": depths}
    found = read("once-for-all", lists, Target(MBV3))
    other = read("proxylessnas", net_config(*drawn))
    assert found == other
    assert found.skeleton == MBV3
    space = load("ofa@ofa-mbv3")
    assert space.architecture(found.choices).cells == found.cells
    for layer, cell in enumerate(found.cells):
        stage, place = divmod(layer, 4)
        wanted = (kernels[layer], ratios[layer]) if place < depths[stage] else (0, 1)
        assert isinstance(cell, OfaCell)
        assert (cell.kernel, cell.expansion) == wanted


def test_the_package_s_own_count_of_a_sub_network() -> None:
    depths = [2, 3, 4, 2, 3]
    kernels = [3] * 4 + [5] * 4 + [3] * 8 + [5] * 4
    ratios = [4, 3, 3, 3] + [3] * 4 + [6, 3, 3, 3] + [6] * 8
    found = read("proxylessnas", net_config(kernels, ratios, depths))
    # Of `OFAMobileNetV3.get_active_subnet` in the package ofa 0.1.0.
    assert (found.cost.params, found.cost.madds) == (5_508_048, 221_624_608)


def test_another_network_has_a_skeleton_of_its_own() -> None:
    plain = net_config([3] * 20, [4] * 20, [1, 2, 3, 4, 2])
    found = read("proxylessnas", plain)
    assert [(stage.layers, stage.least) for stage in found.skeleton.stages] == [
        (n, n) for n in (1, 2, 3, 4, 2)
    ]
    assert (found.skeleton.head, found.skeleton.last) == (960, 1280)
    with pytest.raises(SpaceError, match="stage 0 differs from that of the skeleton ofa-mbv3"):
        read("proxylessnas", plain, Target(MBV3))


def test_a_proxyless_network_has_stages_only_where_the_skeleton_has() -> None:
    blocks, width = [block(mbconv_layer(32, 16, 3, 1, 1), 32)], 16
    for outer, stride, depth in ((24, 2, 2), (40, 2, 2), (80, 2, 4), (96, 1, 3), (192, 2, 2),
                                 (320, 1, 1)):  # fmt: skip
        for index in range(depth):
            layer = mbconv_layer(width, outer, 5, stride if index == 0 else 1, 6)
            blocks.append(block(layer, width))
            width = outer
    plain = {
        "name": "ProxylessNASNets",
        "bn": {"momentum": 0.1, "eps": 1e-5},
        "first_conv": convolution(3, 32, 3, 2, "relu6"),
        "blocks": blocks,
        "feature_mix_layer": convolution(320, 1280, 1, 1, "relu6"),
        "classifier": {"name": "LinearLayer", "in_features": 1280, "out_features": 1000,
                       "bias": True, "use_bn": False, "act_func": None},
    }  # fmt: skip
    plainly = read("proxylessnas", plain)
    staged = read("proxylessnas", plain, Target(load_skeleton("ofa-proxyless")))
    assert (plainly.kind, staged.kind) == ("mobile", "ofa")
    assert plainly.cost == staged.cost
    assert sum(cell.is_zero for cell in staged.cells) == 20 - 13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d": [1, 2, 2, 2, 2]}, "d[0]: 1; allowed: 2 to 4"),
        ({"d": 5}, "d[0]: 5; allowed: 2 to 4"),
        ({"ks": [3] * 21}, "ks: 21 entries, but the skeleton ofa-mbv3 has 20 layers"),
        ({"e": 9}, "e[0]: 9; allowed: 1 to 8"),
        ({"ks": 9}, "ks[0]: 9; allowed: 3, 5, 7"),
    ],
)
def test_lists_that_do_not_fit_are_one_line(changes: Any, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read("once-for-all", {"ks": 3, "e": 6, "d": 2} | changes, Target(MBV3))
    assert str(caught.value).startswith(message)


def test_a_stage_has_no_more_blocks_than_it_can_have() -> None:
    proxyless = Target(load_skeleton("ofa-proxyless"))
    sizes = [stage.layers for stage in load_skeleton("ofa-proxyless").stages]
    assert min(sizes) < 3
    for depth in (3, 4):
        for stated in (depth, [depth] * len(sizes)):
            found = read("once-for-all", {"ks": 7, "e": 6, "d": stated}, proxyless)
            kept = sum(not cell.is_zero for cell in found.cells)
            assert kept == sum(min(depth, size) for size in sizes)


def wrong(change: Any) -> dict[str, Any]:
    plain = net_config([3] * 20, [4] * 20, [2] * 5)
    change(plain)
    return plain


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["blocks"][1]["conv"].update(act_func="swish"), "blocks[1].conv.act_func: "),
        (lambda p: p["blocks"][1]["conv"].update(use_se="yes"), "blocks[1].conv.use_se: "),
        (lambda p: p["blocks"][2]["conv"].update(use_se=True), "layer 1: activation or squeeze"),
        (lambda p: p["blocks"][1]["conv"].update(mid_channels=40), "blocks[1].conv.mid_channels"),
        (lambda p: p["blocks"][2].update(shortcut=None), "blocks[2].shortcut: null, but"),
        (lambda p: p["blocks"][2]["conv"].update(in_channels=7), "blocks[2].conv.in_channels: 7"),
        (lambda p: p["blocks"][1].pop("conv"), "blocks[1].conv: missing key"),
        (lambda p: p["feature_mix_layer"].update(use_bn=True), "feature_mix_layer.use_bn: true"),
        (lambda p: p["final_expand_layer"].update(in_channels=9), "final_expand_layer.in_channels"),
        (lambda p: p["classifier"].update(in_features=960), "classifier.in_features: 960"),
        (lambda p: p.update(extra=1), "extra: unknown key"),
        (lambda p: p.update(blocks=[]), "blocks: 0 blocks"),
        (lambda p: p.update(first_conv=3), "first_conv: 3; allowed: an object"),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be_expressed_is_named(change: Any, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read("proxylessnas", wrong(change))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9999) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@given(st.integers(0, 10**6), JSON)
@settings(max_examples=60)
def test_whatever_stands_anywhere_is_read_or_is_one_line(place: int, value: Any) -> None:
    plain = net_config([3] * 20, [4] * 20, [2] * 5)
    rng = random.Random(place)
    holder: Any = plain
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = rng.choice(keys)
        if not isinstance(holder[key], dict | list) or not holder[key] or rng.random() < 0.2:
            holder[key] = value
            break
        holder = holder[key]
    # Anything but a value or this error fails the test.
    with contextlib.suppress(SpaceError):
        read("proxylessnas", plain)
