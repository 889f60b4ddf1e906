"""Two groups of candidates that are alike within and different across.

A cut's score is the mean similarity of the pairs within the two groups less that of the pairs
across them. The total over all pairs is the same for every cut, so that among cuts of equal sizes
it is largest where the similarity within is, which is what NAS-LID (He et al., AAAI 2023) splits
by; taken as a sum, the sizes of the groups would decide. (NAS-LID's released code takes the largest
similarity across, as GM-NAS does with distances.)
"""

from itertools import product
from typing import Final, NamedTuple

import torch

from autospace.spaces.choices import Path

MOST_EXACT: Final = 14


class Cut(NamedTuple):
    """Two groups of indices, both in order, the first with index 0, and their score."""

    score: float
    groups: tuple[Path, Path]


def best_cut(similarity: torch.Tensor) -> Cut:
    """The cut of the largest score: of all 2^(K-1) - 1, for up to `MOST_EXACT` candidates.

    Beyond that, the best that can be reached from one candidate against all others, for each of
    them, as long as moving a single candidate to the other group raises the score.

    Args:
        similarity: [K, K], symmetric, K at least 2; the diagonal does not count.
    """
    size = len(similarity)
    if size < 2:
        raise ValueError(f"{size} candidates cannot be cut in two")
    matrix = similarity.double().cpu()
    if size <= MOST_EXACT:
        rows = [row for row in product((0, 1), repeat=size - 1) if any(row)]
        sides = torch.tensor([(0, *row) for row in rows], dtype=torch.float64)
    else:
        sides = torch.stack([_climbed(matrix, start) for start in torch.eye(size).double()])
    scores = cut_scores(matrix, sides)
    best = int(scores.argmax())
    side = sides[best]
    groups = [
        tuple(torch.nonzero(side == mark).flatten().tolist()) for mark in (side[0], 1 - side[0])
    ]
    return Cut(float(scores[best]), (groups[0], groups[1]))


def cut_scores(similarity: torch.Tensor, sides: torch.Tensor) -> torch.Tensor:
    """Scores [M] of cuts, given as rows of 0 and 1 [M, K]; minus infinity for an empty group.

    Two candidates leave no pair within a group: there each agrees with itself, by 1.
    """
    size = len(similarity)
    ones = sides.sum(1)
    pairs_across = ones * (size - ones)
    pairs_within = size * (size - 1) / 2 - pairs_across
    across = ((sides @ similarity) * (1 - sides)).sum(1)
    within = similarity.triu(1).sum() - across
    mean_within = torch.where(pairs_within > 0, within / pairs_within.clamp_min(1), 1.0)
    scores = mean_within - across / pairs_across.clamp_min(1)
    return scores.masked_fill(pairs_across == 0, -torch.inf)


def _climbed(similarity: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """The cut after all single moves that raise the score, the best of them first."""
    score = float(cut_scores(similarity, side[None]))
    while True:
        moved = (side - torch.eye(len(side), dtype=side.dtype)).abs()
        scores = cut_scores(similarity, moved)
        best = int(scores.argmax())
        if float(scores[best]) <= score:
            return side
        side, score = moved[best], float(scores[best])
