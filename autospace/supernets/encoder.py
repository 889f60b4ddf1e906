"""The supernet of networks that read sentences: every layer at every hidden size.

As in NAS-BERT (Xu et al., KDD 2021) a kind of layer has weights of its own for each hidden size.
What brings the tokens of a block to its hidden size, and back, is shared by all paths with this
hidden size. Layers of different hidden sizes cannot be compared, so the features of a path are what
its blocks give, which have one width; there are zeros in place of padding.
"""

from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import nn

from autospace.networks.cells import CellModule
from autospace.networks.encoder import BertModule, EncoderFrame, Tokens
from autospace.networks.network import placed
from autospace.seeds import derived_seed
from autospace.spaces.choices import SearchError
from autospace.spaces.encoder import encoder
from autospace.spaces.space import Space
from autospace.supernets.supernet import Cell, Supernet


class EncoderSupernet(Supernet):
    """All layers of a space; its inputs are sentences [N, T]."""

    def __init__(self, frame: EncoderFrame, cells: Sequence[Sequence[BertModule]]) -> None:
        super().__init__(frame, cells)  # type: ignore[arg-type]
        self._frame = [frame]

    @property
    def frame(self) -> EncoderFrame:
        """All but the layers."""
        return self._frame[0]

    def parts(self, path: Sequence[int]) -> list[nn.Module]:
        """What works along a path."""
        return [self.frame, *self.active(path)]

    def through(  # type: ignore[override]
        self, x: Tokens, cells: Sequence[CellModule], first: int = 0
    ) -> list[Tokens]:
        """What as many layers as there are cells hand on, one after another."""
        found = []
        for layer, cell in enumerate(cells, first):
            x = self.frame.passed(layer, x, cell, cell.cell.group)
            found.append(x)
        return found

    def features(self, images: torch.Tensor, path: Sequence[int]) -> list[torch.Tensor]:
        """Outputs of the blocks along a path, zeros at padding, and last the logits."""
        found = self.through(self.frame.enter(images), self.active(path))
        ends = [x for x, place in zip(found, self.frame.skeleton.places, strict=True) if place[2]]
        return [*(x.filled for x in ends), self.frame.classify(found[-1])]

    def mixed(self, weights: Sequence[torch.Tensor]) -> NoReturn:
        """There is no weighted sum of layers of different hidden sizes.

        Raises:
            SearchError: always.
        """
        raise SearchError("method: layers of different hidden sizes have no weighted sum")

    def logits(self, images: torch.Tensor, cells: Sequence[Cell]) -> NoReturn:
        """Likewise."""
        self.mixed(())


def encoder_supernet(space: Space, seed: int, device: torch.device | str) -> Supernet:
    """A supernet over the layers of a space: the same weights for equal seeds."""
    skeleton = encoder(space.skeleton, "the cells are layers of NAS-BERT")
    widths: list[set[int]] = [set() for _ in skeleton.blocks]
    for layer, (block, first, _) in zip(space.layers, skeleton.places, strict=True):
        if first:
            widths[block] |= {each.cell.group for each in layer.candidates}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "supernet"))
        frame = EncoderFrame(skeleton, [sorted(row) for row in widths])
        cells = [
            [BertModule(each.cell, layer.shape) for each in layer.candidates]  # type: ignore[arg-type]
            for layer in space.layers
        ]
        return placed(EncoderSupernet(frame, cells), device)
