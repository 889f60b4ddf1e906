"""A planted space of binary nodes: one operation passes images on, the others mix them up."""

from typing import Any, cast

import pytest
import torch
from torch import nn

from autospace.data.batches import Augment, Normaliser
from autospace.data.examples import DataSet
from autospace.data.images import Images
from autospace.networks import darts
from autospace.networks.bats import bats_operation
from autospace.searchers.make import make_method
from autospace.searchers.problem import SearchProblem
from autospace.spaces import Candidate, Layer, LayerSpec, Skeleton, Space, Stem
from autospace.spaces.cells.bats import BatsCell
from autospace.spaces.cells.darts_cell import choices_of
from autospace.spaces.choices import Choice, Choices
from tests.searchers.planted import CLASSES, MixUp, brightest_channel
from tests.searchers.problems import settings

PASSING = "bin_conv_3x3"
OPERATIONS = ("max_pool_3x3", PASSING, "bin_conv_5x5")
SKELETON = Skeleton(
    "planted",
    3,
    4,
    CLASSES,
    Stem(12, 1),
    (LayerSpec(12), LayerSpec(12)),
    ties=(0, 0),
    chain=2,
    concat=2,
    nodes=2,
    binary_groups=4,
)
SPACE = Space(
    "planted",
    SKELETON,
    OPERATIONS,
    tuple(
        Layer(
            shape,
            tuple(
                Candidate(each.name, cast(Any, BatsCell.on(each, SKELETON.concat)))
                for each in choices_of(shape.node or 0, OPERATIONS)
            ),
        )
        for shape in SKELETON.shapes
    ),
)


def _mixing(name: str, channels: int, stride: int, groups: int) -> nn.Module:
    return bats_operation(name, channels, stride, groups) if name == PASSING else MixUp(stride)


def _problem(seed: int, **changes: Any) -> SearchProblem:
    training, measured = brightest_channel(800, 2 * seed), brightest_channel(800, 2 * seed + 1)
    names = tuple(map(str, range(CLASSES)))
    images = Images(
        DataSet("brightest", names, training, measured, "0" * 64),
        training,
        measured,
        Normaliser.from_examples(training),
        Augment(0, False, 0),
        torch.device("cpu"),
    )
    torch.manual_seed(seed)
    return SearchProblem.of(Choices(SPACE), images, settings(seed=seed, **changes))


def _share(path: Choice) -> float:
    """Share of the edges that have the operation that passes images on; a third by chance."""
    cells = (layer.candidates[i].cell for layer, i in zip(SPACE.layers, path, strict=True))
    found = [name for cell in cells for name in cell.operations]
    return found.count(PASSING) / len(found)


def _found(method: str, seed: int, options: dict[str, Any], **changes: Any) -> float:
    shared = {"batch": 64, "recalibration": 2, "validation_batches": 4, "steps": 400}
    problem = _problem(seed, method=method, options=options, supernet=shared, **changes)
    searching = make_method(problem)
    for index in range(searching.steps):
        searching.step(index)
    return _share(searching.ranked()[0].path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("method", ["darts", "bnas"])
def test_the_operation_that_passes_images_on_is_found(
    method: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(darts, "bats_operation", _mixing)
    options: dict[str, Any] = {"temperature": 0.2} if method == "darts" else {"rounds": 10}
    evaluations = {} if method == "darts" else {"evaluations": 150}
    # Of three or all four edges; by chance in one of nine networks.
    assert _found(method, seed, options, **evaluations) >= 0.75
