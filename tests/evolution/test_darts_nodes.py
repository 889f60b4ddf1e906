"""Evolution of what nodes of DARTS cells read, against a planted answer."""

from collections.abc import Sequence

import pytest

from autospace.evolution.families import references_on
from autospace.evolution.folder import state_from_json, state_to_json
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.plan import Plan, make_plan
from autospace.evolution.settings import Config
from autospace.spaces import Budget, Cell, from_json, load, load_skeleton, to_json
from autospace.spaces.cost import BudgetError, layer_shares, most_expensive_reference

WORTH = {
    "sep_conv_3x3": 0.0, "sep_conv_5x5": 0.4, "dil_conv_3x3": 0.1, "dil_conv_5x5": 0.2,
    "skip_connect": 0.3, "max_pool_3x3": -0.2, "avg_pool_3x3": -0.3,
}  # fmt: skip
"""Of operations; a node is also worth more the later its sources are."""


class ClosedForm:
    """A scorer without torch."""

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        return [
            [
                sum(WORTH[edge.operation] + 0.5 * edge.source for edge in cell.edges) - 0.5
                for cell in row
            ]
            for row in candidates
        ]


def _plan(generations: int) -> Plan:
    sizes = {"population": 8, "tournament": 3, "candidates": 12, "keep": 3}
    sizes["generations"] = generations
    config = Config.model_validate({"evolution": sizes})
    skeleton = load_skeleton("darts-small")
    references = references_on(skeleton, config.cells)
    shares = layer_shares(skeleton, [cell for _, cell in references], Budget())
    return make_plan(config, skeleton, references, (shares,))


def test_the_planted_choice_is_learned_at_every_node() -> None:
    plan = _plan(10)
    (*_, state) = evolve(plan, ClosedForm())
    space = learned_space(plan, state, name="learned", budget=Budget(), provenance={})
    for layer in space.layers:
        node = layer.shape.node
        best = layer.candidates[0].cell
        assert node is not None
        assert {edge.source for edge in best.edges} == {node - 2, node - 1}
        assert set(best.operations) == {"sep_conv_5x5"}
        assert layer.candidates[-1].origin.kind == "reference"
        assert set(layer.candidates[-1].cell.operations) == {"sep_conv_3x3"}
    assert space.size == 4**8
    assert from_json(to_json(space)) == space


def test_a_state_in_the_middle_is_read_back_and_goes_on_alike() -> None:
    plan = _plan(3)
    states = list(evolve(plan, ClosedForm()))
    middle = state_from_json(state_to_json(states[2]), plan.skeleton, "darts")
    (*_, last) = evolve(plan, ClosedForm(), middle)
    assert last.layers == states[-1].layers


def test_the_share_of_every_node_keeps_the_budget() -> None:
    skeleton = load_skeleton("darts-small")
    config = Config.model_validate(
        {"evolution": {"generations": 3, "population": 4, "tournament": 2}}
    )
    references = references_on(skeleton, config.cells)
    limit = 26_000
    budget = Budget(max_params=limit)
    cells = [cell for _, cell in references]
    # The reference has sep_conv_3x3 from both inputs in every node.
    space = load("darts@darts-small")
    assert most_expensive_reference(skeleton, cells) == space.architecture(space.reference).cost
    with pytest.raises(BudgetError, match=r"1,000 params, but the reference cells need 25,022;"):
        layer_shares(skeleton, cells, Budget(max_params=1000))
    shares = layer_shares(skeleton, cells, budget)
    plan = make_plan(config, skeleton, references, (shares,))
    (*_, state) = evolve(plan, ClosedForm())
    space = learned_space(plan, state, name="small", budget=budget, provenance={})
    assert space.params.max <= limit


def test_skeletons_say_which_cells_they_are_for() -> None:
    assert load_skeleton("darts").kind == "darts"
    assert load_skeleton("nasbench201").kind == "dense"
    assert load_skeleton("cifar").kind == "mobile"
    assert load_skeleton("resnet20").kind == "conv"
