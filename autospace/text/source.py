"""The text of `--data` where it names a text: what to read, and how it becomes tokens."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from autospace.data.errors import DataError
from autospace.spaces.errors import offered

KIND: Final = "text"
FORM: Final = "text[:key=value,...][:PATH]"
Tokens = Literal["characters", "words"]
LARGEST_VOCABULARY: Final = 100_000
LONGEST_SEGMENT: Final = 1000
DEFAULT_VOCABULARY: Final[dict[str, int]] = {"characters": 1000, "words": 10_000}
"""As many words as the Penn Treebank of Mikolov et al. (2010) has."""
_OPTIONS: Final = re.compile(r"(\w+=[^:]*)(?::|$)")
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class TextSource:
    """What to read, and how it becomes tokens.

    Attributes:
        path: a file or folder; None for the text that comes with Python.
        tokens: what a token is. Words are what white space divides; every line ends with a token.
        vocabulary: largest number of different tokens; None for the default of `tokens`.
        bptt: tokens in a row through which gradients go back.

    Raises:
        DataError: a value is out of range.
    """

    path: Path | None = None
    tokens: Tokens = "characters"
    vocabulary: int | None = None
    bptt: int = 35

    def __post_init__(self) -> None:
        """Checks the values."""
        if self.tokens not in get_args(Tokens):
            raise DataError(f"tokens {self.tokens!r}: {offered(self.tokens, get_args(Tokens))}")
        if self.vocabulary is not None and not 2 <= self.vocabulary <= LARGEST_VOCABULARY:
            allowed = f"allowed: 2 to {LARGEST_VOCABULARY:,}"
            raise DataError(f"vocabulary {self.vocabulary} is out of bounds; {allowed}")
        if not 1 <= self.bptt <= LONGEST_SEGMENT:
            raise DataError(f"bptt {self.bptt} is out of bounds; allowed: 1 to {LONGEST_SEGMENT}")

    @property
    def limit(self) -> int:
        """The largest number of different tokens."""
        return self.vocabulary or DEFAULT_VOCABULARY[self.tokens]

    @property
    def where(self) -> str:
        """What messages name: the path, or the kind where there is none."""
        return KIND if self.path is None else str(self.path)

    @property
    def name(self) -> str:
        """Short name of the text, without the folders above it."""
        return KIND if self.path is None else f"{KIND}:{self.path.resolve().name}"

    @property
    def text(self) -> str:
        """What `parse_text` reads as this source."""
        usual = TextSource()
        given = [
            f"{each.name}={getattr(self, each.name)}"
            for each in fields(self)
            if each.name != "path" and getattr(self, each.name) != getattr(usual, each.name)
        ]
        parts = [KIND, *([",".join(given)] if given else [])]
        return ":".join(parts if self.path is None else [*parts, str(self.path)])


def is_text(source: str) -> bool:
    """Whether the text of `--data` names a text, and not images."""
    return source.partition(":")[0] == KIND


def parse_text(source: str) -> TextSource:
    """Reads the text of `--data`; the path is not looked at yet.

    Options stand before the path: `text:tokens=words,vocabulary=5000:novel.txt`. A path that looks
    like options is written `./a=b`.

    Raises:
        DataError: the text does not have the form.
    """
    kind, colon, rest = source.partition(":")
    if kind != KIND or len(source) > _LONGEST or "\0" in source:
        raise _malformed(source, "is not a text")
    if not colon:
        return TextSource()
    options: dict[str, str] = {}
    found = _OPTIONS.match(rest)
    if found:
        options = _options(source, found[1])
        rest = rest[found.end() :]
    if not rest.strip() and not (found and not source.endswith(":")):
        raise _malformed(source, "names no path")
    return TextSource(_path(source, rest), **_values(source, options))


def _path(source: str, rest: str) -> Path | None:
    if not rest:
        return None
    try:
        return Path(rest).expanduser()
    except RuntimeError:
        raise _malformed(source, "names a home folder that does not exist") from None


def _options(source: str, text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    known = [each.name for each in fields(TextSource) if each.name != "path"]
    for item in text.split(","):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise _malformed(source, f"has the option {item!r} that is not key=value")
        if key in options:
            raise _malformed(source, f"gives the option {key!r} twice")
        if key not in known:
            raise _malformed(source, f"has the unknown option {key!r}; {offered(key, known)}", "")
        options[key] = value
    return options


def _values(source: str, options: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = dict(options)
    for key in ("vocabulary", "bptt"):
        if key not in options:
            continue
        if not re.fullmatch(r"[0-9]{1,9}", options[key]):
            problem = f"has {key} {options[key]!r}; allowed: a whole number"
            raise _malformed(source, problem, "")
        found[key] = int(options[key])
    return found


def _malformed(source: str, problem: str, allowed: str = f"; allowed: {FORM}") -> DataError:
    shown = source if len(source) <= 80 else f"{source[:77]}..."
    return DataError(f"data {shown!r} {problem}{allowed}")
