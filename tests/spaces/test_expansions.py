"""Expansions other than 1, 3 and 6: cells of published networks have them, the defaults do not."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks.cells import CellModule
from autospace.spaces import (
    Architecture,
    Candidate,
    Cost,
    LayerSpec,
    Skeleton,
    SpaceError,
    Stem,
    canonical_key,
    cell_cost,
    json_schema,
    mbconv,
    to_json,
)
from autospace.spaces.cells.cell import EXPANSIONS, LayerShape
from autospace.spaces.cells.family import FAMILIES, notation
from autospace.spaces.files.codec import from_json
from autospace.spaces.files.library import load_builtin

EVERY = range(1, 9)
KERNELS = st.sampled_from((3, 5, 7))


@given(KERNELS, st.integers(1, 8), st.integers(1, 9), st.integers(1, 9), st.integers(1, 2))
def test_the_cost_is_what_torch_counts(
    kernel: int, expansion: int, inner: int, outer: int, stride: int
) -> None:
    shape = LayerShape("layer_00", inner, outer, stride, 8)
    module = CellModule(mbconv(kernel, expansion), shape).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.zeros(1, inner, 8, 8))
    params = sum(each.numel() for each in module.parameters())
    found = cell_cost(mbconv(kernel, expansion), shape)
    assert found == Cost(counter.get_total_flops() // 2, params)


def test_a_block_of_expansion_four_by_hand() -> None:
    # 8 channels become 32: 8 * 32 weights, 9 * 32, 32 * 16, and two per channel of each norm.
    found = cell_cost(mbconv(3, 4), LayerShape("layer_00", 8, 16, 1, 10))
    weights = 8 * 32 + 9 * 32 + 32 * 16
    assert found == Cost(weights * 100, weights + 2 * (32 + 32 + 16))


def test_every_expansion_is_another_function_with_a_name_of_its_own() -> None:
    assert len({canonical_key(mbconv(3, expansion)) for expansion in EVERY}) == len(EVERY)
    assert [notation(mbconv(3, each)) for each in (2, 4, 5)] == [
        "e2: 0>3 dw3",
        "e4: 0>3 dw3",
        "e5: 0>3 dw3",
    ]


@given(st.lists(st.integers(1, 8), min_size=2, max_size=2))
def test_files_keep_them(expansions: list[int]) -> None:
    skeleton = Skeleton("two", 3, 16, 10, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2)))
    candidates = (Candidate(f"c{at}", mbconv(3, each)) for at, each in enumerate(expansions))
    value = Architecture(skeleton, tuple(candidates))
    assert from_json(to_json(value)) == value


def test_the_schema_and_the_cell_agree_on_the_ends() -> None:
    assert '"maximum": 8, "minimum": 1' in str(json_schema()).replace("'", '"')
    for wrong in (0, 9, -1):
        with pytest.raises(SpaceError, match=rf"^expansion: {wrong}; allowed: 1 to 8$"):
            mbconv(3, wrong)


def test_random_cells_have_the_usual_expansions_unless_a_given_cell_has_another() -> None:
    family = FAMILIES["mobile"]
    operations = load_builtin("mbconv@digits").operations
    assert family.prior(operations).expansions == EXPANSIONS == (1, 3, 6)
    prior = family.prior(operations, [mbconv(3, 4), mbconv(5, 3)])
    assert prior.expansions == (1, 3, 4, 6)
    rng = random.Random(0)
    drawn = {family.random_cell(prior, rng).expansion for _ in range(200)}
    assert drawn == {1, 3, 4, 6}


@pytest.mark.parametrize("expansion", EVERY)
def test_a_cell_of_any_expansion_can_be_trained(expansion: int) -> None:
    shape = LayerShape("layer_00", 3, 3, 1, 6)
    module = CellModule(mbconv(5, expansion, se=True), shape)
    images = torch.rand(4, 3, 6, 6)
    nn.functional.mse_loss(module(images), torch.zeros(4, 3, 6, 6)).backward()
    gradients = [each.grad for each in module.parameters()]
    assert all(each is not None and torch.isfinite(each).all() for each in gradients)
