"""The planted space itself: networks in it are as good as the formula says."""

import pytest

from autospace.networks.network import Network, placed
from autospace.networks.operations import _BUILDERS
from autospace.training.short import Recipe, measure, train
from tests.searchers.planted import (
    CELLS,
    LAYERS,
    accuracy_through,
    mixing_pools,
    planted_problem,
    share_found,
)


@pytest.mark.parametrize("poolings", [0, 1, 2, LAYERS])
def test_every_pooling_costs_a_network_its_share(poolings: int) -> None:
    with mixing_pools():
        problem = planted_problem(0)
        path = tuple(
            [each.id for each in layer.candidates].index("maximum" if k < poolings else "passing")
            for k, layer in enumerate(problem.choices.space.layers)
        )
        architecture = problem.choices.architecture(path)
        network = placed(Network(architecture.skeleton, architecture.cells), "cpu")
        train(network, problem.training, Recipe(60))
        found = measure(network, [problem.validation.batch(step) for step in range(4)])
    assert share_found(problem, path) == 1 - poolings / LAYERS
    assert found.accuracy == pytest.approx(accuracy_through(poolings), abs=0.12)


def test_poolings_pool_again_afterwards() -> None:
    kept = dict(_BUILDERS)
    with mixing_pools():
        assert kept != _BUILDERS
    assert kept == _BUILDERS


def test_layers_differ_in_where_the_good_candidate_stands() -> None:
    problem = planted_problem(0)
    orders = [tuple(each.id for each in layer.candidates) for layer in problem.choices.space.layers]
    assert len(set(orders)) > 1
    assert all(sorted(order) == sorted(CELLS) for order in orders)
