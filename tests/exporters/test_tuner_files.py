"""Files for tuners, read without the tuners: choices, notes, and awkward ids."""

import ast
import json
import random
from typing import Any

import pytest
from hypothesis import given

from autospace.exporters.json_clients import LARGEST_GRID, to_ray
from autospace.exporters.targets import TARGETS
from autospace.exporters.yaml_clients import to_hydra, to_wandb
from autospace.spaces import Space, SpaceError, load
from tests.clients.exchange import ids_of
from tests.strategies import spaces


def test_a_space_beyond_any_grid_is_sampled_and_a_note_says_so() -> None:
    small, large = load("mbconv@digits"), load("mbconv@mobile")
    note = TARGETS["ray"].note
    assert note is not None
    assert small.size <= LARGEST_GRID < large.size
    assert note(small) == ""
    assert note(large).startswith("2.2e+17 architectures are beyond any grid")
    assert all(each.keys() == {"grid_search"} for each in json.loads(to_ray(small)).values())
    assert all(each.keys() == {"eval"} for each in json.loads(to_ray(large)).values())


@given(spaces())
def test_what_ray_evaluates_is_a_choice_among_literals(space: Space) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autospace.exporters.json_clients.LARGEST_GRID", 0)
        found = json.loads(to_ray(space))
    for layer, ids in ids_of(space).items():
        call = ast.parse(found[layer]["eval"], mode="eval").body
        assert isinstance(call, ast.Call)
        assert ast.unparse(call.func) == "random.choice"
        assert [ast.literal_eval(each) for each in call.args] == [ids]
        assert eval(found[layer]["eval"], {"random": random.Random(0)}) in ids


@given(spaces())
def test_a_sweep_of_weights_and_biases_is_yaml_with_every_id(space: Space) -> None:
    yaml: Any = pytest.importorskip("yaml")
    found = yaml.safe_load(to_wandb(space))
    assert found["name"] == space.name
    parameters = found["parameters"]
    assert {
        layer: each.get("values", [each.get("value")]) for layer, each in parameters.items()
    } == ids_of(space)


def test_a_sweep_of_hydra_has_every_id_and_the_reference() -> None:
    yaml: Any = pytest.importorskip("yaml")
    space = load("mbconv@digits")
    found = yaml.safe_load(to_hydra(space))
    sweep = found.pop("hydra")["sweeper"]["params"]
    ids = ids_of(space)
    assert found == {layer: space.reference.get(layer, each[0]) for layer, each in ids.items()}
    wanted = {layer: ", ".join(f"\"'{each}'\"" for each in some) for layer, some in ids.items()}
    assert sweep == {layer: f"choice({some})" for layer, some in wanted.items()}


@given(spaces())
def test_an_id_that_hydra_would_change_is_refused_by_name(space: Space) -> None:
    yaml: Any = pytest.importorskip("yaml")
    wrong = [
        each
        for ids in ids_of(space).values()
        for each in ids
        if set(each) & set("'\"\\()[]{}:=,$ ")
    ]
    if wrong:
        with pytest.raises(SpaceError, match="Hydra's sweepers would change"):
            to_hydra(space)
    else:
        found = yaml.safe_load(to_hydra(space))
        assert found.keys() - {"hydra"} == ids_of(space).keys()


def test_a_note_says_that_a_sweep_has_too_many_runs() -> None:
    note = TARGETS["hydra"].note
    assert note is not None
    assert note(load("mbconv@digits")) == ""
    assert note(load("mbconv@mobile")).startswith("--multirun would start 2.2e+17 runs")
