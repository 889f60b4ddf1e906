"""Interference: how far the gradients of architectures agree for the weights that they share.

For pairs of paths that differ in so many layers, the cosine between the two gradients of the loss
of one batch, for each cell that both contain; 1 means that they pull in one direction (Xu et al.,
ICML 2022, who observed that it falls with the number of differing layers).
"""

import math
import random
import statistics
from collections.abc import Iterator, Sequence

import torch

from autospace.data.batches import Batch
from autospace.progress import Tick, no_tick
from autospace.runs.folder import Document
from autospace.seeds import stream
from autospace.spaces.choices import Choice, Choices
from autospace.supernets.shared_weights import SharedWeights
from autospace.supernets.supernet import snapshot

TRIES = 200


class InterferencePoint(Document):
    """Pairs of paths that differ in equally many layers.

    Attributes:
        cosine: mean over pairs of the mean over their shared cells; from -1 to 1.
        error: standard error of that mean; None for a single pair.
    """

    differing: int
    pairs: int
    cosine: float
    error: float | None


def interference(
    supernets: Sequence[SharedWeights], pairs: int, tick: Tick = no_tick
) -> list[InterferencePoint]:
    """One point per number of differing layers for which there are pairs that share a cell.

    Args:
        supernets: trained weights, which stay as they are; pairs are drawn from each in turn.
        pairs: per point.
        tick: receives the numbers of differing layers that are done.
    """
    layers = len(supernets[0].problem.choices.sizes)
    points = []
    for differing in range(layers):
        tick(differing, layers)
        cosines = [
            cosine
            for index in range(pairs)
            for cosine in _cosine(supernets[index % len(supernets)], differing, index)
        ]
        if cosines:
            spread = statistics.stdev(cosines) if len(cosines) > 1 else math.nan
            error = None if math.isnan(spread) else spread / math.sqrt(len(cosines))
            points.append(
                InterferencePoint(
                    differing=differing,
                    pairs=len(cosines),
                    cosine=statistics.fmean(cosines),
                    error=error,
                )
            )
    return points


def _cosine(weights: SharedWeights, differing: int, index: int) -> Iterator[float]:
    """Of a drawn pair; nothing if there is no such pair, or no weights in what it shares."""
    problem = weights.problem
    rng = stream(problem.seed, "interference", differing, index)
    pair = draw_pair(problem.choices, differing, rng)
    if pair is not None:
        weights.supernet.train()
        with snapshot(weights.supernet):
            found = gradient_cosine(weights, *pair, problem.training.batch(index))
        if found is not None:
            yield found


def draw_pair(choices: Choices, differing: int, rng: random.Random) -> tuple[Choice, Choice] | None:
    """Two allowed paths that differ in so many layers; None if there seem to be none."""
    movable = [layer for layer, size in enumerate(choices.sizes) if size > 1]
    if differing > len(movable):
        return None
    for _ in range(TRIES):
        first = choices.draw(rng)
        second = list(first)
        for layer in rng.sample(movable, differing):
            if others := choices.others(first, layer):
                second[layer] = rng.choice(others)
        changed = sum(one != other for one, other in zip(first, second, strict=True))
        if changed == differing and choices.allows(tuple(second)):
            return first, tuple(second)
    return None


def gradient_cosine(
    weights: SharedWeights, first: Choice, second: Choice, batch: Batch
) -> float | None:
    """Mean over the cells that both paths contain; None if they share no weights there.

    Stem and head are in all paths and are left out. So are cells to which no gradient comes, and
    weights that are not trained, as the norms whose scale a method fixes.
    """
    shared = [
        [weight for weight in modules[index].parameters() if weight.requires_grad]
        for modules, index, other in zip(weights.supernet.choices, first, second, strict=True)
        if index == other
    ]
    cells = [parameters for parameters in shared if parameters]
    if not cells:
        return None
    flat = [weight for cell in cells for weight in cell]
    # An edge of a cell may have weights that a path does not use, as nothing leads on from there.
    gradients = [
        iter(
            torch.autograd.grad(
                weights.loss_of(path)(*batch), flat, allow_unused=True, materialize_grads=True
            )
        )
        for path in (first, second)
    ]
    cosines = []
    for cell in cells:
        ours, theirs = (
            torch.cat([next(each).double().flatten() for _ in cell]) for each in gradients
        )
        length = float(ours.norm() * theirs.norm())
        if length > 0:
            # Of equal gradients, rounding may make it more than 1.
            cosines.append(max(-1.0, min(1.0, float(ours @ theirs) / length)))
    return statistics.fmean(cosines) if cosines else None
