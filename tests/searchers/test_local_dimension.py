"""The local intrinsic dimension of sets of known dimension."""

import pytest
import torch

from autospace.searchers import few_shot


def local_dimension(points: torch.Tensor, neighbours: int) -> float:
    return float(few_shot.local_dimension(points, neighbours))


def _gaussian(dimension: int, count: int, seed: int, inside: int = 200) -> torch.Tensor:
    """Normally distributed points on a random plane in a space of more dimensions."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(count, dimension, generator=generator)
    plane = torch.linalg.qr(torch.randn(inside, dimension, generator=generator)).Q
    return torch.mm(points, plane.T)


@pytest.mark.parametrize("dimension", [2, 5, 10])
def test_the_dimension_of_a_gaussian_on_a_plane(dimension: int) -> None:
    found = [local_dimension(_gaussian(dimension, 512, seed), 20) for seed in range(3)]
    assert sum(found) / 3 == pytest.approx(dimension, rel=0.2)


def test_high_dimensions_are_estimated_too_low_but_in_order() -> None:
    found = [local_dimension(_gaussian(dimension, 512, 0), 20) for dimension in (10, 20, 40)]
    assert found == sorted(found)
    assert 10 < found[1] < 20


def test_the_estimate_is_that_of_the_definition() -> None:
    points = _gaussian(3, 30, 1, inside=6).double()
    estimates = []
    for point in points:
        radii = (points - point).norm(dim=1).sort().values[1:6]
        estimates.append(-5 / float((radii / radii[-1]).log().sum()))
    assert local_dimension(points, 5) == pytest.approx(sum(estimates) / 30, rel=1e-9)


def test_neither_shape_nor_place_nor_scale_matters() -> None:
    points = _gaussian(4, 64, 2, inside=24)
    plain = local_dimension(points, 10)
    moved = 7 * points.view(64, 2, 3, 4) + 3
    assert local_dimension(moved, 10) == pytest.approx(plain, rel=1e-4)


def test_points_that_coincide_have_no_dimension() -> None:
    assert local_dimension(torch.ones(10, 5), 4) == 0
    twice = torch.cat([_gaussian(3, 40, 3)] * 2)
    assert 0 < local_dimension(twice, 10) < local_dimension(twice[:40], 10)


def test_points_at_one_distance_have_a_finite_dimension() -> None:
    assert 100 < local_dimension(torch.eye(12), 5) < 1e5


def test_two_points_are_too_few() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        local_dimension(torch.ones(2, 3), 5)
