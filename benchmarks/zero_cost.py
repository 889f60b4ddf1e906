"""Zero-cost scores of untrained networks, for comparison; larger is better."""

from collections.abc import Callable, Iterator

import torch
from ranking_setup import FIRST, Images, Study

from autospace.data.batches import Batches
from autospace.evaluators.zero_cost import Score, grad_norm, naswot, snip, synflow
from autospace.networks.network import Network
from autospace.seeds import derived_seed
from autospace.spaces import Cell

IMAGES = 128


def networks(cells: list[list[Cell]], seed: int, study: Study) -> Iterator[tuple[int, Network]]:
    """The reference network with each cell in turn, freshly initialised."""
    for layer, candidates in enumerate(cells):
        for cell in candidates:
            chosen = [study.reference] * len(study.skeleton.layers)
            chosen[layer] = cell
            torch.manual_seed(derived_seed(seed, "zero-cost"))
            yield layer, Network(study.skeleton, chosen)


Predictor = Callable[[list[list[Cell]], Images, int, Study], list[list[float]]]


def _predictor(score: Score) -> Predictor:
    def predict(
        cells: list[list[Cell]], images: Images, seed: int, study: Study = FIRST
    ) -> list[list[float]]:
        source = Batches(images.train, IMAGES, seed, "cpu", images.normaliser)
        batch, labels = source.batch(0)
        values: list[list[float]] = [[] for _ in cells]
        for layer, network in networks(cells, seed, study):
            values[layer].append(score(network, batch, labels))
        return values

    return predict


ZERO_COST = {
    "naswot": _predictor(naswot),
    "synflow": _predictor(synflow),
    "gradient norm": _predictor(grad_norm),
    "snip": _predictor(snip),
}
