"""Evaluators that score untrained networks; the scores are proxies, not accuracies.

A larger score is better. A score is a function of an initialised network and of one batch of
training images; computing it may change the network.
"""

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import nn

from autospace.data.images import Images
from autospace.evaluators.evaluator import Evaluation
from autospace.evaluators.stand_alone import new_network
from autospace.networks.network import Network
from autospace.spaces.space import Architecture
from autospace.training.task import CLASSIFICATION

BATCH: Final = 128
LOWEST: Final = -1e6
"""The score of a network whose score is not finite; below all others."""
SMALLEST_EIGENVALUE: Final = 1e-5
ACTIVATIONS: Final = (nn.ReLU, nn.ReLU6, nn.PReLU, nn.Hardswish, nn.GELU)
NO_FLOW: Final = "synflow, but binary convolutions pass no gradient where all units are positive"
SCORES_VERSION: Final = 2
"""Part of the conditions of a score; increases when a network would get another one."""

Score = Callable[[Network, torch.Tensor, torch.Tensor], float]
"""(network, images [N, C, H, W], labels [N]) -> score."""


class ZeroCostEvaluator:
    """Scores architectures as they are initialised, on one batch of training images."""

    def __init__(self, images: Images, score: Score) -> None:
        self._images, self._score = images, score

    def evaluate(self, architecture: Architecture, seed: int) -> Evaluation:
        """The score, larger is better; see `autospace.evaluators.evaluator.Evaluator`."""
        network = new_network(architecture, seed, self._images.device)
        images, labels = self._images.plain_batches(BATCH, seed).batch(0)
        found = self._score(network, images, labels)
        return Evaluation(round(found, 6) if math.isfinite(found) else LOWEST)


def naswot(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The log of |det K| (Mellor et al., ICML 2021, equation 2), summed over all activations.

    K counts, for every two images, the units that are active for both or inactive for both. A unit
    is active if what it receives is positive, whatever its activation makes of that.
    """
    del labels
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def add(_module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        # At once: the codes of all layers of a large network would not fit in memory. All of these
        # are whole numbers, so that their sum does not depend on its order.
        code = (given[0] > 0).flatten(1).double()
        active = code.sum(1)
        kernel.add_(2 * (code @ code.T) + code.shape[1] - active[:, None] - active)

    hooks = [
        part.register_forward_pre_hook(add)
        for part in network.modules()
        if isinstance(part, ACTIVATIONS)
    ]
    with torch.no_grad():
        network.train()(images)
    for hook in hooks:
        hook.remove()
    # Images that light up the same units would make K singular.
    kernel += 1e-6 * torch.eye(len(images), dtype=torch.float64, device=images.device)
    return float(torch.linalg.slogdet(kernel)[1])


def synflow(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The log of the sum of |w dR/dw| (Tanaka et al., NeurIPS 2020, equation 3).

    R is the sum of the logits that the network of the absolute weights gives for an image of ones.
    The bound of ReLU6 is left out: nearly all units would be above it, where nothing flows.
    """
    del labels
    for part in list(network.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(part, name, nn.ReLU())
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    network(torch.ones_like(images[:1], dtype=torch.float64)).sum().backward()
    return float(_saliency(network).log())


def jacob_cov(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """How little the input gradients of images are alike (Mellor et al., 2020).

    Minus the sum of log(v + k) + 1 / (v + k), k = 1e-5, over the eigenvalues v of the correlation
    of d(sum of logits)/dx between images. The released code normalises by the batch at hand, whose
    mean no gradient passes: ahead of a linear classifier nothing is left of it. Here the batch's
    statistics are measured first, and then constants.
    """
    del labels
    network.train()
    norms = [part for part in network.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = 1.0
    with torch.no_grad():
        network(images)
    inputs = images.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(network.eval()(inputs).sum(), inputs)
    correlation = torch.corrcoef(slopes.flatten(1).double())
    if not bool(correlation.isfinite().all()):
        return LOWEST
    values = torch.linalg.eigvalsh(correlation).clamp_min(0) + SMALLEST_EIGENVALUE
    return -float((values.log() + 1 / values).sum())


def snip(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The sum of |w dL/dw| over all weights (Lee et al., ICLR 2019)."""
    CLASSIFICATION.loss(network.train()(images), labels).backward()
    return float(_saliency(network))


def grad_norm(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """The sum of ||dL/dw|| over all tensors of weights (Abdelfattah et al., ICLR 2021)."""
    CLASSIFICATION.loss(network.train()(images), labels).backward()
    norms = [p.grad.norm() for p in network.parameters() if p.grad is not None]
    return float(torch.stack(norms).sum())


@torch.no_grad()
def _saliency(network: Network) -> torch.Tensor:
    parts = [(p * p.grad).abs().sum() for p in network.parameters() if p.grad is not None]
    return torch.stack(parts).sum()


ZERO_COST: Final[dict[str, Score]] = {
    "naswot": naswot,
    "synflow": synflow,
    "jacob_cov": jacob_cov,
    "snip": snip,
    "grad_norm": grad_norm,
}
