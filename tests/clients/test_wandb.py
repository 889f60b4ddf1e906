"""Weights & Biases' sweeps draw from what we export."""

from typing import Any

import pytest

from tests.clients.exchange import (
    DRAWN,
    assert_all_return,
    awkward_space,
    ids_of,
    learned_space,
    text_for,
)

sweeps = pytest.importorskip("sweeps", reason="make test-clients has it")
yaml = pytest.importorskip("yaml")
pytestmark = pytest.mark.slow
each_space = pytest.mark.parametrize("make", [learned_space, awkward_space])


def sweep(make: Any) -> Any:
    return yaml.safe_load(text_for("wandb", make()))


@each_space
def test_layers_and_cells_arrive_in_order(make: Any) -> None:
    found = {
        name: each.get("values", [each.get("value")])
        for name, each in sweep(make)["parameters"].items()
    }
    assert found == ids_of(make())


@each_space
def test_the_sweep_is_one_that_wandb_accepts(make: Any) -> None:
    config = pytest.importorskip("sweeps.config")
    assert config.SweepConfig(sweep(make))["method"] == "random"


@each_space
def test_draws_are_our_architectures(make: Any) -> None:
    config = sweep(make)
    runs = [sweeps.next_run(config, []) for _ in range(DRAWN)]
    drawn = ({name: each["value"] for name, each in run.config.items()} for run in runs)
    assert_all_return(make(), drawn)


@each_space
def test_wandb_itself_parses_the_file(make: Any, tmp_path: Any) -> None:
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    path = tmp_path / "sweep.yaml"
    path.write_text(text_for("wandb", make()), encoding="utf-8")
    assert utils.load_sweep_config(str(path)) == sweep(make)
