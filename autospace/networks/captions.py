"""Networks that describe images: an encoder, recurrent cells in layers, and a decoder of tokens.

The encoder gives one feature per image, which is the first state of every layer and is added to
every embedded token: from its first state alone, a network learns to see the image more slowly. At
each step, the layers are computed one after another: layer l reads its state of the step before,
and its links name what it reads besides, the token (0) or new states of layers below it (1 to l-1).
The logits of the next token are those of the mean of the new states of all layers.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from autospace.networks.cells import initialise
from autospace.networks.operations import ConvNorm
from autospace.networks.recurrent import RecurrentModule
from autospace.spaces.captions import CaptionSkeleton, captioning
from autospace.spaces.skeleton import Skeleton

PAD: Final = 0
"""The number of the token behind the end of a caption, which no network is asked for."""
START: Final = 1
END: Final = 2
UNKNOWN: Final = 3
SPECIAL: Final = ("<pad>", "<start>", "<end>", "<unk>")
"""The first tokens of every vocabulary, in the order of their numbers."""
EMBEDDED: Final = 8.0
"""Range of the embedding for a width of one: tokens weigh as much as images, and logits vary."""
StackStep = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Embedded tokens [N, H] and states [L, N, H] -> the next states [L, N, H]."""


class Described(NamedTuple):
    """What a network makes of images whose captions are judged.

    Attributes:
        logits: of the tokens of the first caption, each after those before it, [N, T, vocabulary].
        tokens: the caption that the network writes, the likeliest token at every step, [N, T]; PAD
            behind its end.
    """

    logits: torch.Tensor
    tokens: torch.Tensor


def packed(images: torch.Tensor, tokens: torch.Tensor, *, judged: bool = False) -> torch.Tensor:
    """The inputs of a network: images [N, C, S, S] and tokens [N, T] as one tensor [N, T + C S S].

    Tokens are numbers that floats hold exactly. Inputs whose captions are judged, and not only
    learned, have one more dimension: [N, 1, T + C S S].
    """
    joined = torch.cat([tokens.to(images.dtype), images.flatten(1)], 1)
    return joined[:, None] if judged else joined


def initial_range(width: int) -> tuple[float, float]:
    """Between which numbers the weights of cells begin, so that they keep the size of inputs.

    In the range of language models, hardly a trace of an image is left after some tokens.
    """
    return -((3 / width) ** 0.5), (3 / width) ** 0.5


class Encoder(nn.Module):
    """Images [N, C, S, S] -> features [N, H] between -1 and 1, as states of cells are."""

    def __init__(self, skeleton: CaptionSkeleton) -> None:
        super().__init__()
        widths = (skeleton.in_channels, *skeleton.encoder)
        self.convolutions = nn.Sequential(
            *(
                ConvNorm(before, width, 3, stride=2)
                for before, width in zip(widths, skeleton.encoder, strict=False)
            )
        )
        self.linear = nn.Linear(skeleton.features, skeleton.width)
        initialise(self.convolutions)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The features."""
        return torch.tanh(self.linear(self.convolutions(images).flatten(1)))


class Captioner(nn.Module):
    """Encoder, embedding, and a decoder with the matrix of the embedding; the cells are given.

    Attributes:
        dropout: share of the embedded tokens, and of what the decoder reads, that training drops.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        super().__init__()
        own = captioning(skeleton, "this network describes images")
        self.skeleton = own
        self.dropout = 0.0
        self.encoder = Encoder(own)
        self.embedding = nn.Parameter(torch.empty(own.vocabulary, own.width))
        most = EMBEDDED * own.width**-0.5
        nn.init.uniform_(self.embedding, -most, most)
        self.bias = nn.Parameter(torch.zeros(own.vocabulary)) if own.bias else None

    def described(self, inputs: torch.Tensor, step: StackStep) -> torch.Tensor | Described:
        """Logits [N, T, vocabulary] of inputs; of those that are judged, captions as well."""
        judged = inputs.ndim == 3
        rows = inputs[:, 0] if judged else inputs
        channels, side = self.skeleton.in_channels, self.skeleton.resolution
        length = rows.shape[1] - channels * side**2
        images = rows[:, length:].unflatten(1, (channels, side, side))
        states = self.first(images)
        logits = self.taught(states, rows[:, :length].long(), step)
        return Described(logits, self.written(states, length, step)) if judged else logits

    def first(self, images: torch.Tensor) -> torch.Tensor:
        """The first states [L, N, H]: the feature of the image in every layer."""
        features: torch.Tensor = self.encoder(images)
        return features.expand(self.skeleton.depth, -1, -1)

    def taught(self, states: torch.Tensor, tokens: torch.Tensor, step: StackStep) -> torch.Tensor:
        """Logits [N, T, vocabulary], each after tokens [N, T] that were given (teacher forcing)."""
        found, image = [], states[0]
        for x in self._dropped(F.embedding(tokens, self.embedding)).unbind(1):
            states = step(x + image, states)
            found.append(states.mean(0))
        return self.decoded(torch.stack(found, 1))

    @torch.no_grad()
    def written(self, states: torch.Tensor, length: int, step: StackStep) -> torch.Tensor:
        """The likeliest token at every step after those before it, [N, length] (greedy)."""
        last = torch.full(states.shape[1:2], START, device=states.device)
        ended = torch.zeros_like(last, dtype=torch.bool)
        found, image = [], states[0]
        for _ in range(length):
            states = step(F.embedding(last, self.embedding) + image, states)
            logits = F.linear(states.mean(0), self.embedding, self.bias)
            last = torch.where(ended, PAD, logits.argmax(-1))
            ended = ended | (last == END) | (last == PAD)
            found.append(last)
        return torch.stack(found, 1)

    def decoded(self, read: torch.Tensor) -> torch.Tensor:
        """Logits of what the decoder reads."""
        return F.linear(self._dropped(read), self.embedding, self.bias)

    def _dropped(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class CaptionModel(Captioner):
    """The network of one architecture that describes images."""

    def __init__(self, skeleton: Skeleton, cells: Sequence[Any]) -> None:
        super().__init__(skeleton)
        pairs = zip(cells, skeleton.cell_layers, strict=True)
        self.layers = nn.ModuleList(RecurrentModule(cell, shape) for cell, shape in pairs)
        for weight in self.layers.parameters():
            nn.init.uniform_(weight, *initial_range(self.skeleton.width))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor | Described:
        """Logits of inputs; of those that are judged, captions as well; see `packed`."""
        return self.described(inputs, self.step)

    def step(self, x: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """The next states [L, N, H], from embedded tokens [N, H]."""
        outputs = [x]
        for layer, state in zip(self.layers, states, strict=True):
            cell: Any = layer.cell
            given = torch.cat([outputs[link] for link in cell.links], -1)
            outputs.append(layer(given, state))
        return torch.stack(outputs[1:])


class OneWord(nn.Module):
    """A step of a decoder: tokens [N], feature [N, H] and states [N, L, H] -> logits, next states.

    Logits are [N, vocabulary].
    """

    def __init__(self, model: CaptionModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: torch.Tensor, feature: torch.Tensor, state: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the token that follows, and the next states."""
        model = self.model
        x = F.embedding(tokens, model.embedding) + feature
        states = model.step(x, state.transpose(0, 1))
        return model.decoded(states.mean(0)), states.transpose(0, 1)
