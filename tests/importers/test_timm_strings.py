"""Strings of timm: published networks at their published size, and what is refused and why."""

import json
import random

import pytest

from autospace.exporters.targets import TARGETS
from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import Architecture, SpaceError, load, load_skeleton
from autospace.spaces.cells.operations import Cost

MOBILENET_V2 = """
arch_def = [
    # stage 0, 112x112 in
    ['ds_r1_k3_s1_c16'],
    ['ir_r2_k3_s2_e6_c24'],
    ['ir_r3_k3_s2_e6_c32'],
    ['ir_r4_k3_s2_e6_c64'],
    ['ir_r3_k3_s1_e6_c96'],
    ['ir_r3_k3_s2_e6_c160'],
    ['ir_r1_k3_s1_e6_c320'],
]
"""
EFFICIENTNET_B0 = """\
ds_r1_k3_s1_e1_c16_se0.25
ir_r2_k3_s2_e6_c24_se0.25
ir_r2_k5_s2_e6_c40_se0.25
ir_r3_k3_s2_e6_c80_se0.25
ir_r3_k5_s1_e6_c112_se0.25
ir_r4_k5_s2_e6_c192_se0.25
ir_r1_k3_s1_e6_c320_se0.25
"""


def read(text: str, target: Target | None = None) -> Architecture:
    found = import_text("timm-arch", text, target or Target(note=lambda _: None))
    assert isinstance(found, Architecture)
    return found


def written(architecture: Architecture) -> str:
    made = TARGETS["timm-arch"].architecture
    assert made is not None
    return made(architecture)


@pytest.mark.parametrize(
    ("text", "cost"),
    # What timm and torchvision publish of their models.
    [
        (MOBILENET_V2, Cost(300_774_272, 3_504_872)),
        (EFFICIENTNET_B0, Cost(385_814_752, 5_288_548)),
    ],
    ids=["MobileNetV2", "EfficientNet-B0"],
)
def test_published_networks_have_their_published_size(text: str, cost: Cost) -> None:
    found = read(text)
    assert found.cost == cost
    assert read(written(found)) == found


def test_lists_lines_and_json_are_the_same() -> None:
    lines = [line.strip("[], '") for line in MOBILENET_V2.splitlines() if "_" in line]
    strings = [line for line in lines if line[:2] in ("ds", "ir")]
    assert len(strings) == 7
    texts = ["\n".join(strings), json.dumps([[each] for each in strings]), json.dumps(strings)]
    assert {text: read(text) for text in texts} == dict.fromkeys(texts, read(MOBILENET_V2))


def test_a_skeleton_gives_stem_and_head_and_has_to_agree() -> None:
    skeleton = load_skeleton("mobilenetv2")
    found = read(MOBILENET_V2, Target(skeleton=skeleton, note=lambda _: None))
    assert found.skeleton == skeleton
    with pytest.raises(SpaceError, match="stem: differs from the skeleton mobilenetv2"):
        read(EFFICIENTNET_B0.replace("c40", "c48"), Target(skeleton=skeleton, note=lambda _: None))


def test_what_the_strings_do_not_say_is_noted() -> None:
    notes: list[str] = []
    read("ds_r1_k3_s1_c16 ir_r1_k3_s2_e6_c20", Target(note=notes.append))
    assert [note.partition(" ")[0] for note in notes] == ["the", "channels", "activations"]
    assert "channels 20 as stated; timm rounds them to multiples of 8" in notes


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("er_r1_k3_s1_e4_c24", 'kind "er"; allowed: ds and ir'),
        ("ir_r1_k3_s1_e1_c16", "an ir of expansion 1 has a 1x1 convolution"),
        ("ir_r1_k3_s1_e2.5_c16", "e2.5; allowed: e2 to e8"),
        ("ir_r1_k3_s1_e9_c16", "e9; allowed: e2 to e8"),
        ("ds_r1_k3_s1_e6_c16", "an expansion of ds, which timm ignores; allowed: e1"),
        ("ds_r1_k4_s1_c16", "k4; allowed: k3, k5, k7"),
        ("ds_r1_k3.5_s1_c16", "k3.5; allowed: k3, k5, k7"),
        ("ds_r1_k3_s3_c16", "s3; allowed: s1 to s2"),
        ("ds_r0_k3_s1_c16", "r0; allowed: r1 to r128"),
        ("ds_r1_k3_s1", "c; allowed: c1 to c8192"),
        ("ds_r1_k3_s1_c16_se0.5", "se0.5 of 32 channels; allowed: se0.25 of a multiple of 4"),
        ("ds_r1_k3_s1_c16_k5", '"k5"; allowed: each option once'),
        ("ds_r1_k3_s1_c16_z2", 'unknown option "z"'),
        ("ds_r1_k3_s1_c16_d2", "option d; allowed: d1"),
        ("ds_r1_k3_s1_c32_noskip", "null, but a layer has one exactly if its stride is 1"),
        ("[['ds_k3_c16', 'ir_k3_s2_e6_c24']]", "a stride within a stage, which timm ignores"),
        ("ds_k3_c20 ir_k3_e3_c24", "timm rounds the inner width of 60; allowed: multiples of 8"),
        ("[['ds_k3_c16']", "brackets do not match"),
        ("[[['ds_k3_c16']]]", "brackets do not match"),
        ("", "no architecture strings"),
        ("# nothing", "no architecture strings"),
        ("{}", "allowed: strings in lists"),
        ("ds_r128_k3_c32 ds_r128_k3_c32", "more than 129 blocks"),
    ],
)
def test_what_our_cells_cannot_express_is_refused(text: str, problem: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize("name", ["mbconv@mobile", "mnasnet@mobilenetv2", "mbconv@mobilenetv2"])
def test_what_is_written_is_read(name: str) -> None:
    space = load(name)
    for seed in range(20):
        drawn = space.sample(random.Random(seed))
        again = read(written(drawn), Target(skeleton=None, note=lambda _: None))
        # Skipped layers are left out.
        kept = [cell for cell in drawn.cells if not cell.is_zero]
        assert len(again.cells) == len(kept)
        assert again.cost == drawn.cost


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("reference@digits", "channels, which timm rounds; allowed: multiples of 8"),
        ("nasbench-macro@mobile", "is not an MBConv; allowed: an MBConv of kernel 3, 5 or 7"),
    ],
)
def test_what_the_strings_cannot_say_is_refused(name: str, problem: str) -> None:
    value = load(name)
    with pytest.raises(SpaceError, match=problem):
        written(value.sample(random.Random(1)))
