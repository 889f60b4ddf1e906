"""`--dry-run` of every command that works for long: the plan is shown, and nothing is written."""

import json
from pathlib import Path
from typing import Any

import pytest

from autospace import api
from autospace.progress import Silent
from autospace.runs.errors import ConfigError
from autospace.searchers import forecast as search_forecast
from autospace.searchers.driver import run_search
from autospace.searchers.folder import SearchFolder
from autospace.spaces import mbconv, to_json
from autospace.spaces.files.families import family_space
from tests.cli.conftest import Run
from tests.comparison.setups import CHEAP, space
from tests.searchers.problems import SKELETON, settings

SPACE = family_space("mbconv", SKELETON)
DATA = ("--data", "synthetic:classes=3,train=60,test=40", "--device", "cpu")
PLANS = {
    "evolve": (("evolve", "--preset", "demo", "--generations", 1), "cells = "),
    "compare": (("compare", "one.json", "two.json", "--workers", 1), "networks per space: "),
    "untrained": (("compare", "one.json", "two.json", "--evaluator", "naswot"), "score untrained"),
    "no cost": (("compare", "one.json", "dear.json", "--workers", 1), "no networks of equal cost"),
    "search": (("search", "one.json"), "2,000 steps, 16 networks to evaluate"),
    "alone": (("search", "one.json", "--method", "random"), "16 networks to train alone"),
    "darts": (("search", "one.json", "--method", "darts"), "at least"),
    "train": (("train", "one.json"), "train a network of"),
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three space files; the first holds one architecture."""
    folder = tmp_path / "work"
    folder.mkdir()
    for name, cells in (("one", CHEAP[:2]), ("two", CHEAP[2:]), ("dear", [mbconv(7, 6)])):
        (folder / f"{name}.json").write_text(to_json(space(cells, name)))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_is_shown_and_nothing_is_written(run: Run, work: Path, name: str) -> None:
    if name == "train":
        (work / "one.json").write_text(to_json(space(CHEAP[:1], "one")))
    before = sorted(work.rglob("*"))
    command, said = PLANS[name]
    ran = run(*command, *DATA, "--dry-run", "--progress", "none")
    assert ran.code == 0, ran.err
    assert all(line.startswith("plan: ") and len(line) <= 80 for line in ran.out.splitlines())
    assert said in ran.out
    assert "plan: " not in ran.err  # the plan is the result, and is shown once
    record = json.loads(
        run(*command, *DATA, "--dry-run", "--progress", "none", "--format", "json").out
    )
    assert record["images"]["train"] == 60
    assert sorted(work.rglob("*")) == before


def test_a_plan_says_why_nothing_can_be_compared_and_what_can(run: Run, work: Path) -> None:
    command = ("compare", "one.json", "dear.json", "two.json", *DATA, "--workers", 1)
    ran = run(*command, "--dry-run", "--progress", "none")
    assert ran.out.splitlines()[-1] == ("plan: without dear the other spaces can be compared")
    found = run(*command, "--out", "run", "--progress", "none", "--format", "json")
    assert found.code == 1
    said = json.loads(found.out)["sentence"]
    assert said.startswith("the spaces cannot be compared at equal MAdds, because the costs of")
    assert said.endswith("; without dear the other spaces can be compared")


def test_a_cache_that_is_not_there_is_not_made(run: Run, work: Path) -> None:
    command = ("compare", "one.json", "two.json", "--cache", "kept", "--workers", 1)
    ran = run(*command, *DATA, "--dry-run", "--progress", "none")
    assert ran.code == 0, ran.err
    assert not (work / "kept").exists()


def test_the_plan_of_a_training_has_the_batch_that_is_used(run: Run, work: Path) -> None:
    (work / "one.json").write_text(to_json(space(CHEAP[:1], "one")))
    ran = run("train", "one.json", *DATA, "--dry-run", "--epochs", 1, "--progress", "none")
    assert "plan: 1 epoch, 1 step of 54 images" in ran.out.splitlines()


@pytest.mark.parametrize("command", ["evolve", "compare", "search", "train"])
def test_a_run_that_has_begun_has_no_plan(run: Run, work: Path, command: str) -> None:
    ran = run(command, "--resume", "run", "--dry-run")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "--dry-run" in ran.err


def test_a_wrong_argument_is_one_line(run: Run, work: Path) -> None:
    for command in (("search", "none.json"), ("train", "none.json"), ("compare", "one.json", "no")):
        ran = run(*command, *DATA, "--dry-run", "--progress", "none")
        assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err


def test_a_table_has_nothing_to_train(run: Run, work: Path) -> None:
    table = ("--evaluator", "table", "--table", "nasbench-macro", "--dry-run")
    name = "nasbench-macro@nasbench-macro"
    found = run("search", name, *table, "--progress", "none")
    assert (found.code, found.out) == (0, "plan: method random-ws: 200 networks to evaluate\n")
    scored = run("search", name, *table, "--method", "zero-cost", "--set", "options.score=params")
    assert (scored.code, scored.out) == (0, "plan: method zero-cost\n")
    compared = run("compare", name, name, *table, "--samples", 8, "--progress", "none")
    assert compared.code == 0, compared.err
    assert "to look up in the table" in compared.out


def test_the_plan_of_another_function_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"command: .*; allowed: evolve, compare, search, train"):
        api.plan(api.export)
    with pytest.raises(ConfigError, match="resume: "):
        api.plan(api.train, resume="run")


class _Hearing(Silent):
    def __init__(self) -> None:
        self.plans: list[str] = []

    def message(self, text: str) -> None:
        if text.startswith("plan: "):
            self.plans.append(text)


@pytest.mark.parametrize("method", ["spos", "darts", "random", "petridish", "zero-cost"])
def test_timed_steps_of_a_search_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    results, heard = [], []
    for name, few in (("timed", 1), ("untimed", 10**9)):
        monkeypatch.setattr(search_forecast, "FEW_STEPS", few)
        observer = _Hearing()
        folder = SearchFolder.create(tmp_path / name, settings(method=method))
        found = run_search(folder, SPACE, observer).model_dump(mode="json")
        found |= {"seconds": 0, "memory_mb": 0}
        results.append(found | {"trajectory": [x | {"seconds": 0} for x in found["trajectory"]]})
        heard.append(observer.plans)
    assert results[0] == results[1]
    assert heard[0][: len(heard[1])] == heard[1]
    assert "by timed steps" in heard[0][-1]


class _Stopping(Silent):
    def message(self, text: str) -> None:
        if "training and" in text:  # What was read, when the folder of the run is there.
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["evolve", "compare", "search", "train"])
def test_ctrl_c_names_no_folder_that_is_gone(
    run: Run, work: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (work / "one.json").write_text(to_json(space(CHEAP[:1] if name == "train" else CHEAP, "one")))
    arguments, _ = PLANS[name]
    asked = api.plan

    def stopped(*values: Any, **named: Any) -> Any:
        return asked(*values, **{**named, "observer": _Stopping()})

    monkeypatch.setattr(api, "plan", stopped)
    ran = run(*arguments, *DATA, "--dry-run")
    assert (ran.code, ran.out) == (130, ""), ran.err
    assert ran.err.splitlines()[-1] == "interrupted"
    assert "resume" not in ran.err


def test_a_setting_that_has_no_effect_on_the_cells_is_an_error(run: Run, tmp_path: Path) -> None:
    given = (
        "evolve",
        "--skeleton",
        "darts-small",
        "--data",
        "synthetic:classes=3,train=60,test=12",
    )
    place = tmp_path / "run"
    found = run(*given, "--set", "cells.window=1", "--out", place, "--dry-run")
    assert found.code == 2
    problem = "cells.window: 1, which has no effect on darts cells; allowed on darts-small: 2"
    assert problem in found.err
    assert not place.exists()
    (tmp_path / "mine.toml").write_text("[cells]\nreference_expansion = 4\n")
    found = run(*given, "--config", tmp_path / "mine.toml", "--out", place, "--dry-run")
    assert found.code == 2
    assert "cells.reference_expansion: 4, which has no effect" in found.err
