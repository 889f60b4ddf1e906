"""Hydra's sweepers start one run for each architecture, or draw some of them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autospace.spaces import Space
from tests.clients.exchange import assert_all_return, awkward_space, learned_space, text_for

pytest.importorskip("hydra", reason="make test-clients has it")
pytestmark = pytest.mark.slow


def plain_space() -> Space:
    """Ids that are numbers, keywords and words of no alphabet of Hydra's, but need no escapes."""
    space, ids = (
        awkward_space(),
        iter(("null", "007", "1.5", "True", "名前🧬", "-1e5", "~a#b;c%") * 3),
    )
    layers = tuple(
        replace(layer, candidates=tuple(replace(c, id=next(ids)) for c in layer.candidates))
        for layer in space.layers
    )
    return replace(space, layers=layers)


each_space = pytest.mark.parametrize("make", [learned_space, plain_space])

PROGRAM = """\
import json
import hydra

@hydra.main(version_base=None)
def main(config):
    choices = {name: value for name, value in config.items() if name.startswith("layer_")}
    with open("found.jsonl", "a") as stream:
        stream.write(json.dumps(choices) + "\\n")
    return float(len(json.dumps(choices)))

main()
"""


def runs(space: Space, folder: Path, *overrides: str) -> list[dict[str, Any]]:
    """The choices of every run that a program with our configuration starts."""
    (folder / "space.yaml").write_text(text_for("hydra", space), encoding="utf-8")
    (folder / "train.py").write_text(PROGRAM)
    quiet = (
        "hydra/hydra_logging=disabled",
        "hydra/job_logging=disabled",
        "hydra.output_subdir=null",
    )
    command = [sys.executable, "train.py", "--config-dir", str(folder), "--config-name", "space"]
    done = subprocess.run(
        [*command, *quiet, *overrides], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = (folder / "found.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


@each_space
def test_a_sweep_runs_every_architecture_once(make: Any, tmp_path: Path) -> None:
    space = make()
    found = runs(space, tmp_path, "--multirun")
    assert_all_return(space, found)
    assert len(found) == len({json.dumps(each) for each in found}) == space.size


@each_space
def test_without_a_sweep_the_values_are_the_reference(make: Any, tmp_path: Path) -> None:
    space = make()
    (found,) = runs(space, tmp_path)
    assert_all_return(space, [found], everything=False)
    if space.reference:
        assert found == dict(space.reference)


@each_space
def test_optuna_samples(make: Any, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    sampling = ("hydra/sweeper=optuna", "hydra.sweeper.n_trials=12", "hydra.sweeper.n_jobs=1")
    found = runs(make(), tmp_path, *sampling, "--multirun")
    assert_all_return(make(), found, everything=False)
    assert len(found) == 12
