"""Petridish: the course of a growth, what is selected, whose weights are whose, the front."""

from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import pytest
import torch

from autospace.runs.state import load_state, save_state
from autospace.searchers.make import make_method
from autospace.searchers.petridish import Petridish
from autospace.spaces import Budget, Space
from autospace.spaces.choices import SearchError
from autospace.spaces.files.families import family_space
from tests.searchers.planted import solved
from tests.searchers.problems import NO_LIMITS, SKELETON, make_problem
from tests.searchers.slopes import SMALL
from tests.slow import slowly

MBCONV = family_space("mbconv", SKELETON)


def _petridish(
    steps: int = 14,
    evaluations: int = 4,
    budget: Budget = NO_LIMITS,
    space: Space = SMALL,
    **options: Any,
) -> Petridish:
    problem = make_problem(
        space,
        budget,
        method="petridish",
        evaluations=evaluations,
        supernet={"steps": steps},
        options=options,
    )
    method = make_method(problem)
    assert isinstance(method, Petridish)
    return method


def _run(method: Petridish, until: int | None = None) -> Petridish:
    for index in range(method.steps if until is None else until):
        method.step(index)
    return method


def test_a_search_is_a_first_network_and_growths_of_even_length() -> None:
    method = _petridish(steps=14, evaluations=4, warm_up=0.15)
    moments = [method.moment(index) for index in range(method.steps)]
    assert [each.growth for each in moments] == [-1] * 2 + [0] * 4 + [1] * 4 + [2] * 4
    assert [each.place for each in moments] == [0, 1] + 3 * [0, 1, 2, 3]
    _run(method)
    assert method.evaluations == 4
    assert len(method.gallery.members) == 4


def test_there_is_time_for_both_halves_of_every_growth() -> None:
    method = _petridish(steps=6, evaluations=100, warm_up=0.2)
    assert method.growths == 2
    assert [method.moment(index).length for index in (1, 3)] == [2, 3]
    assert len(_run(method).gallery.members) == 3
    alone = _run(_petridish(steps=5, evaluations=1))
    assert alone.steps == 1
    assert [each.path for each in alone.ranked()] == [alone.gallery.members[0].path]


def test_of_binary_cells_work_is_ops() -> None:
    space = family_space("binary", SKELETON)
    method = _run(_petridish(space=space))
    first, *others = method.gallery.members
    assert first.work == space.ops.min
    # No two networks have one number of OPs, and all have the same MAdds.
    assert {each["madds"] for each in method.details()["gallery"]} == {space.madds.min}
    assert [each["ops"] for each in method.details()["gallery"]] == [
        each.work for each in (first, *others)
    ]


def test_the_first_network_is_the_cheapest_or_the_reference() -> None:
    cheapest = _petridish(space=MBCONV)
    choices = cheapest.problem.choices
    assert choices.cost(cheapest.path).madds == MBCONV.madds.min
    reference = _petridish(space=MBCONV, start="reference")
    assert choices.architecture(reference.path).choices == MBCONV.reference
    with pytest.raises(SearchError, match="the space has no reference"):
        _petridish(start="reference")
    with pytest.raises(SearchError, match="exceeds a limit"):
        _petridish(space=MBCONV, budget=Budget(max_madds=MBCONV.madds.min), start="reference")


def _with_alphas(method: Petridish, rows: list[list[float]]) -> Petridish:
    for value, row in zip(method.alphas.values, rows, strict=True):
        value.detach().copy_(torch.tensor(row))
    return method


def test_the_largest_alphas_replace_cells() -> None:
    rows = [[0.1, 0.5, 0.2], [0.9, 0.3], [0.2, 0.1, 0.4]]
    rows = [row[: len(layer.candidates)] for row, layer in zip(rows, SMALL.layers, strict=True)]
    one, all_three = (_with_alphas(_petridish(changed=share), rows) for share in (0.3, 1.0))
    for method in (one, all_three):
        method.path = (0,) * len(rows)
    best = [max(range(1, len(row)), key=row.__getitem__) for row in rows]
    strongest = max(range(len(rows)), key=lambda layer: rows[layer][best[layer]])
    expected = tuple(best[layer] if layer == strongest else 0 for layer in range(len(rows)))
    assert one.selected(0) == expected
    assert all_three.selected(0) == tuple(best)


def test_alphas_of_zero_replace_nothing() -> None:
    rows = [[0.0] * len(layer.candidates) for layer in SMALL.layers]
    rows[1][1] = 0.2
    method = _with_alphas(_petridish(changed=1.0), rows)
    method.path = (0, 0, 0)
    assert method.selected(0) == (0, 1, 0)


@pytest.mark.slow
def test_known_networks_are_not_grown_again_and_limits_are_kept() -> None:
    method = _run(_petridish(steps=60, evaluations=20, space=SMALL))
    paths = [member.path for member in method.gallery.members]
    assert len(set(paths)) == len(paths) == method.evaluations
    most = int(MBCONV.madds.min + 0.3 * (MBCONV.madds.max - MBCONV.madds.min))
    tight = _run(_petridish(40, 12, Budget(max_madds=most), MBCONV, changed=1.0))
    assert len(tight.gallery.members) == 12
    assert all(member.work <= most for member in tight.gallery.members)


def test_every_network_keeps_its_own_weights() -> None:
    method = _petridish(steps=20, evaluations=4)
    first: dict[str, torch.Tensor] = {}
    for index in range(method.steps):
        method.step(index)
        if not first and method.gallery.members:
            first = {k: v.clone() for k, v in method.gallery.members[0].weights.items()}
    for member in method.gallery.members:
        cells = {name.split(".")[2] for name in member.weights if name.startswith("candidates.0.")}
        assert cells <= {str(member.path[0])}
    for name, value in method.gallery.members[0].weights.items():
        assert torch.equal(value, first[name])
    last = [member.weights["network.classifier.weight"] for member in method.gallery.members]
    assert not torch.equal(last[0], last[1])


def test_a_growth_begins_with_the_weights_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    method = _petridish(steps=14, evaluations=4, warm_up=0.15)
    _run(method, 6)
    seen: list[bool] = []

    def nothing(index: int, place: int, length: int) -> None:
        del index, place, length
        parent = method.gallery.members[method._parent or 0]
        state = method.weights.supernet.state_dict()
        seen.append(all(torch.equal(v, state[k]) for k, v in parent.weights.items()))
        seen.append(not method.weights.optimizer.state)

    monkeypatch.setattr(method, "_insertion_step", nothing)
    method.step(6)
    assert seen == [True, True]


def test_inserted_candidates_leave_every_step_of_the_parent_as_it_is() -> None:
    methods = [_petridish(steps=14, evaluations=4, warm_up=0.15) for _ in range(2)]
    found: list[dict[str, torch.Tensor]] = []
    for method, inserted in zip(methods, (True, False), strict=True):
        # So small that every gradient is clipped.
        method.weights.recipe = replace(method.weights.recipe, clip=1e-3)
        method.path = tuple(0 for _ in method.problem.choices.sizes)
        for index in range(3):
            if inserted:
                method._insertion_step(index, index, 3)
            else:
                method._trained(index, method.weights.loss_of(method.path), index, 3)
        found.append(method._own_weights())
    with_candidates, alone = found
    for name, value in alone.items():
        torch.testing.assert_close(with_candidates[name], value, rtol=1e-5, atol=1e-7)


def test_sparsity_shrinks_alphas_and_none_falls_below_zero() -> None:
    means = []
    for sparsity in (0.0, 100.0):
        method = _petridish(sparsity=sparsity, alpha_travel=5.0, warm_up=0.15)
        _run(method, 4)
        values = torch.cat([value.detach() for value in method.alphas.values])
        assert values.min() >= 0
        means.append(float(values.mean()))
    assert means[1] < 0.1 * means[0]


@pytest.mark.parametrize("stop", [5, *slowly(1, 3, 6, 9)])
def test_a_state_holds_all_that_later_steps_depend_on(stop: int, tmp_path: FilePath) -> None:
    whole, parts = (_petridish(steps=14, evaluations=4, warm_up=0.15) for _ in range(2))
    for index in range(whole.steps):
        whole.step(index)
        if index == stop:
            save_state(tmp_path / "state", whole.state())
    parts.restore(load_state(tmp_path / "state", parts.problem.device))
    for index in range(stop + 1, parts.steps):
        parts.step(index)
    assert parts.ranked() == whole.ranked()
    assert parts.details() == whole.details()
    assert parts.incumbent == whole.incumbent
    for name, value in parts.state().tensors.items():
        assert torch.equal(value, whole.state().tensors[name]), name


def test_the_result_is_the_front_and_tells_the_lineage() -> None:
    method = _run(_petridish(steps=40, evaluations=8, space=MBCONV))
    accuracies = [each.score for each in method.ranked()]
    madds = [method.problem.choices.cost(each.path).madds for each in method.ranked()]
    assert accuracies == sorted(accuracies, reverse=True)
    assert madds == sorted(madds, reverse=True)
    told = method.details()["gallery"]
    assert len(told) == 8
    assert told[0]["parent"] is None
    assert all(each["parent"] < place for place, each in enumerate(told) if place)


@pytest.mark.slow
def test_the_planted_candidates_are_found() -> None:
    found = solved("petridish", 1, 600, evaluations=8)
    assert found.share >= 0.8
    assert found.chance < 0.1


@pytest.mark.slow
def test_the_planted_candidates_are_found_by_most_seeds() -> None:
    shares = [solved("petridish", seed, 900, evaluations=12).share for seed in range(4)]
    assert sum(shares) / len(shares) >= 0.8
