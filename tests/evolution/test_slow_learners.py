"""A planted operation that needs more steps than a round has to show what it is worth.

The images are those of `test_planted`: only `dw_conv_3x3_d3` can see the label. The supernet of a
round is trained for 10 steps, and then no cell knows the label. If every round makes a new
supernet, a cell with the operation is hardly fitter than others, in whatever round. If weights are
kept, the operation learns a little whenever a cell has it: new cells that have it then begin with
what it has learned, and old members that are scored again show it too.
"""

from dataclasses import replace

import pytest

from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.plan import Plan
from autospace.evolution.toolbox import Operators
from autospace.scorers.context import KeptWeights, ScoringContext
from autospace.scorers.make import make_scorer
from autospace.spaces import Budget, Cell, mbconv
from tests.evolution.test_planted import PLANTED, PRIOR, SKELETON, has_planted, setting

STEPS = 2
GENERATIONS = 28
KEPT = 6


def mixture(seed: int, *, steps: int = STEPS, kept: bool = False) -> ScoringContext:
    base = setting(seed)
    changes = {"method": "mixture", "steps": steps, "weights": "kept" if kept else "fresh"}
    options = base.options.model_copy(update=changes)
    return replace(base, options=options, kept=KeptWeights() if kept else None)


def found(base: ScoringContext) -> bool:
    """Whether all evolved cells of the learned space have the planted operation."""
    operators = Operators(
        population=12,
        tournament=3,
        crossover=0.0,
        ageing=False,
        objectives=("fitness",),
        prior=PRIOR,
    )
    plan = Plan(
        skeleton=SKELETON,
        references=(("mbconv_k3_e3", mbconv(3, 3, nodes=3)),),
        operators=operators,
        seed=base.seed,
        generations=GENERATIONS,
        candidates=4,
        rescore=2,
        keep=KEPT,
        confirm=0,
    )
    *_, state = evolve(plan, make_scorer(base))
    space = learned_space(plan, state, name="planted", budget=Budget(), provenance={})
    return all(has_planted(each.cell) for each in space.layers[0].candidates[:KEPT])


def best_of_a_round(base: ScoringContext) -> str:
    """The operation of the fittest of four cells that are scored once."""
    names = (PLANTED, "dw_conv_3x3", "dw_conv_3x3_d2", "skip_connect")
    cells = [Cell.from_edges([(0, 2, name)], nodes=3, expansion=3) for name in names]
    (fitness,) = make_scorer(base).score([cells], 0)
    return names[fitness.index(max(fitness))]


@pytest.mark.slow
def test_kept_weights_find_an_operation_that_learns_slowly_and_fresh_ones_do_not() -> None:
    assert found(mixture(0, kept=True))
    assert not found(mixture(0))


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kept_weights_find_it_over_seeds_and_it_is_steps_that_fresh_ones_lack() -> None:
    seeds = range(10, 18)
    assert sum(found(mixture(seed, kept=True)) for seed in seeds) >= 7
    assert sum(found(mixture(seed)) for seed in seeds) <= 2
    assert best_of_a_round(mixture(0, steps=40)) == PLANTED
