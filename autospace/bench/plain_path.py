"""The plain path: the network and search step of the mixture, as one would first write them.

It uses modules of torch, the default memory format, and gradients of all weights in both halves of
a step. It is the baseline of the bench, so it does not change when the scorers get faster. It is
also their oracle: equal weights give equal outputs and equal gradients.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import nn
from torch.nn import functional as F

from autospace.data.batches import Batch
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.cost import se_channels
from autospace.spaces.cells.operations import OPERATIONS
from autospace.spaces.skeleton import Skeleton

LEARNING_RATE = 0.05
ALPHA_RATE = 0.02


class PlainCell(nn.Module):
    """A cell, with the names of parts of `autospace.networks.cells.CellModule`."""

    def __init__(self, cell: Cell, shape: LayerShape) -> None:
        super().__init__()
        self.cell = cell.pruned()
        inner = cell.expansion * shape.in_channels
        last = self.cell.nodes - 1
        self.expand = _conv(shape.in_channels, inner) if cell.expansion > 1 else nn.Identity()
        self.operations = nn.ModuleDict(
            {
                f"{source}_{target}": _operation(name, inner, shape.stride if target == last else 1)
                for source, target, name in self.cell.edges
            }
        )
        self.mixes = nn.ModuleDict(
            {
                str(node): _SqueezeExcite(inner, se_channels(shape.in_channels))
                for node, mix in enumerate(self.cell.mix, 1)
                if mix == "se"
            }
        )
        self.project = _conv(inner, shape.out_channels, activate=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The cell's output, before the skeleton's shortcut."""
        nodes = [self.expand(x)]
        for node, mix in enumerate(self.cell.mix, 1):
            edges = [edge for edge in self.cell.edges if edge.target == node]
            values = [self.operations[f"{e.source}_{node}"](nodes[e.source]) for e in edges]
            value = _added(values) if values else torch.zeros_like(nodes[0])
            if mix == "gate":
                value = value * torch.sigmoid(value.mean((2, 3), keepdim=True))
            elif mix == "se":
                value = self.mixes[str(node)](value)
            nodes.append(value)
        output: torch.Tensor = self.project(nodes[-1])
        return output


class PlainSupernet(nn.Module):
    """A network with all choices of every layer, weighted by the softmax of alpha."""

    def __init__(self, skeleton: Skeleton, choices: Sequence[Sequence[Cell]]) -> None:
        super().__init__()
        if skeleton.stem.block is not None:
            raise ValueError("the plain path has no stem block")
        self.skeleton = skeleton
        stem, last = skeleton.stem, skeleton.shapes[-1].out_channels
        self.stem = _conv(skeleton.in_channels, stem.channels, 3, stem.stride)
        self.layers = nn.ModuleList(
            nn.ModuleList(PlainCell(cell, shape) for cell in cells)
            for shape, cells in zip(skeleton.shapes, choices, strict=True)
        )
        self.head = _conv(last, skeleton.head) if skeleton.head else nn.Identity()
        self.classifier = nn.Linear(skeleton.head or last, skeleton.classes)

    def forward(self, images: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits; `weights` holds a tensor [choices] per layer."""
        x = self.stem(images)
        for shape, modules, mix in zip(self.skeleton.shapes, self.layers, weights, strict=True):
            cells = list(modules.children())
            y = _added([a * cell(x) for a, cell in zip(mix, cells, strict=True)])
            x = x + y if shape.shortcut else y
        logits: torch.Tensor = self.classifier(self.head(x).mean((2, 3)))
        return logits


class PlainSearch:
    """The mixture's search, step by step."""

    def __init__(self, supernet: PlainSupernet) -> None:
        device = next(supernet.parameters()).device
        self.supernet = supernet.train()
        sizes = [len(list(modules.children())) for modules in supernet.layers]
        self.alphas = [torch.zeros(size, device=device, requires_grad=True) for size in sizes]
        self._weights = torch.optim.SGD(
            supernet.parameters(), LEARNING_RATE, momentum=0.9, nesterov=True
        )
        self._search = torch.optim.Adam(self.alphas, ALPHA_RATE, (0.5, 0.999))

    def step(self, training: Batch, validation: Batch) -> None:
        """A step of the weights on one batch, and of alpha on another."""
        self._backward(*training)
        nn.utils.clip_grad_norm_(self.supernet.parameters(), 5.0)
        self._weights.step()
        self._backward(*validation)
        self._search.step()

    def _backward(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self._weights.zero_grad()
        self._search.zero_grad()
        mixes = [torch.softmax(alpha, 0) for alpha in self.alphas]
        F.cross_entropy(self.supernet(images, mixes), labels).backward()


class _SqueezeExcite(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = F.relu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.expand(weights))


def _added(values: list[torch.Tensor]) -> torch.Tensor:
    return reduce(add, values)


def _conv(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    *,
    dilation: int = 1,
    groups: int = 1,
    activate: bool = True,
) -> nn.Sequential:
    padding = dilation * (kernel - 1) // 2
    parts: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*parts, *([nn.ReLU6()] if activate else []))


def _operation(name: str, channels: int, stride: int) -> nn.Module:
    operation = OPERATIONS[name]
    kernel, dilation = operation.kernel, operation.dilation
    if operation.kind == "depthwise":
        return _conv(channels, channels, kernel, stride, dilation=dilation, groups=channels)
    if operation.kind == "max_pool":
        return nn.MaxPool2d(kernel, stride, kernel // 2)
    if operation.kind == "average_pool":
        return nn.AvgPool2d(kernel, stride, kernel // 2, count_include_pad=False)
    if operation.kind != "skip":
        raise ValueError(f"operation {name!r} has no plain module")
    return nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)
