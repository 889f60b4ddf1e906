"""Scripts that train many networks share their work out as the commands do."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from autospace.compute.executor import Executor
from tests.benchmarks.scripts import script

__all__ = ["script"]

IMAGES = "synthetic:classes=10,train=200,test=40,channels=3,resolution=16"
QUICK = {
    "scoring": {"steps": 1, "validation_batches": 1},
    "warm_up": {"steps": 3},
    "evolution": {"generations": 1},
}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Executor(2)),
        (["--workers", "3"], Executor(3)),
        (["--executor", "here"], Executor(None, "here")),
        (["--executor", "processes", "--workers", "1"], Executor(1, "processes")),
        (["--executor", "ray", "--address", "a:1"], Executor(None, "ray", "a:1")),
    ],
)
def test_the_options_choose_an_executor(script: Any, words: list[str], expected: Executor) -> None:
    options, parser = script("work_options"), argparse.ArgumentParser()
    options.add_work_options(parser, workers=2)
    assert options.executor_of(parser.parse_args(words)) == expected


@pytest.mark.parametrize("name", ["results", "claim", "curve"])
def test_scripts_refuse_values_that_exclude_each_other_in_a_line(
    script: Any,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    own = {
        "results": ["--parts", "learn"],
        "claim": ["--part", "learn", "--seeds", "1"],
        "curve": [str(tmp_path), "--out", str(tmp_path / "found.json")],
    }
    words = [*own[name], "--data", IMAGES, "--work", str(tmp_path), "--address", "a:1"]
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(SystemExit) as ended:
        script(name).main()
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert said == [
        'error: address: "a:1" needs executor ray; allowed: --executor ray --address HOST:PORT'
    ]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_runs_and_trainings_are_the_same_here_and_in_processes(
    script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    setup, curve = script("results_setup"), script("curve")
    spaces, found = [], []
    for executor in (Executor(None, "here"), Executor(2, "processes")):
        assert executor.name is not None
        work = tmp_path / executor.name
        study = setup.Study(IMAGES, work, 1, QUICK)
        setup.learn_all(study, setup.FIRST, [0], executor)
        run, out = study.run_folder(setup.FIRST, 0), work / "found.json"
        spaces.append((run / "space.json").read_bytes())
        words = [str(run), "--data", IMAGES, "--out", str(out), "--work", str(work / "curve")]
        words += ["--count", "2", "--steps", "2", "--executor", executor.name]
        monkeypatch.setattr(sys, "argv", ["curve.py", *words])
        curve.main()
        (own,) = json.loads(out.read_text())["runs"]
        del own["rounds"]  # They have times.
        found.append(own)
        assert float((work / "spent.tsv").read_text().split()[-1]) > 0
    assert spaces[0] == spaces[1]
    assert found[0] == found[1]
    assert set(found[0]["accuracies"]) == {"learned", "initial", "reference"}
