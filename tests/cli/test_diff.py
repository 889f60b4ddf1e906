"""`autospace diff`: two spaces, or two architectures, side by side."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from autospace.spaces import Layer, load, to_json
from tests.cli.conftest import Run
from tests.cli.samples import learned_space


@pytest.fixture
def other_file(tmp_path: Path) -> Path:
    path = tmp_path / "other.json"
    path.write_text(to_json(learned_space(seed=1)), encoding="utf-8")
    return path


@pytest.mark.parametrize("columns", [80, 200])
def test_a_table_has_a_row_per_layer_and_fits(
    run: Run, space_file: Path, other_file: Path, columns: int
) -> None:
    ran = run("diff", space_file, other_file, columns=columns)
    assert (ran.code, ran.err) == (0, "")
    rows = [line for line in ran.out.splitlines() if line.startswith("layer_")]
    assert [row.split()[1:4] for row in rows] == [["3", "6", "6"]] * 4
    assert max(map(len, ran.out.splitlines()[:-1])) <= columns
    assert ("g00-0, g01-0" in ran.out) == (columns == 200)
    assert "\x1b" not in ran.out
    assert ran.out.splitlines()[-1] == f"next: autospace diff {space_file} {other_file} --layer 0"


def test_json_tells_which_cells_are_where(run: Run, space_file: Path, other_file: Path) -> None:
    found = json.loads(run("diff", space_file, other_file, "--format", "json").out)
    assert (found["equal"], found["skeleton"], found["reference"]) == (False, [], False)
    assert found["a"]["madds"] == load(space_file).madds._asdict()
    assert sum(found["b"]["operations"].values()) == pytest.approx(1)
    layer = found["layers"][2]
    assert [each["a"]["id"] for each in layer["both"]] == ["mbconv_k3", "mbconv_k5", "mbconv_k7"]
    assert len(layer["only_a"]) == len(layer["only_b"]) == 6
    costs = [cost.madds for cost in load(space_file).layers[2].costs]
    assert layer["madds"]["a"] == {"min": min(costs), "max": max(costs)}
    alone = run("diff", space_file, other_file, "--layer", 2, "--format", "json")
    assert json.loads(alone.out) == layer


def test_a_layer_shows_its_cells(run: Run, space_file: Path, other_file: Path) -> None:
    ran = run("diff", space_file, other_file, "--layer", "layer_01")
    sections = ran.out.split("\n\n")
    assert sections[1].startswith("only in A\n- ")
    assert sections[2].startswith("only in B\n+ ")
    assert sections[3].startswith("in both\n  mbconv_k3  fitness +0.000")
    assert sections[1].count("\n- ") == sections[2].count("\n+ ") == 6


def test_architectures_are_compared_by_their_cells(run: Run, tmp_path: Path) -> None:
    space = learned_space()
    reference = space.architecture(space.reference)
    changed = space.architecture(dict(space.reference) | {"layer_02": "mbconv_k7"})
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file, value in zip(files, (reference, changed), strict=True):
        file.write_text(to_json(value), encoding="utf-8")
    found = json.loads(run("diff", *files, "--format", "json").out)
    assert [layer["equal"] for layer in found["layers"]] == [True, True, False, True]
    shown = run("diff", *files, columns=200)
    (row,) = [line for line in shown.out.splitlines() if line.startswith("layer_02")]
    assert row.split()[-2:] == ["mbconv_k3", "mbconv_k7"]


def test_equal_spaces_are_said_to_be_equal(run: Run, space_file: Path) -> None:
    ran = run("diff", space_file, space_file)
    assert "no difference: every layer has the same cells with the same fitness" in ran.out


@pytest.mark.parametrize("columns", [80, 200])
def test_a_cell_that_one_of_them_has_more_often_is_named(
    run: Run, tmp_path: Path, columns: int
) -> None:
    space = load("mbconv@digits")
    shape, candidates = space.layers[1].shape, space.layers[1].candidates
    more = Layer(shape, (*candidates, replace(candidates[0], id="again")))
    file = tmp_path / "more.json"
    file.write_text(to_json(replace(space, layers=(space.layers[0], more, *space.layers[2:]))))
    pairs = [
        ("mbconv@digits", file, "mbconv_k3_e3 in A, mbconv_k3_e3 = again in B"),
        (file, "mbconv@digits", "mbconv_k3_e3 = again in A, mbconv_k3_e3 in B"),
    ]
    for first, second, said in pairs:
        lines = run("diff", first, second, columns=columns).out.splitlines()
        assert [line for line in lines if "again" in line] == [f"layer_01: one function: {said}"]


def test_the_exit_code_tells_only_if_asked(run: Run, space_file: Path, other_file: Path) -> None:
    assert run("diff", space_file, other_file).code == 0
    assert run("diff", space_file, other_file, "--exit-code").code == 1
    assert run("diff", space_file, space_file, "--exit-code").code == 0
    assert run("diff", space_file, other_file, "--layer", 0, "--exit-code").code == 1


def test_spaces_of_different_skeletons_say_so(run: Run) -> None:
    ran = run("diff", "mbconv@digits", "mnasnet@cifar")
    assert "skeletons differ in: in_channels, resolution, stem, layers, head" in ran.out
    assert "no layer" in ran.out
    only = run("diff", "mbconv@digits", "mnasnet@cifar", "--layer", 9)
    assert "layer_09 of A: no such layer" in only.out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["mbconv@digits", "nowhere.json"], "error: nowhere.json: no such file or folder"),
        (["mbconv@digits", "mbconv@digits", "--layer", "9"], "error: --layer '9': no such layer"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, words: list[str], complaint: str) -> None:
    ran = run("diff", *words)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1


def test_a_space_and_an_architecture_are_not_compared(
    run: Run, space_file: Path, architecture_file: Path
) -> None:
    ran = run("diff", space_file, architecture_file)
    assert ran.code == 2
    assert ran.err.endswith(
        "is a space and "
        + f"{architecture_file} is an architecture; allowed: two of the same kind\n"
    )


@pytest.mark.parametrize(
    ("pair", "parts", "operation", "layer"),
    [
        (
            ("enas-rnn@rnn-small", "enas-rnn@enas-rnn"),
            ["vocabulary", "width", "layers", "nodes"],
            "sigmoid",
            ("node_01_function", 4),
        ),
        (
            ("autocaption@captions-small", "autocaption@autocaption"),
            ["in_channels", "resolution", "vocabulary", "width", "layers", "nodes", "depth",
             "encoder"],
            "relu",
            ("layer_2_node_01_input", 1),
        ),
        (
            ("nas-bert@bert-small", "nas-bert@nas-bert"),
            ["length", "classes", "width", "layers", "stages", "vocabulary", "blocks", "heads"],
            "attention",
            ("layer_01", 1),
        ),
    ],
)  # fmt: skip
def test_spaces_of_text_captions_and_sentences_are_compared(
    run: Run, pair: tuple[str, str], parts: list[str], operation: str, layer: tuple[str, int]
) -> None:
    ran = run("diff", *pair, "--format", "json")
    assert ran.code == 0
    found = json.loads(ran.out)
    assert found["skeleton"] == parts
    assert operation in found["a"]["operations"]
    assert sum(found["a"]["operations"].values()) == pytest.approx(1)
    name, both = layer
    (one,) = (each for each in found["layers"] if each["layer"] == name)
    assert len(one["both"]) == both
    names = [each["layer"] for each in found["layers"]]
    assert len(names) == len(set(names))
    assert operation in run("diff", *pair).out
    same = run("diff", pair[0], pair[0], "--exit-code")
    assert same.code == 0
    assert "no difference" in same.out


def test_only_operations_count_as_operations(run: Run) -> None:
    found = json.loads(run("diff", "darts@darts-small", "darts@darts", "--format", "json").out)
    assert "concat" not in found["a"]["operations"]
    assert set(found["a"]["operations"]) <= {*load("darts@darts").operations}
