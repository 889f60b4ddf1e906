"""`autospace plot`."""

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.report.samples import write_comparison, write_run
from tests.slow import slowly


@pytest.mark.parametrize(
    ("form", "magic"), [("svg", b"<?xml"), *slowly(("pdf", b"%PDF"), ("png", b"\x89PNG"))]
)
def test_every_figure_becomes_a_file(run: Run, tmp_path: Path, form: str, magic: bytes) -> None:
    pytest.importorskip("matplotlib")
    write_comparison(tmp_path / "compared")
    ran = run("plot", tmp_path / "compared", "--out", tmp_path / "figures", "--format", form)
    assert ran.code == 0
    assert ran.err.startswith("wrote 4 figures into ")
    files = sorted((tmp_path / "figures").iterdir())
    assert [each.name for each in files] == [
        f"{name}.{form}" for name in ("best-of-n", "difference", "edf", "networks")
    ]
    assert all(each.read_bytes().startswith(magic) for each in files)


def test_nothing_is_written_over_without_force(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_comparison(tmp_path / "compared")
    out = tmp_path / "figures"
    out.mkdir()
    (out / "networks.svg").write_text("mine")
    arguments = ("plot", tmp_path / "compared", "--out", out, "--format", "svg")
    ran = run(*arguments)
    assert ran.code == 2
    assert "networks.svg: already exists; --force overwrites it" in ran.err
    assert [each.read_text() for each in out.iterdir()] == ["mine"]
    assert run(*arguments, "--force").code == 0
    assert len(list(out.iterdir())) == 4


def test_wrong_places_are_one_line(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_run(tmp_path / "begun", rounds=0)
    (tmp_path / "file").write_text("")
    write_comparison(tmp_path / "compared")
    for arguments in (
        (tmp_path / "nowhere", "--out", tmp_path / "figures"),
        (tmp_path / "begun", "--out", tmp_path / "figures"),
        (tmp_path / "compared", "--out", tmp_path / "file"),
    ):
        ran = run("plot", *arguments)
        assert ran.code == 2, arguments
        assert ran.err.startswith("error: ")
        assert ran.err.count("\n") == 1
    assert not (tmp_path / "figures").exists()


def test_without_matplotlib_the_message_names_the_command_that_brings_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "autospace.charts.paper", raising=False)
    write_comparison(tmp_path)
    ran = run("plot", tmp_path, "--out", tmp_path / "figures")
    assert ran.code == 2
    assert ran.err.startswith("error: autospace plot: needs the package matplotlib: pip install ")
    assert ran.err.count("\n") == 1
