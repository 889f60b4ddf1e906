"""nevergrad runs on the module that we export."""

from pathlib import Path
from typing import Any

import pytest

from autospace.spaces import load
from tests.clients.exchange import (
    DRAWN,
    assert_all_return,
    awkward_space,
    ids_of,
    learned_space,
    module_for,
)

nevergrad = pytest.importorskip("nevergrad", reason="make test-clients has it")

each_space = pytest.mark.parametrize("make", [learned_space, awkward_space])


@each_space
def test_layers_and_cells_arrive_in_order(make: Any, tmp_path: Path) -> None:
    space = make()
    found = module_for("nevergrad", space, tmp_path).parametrization()
    assert {name: list(found[name].choices.value) for name in ids_of(space)} == ids_of(space)


@each_space
def test_samples_are_our_architectures(make: Any, tmp_path: Path) -> None:
    space = make()
    module = module_for("nevergrad", space, tmp_path)
    found = module.parametrization()
    found.random_state.seed(0)
    drawn = [found.sample().value for _ in range(DRAWN)]
    assert_all_return(space, drawn)
    assert all(module.madds(each) == space.cost(each).madds for each in drawn)


def test_binary_networks_are_limited_by_ops(tmp_path: Path) -> None:
    space = load("binary@digits")
    module = module_for("nevergrad", space, tmp_path)
    found = module.parametrization()
    found.random_state.seed(0)
    best = nevergrad.optimizers.DiscreteOnePlusOne(found, budget=100).minimize(module.ops)
    assert module.ops(best.value) == space.cost(best.value).ops < space.ops.mean


def test_an_optimizer_finds_a_small_network(tmp_path: Path) -> None:
    space = learned_space()
    module = module_for("nevergrad", space, tmp_path)
    found = module.parametrization()
    found.random_state.seed(0)
    best = nevergrad.optimizers.DiscreteOnePlusOne(found, budget=100).minimize(module.madds)
    assert_all_return(space, [best.value], everything=False)
    assert module.madds(best.value) < (space.madds.min + space.madds.max) / 2
