"""The seam of cell families, held by a second family that is only a toy."""

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from autospace.cli.display.drawing import draw_cell
from autospace.cli.display.summary import candidate_record
from autospace.comparison.matching import space_digest
from autospace.comparison.setup import load_source
from autospace.evaluators.evaluator import architecture_key
from autospace.evolution.folder import cells_of_event, event_out, state_from_json, state_to_json
from autospace.evolution.loop import evolve, learned_space
from autospace.exporters.json_clients import to_optuna
from autospace.exporters.svg import cell_svg, layer_svg, network_svg
from autospace.exporters.targets import TARGETS
from autospace.latency.parts import parts_of_space
from autospace.networks.deploy import deploy
from autospace.networks.network import BUILDERS, Network
from autospace.spaces import (
    FAMILIES,
    Architecture,
    Budget,
    Candidate,
    Layer,
    Space,
    SpaceError,
    cell_cost,
    cell_key,
    from_json,
    json_schema,
    load,
    mbconv,
    to_json,
)
from autospace.spaces.cells.family import changes, family_of, notation
from autospace.spaces.choices import Choices, limits_of
from autospace.spaces.cost import LayerShares, Share
from autospace.spaces.difference import difference, operation_shares
from autospace.spaces.sampling import sample_within
from tests.tiny import SKELETON, ClosedForm, fitted_space
from tests.toy import TOY, Chain, ChainPrior, chains, toy_plan, toy_space


@pytest.fixture(autouse=True)
def _toys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "toy", TOY)


NAMES_ONLY = (
    "configspace",
    "optuna",
    "nni",
    "ray",
    "wandb",
    "syne-tune",
    "neps",
    "pyglove",
    "nevergrad",
    "pymoo",
    "archai",
    "ax",
    "hydra",
    "flat",
)


def _chain(*names: str) -> Any:
    return Chain(names)


def _tanhs(cell: Any) -> float:
    return float(cell.operations.count("tanh"))


# Values.


def test_a_family_answers_for_its_own_cells() -> None:
    shape, cell = SKELETON.shapes[1], _chain("tanh", "keep", "relu")
    assert cell_key(cell, shape) == cell_key(_chain("tanh", "relu"), shape) == "tanh.relu/2"
    assert cell_cost(cell, shape) == (2 * 4**2, 2 * 4**2, 0)
    assert notation(cell) == "tanh>relu"
    assert changes(cell, _chain("tanh")) == "tanh → tanh>relu"
    assert notation(mbconv(3, 6)) == "e6: 0>3 dw3"


def test_every_family_has_a_builder_of_modules() -> None:
    assert {*BUILDERS, "toy"} == {*FAMILIES}


def test_a_layer_and_an_architecture_ask_the_family() -> None:
    space = toy_space()
    layer = space.layers[0]
    assert layer.keys == tuple(f"{'.'.join(each.cell.operations)}/1" for each in layer.candidates)
    assert layer.costs[-1] == (3 * 16, 3 * 16, 0)
    chosen = space.architecture({"layer_00": "c0", "layer_01": "c1"})
    assert chosen.keys == ("tanh/1", "relu/2")
    assert architecture_key(chosen).endswith(" | tanh/1 | relu/2")
    assert space.most_expensive.madds - space.madds.min == 2 * (2 * 16)


def test_a_cell_that_does_not_fit_is_refused_in_the_words_of_its_family() -> None:
    Layer(SKELETON.shapes[0], (Candidate("a", _chain("keep")),))
    with pytest.raises(SpaceError, match=r"^candidates\[0\]\.functions: none, and the layer has"):
        Layer(SKELETON.shapes[1], (Candidate("a", _chain("keep")),))


def test_the_vocabulary_is_that_of_the_family() -> None:
    with pytest.raises(SpaceError, match=r'^operations\[0\]: unknown operation "dw_conv_3x3"; all'):
        replace(toy_space(), operations=("dw_conv_3x3",))
    with pytest.raises(
        SpaceError, match=r"tanh is not among the operations of this space; allowed: relu$"
    ):
        replace(toy_space(), operations=("relu",))


def test_cells_of_two_families_do_not_mix() -> None:
    ours, theirs = Candidate("a", mbconv(3, 6)), Candidate("b", _chain("tanh"))
    first, second = SKELETON.shapes
    problem = 'kind: "toy"; allowed: mobile, as in all other cells$'
    with pytest.raises(SpaceError, match=rf"^candidates\[1\]\.{problem}"):
        Layer(first, (ours, theirs))
    with pytest.raises(SpaceError, match=rf"^layers\[1\]\.candidate\.{problem}"):
        Architecture(SKELETON, (ours, theirs))
    layers = (Layer(first, (ours,)), Layer(second, (theirs,)))
    with pytest.raises(SpaceError, match=rf"^layers\[1\]\.candidates\[0\]\.{problem}"):
        Space("mixed", SKELETON, ("dw_conv_3x3",), layers)


def test_spaces_of_a_second_family_are_compared_by_function() -> None:
    space = toy_space()
    layer = space.layers[0]
    written = replace(layer.candidates[0], cell=_chain("keep", "tanh"))
    other = replace(layer, candidates=(written, *layer.candidates[1:]))
    same = replace(space, layers=(other, *space.layers[1:]))
    assert same != space
    assert difference(space, same).equal
    assert sum(operation_shares(same.layers).values()) == pytest.approx(1)
    assert set(operation_shares(same.layers)) == {"tanh", "relu"}
    assert space_digest(same) == space_digest(space)


# Files.


def test_a_space_and_an_architecture_read_back_equal_and_validate() -> None:
    space = toy_space()
    for value in (space, space.architecture(space.reference)):
        text = to_json(value)
        plain = json.loads(text)
        assert plain["kind"] == "toy"
        assert from_json(text) == value
        assert to_json(from_json(text)) == text
        jsonschema.validate(plain, json_schema(plain["format"], kind="toy"))
    first = json.loads(to_json(space))["layers"][0]["candidates"][0]
    assert first["functions"] == ["tanh"]
    assert "edges" not in first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 1}, r"^layers\[0\]\.candidates\[0\]\.edges: missing key$"),
        ({"kind": "mobile"}, r"^layers\[0\]\.candidates\[0\]\.edges: missing key$"),
        (
            {"kind": "warp"},
            r'^kind: "warp"; allowed: mobile, .*, conv, bats, ofa, recurrent, nas-bert, toy$',
        ),
        ({"operations": ["dw_conv_3x3"]}, r'^operations\[0\]: unknown operation "dw_conv_3x3"'),
    ],
)
def test_a_file_is_read_in_the_words_of_its_family(change: dict[str, Any], message: str) -> None:
    plain = json.loads(to_json(toy_space())) | change
    with pytest.raises(SpaceError, match=message):
        from_json(json.dumps(plain))


def test_cells_of_the_first_family_are_refused_in_a_file_of_the_second() -> None:
    plain = json.loads(to_json(load("mbconv@digits"))) | {"kind": "toy", "operations": []}
    with pytest.raises(SpaceError, match=r"^layers\[0\]\.candidates\[0\]\.functions: missing key$"):
        from_json(json.dumps(plain))


def test_tuners_get_its_ids() -> None:
    assert "c13" in to_optuna(toy_space())


# What describes the inside of cells.


def test_what_describes_the_inside_of_cells_refuses_another_family(tmp_path: Path) -> None:
    space = toy_space()
    layer, one = space.layers[0], space.architecture(space.reference)
    cell = layer.candidates[0]
    calls: list[tuple[str, Callable[[], object]]] = [
        ("drawings", lambda: draw_cell(cell.cell, layer.shape)),
        ("drawings", lambda: cell_svg(cell, layer.shape)),
        ("drawings", lambda: layer_svg(layer)),
        ("drawings", lambda: network_svg(one, "toys")),
        ("latency tables", lambda: parts_of_space(space)),
        ("networks", lambda: Network(SKELETON, one.cells)),
        ("networks", lambda: deploy(one, "onnx", tmp_path / "toys.onnx")),
        ("tables of cells", lambda: candidate_record(cell, layer.shape)),
    ]
    for name, target in TARGETS.items():
        if name in NAMES_ONLY:
            continue
        if target.space is not None:
            calls.append(("", partial(target.space, space)))
        if target.architecture is not None:
            calls.append(("", partial(target.architecture, one)))
    for work, call in calls:
        others = "binary(, conv(, bats(, ofa(, recurrent(, nas-bert)?)?)?)?)?"
        several = f"mobile, dense, darts(, {others})?"
        known = f"(mobile|dense|darts|darts, bats|{several})"
        with pytest.raises(SpaceError, match=rf'^kind: "toy", which {work}.*; allowed: {known}$'):
            call()


def test_exports_that_hold_ids_alone_take_every_family() -> None:
    space = toy_space()
    for name in NAMES_ONLY:
        target, one = TARGETS[name], space.architecture(space.reference)
        text = target.space(space) if target.space else target.architecture(one)  # type: ignore[misc]
        assert "c0" in text


# Drawing.


def test_every_architecture_within_a_budget_is_found_and_no_other() -> None:
    space = toy_space()
    limit = space.madds.min + 2 * 16
    expected = {
        (first, second)
        for first, second in product(range(len(chains())), repeat=2)
        if len(chains()[first].operations) + len(chains()[second].operations) <= 4
    }
    drawn = sample_within(space, Budget(limit), 10**4, random.Random(0))
    choices = Choices(space, limits_of(space, Budget(limit)))
    assert {choices.path(each) for each in drawn} == expected
    assert len(drawn) == len(expected)
    rng = random.Random(1)
    assert {choices.draw(rng) for _ in range(5000)} == expected


def test_a_random_space_like_one_of_a_second_family_is_of_that_family(tmp_path: Path) -> None:
    path = tmp_path / "toys.json"
    path.write_text(to_json(toy_space()))
    space = load_source(f"random@{path}", seed=0)
    assert space.kind == "toy"
    assert space.operations == ("keep", "tanh", "relu")
    for layer in space.layers:
        assert sorted(layer.keys) == sorted(toy_space().layers[int(layer.shape.name[-1])].keys)
        assert all(len(each.cell.operations) == 3 for each in layer.candidates)


def test_the_space_fits_other_images() -> None:
    fitted = fitted_space(toy_space(), in_channels=3, resolution=4, classes=2)
    assert fitted.layers[0].candidates == toy_space().layers[0].candidates


# Evolution.


def test_evolution_of_a_second_family_reaches_the_optimum_of_a_formula() -> None:
    some = toy_plan(generations=60)
    *_, final = evolve(some, ClosedForm(_tanhs))
    best: Any = _chain("tanh", "tanh", "tanh", "tanh")
    assert [layer.hall[0].cell for layer in final.layers] == [best, best]
    for layer in final.layers:
        keys = Counter(member.key for member in layer.hall)
        assert set(keys.values()) == {1}
    space = learned_space(some, final, name="learned", budget=Budget(), provenance={})
    assert space.kind == "toy"
    assert from_json(to_json(space)) == space
    assert {each.origin.kind for each in space.layers[0].candidates} > {"reference"}


def test_a_layer_of_a_second_family_keeps_its_share() -> None:
    shares = LayerShares(SKELETON.shapes, (Share(2 * 16), Share(3 * 16)))
    some = toy_plan(limits=(shares,))
    *_, final = evolve(some, ClosedForm(_tanhs))
    assert [layer.hall[0].fitness for layer in final.layers] == [2, 3]


def test_a_run_of_a_second_family_stops_and_goes_on_to_the_same_bytes() -> None:
    some = toy_plan()
    states = list(evolve(some, ClosedForm(_tanhs)))
    expected = state_to_json(states[-1])
    for state in states[:-1]:
        stored = state_from_json(state_to_json(state), SKELETON, "toy")
        assert stored == state
        *_, final = evolve(some, ClosedForm(_tanhs), stored)
        assert state_to_json(final) == expected
        line = json.loads(json.dumps(event_out(state)))
        assert cells_of_event(line, SKELETON, "toy") == state.scored


def test_the_prior_of_a_family_knows_its_family() -> None:
    assert family_of(ChainPrior()) is TOY
    assert toy_plan().operators.family is TOY
