"""Layers that share a list of cells, without torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from autospace.evolution.folder import RunFolder, state_from_json, state_to_json
from autospace.evolution.learn import learn
from autospace.evolution.loop import evolve
from autospace.evolution.plan import Plan
from autospace.evolution.population import LayerState
from autospace.evolution.settings import EvolutionConfig, make_config
from autospace.importers.autospace_iccv2021 import _spread
from autospace.runs.errors import ConfigError
from autospace.runs.settings import make_settings
from autospace.spaces import Budget, Cell, LayerSpec, from_json, load_skeleton
from autospace.spaces.cells.family import cell_cost
from autospace.spaces.cells.key import canonical_key
from autospace.spaces.cost import layer_shares, most_expensive_reference
from tests.evolution.runs import Counting, settings
from tests.tiny import REFERENCES, SKELETON, ClosedForm, finish, one_max, plan, space_bytes

# Channels and strides differ inside of both groups of two; the last group is a single layer.
FIVE = replace(
    SKELETON,
    layers=(LayerSpec(4), LayerSpec(6, 2), LayerSpec(6), LayerSpec(8, 2), LayerSpec(8)),
)


class ByLayer(ClosedForm):
    """Layer n multiplies the score of a cell by n + 1."""

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        found = super().score(candidates, repeat)
        return [[(n + 1) * value for value in row] for n, row in enumerate(found)]


def tied(size: int, **changes: object) -> Plan:
    return plan(**{"skeleton": FIVE, "tied": size, "candidates": 4, "rescore": 1} | changes)


def listed(layer: LayerState) -> list[tuple[str, Cell, float | None, int]]:
    return [(m.id, m.cell, m.fitness, m.scores) for m in (*layer.members, *layer.hall)]


@pytest.mark.parametrize(
    ("size", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (3, [3, 2]), (5, [5]), (9, [5])]
)
def test_layers_of_a_group_have_one_population_and_one_list(size: int, sizes: list[int]) -> None:
    some = tied(size)
    assert [len(group) for group in some.groups] == sizes
    final = finish(some)
    space = from_json(space_bytes(some, final))
    for group in some.groups:
        first = final.layers[group[0]]
        for index in group:
            layer, shape = final.layers[index], FIVE.shapes[index]
            assert listed(layer) == listed(first)
            cells = [(c.id, c.cell, c.fitness) for c in space.layers[index].candidates]  # type: ignore[union-attr]
            assert cells == [
                (c.id, c.cell, c.fitness)
                for c in space.layers[group[0]].candidates  # type: ignore[union-attr]
            ]
            for member in layer.members:
                assert member.key == canonical_key(member.cell, shape.stride)
                assert member.cost == cell_cost(member.cell, shape)
    others = {tuple(listed(final.layers[group[0]])) for group in some.groups}
    assert len(others) == len(sizes)


def test_fitness_is_the_mean_over_the_layers_of_a_group() -> None:
    some = tied(2, rescore=0)
    *_, final = evolve(some, ByLayer())
    factors = [1.5, 1.5, 3.5, 3.5, 5.0]
    for layer, factor in zip(final.layers, factors, strict=True):
        for each in layer.hall:
            assert each.fitness == factor * one_max(each.cell)


def test_a_cell_fits_the_share_of_every_layer_and_is_new_in_every_layer() -> None:
    cells = [cell for _, cell in REFERENCES]
    budget = Budget(most_expensive_reference(FIVE, cells).madds)
    shares = layer_shares(FIVE, cells, budget)
    some = tied(2, limits=(shares,), generations=8)
    scorer = ClosedForm()
    *_, final = evolve(some, scorer)
    for index, shape in enumerate(FIVE.shapes):
        offered = [cell for cells, _ in scorer.calls for cell in cells[index]]
        assert all(shares.allows(cell, index) for cell in offered)
        assert all(not cell.is_zero for cell in offered)
        layer = final.layers[index]
        assert len(layer.seen) == layer.born
        assert layer.seen == {canonical_key(cell, shape.stride) for cell in offered}
    assert any(record.drawn.over_budget for round_ in final.history for record in round_.layers)


def test_tied_by_one_is_not_tied() -> None:
    assert state_to_json(finish(tied(1))) == state_to_json(
        finish(plan(skeleton=FIVE, candidates=4, rescore=1))
    )


def test_a_run_stopped_after_any_round_goes_on_to_the_same_bytes() -> None:
    some = tied(2, stop_after=3, confirm=2)
    states = list(evolve(some, ByLayer()))
    for state in states:
        stored = state_from_json(state_to_json(state), FIVE)
        assert stored == state
        *_, final = [stored, *evolve(some, ByLayer(), stored)]
        assert state_to_json(final) == state_to_json(states[-1])


def test_groups_are_those_of_the_published_space() -> None:
    # Its 11 lists, of which list k serves layers 2k and 2k + 1, on the skeleton of its networks.
    mobile = load_skeleton("mobile")
    groups = plan(skeleton=mobile, tied=2).groups
    assert len(groups) == 11
    per_list = _spread(11, mobile)
    assert [list(group) for group in groups] == [
        [layer for layer in range(21) if layer // per_list == place] for place in range(11)
    ]


def test_a_space_of_tied_layers_repeats_its_lists_and_says_so(tmp_path: Path) -> None:
    chosen = settings(tmp_path, evolution={"tied": 2})
    space = learn(RunFolder.create(tmp_path / "run", make_config(chosen)), Counting())
    one, two = space.layers
    assert [(c.id, c.cell, c.fitness) for c in one.candidates] == [
        (c.id, c.cell, c.fitness) for c in two.candidates
    ]
    assert one.shape.stride != two.shape.stride
    assert space.provenance["config"]["evolution"]["tied"] == 2


def test_tied_layers_have_no_one_cost() -> None:
    with pytest.raises(ConfigError, match="tied: 2; allowed with the objective madds: 1"):
        make_settings(EvolutionConfig, {"tied": 2, "objectives": ["fitness", "madds"]})
