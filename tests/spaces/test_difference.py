"""Two spaces side by side, against spaces that were made to differ in known ways."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.spaces import (
    Budget,
    Candidate,
    Cell,
    Layer,
    Space,
    load,
    mbconv,
)
from autospace.spaces.difference import difference, operation_shares
from tests.strategies import spaces

DIGITS = load("mbconv@digits")


def with_layer(space: Space, index: int, candidates: tuple[Candidate, ...]) -> Space:
    layers = list(space.layers)
    layers[index] = Layer(layers[index].shape, candidates)
    return replace(space, layers=tuple(layers), reference={})


@given(spaces(), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_order_and_ids_and_names_are_no_difference(space: Space, rng: random.Random) -> None:
    layers = []
    for layer in space.layers:
        renamed = [
            replace(each, id=f"other-{index}") for index, each in enumerate(layer.candidates)
        ]
        layers.append(Layer(layer.shape, tuple(rng.sample(renamed, len(renamed)))))
    other = Space("other", space.skeleton, space.operations, tuple(layers), budget=space.budget)
    found = difference(replace(space, reference={}), other)
    for layer, same in zip(space.layers, found.layers, strict=True):
        assert (same.only_first, same.only_second) == ((), ())
        assert {each.id for each, _ in same.both} == set(layer.by_id)
        assert same.equal


@given(spaces(), spaces())
@settings(max_examples=25)
def test_swapping_the_spaces_swaps_the_sides(one: Space, other: Space) -> None:
    there, back = difference(one, other), difference(other, one)
    assert there.equal == back.equal
    for a, b in zip(there.layers, back.layers, strict=True):
        assert (a.only_first, a.only_second) == (b.only_second, b.only_first)


@given(spaces())
@settings(max_examples=25)
def test_a_space_equals_itself(space: Space) -> None:
    assert difference(space, space).equal


def test_cells_are_found_by_what_they_compute() -> None:
    first = DIGITS.layers[0].candidates
    detour = Cell.from_edges([(0, 1, "skip_connect"), (1, 3, "dw_conv_3x3")], expansion=3)
    changed = with_layer(DIGITS, 0, (Candidate("detour", detour), *first[2:]))
    layer, *rest = difference(replace(DIGITS, reference={}), changed).layers
    assert [each.id for each in layer.only_first] == ["mbconv_k3_e6"]
    assert layer.only_second == ()
    assert ("mbconv_k3_e3", "detour") in [(a.id, b.id) for a, b in layer.both]
    assert not layer.equal
    assert all(each.equal for each in rest)


def test_another_fitness_is_a_difference_and_says_so() -> None:
    first, *others = DIGITS.layers[1].candidates
    changed = with_layer(DIGITS, 1, (replace(first, fitness=0.5), *others))
    found = difference(replace(DIGITS, reference={}), changed)
    assert [layer.equal for layer in found.layers] == [True, False, True, True]
    assert [(a.id, b.fitness) for a, b in found.layers[1].rescored] == [(first.id, 0.5)]


@pytest.mark.parametrize("fitness", [None, 0.5])
def test_a_function_more_often_is_a_difference_in_both_orders(fitness: float | None) -> None:
    space = replace(DIGITS, reference={})
    first, *others = space.layers[1].candidates
    more = with_layer(space, 1, (first, *others, replace(first, id="again", fitness=fitness)))
    there, back = (difference(*pair) for pair in ((space, more), (more, space)))
    for found in (there, back):
        assert [layer.equal for layer in found.layers] == [True, False, True, True]
        assert len(found.layers[1].both) == len(others) + 2
        assert len(found.layers[1].rescored) == (fitness is not None)
    again = more.layers[1].by_id["again"]
    assert [layer.repeated for layer in there.layers] == [(), (([first], [first, again]),), (), ()]
    assert back.layers[1].repeated == (([first, again], [first]),)
    assert (first, again) in there.layers[1].both
    assert {*back.layers[1].both} == {(b, a) for a, b in there.layers[1].both}


def test_equal_functions_are_paired_by_id_then_by_fitness() -> None:
    space = replace(DIGITS, reference={})
    first, *others = space.layers[1].candidates
    some = [replace(first, id=name, fitness=fit) for name, fit in (("a", 0.5), ("b", 0.7))]
    same = [replace(some[1], id="c"), replace(some[0], id="d")]
    kept = [replace(some[1], id="c"), replace(some[0], fitness=0.9)]
    layers = [with_layer(space, 1, (*each, *others)) for each in (some, same, kept)]
    assert difference(layers[0], layers[1]).equal
    pairs = difference(layers[0], layers[2]).layers[1].both[:2]
    assert [(one.id, other.id) for one, other in pairs] == [("a", "a"), ("b", "c")]


def test_layers_of_the_longer_skeleton_are_only_there() -> None:
    found = difference(DIGITS, load("mbconv@cifar"))
    assert found.skeleton == ("in_channels", "resolution", "stem", "layers", "head")
    assert len(found.layers) == 12
    assert [layer.first is None for layer in found.layers] == [False] * 4 + [True] * 8
    assert len(found.layers[-1].only_second) == len(found.layers[-1].second.candidates)  # type: ignore[union-attr]
    assert found.layers[-1].name == "layer_11"


@pytest.mark.parametrize(
    ("change", "reference", "budget"),
    [
        ({"reference": {}}, True, False),
        ({"reference": dict.fromkeys(DIGITS.reference, "mbconv_k7_e6")}, True, False),
        ({"budget": Budget(max_madds=10**12)}, False, True),
        ({"name": "other", "provenance": {"seed": 1}}, False, False),
    ],
)
def test_reference_and_budget_count_and_names_do_not(
    change: dict[str, object], reference: bool, budget: bool
) -> None:
    found = difference(DIGITS, replace(DIGITS, **change))  # type: ignore[arg-type]
    assert (found.reference, found.budget) == (reference, budget)
    assert found.equal is not (reference or budget)


def test_shares_count_live_edges() -> None:
    cell = Cell.from_edges([(0, 3, "dw_conv_3x3"), (0, 1, "max_pool_3x3")])
    both = Cell.from_edges([(0, 1, "skip_connect"), (1, 3, "dw_conv_3x3"), (0, 3, "dw_conv_5x5")])
    layer = Layer(DIGITS.layers[0].shape, (Candidate("a", cell), Candidate("b", both)))
    expected = {"dw_conv_3x3": 0.5, "dw_conv_5x5": 0.25, "skip_connect": 0.25}
    assert operation_shares([layer]) == expected
    assert operation_shares([]) == {}
    assert operation_shares([replace(layer, candidates=(Candidate("a", mbconv(3, 6)),))]) == {
        "dw_conv_3x3": 1.0
    }
