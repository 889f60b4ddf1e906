"""From settings to evaluators: what counts as equal conditions, and what is kept of a supernet."""

from dataclasses import replace
from pathlib import Path

import pytest

from autospace.data.settings import DataConfig
from autospace.evaluators.evaluate import EvaluationCache
from autospace.evaluators.evaluator import Evaluation, EvaluationMethod, EvaluationRequest
from autospace.evaluators.make import Setup, make_evaluator
from tests.evaluators.setups import CELLS, DATA, architecture, setup, space


def _conditions(some: Setup) -> object:
    return some.conditions(some.images())


def _changed(some: Setup, **changes: object) -> Setup:
    config = some.config.model_copy(update=changes)
    return replace(some, config=config)


@pytest.mark.parametrize(
    ("method", "setting", "value", "matters"),
    [
        ("train", "steps", 9, True),
        ("train", "split", "validation", True),
        ("train", "learning_rate", 0.3, True),
        ("train", "precision", "bfloat16", True),
        ("train", "recalibration", 9, False),
        ("supernet", "recalibration", 9, True),
        ("supernet", "steps", 9, True),
        ("supernet", "precision", "bfloat16", True),
        ("naswot", "steps", 9, False),
        ("naswot", "precision", "bfloat16", False),
        ("naswot", "split", "validation", True),
    ],
)
def test_what_changes_an_evaluation_changes_its_conditions(
    tmp_path: Path, method: EvaluationMethod, setting: str, value: object, matters: bool
) -> None:
    some = setup(tmp_path, space(), method=method)
    other = _changed(some, **{setting: value})
    assert (_conditions(some) != _conditions(other)) == matters


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("train", "c08fd88c397b12a7ee9b39b6ed02bce20af05d45"),
        ("supernet", "1b8a23ef23dc655db7fbd996c7f97ceac62793b1"),
        ("naswot", "cdef683ff8911b7f5ea01f8dbc5b0d8222d41322"),
    ],
)
def test_a_new_setting_leaves_old_evaluations_valid(
    tmp_path: Path, method: EvaluationMethod, name: str
) -> None:
    """The names of evaluations by version 3 of their keys, which no setting since then changes."""
    some = setup(tmp_path, space(), method=method)
    conditions = {**some.conditions(some.images()), "data": "0" * 64}
    cache = EvaluationCache(tmp_path / "cache", conditions)
    cache.open()
    cache.put(EvaluationRequest(architecture(0, 1), 3), Evaluation(0.5))
    assert [path.stem for path in cache.folder.iterdir()] == [name]


def test_other_images_are_other_conditions(tmp_path: Path) -> None:
    some = setup(tmp_path)
    for data in (
        DataConfig(source="synthetic:classes=3,train=91,test=60", resolution=8),
        DATA.model_copy(update={"flip": True}),
    ):
        assert _conditions(replace(some, data=data)) != _conditions(some)


def test_the_seed_counts_where_it_decides_something(tmp_path: Path) -> None:
    for method, matters in (("train", False), ("supernet", True)):
        some = setup(tmp_path, space(), method=method)
        assert (_conditions(replace(some, seed=1)) != _conditions(some)) == matters
    some = setup(tmp_path, split="validation")
    assert _conditions(replace(some, seed=1)) != _conditions(some)


def test_a_supernet_of_other_spaces_is_another_one(tmp_path: Path) -> None:
    some = setup(tmp_path, space(), method="supernet")
    other = setup(tmp_path, space(CELLS[:2]), method="supernet")
    assert _conditions(some) != _conditions(other)


def test_a_supernet_is_trained_once_and_again_if_its_file_is_damaged(tmp_path: Path) -> None:
    some = setup(tmp_path, space(), method="supernet", steps=6)
    found = some.images()
    ticks: list[tuple[int, int]] = []

    def tick(done: int, total: int) -> None:
        ticks.append((done, total))

    first = make_evaluator(some, found, tick).evaluate(architecture(0, 1), 0)
    assert ticks == [(step, 6) for step in range(1, 7)]
    again = make_evaluator(some, found, tick).evaluate(architecture(0, 1), 0)
    assert (again, len(ticks)) == (first, 6)
    (weights,) = tmp_path.glob("supernet-*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    mended = make_evaluator(some, found, tick).evaluate(architecture(0, 1), 0)
    assert (mended, len(ticks)) == (first, 12)
