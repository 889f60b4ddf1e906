"""Keys: equal for the same network, different for different ones."""

from dataclasses import replace

import pytest
from hypothesis import given

from autospace.evaluators.evaluator import (
    Evaluation,
    EvaluationError,
    EvaluationRequest,
    architecture_key,
    skeleton_key,
)
from autospace.spaces import Architecture, Cell, LayerSpec, Skeleton, Stem, canonical_key, mbconv
from tests.evaluators.setups import SKELETON, architecture
from tests.strategies import architectures, skeletons


@given(architectures())
def test_names_do_not_count(some: Architecture) -> None:
    skeleton = replace(some.skeleton, name="other", description="other")
    cells = tuple(replace(each, id="x", fitness=1.0) for each in some.candidates)
    assert architecture_key(Architecture(skeleton, cells)) == architecture_key(some)


@given(architectures(), architectures())
def test_equal_keys_mean_equal_functions_on_equal_skeletons(
    one: Architecture, other: Architecture
) -> None:
    def parts(some: Architecture) -> object:
        skeleton = replace(some.skeleton, name="x", description="")
        pairs = zip(some.cells, some.skeleton.layers, strict=True)
        return skeleton, [canonical_key(cell, layer.stride) for cell, layer in pairs]

    assert (architecture_key(one) == architecture_key(other)) == (parts(one) == parts(other))


@given(skeletons(), skeletons())
def test_skeleton_keys_tell_apart_what_differs_in_more_than_names(
    one: Skeleton, other: Skeleton
) -> None:
    equal = replace(one, name="x", description="") == replace(other, name="x", description="")
    assert (skeleton_key(one) == skeleton_key(other)) == equal


@pytest.mark.parametrize(
    "change",
    [
        {"in_channels": 3},
        {"resolution": 16},
        {"classes": 4},
        {"head": 8},
        {"stem": Stem(4, 2)},
        {"stem": Stem(4, 1, 4)},
        {"layers": (LayerSpec(4), LayerSpec(6, 1))},
    ],
)
def test_every_part_of_a_skeleton_counts(change: dict[str, object]) -> None:
    assert skeleton_key(replace(SKELETON, **change)) != skeleton_key(SKELETON)  # type: ignore[arg-type]


def test_two_ways_to_write_a_cell_have_one_key() -> None:
    plain = architecture(0, 0)
    edges = [(0, 3, "dw_conv_3x3"), (1, 3, "max_pool_3x3")]  # node 1 receives nothing
    dead = replace(plain.candidates[0], cell=Cell.from_edges(edges, expansion=1))
    assert dead.cell != mbconv(3, 1)
    written_otherwise = Architecture(SKELETON, (dead, plain.candidates[1]))
    assert EvaluationRequest(written_otherwise, 0).key == EvaluationRequest(plain, 1).key


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_evaluation_is_finite(value: float) -> None:
    with pytest.raises(EvaluationError, match="allowed: a finite number"):
        Evaluation(value)
    with pytest.raises(EvaluationError):
        Evaluation(1.0, value)
