"""Recurrent cells and language models as torch modules, as in ENAS and DARTS.

With an input x, the state h of the step before and node 0 as root, a cell computes

    [c, t] = W_0 [x, h]        s_0 = h   + sigmoid(t) (f_0(c) - h)
    [c, t] = W_i s_j           s_i = s_j + sigmoid(t) (f_i(c) - s_j)     for node i, which reads j

and gives the mean of s_1 .. s_n, which is the next state. Matrices have no bias.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.sequence import sequence
from autospace.spaces.skeleton import Skeleton

INITIAL_RANGE: Final = 0.04
"""Weights begin uniformly within plus and minus this, as in the code of DARTS."""
EMBEDDING_RANGE: Final = 0.1
NONE: Final = -2
"""The number of a segment that no segment has."""
FUNCTIONS: Final[dict[str, Callable[[torch.Tensor], torch.Tensor]]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


class Dropout(NamedTuple):
    """Shares that training drops. Each mask is the same in all steps of a segment.

    Attributes:
        words: of the rows of the embedding: whole tokens.
        embedded: of what the embedding gives.
        inputs: of the input of the cell, after that.
        state: of what nodes read: the state, and the nodes before them.
        output: of what the decoder reads.
    """

    words: float = 0.0
    embedded: float = 0.0
    inputs: float = 0.0
    state: float = 0.0
    output: float = 0.0


def masked(x: torch.Tensor, share: float) -> torch.Tensor:
    """A mask like x with a share of zeros; the rest is scaled so that the mean stays."""
    return torch.empty_like(x).bernoulli_(1 - share) / (1 - share)


def gated(state: torch.Tensor, product: torch.Tensor, function: str) -> torch.Tensor:
    """A node: from what it reads towards its candidate, as far as its gate is open.

    Args:
        state: what the node reads, [..., H].
        product: candidate and gate before their functions, [..., 2 H].
        function: of the candidate.
    """
    candidate, gate = product.chunk(2, -1)
    return state + torch.sigmoid(gate) * (FUNCTIONS[function](candidate) - state)


class RecurrentModule(nn.Module):
    """A cell: input [N, H] and state [N, H] -> next state [N, H].

    Where the root has links, the input is what they name side by side, [N, links H].
    """

    def __init__(self, cell: Any, shape: LayerShape) -> None:
        super().__init__()
        if not isinstance(cell, RecurrentCell) or not cell.is_whole:
            raise TypeError(f"{cell}; allowed: a whole recurrent cell")
        self.cell, width = cell, shape.in_channels
        inputs = len(cell.links or (0,))
        self.root = nn.Parameter(torch.empty((inputs + 1) * width, 2 * width))
        self.nodes = nn.ParameterList(
            nn.Parameter(torch.empty(width, 2 * width)) for _ in range(cell.nodes)
        )
        for weight in self.parameters():
            nn.init.uniform_(weight, -INITIAL_RANGE, INITIAL_RANGE)

    def forward(
        self,
        x: torch.Tensor,
        state: torch.Tensor,
        drop_input: torch.Tensor | None = None,
        drop_state: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The next state; the masks, if there are any, drop what matrices read."""
        kept = state if drop_state is None else state * drop_state
        x = x if drop_input is None else x * drop_input
        root = torch.cat([x, kept], -1) @ self.root
        states = [gated(state, root, str(self.cell.functions[0]))]
        for (source, function), weight in zip(self.cell.pairs, self.nodes, strict=True):
            read = states[source]
            product = (read if drop_state is None else read * drop_state) @ weight
            states.append(gated(read, product, function))
        return torch.stack(states[1:]).mean(0)


class Memory(nn.Module):
    """The state that goes from one segment of a text to the next, without its gradient.

    A segment that is read twice in a row begins with the same state both times, so that a loss may
    be computed as often as a method needs it. Segment 0, and one with a negative number, begin
    with zeros; one with a negative number leaves no state. Segments of other numbers of columns
    have states of their own, so that what is measured in between changes none.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self._others: dict[int, tuple[torch.Tensor, ...]] = {}
        self.before: torch.Tensor
        self.after: torch.Tensor
        self.number: torch.Tensor
        self.register_buffer("before", torch.zeros(1, width))
        self.register_buffer("after", torch.zeros(1, width))
        self.register_buffer("number", torch.tensor(NONE))

    def begin(self, number: torch.Tensor, columns: int) -> torch.Tensor:
        """The state [N, H] with which a segment begins."""
        if len(self.after) != columns:
            self._others[len(self.after)] = self.before, self.after, self.number
            self._resize(columns)
            if columns in self._others:
                self.before, self.after, self.number = self._others.pop(columns)
        kept = torch.where(number == self.number, self.before, self.after)
        return torch.where(number > 0, kept, torch.zeros_like(kept))

    def end(self, number: torch.Tensor, first: torch.Tensor, last: torch.Tensor) -> None:
        """Keeps the state with which a segment began and the one with which it ended."""
        with torch.no_grad():
            alone = number < 0
            self.before.copy_(torch.where(alone, self.before, first))
            self.after.copy_(torch.where(alone, self.after, last))
            self.number.copy_(torch.where(alone, self.number, number))

    def _resize(self, columns: int) -> None:
        width = self.after.shape[1]
        self.before = self.after.new_zeros(columns, width)
        self.after = self.after.new_zeros(columns, width)
        self.number = torch.full_like(self.number, NONE)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        """Takes up states of as many columns as were kept; files of weights hold none."""
        kept = state_dict.get(f"{prefix}after")
        if kept is None:
            return
        if isinstance(kept, torch.Tensor) and kept.shape != self.after.shape:
            self._resize(len(kept))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Read(NamedTuple):
    """What a language model makes of a segment.

    Attributes:
        logits: [T N, vocabulary], row by row.
        states: of the cell, [T, N, H].
        dropped: the same with the dropout of the output, as the decoder reads them.
    """

    logits: torch.Tensor
    states: torch.Tensor
    dropped: torch.Tensor


Step = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None], torch.Tensor
]
"""Input and state [N, H], and what drops some of each -> the next state [N, H]."""


class TokenModel(nn.Module):
    """Embedding, a recurrent step, and a decoder with the matrix of the embedding.

    Inputs are the batches of `autospace.text.segments`: [T + 1, N], of which the first row is the
    number of the segment. Logits are [T N, vocabulary].
    """

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        own = sequence(skeleton, "a language model reads text")
        self.skeleton = own
        self.dropout = Dropout()
        self.embedding = nn.Parameter(torch.empty(own.vocabulary, own.width))
        nn.init.uniform_(self.embedding, -EMBEDDING_RANGE, EMBEDDING_RANGE)
        self.bias = nn.Parameter(torch.zeros(own.vocabulary)) if own.bias else None
        self.memory = Memory(own.width)
        # What is measured begins with no state: nothing of it has to be kept.
        self._measuring = [Memory(own.width)]

    def read(self, inputs: torch.Tensor, step: Step) -> Read:
        """A segment with its states; the state goes on from the segment before."""
        number, tokens = inputs[0, 0], inputs[1:]
        memory = self._memory()
        first = memory.begin(number, tokens.shape[1])
        found = self.run(tokens, first, step)
        memory.end(number, first, found.states[-1].detach())
        return found

    def run(self, tokens: torch.Tensor, state: torch.Tensor, step: Step) -> Read:
        """Reads tokens [T, N] from a state [N, H]; remembers nothing."""
        drop = self.dropout if self.training else Dropout()
        x = F.embedding(tokens, self._embedding(drop.words))
        x = self._dropped(x, drop.embedded)
        drop_input = masked(x[0], drop.inputs) if drop.inputs else None
        drop_state = masked(state, drop.state) if drop.state else None
        states = []
        for each in x:
            state = step(each, state, drop_input, drop_state)
            states.append(state)
        stacked = torch.stack(states)
        dropped = self._dropped(stacked, drop.output)
        logits = F.linear(dropped.flatten(0, 1), self.embedding, self.bias)
        return Read(logits, stacked, dropped)

    def _memory(self) -> Memory:
        return self.memory if self.training else self._measuring[0].to(self.embedding)

    def _embedding(self, share: float) -> torch.Tensor:
        if not share:
            return self.embedding
        return self.embedding * masked(self.embedding[:, :1], share)

    def _dropped(self, x: torch.Tensor, share: float) -> torch.Tensor:
        return x * masked(x[:1], share) if share else x


class LanguageModel(TokenModel):
    """The network of one architecture that reads text."""

    def __init__(self, skeleton: Skeleton, cells: Sequence[Any]) -> None:
        super().__init__(skeleton)
        (cell,), (shape,) = cells, skeleton.cell_layers
        self.cell = RecurrentModule(cell, shape)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits of a segment; the state goes on from the segment before."""
        return self.read(inputs, self.cell).logits


class OneToken(nn.Module):
    """A step of a language model: tokens [N] and state [N, H] -> logits [N, vocabulary], state."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the token that follows, and the next state."""
        found = self.model.run(tokens[None], state, self.model.cell)
        return found.logits, found.states[0]


def weights_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a language model, without the state that it remembers."""
    state = network.state_dict()
    return {name: value for name, value in state.items() if not name.startswith("memory.")}
