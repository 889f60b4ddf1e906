"""Binary operations as a cost, and OPs as a limit: sums, files, draws and searches keep it."""

import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.spaces import Budget, SpaceError, from_json, load, to_json
from autospace.spaces.cells.operations import Cost
from autospace.spaces.choices import Choices, SearchError, limits_of
from autospace.spaces.cost import layer_shares, most_expensive_reference
from autospace.spaces.files.document import json_schema
from autospace.spaces.sampling import sample_within

SPACE = load("binary@digits")
SPAN = SPACE.ops.max - SPACE.ops.min


def test_ops_are_madds_and_a_64th_of_the_binary_operations() -> None:
    # Bulat et al., ECCV 2020: their network of 2x the width.
    assert Cost(121_000_000, 0, 2_157_000_000).ops == pytest.approx(1.547e8, rel=1e-4)
    assert Cost(3, 5, 65).ops == 3 + 65 / 64
    assert Cost(3, 5, 65).whole("ops") == 3 * 64 + 65
    assert Cost(1, 2, 3).plus(Cost(10, 20, 30)) == Cost(11, 22, 33)


def test_a_limit_is_kept_exactly() -> None:
    budget = Budget(max_ops=10)
    assert budget.allows(Cost(9, 0, 64))
    assert not budget.allows(Cost(9, 0, 65))
    assert Budget().allows(Cost(9, 0, 65))


def test_the_range_is_that_of_all_architectures() -> None:
    ops = sorted(SPACE.sample(random.Random(seed)).cost.ops for seed in range(100))
    assert SPACE.ops.min <= ops[0]
    assert ops[-1] <= SPACE.ops.max
    dear = {
        layer.shape.name: max(
            layer.candidates, key=lambda each: layer.costs[layer.candidates.index(each)].bops
        ).id
        for layer in SPACE.layers
    }
    assert -(-SPACE.cost(dear).whole("ops") // 64) == SPACE.ops.max


@settings(max_examples=15, deadline=None)
@given(share=st.floats(0, 1), seed=st.integers(0, 99))
def test_no_draw_is_over_the_limit(share: float, seed: int) -> None:
    budget = Budget(max_ops=int(SPACE.ops.min + share * SPAN))
    for each in sample_within(SPACE, budget, 3, random.Random(seed)):
        assert each.cost.ops <= int(SPACE.ops.min + share * SPAN)
    choices = Choices(SPACE, limits_of(SPACE, budget))
    path = choices.draw(random.Random(seed))
    assert choices.cost(path).ops <= int(SPACE.ops.min + share * SPAN)


def test_what_cannot_be_kept_is_one_line_with_both_numbers() -> None:
    with pytest.raises(SpaceError, match=rf"max_ops: 1, but the cheapest .* has {SPACE.ops.min}"):
        sample_within(SPACE, Budget(max_ops=1), 1, random.Random(0))
    with pytest.raises(SearchError, match="max_ops: the limit is 1"):
        Choices(SPACE, limits_of(SPACE, Budget(max_ops=1)))
    with pytest.raises(SpaceError, match=r"budget.max_ops: 1, but the most expensive"):
        replace(SPACE, budget=Budget(max_ops=1))
    with pytest.raises(SpaceError, match=r"allowed: max_madds, which is the same"):
        replace(load("mbconv@digits"), budget=Budget(max_ops=10**9))


def test_shares_of_layers_sum_up_to_the_limit() -> None:
    cells = [layer.candidates[0].cell for layer in SPACE.layers][:1]
    most = most_expensive_reference(SPACE.skeleton, cells)
    budget = Budget(max_ops=-(-most.whole("ops") // 64) + 100)
    shares = layer_shares(SPACE.skeleton, cells, budget).shares
    whole = sum(share.ops or 0 for share in shares)
    fixed = most.madds * 64
    assert whole + fixed <= 64 * (budget.max_ops or 0)
    assert all(share.madds is None for share in shares)


def test_files_state_the_binary_operations_and_the_limit() -> None:
    space = replace(SPACE, budget=Budget(max_ops=SPACE.ops.max))
    text = to_json(space)
    assert from_json(text) == space
    document = json.loads(text)
    assert document["budget"]["max_ops"] == SPACE.ops.max
    costs = [each["bops"] for each in document["layers"][0]["candidates"]]
    assert costs == [cost.bops for cost in SPACE.layers[0].costs]
    document["layers"][0]["candidates"][0]["bops"] += 1
    with pytest.raises(SpaceError, match=r"layers\[0\].candidates\[0\].bops: "):
        from_json(json.dumps(document))


def test_files_of_other_families_have_neither() -> None:
    text = to_json(load("mbconv@digits"))
    assert "bops" not in text
    assert "max_ops" not in text
    for kind in ("mobile", "dense"):
        assert "bops" not in json.dumps(json_schema(kind=kind))
    assert "bops" in json.dumps(json_schema(kind="binary"))


@pytest.mark.parametrize(
    ("edges", "problem"),
    [
        ([{"source": 0, "target": 3, "operation": "dw_conv_3x3"}], "unknown operation"),
        ([{"source": 2, "target": 1, "operation": "bin_conv_3x3"}], "allowed: 0 <= source"),
        ([{"source": 0, "target": 3, "operation": "bin_conv_3x3"}] * 2, "is given twice"),
        ([], "no path from input to output"),
    ],
)
def test_a_cell_that_is_none_is_one_line(edges: list[dict[str, object]], problem: str) -> None:
    document = json.loads(to_json(SPACE))
    document["layers"][1]["candidates"][0] |= {"edges": edges, "bops": 0, "params": 0}
    with pytest.raises(SpaceError, match=problem):
        from_json(json.dumps(document))
