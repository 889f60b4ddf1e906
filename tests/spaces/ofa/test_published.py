"""Sizes and costs of Once-for-All's and ProxylessNAS's spaces, from their definitions."""

import random
from math import prod

import pytest

from autospace.spaces import Space, SpaceError, load
from autospace.spaces.cells.ofa import OfaCell, squeezed
from autospace.spaces.choices import Choices, limits_of
from autospace.spaces.cost import Budget

STAGE = 9**2 + 9**3 + 9**4
MBV3 = "ofa@ofa-mbv3"
PROXYLESS = "ofa@ofa-proxyless"


def member(
    space: Space, kernels: list[int], expansions: list[int], depths: list[int]
) -> dict[str, str]:
    choices, layer = {}, 0
    for stage, depth in zip(space.skeleton.stages, depths, strict=True):
        for place in range(stage.layers):
            name = f"ofa_k{kernels[layer]}_e{expansions[layer]}"
            choices[space.layers[layer].shape.name] = name if place < depth else "skip"
            layer += 1
    return choices


# Like MobileNetV3-Large: its kernels and depths, and the nearest expansions that the space has.
LARGE = (
    [3, 3, 3, 3, 5, 5, 5, 5, 3, 3, 3, 3, 3, 3, 3, 3, 5, 5, 5, 5],
    [4, 3, 3, 3, 3, 3, 3, 3, 6, 3, 3, 3, 6, 6, 6, 6, 6, 6, 6, 6],
    [2, 3, 4, 2, 3],
)


def test_the_number_of_architectures_is_the_published_one() -> None:
    assert STAGE == 7_371
    assert load(MBV3).size == STAGE**5 == 21_758_655_492_572_485_851
    # One more layer, which is never skipped.
    assert load(PROXYLESS).size == 9 * STAGE**5


def test_proxylessnas_space_is_mbconv_on_mobile() -> None:
    space = load("mbconv@mobile")
    sizes = [len(layer.candidates) for layer in space.layers]
    assert sorted(sizes) == [6] * 6 + [7] * 15
    assert space.size == 6**6 * 7**15 == prod(sizes)


def by_hand(rows: list[tuple[int, int, int, int, bool]], head: int, classes: int) -> int:
    """Params of MobileNetV3-like rows (in, expanded, out, kernel, attention), part by part."""
    total = 0
    for before, inner, after, kernel, attention in rows:
        if inner != before:
            total += before * inner + 2 * inner
        total += kernel**2 * inner + 2 * inner
        if attention:
            hidden = {72: 24, 120: 32, 480: 120, 672: 168, 960: 240}[inner]
            total += 2 * inner * hidden + hidden + inner
        total += inner * after + 2 * after
    return total + head + classes


def test_the_member_like_mobilenetv3_large_has_the_params_of_its_parts() -> None:
    space = load(MBV3)
    rows = [
        (16, 16, 16, 3, False),
        (16, 64, 24, 3, False),
        (24, 72, 24, 3, False),
        (24, 72, 40, 5, True),
        (40, 120, 40, 5, True),
        (40, 120, 40, 5, True),
        (40, 240, 80, 3, False),
        *[(80, 240, 80, 3, False)] * 3,
        (80, 480, 112, 3, True),
        (112, 672, 112, 3, True),
        (112, 672, 160, 5, True),
        *[(160, 960, 160, 5, True)] * 2,
    ]
    stem = 27 * 16 + 2 * 16
    head = 160 * 960 + 2 * 960 + 960 * 1280
    wanted = by_hand(rows, stem + head, 1281 * 1000)
    found = space.cost(member(space, *LARGE))
    # The released code gives the same two numbers for this sub-network, and so does torchvision's
    # formula: MobileNetV3-Large has 5,483,032 with narrower rows and a bias of 1,280.
    assert found.params == wanted == 5_508_048
    assert found.madds == 221_624_608


@pytest.mark.parametrize(
    ("name", "kernels", "expansions", "depths", "params", "madds"),
    [
        # What the released package counts, at 224 pixels: its own modules, and torch's counter.
        (MBV3, [3] * 20, [3] * 20, [2] * 5, 3_410_792, 121_278_672),
        (MBV3, [7] * 20, [6] * 20, [4] * 5, 7_664_760, 566_170_656),
        (PROXYLESS, [3] * 21, [3] * 21, [2] * 5 + [1], 2_500_632, 154_160_000),
        (PROXYLESS, [7] * 21, [6] * 21, [4] * 5 + [1], 5_103_336, 606_590_720),
    ],
)
def test_the_smallest_and_the_largest_cost_what_the_released_code_counts(
    name: str,
    kernels: list[int],
    expansions: list[int],
    depths: list[int],
    params: int,
    madds: int,
) -> None:
    space = load(name)
    found = space.cost(member(space, kernels, expansions, depths))
    assert (found.madds, found.params) == (madds, params)
    assert madds in (space.madds.min, space.madds.max)
    assert params in (space.params.min, space.params.max)


@pytest.mark.parametrize(
    ("channels", "hidden"),
    [
        (16, 8),
        (32, 8),
        (64, 16),
        (72, 24),
        (120, 32),
        (240, 64),
        (480, 120),
        (672, 168),
        (960, 240),
    ],
)
def test_attention_is_as_wide_as_in_mobilenetv3(channels: int, hidden: int) -> None:
    assert squeezed(channels) == hidden


def test_draws_and_fronts_of_the_whole_space_are_cheap_and_within_limits() -> None:
    space = load(MBV3)
    budget = Budget(max_madds=230_000_000, max_params=5_000_000)
    choices = Choices(space, limits_of(space, budget))
    rng = random.Random(0)
    for _ in range(50):
        cost = choices.cost(choices.draw(rng))
        assert cost.madds <= 230_000_000
        assert cost.params <= 5_000_000
    scores = [[rng.random() for _ in layer.candidates] for layer in space.layers]
    assert choices.allows(choices.best(scores))


def test_depths_are_drawn_as_often_as_they_have_options() -> None:
    space = load(MBV3)
    rng = random.Random(1)
    depths = [0, 0, 0]
    for _ in range(2000):
        cells = space.sample(rng).cells
        depths[sum(not cell.is_zero for cell in cells[:4]) - 2] += 1
    # 81, 729 and 6561 of 7371; five standard deviations.
    for found, share in zip(depths, (81, 729, 6561), strict=True):
        p = share / STAGE
        assert abs(found - 2000 * p) <= 5 * (2000 * p * (1 - p)) ** 0.5


def test_a_cell_states_what_it_cannot_be() -> None:
    with pytest.raises(SpaceError, match="expansion: 9"):
        OfaCell.of(3, 9)
    with pytest.raises(SpaceError, match="dw_conv_9x9"):
        OfaCell.of(9, 3)
