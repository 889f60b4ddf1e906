"""Settings and recipes of a training."""

from pathlib import Path
from typing import Any

import pytest

from autospace.runs.errors import ConfigError
from autospace.runs.settings import make_settings, read_config, to_toml
from autospace.spaces import load_skeleton
from autospace.spaces.files.library import SKELETON_NAMES
from autospace.training.settings import (
    BY_METHOD,
    FOR_SENTENCES,
    RECIPES,
    TrainConfig,
    recipe_for,
    recipe_of,
)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_valid_and_survives_toml(name: str, tmp_path: Path) -> None:
    config = make_settings(TrainConfig, RECIPES[name])
    path = tmp_path / "config.toml"
    path.write_text(to_toml(config))
    assert make_settings(TrainConfig, read_config(path)) == config


@pytest.mark.parametrize(
    ("epochs", "warm_up"), [(None, 5.0), (150, 5.0), (20, 5.0), (4, 1.0), (1, 0.25), ("x", 5.0)]
)
def test_the_rate_of_a_short_training_falls_as_well(epochs: object, warm_up: float) -> None:
    recipe = recipe_of(RECIPES["mobile"], epochs)
    assert recipe["optimizer"] == {**RECIPES["mobile"]["optimizer"], "warm_up": warm_up}
    for other in (RECIPES["digits"], FOR_SENTENCES):
        config = make_settings(TrainConfig, recipe_of(other, epochs))
        wanted = min(1.0, epochs / 4) if isinstance(epochs, int) else 1.0
        assert config.optimizer.warm_up == wanted


@pytest.mark.parametrize("recipe", [RECIPES["mobile"], RECIPES["digits"], FOR_SENTENCES])
@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_rate_and_decay_belong_to_a_method(recipe: dict[str, Any], method: str) -> None:
    chosen = {"optimizer": {"method": method}}
    config = make_settings(TrainConfig, recipe_of(recipe, None, method), chosen).optimizer
    own = make_settings(TrainConfig, recipe).optimizer
    if method == own.method:
        assert config == own
    else:
        assert (config.learning_rate, config.weight_decay) == BY_METHOD[method]
        assert config.warm_up == own.warm_up


def test_every_built_in_skeleton_has_its_recipe() -> None:
    found = {name: recipe_for(load_skeleton(name)) for name in SKELETON_NAMES}
    assert found == {
        "digits": "digits",
        "cifar": "cifar",
        "nasbench-macro": "cifar",
        "mobile": "mobile",
        "mobilenetv2": "mobile",
    }


@pytest.mark.parametrize(
    ("side", "expected"),
    [(8, "digits"), (16, "cifar-small"), (32, "cifar"), (64, "cifar"), (224, "mobile")],
)
def test_other_sizes_get_the_recipe_of_their_size(side: int, expected: str) -> None:
    other = load_skeleton("cifar").fitted(in_channels=3, resolution=48, classes=10)
    assert recipe_for(other, side) == expected
    if side != 32:
        assert recipe_for(load_skeleton("cifar"), side) == expected


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"training": {"epochs": 0}}, "training.epochs: 0; allowed: a whole number from 1"),
        ({"training": {"average": 1.0}}, "training.average: 1.0; allowed: a number of at least 0"),
        ({"training": {"precision": "half"}}, 'training.precision: "half"; allowed: float32 or'),
        ({"optimizer": {"method": "lion"}}, 'optimizer.method: "lion"; allowed: sgd or adamw'),
        ({"optimizer": {"method": ["sgd"]}}, "optimizer.method: "),
        ({"optimizer": 3}, "optimizer: 3; allowed: a section of settings"),
        ({"augment": {"mixup": -1}}, "augment.mixup: -1; allowed: a number from 0 to 100"),
        ({"data": {"validation": 1}}, "data.validation: 1; allowed: a number of at least 0"),
        ({"evolution": {}}, "evolution: unknown setting; allowed: architecture, seed"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(
    settings: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make_settings(TrainConfig, settings)
    assert str(caught.value).startswith(problem)
    assert "\n" not in str(caught.value)
