"""Evolution of operations per edge of a cell that all layers share."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from autospace.evolution.families import references_on
from autospace.evolution.folder import state_from_json, state_to_json
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.plan import Plan, make_plan
from autospace.evolution.settings import Config
from autospace.spaces import Budget, Cell, from_json, load_skeleton, to_json
from autospace.spaces.cost import layer_shares
from tests.spaces.dense.nasbench201 import OPERATIONS, SPACE

WORTH = dict(zip(OPERATIONS, (-0.5, 0.3, 0.2, 0.0, -0.1), strict=True))
"""Of operations, relative to the reference; the later the edge, the more it matters."""


class ClosedForm:
    """A scorer without torch."""

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        return [
            [WORTH[cell.operations[0]] * (1 + layer) for cell in row]
            for layer, row in enumerate(candidates)
        ]


def _plan(generations: int = 6) -> Plan:
    config = Config.model_validate(
        {
            "evolution": {
                "generations": generations,
                "population": 4,
                "tournament": 2,
                "candidates": 2,
                "keep": 2,
            }
        }
    )
    skeleton = SPACE.skeleton
    references = references_on(skeleton, config.cells)
    shares = layer_shares(skeleton, [cell for _, cell in references], Budget())
    return make_plan(config, skeleton, references, (shares,))


def test_the_planted_operations_are_learned_on_every_edge() -> None:
    plan = _plan()
    (*_, state) = evolve(plan, ClosedForm())
    space = learned_space(plan, state, name="learned", budget=Budget(), provenance={})
    for layer in space.layers:
        found = [candidate.cell.operations for candidate in layer.candidates]
        assert found == [("skip_connect",), ("nor_conv_1x1",), ("nor_conv_3x3",)]
        assert layer.candidates[-1].origin.kind == "reference"
    assert space.size == 3**6
    assert from_json(to_json(space)) == space
    # All five operations were tried everywhere, `none` too.
    assert all(len(layer.seen) == 5 for layer in state.layers)


@pytest.mark.slow
def test_a_state_in_the_middle_is_read_back_and_goes_on_alike() -> None:
    plan = _plan(generations=3)
    states = list(evolve(plan, ClosedForm()))
    middle = state_from_json(state_to_json(states[2]), plan.skeleton, "dense")
    (*_, last) = evolve(plan, ClosedForm(), middle)
    assert last.layers == states[-1].layers


def test_mobile_skeletons_are_told_from_dense_ones() -> None:
    assert SPACE.skeleton.kind == "dense"
    assert replace(SPACE.skeleton, nodes=None, ties=()).kind == "dense"
    assert not any(load_skeleton(name).kind == "dense" for name in ("digits", "cifar", "mobile"))
