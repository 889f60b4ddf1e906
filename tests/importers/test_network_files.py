"""ProxylessNAS's `net.config` and the networks of AutoSpace's authors as architectures."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.exporters.proxylessnas import export_architecture
from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import (
    Architecture,
    Candidate,
    Cell,
    Skeleton,
    SpaceError,
    load_skeleton,
    mbconv,
)
from autospace.spaces.cells.key import canonical_key
from tests.importers.network_files import (
    File,
    block,
    conv_layer,
    counted,
    mbconv_layer,
    motif_layer,
    network_file,
    zero_layer,
)
from tests.strategies import skeletons


def imported(file: File, target: Target | None = None, name: str = "proxylessnas") -> Architecture:
    value = import_text(name, json.dumps(file), target or Target())
    assert isinstance(value, Architecture)
    return value


@st.composite
def files(draw: st.DrawFn) -> File:
    """Networks with and without fixed first block, head and skipped layers."""
    stem, blocks = draw(st.integers(1, 6)), []
    width = stem
    if draw(st.booleans()):
        width = draw(st.integers(1, 6))
        blocks.append(block(mbconv_layer(stem, width, 3, 1, 1), stem, first=True))
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.integers(0, 3)) == 0:
            blocks.append(block(zero_layer(), width))
            continue
        outer = draw(st.sampled_from([width, draw(st.integers(1, 6))]))
        kernel, expansion = draw(st.sampled_from((3, 5, 7))), draw(st.integers(1, 8))
        layer = mbconv_layer(width, outer, kernel, draw(st.integers(1, 2)), expansion)
        blocks.append(block(layer, width))
        width = outer
    head = draw(st.sampled_from([0, 7]))
    stride = draw(st.integers(1, 2))
    return network_file(blocks, stem=stem, width=width, head=head, classes=5, stem_stride=stride)


@given(files(), st.integers(5, 40))
@settings(max_examples=25)
def test_an_imported_network_costs_what_torch_counts_in_the_file(
    file: File, resolution: int
) -> None:
    found = imported(file, Target(resolution=resolution))
    assert found.cost == counted(file, resolution)
    assert found.skeleton.resolution == resolution


@st.composite
def mbconv_architectures(draw: st.DrawFn) -> Architecture:
    """MBConvs and, where there is a shortcut, skipped layers, on any skeleton."""
    skeleton = draw(skeletons())
    cells = st.builds(mbconv, st.sampled_from((3, 5, 7)), st.integers(1, 8))
    drawn = [
        draw(cells | st.just(Cell.from_edges([], expansion=1)) if shape.shortcut else cells)
        for shape in skeleton.shapes
    ]
    candidates = (Candidate(f"c{index}", cell) for index, cell in enumerate(drawn))
    return Architecture(skeleton, tuple(candidates))


@given(mbconv_architectures())
def test_what_is_exported_comes_back(architecture: Architecture) -> None:
    text = export_architecture(architecture)
    found = import_text("proxylessnas", text, Target(architecture.skeleton))
    assert isinstance(found, Architecture)
    assert found.skeleton == architecture.skeleton
    assert found.cells == architecture.cells
    # Without its skeleton, a first MBConv k3 of expansion 1 may be taken for the stem's.
    alone = import_text("proxylessnas", text, Target())
    assert isinstance(alone, Architecture)
    assert alone.cost == architecture.cost


def mobile_blocks() -> list[File]:
    """MBConv k5 of expansion 3 in every layer of the skeleton `mobile`."""
    skeleton = load_skeleton("mobile")
    blocks = [block(mbconv_layer(32, 16, 3, 1, 1), 32)]
    for shape in skeleton.shapes:
        layer = mbconv_layer(shape.in_channels, shape.out_channels, 5, shape.stride, 3)
        blocks.append(block(layer, shape.in_channels))
    return blocks


def test_the_skeleton_of_the_paper_is_recognised() -> None:
    found = imported(network_file(mobile_blocks(), stem=32, width=320))
    assert found.skeleton == load_skeleton("mobile")
    assert set(found.choices.values()) == {"mbconv_k5_e3"}
    other = imported(network_file(mobile_blocks(), stem=32, width=320, classes=10))
    assert (other.skeleton.name, other.skeleton.classes) == ("mobile", 10)


def test_another_skeleton_is_read_from_the_file() -> None:
    blocks = [block(zero_layer(), 8), block(mbconv_layer(8, 12, 7, 2, 6), 8)]
    found = imported(network_file(blocks, stem=8, width=12, head=0))
    assert (found.skeleton.name, found.skeleton.stem.block, found.skeleton.head) == (
        "imported",
        None,
        0,
    )
    assert [(each.channels, each.stride) for each in found.skeleton.layers] == [(8, 1), (12, 2)]
    assert list(found.choices.values()) == ["skip", "mbconv_k7_e6"]


def test_a_given_skeleton_has_to_be_that_of_the_file() -> None:
    file = network_file(mobile_blocks(), stem=32, width=320)
    small = Skeleton(
        "small", 3, 32, 10, load_skeleton("mobile").stem, load_skeleton("mobile").layers
    )
    with pytest.raises(SpaceError, match=r"^head: differs from the skeleton small"):
        imported(file, Target(small))
    assert imported(file, Target(load_skeleton("mobile"))).skeleton == load_skeleton("mobile")


# The published network of 340M MAdds and 4.3M params, as the cells that the matrices stand for:
# per layer nothing, an MBConv k3 of some expansion, or expansion, gates and operations by edge.
PUBLISHED: list[Any] = [
    ("k3", 6), ("mb", 6), None, None,
    (3, [1, 0], {"01": 7, "02": 5, "12": 2, "13": 5, "23": 5}),
    (6, [1, 0], {"01": 2, "02": 5, "12": 2, "13": 2, "23": 2}),
    ("mb", 3), None,
    (6, [0, 0], {"01": 5, "02": 5, "12": 2, "13": 5, "23": 5}),
    (3, [0, 0], {"01": 2, "02": 5, "12": 5, "13": 2, "23": 5}),
    ("k3", 6), None,
    (6, [0, 0], {"01": 7, "02": 5, "12": 2, "13": 2, "23": 5}),
    ("k3", 6), None, None,
    (6, [0, 0], {"01": 7, "02": 5, "12": 2, "13": 5, "23": 2}),
    *[(6, [0, 0], {"01": 9, "12": 2, "23": 2})] * 4,
]  # fmt: skip


def matrix(expansion: int, gates: list[int], edges: dict[str, int]) -> list[list[Any]]:
    rows: list[list[Any]] = [[0] * 4 for _ in range(4)]
    for target in range(1, 4):
        for source in range(target):
            rows[target][source] = edges.get(f"{source}{target}", 1)
    rows[0][3] = (1, 3, 6).index(expansion)
    rows[1][3] = gates
    return rows


def published_file() -> File:
    blocks = [block(mbconv_layer(32, 16, 3, 1, 1), 32)]
    for shape, what in zip(load_skeleton("mobile").shapes, PUBLISHED, strict=True):
        sides = (shape.in_channels, shape.out_channels)
        if what is None:
            layer = zero_layer()
        elif what[0] == "mb":
            layer = mbconv_layer(*sides, 3, shape.stride, what[1])
        else:
            chain = {"01": 5, "12": 2, "23": 2}
            written = (what[1], [0, 0], chain) if what[0] == "k3" else what
            layer = motif_layer(*sides, shape.stride, matrix(*written))
        blocks.append(block(layer, shape.in_channels))
    return network_file(blocks, stem=32, width=320)


def test_the_published_network_costs_what_was_published() -> None:
    found = imported(published_file(), name="autospace-iccv2021")
    assert found.skeleton == load_skeleton("mobile")
    assert round(found.cost.madds, -6) == 340_000_000
    assert round(found.cost.params, -5) == 4_300_000


def test_a_motif_that_is_an_mbconv_gets_its_name() -> None:
    found = imported(published_file(), name="autospace-iccv2021")
    # At stride 1; at stride 2 the identity into the output pools.
    assert canonical_key(found.cells[10]) == canonical_key(mbconv(3, 6))
    assert list(found.choices.values())[10] == "mbconv_k3_e6"


def changed(path: str, value: Any) -> File:
    """A network with a motif, one value of it changed; a value of ... removes the key."""
    motif = motif_layer(8, 8, 1, matrix(6, [0, 1], {"01": 5, "13": 2}))
    blocks = [block(mbconv_layer(4, 8, 3, 2, 6), 4), block(motif, 8), block(zero_layer(), 8)]
    file = network_file(blocks, stem=4, width=8, head=16)
    place: Any = file
    *inner, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in inner:
        place = place[part]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return file


MB, MOTIF = "blocks.0.mobile_inverted_conv", "blocks.1.mobile_inverted_conv"
RULE = "a layer has one exactly if its stride is 1 and its channels stay the same"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("blocks", [], "blocks: 0 blocks; allowed: a list of 1 to 129"),
        ("blocks", {}, "blocks: an empty object; allowed: a list"),
        ("classifier", ..., "classifier: missing key"),
        ("resolution", 0, "resolution: 0; allowed: 1 to 4096"),
        ("surprise", 1, "surprise: unknown key; allowed: name, bn, first_conv, blocks"),
        ("bn", "none", 'bn: "none"; allowed: an object'),
        ("bn.eps", 0, "bn.eps: 0; allowed: a number above 0 and below 1"),
        ("bn.eps", "1e-5", 'bn.eps: "1e-5"; allowed: a number above 0 and below 1'),
        ("bn.ws_eps", 1e-5, "bn.ws_eps: 1e-05; allowed: null"),
        ("bn.gn_channel_per_group", 8, "bn.gn_channel_per_group: 8; allowed: null"),
        ("bn.affine", False, "bn.affine: unknown key"),
        ("first_conv.kernel_size", 5, "first_conv.kernel_size: 5; allowed: 3"),
        ("first_conv.act_func", "h_swish", 'first_conv.act_func: "h_swish"; allowed: "relu6"'),
        ("first_conv.bias", True, "first_conv.bias: true; allowed: false"),
        ("first_conv.groups", 2, "first_conv.groups: 2; allowed: 1"),
        ("feature_mix_layer.in_channels", 9, "feature_mix_layer.in_channels: 9; allowed here: 8"),
        ("classifier.in_features", 17, "classifier.in_features: 17; allowed here: 16"),
        ("classifier.out_features", 1, "classifier.out_features: 1; allowed: 2 to"),
        (f"{MB}.name", "PoolingLayer", 'name: "PoolingLayer"; allowed: "MBInvertedConvLayer", "Mo'),
        (f"{MB}.kernel_size", 9, "blocks[0].mobile_inverted_conv.kernel_size: 9; allowed: 3, 5, 7"),
        (f"{MB}.expand_ratio", 9, "expand_ratio: 9; allowed: 1 to 8"),
        (f"{MB}.expand_ratio", True, "expand_ratio: true; allowed: 1 to 8"),
        (f"{MB}.in_channels", 5, "in_channels: 5; allowed here: 4"),
        (f"{MB}.stride", 3, "stride: 3; allowed: 1 to 2"),
        (f"{MB}.has_se", True, "has_se: true; allowed: false"),
        (f"{MB}.expand_ratio", 2.5, "expand_ratio: 2.5; allowed: 1 to 8"),
        (f"{MB}.mid_channels", 22, "mid_channels: 22 inner channels of 4; allowed: 4 times 1 to 8"),
        (f"{MB}.mid_channels", 4, "mid_channels: 4 inner channels of 4, but expand_ratio is 6"),
        (f"{MB}.mid_channels", [12, 24], "mid_channels: a list; allowed: 1 to"),
        (f"{MB}.act_func", "h_swish", 'act_func: "h_swish"; allowed: "relu6"'),
        (f"{MB}.use_se", True, "use_se: true; allowed: false"),
        (f"{MB}.groups", 2, "groups: 2; allowed: null"),
        (f"{MB}.in_channels", [4, 8], "in_channels: a list; allowed: 1 to"),
        (f"{MOTIF}.build_graph", "[[1]", "blocks[1].mobile_inverted_conv.build_graph: not JSON"),
        (f"{MOTIF}.expand_ratio", 3, "expand_ratio: 3; allowed: 6"),
        (f"{MOTIF}.dim_conv_idx", 1, "dim_conv_idx: 1; allowed: 2"),
        (f"{MOTIF}.feature_mix_mode_idx", [1, 1], "[1, 1], but build_graph has [0, 1]"),
        ("blocks.0.shortcut", {"name": "IdentityLayer"}, f"an identity, but {RULE}"),
        ("blocks.1.shortcut", None, f"blocks[1].shortcut: null, but {RULE}"),
        ("blocks.1.shortcut.use_bn", True, "blocks[1].shortcut.use_bn: true; allowed: false"),
        ("blocks.2.mobile_inverted_conv.stride", 2, "stride: 2; allowed: 1"),
    ],
)
def test_what_our_networks_cannot_express_is_named(path: str, value: Any, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        imported(changed(path, value), name="autospace-iccv2021")
    assert message in str(caught.value)


def test_another_eps_of_batch_norm_is_said() -> None:
    notes: list[str] = []
    plain = network_file([block(mbconv_layer(4, 8, 3, 2, 6), 4)], stem=4, width=8)
    expected = imported(plain)
    plain["bn"]["eps"] = 0.001
    assert imported(plain, Target(note=notes.append)) == expected
    assert notes == ["eps of batch norm is 0.001 in the file, 1e-05 here"]


def test_the_network_of_these_errors_is_right_before_it_is_changed() -> None:
    file = changed("name", "other")
    assert len(imported(file, name="autospace-iccv2021").candidates) == 3
    with pytest.raises(SpaceError, match=r'name: "Motif"; allowed: "MBInvertedConvLayer", "Zero'):
        imported(file)


def test_a_convolution_needs_the_keys_that_decide_its_cost() -> None:
    file = changed("first_conv", {"name": "ConvLayer", "kernel_size": 3, "act_func": "relu6"})
    with pytest.raises(SpaceError, match=r"^first_conv\.in_channels: missing key$"):
        imported(file, name="autospace-iccv2021")
    assert conv_layer(3, 4, 3)["in_channels"] == 3


def in_other_words(file: File, words: str) -> File:
    """The same network as Once-for-all (`ResidualBlock`) or MCUNet (`mid_channels`) writes it."""
    rewritten: File = json.loads(json.dumps(file))
    for each in rewritten["blocks"]:
        layer = each["mobile_inverted_conv"]
        if layer["name"] == "MBInvertedConvLayer":
            inner = layer["in_channels"] * layer["expand_ratio"]
            layer |= {"mid_channels": inner, "act_func": "relu6", "use_se": False}
        if each["shortcut"] is not None:
            for side in ("in_channels", "out_channels"):
                each["shortcut"][side] = [each["shortcut"][side]]
        if words == "once-for-all":
            if layer["name"] == "ZeroLayer":
                layer = None
            else:
                ratio = float(layer["expand_ratio"])
                layer |= {"name": "MBConvLayer", "groups": None, "expand_ratio": ratio}
            each |= {"name": "ResidualBlock", "conv": layer}
            del each["mobile_inverted_conv"]
    rewritten["first_conv"] |= {"kernel_size": [3, 3], "use_se": False}
    rewritten["bn"] |= {"ws_eps": None}
    return rewritten


@pytest.mark.parametrize("words", ["mcunet", "once-for-all"])
@given(files())
@settings(max_examples=25)
def test_other_words_for_the_same_network_give_the_same_network(words: str, file: File) -> None:
    assert imported(in_other_words(file, words)) == imported(file)


def test_the_inner_width_decides_where_a_block_states_both() -> None:
    layer = mbconv_layer(4, 8, 3, 2, 6) | {"mid_channels": 20, "expand_ratio": 5.3}
    found = imported(network_file([block(layer, 4)], stem=4, width=8))
    assert found.cells[0].expansion == 5
