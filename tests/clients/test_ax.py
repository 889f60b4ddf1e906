"""Ax searches among the choices that we export."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.exchange import (
    assert_all_return,
    awkward_space,
    ids_of,
    learned_space,
    module_for,
)

api = pytest.importorskip("ax.api.client", reason="make test-clients has it")
pytestmark = pytest.mark.slow
each_space = pytest.mark.parametrize("make", [learned_space, awkward_space])


def _client(module: Any) -> Any:
    client = api.Client(random_seed=0)
    client.configure_experiment(parameters=module.parameters())
    client.configure_optimization(objective="-madds")
    return client


@each_space
def test_layers_and_cells_arrive_in_order(make: Any, tmp_path: Path) -> None:
    found = module_for("ax", make(), tmp_path).parameters()
    assert {each.name: list(each.values) for each in found} == ids_of(make())


@each_space
def test_trials_are_our_architectures(make: Any, tmp_path: Path) -> None:
    space = make()
    module = module_for("ax", space, tmp_path)
    client, tried = _client(module), []
    for _ in range(8):
        for index, choices in client.get_next_trials(max_trials=1).items():
            tried.append(choices)
            client.complete_trial(index, raw_data={"madds": float(module.madds(choices))})
    assert_all_return(space, tried, everything=False)
    assert all(module.madds(each) == space.cost(each).madds for each in tried)
    best = client.get_best_parameterization(use_model_predictions=False)[0]
    assert module.madds(best) == min(map(module.madds, tried))


@each_space
def test_the_experiment_survives_their_json(make: Any, tmp_path: Path) -> None:
    client = _client(module_for("ax", make(), tmp_path))
    path = tmp_path / "experiment.json"
    client.save_to_json_file(str(path))
    again = api.Client.load_from_json_file(str(path))
    trials = again.get_next_trials(max_trials=5)
    assert_all_return(make(), trials.values(), everything=False)
