"""The learned space."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.evolution.families import prior_on
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.plan import Plan
from autospace.evolution.population import EvolutionState, LayerState
from autospace.evolution.preparation import check_predicted, check_skips, check_tied
from autospace.evolution.settings import make_config
from autospace.runs.errors import ConfigError
from autospace.scorers.scorer import ScoringConfig, check_scoring
from autospace.spaces import Budget, Skeleton, Space, SpaceError, from_json, mbconv, to_json
from autospace.spaces.cells.cell import MIXES, Mix
from autospace.spaces.cost import layer_shares, most_expensive_reference
from autospace.spaces.files.library import load_skeleton
from tests.strategies import skeletons
from tests.tiny import REFERENCES, SHAPE, SKELETON, ClosedForm, finish, member, one_max, plan

CELLS = [cell for _, cell in REFERENCES]


def _space(some: Plan, state: EvolutionState, budget: Budget | None = None) -> Space:
    return learned_space(
        some, state, name="tiny", budget=budget or Budget(), provenance={"seed": some.seed}
    )


@settings(max_examples=30)
@given(
    skeletons(most_layers=3),
    st.none() | st.integers(0, 20_000),
    st.none() | st.integers(0, 2_000),
    st.integers(0, 99),
)
def test_no_architecture_of_a_learned_space_exceeds_the_budget(
    skeleton: Skeleton, madds: int | None, params: int | None, seed: int
) -> None:
    most_expensive = most_expensive_reference(skeleton, CELLS)
    budget = Budget(
        None if madds is None else most_expensive.madds + madds,
        None if params is None else most_expensive.params + params,
    )
    some = plan(
        skeleton=skeleton,
        limits=(layer_shares(skeleton, CELLS, budget),),
        seed=seed,
        generations=1,
        operators={"population": 5},
    )
    # Dear cells score best, so that evolution pushes against the limit.
    final = finish(some, score=lambda cell: one_max(cell) + cell.expansion)
    space = _space(some, final, budget)
    fixed_and_most_expensive = (
        [max(cost.madds for cost in layer.costs) for layer in space.layers],
        space.most_expensive,
    )
    assert budget.allows(fixed_and_most_expensive[1])
    extreme = space.architecture(
        {
            layer.shape.name: max(
                layer.candidates, key=lambda each: layer.costs[layer.candidates.index(each)].madds
            ).id
            for layer in space.layers
        }
    )
    assert budget.max_madds is None or extreme.cost.madds <= budget.max_madds
    assert from_json(to_json(space)) == space


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_every_layer_has_the_kept_cells_then_the_references(keep: int) -> None:
    some = plan(keep=keep, generations=6)
    space = _space(some, finish(some))
    for layer in space.layers:
        *evolved, third, second, first = layer.candidates[::-1]
        del first, second, third
        kinds = [each.origin.kind for each in layer.candidates]
        assert kinds[keep:] == ["reference"] * 3
        assert "reference" not in kinds[:keep]
        assert [each.id for each in layer.candidates[keep:]] == [name for name, _ in REFERENCES]
        fitnesses = [each.fitness or 0.0 for each in layer.candidates[:keep]]
        assert fitnesses == sorted(fitnesses, reverse=True)
        assert len(evolved) == keep
    assert space.reference == {layer.shape.name: REFERENCES[0][0] for layer in space.layers}
    assert space.provenance == {"seed": 0}
    assert space.operations[0] == "none"


def test_the_best_confirmed_cells_are_kept_not_the_luckiest() -> None:
    lucky = member("c0001", mbconv(3, 1), 9.0, scores=3)
    solid = member("c0002", mbconv(5, 1), 1.0, scores=2, confirmed=1)
    better = member("c0003", mbconv(7, 1), 2.0, scores=2, confirmed=1)
    reference = replace(
        member(REFERENCES[0][0], CELLS[0], 0.0),
        origin=replace(member("x", CELLS[0], 0.0).origin, kind="reference"),
    )
    layer = LayerState((), (lucky, better, solid, reference), (reference,))
    one_layer = replace(SKELETON, layers=SKELETON.layers[:1])
    assert one_layer.shapes[0] == SHAPE
    some = plan(skeleton=one_layer, keep=2, references=REFERENCES[:1])
    (found,) = _space(some, EvolutionState(0, (layer,))).layers
    assert [each.id for each in found.candidates] == ["c0003", "c0002", REFERENCES[0][0]]


def test_all_kept_cells_were_confirmed_even_if_references_score_best() -> None:
    some = plan(keep=3, generations=2, confirm=2, operators={"population": 12})

    def score(cell: object) -> float:
        return 1.0 if cell in CELLS else 0.0

    *_, final = evolve(some, ClosedForm(score))
    confirmed = [{each.id: each.scores for each in layer.hall} for layer in final.layers]
    for layer, scores in zip(_space(some, final).layers, confirmed, strict=True):
        assert [scores[each.id] for each in layer.candidates[:3]] == [3, 3, 3]


def test_fewer_cells_than_asked_for_are_no_error() -> None:
    some = plan(keep=200, confirm=0)
    space = _space(some, finish(some))
    assert all(3 < len(layer.candidates) < 203 for layer in space.layers)


def test_references_that_compete_are_kept_only_if_they_are_among_the_fittest() -> None:
    some = plan(generations=2)
    state = finish(some)
    staying = _space(some, state)
    competing = _space(replace(some, references_stay=False), state)
    for whole, layer in zip(staying.layers, competing.layers, strict=True):
        by_fitness = sorted(whole.candidates, key=lambda each: -(each.fitness or 0))
        worst = by_fitness[some.keep - 1].fitness
        assert len(layer.candidates) == some.keep
        assert all((each.fitness or 0) >= (worst or 0) for each in layer.candidates)
    # One-max likes 5x5 convolutions: the reference of one 3x3 is out, and is named nowhere.
    assert staying.reference
    assert not competing.reference
    assert from_json(to_json(competing)) == competing


def test_where_skips_are_wanted_a_layer_that_keeps_its_input_offers_one() -> None:
    some = plan(generations=1)
    state = finish(some)
    fixed, open_ = _space(some, state), _space(replace(some, skips=True), state)
    assert [layer.shape.shortcut for layer in fixed.layers] == [True, False]
    (first, *_), (wider, *_) = fixed.layers, open_.layers
    assert wider.candidates[:-1] == first.candidates
    skip = wider.candidates[-1]
    assert (skip.id, skip.fitness, skip.origin.kind) == ("skip", None, "builtin")
    assert skip.cell.is_zero
    assert open_.layers[1:] == fixed.layers[1:]
    assert from_json(to_json(open_)) == open_
    chosen = {layer.shape.name: layer.candidates[-1].id for layer in open_.layers}
    assert open_.architecture(chosen).skipped == 1
    assert open_.madds.max == fixed.madds.max
    assert open_.madds.min < fixed.madds.min


@pytest.mark.parametrize(
    ("skeleton", "why"),
    [
        ("resnet20", "no layer of it has a shortcut"),
        ("darts", "no layer of it has a shortcut"),
        ("nasbench201", "no layer of it has a shortcut"),
        ("ofa-small", "which layers may be skipped is a matter of the skeleton"),
        ("bert-small", "which layers may be skipped is a matter of the skeleton"),
        ("rnn-small", "no layer of it has a shortcut"),
    ],
)
def test_skips_are_refused_where_no_layer_can_offer_one(skeleton: str, why: str) -> None:
    config = make_config({"skeleton": skeleton, "evolution": {"skips": True}})
    found = load_skeleton(skeleton)
    with pytest.raises(ConfigError, match=rf"evolution\.skips: true, but .*{why}.*: false$"):
        check_skips(found, config)
    check_skips(found, make_config({"skeleton": skeleton}))
    check_skips(load_skeleton("cifar"), config)


@pytest.mark.parametrize("mixes", [("sum",), ("sum", "se"), MIXES])
def test_nodes_of_evolved_cells_mix_only_as_they_may(mixes: tuple[Mix, ...]) -> None:
    config = make_config({"skeleton": "cifar", "cells": {"mixes": mixes}})
    skeleton = load_skeleton("cifar")
    some = plan(generations=8, operators={"prior": prior_on(skeleton, config.cells)})
    space = _space(some, finish(some, score=lambda cell: one_max(cell) + len(set(cell.mix))))
    found = {mix for layer in space.layers for each in layer.candidates for mix in each.cell.mix}
    assert found == {*mixes}


@pytest.mark.parametrize("skeleton", ["darts-small", "nasbench201", "bats-small"])
def test_networks_are_not_predicted_where_layers_share_cells(skeleton: str) -> None:
    config = make_config({"skeleton": skeleton, "scoring": {"method": "predicted"}})
    found = load_skeleton(skeleton)
    shared = rf"scoring\.method: predicted, but layers of {skeleton} share cells; allowed there: p"
    with pytest.raises(ConfigError, match=shared):
        check_predicted(found, config)
    check_predicted(found, make_config({"skeleton": skeleton}))
    check_predicted(load_skeleton("cifar"), config)


@pytest.mark.parametrize("reads", ["text", "captions", "sentences"])
def test_networks_are_not_predicted_that_read_no_images(reads: str) -> None:
    why = f"predicted, which does not work on networks that read {reads}"
    with pytest.raises(SpaceError, match=why):
        check_scoring(ScoringConfig(method="predicted"), reads, "recurrent")


@pytest.mark.parametrize("skeleton", ["darts-small", "nasbench201", "bats-small"])
def test_parts_of_one_cell_have_populations_of_their_own(skeleton: str) -> None:
    config = make_config({"skeleton": skeleton, "evolution": {"tied": 2}})
    why = rf"evolution\.tied: 2, but consecutive choices of {skeleton} are parts of one cell"
    with pytest.raises(ConfigError, match=rf"^{why}; allowed there: 1$"):
        check_tied(load_skeleton(skeleton), config)
    for name in ("cifar", "mobile", "ofa-small"):
        check_tied(load_skeleton(name), config)
