"""Images with captions as numbers: the vocabulary, and images and tokens of every split."""

import hashlib
import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from autospace.captions.pairs import Pair, read_pairs
from autospace.captions.scenes import Drawn, draw_scenes
from autospace.captions.source import CaptionSource, parse_captions
from autospace.data.doubts import seen_before
from autospace.data.errors import DataError, name_few
from autospace.data.examples import Examples, Skipped
from autospace.data.readers.convert import finish
from autospace.data.readers.folder_layout import ImageFile
from autospace.data.readers.image_decoding import Preparation, common_shape, decode, headers
from autospace.data.request import Request
from autospace.networks.captions import END, PAD, SPECIAL, UNKNOWN
from autospace.spaces.text import visible
from autospace.text.corpus import by_frequency
from autospace.training.captioning import NO_REFERENCE

SPLITS: Final = ("train", "validation", "test")
HELD: Final = 10
"""One image of so many is held out for each split that nothing else gives images."""
LEAST: Final = 10
"""Images altogether: with fewer, no image could be held out."""
SYNTHETIC: Final = "synthetic captions over real images"
_WORD: Final = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
Read = tuple[Examples, Sequence[tuple[str, ...]]]
"""Images, and the captions of each."""


@dataclass(frozen=True)
class CaptionSplit:
    """Images with captions.

    Attributes:
        images: whose labels are their own numbers.
        tokens: int32 [N, R, T], the references: tokens, END, and PAD behind it; rows of
            NO_REFERENCE where an image has fewer than R.
        unknown: how many of the tokens are not in the vocabulary.
    """

    images: Examples
    tokens: torch.Tensor
    unknown: int

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    @cached_property
    def counts(self) -> torch.Tensor:
        """References of every image, int64 [N]."""
        return (self.tokens[:, :, 0] != NO_REFERENCE).sum(1)


@dataclass(frozen=True)
class CaptionData:
    """Images with captions as numbers.

    Attributes:
        name: short name of the source.
        source: how they were read.
        vocabulary: the tokens in the order of their numbers, special ones first.
        digest: of vocabulary, images and tokens.
        examples: some captions of the train split, as they are read.
        divided: how the splits were found.
        notes: remarks on what was read.
        skipped: what was not read, and why.
    """

    name: str
    source: CaptionSource
    vocabulary: tuple[str, ...]
    train: CaptionSplit
    validation: CaptionSplit
    test: CaptionSplit
    digest: str
    examples: tuple[str, ...]
    divided: str
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @property
    def splits(self) -> dict[str, CaptionSplit]:
        """The splits by name."""
        return {name: getattr(self, name) for name in SPLITS}

    @property
    def length(self) -> int:
        """Tokens of the longest caption, with its end."""
        return int(self.train.tokens.shape[2])

    @property
    def lines(self) -> tuple[str, ...]:
        """What was read, for people."""
        channels, height, width = self.train.images.shape
        kind = "grey" if channels == 1 else "colour"
        counts = ", ".join(f"{len(each):,} {name}" for name, each in self.splits.items())
        captions = sum(int(each.counts.sum()) for each in self.splits.values())
        words = " ".join(map(visible, self.vocabulary[len(SPECIAL) :][:16]))
        about = f"{counts} images, {width}x{height} pixels, {kind}, {self.divided}"
        found = [
            f"{visible(self.name)}: {about}",
            f"captions: {captions:,}, of up to {self.length - 1} words, a vocabulary of "
            f"{len(self.vocabulary):,}: {words}",
            *(f"example: {visible(each)}" for each in self.examples),
        ]
        unknown = sum(each.unknown for each in self.splits.values())
        if unknown:
            found.append(f"unknown: {unknown:,} words are not in the vocabulary")
        for each in self.skipped:
            names = name_few(each.examples, of=each.count)
            found.append(f"skipped: {each.count:,} {each.reason}: {names}")
        return (*found, *map(visible, self.notes))

    @property
    def record(self) -> dict[str, Any]:
        """What was read, as values that JSON can hold."""
        channels, height, width = self.train.images.shape
        return {
            "name": self.name,
            "sha256": self.digest,
            "vocabulary": len(self.vocabulary),
            "length": self.length,
            "channels": channels,
            "height": height,
            "width": width,
            "divided": self.divided,
            "splits": {
                name: {
                    "images": len(each),
                    "captions": int(each.counts.sum()),
                    "unknown": each.unknown,
                }
                for name, each in self.splits.items()
            },
            "examples": list(self.examples),
            "skipped": [
                {"reason": each.reason, "count": each.count, "examples": list(each.examples)}
                for each in self.skipped
            ],
            "notes": list(self.notes),
            "lines": list(self.lines),
            "warnings": [],
        }

    def said(self, tokens: Sequence[int]) -> str:
        """A caption in words."""
        return " ".join(self.vocabulary[token] for token in tokens)


def load_captions(source: str | CaptionSource, request: Request) -> CaptionData:
    """Reads images with captions.

    Args:
        source: what `--data` says, or that parsed.
        request: size, aspect, ground and limit; the first images of a split are kept.

    Raises:
        DataError: they cannot be read, or there are too few.
    """
    parsed = parse_captions(source) if isinstance(source, str) else source
    if parsed.path is None:
        drawn = draw_scenes(parsed)
        splits = {name: _fitted(each, request) for name, each in drawn.items()}
        notes = (f"{SYNTHETIC}: digits of people, in scenes and words of a grammar",)
        return _numbered(parsed, splits, request, "divided by their digits", notes, ())
    return _own(parsed, parsed.path, request)


def words(caption: str) -> tuple[str, ...]:
    """The words of a caption: in small letters with their marks, without punctuation."""
    text = unicodedata.normalize("NFC", caption.casefold())
    if text.isascii():
        return tuple(_WORD.findall(text))
    # To `re` a mark is no letter, so the letter that it is written on stands for it here.
    plain = ""
    for each in text:
        marks = plain and unicodedata.category(each).startswith("M")
        plain += plain[-1] if marks else each
    return tuple(text[found.start() : found.end()] for found in _WORD.finditer(plain))


def _fitted(drawn: Drawn, request: Request) -> Read:
    """Scenes in the size and channels that are asked for."""
    pixels, captions = drawn
    kept = len(captions) if request.limit is None else min(request.limit, len(captions))
    own = Examples(torch.from_numpy(pixels[:kept]), torch.arange(kept) % 2)
    plain = Request(request.resolution, request.channels, aspect=request.aspect)
    fitted = finish("captions", plain, own, own, ("0", "1")).train
    return Examples(fitted.images, torch.arange(kept)), captions[:kept]


def _own(source: CaptionSource, path: Path, request: Request) -> CaptionData:
    found = read_pairs(path)
    skipped, kept = list(found.skipped), list[Pair]()
    long, without = list[str](), list[str]()
    for pair in found.pairs:
        captions = tuple(each for each in pair.captions if words(each))
        fitting = tuple(each for each in captions if len(words(each)) <= source.length)
        name = Path(pair.file.path).name
        long += [name] * (len(captions) - len(fitting))
        without += [name] * (len(pair.captions) - len(captions))
        if fitting:
            kept.append(Pair(pair.file, fitting, pair.role))
    for reason, names in (
        (f"captions of more than {source.length} words", long),
        ("captions without a word", without),
    ):
        if names:
            skipped.append(Skipped(reason, len(names), tuple(names[:5])))
    if len(kept) < LEAST:
        why = "".join(f"; {each.reason}: {each.count}" for each in skipped)
        problem = f"{len(kept)} images with captions, too few{why}"
        raise DataError(f"{path}: {problem}; allowed: {LEAST} or more")
    splits, divided, notes = _divided(path, kept, request.limit)
    decoded, unreadable, remarks = _decoded(path, splits, request)
    skipped += unreadable
    seen = seen_before(decoded["train"][0], decoded["test"][0])
    notes = (*found.notes, *notes, *remarks, *seen, *_alike(decoded["train"][1]))
    return _numbered(source, decoded, request, divided, notes, tuple(skipped))


def _alike(captions: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Remarks on captions that are the same for all images."""
    said = {words(each) for row in captions for each in row}
    if len(said) > 1:
        return ()
    (only,) = said
    caption = textwrap.shorten(" ".join(only), 60)
    return (f'all train images have the same caption, "{caption}": networks need no images',)


def _divided(
    path: Path, pairs: Sequence[Pair], limit: int | None
) -> tuple[dict[str, list[Pair]], str, tuple[str, ...]]:
    """All three splits: those that nothing gives images are the last ones of the train split."""
    by_role = any(pair.role is not None for pair in pairs)
    train = [pair for pair in pairs if pair.role in ("train", None)]
    splits: dict[str, list[Pair]] = {}
    notes = []
    held = max(1, len(train) // HELD)
    for role in ("test", "validation"):
        splits[role] = [pair for pair in pairs if pair.role == role]
        if not splits[role]:
            splits[role], train = train[-held:], train[:-held]
            if by_role:
                notes.append(f"no image is {role}: the last ones of train are held out for it")
    if not train:
        raise DataError(f"{path}: no image to train on; allowed: images of the split train")
    splits["train"] = train
    if limit is not None:
        splits = {name: each[:limit] for name, each in splits.items()}
    divided = "divided by what names their splits" if by_role else "divided by position"
    return {name: splits[name] for name in SPLITS}, divided, tuple(notes)


def _decoded(
    path: Path, splits: Mapping[str, Sequence[Pair]], request: Request
) -> tuple[dict[str, Read], list[Skipped], tuple[str, ...]]:
    """The images of the splits; of those that cannot be read, the reasons."""
    files = {
        name: [
            ImageFile(pair.file.path, index, pair.file.size, pair.file.modified)
            for index, pair in enumerate(pairs)
        ]
        for name, pairs in splits.items()
    }
    every = [file for each in files.values() for file in each]
    shape = common_shape(headers(every, request.tick), request.resolution, request.channels)
    preparation = Preparation(request.aspect, request.ground)
    read: dict[str, Read] = {}
    reasons: dict[str, list[str]] = {}
    resized = 0
    for name, own in files.items():
        found = decode(own, shape, request.tick, preparation, request.cache)
        for file, why in found.unreadable:
            reasons.setdefault(f"unreadable images ({why})", []).append(Path(file).name)
        if not len(found.labels):
            raise DataError(f"{path}: no {name} image can be read; allowed: one or more")
        images = torch.from_numpy(np.ascontiguousarray(found.images))
        captions = [splits[name][index].captions for index in found.labels.tolist()]
        read[name] = Examples(images, torch.arange(len(images))), captions
        resized += found.resized
    size = f"{shape.width}x{shape.height}"
    remarks = (f"resized {resized:,} images to {size}",) if resized else ()
    skipped = [Skipped(why, len(names), tuple(names[:5])) for why, names in reasons.items()]
    return read, skipped, remarks


def _numbered(
    source: CaptionSource,
    splits: Mapping[str, Read],
    request: Request,
    divided: str,
    notes: tuple[str, ...],
    skipped: tuple[Skipped, ...],
) -> CaptionData:
    texts = {name: [[*map(words, row)] for row in captions]
             for name, (_, captions) in splits.items()}  # fmt: skip
    known = by_frequency(token for row in texts["train"] for each in row for token in each)
    vocabulary = (*SPECIAL, *known[: source.vocabulary - len(SPECIAL)])
    numbers = {token: number for number, token in enumerate(vocabulary)}
    rows = [row for each in texts.values() for row in each]
    most = max(map(len, rows))
    length = 1 + max(len(each) for row in rows for each in row)
    made = {name: _split(splits[name][0], texts[name], numbers, (most, length)) for name in SPLITS}
    if request.limit is not None:
        notes = (*notes, f"limited to the first {request.limit:,} images of every split")
    return CaptionData(
        source.name,
        source,
        vocabulary,
        made["train"],
        made["validation"],
        made["test"],
        _digest(vocabulary, made),
        tuple(textwrap.shorten(row[0], 100) for row in splits["train"][1][:3]),
        divided,
        notes,
        skipped,
    )


def _split(
    images: Examples,
    texts: Sequence[Sequence[Sequence[str]]],
    numbers: Mapping[str, int],
    extents: tuple[int, int],
) -> CaptionSplit:
    tokens = np.full((len(texts), *extents), NO_REFERENCE, np.int32)
    unknown = 0
    for index, row in enumerate(texts):
        for place, each in enumerate(row):
            found = [numbers.get(token, UNKNOWN) for token in each]
            unknown += found.count(UNKNOWN)
            tokens[index, place] = PAD
            tokens[index, place, : len(found) + 1] = [*found, END]
    return CaptionSplit(images, torch.from_numpy(tokens), unknown)


def _digest(vocabulary: Sequence[str], splits: Mapping[str, CaptionSplit]) -> str:
    digest = hashlib.sha256(b"captions")
    for token in vocabulary:
        raw = token.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(8, "big") + raw)
    for split in splits.values():
        digest.update(repr((split.images.shape, tuple(split.tokens.shape))).encode())
        for part in split.images.parts():
            digest.update(part.contiguous().numpy().data)
        digest.update(split.tokens.numpy().astype("<i4").tobytes())
    return digest.hexdigest()
