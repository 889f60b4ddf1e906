"""The supernet: one network in which every layer holds several cells to choose from."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import ClassVar, TypeVar

import torch
from torch import nn

from autospace.networks.cells import CellModule
from autospace.networks.fused import weighted_sum
from autospace.networks.network import Network, build_cell, placed
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.space import Space

Cell = Callable[[torch.Tensor], torch.Tensor]
"""The module between input and output of a layer: one candidate, or several joined."""
Gate = Callable[[Sequence[nn.Module], int, torch.Tensor], torch.Tensor]
"""(the candidates at a place, index of the active one, input) -> output of the active one."""

Value = TypeVar("Value")


class Supernet(nn.Module):
    """Stem and head of a network, and per layer the cells that may stand between them.

    A pass through some of its layers takes the features that enter the first of them and a `Cell`
    for each; it may begin and end at any layer. `enter` and `leave` lead from images to the first
    layer and from the last one to logits.
    """

    layered: ClassVar[bool] = True
    """Whether a pass can begin and end at any layer."""

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

    def first_layer(self, choice: int) -> int:
        """The first layer that depends on a choice."""
        return choice

    def is_zero(self, choice: int, index: int) -> bool:
        """Whether the output of a candidate is always zero."""
        return self.choices[choice][index].cell.is_zero

    def cells(self, layer: int) -> list[CellModule]:
        """The candidates of a layer."""
        modules = self.candidates[layer]
        return [part for part in modules.children() if isinstance(part, CellModule)]

    def parts(self, path: Sequence[int]) -> list[nn.Module]:
        """What works along a path: stem, fixed layers, head, and a cell per layer."""
        network = self.network
        ends = [network.stem, network.inputs, network.head, network.last, network.classifier]
        return [*ends, network.fixed, *self.active(path)]

    def enter(self, images: torch.Tensor) -> torch.Tensor:
        """The features that enter the first layer, from images [N, C, H, W]."""
        return self.network.enter(images)

    def leave(self, features: torch.Tensor) -> torch.Tensor:
        """Logits [N, classes] from the output of the last layer."""
        return self.network.classify(features)

    def through(
        self, features: torch.Tensor, cells: Sequence[Cell], first: int = 0
    ) -> list[torch.Tensor]:
        """Outputs of as many layers as there are cells, one after another.

        Args:
            features: [N, C, H, W], as they enter layer `first`.
            cells: of layer `first` and those behind it.
            first: the layer to begin with, counted from 0.
        """
        outputs = []
        for layer, cell in enumerate(cells, first):
            features = self.network.output(layer, features, cell(features))
            outputs.append(features)
        return outputs

    def logits(self, images: torch.Tensor, cells: Sequence[Cell]) -> torch.Tensor:
        """Logits of a whole pass, with a cell for every layer."""
        return self.leave(self.through(self.enter(images), cells)[-1])

    def active(self, path: Sequence[int]) -> list[CellModule]:
        """Per layer the choice that a path makes."""
        return [modules[choice] for modules, choice in zip(self.choices, path, strict=True)]

    def mixed(self, weights: Sequence[torch.Tensor]) -> list[Cell]:
        """Per layer all choices, weighted: y = sum_k a_k c_k(x).

        Args:
            weights: a tensor [K] per layer, one entry per choice.
        """
        layers = zip(self.choices, weights, strict=True)
        return [partial(self._mixture, modules, row) for modules, row in layers]

    def gated(self, path: Sequence[int], gates: Sequence[Gate]) -> list[Cell]:
        """Per layer what a gate makes of the candidates, of which one is active.

        Args:
            path: the active candidate of each choice.
            gates: one per choice.
        """
        triples = zip(gates, self.choices, path, strict=True)
        return [partial(gate, modules, index) for gate, modules, index in triples]

    def single_path(self, images: torch.Tensor, path: Sequence[int]) -> torch.Tensor:
        """Logits with one choice per layer active."""
        return self.features(images, path)[-1]

    def features(self, images: torch.Tensor, path: Sequence[int]) -> list[torch.Tensor]:
        """Outputs of the layers along a path, and last the logits."""
        outputs = self.through(self.enter(images), self.active(path))
        return [*outputs, self.leave(outputs[-1])]

    def mixture(self, images: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits with all choices of a layer weighted; see `mixed`."""
        return self.logits(images, self.mixed(weights))

    def _mixture(
        self, modules: Sequence[nn.Module], weights: torch.Tensor, x: torch.Tensor
    ) -> torch.Tensor:
        outputs = [module(x) for module in modules]
        return weighted_sum(outputs, weights, training=self.training)


class OnePath(nn.Module):
    """A path of a supernet as a network of its own, with the weights of the supernet."""

    def __init__(self, supernet: Supernet, path: Sequence[int]) -> None:
        super().__init__()
        self.supernet, self.path = supernet, path

    @property
    def parts(self) -> list[nn.Module]:
        """What works along the path."""
        return self.supernet.parts(self.path)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits along the path."""
        return self.supernet.single_path(images, self.path)


@contextmanager
def frozen(supernet: Supernet) -> Iterator[None]:
    """A context in which no weight requires a gradient; this saves unused computation."""
    held = [parameter for parameter in supernet.parameters() if parameter.requires_grad]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)


def fix_scale(supernet: Supernet) -> None:
    """Fixes the output scale of every choice to that of the last; scale would absorb alpha.

    Only cells with a projection have one norm that sets it: mobile ones and those of
    Once-for-All. All other cells keep the scale that they learn.
    """
    for modules in supernet.choices:
        norms = [
            module.project.norm
            for module in modules
            if isinstance(module, CellModule) and module.project is not None
        ]
        for norm in norms:
            norm.load_state_dict(norms[-1].state_dict())
            norm.requires_grad_(False)


def unweighted_norms(module: nn.Module) -> nn.Module:
    """The module, whose batch normalisations lose their weights, in place."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.affine = False
            part.register_parameter("weight", None)
            part.register_parameter("bias", None)
    return module


Made = TypeVar("Made", bound=Supernet)


def drawn(
    make: Callable[[Network], Made], space: Space, seed: int, device: torch.device | str
) -> Made:
    """A supernet over the candidates of a space: the same weights for equal seeds.

    Args:
        make: given the network of the space, without cells in its layers, makes the supernet.
        space: of the candidates.
        seed: of the weights.
        device: of the weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "supernet"))
        firsts = {layer.shape.name: layer.candidates[0].id for layer in space.layers}
        network = Network(space.skeleton, space.architecture(firsts).cells)
        # Its own cells would be weights that no path uses.
        network.layers = nn.ModuleList()
        return placed(make(network), device)


class GroupedSupernet(Supernet):
    """A supernet whose layers make choices together; each layer has weights of its own.

    The choices of a group follow one another. Their number may be above or below that of layers.

    Attributes:
        groups: the group of each layer, counted from 0.
        size: how many choices a group makes.
    """

    def __init__(self, network: Network, space: Space) -> None:
        super().__init__(network, [])
        self.groups, self.size = space.skeleton.groups, space.skeleton.choices_per_cell

    def first_layer(self, choice: int) -> int:
        """The first layer of the group that makes a choice."""
        return self.groups.index(choice // self.size)

    def of_group(self, values: Sequence[Value], group: int) -> Sequence[Value]:
        """Of one value per choice, those of a group's choices."""
        return values[group * self.size : (group + 1) * self.size]


def space_supernet(space: Space, seed: int, device: torch.device | str) -> Supernet:
    """A supernet whose layers choose one by one: the same weights for equal seeds."""

    def make(network: Network) -> Supernet:
        cells = [
            [build_cell(candidate.cell, layer.shape) for candidate in layer.candidates]
            for layer in space.layers
        ]
        return Supernet(network, cells)

    return drawn(make, space, seed, device)


@contextmanager
def snapshot(module: nn.Module) -> Iterator[None]:
    """A context that restores weights and buffers, bit by bit, at its end."""
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in module.state_dict().items():
                value.copy_(kept[name])
