"""Searches on supernets that are trained by gradual modification, by alignment, or by both."""

import pytest

from tests.searchers.planted import solved
from tests.slow import slowly


@pytest.mark.parametrize("method", slowly("magic-t", "magic-a", "magic-at"))
def test_the_planted_candidates_are_found(method: str) -> None:
    assert solved(method, 0, 400, evaluations=40).share >= 0.8


@pytest.mark.slow
def test_most_planted_candidates_are_found_where_random_networks_hold_fewer() -> None:
    found = [solved("magic-t", seed, 600, layers=6, evaluations=60) for seed in range(3)]
    assert sum(each.share for each in found) / len(found) >= 0.8
    # By chance two of three would be this good once in some forty times.
    assert sum(each.chance < 0.1 for each in found) >= 2
