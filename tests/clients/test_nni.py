"""NNI's tuners read what we export, and nni.nas the module that we export."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from autospace.spaces import Space
from tests.clients.exchange import (
    DRAWN,
    assert_all_return,
    awkward_space,
    ids_of,
    learned_space,
    module_for,
    text_for,
)

nni = pytest.importorskip("nni", reason="make test-clients has it")

each_space = pytest.mark.parametrize("make", [learned_space, awkward_space])


def _read(space: Space) -> Any:
    return json.loads(text_for("nni", space))


@each_space
def test_the_search_space_is_valid_and_in_order(make: Any) -> None:
    from nni.common.hpo_utils import validate_search_space

    space = make()
    found = _read(space)
    assert validate_search_space(found, raise_exception=True)
    assert {name: each["_value"] for name, each in found.items()} == ids_of(space)


@each_space
def test_what_a_random_tuner_draws_is_our_architectures(make: Any) -> None:
    from nni.algorithms.hpo.random_tuner import RandomTuner

    space = make()
    tuner = RandomTuner(seed=0)
    tuner.update_search_space(_read(space))
    # It draws no architecture twice.
    count = min(DRAWN, space.size)
    assert_all_return(space, (tuner.generate_parameters(index) for index in range(count)))


def test_tpe_finds_a_small_network() -> None:
    from nni.algorithms.hpo.tpe_tuner import TpeTuner

    space = learned_space()
    tuner = TpeTuner(optimize_mode="minimize", seed=0)
    tuner.update_search_space(_read(space))
    tried = []
    for index in range(40):
        choices = tuner.generate_parameters(index)
        madds = space.cost(choices).madds
        tuner.receive_trial_result(index, choices, madds)
        tried.append((madds, choices))
    assert_all_return(space, (choices for _, choices in tried), everything=False)
    limit = space.madds.min + 0.05 * (space.madds.max - space.madds.min)
    assert min(madds for madds, _ in tried) <= limit


@each_space
def test_grid_search_tries_every_architecture_once(make: Any) -> None:
    from nni.algorithms.hpo.gridsearch_tuner import GridSearchTuner

    space = make()
    tuner = GridSearchTuner()
    tuner.update_search_space(_read(space))
    tried = [tuner.generate_parameters(index) for index in range(space.size)]
    with pytest.raises(nni.NoMoreTrialError):
        tuner.generate_parameters(space.size)
    assert len({tuple(sorted(each.items())) for each in tried}) == space.size
    assert_all_return(space, tried)


@pytest.fixture(scope="module")
def nas_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return module_for("nni-python", learned_space(), tmp_path_factory.mktemp("nas"))


def test_the_model_space_offers_layers_and_cells_in_order(nas_module: Any) -> None:
    found = nas_module.LearnedSpace().simplify()
    assert {name: list(each.values) for name, each in found.items()} == ids_of(learned_space())


def test_the_model_space_is_the_json_of_the_tuners(nas_module: Any) -> None:
    found = nas_module.LearnedSpace().simplify()
    legacy = {name: each.as_legacy_dict() for name, each in found.items()}
    assert legacy == json.loads(text_for("nni", learned_space()))


def test_samples_of_the_model_space_are_our_architectures(nas_module: Any) -> None:
    space, model = learned_space(), nas_module.LearnedSpace()
    drawn = []
    for _ in range(DRAWN):
        sample: dict[str, str] = {}
        model.random(sample)
        drawn.append(sample)
    assert_all_return(space, drawn)


def test_what_is_not_in_the_space_is_refused(nas_module: Any) -> None:
    model, choices = nas_module.LearnedSpace(), dict(learned_space().reference)
    assert model.check_contains(choices) is None
    assert model.contains(choices)
    problem = model.check_contains({**choices, "layer_02": "no such cell"})
    assert "no such cell not found in" in str(problem)
    assert model.check_contains({"layer_00": choices["layer_00"]}) is not None


def test_a_frozen_network_has_the_params_of_our_architecture(nas_module: Any) -> None:
    import torch
    from nni.nas.space import model_context

    space, model = learned_space(), nas_module.LearnedSpace()
    for index in (0, -1):
        choices = {name: ids[index] for name, ids in ids_of(space).items()}
        with model_context(choices):
            built = nas_module.LearnedSpace()
        for network in (model.freeze(choices), built):
            params = sum(weights.numel() for weights in network.parameters())
            assert params == space.cost(choices).params
            assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_regularized_evolution_runs_on_the_model_space(nas_module: Any, tmp_path: Path) -> None:
    from nni.nas.evaluator import FunctionalEvaluator
    from nni.nas.experiment import NasExperiment, NasExperimentConfig
    from nni.nas.strategy import RegularizedEvolution

    space = learned_space()
    costs = {
        space.cost(dict(zip(ids_of(space), ids, strict=True))).params
        for ids in itertools.product(*ids_of(space).values())
    }
    seen: list[int] = []

    def count(network: Any) -> None:
        seen.append(sum(weights.numel() for weights in network.parameters()))
        nni.report_final_result(-float(seen[-1]))

    config = NasExperimentConfig("sequential", "simplified", "local")
    config.max_trial_number = 12
    config.experiment_working_directory = str(tmp_path)
    strategy = RegularizedEvolution(population_size=5, sample_size=3)
    experiment = NasExperiment(
        nas_module.LearnedSpace(), FunctionalEvaluator(count), strategy, config
    )
    experiment.run(debug=False)
    (best,) = experiment.export_top_models(top_k=1, formatter="dict")
    experiment.stop()
    assert len(seen) == 12
    assert set(seen) <= costs
    assert space.cost(best).params == min(seen)
