import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from autospace.spaces import Origin, load, to_json
from tests.cli.conftest import Run
from tests.cli.samples import learned_space


def _data_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("layer_")]


@pytest.mark.parametrize("columns", [80, 200])
def test_a_space_takes_one_row_per_layer(run: Run, space_file: Path, columns: int) -> None:
    ran = run("show", space_file, columns=columns)
    assert (ran.code, ran.err) == (0, "")
    assert len(_data_lines(ran.out)) == 4
    assert max(map(len, ran.out.splitlines()[:-1])) <= columns
    head = "learned@digits\n4 layers, 36 candidates, 6,561 architectures on the skeleton digits\n"
    assert ran.out.startswith(head)
    assert "reference mbconv_k3 in every layer" in ran.out
    assert ran.out.splitlines()[-1] == f"next: autospace show {space_file} --layer 0 [--svg FILE]"
    assert "\x1b" not in ran.out


def test_the_best_candidate_has_the_highest_fitness(run: Run, space_file: Path) -> None:
    first, layer = load(space_file).layers[0], run("show", space_file, "--layer", 0)
    best = max(first.candidates, key=lambda each: each.fitness or 0.0)
    (row, *_) = _data_lines(run("show", space_file).out)
    assert best.id in row
    assert f"{best.fitness:+.3f}" in row
    assert f"the best: {best.id}" in layer.out


@pytest.mark.parametrize("name", ["mbconv@mobile", "reference@cifar", "mnasnet@mobilenetv2"])
def test_wide_builtins_fit_80_columns(run: Run, name: str) -> None:
    ran = run("show", name)
    assert max(map(len, ran.out.splitlines())) <= 80
    assert "…" not in ran.out


def test_a_space_as_json_has_exactly_these_numbers(run: Run, space_file: Path) -> None:
    space = load(space_file)
    found = json.loads(run("show", space_file, "--format", "json").out)
    assert list(found) == [
        "name",
        "layers",
        "candidates",
        "log10_architectures",
        "madds",
        "params",
    ]
    assert (found["layers"], found["candidates"]) == (4, 36)
    assert found["log10_architectures"] == pytest.approx(3.816970)
    assert found["madds"] == space.madds._asdict()
    assert found["params"] == space.params._asdict()


def test_json_is_indented_and_ends_with_a_newline(run: Run) -> None:
    out = run("show", "mbconv@digits", "--format", "json").out
    assert out.startswith('{\n  "name": "mbconv@digits",\n')
    assert out.endswith("}\n")


def test_an_architecture_as_json_and_as_table(run: Run, architecture_file: Path) -> None:
    found = json.loads(run("show", architecture_file, "--format", "json").out)
    assert list(found) == ["name", "layers", "madds", "params", "choices"]
    assert found["name"] == "net"
    assert list(found["choices"]) == [f"layer_0{index}" for index in range(4)]
    table = run("show", architecture_file)
    assert len(_data_lines(table.out)) == 4
    assert all(identity in table.out for identity in found["choices"].values())


@pytest.mark.parametrize("wanted", ["layer_01", "1"])
def test_a_layer_lists_its_candidates_by_fitness(run: Run, space_file: Path, wanted: str) -> None:
    ran = run("show", space_file, "--layer", wanted)
    printed = [float(each) for each in re.findall(r" ([+-]\d\.\d{3}) ", ran.out)]
    assert len(printed) == 9
    assert printed == sorted(printed, reverse=True)
    assert "mbconv_k3 *" in ran.out
    assert "e6: 0>3 dw3\n" in ran.out
    assert "mutation of g00-" in ran.out
    assert "┌─" in ran.out


def test_a_wide_terminal_has_each_candidate_on_one_line(run: Run, space_file: Path) -> None:
    lines = run("show", space_file, "--layer", 1, columns=200).out.splitlines()
    (line,) = [each for each in lines if each.startswith("mbconv_k5")]
    assert line.endswith("e6: 0>3 dw5")


def test_where_a_cell_is_from_has_its_own_line_where_it_does_not_fit(
    run: Run, space_file: Path, tmp_path: Path
) -> None:
    space = load(space_file)
    parents = tuple(each.id for each in space.layers[1].candidates[:2])
    origin = Origin("crossover", 2, parents)
    first, *others = space.layers[1].candidates
    layer = replace(space.layers[1], candidates=(replace(first, origin=origin), *others))
    path = tmp_path / "space.json"
    path.write_text(to_json(replace(space, layers=(space.layers[0], layer, *space.layers[2:]))))
    said = f"generation 2, crossover of {', '.join(parents)}"
    narrow = run("show", path, "--layer", 1, columns=60).out.splitlines()
    assert f"    {said}" in narrow
    assert any(
        each.endswith(f"  {said}")
        for each in run("show", path, "--layer", 1, columns=110).out.splitlines()
    )


def test_a_layer_as_json_holds_whole_cells(run: Run, space_file: Path) -> None:
    found = json.loads(run("show", space_file, "--layer", 1, "--format", "json").out)
    assert len(found) == 9
    reference = next(each for each in found if each["id"] == "mbconv_k3")
    assert reference["edges"] == [{"source": 0, "target": 3, "operation": "dw_conv_3x3"}]
    assert reference["mix"] == ["sum", "sum", "sum"]
    assert reference["expansion"] == 6
    assert reference["origin"] == {"kind": "reference", "generation": 0, "parents": []}
    assert {"fitness", "madds", "params"} <= reference.keys()


def test_a_cell_is_drawn(run: Run, space_file: Path) -> None:
    ran = run("show", space_file, "--layer", 1, "--cell", "mbconv_k7")
    assert "expand 1x1, x6, 12 → 72" in ran.out
    assert "dw7/2" in ran.out
    assert "project 1x1, 72 → 24" in ran.out


def test_a_cell_needs_no_layer_where_its_id_is_unambiguous(run: Run, space_file: Path) -> None:
    assert run("show", space_file, "--cell", "mbconv_k5").out.startswith("mbconv_k5\n")
    found = json.loads(run("show", space_file, "--cell", "g02-3", "--format", "json").out)
    assert (found["layer"], found["id"]) == ("layer_03", "g02-3")


def test_a_run_folder_is_its_space(run: Run, space_file: Path) -> None:
    assert run("show", space_file.parent).out.startswith("learned@digits\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nowhere.json"], "error: nowhere.json: no such file or folder"),
        (["nowhere"], "error: nowhere: no such space"),
        (["no/where"], "error: no/where: no such file or folder"),
        (["nasbench@cifar"], "error: nasbench@cifar: unknown space"),
        (
            ["mbconv@digits", "--format", "json", "--svg", "x.svg"],
            "error: --format: text is not shown with --svg; allowed: one of the two",
        ),
        (["mbconv@digits", "--layer", "9"], "error: --layer '9': no such layer; allowed: layer_00"),
        (["mbconv@digits", "--layer", "x"], "or 0 to 3"),
        (["mbconv@digits", "--cell", "x"], "error: --cell 'x': not in any layer; allowed: mbconv"),
        (["mbconv@digits", "--layer", "0", "--cell", "x"], "not in layer_00"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    run: Run, arguments: list[str], complaint: str
) -> None:
    ran = run("show", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1


def test_an_ambiguous_id_asks_for_the_layer(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    renamed = re.sub(r'"id": "g00-\d"', '"id": "same"', to_json(learned_space()))
    path.write_text(renamed, encoding="utf-8")
    ran = run("show", path, "--cell", "same")
    assert ran.code == 2
    assert "differs between layer_00, layer_01" in ran.err


def test_no_arguments_is_a_usage_error(run: Run) -> None:
    assert run("show").code == 2


@pytest.mark.parametrize(
    "arguments", [[], ["--layer", "2"], ["--layer", "2", "--cell", "mbconv_k3_e6"]]
)
def test_a_picture_is_written_instead(run: Run, tmp_path: Path, arguments: list[str]) -> None:
    target = tmp_path / "picture.svg"
    ran = run("show", "mbconv@digits", *arguments, "--svg", target)
    assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {target}\n")
    assert target.read_text(encoding="utf-8").startswith("<svg ")
    assert [each.name for each in tmp_path.iterdir()] == ["picture.svg"]


def test_a_file_is_overwritten_only_by_force(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "picture.svg"
    target.write_text("mine", encoding="utf-8")
    refused = run("show", "mbconv@digits", "--svg", target)
    assert (refused.code, target.read_text(encoding="utf-8")) == (2, "mine")
    assert refused.err == f"error: {target}: already exists; --force overwrites it\n"
    assert run("show", "mbconv@digits", "--svg", target, "--force").code == 0
    assert target.read_text(encoding="utf-8").startswith("<svg ")


def test_a_picture_into_a_missing_folder_is_an_error(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "missing" / "picture.svg"
    ran = run("show", "mbconv@digits", "--svg", target)
    assert ran.code == 2
    assert ran.err == f"error: {target}: there is no folder {target.parent}\n"
    assert run("show", "mbconv@digits", "--svg", tmp_path).code == 2


def test_a_candidate_shows_what_differs_from_the_reference(run: Run, space_file: Path) -> None:
    layer = run("show", space_file, "--layer", 1)
    assert "mbconv_k5     -0.010    112k   4.73k  reference\n    e6: 0>3 dw5\n" in layer.out
    assert "    vs *: 0>3 dw3→dw5\n" in layer.out
    # One for each candidate but the reference.
    assert layer.out.count("\n    vs *: ") == 8
    cell = run("show", space_file, "--layer", 1, "--cell", "mbconv_k7")
    assert "against the reference mbconv_k3: MAdds +49 %, params +81 %\n" in cell.out
    assert "\n    0>3 dw3→dw7\n" in cell.out
    reference = run("show", space_file, "--layer", 1, "--cell", "mbconv_k3")
    assert "the reference of this layer\n" in reference.out
    record = json.loads(
        run("show", space_file, "--layer", 1, "--cell", "mbconv_k7", "--format", "json").out
    )
    assert record["changes"] == "0>3 dw3→dw7"


def test_a_wide_terminal_tells_how_the_best_cells_differ(run: Run, space_file: Path) -> None:
    ran = run("show", space_file, columns=200)
    assert "against the reference" in ran.out
    (row, *_) = _data_lines(ran.out)
    assert "e6→e3, +0>1 avg3, " in row


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("flat", [True, False])
def test_an_architecture_of_a_space_is_shown_against_it(
    run: Run, space_file: Path, tmp_path: Path, columns: int, flat: bool
) -> None:
    space = load(space_file)
    chosen = space.architecture(dict(space.reference) | {"layer_01": "g02-1"})
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(chosen.choices) if flat else to_json(chosen), encoding="utf-8")
    ran = run("show", space_file, "--architecture", path, columns=columns)
    assert (ran.code, ran.err) == (0, "")
    rows = _data_lines(ran.out)
    assert [" * " in row for row in rows] == [True, False, True, True]
    assert ("+0>1 id, +0>2 id" in rows[1]) == (columns == 200)
    assert max(map(len, ran.out.splitlines()[:-1])) <= columns
    last = f"next: autospace show {space_file} --architecture {path} --layer 0 [--svg FILE]"
    assert ran.out.splitlines()[-1] == last
    layer = run("show", space_file, "--architecture", path, "--layer", 1)
    assert layer.out.startswith("layer_01\n12x8x8 -> 24x4x4 /2, 1 candidate\n")
    found = json.loads(run("show", space_file, "--architecture", path, "--format", "json").out)
    assert (found["name"], found["choices"]) == ("mine", chosen.choices)


def test_only_an_architecture_of_the_space_can_be_shown_with_it(
    run: Run, space_file: Path, architecture_file: Path, tmp_path: Path
) -> None:
    ran = run("show", architecture_file, "--architecture", architecture_file)
    assert (ran.code, ran.out) == (2, "")
    assert "is already one; allowed: with a space" in ran.err
    other = run("show", "mbconv@cifar", "--architecture", architecture_file)
    assert "has another skeleton than the space mbconv@cifar" in other.err
    flat = tmp_path / "flat.json"
    flat.write_text('{"layer_00": "g00-0"}', encoding="utf-8")
    missing = run("show", space_file, "--architecture", flat)
    assert missing.err == f"error: {flat}: layer_01: missing layer: every layer needs a choice\n"


@pytest.mark.parametrize("columns", [80, 140, 200])
def test_long_ids_and_long_cells_never_squeeze_the_numbers(
    run: Run, tmp_path: Path, columns: int
) -> None:
    space = learned_space()
    text = to_json(space).replace('"g00-', '"a_very_long_name_that_somebody_gave_it_0')
    path = tmp_path / "long.json"
    path.write_text(text, encoding="utf-8")
    for words in (["show", path], ["sample", path, "-n", 2], ["diff", path, "mbconv@digits"]):
        ran = run(*words, columns=columns)
        assert max(map(len, ran.out.splitlines()[:-1])) <= columns
        assert "MAdds" in ran.out
        numbers = re.findall(r"\b\d+(?:\.\d+)?[kM]\b", ran.out)
        assert len(numbers) >= 2 * (4 if words[0] != "sample" else 2)


@pytest.mark.parametrize("columns", [80, 200])
def test_the_uncertainty_stands_beside_the_fitness(run: Run, tmp_path: Path, columns: int) -> None:
    space = learned_space()
    layers = tuple(
        replace(
            layer,
            candidates=tuple(
                each if each.id == "mbconv_k3" else replace(each, uncertainty=0.0125)
                for each in layer.candidates
            ),
        )
        for layer in space.layers
    )
    path = tmp_path / "space.json"
    path.write_text(to_json(replace(space, layers=layers)))
    best = max(layers[0].candidates, key=lambda each: each.fitness or 0.0)
    text = f"{best.fitness:+.3f} ± 0.013"
    for arguments in ((), ("--layer", 0), ("--layer", 0, "--cell", best.id)):
        ran = run("show", path, *arguments, columns=columns)
        assert (ran.code, ran.err) == (0, "")
        assert text in ran.out
        assert max(map(len, ran.out.splitlines()[:-1])) <= columns
    assert "±: standard deviation of its error" in run("show", path, "--layer", 0).out
    found = json.loads(run("show", path, "--layer", 0, "--format", "json").out)
    told = {each["id"]: each.get("uncertainty") for each in found}
    assert (told[best.id], told["mbconv_k3"]) == (0.0125, None)
    drawn = json.loads(run("show", path, "--layer", 0, "--cell", best.id, "--format", "json").out)
    assert drawn["uncertainty"] == 0.0125


@pytest.mark.parametrize(
    "name",
    [
        "ofa@ofa-mbv3",
        "ofa@ofa-proxyless",
        "nasbench201@nasbench201",
        "binary@cifar",
        "mbconv@mobile",
        "darts@darts",
        "bnas@bats",
    ],
)
def test_80_columns_hold_the_names_of_the_best_cells(run: Run, name: str, tmp_path: Path) -> None:
    shown = run("show", name, columns=80).out
    run("sample", name, "-n", 1, "--out", tmp_path)
    architecture = run("show", tmp_path / "architecture_00.json", columns=80).out
    for text in (shown, architecture):
        assert re.search("layers|nodes", text)
        assert "…" not in text
        assert max(map(cell_len, text.splitlines()[:-1])) <= 80
    # Whole ids also in the cells of a layer, and in the list of samples.
    first = load(name).layers[0]
    listed = run("show", name, "--layer", 0, columns=80).out.splitlines()
    assert all(any(line.startswith(each) for line in listed) for each in first.by_id)
    drawn = json.loads(run("sample", name, "-n", 2, "--format", "json").out)
    rows = re.split("[ ,\n]+", run("sample", name, "-n", 2, columns=80).out)
    ids = [each for one in drawn for each in one["architecture"].values()]
    assert [each for each in rows if each in ids] == ids


def test_bars_stay_where_there_is_room_for_them(run: Run) -> None:
    assert "█" in run("show", "ofa@ofa-mbv3", columns=100).out
