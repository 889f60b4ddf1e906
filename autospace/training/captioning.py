"""How captions are learned and judged: cross-entropy, exact match, and the n-gram F score.

A network that describes images learns by the cross-entropy of every token after those before it.
It is judged by the caption that it writes when it is given the image alone. With the multisets
G_n(c) of the n-grams of a caption c, and references r_1 .. r_R, the n-gram F score is

    F_n(c, r) = 2 |G_n(c) n G_n(r)| / (|G_n(c)| + |G_n(r)|)
    F(c)      = max_r  mean over n = 1 .. 4 of F_n(c, r)

where n-grams of which neither caption has any are left out of the mean. It is 1 for a caption that
is one of its references, and 0 for one that shares no token with them. It is not CIDEr or BLEU,
which need a corpus or tools of their own. A word of a reference that is not in the vocabulary is
never matched, not even by the token that stands for such words.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional as F

from autospace.compute.execution import widened
from autospace.networks.captions import END, PAD, START, UNKNOWN, Described

LONGEST_GRAM: Final = 4
NO_REFERENCE: Final = -1
"""Fills the rows of references that an image does not have."""
OUTSIDE: Final = -2
"""Stands in references for words outside the vocabulary, which no caption has."""


def ngram_f(caption: Sequence[object], references: Sequence[Sequence[object]]) -> float:
    """The n-gram F score of a caption, from 0 to 1; see the module."""
    return max((_mean_f(caption, each) for each in references), default=0.0)


def _mean_f(caption: Sequence[object], reference: Sequence[object]) -> float:
    scores = []
    for n in range(1, LONGEST_GRAM + 1):
        ours, theirs = _grams(caption, n), _grams(reference, n)
        total = ours.total() + theirs.total()
        if total:
            scores.append(2 * (ours & theirs).total() / total)
    # Two captions without a token are the same.
    return sum(scores) / len(scores) if scores else 1.0


def _grams(caption: Sequence[object], n: int) -> Counter[tuple[object, ...]]:
    return Counter(tuple(caption[i : i + n]) for i in range(len(caption) - n + 1))


def words_of(tokens: Sequence[int]) -> list[int]:
    """The tokens of a caption up to its end, without the special ones that frame it."""
    found = []
    for token in tokens:
        if token in (END, PAD, NO_REFERENCE):
            break
        if token != START:
            found.append(token)
    return found


def exact(caption: Sequence[object], references: Sequence[Sequence[object]]) -> bool:
    """Whether a caption is one of its references."""
    return any(list(caption) == list(each) for each in references)


@dataclass(frozen=True, slots=True)
class Captioning:
    """Captions of images: cross-entropy in nats per token; the n-gram F score.

    Outputs are logits [N, T, vocabulary], or `Described` where captions are judged. Targets are
    references [N, R, T], PAD behind the end of each, of which the first is the one to learn.
    """

    def loss(
        self, outputs: torch.Tensor | Described, targets: torch.Tensor, reduction: str = "mean"
    ) -> torch.Tensor:
        """Cross-entropy of the tokens of the first references.

        The mean is one over tokens. The sum is one over images, of the mean of each over its
        tokens, as the other numbers of what is judged are per image.
        """
        logits = widened(outputs.logits if isinstance(outputs, Described) else outputs)
        first = targets[:, 0]
        if reduction == "mean":
            return F.cross_entropy(logits.flatten(0, 1), first.flatten(), ignore_index=PAD)
        each = F.cross_entropy(logits.transpose(1, 2), first, ignore_index=PAD, reduction="none")
        return (each.sum(1) / (first != PAD).sum(1)).sum()

    def right(self, outputs: torch.Tensor | Described, targets: torch.Tensor) -> torch.Tensor:
        """The n-gram F score of the caption of every image, [N]."""
        pairs = zip(_written(outputs), targets.tolist(), strict=True)
        found = [ngram_f(words_of(caption), _references(rows)) for caption, rows in pairs]
        return torch.tensor(found, dtype=torch.float64, device=targets.device)

    def exact(self, outputs: torch.Tensor | Described, targets: torch.Tensor) -> torch.Tensor:
        """Whether the caption of every image is one of its references, [N]."""
        pairs = zip(_written(outputs), targets.tolist(), strict=True)
        found = [exact(words_of(caption), _references(rows)) for caption, rows in pairs]
        return torch.tensor(found, device=targets.device)

    def score(self, accuracy: float, loss: float) -> float:
        """The mean n-gram F score, which stands where other tasks have an accuracy."""
        return accuracy

    def batch_score(self, outputs: torch.Tensor | Described, targets: torch.Tensor) -> torch.Tensor:
        """The mean n-gram F score of a batch: a scalar."""
        return self.right(outputs, targets).mean()


def _written(outputs: torch.Tensor | Described) -> list[list[int]]:
    if not isinstance(outputs, Described):
        raise TypeError("logits of captions that were given; allowed: captions that were written")
    written: list[list[int]] = outputs.tokens.tolist()
    return written


def _references(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    # A network that writes "unknown" did not find the word, whichever it was.
    return [
        [OUTSIDE if token == UNKNOWN else token for token in words_of(row)]
        for row in rows
        if row[0] != NO_REFERENCE
    ]
