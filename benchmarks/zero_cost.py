"""Zero-cost scores of untrained networks, for comparison; larger is better."""

from collections.abc import Callable, Iterator

import torch
from ranking_setup import REFERENCE, SKELETON, Images
from torch import nn
from torch.nn import functional as F

from autospace.data import Batches
from autospace.network import Network
from autospace.spaces import Cell
from autospace.streams import derived_seed

IMAGES = 128


def networks(cells: list[list[Cell]], seed: int) -> Iterator[tuple[int, Network]]:
    """The reference network with each cell in turn, freshly initialised."""
    for layer, candidates in enumerate(cells):
        for cell in candidates:
            chosen = [REFERENCE] * len(SKELETON.layers)
            chosen[layer] = cell
            torch.manual_seed(derived_seed(seed, "zero-cost"))
            yield layer, Network(SKELETON, chosen)


def naswot(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """log |det K| of the ReLU codes' agreement (Mellor et al., 2021)."""
    codes: list[torch.Tensor] = []
    hooks = [
        part.register_forward_hook(lambda _m, _i, out: codes.append((out > 0).flatten(1).double()))
        for part in network.modules()
        if isinstance(part, nn.ReLU6)
    ]
    with torch.no_grad():
        network(images)
    for hook in hooks:
        hook.remove()
    kernel = sum(code @ code.T + (1 - code) @ (1 - code).T for code in codes)
    eye = torch.eye(len(images), dtype=torch.float64)
    return float(torch.linalg.slogdet(kernel + 1e-6 * eye)[1])


def synflow(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """log sum |w dR/dw| of the network of absolute weights on ones (Tanaka et al., 2020)."""
    network.double().eval()
    for parameter in network.parameters():
        parameter.data.abs_()
    network(torch.ones_like(images[:1], dtype=torch.float64)).sum().backward()
    parts = [(p * p.grad).abs().sum() for p in network.parameters() if p.grad is not None]
    return float(torch.log(sum(parts)).detach())


def gradient_norm(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Sum of the norms of the weights' gradients."""
    F.cross_entropy(network(images), labels).backward()
    return float(sum(p.grad.norm() for p in network.parameters() if p.grad is not None))


def snip(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Sum |w dL/dw| (Lee et al., 2019)."""
    F.cross_entropy(network(images), labels).backward()
    return float(sum((p * p.grad).abs().sum() for p in network.parameters() if p.grad is not None))


def _predictor(
    score: Callable[[Network, torch.Tensor, torch.Tensor], float],
) -> Callable[[list[list[Cell]], Images, int], list[list[float]]]:
    def predict(cells: list[list[Cell]], images: Images, seed: int) -> list[list[float]]:
        source = Batches(images.train, IMAGES, seed, "cpu", images.normaliser)
        batch, labels = source.batch(0)
        values: list[list[float]] = [[] for _ in cells]
        for layer, network in networks(cells, seed):
            values[layer].append(score(network, batch, labels))
        return values

    return predict


ZERO_COST = {
    "naswot": _predictor(naswot),
    "synflow": _predictor(synflow),
    "gradient norm": _predictor(gradient_norm),
    "snip": _predictor(snip),
}
