"""What a caller asks of a data set: the text of `--data` and the options, checked once."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from autospace.data.errors import LARGEST_SIDE, DataError
from autospace.data.meant import meant
from autospace.data.plain_text import divided_source, home_path
from autospace.data.settings import GROUND, PYTHON, Aspect
from autospace.data.splits import check_seed
from autospace.progress import Tick, no_tick
from autospace.spaces.errors import offered

FORMS = {
    "digits": "digits",
    "folder": "folder:PATH",
    "cifar10": "cifar10:PATH",
    "cifar100": "cifar100:PATH",
    "idx": "idx:PATH",
    "npz": "npz:PATH",
    "sentences": "sentences[:key=value,...][:PATH]",
    "shards": "shards:PATTERN",
    "synthetic": "synthetic[:key=value,...]",
}
OTHERS = {
    "text": "is a text, which image networks do not read",
    "captions": "is images with captions, which networks for classes do not read",
}
"""The kinds of sources that `autospace.text` and `autospace.captions` read."""
SENTENCES = "sentences"
OF_SENTENCES = ("tokens", "vocabulary", "length", "text", "label")
"""Options of sentences; the last two name columns of a table."""
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set comes from.

    Attributes:
        kind: A key of `FORMS`.
        path: The file, folder or pattern, `None` for `digits` and `synthetic`; `~` is expanded.
        options: Of `synthetic` and `sentences`, as written, values unparsed.
    """

    kind: str
    path: Path | None = None
    options: dict[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """What to name in messages: the path, or the kind where there is none."""
        return self.kind if self.path is None else str(self.path)

    @property
    def name(self) -> str:
        """Short name of the data set without the folders above it, such as `folder:pets`."""
        if self.path is None or self.kind in ("cifar10", "cifar100"):
            return self.kind
        return f"{self.kind}:{self.path.resolve().name}"

    @property
    def text(self) -> str:
        """What `parse_source` reads as this source."""
        options = ",".join(f"{key}={value}" for key, value in self.options.items())
        parts = [self.kind, *([options] if options else [])]
        return ":".join(parts if self.path is None else [*parts, str(self.path)])


def parse_source(text: str) -> Source:
    """Reads the text after `--data`.

    Args:
        text: One of the values of `FORMS`.

    Returns:
        The source; the path is not looked at yet.

    Raises:
        DataError: The text has none of the forms.
    """
    kind, colon, rest = text.partition(":")
    if kind == PYTHON:
        return Source(kind, Path(rest) if rest else None)
    if kind in OTHERS:
        raise _malformed(text, OTHERS[kind])
    if kind not in FORMS or len(text) > _LONGEST or "\0" in text:
        is_path = len(text) <= _LONGEST and "\0" not in text and text.strip()
        hint = meant("", Path(text)) if is_path else ""
        raise _malformed(text, "is not a data source", hint)
    if kind == SENTENCES:
        options, path = divided_source(text, kind, OF_SENTENCES)
        return Source(kind, home_path(text, path, kind), options)
    if kind == "digits":
        if colon:
            raise _malformed(text, "has text after 'digits'")
        return Source(kind)
    if kind == "synthetic":
        return Source(kind, options=_options(text, rest) if colon else {})
    if not rest.strip():
        raise _malformed(text, "names no path")
    return Source(kind, _expand(text, rest))


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def _expand(text: str, rest: str) -> Path:
    try:
        return Path(rest).expanduser()
    except RuntimeError as error:
        raise _malformed(text, "names a home folder that does not exist") from error


def _options(text: str, rest: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for item in rest.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise _malformed(text, f"has the option {item!r} that is not key=value")
        if key in options:
            raise _malformed(text, f"gives the option {key!r} twice")
        options[key] = value
    return options


def _malformed(text: str, problem: str, hint: str = "") -> DataError:
    """The error of a text; a hint at what is meant takes the place of a guess by its name."""
    kind = text.partition(":")[0]
    known = kind in FORMS or kind in OTHERS
    # Commands that take other data than images look for these kinds before they come here.
    others = () if known else tuple(f"{each}[:key=value,...][:PATH]" for each in OTHERS)
    words = ", ".join((*FORMS.values(), *others))
    guess = not (known or hint)
    allowed = offered(kind, (*FORMS, *OTHERS), words) if guess else f"allowed: {words}"
    return DataError(f"data {_short(text)!r} {problem}{hint}; {allowed}")


_SECONDS_BETWEEN_TICKS = 0.1


@dataclass(frozen=True, slots=True)
class Request:
    """The size, channels and number of images to read.

    Attributes:
        resolution: Side of the square images in pixels; `None` keeps the most common size.
        channels: 1 (grey) or 3 (RGB); `None` keeps what the source has.
        limit: Largest number of examples of each split; `None` for all.
        seed: Chooses the examples under a limit.
        cache: Folder for decoded images; `None` for no cache.
        tick: Receives the items done and the total.
        aspect: `squash`, `crop` or `pad`: how images get other proportions.
        ground: Colour below transparent images and around padded ones: `white`, `black`, `grey` or
            `#RRGGBB`.

    Raises:
        DataError: A value is out of range.
    """

    resolution: int | None = None
    channels: int | None = None
    limit: int | None = None
    seed: int = 0
    cache: Path | None = None
    tick: Tick = no_tick
    aspect: Aspect = "squash"
    ground: str = "white"

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.resolution is not None and not 1 <= self.resolution <= LARGEST_SIDE:
            raise DataError(
                f"resolution {self.resolution} is out of bounds; allowed: 1 to {LARGEST_SIDE}"
            )
        if self.channels not in (None, 1, 3):
            raise DataError(f"channels {self.channels} is not possible; allowed: 1 or 3")
        if self.limit is not None and self.limit < 1:
            raise DataError(f"limit {self.limit} is out of bounds; allowed: 1 or more")
        if self.aspect not in get_args(Aspect):
            known = offered(self.aspect, get_args(Aspect))
            raise DataError(f"aspect {self.aspect!r} is not known; {known}")
        if re.fullmatch(GROUND, self.ground) is None:
            words = "white, black, grey or #RRGGBB"
            known = offered(self.ground, ("white", "black", "grey"), words)
            raise DataError(f"ground {self.ground[:40]!r} is no colour; {known}")
        check_seed(self.seed)


def thinned(tick: Tick, clock: Callable[[], float] = time.monotonic) -> Tick:
    """A tick that is passed on about ten times a second at most, and always at the end.

    Args:
        tick: Receives the items done and the total.
        clock: Seconds.
    """
    following = float("-inf")

    def thin(done: int, total: int) -> None:
        nonlocal following
        now = clock()
        if now >= following or done >= total:
            following = now + _SECONDS_BETWEEN_TICKS
            tick(done, total)

    return thin
