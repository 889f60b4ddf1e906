"""`autospace sample`: architectures within limits."""

import json
from pathlib import Path

import pytest

from autospace.spaces import load, load_architecture
from tests.cli.conftest import Run


def test_json_is_a_list_of_flat_architectures_with_their_cost(run: Run, space_file: Path) -> None:
    space = load(space_file)
    ran = run("sample", space_file, "-n", 7, "--seed", 3, "--max-madds", "400k", "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert len(found) == 7
    assert len({json.dumps(each["architecture"]) for each in found}) == 7
    for each in found:
        assert list(each) == ["architecture", "madds", "params"]
        assert space.cost(each["architecture"]) == (each["madds"], each["params"], 0)
        assert each["madds"] <= 400_000


def test_equal_seeds_print_the_same(run: Run) -> None:
    words = ("sample", "mbconv@mobile", "--format", "json", "--seed")
    first, again, other = (run(*words, seed).out for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("columns", [80, 200])
def test_the_table_fits_and_has_a_row_for_each(run: Run, space_file: Path, columns: int) -> None:
    ran = run("sample", space_file, "-n", 3, "--max-params", "20k", columns=columns)
    lines = ran.out.splitlines()
    assert lines[:2] == [
        "learned@digits",
        "3 of 6,561 architectures, seed 0, params at most 20,000",
    ]
    assert [line[0] for line in lines[4:7]] == ["0", "1", "2"]
    assert max(map(len, lines)) <= columns
    assert "\x1b" not in ran.out


def test_files_are_architectures_that_load(run: Run, space_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    ran = run("sample", space_file, "-n", 2, "--out", folder, "--format", "json")
    names = ["architecture_00.json", "architecture_01.json"]
    assert sorted(each.name for each in folder.iterdir()) == names
    assert ran.err == f"wrote {folder / names[0]} to {names[1]}\n"
    for record, name in zip(json.loads(ran.out), names, strict=True):
        assert load_architecture(folder / name).choices == record["architecture"]
    again = run("sample", space_file, "-n", 1, "--out", folder)
    assert (again.code, again.out) == (2, "")
    assert "architecture_00.json: already exists; --force overwrites it" in again.err
    assert run("sample", space_file, "-n", 1, "--out", folder, "--force").code == 0


def test_where_fewer_exist_all_of_them_are_printed(run: Run) -> None:
    space = load("mbconv@digits")
    least = space.madds.min
    ran = run("sample", "mbconv@digits", "-n", 9, "--max-madds", least, "--format", "json")
    found = json.loads(ran.out)
    assert [each["madds"] for each in found] == [least]
    assert ran.err == "only 1 architecture within the limits: all there are\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-n", "0"], "error: -n 0: allowed: 1 to 10000"),
        (["--max-madds", "many"], "error: --max-madds 'many': expected a number such as 5M\n"),
        (["--max-madds", "none"], "error: --max-madds 'none': expected a number such as 5M\n"),
        (["--max-madds", "1k"], "error: max_madds: 1000, but the cheapest architecture of the sp"),
        (["--max-params", "1k"], "error: max_params: 1000, but the cheapest architecture of the"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, words: list[str], complaint: str) -> None:
    ran = run("sample", "mbconv@digits", *words)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1


def test_an_architecture_is_no_space_to_draw_from(run: Run, architecture_file: Path) -> None:
    ran = run("sample", architecture_file)
    assert ran.code == 2
    assert "an architecture; allowed: format autospace.space" in ran.err
