"""pymoo runs on the module that we export."""

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

pymoo = pytest.importorskip("pymoo", reason="make test-clients has it")

each_space = pytest.mark.parametrize("make", [learned_space, awkward_space])


@each_space
def test_layers_and_cells_arrive_in_order(make: Any, tmp_path: Path) -> None:
    space = make()
    problem = module_for("pymoo", space, tmp_path).LearnedSpace(len)
    assert {name: list(each.options) for name, each in problem.vars.items()} == ids_of(space)


@each_space
def test_samples_are_our_architectures(make: Any, tmp_path: Path) -> None:
    import numpy as np
    from pymoo.core.mixed import MixedVariableSampling

    space = make()
    module = module_for("pymoo", space, tmp_path)
    drawn = MixedVariableSampling()(
        module.LearnedSpace(len), DRAWN, random_state=np.random.default_rng(0)
    )
    choices = [{name: str(value) for name, value in each.X.items()} for each in drawn]
    assert_all_return(space, choices)
    assert all(module.madds(each) == space.cost(each).madds for each in choices)


def test_a_front_of_binary_networks_is_of_error_against_ops(tmp_path: Path) -> None:
    from pymoo.optimize import minimize

    space = load("binary@digits")
    module = module_for("pymoo", space, tmp_path)

    def error(choices: dict[str, str]) -> float:
        return float(sum(choice == "skip" for choice in choices.values()))

    result = minimize(module.LearnedSpace(error), module.algorithm(), ("n_gen", 5), seed=0)
    choices = [{name: str(value) for name, value in each.items()} for each in result.X]
    assert result.F.tolist() == [[error(each), space.cost(each).ops] for each in choices]


def test_a_front_of_error_against_madds(tmp_path: Path) -> None:
    from pymoo.optimize import minimize

    space = learned_space()
    module = module_for("pymoo", space, tmp_path)

    def error(choices: dict[str, str]) -> float:
        return float(sum(choice != "mbconv_k3" for choice in choices.values()))

    result = minimize(module.LearnedSpace(error), module.algorithm(), ("n_gen", 10), seed=0)
    choices = [{name: str(value) for name, value in each.items()} for each in result.X]
    assert_all_return(space, choices, everything=False)
    expected = [[error(each), space.cost(each).madds] for each in choices]
    assert result.F.tolist() == expected
    assert min(error(each) for each in choices) == 0
