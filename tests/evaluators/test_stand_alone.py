"""Short trainings: they learn, and equal arguments give equal numbers."""

from pathlib import Path

import pytest
import torch

from autospace.data.images import load_images
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluationError, EvaluatorConfig
from autospace.evaluators.make import make_evaluator
from autospace.evaluators.stand_alone import (
    StandAloneEvaluator,
    from_measured,
    new_network,
    recipe_of,
    seconds_of,
)
from autospace.training.short import Measured
from tests.evaluators.setups import (
    DATA,
    SKELETON,
    architecture,
    computed,
    images,
    setup,
    space,
)


def test_training_learns_what_guessing_does_not(tmp_path: Path) -> None:
    some = setup(tmp_path, steps=60)
    found = make_evaluator(some, some.images()).evaluate(architecture(0, 1), 0)
    assert found.score > 1 / SKELETON.classes + 0.15
    assert found.loss is not None


def test_equal_seeds_give_equal_numbers_whatever_was_done_before(tmp_path: Path) -> None:
    some = setup(tmp_path)
    evaluator = make_evaluator(some, some.images())
    first = evaluator.evaluate(architecture(0, 1), 3)
    other = evaluator.evaluate(architecture(2, 1), 3)
    torch.manual_seed(99)
    assert evaluator.evaluate(architecture(0, 1), 3) == first != other
    assert evaluator.evaluate(architecture(0, 1), 4) != first


def test_evaluating_leaves_the_callers_generator_alone(tmp_path: Path) -> None:
    some = setup(tmp_path)
    evaluator = make_evaluator(some, some.images())
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    evaluator.evaluate(architecture(0, 0), 0)
    assert torch.equal(torch.rand(3), wanted)


def test_the_recipe_is_that_of_the_settings() -> None:
    config = EvaluatorConfig(steps=7, learning_rate=0.3, weight_decay=0.01, label_smoothing=0.1)
    recipe = recipe_of(config)
    found = (recipe.steps, recipe.learning_rate, recipe.weight_decay, recipe.label_smoothing)
    assert found == (7, 0.3, 0.01, 0.1)


def test_a_network_starts_from_its_seed() -> None:
    one, same, other = (
        new_network(architecture(0, 0), seed, torch.device("cpu")).state_dict()
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_accuracy_of_a_measurement_is_a_share() -> None:
    assert from_measured(Measured(0.25, 1.5, 8)).score == 0.25
    assert from_measured(Measured(0.25, float("nan"), 8)).loss is None


def test_too_little_memory_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **_options: object) -> None:
        raise torch.OutOfMemoryError("a page of numbers")

    monkeypatch.setattr("autospace.evaluators.stand_alone.train_in_stages", exhausted)
    evaluator = StandAloneEvaluator(images(tmp_path), EvaluatorConfig())
    with pytest.raises(EvaluationError, match="use fewer workers or a smaller batch"):
        evaluator.evaluate(architecture(0, 0), 0)


PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@pytest.mark.parametrize("method", ["train", "supernet"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_networks_are_trained_in_the_precision_and_measured_in_float32(
    method: str, precision: str, tmp_path: Path
) -> None:
    some = setup(tmp_path, space(), method=method, precision=precision)
    with computed() as found:
        make_evaluator(some, some.images()).evaluate(architecture(0, 1), 0)
    used = {dtype for training, dtype in found if training}
    # Recalibration counts as training, and is a part of measuring.
    assert used == {PRECISIONS[precision]} | ({torch.float32} if method == "supernet" else set())
    assert {dtype for training, dtype in found if not training} == {torch.float32}
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_time_is_measured_in_the_precision(precision: str, tmp_path: Path) -> None:
    config = EvaluatorConfig.model_validate({"precision": precision, "batch": 8})
    with computed() as found:
        assert seconds_of(images(tmp_path), config, architecture(0, 1)) > 0
    assert found == {(True, PRECISIONS[precision])}


def test_accuracies_in_bfloat16_are_near_those_in_float32(tmp_path: Path) -> None:
    plain, half = (
        make_evaluator(some, some.images()).evaluate(architecture(0, 1), 0)
        for some in (setup(tmp_path, steps=60, precision=name) for name in PRECISIONS)
    )
    assert plain != half
    assert half.score == pytest.approx(plain.score, abs=0.1)
    assert half.score > 1 / SKELETON.classes + 0.15


def _rows(examples: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in examples}


def test_the_test_split_is_measured_unless_validation_is_asked_for() -> None:
    device = torch.device("cpu")
    test = load_images(DATA, "test", 0, device)
    assert test.training is test.data.train
    assert test.measured is test.data.test
    part = DataConfig(source=DATA.source, resolution=8, validation=0.3)
    validation = load_images(part, "validation", 0, device)
    whole = _rows(validation.data.train.images)
    assert len(validation.measured) == 27
    assert _rows(validation.training.images) | _rows(validation.measured.images) == whole
    assert not _rows(validation.measured.images) & _rows(validation.data.test.images)


def test_only_training_batches_are_augmented() -> None:
    config = DataConfig(source=DATA.source, resolution=8, crop=2, flip=True)
    found = load_images(config, "test", 0, torch.device("cpu"))
    normal = found.normaliser(found.training.images)
    plain, _ = found.plain_batches(90, 0).batch(0)
    assert _rows(plain.contiguous()) == _rows(normal.contiguous())
    augmented, _ = found.batches(90, 0).batch(0)
    assert _rows(augmented.contiguous()) != _rows(normal.contiguous())
