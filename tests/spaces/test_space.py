"""Skeletons, candidates, architectures and spaces as values: what holds, what is refused."""

import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.spaces import (
    Architecture,
    Budget,
    Candidate,
    Cell,
    Layer,
    LayerShape,
    LayerSpec,
    Origin,
    Skeleton,
    Space,
    SpaceError,
    Stem,
    load,
    load_skeleton,
    mbconv,
)
from tests.strategies import skeletons, spaces

DIGITS = load_skeleton("digits")
ZERO = Cell.from_edges([], expansion=1)
MBCONV = load("mbconv@digits")
FIRST = DIGITS.shapes[0]
NAMES = tuple(shape.name for shape in DIGITS.shapes)


@given(skeletons())
def test_shapes_chain_channels_and_halve_resolutions_rounding_up(skeleton: Skeleton) -> None:
    channels = skeleton.stem.block or skeleton.stem.channels
    side = skeleton.resolution if skeleton.stem.stride == 1 else (skeleton.resolution + 1) // 2
    for spec, shape in zip(skeleton.layers, skeleton.shapes, strict=True):
        assert (shape.in_channels, shape.resolution) == (channels, side)
        channels = spec.channels
        side = side if spec.stride == 1 else (side + 1) // 2
        assert (shape.out_channels, shape.out_resolution) == (channels, side)


@pytest.mark.parametrize(
    ("layers", "last"), [(1, "layer_00"), (100, "layer_99"), (101, "layer_100")]
)
def test_layer_names_sort_in_the_order_of_the_layers(layers: int, last: str) -> None:
    skeleton = Skeleton("x", 1, 8, 2, Stem(1, 1), (LayerSpec(1),) * layers)
    found = [shape.name for shape in skeleton.shapes]
    assert found == sorted(found)
    assert found[-1] == last


def test_a_shortcut_needs_stride_one_and_equal_channels() -> None:
    cases = [(1, 8, 8), (2, 8, 8), (1, 8, 9)]
    found = [LayerShape("x", i, o, stride, 4).shortcut for stride, i, o in cases]
    assert found == [True, False, False]


def test_a_fitted_skeleton_differs_in_images_and_classes_only() -> None:
    fitted = DIGITS.fitted(in_channels=3, resolution=28, classes=7)
    assert fitted == replace(DIGITS, in_channels=3, resolution=28, classes=7)


@given(spaces())
def test_an_architecture_is_found_again_by_its_choices(space: Space) -> None:
    drawn = space.sample(random.Random(0))
    assert space.architecture(drawn.choices) == drawn


def test_sampling_draws_every_candidate_equally_often() -> None:
    rng = random.Random(0)
    drawn = Counter(MBCONV.sample(rng).candidates[1].id for _ in range(6000))
    # Six candidates, 1000 expected each; the standard deviation is 29.
    assert len(drawn) == 6
    assert all(abs(times - 1000) < 5 * 29 for times in drawn.values())


def test_equal_seeds_draw_equal_architectures() -> None:
    first, second = (MBCONV.sample(random.Random(7)) for _ in range(2))
    assert first == second


def test_fitness_is_a_float_without_a_negative_zero() -> None:
    found = [Candidate("a", ZERO, fitness).fitness for fitness in (1, -0.0, None)]
    assert [repr(each) for each in found] == ["1.0", "0.0", "None"]


def test_provenance_is_copied_in_json_types() -> None:
    given_ = {"config": {"sizes": (1, 2)}, "list": [1]}
    space = replace(MBCONV, provenance=given_)
    given_["list"].append(2)  # type: ignore[attr-defined]
    assert space.provenance == {"config": {"sizes": [1, 2]}, "list": [1]}


@given(st.recursive(st.none(), lambda inner: st.lists(inner, min_size=1, max_size=1)))
def test_provenance_may_be_sixteen_levels_deep_and_no_deeper(value: object) -> None:
    depth, inner = 1, value
    while isinstance(inner, list):
        depth, inner = depth + 1, inner[0]
    if depth <= 16:
        assert replace(MBCONV, provenance={"a": value}).provenance == {"a": value}
    else:
        with pytest.raises(SpaceError, match=r"^provenance\.a(\[0\])+: nested too deeply$"):
            replace(MBCONV, provenance={"a": value})


def nested(levels: int) -> object:
    value: object = None
    for _ in range(levels):
        value = [value]
    return value


def layer(*offered: Candidate) -> Callable[[], object]:
    return lambda: Layer(FIRST, offered)


def skeleton(**changes: object) -> Callable[[], object]:
    return lambda: replace(DIGITS, **changes)  # type: ignore[arg-type]


def space(**changes: object) -> Callable[[], object]:
    return lambda: replace(MBCONV, **changes)  # type: ignore[arg-type]


def choices(**changes: object) -> Callable[[], object]:
    chosen = {**dict.fromkeys(NAMES, "mbconv_k3_e6"), **changes}
    return lambda: MBCONV.architecture(chosen)  # type: ignore[arg-type]


NOT_PRINTABLE = "allowed: 1 to 64 printable characters"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Candidate("", ZERO), f'id: ""; {NOT_PRINTABLE}'),
        (lambda: Candidate("a\nb", ZERO), f'id: "a\\nb"; {NOT_PRINTABLE}'),
        (lambda: Candidate("\x1b[31m", ZERO), f'id: "\\u001b[31m"; {NOT_PRINTABLE}'),
        (lambda: Candidate("x" * 65, ZERO), f'id: "{"x" * 56}...; {NOT_PRINTABLE}'),
        (lambda: Candidate("a", ZERO, float("nan")), "fitness: NaN; allowed: a finite number"),
        (lambda: Candidate("a", ZERO, float("-inf")), "fitness: -Infinity; allowed: a finite"),
        (lambda: Candidate("a", ZERO, 10**400), "fitness: an integer of about 400 digits; all"),
        (lambda: Candidate("a", ZERO, True), "fitness: true; allowed: a finite number"),
        (
            lambda: Candidate("a", ZERO, 0.1, uncertainty=float("nan")),
            "uncertainty: NaN; allowed: a finite number",
        ),
        (lambda: Candidate("a", ZERO, 0.1, uncertainty=-0.1), "uncertainty: -0.1; allowed: 0 or"),
        (lambda: Candidate("a", ZERO, uncertainty=0.1), "uncertainty: of a cell without fitness"),
        (
            lambda: Origin("magic"),
            'kind: "magic"; allowed: reference, random, mutation, crossover, builtin, imported',
        ),
        (lambda: Origin("random", -1), "generation: -1; allowed: 0 to 1000000000"),
        (lambda: Origin("random", 0, ("a",) * 9), "parents: 9 ids; allowed: up to 8"),
        (lambda: Origin("random", 0, ("a", "")), f'parents[1]: ""; {NOT_PRINTABLE}'),
        (lambda: Budget(max_madds=-1), "max_madds: -1; allowed: 0 to 9223372036854775807"),
        (lambda: Budget(max_params=2**63), "max_params: 9223372036854775808; allowed: 0 to 9"),
        (layer(), "candidates: 0 candidates; allowed: 1 to 4096"),
        (
            layer(Candidate("a", ZERO), Candidate("a", mbconv(3, 1))),
            'candidates[1].id: "a" occurs twice in this layer',
        ),
        (
            lambda: Layer(DIGITS.shapes[1], (Candidate("a", mbconv(3, 1)), Candidate("b", ZERO))),
            "candidates[1].edges: no path from input to output; allowed: only where the layer has",
        ),
        (skeleton(name=""), 'name: ""; allowed: 1 to 128 printable characters'),
        (skeleton(description="a\nb"), 'description: "a\\nb"; allowed: 0 to 1000 printable'),
        (skeleton(in_channels=0), "in_channels: 0; allowed: 1 to 8192"),
        (skeleton(resolution=4097), "resolution: 4097; allowed: 1 to 4096"),
        (skeleton(resolution=10**5000), "resolution: an integer of about 5000 digits; allowed"),
        (skeleton(classes=1), "classes: 1; allowed: 2 to 100000"),
        (skeleton(classes=2.0), "classes: 2.0; allowed: 2 to 100000"),
        (skeleton(head=-1), "head: -1; allowed: 0 to 8192"),
        (skeleton(stem=Stem(0, 1)), "stem.channels: 0; allowed: 1 to 8192"),
        (skeleton(stem=Stem(1, 3)), "stem.stride: 3; allowed: 1 to 2"),
        (skeleton(stem=Stem(1, 1, 0)), "stem.block: 0; allowed: 1 to 8192"),
        (skeleton(layers=()), "layers: 0 layers; allowed: 1 to 128"),
        (skeleton(layers=(LayerSpec(1),) * 129), "layers: 129 layers; allowed: 1 to 128"),
        (
            skeleton(layers=(LayerSpec(1), LayerSpec(9000))),
            "layers[1].channels: 9000; allowed: 1 to 8192",
        ),
        (skeleton(layers=(LayerSpec(1, True),)), "layers[0].stride: true; allowed: 1 to 2"),
        (lambda: Architecture(DIGITS, ()), "layers: 0 layers; allowed: 4, as in the skeleton"),
        (
            lambda: Architecture(DIGITS, (Candidate("a", ZERO),) * 4),
            "layers[1].candidate.edges: no path from input to output; allowed: only",
        ),
        (space(name="\u202e"), 'name: "\\u202e"; allowed: 1 to 128 printable characters'),
        (space(layers=MBCONV.layers[:2]), "layers: 2 layers; allowed: 4, as in the skeleton"),
        (
            space(layers=MBCONV.layers[::-1]),
            "layers[0]: its shape differs from that of layer_00 in",
        ),
        (
            space(operations=("skip_connect", "conv")),
            'operations[1]: unknown operation "conv"; allowed: none, skip_connect, dw_conv_3x3',
        ),
        (space(operations=("none", "none")), 'operations[1]: "none" occurs twice'),
        (
            space(operations=("dw_conv_3x3", "dw_conv_5x5")),
            "layers[0].candidates[4].edges: dw_conv_7x7 is not among the operations of this "
            "space; allowed: dw_conv_3x3, dw_conv_5x5",
        ),
        (
            space(reference={"layer_00": "mbconv_k3_e6"}),
            "reference.layer_01: missing layer: every layer needs a choice",
        ),
        (
            choices(layer_09="skip"),
            "layer_09: unknown layer; allowed: layer_00 to layer_03",
        ),
        (
            choices(layer_01="skip"),
            'layer_01: unknown cell "skip"; allowed: mbconv_k3_e3, mbconv_k3_e6, mbconv_k5_e3, ',
        ),
        (choices(layer_01=["skip"]), "layer_01: unknown cell a list; allowed: mbconv_k3_e3, "),
        (space(provenance={"a": object()}), "provenance.a: an object is not a JSON value"),
        (space(provenance={"a": [0, {"b": {1}}]}), "provenance.a[1].b: a set is not a JSON value"),
        (space(provenance={"a": float("inf")}), "provenance.a: inf is not a JSON number"),
        (space(provenance={"a": 2**65}), "provenance.a: 36893488147419103232; allowed: integers"),
        (
            space(provenance={"a": "\ud800"}),
            'provenance.a: "\\ud800" has half a character (a lone surrogate)',
        ),
        (space(provenance={1: 2}), "provenance: key 1; allowed: strings"),
        (
            space(provenance={"a": [0] * 5000}),
            "provenance.a: a list of 5000 values; allowed: up to 4096",
        ),
        (
            space(provenance={str(i): i for i in range(5000)}),
            "provenance: an object of 5000 keys; allowed: up to 4096",
        ),
        (space(provenance={"a": nested(10**4)}), "provenance.a[0][0][0][0]"),
    ],
)
def test_what_is_invalid_is_refused_with_place_value_and_what_is_allowed(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(SpaceError, match=f"^{re.escape(message)}"):
        make()
