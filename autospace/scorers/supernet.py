"""The supernet: a copy of the reference that holds the candidates of every layer beside it."""

import copy
from collections.abc import Sequence

import torch
from torch import nn

from autospace.cells import CellModule, added
from autospace.network import Network, joined
from autospace.scorers.setting import Setting
from autospace.spaces.cell import Cell
from autospace.spaces.skeleton import LayerShape

REFERENCE = -1


class Supernet(nn.Module):
    """Candidates and reference side by side; the reference is the last choice of a layer."""

    def __init__(self, setting: Setting, candidates: Sequence[Sequence[Cell]], repeat: int) -> None:
        super().__init__()
        self.network: Network = copy.deepcopy(setting.reference).requires_grad_(True)
        self.candidates = nn.ModuleList(
            nn.ModuleList(setting.candidate(layer, cell, repeat) for cell in cells)
            for layer, cells in enumerate(candidates)
        )
        self.train()

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Shapes of the layers."""
        return self.network.skeleton.shapes

    @property
    def choices(self) -> list[list[CellModule]]:
        """Per layer the candidates and, last, the reference."""
        return [[*self.cells(layer), self.network.cell(layer)] for layer in range(len(self.shapes))]

    def cells(self, layer: int) -> list[CellModule]:
        """The candidates of a layer, without the reference."""
        modules = self.candidates[layer]
        return [part for part in modules.children() if isinstance(part, CellModule)]

    def single_path(self, images: torch.Tensor, path: Sequence[int]) -> torch.Tensor:
        """Logits with one choice per layer active; -1 is the reference."""
        x: torch.Tensor = self.network.stem(images)
        for shape, modules, choice in zip(self.shapes, self.choices, path, strict=True):
            x = joined(shape, x, modules[choice](x))
        return self.network.classify(x)

    def mixture(self, images: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits with all choices of a layer weighed: y = sum_k a_k c_k(x) (the paper's Eq. 3).

        `weights` holds a tensor [K + 1] per layer, the reference last.
        """
        x: torch.Tensor = self.network.stem(images)
        for shape, modules, mix in zip(self.shapes, self.choices, weights, strict=True):
            outputs = (weight * module(x) for weight, module in zip(mix, modules, strict=True))
            x = joined(shape, x, added(outputs))
        return self.network.classify(x)
