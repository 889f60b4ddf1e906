"""The evaluators `naswot` and `synflow`: scores of untrained networks. Proxies, no accuracies."""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from autospace.evaluators.images import Images
from autospace.evaluators.seam import Evaluation
from autospace.evaluators.stand_alone import new_network
from autospace.network import Network
from autospace.spaces.space import Architecture

BATCH: Final = 128
LOWEST: Final = -1e6
"""Score of a network whose score is no number: below all others."""

Score = Callable[[Network, torch.Tensor], float]


class ZeroCostEvaluator:
    """Scores architectures as they are initialised, on one batch of training images."""

    def __init__(self, images: Images, score: Score) -> None:
        self._images, self._score = images, score

    def evaluate(self, architecture: Architecture, seed: int) -> Evaluation:
        """The score, larger is better; see `autospace.evaluators.seam.Evaluator`."""
        network = new_network(architecture, seed, self._images.device)
        images, _ = self._images.plain_batches(BATCH, seed).batch(0)
        found = self._score(network, images)
        return Evaluation(round(found, 6) if math.isfinite(found) else LOWEST)


def naswot(network: Network, images: torch.Tensor) -> float:
    """The log of |det K| (Mellor et al., ICML 2021, equation 2), summed over all activations.

    K counts, for every two images, the units that are on for both or off for both.
    """
    codes: list[torch.Tensor] = []
    hooks = [
        part.register_forward_hook(lambda _m, _i, out: codes.append((out > 0).flatten(1).double()))
        for part in network.modules()
        if isinstance(part, nn.ReLU6)
    ]
    with torch.no_grad():
        network.train()(images)
    for hook in hooks:
        hook.remove()
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)
    for code in codes:
        kernel += code @ code.T + (1 - code) @ (1 - code).T
    # Images that light up the same units would make K singular.
    kernel += 1e-6 * torch.eye(len(images), dtype=torch.float64, device=images.device)
    return float(torch.linalg.slogdet(kernel)[1])


def synflow(network: Network, images: torch.Tensor) -> float:
    """The log of the sum of |w dR/dw| (Tanaka et al., NeurIPS 2020, equation 3).

    R is the sum of the logits that the network of the absolute weights gives for an image of ones.
    """
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    network(torch.ones_like(images[:1], dtype=torch.float64)).sum().backward()
    parts = [(p * p.grad).abs().sum() for p in network.parameters() if p.grad is not None]
    return float(torch.stack(parts).sum().log().detach())


ZERO_COST: Final[dict[str, Score]] = {"naswot": naswot, "synflow": synflow}
