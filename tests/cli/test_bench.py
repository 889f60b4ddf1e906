"""`autospace bench`, with suites that measure nothing: files, tables and exit codes."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from autospace.bench import suites
from autospace.bench.document import Bench, Entry
from tests.bench.documents import entry
from tests.cli.conftest import Run

Values = dict[str, float]


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> Values:
    """What the suites find; a test may change it between two runs."""
    found = {"speed": 2.0, "recovery": 0.9, "ranking": 0.6, "truth": 0.7, "cost": 0.0}

    def suite(name: str) -> Callable[..., list[Entry]]:
        def measure(order: Any, on_message: Callable[[str], None]) -> list[Entry]:
            on_message(f"{name}: measuring")
            better = "lower" if name == "cost" else "higher"
            return [entry("metric", found[name], suite=name, better=better, spread=0.01)]

        return measure

    monkeypatch.setattr(suites, "SUITES", {name: suite(name) for name in found})
    return found


@pytest.fixture
def baseline(run: Run, values: Values, tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    ran = run("bench", "--baseline", path, "--update")
    assert ran.code == 0
    return path


def test_all_suites_run_and_people_get_a_table(run: Run, values: Values) -> None:
    ran = run("bench")
    assert ran.code == 0
    for name, value in values.items():
        (line,) = [each for each in ran.out.splitlines() if each.startswith(f"{name}/metric")]
        assert f"{value:.4g}" in line.split()
    assert "speed: measuring" in ran.err
    assert max(map(len, ran.out.splitlines())) <= 80


def test_chosen_suites_run_once_each(run: Run, values: Values) -> None:
    ran = run("bench", "--suite", "cost", "--suite", "speed", "--suite", "cost", "--format", "json")
    plain = json.loads(ran.out)
    assert [each["suite"] for each in plain["entries"]] == ["speed", "cost"]


def test_the_document_goes_to_a_file(run: Run, values: Values, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    assert run("bench", "--suite", "speed", "--quick", "--out", path).code == 0
    bench = Bench.model_validate_json(path.read_text())
    assert bench.options.quick
    assert [each.name for each in bench.entries] == ["speed/metric"]
    assert bench.versions["autospace"]
    again = run("bench", "--out", path)
    assert (again.code, again.out) == (2, "")
    assert "--force" in again.err
    assert run("bench", "--out", path, "--force").code == 0


def test_an_unchanged_tree_passes_twenty_times(run: Run, values: Values, baseline: Path) -> None:
    for _ in range(20):
        assert run("bench", "--baseline", baseline).code == 0


def test_a_regression_fails_and_is_named(run: Run, values: Values, baseline: Path) -> None:
    values["speed"] = 1.5
    ran = run("bench", "--baseline", baseline)
    assert ran.code == 1
    assert "regression: speed/metric" in ran.err
    (line,) = [each for each in ran.out.splitlines() if each.startswith("speed/metric")]
    assert line.split() == ["speed/metric", "2", "1.5", "-25.0%", "±1.4%", "WORSE"]
    assert run("bench", "--baseline", baseline, "--tolerance", "30%").code == 0
    assert run("bench", "--baseline", baseline, "--tolerance", "0.3").code == 0


def test_what_got_better_does_not_fail(run: Run, values: Values, baseline: Path) -> None:
    values["ranking"] = 0.9
    ran = run("bench", "--baseline", baseline)
    assert ran.code == 0
    assert "better" in ran.out


def test_update_writes_the_baseline_and_never_fails(
    run: Run, values: Values, baseline: Path
) -> None:
    values["speed"] = 1.0
    ran = run("bench", "--baseline", baseline, "--update")
    assert ran.code == 0
    assert "WORSE" in ran.out
    assert run("bench", "--baseline", baseline).code == 0


def test_update_keeps_the_suites_that_did_not_run(run: Run, values: Values, baseline: Path) -> None:
    before = json.loads(baseline.read_text())
    values["ranking"] = 0.7
    assert run("bench", "--baseline", baseline, "--update", "--suite", "ranking").code == 0
    entries = json.loads(baseline.read_text())["entries"]
    assert [each["value"] for each in entries] == [2.0, 0.9, 0.7, 0.7, 0.0]
    assert [each["suite"] for each in entries] == [each["suite"] for each in before["entries"]]
    values["speed"] = 1.0
    assert run("bench", "--baseline", baseline, "--suite", "speed").code == 1


@pytest.mark.parametrize(
    ("change", "words", "what"),
    [
        ({"machine": {"processor": "another"}}, [], "hardware"),
        ({"versions": {"torch": "1.0"}}, [], "versions"),
        ({}, ["--quick"], "options"),
        ({"versions": {"torch": "1.0"}}, ["--quick"], "options and versions"),
    ],
)
def test_a_baseline_is_of_one_machine_with_one_set_of_options(
    run: Run,
    values: Values,
    baseline: Path,
    change: dict[str, dict[str, str]],
    words: list[str],
    what: str,
) -> None:
    plain = json.loads(baseline.read_text())
    for part, changed in change.items():
        plain[part] |= changed
    baseline.write_text(json.dumps(plain))
    before = baseline.read_bytes()
    some = ["--suite", "cost", "--suite", "speed", "--suite", "truth", *words]
    ran = run("bench", "--baseline", baseline, "--update", *some)
    assert (ran.code, ran.out) == (2, "")
    problem = f"has recovery, ranking, measured with other {what}; renew these suites, too"
    assert ran.err == f"error: {baseline}: {problem}\n"
    assert baseline.read_bytes() == before
    assert run("bench", "--baseline", baseline, "--update", *words).code == 0
    assert len(json.loads(baseline.read_text())["entries"]) == len(values)


def test_missing_metrics_are_reported_on_either_side(
    run: Run, values: Values, baseline: Path
) -> None:
    plain = json.loads(baseline.read_text())
    plain["entries"][0]["metric"] = "other"
    baseline.write_text(json.dumps(plain))
    ran = run("bench", "--baseline", baseline)
    assert ran.code == 0
    assert "speed/metric: not in the baseline" in ran.err
    assert "speed/other: only in the baseline" in ran.err


def test_another_machine_and_other_versions_are_noted(
    run: Run, values: Values, baseline: Path
) -> None:
    plain = json.loads(baseline.read_text())
    plain["machine"]["processor"] = "another"
    plain["versions"]["torch"] = "1.0"
    baseline.write_text(json.dumps(plain))
    ran = run("bench", "--baseline", baseline)
    assert ran.code == 0
    assert "measured on another machine" in ran.err
    assert "versions differ: torch" in ran.err


def test_junit_shows_the_failure(run: Run, values: Values, baseline: Path, tmp_path: Path) -> None:
    values["ranking"] = 0.1
    path = tmp_path / "junit.xml"
    assert run("bench", "--baseline", baseline, "--junit", path).code == 1
    root = ET.parse(path).getroot()
    assert (root.get("tests"), root.get("failures")) == ("5", "1")
    (failure,) = root.findall("./testsuite[@name='ranking']/testcase/failure")
    assert "got worse by 0.5" in str(failure.get("message"))


def test_hostile_names_in_a_baseline_reach_neither_terminal_nor_xml(
    run: Run, values: Values, baseline: Path, tmp_path: Path
) -> None:
    plain = json.loads(baseline.read_text())
    hostile = '<b a="]]>&\u202e'
    plain["entries"].append({**plain["entries"][0], "metric": hostile.removesuffix("\u202e")})
    baseline.write_text(json.dumps(plain))
    path = tmp_path / "junit.xml"
    assert run("bench", "--baseline", baseline, "--junit", path).code == 0
    names = {case.get("name") for case in ET.parse(path).getroot().iter("testcase")}
    assert '<b a="]]>&' in names
    plain["entries"][-1]["metric"] = hostile
    baseline.write_text(json.dumps(plain))
    ran = run("bench", "--baseline", baseline)
    assert ran.code == 2
    assert "\u202e" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--suite", "quality"],
            "--suite 'quality': allowed: speed, recovery, ranking, truth, cost",
        ),
        (["--tolerance", "much"], "--tolerance 'much': expected a share such as 10% or 0.1"),
        (["--tolerance", "-1%"], "--tolerance '-1%'"),
        (["--tolerance", "nan"], "--tolerance 'nan'"),
        (["--update"], "--update: needs --baseline"),
        (["--baseline", "/no/such/file"], "/no/such/file: no such file"),
        (["--out", "/no/such/folder/out.json"], "there is no folder /no/such/folder"),
        (
            ["--update", "--baseline", "/no/such/folder/base.json"],
            "there is no folder /no/such/folder",
        ),
        (["--out", "a.json", "--junit", "a.json"], "--junit: a.json is --out, too"),
        (["--data", "cifar"], "data 'cifar' is not a data source"),
        (["--data", "cifar10:/no/such/file"], "/no/such/file: does not exist"),
        (["--data", "synthetic:classes=3"], "3 classes; the ground truth has 10 (CIFAR-10)"),
        (["--data", "digits", "--suite", "cost"], "--data: has no effect without the suite"),
        (["--device", "tpu"], 'device: "tpu"; allowed: auto, cpu or cuda[:n]'),
    ],
)
def test_bad_input_is_one_line(
    run: Run, values: Values, arguments: list[str], complaint: str
) -> None:
    ran = run("bench", *arguments)
    assert (ran.code, ran.out) == (2, "")
    (line,) = [each for each in ran.err.splitlines() if each.startswith("error: ")]
    assert complaint in line
    assert "measuring" not in ran.err


def test_only_like_is_compared_with_like(run: Run, values: Values, baseline: Path) -> None:
    ran = run("bench", "--baseline", baseline, "--quick")
    assert ran.code == 2
    assert "was measured with --seeds 3; use the same options" in ran.err
    assert run("bench", "--baseline", baseline, "--data", "cifar10:elsewhere").code == 2


def interrupted(*_: object) -> list[Entry]:
    raise KeyboardInterrupt


def test_ctrl_c_before_the_first_measurement_writes_nothing(
    run: Run, values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(suites.SUITES, "speed", interrupted)
    path = tmp_path / "out.json"
    ran = run("bench", "--out", path)
    assert (ran.code, ran.out) == (130, "")
    assert not path.exists()


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_ctrl_c_keeps_what_was_measured(
    run: Run,
    values: Values,
    baseline: Path,
    force: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(suites.SUITES, "ranking", interrupted)
    path, before = tmp_path / "out.json", baseline.read_bytes()
    values["speed"] = 1.0  # a regression, but an unfinished run is no verdict
    ran = run("bench", "--out", path, "--baseline", baseline, "--update", *force)
    assert ran.code == 130
    assert f"stopped after 2 measurements; {path} has them" in ran.err
    assert "Traceback" not in ran.err
    bench = Bench.model_validate_json(path.read_text())
    assert [each.name for each in bench.entries] == ["speed/metric", "recovery/metric"]
    assert baseline.read_bytes() == before
    assert "recovery/metric" in ran.out
    assert "cost/metric" not in ran.out
    # What was kept is a document like any other.
    assert run("bench", "--suite", "speed", "--baseline", path).code == 0


def test_half_a_suite_is_kept_too_and_json_is_printed(
    run: Run, values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(*_: object) -> Iterator[Entry]:
        yield entry("first", 1.0, suite="speed", better="higher", spread=0.01)
        raise KeyboardInterrupt

    monkeypatch.setitem(suites.SUITES, "speed", half)
    ran = run("bench", "--format", "json")
    assert ran.code == 130
    assert [each["metric"] for each in json.loads(ran.out)["entries"]] == ["first"]
    assert "stopped after 1 measurement" in ran.err


@pytest.mark.skipif(os.name != "posix", reason="Windows ends a process without a signal")
def test_a_termination_does_what_an_interruption_does(
    run: Run, values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def terminated(*_: object) -> Iterator[Entry]:
        yield entry("first", 1.0, suite="speed", better="higher", spread=0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setitem(suites.SUITES, "speed", terminated)
    before, path = signal.getsignal(signal.SIGTERM), tmp_path / "out.json"
    ran = run("bench", "--suite", "speed", "--out", path)
    assert ran.code == 130
    assert f"stopped after 1 measurement; {path} has it" in ran.err
    assert len(Bench.model_validate_json(path.read_text()).entries) == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_kill_leaves_what_was_measured(
    run: Run, values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "out.json", list[bytes]()

    def look(*_: object) -> list[Entry]:
        seen.append(path.read_bytes())  # what a SIGKILL now would leave
        return []

    monkeypatch.setitem(suites.SUITES, "cost", look)
    assert run("bench", "--out", path).code == 0
    assert len(Bench.model_validate_json(seen[0]).entries) == 4
