"""`autospace compare`: options, results, errors, interruption."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autospace.comparison.folder import ComparisonFolder
from autospace.spaces import mbconv, to_json
from tests.cli.conftest import Ran, Run
from tests.comparison.setups import CHEAP, space
from tests.evaluators.test_tabular import SPACE, document
from tests.strategies import HOSTILE_NAMES

Golden = Callable[[str, str], None]
SHORT = (
    *("--data", "synthetic:classes=3,train=60,test=40", "--samples", "4", "--steps", "2"),
    *("--set", "evaluator.batch=8", "--device", "cpu", "--workers", "1"),
)


@pytest.fixture
def compare(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs `compare` in a folder with two space files, one.json and two.json, and dear.json."""
    work = tmp_path / "work"
    work.mkdir()
    for name, cells in (("one", CHEAP), ("two", CHEAP[2:]), ("dear", [mbconv(7, 6)])):
        (work / f"{name}.json").write_text(to_json(space(cells, name)))
    monkeypatch.chdir(work)
    return lambda *arguments, **more: run("compare", *arguments, **more)


def _stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_help(run: Run, golden: Golden) -> None:
    ran = run("compare", "--help")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    golden("help-compare.txt", ran.out)


def test_a_comparison_leaves_its_result_and_a_report(compare: Callable[..., Ran]) -> None:
    ran = compare("one.json", "two.json", *SHORT, "--out", "out", "--seed", "3")
    assert ran.code == 0, ran.err
    found = json.loads(Path("out/comparison.json").read_text())
    assert found["seed"] == 3
    assert [each["name"] for each in found["spaces"]] == ["one", "two"]
    plain = " ".join(ran.out.split())
    assert found["sentence"] in plain
    assert "Written: out/comparison.json, report.html beside it" in plain
    assert Path("out/report.html").read_text().lower().startswith("<!doctype html>")
    assert max(map(len, ran.out.splitlines())) <= 80
    assert re.search(r"^evaluating networks: (\d) of \1$", ran.err, re.MULTILINE)


def test_what_was_read_is_in_the_report_and_changed_settings_are_refused_first(
    compare: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--data", "synthetic:classes=3,train=30,test=40")
    assert compare("one.json", "two.json", *SHORT, *few, "--out", "out").code == 0
    page = Path("out/report.html").read_text()
    assert "classes (training+test): gratings-0 10+" in page
    warning = "3 of 3 classes have fewer than 20 training images"
    assert page.count(warning) >= 2
    assert any(
        warning in each for each in json.loads(Path("out/comparison.json").read_text())["notes"]
    )
    Path("out/comparison.json").unlink()
    config = Path("out/config.toml")
    config.write_text(config.read_text().replace("steps = 2", "steps = 3"))
    monkeypatch.setattr("autospace.comparison.compare.prepare", None)
    ran = compare("--resume", "out")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "evaluator.steps" in ran.err


def test_a_comparison_by_a_table_trains_nothing(compare: Callable[..., Ran]) -> None:
    Path("mine.json").write_text(json.dumps(document()))
    Path("space.json").write_text(to_json(SPACE))
    by_table = ("--evaluator", "table", "--table", "mine.json", "--samples", "4")
    ran = compare("space.json", "space.json", *by_table, "--out", "out", "--workers", "1")
    assert ran.code == 0, ran.err
    plain = " ".join(ran.out.split())
    note = "accuracies are those of table mine (nobody), not of networks trained here"
    assert f"- {note}" in plain
    assert note in " ".join(ran.err.split())
    refused = compare("one.json", "two.json", *by_table, "--data", "digits", "--out", "other")
    assert refused.code == 2
    assert "error: data: settings of images, but a table needs none" in refused.err


def test_the_result_can_be_had_as_json(compare: Callable[..., Ran]) -> None:
    arguments = ("one.json", "two.json", *SHORT, "--out", "out", "--progress", "none")
    ran = compare(*arguments, "--format", "json")
    found = json.loads(ran.out)
    assert found.pop("images") == json.loads(Path("out/data.json").read_text())
    assert found == json.loads(Path("out/comparison.json").read_text())
    again = compare("--resume", "out", "--format", "json", "--progress", "none")
    assert (again.code, again.out, again.err) == (0, ran.out, "")


def test_options_become_settings(
    compare: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autospace.comparison.compare.compare", _stop)
    ran = compare(
        *("one.json", "mbconv@two.json", "mbconv@digits", "--data", "folder:pets"),
        *("--effect", "0.5", "--repeats", "2", "--match", "params", "--evaluator", "supernet"),
        *("--steps", "7", "--split", "validation", "--resolution", "16", "--seed", "5"),
        *("--cache", "shared", "--set", "data.flip=true", "--set", "evaluator.batch=9"),
        *("--out", "out"),
    )
    assert ran.code == 130
    config = ComparisonFolder.open(Path("out")).config
    here = Path.cwd()
    assert config.spaces == (f"{here}/one.json", f"mbconv@{here}/two.json", "mbconv@digits")
    assert (config.data.source, config.cache) == (f"folder:{here}/pets", f"{here}/shared")
    assert (config.data.resolution, config.data.flip, config.seed) == (16, True, 5)
    sampling, evaluator = config.sampling, config.evaluator
    assert (sampling.samples, sampling.effect, sampling.repeats) == (None, 0.5, 2)
    assert (sampling.match, evaluator.method) == ("params", "supernet")
    assert (evaluator.steps, evaluator.split, evaluator.batch) == (7, "validation", 9)


def test_an_interruption_says_how_to_go_on(
    compare: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("autospace.comparison.compare.compare", _stop)
        ran = compare("one.json", "two.json", *SHORT, "--out", "a b")
    assert ran.code == 130
    assert "autospace compare --resume 'a b'" in ran.err
    assert compare("--resume", "a b", "--workers", "1").code == 0
    assert Path("a b/comparison.json").is_file()


def test_spaces_that_cannot_be_compared_fail_the_command_but_give_a_result(
    compare: Callable[..., Ran],
) -> None:
    ran = compare("one.json", "dear.json", *SHORT, "--out", "out")
    assert ran.code == 1
    assert "cannot be compared at equal MAdds" in ran.out
    assert json.loads(Path("out/comparison.json").read_text())["comparable"] is False
    assert Path("out/report.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["one.json"], "1 space; allowed: 2 to 26"),
        (["one.json", "two.json"], "data: name the images, such as digits"),
        (["one.json", "nowhere", *SHORT], "nowhere: no such space"),
        (["one.json", "nose@two.json", *SHORT], "unknown space"),
        (["one.json", "two.json", *SHORT, "--match", "size"], 'sampling.match: "size"; allowed'),
        (["one.json", "two.json", *SHORT, "--evaluator", "luck"], "evaluator.method"),
        (["one.json", "two.json", *SHORT, "--samples", "1"], "sampling.samples: 1"),
        (["one.json", "two.json", *SHORT, "--effect", "0"], "sampling.effect"),
        (["one.json", "two.json", *SHORT, "--workers", "0"], "--workers 0: allowed: 1 to 1,024"),
        (["one.json", "two.json", *SHORT, "--progress", "loud"], "--progress 'loud'"),
        (["one.json", "two.json", *SHORT, "--set", "steps=1"], "steps: unknown setting"),
        (["one.json", "two.json", *SHORT, "--out", "one.json"], "is a file"),
        (["one.json", "mbconv@cifar", *SHORT], "choose one with data.resolution (--resolution)"),
        (["--resume", "nowhere"], "no run to resume"),
        (["--resume", ".", "--seed", "1"], "keeps the settings of the run"),
        (["one.json", "--resume", "."], "keeps the settings of the run"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    compare: Callable[..., Ran], arguments: list[str], message: str
) -> None:
    before = set(Path.cwd().iterdir())
    ran = (
        compare(*arguments, "--progress", "none")
        if "loud" not in arguments
        else compare(*arguments)
    )
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert len(ran.err.splitlines()) == 1
    assert set(Path.cwd().iterdir()) == before


def test_a_result_is_not_overwritten_unasked(compare: Callable[..., Ran]) -> None:
    arguments = ("one.json", "two.json", *SHORT, "--out", "out", "--progress", "none")
    assert compare(*arguments).code == 0
    before = Path("out/comparison.json").stat().st_mtime_ns
    ran = compare(*arguments)
    assert (ran.code, "--force" in ran.err) == (2, True)
    assert Path("out/comparison.json").stat().st_mtime_ns == before
    assert compare(*arguments, "--force").code == 0


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_do_no_harm(compare: Callable[..., Ran], name: str) -> None:
    for place, cells in (("one", CHEAP), ("two", CHEAP[2:])):
        Path(f"{place}.json").write_text(to_json(space(cells, name)))
    ran = compare("one.json", "two.json", *SHORT, "--out", "out", "--evaluator", "synflow")
    assert ran.code == 0, ran.err
    assert name[:20] in ran.out
    assert "<script>alert" not in Path("out/report.html").read_text()


@pytest.mark.slow
def test_killed_or_interrupted_from_outside_it_goes_on_to_the_same_bytes(
    compare: Callable[..., Ran],
) -> None:
    arguments = ["one.json", "two.json", *SHORT, "--steps", "40", "--workers", "2"]
    program = [sys.executable, "-c", "from autospace.cli.main import app; app()", "compare"]

    def finished(*more: str) -> bytes:
        subprocess.run([*program, *more], check=True, capture_output=True)
        return Path(more[-1], "comparison.json").read_bytes()

    wanted = finished(*arguments, "--out", "whole")
    for number, code in ((signal.SIGKILL, -9), (signal.SIGINT, 130)):
        out = f"stopped-{number}"
        started = subprocess.Popen(
            [*program, *arguments, "--out", out],
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        evaluations = Path(out, "cache", "evaluations")
        while started.poll() is None and not _files(evaluations):
            time.sleep(0.05)
        os.killpg(started.pid, number)
        _, told = started.communicate()
        assert started.returncode == code
        assert "Traceback" not in told
        assert finished("--resume", out) == wanted


def _files(folder: Path) -> list[Path]:
    return list(folder.glob("*.json")) if folder.is_dir() else []


def test_progress_as_json_is_one_object_a_line(compare: Callable[..., Ran]) -> None:
    ran = compare("one.json", "two.json", *SHORT, "--out", "out", "--progress", "json")
    events: list[dict[str, Any]] = [json.loads(line) for line in ran.err.splitlines()]
    last = [each for each in events if each["event"] == "evaluate"][-1]
    assert last["done"] == last["total"] <= 8
    assert re.match(
        r"^4 networks per space can detect",
        next(e["text"] for e in events if "power" in e.get("text", "")),
    )
