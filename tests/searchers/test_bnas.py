"""BNAS: draws without replacement, likelihoods by hand, limits, and the planted space."""

import random
from collections import Counter
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autospace.networks.binary import BinaryConvolution
from autospace.searchers.fitness_search import SharedFitness
from autospace.searchers.make import make_method
from autospace.searchers.sampling.bnas import ROUNDS, Bnas, softmax
from autospace.searchers.sampling.dropping import stages
from autospace.spaces import Budget, Candidate, Layer, LayerSpec, Skeleton, Space, Stem
from autospace.spaces.cells.bats import BATS_USUAL, BatsCell
from autospace.spaces.cells.cell import Edge
from autospace.spaces.cells.darts_cell import choices_of
from autospace.spaces.choices import Choice, SearchError
from autospace.spaces.files.families import family_space
from autospace.supernets.path_training import Fair
from tests.searchers.planted import mean_share, solved
from tests.searchers.problems import NO_LIMITS, SKELETON, make_problem

MBCONV = family_space("mbconv", SKELETON)
SIZES = tuple(len(layer.candidates) for layer in MBCONV.layers)
WIDEST = max(SIZES)


def make(
    budget: Budget = NO_LIMITS, evaluations: int | None = None, steps: int = 4, **options: Any
) -> Bnas:
    changes = {"evaluations": evaluations, "supernet": {"steps": steps}}
    method = make_method(make_problem(MBCONV, budget, method="bnas", options=options, **changes))
    assert isinstance(method, Bnas)
    return method


def run(method: Bnas, accuracy: Any) -> list[Choice]:
    """All steps without any training, with accuracies by a function of the path."""
    seen: list[Choice] = []

    def measured(path: Choice) -> float:
        seen.append(path)
        return float(accuracy(path))

    method._measured = measured  # type: ignore[method-assign]
    for network in range(method.networks):
        method.path = method.drawn(network)
        method.search(network)
    return seen


@pytest.mark.parametrize("seed", range(3))
def test_each_candidate_is_drawn_once_in_as_many_networks_as_there_are(seed: int) -> None:
    method = make(rounds=2)
    rng = random.Random(seed)
    seen = run(method, lambda _path: rng.random())
    start = 0
    for stage in method.stages:
        size = stage.draws // 2
        for begin in (start, start + size):
            paths = seen[begin : begin + size]
            for layer, count in enumerate(SIZES):
                drawn = Counter(path[layer] for path in paths)
                if count >= size:
                    assert set(drawn.values()) == {1}
                    assert len(drawn) == size
                else:  # narrower layers start again
                    assert max(drawn.values()) - min(drawn.values()) <= 1
        start += stage.draws
    assert start == len(seen)
    assert [len(row) for row in method.left] == [1] * len(SIZES)


def test_candidates_that_dropped_out_are_not_drawn_again() -> None:
    method = make(rounds=1)
    seen = run(method, lambda path: path[0] / 10)
    # The first layer's accuracy rises with its candidate: the smallest ones drop out in order.
    start = 0
    for place, stage in enumerate(method.stages):
        drawn = {path[0] for path in seen[start : start + stage.draws]}
        if SIZES[0] == WIDEST:
            assert drawn == set(range(place, SIZES[0]))
        start += stage.draws
    assert method.left[0] == [SIZES[0] - 1]


def test_the_best_candidate_of_every_layer_is_left_if_accuracies_add_up() -> None:
    rng = random.Random(5)
    worth = [[rng.random() for _ in range(size)] for size in SIZES]
    method = make(rounds=60)
    run(method, lambda path: sum(row[i] for row, i in zip(worth, path, strict=True)) / 3)
    assert [row[0] for row in method.left] == [row.index(max(row)) for row in worth]


def test_likelihoods_are_those_of_the_equation() -> None:
    method = make(rounds=1, memory=0.25)
    accuracies: dict[Choice, float] = {}

    def accuracy(path: Choice) -> float:
        return accuracies.setdefault(path, len(accuracies) / 7 % 1)

    seen = run(method, accuracy)
    first, second = method.stages[0].draws, method.stages[1].draws
    by_hand = {path[0]: accuracies[path] for path in seen[:first]}
    once = dict(zip(by_hand, softmax(list(by_hand.values())), strict=True))
    lost = min(once, key=lambda each: once[each])
    assert method.likelihoods[0][lost] == pytest.approx(once[lost])
    again = {path[0]: accuracies[path] for path in seen[first : first + second]}
    assert set(again) == set(once) - {lost}
    twice = dict(zip(again, softmax(list(again.values())), strict=True))
    sums = {each: 0.25 * once[each] + twice[each] for each in twice}
    gone = min(sums, key=lambda each: sums[each])
    assert method.likelihoods[0][gone] == pytest.approx(sums[gone])


def test_half_of_the_candidates_are_drawn_and_the_rest_gets_what_the_paper_says() -> None:
    method = make(rounds=1, draws="half", memory=0.5)
    widest = SIZES.index(WIDEST)
    before: list[list[float]] = []
    seen: list[Choice] = []

    def accuracy(path: Choice) -> float:
        if len(seen) == method.stages[0].draws:
            before.append(list(method.likelihoods[widest]))
        seen.append(path)
        return 1 / (1 + path[widest])

    run(method, accuracy)
    first, second = method.stages[0].draws, method.stages[1].draws
    assert (first, second) == (WIDEST, -(-(WIDEST - 1) // 2))
    drawn = {path[widest] for path in seen[first : first + second]}
    left = set(range(WIDEST - 1))  # the last is the worst
    assert drawn == set(sorted(left, key=lambda each: before[0][each])[:second])
    shares = dict(zip(sorted(drawn), softmax([1 / (1 + i) for i in sorted(drawn)]), strict=True))
    spared = (max(shares.values()) + sum(shares.values()) / second) / 2
    # The worst of the second stage dropped out with what it had then.
    gone = max(drawn)
    assert method.likelihoods[widest][gone] == pytest.approx(0.5 * before[0][gone] + shares[gone])
    assert spared > min(shares.values())


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_a_limit_holds_for_every_network_and_for_what_is_left(share: float) -> None:
    span = MBCONV.madds.max - MBCONV.madds.min
    budget = Budget(max_madds=int(MBCONV.madds.min + share * span))
    method = make(budget, rounds=1)
    # The dearest are the best: what is left has to be held back at every layer.
    seen = run(method, lambda path: method.problem.choices.cost(path).madds / MBCONV.madds.max)
    last = method.drawn(method.networks)
    assert last == tuple(row[0] for row in method.left)
    assert all(method.problem.choices.allows(path) for path in (*seen, last))


@given(
    widest=st.integers(1, 12),
    rounds=st.none() | st.integers(1, 4),
    most=st.integers(0, 200),
    half=st.booleans(),
)
def test_stages_end_with_one_candidate_and_keep_the_number_of_networks(
    widest: int, rounds: int | None, most: int, half: bool
) -> None:
    found = stages(widest, rounds, most, half)
    assert sum(stage.draws for stage in found) <= most
    left = [widest, *(stage.level for stage in found)]
    assert left[-1] == 1
    assert left == sorted(left, reverse=True)
    if most >= widest > 1:
        assert found[0].draws >= widest


def test_every_step_trains_or_evaluates_one_network() -> None:
    method = make(evaluations=6, steps=40, warm_up=0.25)
    moments = [method.moment(index) for index in range(method.steps)]
    assert [each.network for each in moments].count(-1) == 10
    ends = [each for each in moments if each.network >= 0 and each.place == each.length - 1]
    assert [each.network for each in ends] == list(range(method.networks + 1))
    assert sum(each.length - 1 for each in ends) == 30
    trained: list[int] = []
    method.weights.step = lambda index, _losses: trained.append(index)  # type: ignore[method-assign,assignment,misc]
    for index in range(method.steps):
        method.step(index)
    assert trained == list(range(40))
    assert method.evaluations <= 6


def test_where_no_network_is_drawn_all_steps_train_before_the_one_evaluation() -> None:
    method = make(evaluations=1, steps=8)
    assert (method.networks, method.most_evaluations) == (0, 1)
    trained: list[int] = []
    measured: list[Choice] = []
    method.fitness.train = trained.append  # type: ignore[method-assign,assignment]
    method._measured = lambda path: measured.append(path) or 0.5  # type: ignore[method-assign,func-returns-value]
    for index in range(method.steps):
        method.step(index)
    assert trained == list(range(8))
    assert len(measured) == 1


def test_a_plan_counts_the_networks_of_all_stages() -> None:
    method = make()
    # A round of all candidates, of all but one, and so on; and what is left.
    assert method.most_evaluations == ROUNDS * sum(range(2, WIDEST + 1)) + 1


def test_few_evaluations_are_said_to_drop_several_at_a_time() -> None:
    assert make(rounds=3).notes == []
    assert "candidates a layer drop out at a time" in make(evaluations=WIDEST + 4).notes[0]
    assert "too few to draw each of" in make(evaluations=3).notes[0]


def test_it_beats_random_search_with_the_same_evaluations() -> None:
    assert mean_share("bnas", 6, 30) > mean_share("random", 6, 30)


def test_the_planted_candidates_are_found() -> None:
    found = solved("bnas", 0, 300, evaluations=16)
    assert found.share >= 0.8
    assert found.chance < 0.2


@pytest.mark.slow
def test_the_planted_candidates_are_found_by_most_seeds() -> None:
    shares = [solved("bnas", seed, 300, evaluations=51, draws="half").share for seed in range(8)]
    assert sum(shares) / len(shares) >= 0.8


def test_the_parents_accuracy_counts_with_its_weight() -> None:
    space = family_space("binary", SKELETON)
    options = {"parent_weight": 2.0, "rounds": 1}
    made = make_problem(space, method="bnas", options=options, evaluations=4)
    method = make_method(made)
    assert isinstance(method, Bnas)
    parent, parents = method._parent, method._parents
    assert parent is not None
    assert parents is not None
    stages = {p.precision for p in parent.supernet.modules() if isinstance(p, BinaryConvolution)}
    assert stages == {"real"}
    before = [value.clone() for value in parent.supernet.parameters()]
    for index in range(method.steps):
        method.step(index)
    after = parent.supernet.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    path = method.ranked()[0].path
    own, other = method.fitness.accuracy(path), parents.accuracy(path)
    assert method._with_parent(path, own) == pytest.approx(own + 2 * (other - own))


def test_parents_are_trained_as_the_settings_say() -> None:
    space = family_space("binary", SKELETON)
    options = {"parent_weight": 1.0, "rounds": 1}
    supernet = {"steps": 8, "training": "fair"}
    made = make_problem(space, method="bnas", options=options, evaluations=4, supernet=supernet)
    method = make_method(made)
    assert isinstance(method, Bnas)
    assert isinstance(method.fitness, SharedFitness)
    assert type(method._parent_training) is type(method.fitness.training) is Fair
    parent = method._parent
    assert parent is not None
    method.step(0)
    # Strict fairness trains every candidate in the first step.
    assert all(each.grad is not None for each in parent.supernet.parameters())


def test_only_binary_spaces_have_parents() -> None:
    with pytest.raises(SearchError, match=r"^options\.parent_weight: the space has no binary op"):
        make(parent_weight=1.0)


NODES = Skeleton(
    "nodes",
    1,
    8,
    3,
    Stem(4, 1),
    (LayerSpec(2), LayerSpec(4, 2), LayerSpec(4)),
    ties=(0, 1, 0),
    chain=2,
    concat=2,
    nodes=2,
    binary_groups=2,
)
ON_NODES = Space(
    "nodes",
    NODES,
    BATS_USUAL,
    tuple(
        Layer(
            shape,
            tuple(
                Candidate(each.name, cast(Any, BatsCell.on(each, NODES.concat)))
                for each in choices_of(shape.node or 0, BATS_USUAL)
            ),
        )
        for shape in NODES.shapes
    ),
)
WORTHS = {"bin_conv_5x5": 0.5, "bin_conv_3x3": 0.2, "skip_connect": 0.1}
"""Of operations; an edge is also worth more the earlier its source is."""


def on_nodes(space: Space = ON_NODES, budget: Budget = NO_LIMITS, **options: Any) -> Bnas:
    method = make_method(make_problem(space, budget, method="bnas", options=options))
    assert isinstance(method, Bnas)
    return method


def edges_of(method: Bnas, path: Choice) -> list[list[Edge]]:
    """Per node, the edges that a path chooses."""
    cells: list[Any] = [
        layer.candidates[index].cell
        for layer, index in zip(method.problem.choices.space.layers, path, strict=True)
    ]
    return [list(cell.chosen) for cell in cells]


def worth_of(method: Bnas, path: Choice) -> float:
    edges = [edge for row in edges_of(method, path) for edge in row]
    return sum(WORTHS.get(edge.operation, 0) - 0.3 * edge.source for edge in edges) / 4


def test_of_nodes_operations_drop_out_until_each_edge_has_one_and_then_edges() -> None:
    method = make_method(
        make_problem(ON_NODES, method="bnas", options={"rounds": 40}, evaluations=10**6)
    )
    assert isinstance(method, Bnas)
    widest = method._levels.layers[1]
    assert (len(widest.names), len(widest.parts), set(widest.edges)) == (21, 147, {0, 1, 2})
    assert [stage.draws // 40 for stage in method.stages] == [11, 9, 8, 6, 5, 3, 2]
    method._measured = lambda path: worth_of(method, path)  # type: ignore[method-assign]
    start = 0
    for stage in method.stages:
        left, drawn = list(method.left[1]), Counter[int]()
        for network in range(start, start + stage.draws):
            method.path = method.drawn(network)
            drawn.update(widest.parts[method.path[1]])
            method.search(network)
        # Those that dropped out are not drawn again, and all others about equally often.
        assert set(drawn) == set(left)
        assert max(drawn.values()) <= 1.2 * min(drawn.values())
        counts = Counter(widest.edges[each] for each in method.left[1])
        assert set(counts.values()) == {method._levels.operations_at(stage.level)}
        assert len(counts) == method._levels.edges_at(stage.level)
        start += stage.draws
    assert len(method.stages) == 6 + 1
    for row in edges_of(method, method.drawn(method.networks)):
        assert [edge.operation for edge in row] == ["bin_conv_5x5", "bin_conv_5x5"]
        assert [edge.source for edge in row] == [0, 1]
    found = method.details()["likelihoods"][ON_NODES.layers[1].shape.name]
    assert len(found) == 21
    # Of edges, these are likelihoods among edges; the worst one dropped out first.
    assert found["bin_conv_5x5~0"] > found["bin_conv_5x5~1"] > found["bin_conv_5x5~2"]


@pytest.mark.parametrize("draws", ["all", "half"])
def test_of_nodes_with_few_candidates_one_that_is_there_is_left(draws: str) -> None:
    rng = random.Random(1)
    layers = tuple(
        Layer(layer.shape, tuple(rng.sample(layer.candidates, 5))) for layer in ON_NODES.layers
    )
    method = on_nodes(replace(ON_NODES, layers=layers, reference={}), rounds=1, draws=draws)
    seen = run(method, lambda path: worth_of(method, path))
    last = method.drawn(method.networks)
    assert len(last) == len(layers)
    assert len(seen) == method.networks
    for alternatives, left, index in zip(method._levels.layers, method.left, last, strict=True):
        assert index in alternatives.whole(left)


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_of_nodes_a_limit_on_ops_holds_for_every_network_and_for_what_is_left(share: float) -> None:
    least, most = ON_NODES.ops.min, ON_NODES.ops.max
    method = on_nodes(budget=Budget(max_ops=int(least + share * (most - least))), rounds=1)
    seen = run(method, lambda path: method.problem.choices.cost(path).ops / most)
    last = method.drawn(method.networks)
    assert all(method.problem.choices.allows(path) for path in (*seen, last))
    for alternatives, left, index in zip(method._levels.layers, method.left, last, strict=True):
        assert index in alternatives.whole(left)


def test_of_nodes_few_evaluations_drop_several_operations_at_a_time() -> None:
    made = make_problem(ON_NODES, method="bnas", evaluations=20)
    method = make_method(made)
    assert isinstance(method, Bnas)
    assert "operations an edge drop out at a time" in method.notes[0]
    few = make_method(make_problem(ON_NODES, method="bnas", evaluations=4))
    assert isinstance(few, Bnas)
    assert "each of 21 operations of a node once" in few.notes[0]
    for index in range(few.steps):
        few.step(index)
    assert few.evaluations <= 4
    assert few.ranked()[0].path == few.drawn(few.networks)
