"""Perplexities of counting on a text: what a language model has to be better than.

    python benchmarks/ngrams.py text:tokens=words:FOLDER

Prints those of single tokens (counts plus one), and of pairs and triples with absolute discounting,
where what is left goes to the shorter context by the number of contexts of a token (Kneser and Ney,
ICASSP 1995). Counts are of the train split, perplexities of the test split, with the vocabulary
that `autospace train` has. About ten seconds.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from autospace.text.corpus import load_text

DISCOUNT: Final = 0.75


def singles(train: Sequence[int], vocabulary: int) -> Callable[[int], float]:
    """The probability of a token."""
    counts, total = Counter(train), len(train) + vocabulary
    return lambda token: (counts[token] + 1) / total


def pairs(train: Sequence[int], vocabulary: int) -> Callable[[int, int], float]:
    """The probability of a token after another one."""
    counts = Counter(pairwise(train))
    seen, followers = Counter(train[:-1]), Counter(first for first, _ in counts)
    contexts, kinds = Counter(last for _, last in counts), len(counts)

    def probability(first: int, last: int) -> float:
        shorter = (contexts[last] + 0.5) / (kinds + 0.5 * vocabulary)
        if not seen[first]:
            return shorter
        kept = max(counts[first, last] - DISCOUNT, 0.0)
        return (kept + DISCOUNT * followers[first] * shorter) / seen[first]

    return probability


def triples(train: Sequence[int], vocabulary: int) -> Callable[[int, int, int], float]:
    """The probability of a token after two others."""
    counts = Counter(zip(train, train[1:], train[2:], strict=False))
    seen = Counter(pairwise(train[:-1]))
    followers = Counter((first, middle) for first, middle, _ in counts)
    of_pair = pairs(train, vocabulary)

    def probability(first: int, middle: int, last: int) -> float:
        shorter = of_pair(middle, last)
        if not seen[first, middle]:
            return shorter
        kept = max(counts[first, middle, last] - DISCOUNT, 0.0)
        return (kept + DISCOUNT * followers[first, middle] * shorter) / seen[first, middle]

    return probability


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("text", help="as for --data of autospace train")
    corpus = load_text(parser.parse_args().text, None)
    train, test = corpus.train.tokens.tolist(), corpus.test.tokens.tolist()
    size = len(corpus.vocabulary)
    for name, length, model in (
        ("tokens", 1, singles(train, size)),
        ("pairs", 2, pairs(train, size)),
        ("triples", 3, triples(train, size)),
    ):
        rows = zip(*(test[place:] for place in range(length)), strict=False)
        logs = [math.log(model(*row)) for row in rows]
        print(f"{name}: perplexity {math.exp(-sum(logs) / len(logs)):.1f}")


if __name__ == "__main__":
    main()
