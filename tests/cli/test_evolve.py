"""`autospace evolve`: options, errors, interruption, resumption."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from autospace.cli.progress.base import Phase, Reporter
from autospace.compute.executor import Executor
from autospace.evolution.settings import NEEDS_DATA, PRESETS, make_config
from autospace.runs.settings import read_config
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces.files.library import load
from tests.cli.conftest import Ran, Run
from tests.evolution.runs import SKELETON

Golden = Callable[[str, str], None]


FEW = (
    "fitness is measured on 30 images only, so that chance has a large part in the result; 100 "
    "images or more are better"
)
READ = (
    "synthetic:gratings: 60 training and 12 test images, 3 classes, 8x8 pixels, grey\n"
    "classes (training+test): gratings-0 20+4, gratings-1 20+4, gratings-2 20+4\n"
)


def _without_plan(text: str) -> str:
    """The text without the plan, which holds times, and what the reference is worth."""
    return re.sub(r"(?m)^(plan: |reference: |warning: the reference network).*\n", "", text)


@pytest.fixture
def tiny(tmp_path: Path) -> list[object]:
    """Options of a run of half a second."""
    skeleton = tmp_path / "two.toml"
    skeleton.write_text(SKELETON)
    options = {
        "--data": "synthetic:classes=3,train=60,test=12",
        "--skeleton": skeleton,
        "--device": "cpu",
        "--generations": 3,
        "--population": 5,
        "--candidates": 2,
        "--keep": 2,
        "--steps": 2,
    }
    sets = ("evolution.tournament=2", "scoring.batch=8", "scoring.validation_batches=1")
    more = ("warm_up.steps=5", "warm_up.batch=8", "cells.reference_expansion=1")
    listed = [each for pair in options.items() for each in pair]
    return listed + [each for setting in (*sets, *more) for each in ("--set", setting)]


@pytest.fixture
def evolve(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """Runs `evolve` in a folder of its own."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return lambda *arguments: run("evolve", *arguments)


def _files(path: Path) -> set[str]:
    return {each.relative_to(path).as_posix() for each in path.rglob("*")}


def _times(path: Path) -> dict[str, int]:
    return {each: (path / each).stat().st_mtime_ns for each in _files(path) if ".lock" not in each}


def test_help(run: Run, golden: Golden) -> None:
    ran = run("evolve", "--help")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    golden("help-evolve.txt", ran.out)


def test_a_space_is_learned_and_the_outcome_told(
    evolve: Callable[..., Ran], tiny: list[object], tmp_path: Path
) -> None:
    ran = evolve(*tiny, "--out", "run", "--progress", "none")
    assert (ran.code, _without_plan(ran.err)) == (0, f"{READ}{FEW}\n")
    assert f"Note: {FEW}." in " ".join(ran.out.split())
    assert max(map(len, ran.out.splitlines())) <= 80
    space = load(tmp_path / "work" / "run")
    assert f"Learned a space of 2 layers with 5 cells each: {space.size} architectures," in ran.out
    assert "autospace show run" in ran.out
    again = evolve(*tiny, "--out", "again", "--progress", "none")
    assert again.code == 0
    work = tmp_path / "work"
    assert (work / "run/space.json").read_bytes() == (work / "again/space.json").read_bytes()


def test_what_works_on_a_run_has_its_images(
    evolve: Callable[..., Ran], tiny: list[object], run: Run
) -> None:
    ran = evolve(*tiny, "--out", "a run", "--progress", "none", "--format", "json")
    record = json.loads(ran.out)
    images = "synthetic:classes=3,train=60,test=12"
    assert record["data"]["source"] == images
    assert record["space"] == "a run/space.json"
    assert record["layers"] == 2
    assert run(*shlex.split(record["next"][0])[1:]).code == 0
    short = ("--device", "cpu", "--progress", "none", "--format", "json")
    trained = run("train", "reference@a run", "--epochs", 1, "--batch", 8, "--out", "net", *short)
    assert f"those of a run are used, {images}" in trained.err
    result = json.loads(trained.out)
    assert result["data"]["train"] + result["data"]["validation"] == 60
    low, high = result["test_accuracy_interval"]
    assert low <= result["test_accuracy"] <= high
    assert result["next"][0] == "autospace show net/architecture.json"
    small = ("--samples", 4, "--steps", 2, "--workers", 1, "--out", "proof")
    compared = run("compare", "a run", "mbconv@a run", *small, *short)
    assert compared.code in (0, 1), compared.err
    assert f"those of a run are used, {images}" in compared.err
    elsewhere = run("search", "a run/space.json", "--data", "digits", "--method", "x", *short)
    assert "are used" not in elsewhere.err


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    evolve: Callable[..., Ran], tiny: list[object], tmp_path: Path
) -> None:
    ran = evolve(*tiny, "--dry-run", "--progress", "none")
    assert (ran.code, ran.err) == (0, f"{READ}{FEW}\n")
    assert [line.partition(":")[0] for line in ran.out.splitlines()] == ["plan"] * 4
    assert max(map(len, ran.out.splitlines())) <= 80
    record = json.loads(evolve(*tiny, "--dry-run", "--format", "json", "--out", "run").out)
    assert (record["rounds"], record["cells"], record["warnings"]) == (8, 32, [])
    assert [each["train"] for each in record["images"]["classes"]] == [20, 20, 20]
    assert _files(tmp_path / "work") == set()
    refused = evolve("--resume", "run", "--dry-run")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--dry-run" in refused.err
    wrong = evolve(*tiny, "--dry-run", "--data", "folder:/no/such")
    assert (wrong.code, wrong.err.count("\n")) == (2, 1)


def test_the_worth_of_the_reference_is_shown_by_all_that_read_the_run(
    evolve: Callable[..., Ran], run: Run, tiny: list[object], tmp_path: Path
) -> None:
    ran = evolve(*tiny, "--out", "run", "--progress", "none", "--format", "json")
    found = json.loads(ran.out)
    kept = json.loads((tmp_path / "work/run/reference.json").read_text())
    assert found["reference_network"] == kept
    assert found["images"] == json.loads((tmp_path / "work/run/data.json").read_text())
    share = f"{kept['accuracy']:.1%}"
    assert f"reference: validation accuracy {share}" in ran.err
    for source in ("run", "run/space.json"):
        assert f"reference: validation accuracy {share}" in run("show", source).out
        shown = json.loads(run("show", source, "--format", "json").out)
        assert shown["reference_network"] == kept
    assert run("report", "run").code == 0
    page = (tmp_path / "work/run/report.html").read_text()
    assert f"validation accuracy {share}" in page
    built_in = json.loads(run("show", "mbconv@digits", "--format", "json").out)
    assert "reference_network" not in built_in
    (tmp_path / "work/run/reference.json").write_text("{}")
    broken = run("show", "run")
    assert (broken.code, broken.err.count("\n")) == (2, 1)
    assert "reference.json" in broken.err


def test_a_run_and_its_report_keep_what_was_read(
    evolve: Callable[..., Ran], run: Run, tiny: list[object], tmp_path: Path
) -> None:
    assert evolve(*tiny, "--out", "run", "--progress", "none").code == 0
    folder = tmp_path / "work/run"
    kept = json.loads((folder / "data.json").read_text())
    assert kept["lines"] == READ.splitlines()
    assert [each["train"] for each in kept["classes"]] == [20, 20, 20]
    assert run("report", "run", "--out", "one.html").code == 0
    assert READ.splitlines()[1] in (tmp_path / "work/one.html").read_text()
    for damaged in ("no JSON", "[1]", '{"lines": 3}'):
        (folder / "data.json").write_text(damaged)
        assert run("report", "run", "--out", "two.html", "--force").code == 0
        assert READ.splitlines()[1] not in (tmp_path / "work/two.html").read_text()


def test_options_win_over_set_over_file_over_preset(
    evolve: Callable[..., Ran],
    tiny: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "a.toml").write_text("seed = 1\n[evolution]\nkeep = 3\nconfirm = 2\n")
    monkeypatch.setattr("autospace.evolution.learn.learn", _stop)
    ran = evolve(
        *("--preset", "demo", *tiny, "--config", tmp_path / "a.toml"),
        *("--set", "evolution.keep=4", "--set", "evolution.confirm=3", "--keep", "5"),
        *("--seed", "7", "--max-madds", "5M", "--max-params", "none", "--out", "run"),
        *("--scorer", "gated", "--objectives", "fitness, madds"),
    )
    assert ran.code == 130
    config = make_config(read_config(tmp_path / "work" / "run" / "config.toml", "evolve"))
    assert (config.seed, config.evolution.keep, config.evolution.confirm) == (7, 5, 3)
    assert (config.budget.max_madds, config.budget.max_params) == (5_000_000, "none")
    assert (config.scoring.method, config.evolution.objectives) == ("gated", ("fitness", "madds"))
    assert config.data.crop == 1
    assert config.skeleton == str(tmp_path / "two.toml")


@pytest.mark.parametrize(
    ("options", "default", "expected"),
    [([], "", None), ([], "3", 3), (["--workers", "5"], "3", 5)],
)
def test_workers_are_those_asked_for_or_as_many_as_fit(
    evolve: Callable[..., Ran],
    tiny: list[object],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    default: str,
    expected: int | None,
) -> None:
    def learn(
        folder: object, observer: object, device: object, workers: Executor, passed: object
    ) -> None:
        asked.append(workers)
        _stop()

    asked: list[Executor] = []
    monkeypatch.setattr("autospace.evolution.learn.learn", learn)
    monkeypatch.setenv("AUTOSPACE_WORKERS", default)
    evolve("--preset", "demo", *tiny, "--out", "run", *options)
    evolve("--resume", "run", *options)
    assert asked == [Executor(expected), Executor(expected)]


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_paths_are_kept_so_that_a_run_resumes_from_any_folder(
    evolve: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autospace.evolution.learn.learn", _stop)
    evolve("--data", "folder:../pets", "--skeleton", "../two.toml", "--out", "run")
    config = make_config(read_config(tmp_path / "work" / "run" / "config.toml", "evolve"))
    assert config.data.source == f"folder:{tmp_path}/work/../pets"
    assert config.skeleton == f"{tmp_path}/work/../two.toml"


BAD: list[tuple[list[str], str]] = [
    (["--preset", "big"], 'preset "big": unknown; allowed: demo, cifar-small'),
    (["--preset", ""], 'preset "": unknown; allowed: demo'),
    (["--data", "folder:/no/such"], "/no/such"),
    (["--data", "cifar10:/no/such"], "/no/such"),
    (["--data", "photos"], "is not a data source"),
    (["--data", ""], "is not a data source"),
    (["--data", "synthetic:sise=3"], "unknown option 'sise'"),
    (["--skeleton", "tower"], "tower: unknown skeleton; allowed: digits"),
    (["--skeleton", "/no/such.json"], "/no/such.json: no such file"),
    (["--skeleton", ""], "skeleton: "),
    (["--generations", "-1"], "evolution.generations: -1; allowed: a whole number from 0"),
    (["--population", "1"], "evolution.population: 1; allowed: a whole number from 2"),
    (["--population", "3"], "tournament: 4; allowed: at most the population, 3"),
    (["--candidates", "0"], "evolution.candidates: 0; allowed: a whole number from 1"),
    (["--steps", "0"], "scoring.steps: 0"),
    (["--keep", "0"], "evolution.keep: 0"),
    (["--seed", "-1"], "seed: -1; allowed: a whole number from 0"),
    (["--scorer", "best"], 'scoring.method: "best"; allowed: '),
    (["--objectives", "speed"], 'evolution.objectives[0]: "speed"; allowed: fitness or madds'),
    (["--max-madds", "1"], "the limit is 1 MAdds, but the reference cells need"),
    (["--max-params", "5"], "the limit is 5 params, but the reference cells need"),
    (["--max-madds", "5X"], "--max-madds '5X': expected a number such as 5M, none or reference"),
    (["--max-madds", "nan"], "--max-madds 'nan': expected a number"),
    (
        ["--device", "gpu"],
        'device: "gpu"; did you mean cuda? Allowed: auto, cpu, all or cuda[:n,...]',
    ),
    (
        ["--device", "cpu,cuda:0"],
        'device: "cpu,cuda:0"; did you mean cuda? Allowed: auto, cpu, all or cuda[:n,...]',
    ),
    (["--device", "cuda:97,98"], "device 'cuda:97,98': this machine has"),
    (["--device", "cuda:98"], "device 'cuda:98': this machine has"),
    (["--config", "/no/such.toml"], "/no/such.toml: no such file or directory"),
    (["--config", "/"], "is a folder"),
    (["--set", "scoring.rho"], '--set "scoring.rho": not a setting; allowed: section.name=value'),
    (["--set", "scoring.rho=-1"], "scoring.rho: -1; allowed: a number above 0"),
    (["--set", "data=3"], "data: 3; allowed: a section of settings"),
    (["--set", "a.b=3"], "a: unknown setting; allowed: seed"),
    (["--progress", "loud"], "--progress 'loud': allowed: auto, plain, json, none"),
    (["--out", "/dev/null"], "/dev/null: is a file"),
    (["--out", "/dev/null/run"], "Not a directory"),
    (["--workers", "0"], "--workers 0: allowed: 1 to 1,024"),
    (["--resume", "/no/such/run"], "/no/such/run: there is no run to resume"),
    (["--resume", "x", "--force"], "--resume: keeps the settings of the run"),
]


@pytest.mark.parametrize(("options", "problem"), BAD, ids=[" ".join(each) for each, _ in BAD])
def test_bad_input_is_one_line_and_leaves_nothing_behind(
    evolve: Callable[..., Ran], tmp_path: Path, options: list[str], problem: str
) -> None:
    preset = [] if {"--preset", "--resume"} & set(options) else ["--preset", "demo"]
    ran = evolve(*preset, *options)
    lines = ran.err.splitlines()
    assert ran.code == 2
    assert ran.out == ""
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert problem in lines[0]
    assert _files(tmp_path / "work") == set()


@pytest.mark.parametrize("name", NEEDS_DATA)
def test_presets_that_need_images_say_so(evolve: Callable[..., Ran], name: str) -> None:
    ran = evolve("--preset", name)
    assert (ran.code, ran.out) == (2, "")
    advice = f"add --data {NEEDS_DATA[name]} (data= in Python)"
    assert ran.err == f"error: preset {name}: needs your images; {advice}\n"


def test_help_names_every_preset_and_method(run: Run) -> None:
    text = " ".join(run("evolve", "--help").out.split())
    assert all(name in text for name in (*PRESETS, *get_args(ScoringMethod)))


def test_a_run_is_not_overwritten_unless_forced(
    evolve: Callable[..., Ran], tiny: list[object], tmp_path: Path
) -> None:
    options = (*tiny, "--out", "run", "--progress", "none")
    assert evolve(*options).code == 0
    first = (tmp_path / "work/run/space.json").read_bytes()
    ran = evolve(*options, "--seed", 5)
    assert ran.code == 2
    assert ran.err == (
        "error: run: already holds a run; continue it with --resume run "
        "(resume= in Python), or replace it with --force (force=True in Python)\n"
    )
    assert evolve(*options, "--seed", 5, "--data", "folder:/no", "--force").code == 2
    assert (tmp_path / "work/run/space.json").read_bytes() == first
    assert evolve(*options, "--seed", 5, "--force").code == 0
    assert (tmp_path / "work/run/space.json").read_bytes() != first


def test_a_finished_run_says_so_and_stays_as_it_is(
    evolve: Callable[..., Ran], tiny: list[object], tmp_path: Path
) -> None:
    first = evolve(*tiny, "--out", "run", "--progress", "none")
    work = tmp_path / "work"
    before = _times(work)
    ran = evolve("--resume", "run", "--progress", "plain")
    assert (ran.code, ran.out) == (0, first.out)
    assert ran.err == "run: the run is finished already\n"
    assert _times(work) == before


def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(
    evolve: Callable[..., Ran],
    tiny: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Not always Python's own handler: a shell's background job ignores the signal.
    before = signal.getsignal(signal.SIGINT)
    assert evolve(*tiny, "--out", "whole", "--progress", "none").code == 0
    for phase, name in (("warm-up", "a b"), ("score", "second")):
        with monkeypatch.context() as patched:
            patched.setattr(Reporter, "show_tick", _interrupting(phase))
            ran = evolve(*tiny, "--out", name, "--progress", "none")
        assert (ran.code, ran.out) == (130, "")
        quoted = f"'{name}'" if " " in name else name
        assert _without_plan(ran.err) == (
            f"{READ}{FEW}\n"
            "stopping after this step; press Ctrl-C again to stop at once\n"
            f"interrupted; nothing is lost: autospace evolve --resume {quoted}\n"
        )
        assert evolve("--resume", name, "--progress", "none").code == 0
        work = tmp_path / "work"
        assert (work / name / "space.json").read_bytes() == (work / "whole/space.json").read_bytes()
    assert signal.getsignal(signal.SIGINT) is before


def _interrupting(wanted: str) -> Callable[..., None]:
    def show_tick(self: Reporter, _: Phase) -> None:
        if self.now[0] == wanted and not self.stopping:
            signal.raise_signal(signal.SIGINT)

    return show_tick


def test_quiet_does_not_hide_how_to_go_on(
    evolve: Callable[..., Ran], tiny: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reporter, "show_tick", _interrupting("warm-up"))
    ran = evolve(*tiny, "--out", "run", "-q")
    line = "interrupted; nothing is lost: autospace evolve --resume run\n"
    assert (ran.code, ran.err) == (130, line)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("candidates = 2", "candidates = 3", "evolution.candidates"),
        ("steps = 5", "steps = 6", "warm_up.steps"),
        ("generations = 3", "generations = 1", "evolution.generations"),
    ],
)
def test_changed_settings_are_refused_before_images_are_read(
    evolve: Callable[..., Ran],
    tiny: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    name: str,
) -> None:
    assert evolve(*tiny, "--out", "run", "--progress", "none").code == 0
    (tmp_path / "work/run/space.json").unlink()
    config = tmp_path / "work/run/config.toml"
    config.write_text(config.read_text().replace(old, new))
    monkeypatch.setattr("autospace.evolution.preparation.load_data", None)
    ran = evolve("--resume", "run", "--progress", "none")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert name in ran.err


def test_ctrl_c_before_a_forced_run_begins_leaves_the_earlier_one(
    evolve: Callable[..., Ran],
    tiny: list[object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = (*tiny, "--out", "run", "--progress", "none")
    assert evolve(*options).code == 0
    before = (tmp_path / "work/run/space.json").read_bytes()
    monkeypatch.setattr(Reporter, "show_tick", _interrupting("data"))
    ran = evolve(*options, "--force", "--seed", 4)
    assert ran.code == 130
    assert ran.err.endswith("interrupted before the new run began; the earlier one is untouched\n")
    assert (tmp_path / "work/run/space.json").read_bytes() == before


def test_a_real_ctrl_c_in_a_real_process(tiny: list[object], tmp_path: Path, run: Run) -> None:
    code = "import sys; from autospace.cli.main import app; sys.argv[0] = 'autospace'; app()"
    command = [sys.executable, "-c", code, "evolve", *map(str, tiny)]
    command += ["--out", str(tmp_path / "run"), "--progress", "json", "--generations", "400"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        if process.stderr is None:
            raise RuntimeError
        events = []
        for line in process.stderr:
            events.append(json.loads(line))
            if events[-1].get("round") == 4:
                process.send_signal(signal.SIGINT)
    assert process.returncode == 130
    said = "".join(f"{each['text']}\n" for each in events if each["event"] == "message")
    assert _without_plan(said).splitlines() == [
        *READ.splitlines(),
        FEW,
        "stopping after this step; press Ctrl-C again to stop at once",
        f"interrupted; nothing is lost: autospace evolve --resume {tmp_path / 'run'}",
    ]
    assert all("Traceback" not in str(each) for each in events)
    state = json.loads((tmp_path / "run/checkpoint/state.json").read_text())
    log = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    assert state["round"] == len(log) >= 4
    assert run("evolve", "--resume", tmp_path / "run", "--data", "digits").code == 2
