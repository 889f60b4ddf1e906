"""Candidates that learn beside a path unseen (Petridish, Hu et al., NeurIPS 2019, section 3).

With sg(x), which lets no gradient back, and sf(x) = x - sg(x), which is 0 but hands the gradient
on, the output y of a layer's active cell becomes

    y + sf(sum_k alpha_k (c_k(sg(x)) - sg(y)))

The value is y, and all gradients of the path's own weights are as they were; c_k gets
alpha_k dL/dy, and alpha_k gets <dL/dy, c_k(x) - y>: how the loss would change if c_k began to
stand in for the cell. The paper adds c_k(sg(x)), without - sg(y), since what it selects is added to
the layer; an architecture of a space has one cell a layer, so that here it replaces the cell.
"""

from collections.abc import Sequence

import torch

from autospace.networks.cells import added
from autospace.networks.network import joined
from autospace.spaces.choices import Path
from autospace.supernets.supernet import Supernet


def path_with_insertions(
    supernet: Supernet, images: torch.Tensor, path: Path, alphas: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Logits of a path, bit by bit; their gradient reaches all candidates and their alphas.

    Args:
        supernet: a graph of all its candidates is kept.
        images: [N, C, H, W].
        path: the active candidate of each layer.
        alphas: a tensor [K] a layer; the active candidate's entry gets no gradient.
    """
    x: torch.Tensor = supernet.network.stem(images)
    for shape, modules, active, row in zip(
        supernet.shapes, supernet.choices, path, alphas, strict=True
    ):
        y = modules[active](x)
        still, parent = x.detach(), y.detach()
        inserted = [
            row[index] * (module(still) - parent)
            for index, module in enumerate(modules)
            if index != active
        ]
        if inserted:
            total = added(inserted)
            y = y + (total - total.detach())
        x = joined(shape, x, y)
    return supernet.network.classify(x)
