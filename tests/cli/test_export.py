import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from autospace.exporters.targets import TARGETS
from autospace.spaces import Space, load, load_architecture, to_json
from tests.cli.conftest import Run
from tests.cli.samples import drawn_architecture, learned_space
from tests.slow import slowly

OF_SPACES = [name for name, target in TARGETS.items() if target.space]
OF_ARCHITECTURES = [name for name, target in TARGETS.items() if target.architecture]
# These formats have MBConv k3 cells, but not any cell.
LIMITED = ("autospace-iccv2021", "proxylessnas")


def _space(name: str) -> Space:
    if name == "timm-arch":
        return load("reference@mobilenetv2")  # widths that timm does not round
    if name == "nasbench201":
        return load("nasbench201@nasbench201")
    if name == "darts-genotype":
        return load("darts@darts-small")
    return load("reference@digits") if name in LIMITED else learned_space()


@pytest.mark.parametrize("name", OF_SPACES)
def test_a_space_goes_to_stdout_and_to_a_file(run: Run, space_file: Path, name: str) -> None:
    target, space = TARGETS[name], _space(name)
    space_file.write_text(to_json(space), encoding="utf-8")
    out = space_file.with_name(f"out{target.suffix}")
    assert target.space is not None
    text = target.space(space)
    for arguments in ([], ["--out", "-"]):
        ran = run("export", space_file, "--to", name, *arguments)
        assert (ran.code, ran.out, ran.err) == (0, text, "")
    ran = run("export", space_file, "--to", name, "--out", out)
    assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {out}\n")
    assert out.read_bytes() == text.encode()


@pytest.mark.parametrize("name", OF_ARCHITECTURES)
def test_an_architecture_comes_from_its_file_or_beside_its_space(
    run: Run, space_file: Path, name: str
) -> None:
    space = _space(name)
    choices = {layer.shape.name: layer.candidates[0].id for layer in space.layers}
    architecture = space.architecture(choices)
    space_file.write_text(to_json(space), encoding="utf-8")
    flat, whole = space_file.with_name("flat.json"), space_file.with_name("whole.json")
    flat.write_text(json.dumps(choices), encoding="utf-8")
    whole.write_text(to_json(architecture), encoding="utf-8")
    made = TARGETS[name].architecture
    assert made is not None
    calls = ([whole], [space_file, "--architecture", flat], [space_file, "--architecture", whole])
    for arguments in calls:
        ran = run("export", *arguments, "--to", name)
        assert (ran.code, ran.out, ran.err) == (0, made(architecture), "")


def test_a_space_of_one_architecture_is_that_architecture(run: Run) -> None:
    ran = run("export", "reference@digits", "--to", "flat")
    assert json.loads(ran.out) == load_architecture("reference@digits").choices


def test_choices_come_back_as_the_architecture(run: Run, space_file: Path) -> None:
    architecture = drawn_architecture()
    whole = space_file.with_name("net.json")
    whole.write_text(to_json(architecture), encoding="utf-8")
    flat = space_file.with_name("flat.json")
    assert run("export", whole, "--to", "flat", "--out", flat).code == 0
    assert load_architecture(flat, load(space_file)) == architecture


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["mbconv@digits", "--to", "tensorflow"], "unknown target; allowed: configspace, optuna"),
        (["mbconv@digits", "--to", ""], "to '': unknown target; allowed:"),
        (["mbconv@digits"], "--to: missing; --list shows all targets"),
        (["--to", "nni"], "SPACE: missing; --list shows all targets"),
        (["nowhere.json", "--to", "nni"], "nowhere.json: no such file or folder"),
        (
            ["mbconv@digits", "--to", "onnx", "--out", "net.onnx"],
            "mbconv@digits: is a space, but onnx takes one architecture; "
            "autospace sample draws some",
        ),
        (["mbconv@digits", "--to", "flat"], "takes one architecture"),
        (
            ["reference@digits", "--to", "onnx"],
            "out: missing; onnx is a binary file",
        ),
        (["reference@digits", "--to", "pt2", "--out", "-"], "which needs a name"),
        (
            ["mbconv@digits", "--to", "nni", "--weights", "w"],
            "weights: files of nni hold no weights",
        ),
        (
            ["mbconv@digits", "--to", "nni", "--format", "json"],
            "--format json: allowed only with --list",
        ),
        (
            ["mbconv@digits", "--to", "nni", "--architecture", "x.json"],
            "x.json: no such file or folder",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    run: Run, arguments: list[str], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("export", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"layer_09": "mbconv_k3"}, "layer_09: unknown layer; allowed: layer_00 to layer_03"),
        ({"layer_00": "x"}, 'layer_00: unknown cell "x"; allowed:'),
        ({"layer_00": 3}, "layer_00: unknown cell 3; allowed:"),
    ],
)
def test_a_wrong_architecture_is_named(
    run: Run, space_file: Path, changed: dict[str, object], complaint: str
) -> None:
    flat = space_file.with_name("flat.json")
    flat.write_text(json.dumps({**learned_space().reference, **changed}), encoding="utf-8")
    ran = run("export", space_file, "--to", "svg", "--architecture", flat)
    assert (ran.code, ran.out) == (2, "")
    assert f"{flat}: {complaint}" in ran.err


def test_an_architecture_needs_a_target_and_a_space_that_take_it(
    run: Run, architecture_file: Path, space_file: Path
) -> None:
    ran = run("export", architecture_file, "--to", "optuna")
    assert (ran.code, ran.out) == (2, "")
    assert "optuna takes a space, not one architecture of it" in ran.err
    ran = run("export", space_file, "--to", "optuna", "--architecture", architecture_file)
    assert ran.code == 2
    assert "optuna takes a space, not one architecture of it" in ran.err
    ran = run("export", architecture_file, "--to", "svg", "--architecture", architecture_file)
    assert ran.code == 2
    assert "is already one; allowed: with a space" in ran.err


def test_an_architecture_of_another_skeleton_is_none_of_the_space(
    run: Run, architecture_file: Path
) -> None:
    words = ("mbconv@cifar", "--architecture", architecture_file)
    ran = run("export", *words, "--to", "svg")
    assert (ran.code, ran.out) == (2, "")
    problem = "has another skeleton than the space mbconv@cifar"
    assert ran.err == f"error: --architecture {architecture_file}: {problem}\n"
    assert run("show", *words).err == ran.err


def test_a_file_is_overwritten_only_by_force(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "space.json"
    out.write_text("mine", encoding="utf-8")
    for name, source in (("nni", "mbconv@digits"), ("pt2", "reference@digits")):
        refused = run("export", source, "--to", name, "--out", out)
        assert (refused.code, out.read_text(encoding="utf-8")) == (2, "mine")
        assert refused.err == f"error: {out}: already exists; --force overwrites it\n"
    assert run("export", "mbconv@digits", "--to", "nni", "--out", out, "--force").code == 0
    assert "layer_00" in json.loads(out.read_text(encoding="utf-8"))


def test_a_missing_folder_is_an_error_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "missing" / "space.json"
    ran = run("export", "mbconv@digits", "--to", "nni", "--out", out)
    assert (ran.code, ran.err) == (2, f"error: {out}: there is no folder {out.parent}\n")
    assert run("export", "mbconv@digits", "--to", "nni", "--out", tmp_path).code == 2
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_a_spreadsheet_evaluates_is_told(run: Run, space_file: Path) -> None:
    text = to_json(learned_space()).replace('"id": "g00-0"', '"id": "=1+1"')
    space_file.write_text(text, encoding="utf-8")
    ran = run("export", space_file, "--to", "csv")
    assert ran.code == 0
    assert ran.err == "warning: a spreadsheet reads the id '=1+1' as a formula\n"
    assert "\nlayer_00,=1+1," in ran.out


@pytest.mark.parametrize("columns", [80, 200])
def test_the_list_has_every_target(run: Run, columns: int) -> None:
    ran = run("export", "--list", columns=columns)
    assert (ran.code, ran.err) == (0, "")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["target", *TARGETS]
    assert max(map(len, ran.out.splitlines())) <= columns


def test_the_list_as_json(run: Run) -> None:
    found = json.loads(run("export", "--list", "--format", "json").out)
    assert [each["target"] for each in found] == list(TARGETS)
    by_name = {each["target"]: each for each in found}
    assert by_name["nni"] == {
        "target": "nni",
        "takes": "space",
        "read_by": "nni",
        "suffix": ".json",
        "purpose": "search space of NNI's tuners",
    }
    assert by_name["onnx"]["takes"] == "architecture"
    assert by_name["svg"]["takes"] == "both"


def test_stdout_has_the_bytes_of_the_file_in_any_locale(tmp_path: Path) -> None:
    space = replace(learned_space(), name="名前 ñandú")
    source, out = tmp_path / "space.json", tmp_path / "space.dot"
    source.write_text(to_json(space), encoding="utf-8")
    program = "from autospace.cli.main import app; app()"
    command = [sys.executable, "-c", program, "export", str(source), "--to", "dot"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    piped = subprocess.run(command, capture_output=True, env=environment, check=True)
    subprocess.run([*command, "--out", str(out)], capture_output=True, check=True)
    assert piped.stdout == out.read_bytes()
    assert "名前 ñandú".encode() in piped.stdout


@pytest.mark.parametrize("name", [*slowly("onnx"), "pt2"])
def test_a_network_is_deployed(run: Run, tmp_path: Path, name: str) -> None:
    out = tmp_path / f"net.{name}"
    ran = run("export", "reference@digits", "--to", name, "--out", out)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.startswith(f"wrote {out}: ")
    assert "untrained weights" in ran.err
    assert ran.err.count("\n") == 1
    assert out.stat().st_size > 4 * load("reference@digits").params.min
    assert [each.name for each in tmp_path.iterdir()] == [out.name]
