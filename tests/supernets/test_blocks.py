"""Blocks: where they begin, what trains them, and how their paths are rated."""

import itertools
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autospace.networks.network import Network, joined
from autospace.spaces import LayerSpec, Skeleton, Stem, mbconv
from autospace.spaces.choices import SearchError
from autospace.supernets.blocks import (
    RATINGS,
    WORST,
    Block,
    BlockWeights,
    Features,
    block_ranges,
    blocks_of,
    outputs_of,
)
from tests.searchers.problems import SKELETON, make_problem

IMAGES = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
WIDER = Skeleton(
    "wider", 1, 8, 5, Stem(5, 1), (LayerSpec(7), LayerSpec(7), LayerSpec(9, 2), LayerSpec(12))
)


def _features(skeleton: Skeleton, images: torch.Tensor = IMAGES) -> Features:
    torch.manual_seed(1)
    network = Network(skeleton, [mbconv(3, 3)] * len(skeleton.layers)).eval()
    with torch.no_grad():
        found = [network.stem(images)]
        for shape, cell in network.stages():
            found.append(joined(shape, found[-1], cell(found[-1])))
    return found


def _blocks(teacher: Skeleton = SKELETON) -> BlockWeights:
    problem = make_problem(supernet={"steps": 4})
    return BlockWeights(problem, blocks_of(SKELETON, teacher))


def test_a_block_ends_where_resolution_or_width_changes() -> None:
    assert block_ranges(SKELETON) == [range(1), range(1, 3)]
    # The published supernet: six operations in each of 19 layers.
    counts = [(24, 2, 2), (40, 2, 4), (80, 2, 4), (112, 1, 4), (192, 2, 4), (320, 1, 1)]
    layers = [LayerSpec(w, s if i == 0 else 1) for w, s, n in counts for i in range(n)]
    published = Skeleton("dna", 3, 224, 1000, Stem(32, 2, 16), tuple(layers))
    lengths = [len(each) for each in block_ranges(published)]
    assert lengths == [2, 4, 4, 4, 4, 1]
    assert 6 ** sum(lengths) == pytest.approx(6.1e14, rel=0.01)


def test_beside_a_like_teacher_blocks_lie_between_the_same_layers() -> None:
    assert blocks_of(SKELETON, SKELETON) == [
        Block(range(1), 0, 1, (4, 4)),
        Block(range(1, 3), 1, 3, (4, 6)),
    ]


def test_beside_another_teacher_blocks_end_where_the_resolution_changes() -> None:
    # Its sides: 8 (stem), 8, 8, 4, 4.
    assert blocks_of(SKELETON, WIDER) == [
        Block(range(1), 0, 2, (5, 7)),
        Block(range(1, 3), 2, 4, (7, 12)),
    ]


@pytest.mark.parametrize(
    "layers", [(LayerSpec(6),), (LayerSpec(6, 2), LayerSpec(6)), (LayerSpec(6), LayerSpec(8))]
)
def test_a_teacher_without_a_resolution_is_refused(layers: tuple[LayerSpec, ...]) -> None:
    teacher = Skeleton("short", 1, 8, 3, Stem(4, 1), layers)
    with pytest.raises(SearchError, match=r"no layers from 8 to [48] pixels a side, .*; allowed: "):
        blocks_of(SKELETON, teacher)


def test_keeping_features_takes_as_many_layers_as_there_are_prefixes() -> None:
    passes: list[int] = []

    def through(x: torch.Tensor, cells: Sequence[Any], first: int) -> list[torch.Tensor]:
        passes.append(first)
        return [cells[0](x)]

    fake: Any = SimpleNamespace(
        cells=lambda layer: [lambda x, k=k: 10 * x + k for k in range(6)], through=through
    )
    paths = list(itertools.product(range(6), repeat=4))
    block = Block(range(3, 7), 0, 1, (1, 1))
    found = [int(each) for each in outputs_of(fake, block, torch.tensor(0), paths)]
    assert found == [int("".join(map(str, path))) for path in paths]
    assert len(passes) == 6 + 36 + 216 + 1296 == 1554
    assert set(passes) == {3, 4, 5, 6}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_tree_rates_as_each_path_by_itself_to_the_bit(dtype: torch.dtype) -> None:
    weights = _blocks()
    weights.supernet.to(dtype)
    batches = [[f.to(dtype) for f in _features(SKELETON, IMAGES + k)] for k in range(2)]
    paths = list(itertools.product(range(6), range(7)))[::5]
    for order in (paths, paths[::-1]):
        together = weights.rated(1, order, batches)
        assert together == [weights.rated(1, [path], batches)[0] for path in order]
    assert len(set(weights.rated(1, paths, batches))) > 1


def test_rating_moves_no_weight() -> None:
    weights = _blocks()
    before = {name: value.clone() for name, value in weights.supernet.named_parameters()}
    weights.rated(1, [(0, 1), (2, 3)], [_features(SKELETON)])
    for name, value in weights.supernet.named_parameters():
        assert torch.equal(value, before[name])


@given(st.integers(0, 99), st.sampled_from([0.01, 10.0, 4096.0]))
def test_ratings_are_their_definitions_and_only_mse_has_a_scale(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    s, t = rng.normal(1, 2, (2, 3, 4, 5, 5))
    by_hand = {
        "cl": np.abs(s - t).mean() / t.std(),
        "mse": ((s - t) ** 2).mean(),
        "relative-mse": ((s - t) ** 2).mean() / t.var(),
        "relative-l1": np.abs(s - t).mean() / np.abs(t).mean(),
    }
    assert set(by_hand) == set(RATINGS)
    output, target = torch.from_numpy(s), torch.from_numpy(t)
    for name, rating in RATINGS.items():
        value = float(rating(output, target))
        assert value == pytest.approx(by_hand[name], rel=1e-12)
        factor = scale**2 if name == "mse" else 1.0
        assert float(rating(scale * output, scale * target)) == pytest.approx(factor * value)
        assert float(rating(target, target)) == 0


def test_a_diverged_path_rates_worst() -> None:
    weights = _blocks()
    project = weights.supernet.cells(0)[1].project
    assert project is not None
    torch.nn.init.constant_(project.norm.weight, float("nan"))
    good, bad = weights.rated(0, [(0,), (1,)], [_features(SKELETON)])
    assert good < bad == WORST


@pytest.mark.parametrize("teacher", [SKELETON, WIDER])
@pytest.mark.parametrize("number", [0, 1])
def test_a_block_trains_nothing_of_another(teacher: Skeleton, number: int) -> None:
    weights = _blocks(teacher)
    path = (0,) if number == 0 else (1, 2)
    before = {name: v.clone() for name, v in weights.state().tensors.items() if "opt" not in name}
    for index in range(2):
        weights.step(index, number, path, _features(teacher))
    after = weights.state().tensors
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    layers = weights.blocks[number].layers
    own = [f"candidates.{layer}.{path[layer - layers.start]}." for layer in layers]
    own.append(f"adaptors.key.{number}")
    assert any(".candidates." in name or "candidates." in name for name in moved)
    adaptors = {name for name in moved if name.startswith("adaptors")}
    assert bool(adaptors) == (teacher is WIDER)
    for name in moved - adaptors:
        assert any(each in name for each in own), name


def test_an_adaptor_of_one_block_is_left_alone_by_the_other() -> None:
    weights = _blocks(WIDER)
    kept = [[p.clone() for p in each.parameters()] for each in weights.adaptors]
    assert [len(each) for each in kept] == [4, 4]  # in and out: a kernel and a bias each
    for index in range(2):
        weights.step(index, 1, (0, 0), _features(WIDER))
    first, second = (list(each.parameters()) for each in weights.adaptors)
    assert all(map(torch.equal, first, kept[0]))
    assert not any(map(torch.equal, second[:1], kept[1][:1]))


def test_a_path_of_nothing_but_shortcuts_is_rated_and_not_trained() -> None:
    weights = _blocks()
    zero = next(i for i, cell in enumerate(weights.supernet.cells(0)) if cell.project is None)
    features = _features(SKELETON)
    weights.step(0, 0, (zero,), features)
    (found,) = weights.rated(0, [(zero,)], [features])
    gap = (features[0] - features[1]).abs().mean() / features[1].std(correction=0)
    assert found == pytest.approx(float(gap), rel=1e-5)


def test_training_brings_a_block_nearer_to_the_teacher() -> None:
    weights = BlockWeights(make_problem(supernet={"steps": 60}), blocks_of(SKELETON, WIDER))
    features = _features(
        WIDER, torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    )
    (before,) = weights.rated(1, [(4, 4)], [features])
    for index in range(60):
        weights.step(index, 1, (4, 4), features)
    (after,) = weights.rated(1, [(4, 4)], [features])
    assert after < 0.8 * before


def test_a_rating_is_the_mean_over_batches() -> None:
    weights = _blocks()
    batches = [_features(SKELETON, IMAGES + k) for k in range(3)]
    (together,) = weights.rated(1, [(0, 1)], batches)
    alone = [weights.rated(1, [(0, 1)], [batch])[0] for batch in batches]
    assert together == pytest.approx(sum(alone) / 3, rel=1e-6)


def test_paths_are_rated_by_the_statistics_of_the_batch() -> None:
    weights, features = _blocks(), _features(SKELETON)
    before = weights.rated(1, [(0, 1)], [features])
    for part in weights.supernet.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.constant_(part.running_var, 9.0)  # type: ignore[arg-type]
    weights.supernet.eval()
    assert weights.rated(1, [(0, 1)], [features]) == before


def test_blocks_are_trained_on_the_squared_error_over_the_variance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights, features = _blocks(), _features(SKELETON)
    found: list[float] = []

    def step(index: int, losses: Sequence[Any], *, batch: tuple[Any, Any]) -> None:
        found.extend(float(loss(*batch).detach()) for loss in losses)

    monkeypatch.setattr(weights.weights, "step", step)
    for number, path in ((0, (1,)), (1, (0, 1))):
        weights.step(0, number, path, features)
        (wanted,) = weights.rated(number, [path], [features], "relative-mse")
        assert found.pop() == pytest.approx(wanted, rel=1e-5)
