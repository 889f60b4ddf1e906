"""Built-in skeletons and spaces, and every way to name a space."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from autospace.spaces import (
    Cell,
    Skeleton,
    SpaceError,
    builtin_names,
    load,
    load_any,
    load_skeleton,
    mbconv,
    to_json,
)
from autospace.spaces.cells.binary import BinaryCell
from autospace.spaces.files.families import FAMILY_NAMES, family_space
from autospace.spaces.files.library import SKELETON_NAMES
from tests.strategies import skeletons

BINARY_KERNELS = ("3x3", "5x5", "7x7", "3x3_d2", "5x5_d2")
FAMILIES: dict[str, dict[str, Any]] = {
    "mbconv": {f"mbconv_k{k}_e{e}": mbconv(k, e) for k in (3, 5, 7) for e in (3, 6)},
    "mnasnet": {
        f"mbconv_k{k}_e{e}{'_se' * se}": mbconv(k, e, se=se)
        for k in (3, 5)
        for e in (3, 6)
        for se in (False, True)
    },
    "nasbench-macro": {"1": mbconv(3, 3), "2": mbconv(5, 6)},
    "reference": {"mbconv_k3_e6": mbconv(3, 6)},
    "binary": {
        name: BinaryCell.from_edges([(0, 3, operation)])
        for name, operation in {
            **{f"bin_{each}": f"bin_conv_{each}" for each in BINARY_KERNELS},
            "avg_3x3": "avg_pool_3x3",
            "max_3x3": "max_pool_3x3",
        }.items()
    },
}
SKIPPED = Cell.from_edges([], expansion=1)
IDENTITY = Cell.from_edges([(0, 3, "skip_connect")], expansion=1)
REFERENCES: dict[str, Any] = {
    "nasbench-macro": mbconv(3, 3),
    "binary": BinaryCell.from_edges([(0, 3, "bin_conv_3x3")]),
}


PAIRS = tuple(f"{f}@{s}" for f in FAMILY_NAMES for s in SKELETON_NAMES)


def test_builtin_names_are_every_family_on_every_skeleton_and_those_with_their_own() -> None:
    darts = ("darts@darts", "darts@darts-imagenet", "darts@darts-small")
    bats = tuple(
        f"{family}@{skeleton}"
        for family in ("bats", "bnas")
        for skeleton in ("bats", "bats-c48", "bats-small")
    )
    ofa = ("ofa@ofa-mbv3", "ofa@ofa-proxyless", "ofa@ofa-small")
    enas = ("enas-rnn@enas-rnn", "enas-rnn@enas-rnn-paper", "enas-rnn@rnn-small")
    recurrent = (*enas, "darts-rnn@darts-rnn", "darts-rnn@rnn-small")
    bert = ("nas-bert@nas-bert", "nas-bert@bert-small")
    captions = ("autocaption@autocaption", "autocaption@captions-small")
    conv = ("conv@resnet20", "conv@resnet50")
    images = (*PAIRS, "nasbench201@nasbench201", *conv, *darts, *bats, *ofa)
    assert builtin_names() == (*images, *recurrent, *bert, *captions)


@pytest.mark.parametrize("name", SKELETON_NAMES)
def test_a_builtin_skeleton_carries_its_own_name_and_says_what_it_is(name: str) -> None:
    skeleton = load_skeleton(name)
    assert skeleton.name == name
    assert skeleton.description


def test_mobilenetv2_has_the_layers_of_its_paper() -> None:
    # Sandler et al., CVPR 2018, table 2; its first bottleneck (t = 1) is the block of the stem.
    table = [(24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1)]
    skeleton = load_skeleton("mobilenetv2")
    wanted = [(c, s if first == 0 else 1) for c, n, s in table for first in range(n)]
    assert [(layer.channels, layer.stride) for layer in skeleton.layers] == wanted
    assert (skeleton.stem.channels, skeleton.stem.stride, skeleton.stem.block) == (32, 2, 16)
    assert (skeleton.head, skeleton.classes, skeleton.resolution) == (1280, 1000, 224)


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("digits", [8, 4]),
        ("cifar", [32, 16, 8]),
        ("nasbench-macro", [32, 16, 8, 4]),
        ("mobile", [112, 56, 28, 14, 7]),
        ("mobilenetv2", [112, 56, 28, 14, 7]),
    ],
)
def test_a_builtin_skeleton_works_at_these_resolutions(name: str, sides: list[int]) -> None:
    shapes = load_skeleton(name).shapes
    found = {side for shape in shapes for side in (shape.resolution, shape.out_resolution)}
    assert sorted(found, reverse=True) == sides


@pytest.mark.parametrize("name", PAIRS)
def test_a_family_offers_its_cells_at_every_layer_and_skip_where_legal(name: str) -> None:
    family = name.partition("@")[0]
    for layer in load(name).layers:
        wanted = dict(FAMILIES[family])
        legal = layer.shape.stride == 1 and layer.shape.in_channels == layer.shape.out_channels
        if family == "mbconv" and legal:
            wanted["skip"] = SKIPPED
        if family == "nasbench-macro":
            wanted["0"] = SKIPPED if legal else IDENTITY
        if family == "binary" and legal:
            wanted["skip"] = BinaryCell.from_edges([])
        assert {each.id: each.cell for each in layer.candidates} == wanted


@pytest.mark.parametrize("name", PAIRS)
def test_the_reference_of_a_builtin_space_has_fitness_zero(name: str) -> None:
    space = load(name)
    architecture = space.architecture(space.reference)
    wanted = REFERENCES.get(name.partition("@")[0], mbconv(3, 6))  # that of MobileNetV2
    assert set(architecture.cells) == {wanted}
    assert {candidate.fitness for candidate in architecture.candidates} == {0.0}


@given(skeletons())
@settings(max_examples=15)
def test_every_family_fits_any_skeleton(skeleton: Skeleton) -> None:
    for family in FAMILY_NAMES:
        assert family_space(family, skeleton).skeleton == skeleton


def test_a_family_fits_a_skeleton_with_the_longest_name() -> None:
    skeleton = Skeleton(
        "n" * 128, 1, 8, 2, load_skeleton("digits").stem, load_skeleton("digits").layers
    )
    assert family_space("mbconv", skeleton).name == "mbconv@" + "n" * 121


@pytest.fixture
def space_file(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "space.json"
    path.parent.mkdir()
    path.write_text(to_json(load("mbconv@digits")), encoding="utf-8")
    return path


def test_a_space_is_loaded_from_a_file_a_run_folder_and_a_name(space_file: Path) -> None:
    wanted = load("mbconv@digits")
    assert [load(source) for source in (space_file, space_file.parent, str(space_file))] == [
        wanted
    ] * 3


def test_a_file_wins_over_a_builtin_of_the_same_name(
    space_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space_file.rename(space_file.parent / "mnasnet@digits")
    monkeypatch.chdir(space_file.parent)
    assert load("mnasnet@digits").name == "mbconv@digits"


@pytest.mark.parametrize("suffix", [".json", ".toml"])
def test_a_skeleton_comes_from_a_file_of_either_kind(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    texts = {
        ".json": to_json(load_skeleton("digits")),
        ".toml": """
            format = "autospace.skeleton"
            version = 1
            name = "digits"
            description = "8x8 grey images, four layers; for demonstrations and tests"
            in_channels = 1
            resolution = 8
            classes = 10
            head = 64
            stem = { channels = 12, stride = 1 }
            layers = [
              { channels = 12 }, { channels = 24, stride = 2 }, { channels = 24 }, { channels = 32 }
            ]
        """,
    }
    path.write_text(texts[suffix], encoding="utf-8")
    assert load_skeleton(str(path)) == load_skeleton("digits")
    assert load(f"reference@{path}") == load("reference@digits")


def test_an_architecture_file_is_loaded_by_load_any_only(tmp_path: Path) -> None:
    space = load("reference@digits")
    path = tmp_path / "arch.json"
    path.write_text(to_json(space.architecture(space.reference)), encoding="utf-8")
    assert load_any(path) == space.architecture(space.reference)
    with pytest.raises(SpaceError, match=r"arch\.json: an architecture; allowed: format auto"):
        load(path)


FILES = "a file, a run folder, or a built-in such as mbconv@cifar"
FITTING = "digits, cifar, nasbench-macro, mobile, mobilenetv2"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nothing.json", f"nothing.json: no such file or folder; allowed: {FILES}"),
        ("mbconv", f"mbconv: no such space; did you mean mbconv@cifar? Allowed: {FILES}"),
        ("", f'"": no such space; allowed: {FILES}'),
        ("a\x00b", f"a\\u0000b: no such space; allowed: {FILES}"),
        ("a" * 9999, "aaaa"),
        (".", ".: the folder has no space.json and no run"),
        (
            "nas@digits",
            "nas@digits: unknown space; did you mean bnas? Allowed: NAME@SKELETON with NAME one of"
            " mbconv, mnasnet, nasbench-macro, reference",
        ),
        ("mbconv@", f"mbconv@: no skeleton after the @; allowed: {FITTING}"),
        (
            "mbconv@imagenet",
            f"imagenet: unknown skeleton; allowed: {FITTING}, or a file or a run folder",
        ),
        (
            "mbconv@none/run",
            f"none/run: no such file or folder; allowed: {FITTING}, or a file or a run folder",
        ),
        ("mbconv@no.toml", "no.toml: no such file or directory"),
        ("/home/me@work/no", f"/home/me@work/no: no such file or folder; allowed: {FILES}"),
        ("skeleton.json", "skeleton.json: a skeleton; allowed: a space, or mbconv@skeleton.json"),
        ("/dev/zero", "/dev/zero: is not a regular file; allowed: a file of JSON or TOML"),
    ],
)
def test_what_names_no_space_is_refused_with_what_is_allowed(
    source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("skeleton.json").write_text(to_json(load_skeleton("digits")), encoding="utf-8")
    with pytest.raises(SpaceError, match=f"^{re.escape(message)}"):
        load(source)


def test_a_file_that_holds_no_skeleton_is_refused_where_one_is_wanted(space_file: Path) -> None:
    message = r"space\.json: does not hold a skeleton; allowed: format autospace\.skeleton$"
    with pytest.raises(SpaceError, match=message):
        load_skeleton(str(space_file))


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SpaceError, match=r"^nat: unknown family; allowed: mbconv, mnasnet, nas"):
        family_space("nat", load_skeleton("digits"))


def test_builtin_data_files_are_canonical_json() -> None:
    folder = Path(__file__).parents[2] / "spaces" / "data"
    files = sorted(folder.glob("*/*.json"))
    assert files
    for path in files:
        text = path.read_text(encoding="utf-8")
        plain = json.loads(text)
        assert text == json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
