"""Split supernets: what halves hold and inherit, whose turn it is, limits, states."""

import itertools
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autospace.runs.state import load_state, save_state
from autospace.searchers.few_shot import Gm, Similarity, SplitFitness
from autospace.searchers.make import make_method
from autospace.spaces import Budget
from autospace.spaces.choices import Choice
from autospace.spaces.files.families import family_space
from autospace.supernets.shared_weights import SharedWeights
from tests.searchers.planted import solved
from tests.searchers.problems import SKELETON, make_problem
from tests.searchers.slopes import SMALL
from tests.slow import slowly

MBCONV = family_space("mbconv", SKELETON)


def _grouping(groups: dict[int, Choice]) -> Similarity:
    """A similarity by which some layers have a group; of those, later layers are clearer."""

    def similarity(weights: SharedWeights, layer: int, paths: Any, number: int) -> torch.Tensor:
        del weights, number
        ids = [index in groups.get(layer, ()) for index in range(len(paths))]
        found = torch.tensor([[float(a == b) for b in ids] for a in ids])
        return found * (1 + layer) if layer in groups else torch.zeros_like(found)

    return similarity


def _fitness(groups: dict[int, Choice], splits: int = 2, most: int | None = None) -> SplitFitness:
    problem = make_problem(SMALL, Budget(max_madds=most), supernet={"steps": 8})
    return SplitFitness(problem, splits, 0.5, 1, _grouping(groups))


def _trained(fitness: SplitFitness, start: int = 0, stop: int = 8) -> SplitFitness:
    for index in range(start, stop):
        fitness.train(index)
    return fitness


def test_the_clearest_layer_is_split_first_and_no_layer_twice() -> None:
    fitness = _fitness({1: (0,), 2: (0, 1)})
    _trained(fitness, stop=4)
    assert len(fitness.parts) == 1
    fitness.train(4)
    everything = [tuple(range(len(layer.candidates))) for layer in SMALL.layers]
    rest = tuple(everything[2][2:])
    assert [part.kept[2] for part in fitness.parts] == [(0, 1), rest]
    assert all([*part.kept[:2]] == everything[:2] for part in fitness.parts)
    _trained(fitness, start=5)
    assert len(fitness.parts) == 4
    assert [part.kept[1] for part in fitness.parts] == [(0,), tuple(everything[1][1:])] * 2


def test_the_parts_share_out_the_space_and_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[tuple[int, int]] = []
    original = SharedWeights.step

    def step(self: SharedWeights, index: int, losses: Any) -> None:
        turns.append((id(self), index))
        original(self, index, losses)

    monkeypatch.setattr(SharedWeights, "step", step)
    fitness = _trained(_fitness({1: (0,), 2: (0, 1)}))
    assert [index for _, index in turns] == list(range(8))
    assert [len({each for each, _ in turns[i:j]}) for i, j in ((0, 4), (4, 6), (6, 8))] == [1, 2, 2]
    for path in itertools.product(*(range(len(layer.candidates)) for layer in SMALL.layers)):
        assert sum(part.holds(path) for part in fitness.parts) == 1


def test_halves_inherit_weights_and_momentum() -> None:
    fitness = _trained(_fitness({2: (0, 2)}, splits=1), stop=4)
    (whole,) = fitness.parts
    halves = fitness._halves(whole, 4)
    assert halves[0].kept[2] == (0, 2)
    for half in halves:
        ours, theirs = half.fitness.weights, whole.fitness.weights
        pairs: list[tuple[nn.Module, nn.Module]] = [
            (ours.supernet.network, theirs.supernet.network)
        ]
        for layer, row in enumerate(half.kept):
            for place, index in enumerate(row):
                cell, source = (
                    ours.supernet.choices[layer][place],
                    theirs.supernet.choices[layer][index],
                )
                assert cell.cell == source.cell
                pairs.append((cell, source))
        moved = 0
        for mine, other in pairs:
            for name, value in mine.state_dict().items():
                assert torch.equal(value, other.state_dict()[name])
            for weights in zip(mine.parameters(), other.parameters(), strict=True):
                first, second = (
                    each.optimizer.state[weight].get("momentum_buffer")
                    for each, weight in zip((ours, theirs), weights, strict=True)
                )
                assert (first is None) == (second is None)
                if first is not None:
                    assert torch.equal(first, second)
                    assert first is not second
                    moved += 1
        assert moved > 0


def test_a_path_is_evaluated_by_its_part() -> None:
    fitness = _trained(_fitness({1: (0,), 2: (0, 1)}))
    path = (1, 1, 0)
    part = next(part for part in fitness.parts if part.holds(path))
    assert fitness.accuracy(path) == part.fitness.evaluator.accuracy(
        tuple(row.index(index) for index, row in zip(path, part.kept, strict=True))
    )
    assert dict(fitness.known) == {path: fitness.accuracy(path)}
    assert sum(len(each.fitness.known) for each in fitness.parts) == 1


def test_a_half_that_a_limit_leaves_empty_is_left_out() -> None:
    cheapest = SMALL.madds.min
    group = tuple(
        index
        for index, cost in enumerate(SMALL.layers[2].costs)
        if cost.madds == min(each.madds for each in SMALL.layers[2].costs)
    )
    fitness = _trained(_fitness({2: group}, splits=1, most=cheapest))
    assert [part.kept[2] for part in fitness.parts] == [group]
    choices = fitness.parts[0].fitness.weights.problem.choices
    for seed in range(20):
        assert choices.cost(choices.draw(random.Random(seed))).madds == cheapest


def test_where_all_layers_are_split_nothing_more_is() -> None:
    fitness = _trained(_fitness({0: (0,), 1: (0,), 2: (0,)}, splits=4))
    assert len(fitness.parts) == 8
    assert all(
        len(row) < len(layer.candidates)
        for part in fitness.parts
        for row, layer in zip(part.kept, SMALL.layers, strict=True)
    )


@pytest.mark.parametrize("method", ["gm", "nas-lid"])
@pytest.mark.parametrize("stop", [4, *slowly(1, 2, 6)])
def test_a_state_holds_all_that_later_steps_depend_on(
    method: str, stop: int, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {
        "method": method,
        "supernet": {"steps": 5, "training": "magic-at"},
        "magic": {"anchor_every": 1, "warm_up": 0.0},
        "options": {"repeats": 1, "splits": 2},
    }
    whole, parts = (make_method(make_problem(SMALL, **changes)) for _ in range(2))
    for index in range(whole.steps):
        whole.step(index)
        if index == stop - 1:
            save_state(tmp_path / "state", whole.state())
    parts.restore(load_state(tmp_path / "state", parts.problem.device))
    for index in range(stop, parts.steps):
        parts.step(index)
    assert parts.ranked() == whole.ranked()
    assert parts.details() == whole.details()
    for ours, theirs in zip(parts.supernets, whole.supernets, strict=True):
        for name, value in ours.supernet.state_dict().items():
            assert torch.equal(value, theirs.supernet.state_dict()[name]), name


def test_the_result_says_what_each_supernet_holds() -> None:
    method = make_method(make_problem(MBCONV, method="gm", options={"repeats": 1, "splits": 1}))
    assert isinstance(method, Gm)
    for index in range(method.steps):
        method.step(index)
    first, second = method.details()["supernets"]
    (name,) = first
    layer = next(each for each in MBCONV.layers if each.shape.name == name)
    assert sorted(first[name] + second[name]) == sorted(each.id for each in layer.candidates)


@pytest.mark.parametrize("method", slowly("nas-lid", "gm"))
def test_the_planted_candidates_are_found(method: str) -> None:
    assert solved(method, 0, 400, evaluations=40, repeats=4, splits=1).share >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("method", ["gm", "nas-lid"])
def test_supernets_of_two_levels_find_more_than_random_networks_hold(method: str) -> None:
    found = [solved(method, seed, 600, evaluations=40, repeats=4) for seed in range(4)]
    assert sum(each.share for each in found) / len(found) >= 0.8
    assert math.prod(each.chance for each in found) < 0.05
