"""A text as numbers: the vocabulary, and the tokens of train, validation and test split."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import torch

from autospace.data.errors import DataError, name_few
from autospace.spaces.text import visible
from autospace.text.source import Role, Texts, TextSource, parse_text, read_texts

UNKNOWN: Final[dict[str, str]] = {"characters": "\ufffd", "words": "<unk>"}
"""What stands for tokens that are not in the vocabulary; the second as in the Penn Treebank."""
END: Final = "<eos>"
"""The token at the end of every line, where tokens are words."""
SPLITS: Final[tuple[Role, ...]] = ("train", "validation", "test")
SHARE: Final = 10
"""One part of so many is held out for each split that has no file of its own."""
LEAST: Final = 20
"""Tokens of a split."""


@dataclass(frozen=True)
class Split:
    """The tokens of a split.

    Attributes:
        tokens: their numbers in the vocabulary, [tokens].
        characters: of the text that they stand for.
        unknown: how many of them are not in the vocabulary.
    """

    tokens: torch.Tensor
    characters: int
    unknown: int

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.tokens)


@dataclass(frozen=True)
class Corpus:
    """A text as numbers.

    Attributes:
        name: short name of the source.
        source: how it was read.
        vocabulary: the tokens in the order of their numbers, frequent ones first.
        digest: of vocabulary and tokens.
        notes: remarks on what was read.
        files: how many were read.
        skipped: why files were not read, with their number and some names.
    """

    name: str
    source: TextSource
    vocabulary: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    digest: str
    by_files: bool
    notes: tuple[str, ...] = ()
    files: int = 0
    skipped: tuple[tuple[str, int, tuple[str, ...]], ...] = ()

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def lines(self) -> tuple[str, ...]:
        """What was read, for people."""
        kind, size = self.source.tokens, len(self.vocabulary)
        counts = ", ".join(f"{len(each):,} {name}" for name, each in self.splits.items())
        characters = sum(each.characters for each in self.splits.values())
        how = "by the names of files" if self.by_files else "by position"
        unknown = sum(each.unknown for each in self.splits.values())
        total = sum(map(len, self.splits.values()))
        tokens = f", {total:,} {kind}" if kind != "characters" else ""
        found = [
            f"{visible(self.name)}: {characters:,} characters{tokens}, a vocabulary of {size:,}",
            f"tokens: {counts}, divided {how}",
            f"most frequent: {self._frequent()}",
        ]
        if unknown:
            share = unknown / total
            found.append(
                f"unknown: {unknown:,} of all tokens ({share:.2%}) are not in the vocabulary"
            )
        if self.files:
            found.append(f"files: {self.files:,} read")
        for reason, count, names in self.skipped:
            found.append(f"skipped: {count:,} ({reason}): {name_few(names, of=count)}")
        return (*found, *map(visible, self.notes))

    def _frequent(self) -> str:
        return " ".join(_shown(token) for token in self.vocabulary[:12])

    @property
    def record(self) -> dict[str, Any]:
        """What was read, as values that JSON can hold."""
        return {
            "name": self.name,
            "sha256": self.digest,
            "tokens": self.source.tokens,
            "vocabulary": len(self.vocabulary),
            "bptt": self.source.bptt,
            "divided": "files" if self.by_files else "position",
            "files": self.files,
            "splits": {
                name: {
                    "tokens": len(each),
                    "characters": each.characters,
                    "unknown": each.unknown,
                }
                for name, each in self.splits.items()
            },
            "skipped": [
                {"reason": reason, "count": count, "examples": list(names)}
                for reason, count, names in self.skipped
            ],
            "notes": list(self.notes),
            "lines": list(self.lines),
            "warnings": [],
        }


def _shown(token: str) -> str:
    return {" ": "space", "\n": "\\n", "\t": "\\t"}.get(token, visible(token))


def load_text(source: str | TextSource, limit: int | None = None) -> Corpus:
    """Reads a text.

    Args:
        source: what `--data` says, or that parsed.
        limit: most tokens of a split; the first ones are kept.

    Raises:
        DataError: it cannot be read, or there is too little of it.
    """
    parsed = parse_text(source) if isinstance(source, str) else source
    texts = read_texts(parsed)
    tokens = _divided(parsed, _tokens(parsed, texts))
    corpus = _numbered(parsed, tokens, texts)
    for name, split in corpus.splits.items():
        if len(split) < LEAST:
            problem = f"the {name} split has {len(split)} {parsed.tokens}, too little text"
            raise DataError(f"{parsed.where}: {problem}; allowed: {LEAST} or more")
    if len(corpus.vocabulary) < 2:
        only = _shown(corpus.vocabulary[0])
        problem = f"every one of the {parsed.tokens} to train on is {only!r}"
        raise DataError(f"{parsed.where}: {problem}; allowed: 2 different ones or more")
    return corpus if limit is None else _limited(corpus, tokens, limit)


def _tokens(source: TextSource, texts: Texts) -> dict[Role, list[str]]:
    if source.tokens == "characters":
        return {role: list(text) for role, text in texts.splits.items()}
    found: dict[Role, list[str]] = {}
    for role, text in texts.splits.items():
        lines = text.removesuffix("\n").split("\n")
        found[role] = [token for line in lines for token in (*line.split(), END)]
    return found


def _divided(source: TextSource, tokens: dict[Role, list[str]]) -> dict[Role, list[str]]:
    """All three splits: those that have no tokens are the last parts of the train split."""
    train = tokens["train"]
    held = len(train) // SHARE
    found = dict(tokens)
    for role in ("test", "validation"):
        if role not in found and held:
            found[role], train = train[-held:], train[:-held]
        elif role not in found:
            found[role] = []
    found["train"] = train
    return found


def _numbered(source: TextSource, tokens: dict[Role, list[str]], texts: Texts) -> Corpus:
    vocabulary, unknown = _vocabulary(source, tokens)
    numbers = {token: number for number, token in enumerate(vocabulary)}
    train, validation, test = (_split(source, tokens[role], numbers, unknown) for role in SPLITS)
    return Corpus(
        source.name,
        source,
        vocabulary,
        train,
        validation,
        test,
        digest=_digest(source, vocabulary, (train, validation, test)),
        by_files=texts.by_files,
        notes=(*texts.notes, *_held_out(texts)),
        files=texts.files,
        skipped=texts.skipped,
    )


def _held_out(texts: Texts) -> list[str]:
    """A remark on each split that has no file where others have one."""
    lacking = [role for role in SPLITS if texts.by_files and role not in texts.splits]
    return [f"no file is {role}: the last part of train is held out for it" for role in lacking]


def by_frequency(tokens: Iterable[str]) -> list[str]:
    """The different tokens, the most frequent first; of equals the first by their text."""
    counts = Counter(tokens)
    return sorted(counts, key=lambda token: (-counts[token], token))


def _vocabulary(source: TextSource, tokens: dict[Role, list[str]]) -> tuple[tuple[str, ...], str]:
    """The most frequent tokens of the train split, and the one for all that are not among them.

    The unknown token is there only where some split has a token to which it applies.
    """
    unknown = UNKNOWN[source.tokens]
    ordered = by_frequency(tokens["train"])
    known = {*ordered[: source.limit]}
    others = any(token not in known for role in SPLITS for token in tokens[role])
    if not others:
        return tuple(ordered), unknown
    kept = [token for token in ordered if token != unknown][: source.limit - 1]
    return (*kept, unknown), unknown


def _split(
    source: TextSource, tokens: Sequence[str], numbers: dict[str, int], unknown: str
) -> Split:
    place = numbers.get(unknown, -1)
    found = np.fromiter((numbers.get(each, place) for each in tokens), np.int64, len(tokens))
    if source.tokens == "characters":
        characters = len(tokens)
    else:
        # With each word goes what is behind it, a space or the end of the line.
        words = sum(len(token) + 1 for token in tokens if token != END)
        blank = sum(pair == (END, END) for pair in pairwise(tokens))
        characters = words + blank
    left_out = sum(token not in numbers for token in tokens)
    return Split(torch.from_numpy(found), characters, left_out)


def _digest(source: TextSource, vocabulary: Sequence[str], splits: Sequence[Split]) -> str:
    digest = hashlib.sha256(source.tokens.encode())
    for token in vocabulary:
        raw = token.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    for split in splits:
        digest.update(len(split).to_bytes(8, "big"))
        digest.update(split.tokens.numpy().astype("<i8").tobytes())
    return digest.hexdigest()


def _limited(corpus: Corpus, tokens: dict[Role, list[str]], limit: int) -> Corpus:
    """The first tokens of every split; their characters by the share that is kept."""
    known = {*corpus.vocabulary}
    train, validation, test = (
        _beginning(corpus.splits[role], tokens[role][:limit], known) for role in SPLITS
    )
    digest = hashlib.sha256(f"{corpus.digest} {limit}".encode()).hexdigest()
    notes = (*corpus.notes, f"limited to the first {limit:,} tokens of every split")
    return replace(
        corpus, train=train, validation=validation, test=test, digest=digest, notes=notes
    )


def _beginning(split: Split, kept: Sequence[str], known: set[str]) -> Split:
    characters = round(split.characters * len(kept) / len(split))
    left_out = sum(token not in known for token in kept)
    return Split(split.tokens[: len(kept)], characters, left_out)
