"""The supernet: one network in which every layer holds several cells to choose from."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from autospace.networks.cells import CellModule
from autospace.networks.fused import weighted_sum
from autospace.networks.network import Network, joined, placed
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.space import Space


class Supernet(nn.Module):
    """Stem and head of a network, and per layer the cells that may stand between them."""

    def __init__(self, network: Network, cells: Sequence[Sequence[CellModule]]) -> None:
        super().__init__()
        self.network = network
        self.candidates = nn.ModuleList(nn.ModuleList(layer) for layer in cells)

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Shapes of the layers."""
        return self.network.skeleton.shapes

    @property
    def choices(self) -> list[list[CellModule]]:
        """Per layer the cells, in the order of their indices."""
        return [self.cells(layer) for layer in range(len(self.shapes))]

    def cells(self, layer: int) -> list[CellModule]:
        """The candidates of a layer."""
        modules = self.candidates[layer]
        return [part for part in modules.children() if isinstance(part, CellModule)]

    def parts(self, path: Sequence[int]) -> list[nn.Module]:
        """What works along a path: stem, head, and a cell per layer."""
        chosen = [modules[choice] for modules, choice in zip(self.choices, path, strict=True)]
        return [self.network.stem, self.network.head, self.network.classifier, *chosen]

    def single_path(self, images: torch.Tensor, path: Sequence[int]) -> torch.Tensor:
        """Logits with one choice per layer active."""
        return self.features(images, path)[-1]

    def features(self, images: torch.Tensor, path: Sequence[int]) -> list[torch.Tensor]:
        """Outputs of the layers along a path, and last the logits."""
        x: torch.Tensor = self.network.stem(images)
        found = []
        for shape, modules, choice in zip(self.shapes, self.choices, path, strict=True):
            x = joined(shape, x, modules[choice](x))
            found.append(x)
        return [*found, self.network.classify(x)]

    def mixture(self, images: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits with all choices of a layer weighted: y = sum_k a_k c_k(x).

        `weights` holds a tensor [K] per layer, one entry per choice.
        """
        x: torch.Tensor = self.network.stem(images)
        for shape, modules, mix in zip(self.shapes, self.choices, weights, strict=True):
            outputs = [module(x) for module in modules]
            x = joined(shape, x, weighted_sum(outputs, mix, training=self.training))
        return self.network.classify(x)


@contextmanager
def frozen(supernet: Supernet) -> Iterator[None]:
    """As long as it lasts, no weight asks for a gradient: spares what nobody would use."""
    held = [parameter for parameter in supernet.parameters() if parameter.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def fix_scale(supernet: Supernet) -> None:
    """Gives every choice the output scale of the last, for good: scale would absorb alpha."""
    for modules in supernet.choices:
        norms = [module.project.norm for module in modules if module.project is not None]
        for norm in norms:
            norm.load_state_dict(norms[-1].state_dict())
            norm.requires_grad_(False)


def space_supernet(space: Space, seed: int, device: torch.device | str) -> Supernet:
    """A supernet over the candidates of a space: the same weights for equal seeds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "supernet"))
        firsts = [layer.candidates[0].cell for layer in space.layers]
        network = Network(space.skeleton, firsts)
        cells = [
            [CellModule(candidate.cell, layer.shape) for candidate in layer.candidates]
            for layer in space.layers
        ]
    # Its own cells would be weights that no path uses.
    network.layers = nn.ModuleList()
    return placed(Supernet(network, cells), device)


@contextmanager
def snapshot(module: nn.Module) -> Iterator[None]:
    """Gives weights and buffers back, bit by bit, what they held at the start."""
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in module.state_dict().items():
                value.copy_(kept[name])
