"""`autospace report`."""

import json
from pathlib import Path

from tests.cli.conftest import Run
from tests.report.samples import write_comparison, write_run


def test_a_report_goes_into_the_folder_that_it_is_about(run: Run, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    ran = run("report", tmp_path / "run")
    path = tmp_path / "run" / "report.html"
    assert (ran.code, ran.out, ran.err) == (0, "", f"wrote {path}\n")
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_out_names_another_file(run: Run, tmp_path: Path) -> None:
    write_comparison(tmp_path / "compared")
    out = tmp_path / "mail.html"
    assert run("report", tmp_path / "compared", "--out", out).code == 0
    assert out.is_file()
    assert not (tmp_path / "compared" / "report.html").exists()


def test_an_existing_file_needs_force(run: Run, tmp_path: Path) -> None:
    write_comparison(tmp_path)
    (tmp_path / "report.html").write_text("mine")
    ran = run("report", tmp_path)
    assert ran.code == 2
    assert "already exists; --force overwrites it" in ran.err
    assert (tmp_path / "report.html").read_text() == "mine"
    assert run("report", tmp_path, "--force").code == 0
    assert (tmp_path / "report.html").read_text().endswith("</html>\n")


def test_wrong_places_are_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "comparison.json").write_text("{}")
    (tmp_path / "file").write_text("")
    write_comparison(tmp_path / "fine")
    for arguments in (
        (tmp_path / "nowhere",),
        (tmp_path,),
        (tmp_path / "file",),
        (tmp_path / "broken",),
        (tmp_path / "fine", "--out", tmp_path / "no" / "folder.html"),
        (tmp_path / "fine", "--out", tmp_path),
    ):
        ran = run("report", *arguments)
        assert ran.code == 2, arguments
        assert ran.err.startswith("error: ")
        assert ran.err.count("\n") == 1
    assert not list(tmp_path.rglob("*.html"))


def test_json_goes_to_stdout_or_into_a_file(run: Run, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    write_comparison(tmp_path / "compared")
    ran = run("report", tmp_path / "run", "--format", "json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["kind"] == "evolve"
    assert not (tmp_path / "run" / "report.html").exists()
    out = tmp_path / "found.json"
    assert run("report", tmp_path / "compared", "--format", "json", "--out", out).code == 0
    found = json.loads(out.read_text())
    assert found["kind"] == "compare"
    assert found["result"]["verdict"] == "b"
