"""Drop-path, or stochastic depth (Huang et al., ECCV 2016): cells are left out at random.

Cells with two inputs have no shortcut around them. As in the code of DARTS (Liu et al., ICLR 2019),
operations of their edges are left out instead, except identities; the probability is the same in
all cells and rises from epoch to epoch.
"""

from collections.abc import Sequence

import torch
from torch import nn

from autospace.networks.darts import DartsModule
from autospace.networks.network import Network
from autospace.runs.errors import ConfigError
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Edge
from autospace.spaces.cells.darts_cell import INPUTS, DartsCell
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture

Scales = Sequence[torch.Tensor | None]
"""Per layer a factor for each image's cell output, [N], or None where nothing is dropped.

Of cells with two inputs, per layer and edge.
"""


def drop_probabilities(skeleton: Skeleton, probability: float) -> list[float]:
    """Probability of every layer: it rises linearly to the last layer; 0 without a shortcut."""
    count = len(skeleton.cell_layers)
    return [
        probability * (index + 1) / count if shape.shortcut else 0.0
        for index, shape in enumerate(skeleton.cell_layers)
    ]


def dropped_places(architecture: Architecture, probability: float) -> list[float]:
    """Probability of every layer; of cells with two inputs, of every edge, layer after layer."""
    if architecture.skeleton.chain == 1:
        return drop_probabilities(architecture.skeleton, probability)
    found = []
    for cell, shape in zip(architecture.cells, architecture.skeleton.cell_layers, strict=True):
        for source, _, operation in _chosen(cell):
            stays = shape.stride == 1 or source >= INPUTS
            identity = operation == "none" or (operation == "skip_connect" and stays)
            found.append(0.0 if identity else probability)
    return found


def _chosen(cell: object) -> tuple[Edge, ...]:
    if not isinstance(cell, DartsCell):
        raise TypeError(f"a {type(cell).__name__} where cells have two inputs")
    return cell.chosen


def check_drop_path(skeleton: Skeleton, probability: float) -> None:
    """Refuses drop-path where it would drop nothing: no layer has a shortcut around its cell.

    Raises:
        ConfigError: so it is, and some would be dropped.
    """
    if probability and skeleton.reads == "sentences":
        problem = f"{probability}; allowed: 0, as layers of {skeleton.name}"
        raise ConfigError(f"training.drop_path: {problem} have no shortcut around them")
    if probability and skeleton.chain == 1 and not any(drop_probabilities(skeleton, probability)):
        problem = f"{probability}; allowed: 0, as no layer of {skeleton.name}"
        raise ConfigError(f"training.drop_path: {problem} has a shortcut around its cell")


def draw_rows(
    probabilities: Sequence[float],
    images: int,
    seed: int,
    device: torch.device,
    share: float = 1.0,
) -> torch.Tensor:
    """Random factors of the cells' outputs: 0, or 1 / (1 - p), so that the mean stays the same.

    The draws of a layer depend on the seed alone, whatever other layers do. Returns a row for each
    layer that drops anything, [layers, N], in one copy to the device that nothing waits for.
    The probabilities count as this share of themselves.
    """
    rows = []
    for layer, probability in enumerate(probabilities):
        if probability:
            # Always of the CPU, so that the draws do not depend on the device.
            generator = torch.Generator().manual_seed(derived_seed(seed, "layer", layer))
            kept = torch.rand(images, generator=generator) >= probability * share
            rows.append(kept / (1 - probability * share))
    drawn = torch.stack(rows) if rows else torch.empty(0, images)
    return drawn.to(device, non_blocking=True)


def as_scales(probabilities: Sequence[float], rows: torch.Tensor) -> Scales:
    """Rows of factors, shared out to the layers that drop anything."""
    left = iter(rows)
    return [next(left) if probability else None for probability in probabilities]


def scales_by_layer(network: Network, scales: Scales) -> list[Scales]:
    """The factors of each layer's edges, where cells have two inputs.

    Raises:
        TypeError: they have not.
    """
    found, first = [], 0
    for cell in network.layers:
        if not isinstance(cell, DartsModule):
            raise TypeError(f"factors of the edges of a {type(cell).__name__}")
        found.append(scales[first : first + len(cell.darts.chosen)])
        first += len(cell.darts.chosen)
    return found


def forward_dropped(network: nn.Module, images: torch.Tensor, scales: Scales) -> torch.Tensor:
    """Logits of the images with the cells' outputs scaled, or the operations' of two inputs.

    Raises:
        TypeError: the network reads no images.
    """
    if not isinstance(network, Network):
        raise TypeError(f"drop-path in a {type(network).__name__}; allowed: in a Network")
    x = network.enter(images)
    if network.skeleton.chain == 2:
        for index, own in enumerate(scales_by_layer(network, scales)):
            cell = network.layers[index]
            if not isinstance(cell, DartsModule):
                raise TypeError(f"drop-path in a {type(cell).__name__} of two inputs")
            x = network.output(index, x, cell.dropped(x, own))
        return network.classify(x)
    for index, (cell, scale) in enumerate(zip(network.layers, scales, strict=True)):
        y = cell(x)
        x = network.output(
            index, x, y if scale is None else y * scale.to(y.dtype)[:, None, None, None]
        )
    return network.classify(x)
