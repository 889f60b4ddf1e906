import json
from dataclasses import replace
from pathlib import Path

import pytest

from autospace.spaces import (
    Candidate,
    Cell,
    Layer,
    Origin,
    Space,
    load,
    load_skeleton,
    mbconv,
    to_json,
)
from tests.cli.conftest import Run
from tests.cli.samples import learned_space
from tests.comparison.setups import space as same_cells
from tests.evaluators.test_tabular import CELLS, document


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_valid_space_is_one_line(run: Run, tmp_path: Path) -> None:
    path = _written(tmp_path / "space.json", to_json(load("mbconv@digits")))
    ran = run("validate", path)
    assert (ran.code, ran.err) == (0, "")
    (line,) = ran.out.splitlines()
    assert line.startswith(f"{path}: valid space 'mbconv@digits': 4 layers, 26 candidates, ")
    assert line.endswith(" MAdds")


def test_architectures_skeletons_and_builtins_are_known_too(
    run: Run, architecture_file: Path, tmp_path: Path
) -> None:
    assert "valid architecture: 4 layers" in run("validate", architecture_file).out
    skeleton = _written(tmp_path / "own.json", to_json(load_skeleton("cifar")))
    expected = "valid skeleton 'cifar': 12 layers, 3x32x32 images, 10 classes"
    assert expected in run("validate", skeleton).out
    assert run("validate", "mnasnet@cifar").code == 0


def test_a_table_is_one_line(run: Run, tmp_path: Path) -> None:
    path = _written(tmp_path / "table.json", json.dumps(document()))
    ran = run("validate", path)
    assert (ran.code, ran.out) == (0, f"{path}: valid table 'mine': 9 networks, 2 seeds\n")
    one = _written(tmp_path / "one.json", json.dumps(document(same_cells(CELLS[:1]), 1)))
    assert run("validate", one).out == f"{one}: valid table 'mine': 1 network, 1 seed\n"
    assert json.loads(run("validate", path, "--format", "json").out) == {
        "file": str(path),
        "valid": True,
        "kind": "table",
        "name": "mine",
        "networks": 9,
        "seeds": 2,
    }
    refused = run("validate", path, "--max-madds", "5M")
    assert (refused.code, refused.out) == (2, "")
    assert "a table has no cost" in refused.err
    bad = run("validate", _written(path, json.dumps(document(columns=2, seeds=3))))
    assert bad.code == 2
    assert "table.json: scores: 18 scores; allowed: those of 9 networks with 3 each" in bad.err


def test_a_skeleton_in_toml(run: Run, tmp_path: Path) -> None:
    text = """
format = "autospace.skeleton"
version = 1
name = "small"
in_channels = 3
resolution = 16
classes = 10
layers = [{channels = 8}, {channels = 16, stride = 2}]
stem = {channels = 8, stride = 1}
head = 0
"""
    ran = run("validate", _written(tmp_path / "own.toml", text))
    assert ran.code == 0
    assert "valid skeleton 'small': 2 layers" in ran.out


def test_a_run_folder(run: Run, space_file: Path) -> None:
    assert "valid space" in run("validate", space_file.parent).out
    empty = space_file.parent / "empty"
    empty.mkdir()
    assert run("validate", empty).code == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty; allowed: JSON"),
        ("[]", "list"),
        ('{"format": "autospace.space", "version": 7}', "version"),
        ('{"format": "something"}', "format"),
    ],
)
def test_a_broken_file_is_one_error_line(
    run: Run, tmp_path: Path, text: str, complaint: str
) -> None:
    path = _written(tmp_path / "broken.json", text)
    ran = run("validate", path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {path}: ")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1


def test_json_tells_valid_from_broken(run: Run, space_file: Path, tmp_path: Path) -> None:
    good = json.loads(run("validate", space_file, "--format", "json").out)
    assert (good["valid"], good["kind"], good["layers"]) == (True, "space", 4)
    assert isinstance(good["warnings"], list)
    broken = run("validate", _written(tmp_path / "broken.json", "{"), "--format", "json")
    assert broken.code == 2
    found = json.loads(broken.out)
    assert found["valid"] is False
    assert found["error"] in broken.err


def _with_extra(space: Space, extra: Candidate) -> Space:
    first = space.layers[0]
    layer = Layer(first.shape, (*first.candidates, extra))
    return replace(space, layers=(layer, *space.layers[1:]))


def test_equal_functions_are_a_warning(run: Run, tmp_path: Path) -> None:
    detour = Cell.from_edges([(0, 1, "skip_connect"), (1, 3, "dw_conv_3x3")], expansion=6)
    space = _with_extra(learned_space(), Candidate("detour", detour, 0.1, Origin("mutation")))
    ran = run("validate", _written(tmp_path / "space.json", to_json(space)))
    assert ran.code == 0
    assert "warning: layer_00: mbconv_k3, detour compute the same function\n" in ran.err
    assert "warning" not in ran.out


def test_dead_edges_are_a_warning(run: Run, tmp_path: Path) -> None:
    cell = Cell.from_edges([(0, 3, "dw_conv_3x3"), (0, 2, "avg_pool_3x3")], expansion=1)
    space = _with_extra(learned_space(), Candidate("dead", cell, 0.1, Origin("mutation")))
    ran = run("validate", _written(tmp_path / "space.json", to_json(space)))
    assert "warning: layer_00.dead: edges without a path to the output: 0>2 avg3\n" in ran.err


def test_missing_references_are_warnings(run: Run, tmp_path: Path) -> None:
    space = learned_space()
    lone = Layer(space.layers[0].shape, (Candidate("a", mbconv(3, 3), 0.1, Origin("random")),))
    without = replace(space, layers=(lone, *space.layers[1:]), reference={})
    ran = run("validate", _written(tmp_path / "space.json", to_json(without)))
    assert ran.code == 0
    assert "warning: no reference architecture" in ran.err
    assert "warning: layer_00: no reference candidate" in ran.err


def _beaten(fitness: float | None, kernel: int, kind: str = "mutation") -> Space:
    cell = Cell.from_edges(
        [(0, 3, f"dw_conv_{kernel}x{kernel}"), (0, 1, "skip_connect"), (1, 3, "avg_pool_3x3")]
    )
    return _with_extra(load("mbconv@digits"), Candidate("extra", cell, fitness, Origin(kind)))


@pytest.mark.parametrize(
    ("space", "warned"),
    [
        (_beaten(-0.1, 5), True),
        (_beaten(0.0, 3), True),
        (_beaten(0.1, 5), False),
        # A cell of expansion 6 at kernel 3 costs what the reference costs; without a fitness, or
        # kept by hand, it is not judged.
        (_beaten(None, 5), False),
        (_beaten(-0.1, 5, "reference"), False),
    ],
)
def test_a_cell_neither_fitter_nor_cheaper_than_the_reference_is_a_warning(
    run: Run, tmp_path: Path, space: Space, warned: bool
) -> None:
    ran = run("validate", _written(tmp_path / "space.json", to_json(space)))
    expected = "layer_00: extra is neither fitter nor cheaper than the reference mbconv_k3_e6"
    assert (f"warning: {expected}\n" in ran.err) is warned


def test_a_limit_that_the_most_expensive_architecture_exceeds_fails(
    run: Run, space_file: Path
) -> None:
    most = load(space_file).most_expensive
    words = ("validate", space_file, "--max-madds", most.madds, "--max-params")
    assert run(*words, most.params).code == 0
    ran = run(*words, most.params - 1)
    assert ran.code == 1
    numbers = f"{most.params:,} params, more than --max-params {most.params - 1:,}"
    assert f"failed: the most expensive architecture has {numbers}\n" in ran.err
    found = json.loads(run(*words, most.params - 1, "--format", "json").out)
    assert (found["valid"], len(found["failures"])) == (True, 1)


def test_limits_hold_for_one_architecture_and_not_for_a_skeleton(
    run: Run, architecture_file: Path, tmp_path: Path
) -> None:
    ran = run("validate", architecture_file, "--max-madds", "1k")
    assert ran.code == 1
    assert "failed: the architecture has " in ran.err
    skeleton = _written(tmp_path / "own.json", to_json(load_skeleton("cifar")))
    assert run("validate", skeleton, "--max-madds", "1k").code == 2


def test_long_lists_of_ids_are_shortened(run: Run, tmp_path: Path) -> None:
    space = load("mbconv@digits")
    same = tuple(Candidate(f"same{index}", mbconv(3, 3)) for index in range(99))
    layer = Layer(space.layers[0].shape, (*space.layers[0].candidates, *same))
    many = replace(space, layers=(layer, *space.layers[1:]))
    ran = run("validate", _written(tmp_path / "space.json", to_json(many)))
    (line,) = ran.err.splitlines()
    assert line.endswith(
        "same0, same1, same2, same3, same4, same5, same6 and 92 more compute the same function"
    )
