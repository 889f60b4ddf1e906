"""Spaces, architectures and skeletons as text, and back."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from autospace.spaces import (
    Architecture,
    Candidate,
    Cell,
    Skeleton,
    Space,
    builtin_names,
    cell_cost,
    from_json,
    load,
    load_skeleton,
    mbconv,
    to_json,
)
from autospace.spaces.cells.mobile import CellDocument, cell_from, cell_out
from autospace.spaces.files.codec import canonical_json
from autospace.spaces.files.reading import validated
from tests.strategies import architectures, cells, skeletons, spaces
from tests.versions import version_1

GOLDEN = Path(__file__).parents[1] / "golden"


@given(spaces())
def test_a_space_reads_back_equal_and_writes_the_same_bytes(space: Space) -> None:
    text = to_json(space)
    again = from_json(text)
    assert again == space
    assert to_json(again).encode("utf-8") == text.encode("utf-8")


@given(architectures())
def test_an_architecture_reads_back_equal_and_writes_the_same_bytes(value: Architecture) -> None:
    text = to_json(value)
    assert from_json(text) == value
    assert to_json(from_json(text)) == text


@given(skeletons())
def test_a_skeleton_reads_back_equal_and_writes_the_same_bytes(value: Skeleton) -> None:
    text = to_json(value)
    assert from_json(text) == value
    assert to_json(from_json(text)) == text


@given(spaces() | architectures() | skeletons())
def test_a_file_of_version_1_reads_as_the_equal_value(
    value: Space | Architecture | Skeleton,
) -> None:
    assert from_json(json.dumps(version_1(value))) == value


def test_a_recorded_file_of_version_1_reads_as_the_equal_value() -> None:
    text = (GOLDEN / "mbconv@digits.1.json").read_text("utf-8")
    assert json.loads(text)["version"] == 1
    assert from_json(text) == load("mbconv@digits")


@given(spaces() | architectures())
def test_a_file_names_version_and_family_and_a_skeleton_no_family(
    value: Space | Architecture,
) -> None:
    plain, skeleton = json.loads(to_json(value)), json.loads(to_json(value.skeleton))
    assert (plain["version"], plain["kind"]) == (2, "mobile")
    assert skeleton["version"] == 2
    assert "kind" not in skeleton


@given(cells())
def test_a_cell_survives_its_document(cell: Cell) -> None:
    assert cell_from(validated(CellDocument, cell_out(cell))) == cell


@pytest.mark.parametrize("name", builtin_names())
def test_every_builtin_space_reads_back_equal(name: str) -> None:
    assert from_json(to_json(load(name))) == load(name)


def shuffled(value: Any) -> Any:
    """The same JSON value, with the keys of every object turned round."""
    if isinstance(value, dict):
        return {key: shuffled(value[key]) for key in reversed(value)}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


@given(spaces())
@settings(max_examples=25)
def test_neither_order_of_keys_nor_white_space_matters_to_reading(space: Space) -> None:
    compact = json.dumps(shuffled(json.loads(to_json(space))), separators=(",", ":"))
    assert from_json(compact) == space


def test_equal_spaces_made_differently_have_equal_bytes() -> None:
    space = load("mbconv@digits")
    layers = list(space.layers)
    first = layers[0]
    whole = tuple(
        replace(each, fitness=0 if each.fitness == 0 else each.fitness) for each in first.candidates
    )
    layers[0] = replace(first, candidates=whole)
    reference = dict(reversed(list(space.reference.items())))
    other = replace(space, layers=tuple(layers), reference=reference)
    assert other == space
    assert to_json(other) == to_json(space)


def test_the_text_is_sorted_indented_utf8_with_a_newline_at_the_end() -> None:
    space = replace(load("reference@digits"), name="naïve 名前")
    plain = json.loads(to_json(space))
    assert to_json(space) == json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert "naïve 名前" in to_json(space)


def test_the_text_states_the_cost_of_every_candidate() -> None:
    space = load("mnasnet@digits")
    for layer, written in zip(space.layers, json.loads(to_json(space))["layers"], strict=True):
        for candidate, fields in zip(layer.candidates, written["candidates"], strict=True):
            assert (fields["madds"], fields["params"], 0) == cell_cost(candidate.cell, layer.shape)


def test_a_document_may_leave_out_what_has_a_default() -> None:
    skeleton = load_skeleton("digits")
    space = Space(
        "short",
        skeleton,
        ("dw_conv_3x3",),
        tuple(
            replace(layer, candidates=(Candidate("a", mbconv(3, 6)),))
            for layer in load("reference@digits").layers
        ),
    )
    plain = json.loads(to_json(space))
    for key in ("reference", "budget", "provenance"):
        del plain[key]
    del plain["skeleton"]["stem"]["block"]
    for layer in plain["layers"]:
        for key in ("nodes", "fitness"):
            del layer["candidates"][0][key]
        layer["candidates"][0]["origin"] = {"kind": "builtin"}
    assert from_json(json.dumps(plain)) == space


def test_an_edge_that_carries_none_is_the_same_as_no_edge() -> None:
    space = load("reference@digits")
    plain = json.loads(to_json(space))
    edges = plain["layers"][0]["candidates"][0]["edges"]
    edges.insert(0, {"source": 0, "target": 1, "operation": "none"})
    assert from_json(json.dumps(plain)) == space


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_json_cannot_say(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"a": number})


def test_a_builtin_space_is_written_as_recorded(golden: Callable[[str, str], None]) -> None:
    golden("mbconv@digits.json", to_json(load("mbconv@digits")))


def test_the_uncertainty_is_written_where_it_is_known_and_only_there() -> None:
    space = load("mbconv@digits")
    first = space.layers[0]
    known = replace(first.candidates[0], fitness=0.5, uncertainty=0.25)
    changed = replace(first, candidates=(known, *first.candidates[1:]))
    text = to_json(replace(space, layers=(changed, *space.layers[1:])))
    assert "uncertainty" not in to_json(space)
    assert text.count("uncertainty") == 1
    assert json.loads(text)["layers"][0]["candidates"][0]["uncertainty"] == 0.25
    assert from_json(text).layers[0].candidates[0] == known  # type: ignore[union-attr]
