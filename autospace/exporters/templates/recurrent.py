"""A language model around a recurrent cell: source that exported PyTorch files copy."""

import torch
from torch import nn
from torch.nn import functional as F

VOCABULARY = 256
WIDTH = 64
BIAS = False
FUNCTIONS = ("tanh", "tanh")
SOURCES = (0,)
ROOT = ("tanh",)


class Cell(nn.Module):
    """Input and state [N, H] -> next state [N, H]: the mean of all nodes but the root."""

    def __init__(self, functions: tuple[str, ...], sources: tuple[int, ...]) -> None:
        super().__init__()
        self.functions, self.sources = functions, sources
        self.root = nn.Parameter(torch.empty(2 * WIDTH, 2 * WIDTH))
        self.nodes = nn.ParameterList(
            nn.Parameter(torch.empty(WIDTH, 2 * WIDTH)) for _ in sources
        )

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        nodes = [gated(state, torch.cat([x, state], -1) @ self.root, self.functions[0])]
        for source, function, weight in zip(
            self.sources, self.functions[1:], self.nodes, strict=True
        ):
            nodes.append(gated(nodes[source], nodes[source] @ weight, function))
        return torch.stack(nodes[1:]).mean(0)


def gated(read: torch.Tensor, product: torch.Tensor, function: str) -> torch.Tensor:
    """From what a node reads towards its candidate, as far as its gate is open."""
    candidate, gate = product.chunk(2, -1)
    functions = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}
    moved = functions[function](candidate) if function in functions else candidate
    return read + torch.sigmoid(gate) * (moved - read)


class Network(nn.Module):
    """Tokens [T, N] and state [N, H] -> logits [T, N, vocabulary] and the next state."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(VOCABULARY, WIDTH))
        self.bias = nn.Parameter(torch.zeros(VOCABULARY)) if BIAS else None
        self.cell = Cell(FUNCTIONS, SOURCES)
        nn.init.uniform_(self.embedding, -0.1, 0.1)
        for weight in self.cell.parameters():
            nn.init.uniform_(weight, -0.04, 0.04)

    def forward(
        self, tokens: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        states = []
        for x in F.embedding(tokens, self.embedding):
            state = self.cell(x, state)
            states.append(state)
        return F.linear(torch.stack(states), self.embedding, self.bias), state


def joined(choices: list[int | str]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Functions and sources of a cell, from what was chosen for every node."""
    functions = (each for each in choices if isinstance(each, str))
    sources = tuple(each for each in choices if isinstance(each, int))
    return (*ROOT, *functions), sources


def build() -> Network:
    """The network with fresh weights."""
    return Network()


if __name__ == "__main__":
    network = build().eval()  # build
    tokens = torch.zeros(3, 2, dtype=torch.int64)
    logits, state = network(tokens, torch.zeros(2, WIDTH))
    print(f"{sum(weights.numel() for weights in network.parameters()):,} params")
    print(f"{tuple(tokens.shape)} -> {tuple(logits.shape)}")
