"""The JSON that clients read, for any space; tests/clients has the clients themselves."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings

from autospace.exporters.targets import TARGETS
from autospace.spaces import Space, from_json, to_json
from tests.strategies import spaces


def _configspace(plain: Any) -> list[tuple[str, list[str]]]:
    return [
        (each["name"], each.get("choices") or [each["value"]]) for each in plain["hyperparameters"]
    ]


def _items(key: Callable[[Any], list[str]]) -> Callable[[Any], list[tuple[str, list[str]]]]:
    return lambda plain: [(name, key(each)) for name, each in plain.items()]


READERS: dict[str, Callable[[Any], list[tuple[str, list[str]]]]] = {
    "configspace": _configspace,
    "optuna": _items(lambda each: each["attributes"]["choices"]),
    "nni": _items(lambda each: each["_value"]),
    "ray": _items(lambda each: each["grid_search"]),
    "pyglove": _items(lambda each: each["candidates"]),
}


def _text(target: str, space: Space) -> str:
    made = TARGETS[target].space
    assert made is not None
    return made(space)


@settings(max_examples=25)
@given(space=spaces())
def test_layers_and_ids_of_any_space_stay_in_order(space: Space) -> None:
    expected = [(layer.shape.name, list(layer.by_id)) for layer in space.layers]
    for target, read in READERS.items():
        assert read(json.loads(_text(target, space))) == expected, target


@settings(max_examples=25)
@given(space=spaces())
def test_equal_spaces_give_equal_ascii_bytes(space: Space) -> None:
    again = from_json(to_json(space))
    assert isinstance(again, Space)
    for target in READERS:
        text = _text(target, space)
        assert text == _text(target, again)
        assert text.isascii()
        assert text.endswith("}\n")


@settings(max_examples=25)
@given(space=spaces())
def test_the_default_is_the_reference_and_weights_are_positive(space: Space) -> None:
    for each in json.loads(_text("configspace", space))["hyperparameters"]:
        if each["type"] == "categorical":
            assert len(each["weights"]) == len(each["choices"])
            assert min(each["weights"]) > 0
            assert each.get("default_value") == space.reference.get(each["name"])
