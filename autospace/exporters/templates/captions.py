"""A network that describes images: source that exported PyTorch files copy."""

import torch
from torch import nn
from torch.nn import functional as F

from autospace.exporters.templates.recurrent import gated

VOCABULARY = 20
WIDTH = 64
BIAS = True
CHANNELS = 1
SIDE = 24
ENCODER = (16, 32)
FEATURES = 1152
LAYERS = (((0,), ("tanh", "tanh"), (0,)),)
PAD, START, END = 0, 1, 2
ROOT = ("tanh",)
PER_LAYER = 10
Cell = tuple[tuple[int, ...], tuple[str, ...], tuple[int, ...]]
Choice = tuple[int, ...] | int | str


class Encoder(nn.Module):
    """Images [N, C, S, S] -> features [N, H]."""

    def __init__(self) -> None:
        super().__init__()
        widths = (CHANNELS, *ENCODER)
        self.convolutions = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, width, 3, 2, 1, bias=False),
                    nn.BatchNorm2d(width),
                    nn.ReLU6(),
                )
                for before, width in zip(widths, ENCODER, strict=False)
            )
        )
        self.linear = nn.Linear(FEATURES, WIDTH)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.linear(self.convolutions(images).flatten(1)))


class Layer(nn.Module):
    """What its links name, side by side, and a state [N, H] -> next state [N, H]."""

    def __init__(
        self,
        links: tuple[int, ...],
        functions: tuple[str, ...],
        sources: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.links, self.functions, self.sources = links, functions, sources
        self.root = nn.Parameter(torch.empty((len(links) + 1) * WIDTH, 2 * WIDTH))
        self.nodes = nn.ParameterList(
            nn.Parameter(torch.empty(WIDTH, 2 * WIDTH)) for _ in sources
        )
        for weight in self.parameters():
            nn.init.uniform_(weight, -((3 / WIDTH) ** 0.5), (3 / WIDTH) ** 0.5)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        nodes = [gated(state, torch.cat([x, state], -1) @ self.root, self.functions[0])]
        for source, function, weight in zip(
            self.sources, self.functions[1:], self.nodes, strict=True
        ):
            nodes.append(gated(nodes[source], nodes[source] @ weight, function))
        return torch.stack(nodes[1:]).mean(0)


class Network(nn.Module):
    """Images [N, C, S, S] and tokens [N, T] -> logits [N, T, vocabulary]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.embedding = nn.Parameter(torch.empty(VOCABULARY, WIDTH))
        self.bias = nn.Parameter(torch.zeros(VOCABULARY)) if BIAS else None
        self.layers = nn.ModuleList(Layer(*each) for each in LAYERS)
        nn.init.uniform_(self.embedding, -8 * WIDTH**-0.5, 8 * WIDTH**-0.5)

    def step(
        self, tokens: torch.Tensor, feature: torch.Tensor, states: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens [N], features [N, H] and states [L, N, H] -> logits, next states."""
        outputs = [F.embedding(tokens, self.embedding) + feature]
        for layer, state in zip(self.layers, states, strict=True):
            read = torch.cat([outputs[link] for link in layer.links], -1)  # type: ignore
            outputs.append(layer(read, state))
        found = torch.stack(outputs[1:])
        return F.linear(found.mean(0), self.embedding, self.bias), found

    def forward(self, images: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        feature = self.encoder(images)
        states, found = feature.expand(len(self.layers), -1, -1), []
        for each in tokens.unbind(1):
            logits, states = self.step(each, feature, states)
            found.append(logits)
        return torch.stack(found, 1)

    @torch.no_grad()
    def write(self, images: torch.Tensor, length: int = 30) -> torch.Tensor:
        """The likeliest token at every step, [N, length]; PAD behind the end."""
        feature = self.encoder(images)
        states, found = feature.expand(len(self.layers), -1, -1), []
        last = torch.full((len(images),), START, device=images.device)
        ended = torch.zeros_like(last, dtype=torch.bool)
        for _ in range(length):
            logits, states = self.step(last, feature, states)
            last = torch.where(ended, PAD, logits.argmax(-1))
            ended = ended | (last == END) | (last == PAD)
            found.append(last)
        return torch.stack(found, 1)


def joined(choices: list[Choice]) -> list[Cell]:
    """The cells of an architecture, from what was chosen for every layer."""
    starts = range(0, len(choices), PER_LAYER)
    return [cell_of(choices[start : start + PER_LAYER]) for start in starts]


def cell_of(choices: list[Choice]) -> Cell:
    """Links, functions and sources of a cell."""
    links = next(each for each in choices if isinstance(each, tuple))
    functions = (each for each in choices if isinstance(each, str))
    sources = tuple(each for each in choices if isinstance(each, int))
    return links, (*ROOT, *functions), sources


def build() -> Network:
    """The network with fresh weights."""
    return Network()


if __name__ == "__main__":
    network = build().eval()  # build
    images = torch.zeros(2, CHANNELS, SIDE, SIDE)
    print(f"{sum(weights.numel() for weights in network.parameters()):,} params")
    print(f"{tuple(images.shape)} -> {network.write(images, 5).tolist()}")
