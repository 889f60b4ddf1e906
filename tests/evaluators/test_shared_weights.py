"""Shared weights: the right cells, statistics of their own, a fair training."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospace.data.batches import Batch
from autospace.evaluators.evaluator import EvaluationError
from autospace.evaluators.make import make_evaluator, supernet_file
from autospace.evaluators.stand_alone import recipe_of
from autospace.evaluators.supernet import (
    InTurn,
    SharedWeightsEvaluator,
    train_supernet,
    union_of,
)
from autospace.networks.binary import BinaryConvolution
from autospace.networks.network import Network
from autospace.seeds import derived_seed
from autospace.spaces import Architecture, Layer, LayerSpec, Space, canonical_key, load, mbconv
from autospace.spaces.cells.family import cell_key
from autospace.spaces.choices import Choices
from autospace.spaces.files.families import family_space
from autospace.supernets.settings import MagicConfig, SupernetConfig
from autospace.supernets.shared_weights import (
    Problem,
    SharedWeights,
    evaluate_path,
    recalibrate,
)
from autospace.supernets.supernet import OnePath, Supernet, space_supernet
from autospace.training.short import measure, train
from tests.evaluators.setups import CELLS, SKELETON, architecture, images, setup, space

FIRST = space(CELLS[:2])
SECOND = space((CELLS[1], mbconv(7, 1)))


def test_a_union_holds_every_function_once() -> None:
    union = union_of([FIRST, SECOND])
    for layer in union.layers:
        keys = [canonical_key(each.cell, layer.shape.stride) for each in layer.candidates]
        wanted = {canonical_key(c, layer.shape.stride) for c in (*CELLS[:2], mbconv(7, 1))}
        assert len(keys) == len(set(keys)) == 3
        assert set(keys) == wanted


def test_a_union_needs_one_skeleton() -> None:
    other = space(CELLS, replace(SKELETON, layers=(LayerSpec(4), LayerSpec(8, 2))))
    with pytest.raises(EvaluationError, match="needs one skeleton"):
        union_of([FIRST, other])


def test_a_union_needs_one_family_of_cells() -> None:
    with pytest.raises(EvaluationError, match=r"are mobile, those of .* binary; .* one family"):
        union_of([load("mbconv@digits"), load("binary@digits")])


def _weights(folder: Path, union: Space) -> SharedWeights:
    settings = SupernetConfig(steps=4, batch=8)
    return SharedWeights(Problem(Choices(union), images(folder), settings, MagicConfig(), 0))


def test_every_space_is_walked_equally_often_and_within_itself(tmp_path: Path) -> None:
    weights = _weights(tmp_path, union_of([FIRST, SECOND]))
    training = InTurn(weights, [FIRST, SECOND])
    paths = [path for step in range(200) for path in training.paths(step)]
    assert len(paths) == 200
    assert {index for path in paths[0::2] for index in path} == {0, 1}
    assert {index for path in paths[1::2] for index in path} == {1, 2}
    assert InTurn(weights, [FIRST, SECOND]).paths(17) == [paths[17]]


def test_the_supernet_is_trained_by_the_recipe_of_the_short_training(tmp_path: Path) -> None:
    """The same steps by the trainer of single networks, which knows nothing of paths."""
    some = setup(tmp_path, FIRST, SECOND, method="supernet", label_smoothing=0.2)
    found, union = some.images(), union_of(some.spaces)
    training = InTurn(_weights(tmp_path, union), some.spaces)
    network = OnePath(space_supernet(union, some.seed, "cpu"), ())

    class Batches:
        source = found.batches(some.config.batch, derived_seed(some.seed, "supernet"))

        def batch(self, step: int) -> Batch:
            (network.path,) = training.paths(step)
            return self.source.batch(step)

    train(network, Batches(), recipe_of(some.config))
    ours = train_supernet(some.spaces, found, some.config, some.seed).state_dict()
    for name, value in network.supernet.state_dict().items():
        assert torch.equal(value, ours[name]), name


def _alone(supernet: Supernet, choices: tuple[int, int]) -> Network:
    """The network of a path, with the supernet's weights."""
    network = Network(SKELETON, architecture(*choices).cells)
    network.stem.load_state_dict(supernet.network.stem.state_dict())
    network.classifier.load_state_dict(supernet.network.classifier.state_dict())
    for layer, choice in enumerate(choices):
        weights = supernet.cells(layer)[choice].state_dict()
        network.cell(layer).load_state_dict(weights)
    return network


def test_a_path_is_measured_as_its_network_with_these_weights(tmp_path: Path) -> None:
    some = setup(tmp_path, space(), method="supernet")
    found = some.images()
    supernet = space_supernet(space(), 0, "cpu")
    twin = space_supernet(space(), 0, "cpu")
    evaluator = SharedWeightsEvaluator(supernet, space(), found, some.config)
    for choices in ((0, 2), (1, 0)):
        network = _alone(twin, choices)
        batches = found.plain_batches(16, 5)
        recalibrate([network], network, (batches.batch(step)[0] for step in range(2)))
        wanted = measure(network, found.measured_batches().evaluation_batches())
        got = evaluator.evaluate(architecture(*choices), 5)
        assert got.score == pytest.approx(wanted.accuracy)
        assert got.loss == pytest.approx(wanted.loss, rel=1e-4)


def test_a_cell_of_no_space_is_refused(tmp_path: Path) -> None:
    some = setup(tmp_path, FIRST, method="supernet")
    evaluator = make_evaluator(some, some.images())
    with pytest.raises(EvaluationError, match="layer_01: the supernet does not hold this cell"):
        evaluator.evaluate(architecture(0, 2), 0)


def test_the_order_of_evaluations_does_not_matter(tmp_path: Path) -> None:
    some = setup(tmp_path, FIRST, SECOND, method="supernet")
    evaluator = make_evaluator(some, some.images())
    one = evaluator.evaluate(architecture(0, 1), 0)
    evaluator.evaluate(architecture(1, 1), 1)
    assert evaluator.evaluate(architecture(0, 1), 0) == one


def _of_nodes(name: str, count: int = 4) -> Space:
    """A space whose choices are nodes of cells with two inputs, with a few of them each."""
    whole, rng = load(name), random.Random(0)
    skeleton = whole.skeleton.fitted(in_channels=1, resolution=8, classes=3)
    layers = tuple(
        Layer(shape, tuple(rng.sample(layer.candidates, count)))
        for shape, layer in zip(skeleton.shapes, whole.layers, strict=True)
    )
    return replace(whole, skeleton=skeleton, layers=layers, reference={})


@pytest.mark.parametrize("name", ["darts@darts-small", "bats@bats-small"])
def test_choices_of_nodes_are_measured_by_their_path(name: str, tmp_path: Path) -> None:
    given = _of_nodes(name)
    some = setup(tmp_path, given, method="supernet", batch=8)
    found = some.images()
    evaluator = make_evaluator(some, found)
    union = union_of(some.spaces)
    weights = train_supernet(some.spaces, found, some.config, some.seed)
    path = tuple(index % 4 for index in range(len(given.layers)))
    by_place = [layer.candidates[i] for layer, i in zip(given.layers, path, strict=True)]
    network = Architecture(given.skeleton, tuple(by_place))
    places = [
        layer.keys.index(cell_key(each.cell, layer.shape))
        for layer, each in zip(union.layers, by_place, strict=True)
    ]
    images_ = (found.plain_batches(8, 5).batch(step)[0] for step in range(2))
    measured = found.measured_batches().evaluation_batches()
    wanted = evaluate_path(weights, places, images_, measured)
    got = evaluator.evaluate(network, 5)
    assert got.score == pytest.approx(wanted.accuracy)
    assert got.loss == pytest.approx(wanted.loss, rel=1e-5)


@pytest.mark.parametrize("stage", [None, "binary", "real"])
def test_binary_weights_that_are_read_again_measure_what_they_measured(
    stage: str | None, tmp_path: Path
) -> None:
    binary = family_space("binary", SKELETON)
    some = setup(tmp_path, binary, method="supernet", precision_stage=stage)
    network = binary.architecture({layer.shape.name: "bin_3x3" for layer in binary.layers})
    trained = make_evaluator(some, some.images())
    fresh = trained.evaluate(network, 0)
    assert isinstance(trained, SharedWeightsEvaluator)
    parts = trained._supernet.modules()
    found = {each.precision for each in parts if isinstance(each, BinaryConvolution)}
    assert found == {stage or "binary_inputs"}
    assert supernet_file(some, some.images()).is_file()
    assert make_evaluator(some, some.images()).evaluate(network, 0) == fresh


def test_a_stage_of_weights_that_are_not_binary_is_refused(tmp_path: Path) -> None:
    some = setup(tmp_path, FIRST, method="supernet", precision_stage="real")
    with pytest.raises(EvaluationError, match=r"^evaluator.precision_stage: real, but no operat"):
        make_evaluator(some, some.images())
