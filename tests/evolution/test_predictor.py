"""The predictor of fitness against hand-computed numbers, brute force, and planted truth."""

import itertools
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import null_space
from scipy.stats import kendalltau, multivariate_normal

from autospace.evolution.predictor import (
    GRID,
    Change,
    Hyperparameters,
    LayerFit,
    Measured,
    Quality,
    fit,
)
from autospace.spaces import Cell, LayerShape, cell_cost, mbconv
from autospace.spaces.cells.cell import edge_slots
from autospace.spaces.features import features
from tests import strategies

POINT = Hyperparameters(prior=1.0, unseen=0.1, noise=0.1)
SHIFT = 2.0
SHAPE = LayerShape("layer_00", 4, 4, 1, 8)
Array = NDArray[np.float64]


def layer_of(data: Measured) -> LayerFit:
    found = LayerFit.of(data)
    assert found is not None
    return found


def table(x: Array) -> tuple[dict[str, float], ...]:
    return tuple({f"x{index}": float(value) for index, value in enumerate(row)} for row in x)


def planted(
    seed: int, *, cells: int = 40, size: int = 8, unseen: float = 0.5, noise: float = 1.0
) -> tuple[Measured, Array]:
    """Measured means of a linear truth, and the true fitness.

    Every fourth cell has two scores; all second scores share a shift.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(cells, size))
    true = 3 + x @ rng.normal(size=size) / math.sqrt(size) + unseen * rng.normal(size=cells)
    scores = true[:, None] + noise * rng.normal(size=(cells, 2)) + np.array([0.0, SHIFT])
    counts = np.where(np.arange(cells) % 4 == 0, 2.0, 1.0)
    means = np.where(counts == 2, scores.mean(1), scores[:, 0])
    changes = tuple(
        Change(float(second - first), 2.0, {"again": 1.0}) for first, second in scores[counts == 2]
    )
    shares: list[dict[str, float]] = [{"again": 0.5} if count == 2 else {} for count in counts]
    rows = tuple(means.tolist()), tuple(counts.tolist()), tuple(shares)
    return Measured(table(x), *rows, changes), true


# One layer, one point of the grid.


def test_one_feature_as_computed_by_hand() -> None:
    ones = (-1.0, 1.0, -1.0, 1.0)
    layer = layer_of(Measured(table(np.array(ones)[:, None]), (1.0, 5.0, 1.0, 5.0), (1.0,) * 4))
    # In standard units the means are -1 and 1. Precision of the weight: 4 / 0.2 + 1 = 21, its mean
    # 20 / 21; variance of the level: 0.2 / 4. Half of what is left is no noise.
    assert (layer.centre, layer.unit) == (3.0, 2.0)
    means, variances = layer.known(POINT)
    assert means == pytest.approx([each * (20 / 21 + 1) / 2 for each in ones])
    linear = 0.2 / 4 + 1 / 21
    assert variances == pytest.approx([linear / 4 + 0.1 / 2] * 4)
    mean, variance = layer.unscored(layer.design([{"x0": 2.0}, {}]), POINT)
    assert mean == pytest.approx([2 * 20 / 21, 0.0])
    assert variance == pytest.approx([0.2 / 4 + 4 / 21 + 0.1, 0.2 / 4 + 0.1])


def measured_rows(layer: LayerFit, point: Hyperparameters) -> tuple[Array, Array, Array]:
    """All means and changes: their design, their values, and the variances of what is left."""
    noise = point.unseen + point.noise / layer.counts
    return (
        np.vstack([layer.x, layer.z]),
        np.concatenate([layer.means, layer.changes]),
        np.concatenate([noise, point.noise * layer.factors]),
    )


def prior_of(layer: LayerFit, point: Hyperparameters, flat: float) -> Array:
    """Variances of level, shifts and weights; a flat prior as a very wide one."""
    size = layer.x.shape[1] - layer.flat
    return np.array([flat] * layer.flat + [point.prior / size] * size)


@pytest.mark.parametrize("reference", [None, 0, 3])
@pytest.mark.parametrize("point", [POINT, GRID[0], GRID[-1], GRID[37]])
def test_the_posterior_is_that_of_the_joint_gaussian(
    point: Hyperparameters, reference: int | None
) -> None:
    layer = layer_of(replace(planted(0)[0], reference=reference))
    other = layer.design(table(np.random.default_rng(1).normal(size=(5, 8))))
    rows, values, noise = measured_rows(layer, point)
    plain = layer.x.copy()
    plain[:, 1] = 0.0  # the shift is no part of the true fitness
    wanted = np.vstack([plain, other])
    prior = prior_of(layer, point, 1e4)
    # Of the true fitness with itself, and with all that was measured.
    true = wanted * prior @ wanted.T + point.unseen * np.eye(len(wanted))
    both = wanted * prior @ rows.T
    both[:40, :40] += point.unseen * np.eye(40)
    gain = both @ np.linalg.inv(rows * prior @ rows.T + np.diag(noise))
    means, spread = gain @ values, true - gain @ both.T
    assert layer.unscored(other, point)[0] == pytest.approx(means[40:], abs=1e-4)
    assert layer.unscored(other, point)[1] == pytest.approx(np.diag(spread)[40:], abs=1e-4)
    from_reference = np.eye(40)
    if reference is not None:
        from_reference[:, reference] -= 1
    known = (
        from_reference @ means[:40],
        np.diag(from_reference @ spread[:40, :40] @ from_reference.T),
    )
    assert layer.known(point)[0] == pytest.approx(known[0], abs=1e-4)
    assert layer.known(point)[1] == pytest.approx(known[1], abs=1e-4)


def test_the_likelihood_is_that_of_all_contrasts() -> None:
    layer = layer_of(planted(2)[0])

    def brute(point: Hyperparameters) -> float:
        rows, values, noise = measured_rows(layer, point)
        contrasts = null_space(rows[:, : layer.flat].T).T
        whole = rows * prior_of(layer, point, 0.0) @ rows.T + np.diag(noise)
        return float(
            multivariate_normal.logpdf(contrasts @ values, cov=contrasts @ whole @ contrasts.T)
        )

    # A constant of the data alone may differ: it does not matter to the weights.
    differences = [layer.likelihood(point) - brute(point) for point in GRID[::13]]
    assert differences == pytest.approx([differences[0]] * len(differences), abs=1e-6)


@pytest.mark.parametrize("point", [POINT, GRID[5], GRID[90]])
def test_leaving_one_out_is_refitting_without_it(point: Hyperparameters) -> None:
    layer = layer_of(planted(3, cells=20)[0])
    means, variances = layer.left_out(point)
    for place in range(len(layer.x)):
        kept = np.arange(len(layer.x)) != place
        others = replace(layer, x=layer.x[kept], means=layer.means[kept], counts=layer.counts[kept])
        mean, variance = others.unscored(layer.x[place : place + 1], point)
        assert means[place] == pytest.approx(mean[0])
        noise = point.noise / layer.counts[place]
        assert variances[place] == pytest.approx(variance[0] + noise)


# Whole fits against planted truth.


def improvement(seed: int, guess: Callable[[Measured], Sequence[float]]) -> float:
    """How much less the squared error of the posterior mean is than that of another guess."""
    data, true = planted(seed)
    known = fit([data]).known(0)
    assert known is not None
    own = np.square([each.mean for each in known] - true).mean()
    return float(np.square(np.array(guess(data)) - true).mean() - own)


def raw(data: Measured) -> Sequence[float]:
    """The measured means, without the shift that the second scores share."""
    pairs = zip(data.means, data.shares, strict=True)
    return [mean - SHIFT * share.get("again", 0.0) for mean, share in pairs]


def towards_the_mean(data: Measured) -> Sequence[float]:
    """The James-Stein estimator without features, and with the true noise and shift."""
    means, counts = np.array(raw(data)), np.array(data.counts)
    spread = max(1e-9, means.var(ddof=1) - (1 / counts).mean())
    share = spread / (spread + 1 / counts)
    found: list[float] = (means.mean() + share * (means - means.mean())).tolist()
    return found


@pytest.mark.parametrize("guess", [raw, towards_the_mean])
def test_shrinking_beats_raw_means_and_shrinking_without_features(
    guess: Callable[[Measured], Sequence[float]],
) -> None:
    gains = [improvement(seed, guess) for seed in range(40)]
    error = stdev(gains) / math.sqrt(len(gains))
    assert fmean(gains) > 4 * error
    assert fmean(gains) > 0.05


def test_the_standard_deviations_hold_what_they_promise() -> None:
    held = []
    for seed in range(40):
        data, true = planted(seed)
        known = fit([data]).known(0) or []
        held += [abs(each.mean - t) <= 1.96 * each.sd for each, t in zip(known, true, strict=True)]
    # 1600 cells in 40 layers, each fitted alone. The fitted variances miss a little.
    assert 0.90 <= fmean(held) <= 0.98


def test_cells_that_were_not_scored_are_predicted() -> None:
    taus = []
    for seed in range(10):
        data, true = planted(seed, cells=80, noise=0.5)
        first = Measured(
            data.features[:60], data.means[:60], data.counts[:60], data.shares[:60], data.changes
        )
        found = fit([first]).unscored(0, data.features[60:]) or []
        taus.append(kendalltau([each.mean for each in found], true[60:])[0])
    assert fmean(taus) > 0.5


def test_the_noise_is_found_as_soon_as_cells_were_scored_twice() -> None:
    for noise in (0.2, 1.5):
        data, _ = planted(1, cells=60, noise=noise)
        (weights,) = fit([data]).weights
        unit = layer_of(data).unit
        mean = sum(point.noise * weight for point, weight in weights.items()) * unit**2
        assert sum(weights.values()) == pytest.approx(1)
        assert noise**2 / 2 < mean < 2 * noise**2


def test_a_layer_has_noise_of_its_own_and_shares_the_rest() -> None:
    quiet, noisy = (planted(seed, noise=noise)[0] for seed, noise in ((0, 0.1), (1, 3.0)))
    found = fit([quiet, noisy]).weights
    quiet_noise, noisy_noise = (
        sum(point.noise * weight for point, weight in weights.items()) for weights in found
    )
    assert quiet_noise < 0.1 < noisy_noise
    shared = [
        {
            shape: sum(w for p, w in weights.items() if p[:2] == shape)
            for shape in {p[:2] for p in GRID}
        }
        for weights in found
    ]
    for shape, weight in shared[0].items():
        assert weight == pytest.approx(shared[1][shape], abs=0.02)


def test_the_quality_is_that_of_features_and_is_about_zero_without() -> None:
    rng = np.random.default_rng(1000)
    seen: list[Quality] = []
    blind: list[Quality] = []
    for seed in range(10):
        data, _ = planted(seed, noise=0.3, unseen=0.2)
        for found, own in ((seen, data.features), (blind, table(rng.normal(size=(40, 8))))):
            quality = fit([replace(data, features=own)]).quality
            assert quality is not None
            found.append(quality)
    assert fmean(each.r2 for each in seen) > 0.6
    assert fmean(each.tau for each in seen) > 0.6
    assert abs(fmean(each.r2 for each in blind)) < 0.1


def test_the_order_of_additions_does_not_show() -> None:
    data, _ = planted(4)
    order = list(range(40))
    random.Random(0).shuffle(order)
    shuffled = Measured(
        tuple(data.features[each] for each in order),
        tuple(data.means[each] for each in order),
        tuple(data.counts[each] for each in order),
        tuple(data.shares[each] for each in order),
        data.changes[::-1],
    )
    first, second = fit([data]), fit([shuffled])
    known, others = first.known(0), second.known(0)
    assert known is not None
    assert others == [known[each] for each in order]
    assert first.unscored(0, data.features[:3]) == second.unscored(0, data.features[:3])
    assert first.quality == second.quality


@pytest.mark.parametrize("means", [(), (1.0, 2.0), (1.0,) * 9])
def test_nothing_is_known_of_a_layer_without_differences(means: tuple[float, ...]) -> None:
    rows = table(np.arange(len(means), dtype=np.float64)[:, None])
    data = Measured(rows, means, (1.0,) * len(means))
    found = fit([data, planted(0)[0]])
    assert found.known(0) is None
    assert found.unscored(0, [{"x0": 1.0}]) is None
    assert found.known(1) == fit([planted(0)[0]]).known(0)
    assert fit([data]).quality is None


def test_cells_with_equal_features_are_shrunk_to_their_mean() -> None:
    data = Measured(({"x0": 1.0},) * 6, (0.0, 1.0, 2.0, 3.0, 4.0, 50.0), (1.0,) * 6)
    known = fit([data]).known(0)
    assert known is not None
    # Nothing says how much is noise, so half of it counts as noise: the mean is 10.
    assert known[-1].mean == pytest.approx(30)
    assert all(each.sd > 0 for each in known)


# Features.


def test_the_features_of_a_cell_written_out() -> None:
    cell = mbconv(5, 3, se=True)
    edge = json.dumps({"operation": "dw_conv_5x5", "source": 0, "target": 3})
    cost = cell_cost(cell, SHAPE)
    assert features(cell, cost) == pytest.approx(
        {
            "madds": math.log1p(cost.madds),
            "params": math.log1p(cost.params),
            ".nodes": math.log(5),
            ".expansion": math.log(4),
            ".edges[].source": 0.0,
            ".edges[].target": math.log(4),
            ".edges[].operation=dw_conv_5x5": 1.0,
            f".edges[]={edge}": 1.0,
            ".mix[]=sum": 2.0,
            ".mix[]=se": 1.0,
            ".mix[0]=sum": 1.0,
            ".mix[1]=sum": 1.0,
            ".mix[2]=se": 1.0,
        }
    )


def renamed(cell: Cell, order: Sequence[int]) -> Cell | None:
    """The cell with its inner nodes in another order; None if an edge would go backwards."""
    place = {node: index for index, node in enumerate((0, *order, cell.nodes - 1))}
    edges = [(place[each.source], place[each.target], each.operation) for each in cell.edges]
    if any(source >= target for source, target, _ in edges):
        return None
    mix = tuple(cell.mix[node - 1] for node in (*order, cell.nodes - 1))
    return Cell.from_edges(edges, nodes=cell.nodes, mix=mix, expansion=cell.expansion)


@settings(max_examples=60)
@given(strategies.cells(), st.data())
def test_equivalent_cells_have_equal_features(cell: Cell, data: st.DataObject) -> None:
    orders = itertools.permutations(range(1, cell.nodes - 1))
    written = [each for order in orders if (each := renamed(cell, order)) is not None]
    live = cell.live_nodes
    dead = [
        index
        for index, (source, target) in enumerate(edge_slots(cell.nodes))
        if not (source in live and target in live)
    ]
    names = list(cell.operations)
    for index in dead:
        names[index] = data.draw(st.sampled_from(("none", "dw_conv_3x3")))
    changed = Cell(tuple(names), cell.mix, cell.expansion)
    if changed.live_nodes == live:
        written.append(changed)
    expected = features(cell, cell_cost(cell, SHAPE))
    for each in written:
        assert features(each, cell_cost(each, SHAPE)) == expected
