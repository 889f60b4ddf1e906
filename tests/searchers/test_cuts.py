"""Two-way cuts against enumeration in plain Python, and groups that were put in."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autospace.searchers import few_shot
from autospace.searchers.few_shot import best_cut


def _similarity(size: int, seed: int) -> torch.Tensor:
    noise = torch.rand(size, size, generator=torch.Generator().manual_seed(seed))
    return (noise + noise.T) / 2


def _grouped(groups: tuple[tuple[int, ...], ...], seed: int) -> torch.Tensor:
    """Noise, and 1 on top of it for two of the same group."""
    found = _similarity(sum(map(len, groups)), seed)
    for group in groups:
        found[torch.tensor(group)[:, None], torch.tensor(group)] += 1
    return found


def _score(similarity: torch.Tensor, group: tuple[int, ...]) -> float:
    inside: list[float] = []
    across: list[float] = []
    for i, j in itertools.combinations(range(len(similarity)), 2):
        pairs = inside if (i in group) == (j in group) else across
        pairs.append(float(similarity[i, j]))
    return (sum(inside) / len(inside) if inside else 1) - sum(across) / len(across)


@given(st.integers(2, 7), st.integers(0, 10**6))
def test_no_cut_is_better(size: int, seed: int) -> None:
    similarity = _similarity(size, seed)
    cut = best_cut(similarity)
    every = [
        group for count in range(1, size) for group in itertools.combinations(range(size), count)
    ]
    assert cut.score == pytest.approx(max(_score(similarity, group) for group in every), abs=1e-6)
    assert cut.score == pytest.approx(_score(similarity, cut.groups[0]), abs=1e-6)
    assert sorted(cut.groups[0] + cut.groups[1]) == list(range(size))
    assert cut.groups[0][0] == 0


@pytest.mark.parametrize(
    "groups",
    [
        ((0, 3), (1, 2)),
        ((0,), (1, 2, 3, 4, 5)),
        ((0, 2, 4, 6, 8), (1, 3, 5, 7)),
        ((0, 1, 2), tuple(range(3, 14))),
        (tuple(range(0, 20, 2)), tuple(range(1, 20, 2))),
        (tuple(range(4)), tuple(range(4, 40))),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_groups_of_any_size_are_found(groups: tuple[tuple[int, ...], ...], seed: int) -> None:
    assert best_cut(_grouped(groups, seed)).groups == groups


def test_climbing_comes_close_to_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [_similarity(10, seed) for seed in range(30)]
    exact = [best_cut(each).score for each in cases]
    monkeypatch.setattr(few_shot, "MOST_EXACT", 0)
    found = [best_cut(each).score for each in cases]
    assert all(ours <= theirs + 1e-9 for ours, theirs in zip(found, exact, strict=True))
    same = sum(theirs - ours < 1e-9 for ours, theirs in zip(found, exact, strict=True))
    assert same >= 24


def test_the_sizes_of_groups_do_not_decide() -> None:
    # All alike: no cut is better than another, whatever the signs of what is summed.
    for level in (-1.0, 0.0, 1.0):
        assert best_cut(torch.full((6, 6), level)).score == pytest.approx(0)


def test_one_candidate_cannot_be_cut() -> None:
    with pytest.raises(ValueError, match="1 candidates"):
        best_cut(torch.ones(1, 1))
