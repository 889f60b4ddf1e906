"""The layers of NAS-BERT and networks of them, as torch modules.

Sentences [N, T] are numbers of tokens, of which 0 is padding. All layers are residual and end in a
layer normalisation, as in BERT (Devlin et al., NAACL 2019). Nothing that a network computes depends
on padding: attention does not see it, convolutions read zeros there as they do past the end of a
sentence, and the mean that goes to the classifier leaves it out.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import CellModule, Trace, recomputed
from autospace.spaces.cells.bert import KERNELS, WIDENING, BertCell, BlockShape
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.encoder import EncoderSkeleton, encoder
from autospace.spaces.skeleton import Skeleton

PADDING = 0
EMBEDDING_STD = 0.02
"""Of the initial embeddings, as in BERT; the normalisation behind them gives them their scale."""


class Tokens(NamedTuple):
    """What layers hand on.

    Attributes:
        values: [N, T, H].
        present: which tokens are no padding, booleans [N, T].
    """

    values: torch.Tensor
    present: torch.Tensor

    @property
    def filled(self) -> torch.Tensor:
        """The values, with zeros in place of padding."""
        return self.values * self.present[..., None].to(self.values.dtype)

    @property
    def mean(self) -> torch.Tensor:
        """The mean over the tokens that are present, [N, H]."""
        count = self.present.sum(1, keepdim=True).to(self.values.dtype)
        return self.filled.sum(1) / count


def filled(x: torch.Tensor | Tokens) -> torch.Tensor:
    """Features as one tensor: of tokens with zeros in place of padding."""
    return x.filled if isinstance(x, Tokens) else x


def present_in(sentences: torch.Tensor) -> torch.Tensor:
    """Which tokens are no padding; of a sentence without any token, its first place."""
    present = sentences != PADDING
    first = torch.arange(sentences.shape[1], device=sentences.device) == 0
    return present | (first & ~present.any(1, keepdim=True))


class Attention(nn.Module):
    """Multi-head attention over the tokens that are present (Vaswani et al., NeurIPS 2017)."""

    def __init__(self, width: int, head: int) -> None:
        super().__init__()
        self.heads = width // head
        self.query, self.key, self.value, self.output = (linear(width, width) for _ in range(4))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tokens) -> torch.Tensor:
        """Values [N, T, H]."""
        query, key, value = (
            part(x.values).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mask = x.present[:, None, None, :]
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        joined: torch.Tensor = self.norm(x.values + self.output(found.transpose(1, 2).flatten(2)))
        return joined


class FeedForward(nn.Module):
    """Two products with a GELU between them, token by token."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = linear(width, WIDENING * width)
        self.narrow = linear(WIDENING * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tokens) -> torch.Tensor:
        """Values [N, T, H]."""
        found: torch.Tensor = self.norm(x.values + self.narrow(F.gelu(self.widen(x.values))))
        return found


class SeparableHalf(nn.Module):
    """A depthwise convolution over tokens, without bias, a product, and a ReLU."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(
            width, width, kernel, padding=kernel // 2, groups=width, bias=False
        )
        self.pointwise = linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tokens) -> torch.Tensor:
        """Values [N, T, H]."""
        read = self.depthwise(x.filled.transpose(1, 2)).transpose(1, 2)
        found: torch.Tensor = self.norm(x.values + F.relu(self.pointwise(read)))
        return found


class Separable(nn.Module):
    """Two separable convolutions, each of them residual and with a normalisation."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.first, self.second = SeparableHalf(width, kernel), SeparableHalf(width, kernel)

    def forward(self, x: Tokens) -> torch.Tensor:
        """Values [N, T, H]."""
        found: torch.Tensor = self.second(Tokens(self.first(x), x.present))
        return found


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A product with a bias: Xavier's weights (Glorot and Bengio, AISTATS 2010), and zeros."""
    made = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(made.weight)
    nn.init.zeros_(made.bias)
    return made


class BertModule(CellModule):
    """A layer: tokens of its hidden size -> the same. A skipped layer is the identity."""

    def __init__(self, cell: BertCell, shape: LayerShape) -> None:
        nn.Module.__init__(self)
        if not isinstance(cell, BertCell) or not isinstance(shape, BlockShape):
            raise TypeError(f"{cell} at {shape.name}; allowed: a layer of NAS-BERT in a block")
        self.cell, self.shape = cell, shape  # type: ignore[assignment]
        self.operations, self.mixes = nn.ModuleDict(), nn.ModuleDict()
        self.expand, self.project = nn.Identity(), None
        self.last = 1
        if not cell.is_zero:
            self.operations["0_1"] = _layer(cell, shape.head)

    @property
    def parts(self) -> dict[str, str]:
        """The path of the one part that has weights, by what decides which cells it fits."""
        if not len(self.operations):
            return {}
        return {f"bert {self.cell.operations[0]} {self.width}": "operations.0_1"}

    @property
    def width(self) -> int:
        """The hidden size; 0 of a skipped layer."""
        return self.cell.group

    def forward(self, x: Tokens) -> Tokens:  # type: ignore[override]
        """The tokens behind the layer."""
        if not len(self.operations):
            return x

        def output(values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.operations["0_1"](Tokens(values, x.present))
            return found

        if self.recomputes and torch.is_grad_enabled():
            return Tokens(recomputed(self, output, x.values), x.present)
        return Tokens(output(x.values), x.present)


def _layer(cell: BertCell, head: int) -> nn.Module:
    if cell.operation == "attention":
        return Attention(cell.width, head)
    if cell.operation == "feed_forward":
        return FeedForward(cell.width)
    return Separable(cell.width, KERNELS[cell.operation])


class EncoderFrame(nn.Module):
    """All of a network but its layers; a block may have any of some hidden sizes.

    Args:
        skeleton: of the network.
        widths: per block, its hidden sizes.
    """

    def __init__(self, skeleton: EncoderSkeleton, widths: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.skeleton, width = skeleton, skeleton.width
        self.embedding = nn.Embedding(skeleton.vocabulary, width)
        self.positions = nn.Parameter(torch.empty(skeleton.length, width))
        for weight in (self.embedding.weight, self.positions):
            nn.init.normal_(weight, 0, EMBEDDING_STD)
        self.norm = nn.LayerNorm(width)
        self.enters = nn.ModuleList(
            nn.ModuleDict({str(each): linear(width, each) for each in row}) for row in widths
        )
        self.leaves = nn.ModuleList(
            nn.ModuleDict({str(each): linear(each, width) for each in row}) for row in widths
        )
        self.classifier = linear(width, skeleton.classes)

    def enter(self, sentences: torch.Tensor) -> Tokens:
        """What the first block receives, from sentences [N, T]."""
        values = self.embedding(sentences) + self.positions[: sentences.shape[1]]
        return Tokens(self.norm(values), present_in(sentences))

    def passed(self, layer: int, x: Tokens, cell: Callable[[Tokens], Tokens], width: int) -> Tokens:
        """What a layer hands on.

        Args:
            layer: its number.
            x: what it receives: in front of a block, and behind one, of the width between blocks.
            cell: the layer itself.
            width: the hidden size of its block, which only the first layer has to know.
        """
        block, first, last = self.skeleton.places[layer]
        if first:
            x = Tokens(self.enters[block][str(width)](x.values), x.present)  # type: ignore[index]
        x = cell(x)
        if last:
            leave = self.leaves[block][str(x.values.shape[-1])]  # type: ignore[index]
            x = Tokens(leave(x.values), x.present)
        return x

    def classify(self, x: Tokens) -> torch.Tensor:
        """Logits [N, classes] of the mean over the tokens that are present."""
        logits: torch.Tensor = self.classifier(x.mean)
        return logits


class LoneLayer(CellModule):
    """A block of one layer: tokens side by side with their presence -> values [N, T, W].

    It brings tokens of the width between blocks to its hidden size, and back. See `beside`; the
    values are zero at padding.
    """

    def __init__(self, cell: BertCell, shape: LayerShape) -> None:
        nn.Module.__init__(self)
        self.enter = linear(shape.in_channels, cell.width)
        self.layer = BertModule(cell, shape)
        self.leave = linear(cell.width, shape.out_channels)
        self.cell, self.shape = self.layer.cell, shape

    @property
    def parts(self) -> dict[str, str]:
        """None: no other cell has the same ways in and out."""
        return {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values [N, T, W]."""
        tokens = apart(x)
        found = self.layer(Tokens(self.enter(tokens.values), tokens.present))
        return Tokens(self.leave(found.values), tokens.present).filled


def beside(x: Tokens) -> torch.Tensor:
    """Tokens as one tensor [N, T, W + 1]: zeros at padding, and last 1 where there is a token."""
    return torch.cat([x.filled, x.present[..., None].to(x.values.dtype)], -1)


def apart(x: torch.Tensor) -> Tokens:
    """The tokens that `beside` put into one tensor."""
    return Tokens(x[..., :-1], x[..., -1] > 0)


class EncoderNetwork(EncoderFrame):
    """The network of one architecture that reads sentences: [N, T] -> logits [N, classes].

    To scorers of cells, whose skeleton has a block for every layer, it is what
    `autospace.networks.network.Network` is to them for images: a layer's input is one tensor of
    `beside`, and what its cell gives are values [N, T, W] that are zero at padding.
    """

    def __init__(self, skeleton: Skeleton, cells: Sequence[BertCell]) -> None:
        own = encoder(skeleton, "the cells are layers of NAS-BERT")
        firsts = [cell for cell, place in zip(cells, own.places, strict=True) if place[1]]
        super().__init__(own, [[cell.width] for cell in firsts])
        self.layers = nn.ModuleList(
            BertModule(cell, shape) for shape, cell in zip(own.cell_layers, cells, strict=True)
        )

    def features(self, sentences: torch.Tensor) -> list[Tokens]:
        """What enters the first layer, and what every layer hands on."""
        found = [self.enter(sentences)]
        for index, layer in enumerate(self.layers):
            found.append(self.passed(index, found[-1], layer, layer.width))  # type: ignore[arg-type]
        return found

    def forward(self, sentences: torch.Tensor) -> torch.Tensor:
        """Logits of the sentences."""
        return self.classify(self.features(sentences)[-1])

    def cell(self, layer: int) -> BertModule:
        """The cell of a layer."""
        return self.layers[layer]  # type: ignore[return-value]

    def candidate(self, layer: int, cell: BertCell) -> LoneLayer:
        """Another cell for a layer, with new weights."""
        return LoneLayer(cell, self.skeleton.shapes[layer])

    def output(self, layer: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What the next layer receives, from a layer's input x and what its cell gives, y."""
        del layer
        return torch.cat([y, x[..., -1:].to(y.dtype)], -1)

    def rest(self, x: torch.Tensor, start: int) -> torch.Tensor:
        """Logits from x, the input of layer `start`."""
        tokens = apart(x)
        for index in range(start, len(self.layers)):
            tokens = self._handed_on(index, tokens)
        return self.classify(tokens)

    def trace(self, sentences: torch.Tensor) -> Trace:
        """A forward pass that keeps what every cell received and gave."""
        x = self.enter(sentences)
        if torch.is_grad_enabled() and not x.values.requires_grad:
            # A frozen network still has to hand gradients to what its layers give.
            x.values.requires_grad_()
        inputs, outputs = [], []
        for index in range(len(self.layers)):
            inputs.append(beside(x))
            y = self._handed_on(index, x).filled
            outputs.append(y)
            x = Tokens(y, x.present)
        return Trace(self.classify(x), inputs, outputs)

    def _handed_on(self, layer: int, x: Tokens) -> Tokens:
        cell = self.cell(layer)
        return self.passed(layer, x, cell, cell.width)
