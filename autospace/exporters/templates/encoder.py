"""A network that reads sentences: source that exported PyTorch files copy."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

VOCABULARY = 2000
LENGTH = 32
CLASSES = 10
WIDTH = 32
HEAD = 8
BLOCKS = ((16, ("attention", "feed_forward")),)
STAGES: list[tuple[list[str], int]] = []


class Tokens(NamedTuple):
    """Values [N, T, H], and which tokens are no padding, booleans [N, T]."""

    values: torch.Tensor
    present: torch.Tensor

    def filled(self) -> torch.Tensor:
        """The values, with zeros in place of padding."""
        return self.values * self.present[..., None].to(self.values.dtype)


class Attention(nn.Module):
    """Multi-head attention over the tokens that are present."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tokens) -> torch.Tensor:
        query, key, value = (
            part(x.values).unflatten(-1, (-1, HEAD)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mask = x.present[:, None, None, :]
        found = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.norm(x.values + self.output(found.transpose(1, 2).flatten(2)))


class FeedForward(nn.Module):
    """Two products with a GELU between them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tokens) -> torch.Tensor:
        return self.norm(x.values + self.narrow(F.gelu(self.widen(x.values))))


class SeparableHalf(nn.Module):
    """A depthwise convolution over tokens, a product, and a ReLU."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(
            width, width, kernel, padding=kernel // 2, groups=width, bias=False
        )
        self.pointwise = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tokens) -> torch.Tensor:
        read = self.depthwise(x.filled().transpose(1, 2)).transpose(1, 2)
        return self.norm(x.values + F.relu(self.pointwise(read)))


class Separable(nn.Module):
    """Two separable convolutions."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.first = SeparableHalf(width, kernel)
        self.second = SeparableHalf(width, kernel)

    def forward(self, x: Tokens) -> torch.Tensor:
        return self.second(Tokens(self.first(x), x.present))


class Layer(nn.Module):
    """A layer of some kind and hidden size; `none` is the identity."""

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.operations = nn.ModuleDict()
        if kind == "attention":
            self.operations["0_1"] = Attention(width)
        elif kind == "feed_forward":
            self.operations["0_1"] = FeedForward(width)
        elif kind != "none":
            self.operations["0_1"] = Separable(width, int(kind[-1]))

    def forward(self, x: Tokens) -> Tokens:
        for operation in self.operations.values():
            x = Tokens(operation(x), x.present)
        return x


class Network(nn.Module):
    """Sentences [N, T], 0 where they are padded -> logits [N, classes]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.positions = nn.Parameter(torch.empty(LENGTH, WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.enters = nn.ModuleList(
            nn.ModuleDict({str(width): nn.Linear(WIDTH, width)}) for width, _ in BLOCKS
        )
        self.leaves = nn.ModuleList(
            nn.ModuleDict({str(width): nn.Linear(width, WIDTH)}) for width, _ in BLOCKS
        )
        self.classifier = nn.Linear(WIDTH, CLASSES)
        self.layers = nn.ModuleList(
            Layer(kind, width) for width, kinds in BLOCKS for kind in kinds
        )
        self.blocks = BLOCKS
        initialise(self)

    def forward(self, sentences: torch.Tensor) -> torch.Tensor:
        present = sentences != 0
        first = torch.arange(sentences.shape[1], device=sentences.device) == 0
        present = present | (first & ~present.any(1, keepdim=True))
        values = self.embedding(sentences) + self.positions[: sentences.shape[1]]
        x = Tokens(self.norm(values), present)
        layers = iter(self.layers)
        for block, (width, kinds) in enumerate(self.blocks):
            x = Tokens(self.enters[block][str(width)](x.values), present)  # type: ignore[index]
            for _ in kinds:
                x = next(layers)(x)
            x = Tokens(self.leaves[block][str(width)](x.values), present)  # type: ignore[index]
        count = present.sum(1, keepdim=True).to(x.values.dtype)
        return self.classifier(x.filled().sum(1) / count)


def initialise(network: Network) -> None:
    """Xavier's weights and zeros in products, and small embeddings."""
    for part in network.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
    for weight in (network.embedding.weight, network.positions):
        nn.init.normal_(weight, 0, 0.02)


def group(layer: tuple[int, str]) -> int | None:
    """The hidden size of a layer, which a block has in common; None if it is skipped."""
    width, kind = layer
    return None if kind == "none" else width


def joined(layers: list[tuple[int, str]]) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Per block its hidden size, and its layers."""
    given, found = iter(layers), []
    for names, _ in STAGES:
        own = [next(given) for _ in names]
        found.append((own[0][0], tuple(kind for _, kind in own)))
    return tuple(found)


def build() -> Network:
    """The network with fresh weights."""
    return Network()


if __name__ == "__main__":
    network = build().eval()  # build
    sentences = torch.ones(2, LENGTH, dtype=torch.int64)
    logits = network(sentences)
    print(f"{sum(weights.numel() for weights in network.parameters()):,} params")
    print(f"{tuple(sentences.shape)} -> {tuple(logits.shape)}")
