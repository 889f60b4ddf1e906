"""How alike the candidates of a layer are in what they do to the weights or features of the rest.

Each candidate is put into one and the same random path, on the same images. Candidates that pull
the shared weights in different directions, or that give later layers features of different
dimensions, had better not share weights (few-shot NAS, Zhao et al., ICML 2021).
"""

from collections.abc import Callable, Sequence

import torch

from autospace.searchers.local_dimension import local_dimension
from autospace.spaces.choices import Path
from autospace.supernets.shared_weights import SharedWeights
from autospace.training.short import Batch

Similarity = Callable[[SharedWeights, int, Sequence[Path], int], torch.Tensor]
"""(weights, layer, a path per candidate of the layer, number of the batch) -> similarity [K, K]."""


def gradient_matching(
    weights: SharedWeights, layer: int, paths: Sequence[Path], number: int
) -> torch.Tensor:
    """Cosines of the gradients of all weights on the path but the layer's own (GM-NAS, ICLR 2022).

    Takes a backward pass per candidate.
    """
    batch = weights.problem.training.batch(number)
    weights.supernet.train()
    rows = torch.stack([_gradient(weights, layer, path, batch) for path in paths])
    unit = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return torch.mm(unit, unit.T)


def _gradient(weights: SharedWeights, layer: int, path: Path, batch: Batch) -> torch.Tensor:
    supernet = weights.supernet
    cells = [
        modules[index]
        for place, (modules, index) in enumerate(zip(supernet.choices, path, strict=True))
        if place != layer
    ]
    shared = [p for module in (supernet.network, *cells) for p in module.parameters()]
    loss = weights.task(path)(*batch)
    found = torch.autograd.grad(loss, shared, allow_unused=True)
    pairs = zip(found, shared, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def dimension_matching(neighbours: int) -> Similarity:
    """1 / (1 + distance) of profiles of local intrinsic dimensions (NAS-LID, AAAI 2023).

    A profile holds the dimensions of the features of 128 images after each layer from the
    candidate's own on; nothing earlier depends on the candidate. Takes a forward pass per
    candidate. The cosine, the other similarity of the released code, says nothing here: profiles
    of the last layer have one entry, and all entries are positive.
    """

    @torch.no_grad()
    def similarity(
        weights: SharedWeights, layer: int, paths: Sequence[Path], number: int
    ) -> torch.Tensor:
        images, _ = weights.problem.validation.batch(number)
        weights.supernet.train()
        profiles = []
        for path in paths:
            features = weights.supernet.features(images, path)[layer:-1]
            profiles.append([local_dimension(each, neighbours) for each in features])
        rows = torch.tensor(profiles, dtype=torch.float64)
        return 1 / (1 + torch.cdist(rows, rows))

    return similarity
