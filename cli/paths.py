"""Paths that a user gives, made to hold in whatever folder they are used again."""

from pathlib import Path

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
