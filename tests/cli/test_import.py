"""`autospace import`: from a file of another program to a file of ours."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from autospace.exporters.autospace_iccv2021 import export_space
from autospace.importers.formats import FORMATS
from autospace.spaces import Architecture, Space, from_json, load, load_skeleton, to_json
from autospace.spaces.files.library import ALL_SKELETONS
from tests.cli.conftest import Run
from tests.importers.test_network_files import published_file

SETTINGS = json.dumps({"ks": 5, "e": 3, "d": [2, 2, 2, 2, 2, 1]})


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.json"
    path.write_text(SETTINGS, encoding="utf-8")
    return path


@pytest.fixture
def matrices(tmp_path: Path) -> Path:
    """The reference architecture of `cifar` as the matrices of the authors."""
    path = tmp_path / "matrices.config"
    path.write_text(export_space(load("reference@cifar")), encoding="utf-8")
    return path


def test_a_space_is_written_to_stdout_or_a_file(run: Run, matrices: Path, tmp_path: Path) -> None:
    words = ("import", matrices, "--from", "autospace-iccv2021", "--skeleton", "cifar")
    shown = run(*words)
    assert shown.code == 0
    value = from_json(shown.out)
    assert isinstance(value, Space)
    assert value.madds == load("reference@cifar").madds
    assert shown.err.startswith("imported space 'autospace-iccv2021@cifar': 12 layers, 12 cand")
    out = tmp_path / "space.json"
    written = run(*words, "--out", out)
    assert (written.code, written.out) == (0, "")
    assert written.err.startswith(f"wrote {out}: space 'autospace-iccv2021@cifar': 12 layers")
    assert out.read_text("utf-8") == shown.out


def test_a_network_is_written_with_its_cost(run: Run, tmp_path: Path) -> None:
    file, out = tmp_path / "net.config", tmp_path / "net.json"
    file.write_text(json.dumps(published_file()), encoding="utf-8")
    ran = run("import", file, "--from", "autospace-iccv2021", "--out", out)
    assert ran.err == f"wrote {out}: architecture: 21 layers, 340M MAdds, 4.31M params\n"
    assert isinstance(from_json(out.read_text("utf-8")), Architecture)
    assert run("show", out).code == run("validate", out).code == 0


def test_a_winner_comes_back_into_its_space(run: Run, space_file: Path, tmp_path: Path) -> None:
    winner = load(space_file).architecture(load(space_file).reference)
    file, out = tmp_path / "best.json", tmp_path / "winner.json"
    file.write_text(json.dumps({"params": winner.choices}), encoding="utf-8")
    ran = run("import", file, "--from", "optuna", "--space", space_file, "--out", out)
    assert ran.code == 0
    assert from_json(out.read_text("utf-8")) == winner
    assert run("show", space_file, "--architecture", out).code == 0


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_powershell_writes_is_read(
    run: Run, space_file: Path, tmp_path: Path, encoding: str
) -> None:
    winner = load(space_file).architecture(load(space_file).reference)
    file = tmp_path / "best.json"
    file.write_text(json.dumps(winner.choices), encoding=encoding)
    ran = run("import", file, "--from", "optuna", "--space", space_file)
    assert from_json(ran.out) == winner


@pytest.mark.parametrize(
    ("name", "right"),
    [("wandb", "configspace"), ("ax", "flat"), ("smac", "configspace"), ("mcunet", "proxylessnas")],
)
def test_other_names_of_a_format_are_known(run: Run, name: str, right: str) -> None:
    ran = run("import", "x", "--from", name, "--space", "mbconv@digits")
    assert ran.err == f"error: --from {name}: its results are read by --from {right}\n"
    assert ran.code == 2


def test_every_tool_that_is_exported_to_has_a_way_back() -> None:
    from autospace.cli.commands.import_ import _READ_AS
    from autospace.exporters.targets import TARGETS

    assert {*_READ_AS.values()} <= {*FORMATS}
    assert not {*_READ_AS} & {*FORMATS}
    pictures = {"csv", "json-flat", "dot", "mermaid", "svg"}
    networks = {"pytorch", "huggingface", "onnx", "pt2"}
    assert {*TARGETS} - pictures - networks <= {*FORMATS, *_READ_AS}


def test_stdin_is_read_where_the_file_is_a_dash(
    run: Run, monkeypatch: pytest.MonkeyPatch, settings_file: Path
) -> None:
    named = run("import", settings_file, "--from", "once-for-all")
    monkeypatch.setattr(
        "autospace.cli.commands.import_.sys.stdin",
        SimpleNamespace(buffer=io.BytesIO(SETTINGS.encode())),
    )
    from autospace.cli.commands.import_ import _text

    assert _text("-") == SETTINGS
    assert isinstance(from_json(named.out), Architecture)
    monkeypatch.setattr(
        "autospace.cli.commands.import_.sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"\xff"))
    )
    with pytest.raises(ValueError, match=r"^-: not UTF-8 at byte 0$"):
        _text("-")


def test_resolution_and_skeleton_are_those_that_were_asked_for(
    run: Run, settings_file: Path
) -> None:
    ran = run("import", settings_file, "--from", "once-for-all", "--resolution", 160)
    value = from_json(ran.out)
    assert isinstance(value, Architecture)
    assert value.skeleton.resolution == 160


def test_the_list_names_every_format(run: Run) -> None:
    found = json.loads(run("import", "--list", "--format", "json").out)
    assert [each["format"] for each in found] == list(FORMATS)
    assert {each["needs"] for each in found} == {"skeleton", "space"}
    table = run("import", "--list").out
    assert all(f"\n{name} " in table for name in FORMATS)
    assert max(map(len, table.splitlines())) <= 80


def test_a_file_is_overwritten_only_by_force(run: Run, settings_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    out.write_text("mine", encoding="utf-8")
    words = ("import", settings_file, "--from", "once-for-all", "--out", out)
    refused = run(*words)
    assert (refused.code, out.read_text("utf-8")) == (2, "mine")
    assert refused.err == f"error: {out}: already exists; --force overwrites it\n"
    assert run(*words, "--force").code == 0
    assert out.read_text("utf-8").startswith("{")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "error: FILE: missing; autospace import --list shows all formats"),
        (["x.json"], "error: --from FORMAT: missing"),
        (["x.json", "--from", "tar"], "error: --from 'tar': unknown; allowed: autospace-iccv2021"),
        (
            ["x.json", "--from", "flat"],
            "error: --from flat: cell ids need the space that they refer to",
        ),
        (["no.json", "--from", "proxylessnas"], "error: no.json: no such file or directory"),
        (["x.json", "--from", "flat", "--space", "nowhere"], "error: nowhere: no such space"),
        (
            ["x.json", "--from", "flat", "--space", "mbconv@digits", "--skeleton", "cifar"],
            "error: --from flat: skeleton and resolution are those of --space",
        ),
        (
            ["x.json", "--from", "proxylessnas", "--space", "a"],
            "--from proxylessnas: holds whole cells",
        ),
        (["x.json", "--from", "proxylessnas", "--skeleton", "huge"], "error: huge: unknown skelet"),
        (["x.json", "--from", "once-for-all", "--resolution", "0"], "--resolution 0: allowed: 1"),
        (
            ["x.json", "--from", "flat", "--format", "json"],
            "error: --format: allowed only with --list",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(run: Run, words: list[str], complaint: str) -> None:
    ran = run("import", *words)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("skeleton", ALL_SKELETONS)
@pytest.mark.parametrize(
    ("name", "text", "kinds"),
    [
        ("once-for-all", '{"ks": 3, "e": 6, "d": 1}', ("mobile", "ofa")),
        ("timm-arch", "ir_r2_k5_s2_e6_c24", ("mobile",)),
    ],
)
def test_a_skeleton_for_other_cells_is_refused(
    run: Run, tmp_path: Path, name: str, text: str, kinds: tuple[str, ...], skeleton: str
) -> None:
    path = tmp_path / "network"
    path.write_text(text, encoding="utf-8")
    ran = run("import", path, "--from", name, "--skeleton", skeleton)
    kind = load_skeleton(skeleton).kind
    if kind in kinds:
        assert "skeleton: " not in ran.err
        return
    assert (ran.code, ran.out) == (2, "")
    problem = f'skeleton: "{skeleton}" is for {kind} cells'
    assert ran.err == f"error: {path}: {problem}; allowed: one for {' or '.join(kinds)} cells\n"


def test_an_error_in_a_file_names_the_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "broken\x1b[31m.json"
    path.write_text('{"blocks": [[]]}', encoding="utf-8")
    out = tmp_path / "out.json"
    ran = run("import", path, "--from", "autospace-iccv2021", "--out", out)
    assert ran.code == 2
    assert "broken\\u001b[31m.json: blocks[0]: a list of 0; allowed" in ran.err
    assert not out.exists()


def test_what_was_exported_comes_back(run: Run, space_file: Path, tmp_path: Path) -> None:
    space = load(space_file)
    drawn = json.loads(run("sample", space_file, "-n", 1, "--format", "json").out)
    file = tmp_path / "drawn.json"
    file.write_text(json.dumps(drawn), encoding="utf-8")
    ran = run("import", file, "--from", "flat", "--space", space_file)
    assert ran.out == to_json(space.architecture(drawn[0]["architecture"]))
