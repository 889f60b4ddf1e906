"""Architectures drawn from a distribution over the candidates of each layer, within the limits."""

import math
import random
from typing import NamedTuple

from autospace.searchers.gradient.alphas import Rows
from autospace.spaces.choices import Choices, Path

TRIES = 64


class Draw(NamedTuple):
    """A path, and the noise that picked it: per layer argmax_k (log p_k + noise_k)."""

    path: Path
    noise: Rows


class PairDraw(NamedTuple):
    """A path, and per layer two candidates of which it takes one; one where there is one only."""

    path: Path
    pairs: tuple[Path, ...]


def draw(choices: Choices, log_p: Rows, rng: random.Random) -> Draw:
    """One candidate a layer drawn from p, whole paths drawn again while they exceed a limit.

    By the Gumbel-max trick: the argmax of log p plus standard Gumbel noise is distributed as p. If
    the limits leave next to nothing of p, the allowed path of the largest perturbed sum is taken.
    """
    for _ in range(TRIES):
        noise = [[_gumbel(rng) for _ in row] for row in log_p]
        perturbed = _sums(log_p, noise)
        path = tuple(max(range(len(row)), key=row.__getitem__) for row in perturbed)
        if choices.allows(path):
            return Draw(path, noise)
    return Draw(choices.best(perturbed), noise)


def draw_pairs(choices: Choices, log_p: Rows, rng: random.Random) -> PairDraw:
    """Two distinct candidates a layer drawn from p, one of them active (ProxylessNAS, section 3.2).

    The pair is drawn without replacement, then the active one by p renormalised over the pair;
    again while the active path exceeds a limit.
    """
    for _ in range(TRIES):
        perturbed = _sums(log_p, [[_gumbel(rng) for _ in row] for row in log_p])
        pairs = tuple(_top_two(row) for row in perturbed)
        path = tuple(
            rng.choices(pair, [math.exp(row[index] - row[pair[0]]) for index in pair])[0]
            for pair, row in zip(pairs, log_p, strict=True)
        )
        if choices.allows(path):
            return PairDraw(path, pairs)
    path = choices.best(perturbed)
    others = (_top_two(_without(row, index)) for row, index in zip(perturbed, path, strict=True))
    pairs = tuple(
        (index, other[0])[: len(row)]
        for index, other, row in zip(path, others, perturbed, strict=True)
    )
    return PairDraw(path, pairs)


def _gumbel(rng: random.Random) -> float:
    # 1 - random() lies in (0, 1]; the bound keeps the logarithm of 1 from being 0.
    return -math.log(max(-math.log(1 - rng.random()), 1e-300))


def _sums(left: Rows, right: Rows) -> Rows:
    return [[a + b for a, b in zip(*rows, strict=True)] for rows in zip(left, right, strict=True)]


def _top_two(row: list[float]) -> Path:
    return tuple(sorted(range(len(row)), key=lambda index: -row[index])[:2])


def _without(row: list[float], index: int) -> list[float]:
    return [-math.inf if other == index else value for other, value in enumerate(row)]
