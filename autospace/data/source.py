"""The grammar of `--data`: text such as `folder:/pets` to a kind, a path or options."""

from dataclasses import dataclass, field
from pathlib import Path

from autospace.data.errors import DataError

FORMS = {
    "digits": "digits",
    "folder": "folder:PATH",
    "cifar10": "cifar10:PATH",
    "cifar100": "cifar100:PATH",
    "idx": "idx:PATH",
    "npz": "npz:PATH",
    "synthetic": "synthetic[:key=value,...]",
}

_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Source:
    """Where a data set comes from.

    Attributes:
        kind: A key of `FORMS`.
        path: The file or folder, `None` for `digits` and `synthetic`; `~` is expanded.
        options: `synthetic` options as written, values unparsed.
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
    if kind not in FORMS or len(text) > _LONGEST or "\0" in text:
        raise _malformed(text, "is not a data source")
    if kind == "digits":
        if colon:
            raise _malformed(text, "has something after 'digits'")
        return Source(kind)
    if kind == "synthetic":
        return Source(kind, options=_options(text, rest) if colon else {})
    if not rest.strip():
        raise _malformed(text, "names no path")
    return Source(kind, _expand(text, rest))


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


def _malformed(text: str, problem: str) -> DataError:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return DataError(f"data {shown!r} {problem}; allowed: {', '.join(FORMS.values())}")
