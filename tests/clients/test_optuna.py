"""Optuna reads what we export, in Python and at its own command line."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from autospace.spaces import Space
from tests.clients.exchange import (
    DRAWN,
    SPACES,
    assert_all_return,
    awkward_space,
    ids_of,
    learned_space,
    text_for,
)

optuna = pytest.importorskip("optuna", reason="make test-clients has it")

each_space = pytest.mark.parametrize("make", SPACES)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _read(space: Space) -> dict[str, Any]:
    return {
        name: optuna.distributions.json_to_distribution(json.dumps(each))
        for name, each in json.loads(text_for("optuna", space)).items()
    }


@each_space
def test_layers_and_cells_arrive_in_order(make: Any) -> None:
    space = make()
    assert {name: list(each.choices) for name, each in _read(space).items()} == ids_of(space)


@each_space
def test_samples_are_our_architectures(make: Any) -> None:
    space = make()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert_all_return(space, (study.ask(_read(space)).params for _ in range(DRAWN)))


def test_tpe_finds_a_small_network_and_starts_from_the_reference() -> None:
    space = learned_space()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
    study.enqueue_trial(dict(space.reference))
    for _ in range(40):
        trial = study.ask(_read(space))
        study.tell(trial, space.cost(trial.params).madds)
    assert study.trials[0].params == dict(space.reference)
    # 40 of 120 architectures: a uniform draw is in the best twentieth of the range less often.
    limit = space.madds.min + 0.05 * (space.madds.max - space.madds.min)
    assert space.madds.min <= study.best_value <= limit
    assert_all_return(space, [study.best_params], everything=False)


@pytest.mark.slow
def test_a_shell_can_ask(tmp_path: Path) -> None:
    space = awkward_space()
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(storage=storage, study_name="nas")
    command = [sys.executable, "-c", "from optuna.cli import main; raise SystemExit(main())"]
    command += ["--storage", storage, "ask", "--study-name", "nas", "--format", "json"]
    command += ["--search-space", text_for("optuna", space)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_all_return(space, [json.loads(done.stdout)["params"]], everything=False)
