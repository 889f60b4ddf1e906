"""Winners of clients as architectures: through each client that is installed, and by hand."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.exporters import json_clients
from autospace.importers.formats import FORMATS, import_text
from autospace.importers.target import Target
from autospace.spaces import Architecture, Space, SpaceError, load
from tests.strategies import spaces

SPACE = load("mbconv@digits")
WINNER = SPACE.sample(random.Random(1))
CLIENTS = [name for name, each in FORMATS.items() if each.needs == "space"]


def imported(name: str, value: Any, space: Space | None = SPACE) -> Architecture:
    found = import_text(name, json.dumps(value), Target(space=space))
    assert isinstance(found, Architecture)
    return found


@pytest.mark.parametrize("name", CLIENTS)
@given(space=spaces(), seed=st.integers(0, 99))
@settings(max_examples=10)
def test_the_flat_form_names_the_same_architecture_everywhere(
    name: str, space: Space, seed: int
) -> None:
    drawn = space.sample(random.Random(seed))
    assert imported(name, drawn.choices, space) == drawn


@pytest.mark.parametrize(
    ("name", "wrapped"),
    [
        ("flat", {"architecture": WINNER.choices, "madds": 1, "params": 2}),
        ("flat", [{"architecture": WINNER.choices}]),
        ("optuna", {"number": 3, "value": 0.5, "params": WINNER.choices, "state": "COMPLETE"}),
        ("optuna", [{"number": 3, "params": WINNER.choices}]),
        ("nni", {"parameter_id": 0, "parameter_source": "algorithm", "parameters": WINNER.choices}),
        ("nni", [{"id": "a", "parameter": WINNER.choices, "value": 0.5}]),
        ("configspace", {"config": WINNER.choices, "cost": 0.1}),
        ("ray", {"accuracy": 0.9, "config": WINNER.choices}),
    ],
)
def test_what_clients_wrap_around_it_is_taken_off(name: str, wrapped: Any) -> None:
    assert imported(name, wrapped) == WINNER


def without(layer: str) -> dict[str, str]:
    return {name: cell for name, cell in WINNER.choices.items() if name != layer}


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (WINNER.choices | {"layer_99": "skip"}, "layer_99: unknown layer; allowed: layer_00 to"),
        (WINNER.choices | {"layer_01": "nothing"}, 'layer_01: unknown cell "nothing"; allowed: mb'),
        (WINNER.choices | {"layer_01": 3}, "layer_01: unknown cell 3; allowed: mb"),
        (without("layer_02"), "layer_02: missing layer: every layer needs a choice"),
        ({}, "layer_00: missing layer"),
        ("layer", '"layer"; allowed: an object of layers and cell ids'),
    ],
)
def test_a_choice_that_the_space_does_not_have_is_named(
    name: str, value: Any, message: str
) -> None:
    with pytest.raises(SpaceError) as caught:
        imported(name, value)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "pyglove"])
def test_a_list_of_several_is_refused(name: str) -> None:
    with pytest.raises(SpaceError, match="a list of 2 values; allowed: a list of one architecture"):
        imported(name, [WINNER.choices] * 2)


@pytest.mark.parametrize("name", CLIENTS)
def test_without_a_space_ids_mean_nothing(name: str) -> None:
    with pytest.raises(SpaceError, match="name it with --space"):
        imported(name, WINNER.choices, None)


def test_errors_say_where_in_the_wrapping_they_are() -> None:
    with pytest.raises(SpaceError, match=r"^\[0\]\.params\.layer_00: missing layer"):
        imported("optuna", [{"params": {}}])


def indices() -> list[int]:
    layers = zip(SPACE.layers, WINNER.candidates, strict=True)
    return [layer.candidates.index(candidate) for layer, candidate in layers]


@pytest.mark.parametrize(
    "value",
    [
        indices(),
        {"_type": "pyglove.core.geno.base.DNA", "format": "compact", "value": indices()},
        {"_type": "geno.DNA", "value": indices()},
    ],
)
def test_indices_and_dna_of_pyglove_name_candidates(value: Any) -> None:
    assert imported("pyglove", value) == WINNER


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([0, 0], "2 indices; allowed: 4, one per layer of the space"),
        ([0, 99, 0, 0], "layer_01: index 99; allowed: 0 to 5"),
        ([0, -1, 0, 0], "layer_01: index -1; allowed: 0 to 5"),
        ([0, True, 0, 0], "layer_01: index true; allowed: 0 to 5"),
        ({"_type": "geno.DNA"}, "1 indices; allowed: 4, one per layer of the space"),
    ],
)
def test_indices_that_name_nothing_are_refused(value: Any, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        imported("pyglove", value)
    assert str(caught.value).startswith(message)


def test_optuna_finds_a_winner_that_comes_back() -> None:
    client = pytest.importorskip("optuna")
    client.logging.set_verbosity(client.logging.WARNING)
    exported = json.loads(json_clients.to_optuna(SPACE))
    choices = {
        name: client.distributions.json_to_distribution(json.dumps(each))
        for name, each in exported.items()
    }
    study = client.create_study(sampler=client.samplers.RandomSampler(seed=0))
    for value in (0.5, 0.1, 0.9):
        study.tell(study.ask(choices), value)
    found = imported("optuna", study.best_params)
    assert found.choices == study.best_trial.params


def test_configspace_draws_a_configuration_that_comes_back() -> None:
    client = pytest.importorskip("ConfigSpace")
    loaded = client.ConfigurationSpace.from_serialized_dict(
        json.loads(json_clients.to_configspace(SPACE))
    )
    loaded.seed(0)
    drawn = {name: str(cell) for name, cell in dict(loaded.sample_configuration()).items()}
    assert imported("configspace", drawn).choices == drawn


def test_pyglove_draws_a_dna_that_comes_back() -> None:
    client = pytest.importorskip("pyglove")
    loaded = client.from_json_str(json_clients.to_pyglove(SPACE))
    dna = client.random_dna(client.dna_spec(loaded), random.Random(0))
    expected = json.loads(client.to_json_str(client.materialize(loaded, dna)))
    found = import_text("pyglove", client.to_json_str(dna), Target(space=SPACE))
    assert isinstance(found, Architecture)
    assert found.choices == expected
