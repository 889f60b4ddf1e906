"""Labelled sentences: a table of texts and labels, a folder per class, or Python's help topics.

A token is a word, in lower case, or a character. Sentences are cut or padded to one length. The
vocabulary is the most frequent tokens of the train split, behind padding and the unknown token.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch

from autospace.data.errors import DataError, check_bytes
from autospace.data.examples import DataSet, Examples, Reading, Skipped, make_data_set
from autospace.data.plain_text import help_topics, whole_number
from autospace.data.readers.labelled_text import Labelled, read_path
from autospace.data.request import Request, Source
from autospace.data.splits import limit_indices, split_test
from autospace.spaces.checks import MAX_CLASSES, MAX_RESOLUTION
from autospace.spaces.errors import offered

SPECIAL: Final = ("<pad>", "<unk>")
"""The first tokens of every vocabulary: number 0 is padding, and 1 stands for unknown tokens."""
PADDING: Final = 0
UNKNOWN: Final = 1
TOKENS: Final = ("words", "characters")
VOCABULARY: Final = {"words": 5000, "characters": 500}
LENGTH: Final = 64
FEW: Final = 20
"""Topics of fewer passages are left out."""
_COLUMNS: Final[tuple[str, ...]] = ("text", "label")
SHORT: Final = 8
"""Passages of fewer words are left out: lines of code, headings and the like."""


@dataclass(frozen=True)
class _Options:
    """How sentences become numbers.

    Attributes:
        tokens: one of `TOKENS`.
        vocabulary: most different tokens, `SPECIAL` included.
        length: tokens of a sentence.
        columns: names of the columns of texts and labels in a table; empty for the usual ones.
    """

    tokens: str = TOKENS[0]
    vocabulary: int = VOCABULARY[TOKENS[0]]
    length: int = LENGTH
    columns: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source) -> "_Options":
        """The options of a source.

        Raises:
            DataError: one of them is not possible.
        """
        given = source.options
        tokens = given.get("tokens", TOKENS[0])
        if tokens not in TOKENS:
            raise DataError(f"tokens {tokens!r}: {offered(tokens, TOKENS)}")
        numbers = {"vocabulary": VOCABULARY[tokens], "length": LENGTH}
        for key, least, most in (("vocabulary", 3, MAX_CLASSES), ("length", 1, MAX_RESOLUTION)):
            if key in given:
                numbers[key] = whole_number(source.text, key, given[key])
            if not least <= numbers[key] <= most:
                allowed = f"allowed: {least} to {most:,}"
                raise DataError(f"{key} {numbers[key]} is out of bounds; {allowed}")
        columns: dict[str, str] = {key: given[key] for key in _COLUMNS if key in given}
        return cls(tokens, **numbers, columns=columns)


def read_sentences(source: Source, request: Request) -> DataSet:
    """Reads labelled sentences.

    Args:
        source: A file, a folder, or neither for the help topics of Python.
        request: What the caller asked for; only its limit applies.

    Raises:
        DataError: They cannot be read, or the request is for images.
    """
    _check(source.where, request)
    options = _Options.of(source)
    if source.path is None:
        if options.columns:
            raise DataError(f"{source.text}: names columns; allowed: of a file")
        found = _topics()
    else:
        found = read_path(source.path, options.columns)
    split = {role: _tokens(rows, options.tokens) for role, rows in found.rows.items()}
    train, found = _with_tokens(split["train"], found)
    held = "test" in split
    test, found = _with_tokens(split.get("test", []), found)
    for role, rows in (("train", train), *([("test", test)] if held else ())):
        if not rows:
            problem = f"none of the {len(split[role])} {role} texts has a token"
            raise DataError(f"{source.where}: {problem}; allowed: texts with words")
    classes = sorted({label for _, label in train}, key=_order)
    if held:
        _check_labels(source.where, classes, test)
    else:
        train, test, note = _held_out(source.where, classes, train)
        found = replace(found, notes=(*found.notes, note))
    return _numbered(source, request, options, found, classes, train, test)


Row = tuple[list[str], str]
"""The tokens of a sentence, and its label."""


def _check(where: str, request: Request) -> None:
    usual = Request()
    for name in ("resolution", "channels", "aspect", "ground"):
        value = getattr(request, name)
        if value != getattr(usual, name):
            problem = f"{name} {value}, of images"
            allowed = "no such setting, and a network that reads sentences"
            raise DataError(f"{where}: {problem}; allowed: {allowed}")


def _topics() -> Labelled:
    """Passages of the help topics: paragraphs, each in the smallest topic that has it."""
    topics, note = help_topics()
    place: dict[str, str] = {}
    short = twice = 0
    for name in sorted(topics, key=lambda name: (len(topics[name]), name)):
        for paragraph in re.split(r"\n\s*\n", topics[name]):
            passage = " ".join(paragraph.split())
            if len(re.findall(r"\w+", passage)) < SHORT:
                short += 1
            elif passage in place:
                twice += 1
            else:
                place[passage] = name
    counts = Counter(place.values())
    few = sorted(name for name in topics if counts[name] < FEW)
    rows = [(text, name) for text, name in place.items() if counts[name] >= FEW]
    skipped = (
        Skipped(f"topics of fewer than {FEW} passages", len(few), tuple(few[:5])),
        Skipped(f"passages of fewer than {SHORT} words", short, ()),
        Skipped("passages that a smaller topic has, too", twice, ()),
    )
    return Labelled({"train": rows}, (note,), skipped)


def _tokens(rows: Iterable[tuple[str, str]], kind: str) -> list[Row]:
    if kind == "characters":
        return [(list(" ".join(text.split())), label) for text, label in rows]
    return [(re.findall(r"\w+|[^\w\s]", text.lower()), label) for text, label in rows]


def _with_tokens(rows: list[Row], found: Labelled) -> tuple[list[Row], Labelled]:
    """The rows that have a token, and the count of the others among what was skipped."""
    kept = [row for row in rows if row[0]]
    if len(kept) == len(rows):
        return kept, found
    blank = Skipped("sentences without a token", len(rows) - len(kept), ())
    return kept, replace(found, skipped=(*found.skipped, blank))


def _order(label: str) -> tuple[int, int, str]:
    """Numbers by their value, before names."""
    return (0, int(label), label) if re.fullmatch(r"[0-9]{1,9}", label) else (1, 0, label)


def _check_labels(where: str, classes: Sequence[str], test: Sequence[Row]) -> None:
    strange = sorted({label for _, label in test} - {*classes}, key=_order)
    if strange:
        names = ", ".join(map(repr, strange[:5]))
        allowed = f"allowed: {', '.join(classes[:10])}"
        raise DataError(f"{where}: test labels that no training sentence has: {names}; {allowed}")


def _held_out(
    where: str, classes: Sequence[str], rows: list[Row]
) -> tuple[list[Row], list[Row], str]:
    numbers = {name: number for number, name in enumerate(classes)}
    labels = torch.tensor([numbers[label] for _, label in rows], dtype=torch.int64)
    kept, held = split_test(labels, where)
    note = f"no test split: {len(held)} of {len(rows)} sentences are held out"
    return [rows[index] for index in kept], [rows[index] for index in held], note


def _numbered(
    source: Source,
    request: Request,
    options: _Options,
    found: Labelled,
    classes: Sequence[str],
    train: Sequence[Row],
    test: Sequence[Row],
) -> DataSet:
    counts = Counter(token for tokens, _ in train for token in tokens)
    ordered = sorted(counts, key=lambda token: (-counts[token], token))
    known = [token for token in ordered if token not in SPECIAL]
    vocabulary = (*SPECIAL, *known[: options.vocabulary - len(SPECIAL)])
    numbers = {token: number for number, token in enumerate(vocabulary)}
    first, second = (
        _examples(source.where, rows, numbers, classes, options) for rows in (train, test)
    )
    made = make_data_set(
        source.name,
        tuple(classes),
        first,
        second,
        (*found.notes, *_remarks(options, vocabulary, (*train, *test))),
        Reading(skipped=found.skipped, tokens=options.tokens),
        vocabulary,
    )
    return limited(made, request)


def _examples(
    where: str,
    rows: Sequence[Row],
    numbers: dict[str, int],
    classes: Sequence[str],
    options: _Options,
) -> Examples:
    check_bytes(where, (len(rows), options.length, 4))
    store = np.full((len(rows), options.length), PADDING, np.int32)
    for index, (tokens, _) in enumerate(rows):
        cut = tokens[: options.length]
        store[index, : len(cut)] = [numbers.get(token, UNKNOWN) for token in cut]
    places = {name: number for number, name in enumerate(classes)}
    labels = torch.tensor([places[label] for _, label in rows], dtype=torch.int64)
    return Examples(torch.from_numpy(store), labels)


def _remarks(options: _Options, vocabulary: Sequence[str], rows: Sequence[Row]) -> list[str]:
    known, noun = {*vocabulary[len(SPECIAL) :]}, options.tokens
    kept = [tokens[: options.length] for tokens, _ in rows]
    total = sum(map(len, kept))
    unknown = sum(token not in known for tokens in kept for token in tokens)
    cut = sum(len(tokens) > options.length for tokens, _ in rows)
    found = [f"tokens: {total:,} {noun}, a mean of {total / max(1, len(rows)):.1f} in a sentence"]
    if cut:
        found.append(f"cut: {cut:,} of {len(rows):,} sentences have more than {options.length}")
    if unknown:
        share = unknown / total
        found.append(f"unknown: {unknown:,} tokens ({share:.2%}) are not in the vocabulary")
    return found


def limited(data: DataSet, request: Request) -> DataSet:
    """The data set with at most as many sentences in each split as are asked for.

    Raises:
        DataError: The request is for images, or the limit is below the number of classes.
    """
    _check(data.name, request)
    most = request.limit
    if most is None or max(len(data.train), len(data.test)) <= most:
        return data
    first, second = (
        split.take(limit_indices(split.labels, most, request.seed))
        for split in (data.train, data.test)
    )
    return make_data_set(
        data.name, data.classes, first, second, data.notes, data.reading, data.vocabulary
    )
