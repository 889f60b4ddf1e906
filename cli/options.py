"""Options that several commands have: their values, checked and resolved once."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from autospace.cli.output import InputError

LARGEST_LIMIT: Final = 10**15


def limit(option: str, text: str) -> int:
    """A count such as `5M`, `1.5k` or `300000`.

    Raises:
        InputError: no such number, or one that is no limit.
    """
    from autospace.spaces.text import parse_count

    value = parse_count(text)
    if value is None or not 1 <= value <= LARGEST_LIMIT:
        raise InputError(f"{option} {text[:40]!r}: expected a number such as 5M")
    return value


def limit_or_word(option: str, text: str | None, words: tuple[str, ...]) -> int | str | None:
    """A limit, or one of a few words that stand for one; None stays None.

    Raises:
        InputError: neither of both.
    """
    if text is None or text in words:
        return text
    try:
        return limit(option, text)
    except InputError as error:
        raise InputError(f"{error}, {' or '.join(words)}") from None


# Sources of images that are a path; the others name what the program itself brings.
_OF_PATHS = frozenset({"folder", "cifar10", "cifar100", "idx", "npz"})


def absolute_source(source: str) -> str:
    """The text of `--data` with an absolute path, where there is a path in it."""
    kind, _, path = source.partition(":")
    return f"{kind}:{absolute(path)}" if kind in _OF_PATHS and path.strip() else source


def absolute(path: str) -> str:
    """The path from the root, or as it is where there is no such home or no current folder."""
    try:
        return str(Path(path).expanduser().absolute())
    except (RuntimeError, OSError):
        return path


MOST: Final = 1024


def check_workers(count: int | None) -> None:
    """None stands for as many as fit.

    Raises:
        InputError: no number of processes.
    """
    if count is not None and not 1 <= count <= MOST:
        raise InputError(f"--workers {count}: allowed: 1 to {MOST:,}")


def require(option: str, extra: str, packages: Sequence[str]) -> None:
    """Refuses an option before anything is started, if a package that it needs is missing.

    Raises:
        InputError: naming the packages, and the command that installs them.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        command = f"pip install 'autospace[{extra}]'"
        raise InputError(f"{option}: needs the package {', '.join(missing)}: {command}")
