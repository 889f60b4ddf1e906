"""Packages that only some options need."""

from collections.abc import Sequence
from importlib.util import find_spec

from autospace.cli.output import InputError


def require(option: str, extra: str, packages: Sequence[str]) -> None:
    """Refuses an option before anything is started, if a package that it needs is missing.

    Raises:
        InputError: naming the packages, and the command that installs them.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        command = f"pip install 'autospace[{extra}]'"
        raise InputError(f"{option}: needs the package {', '.join(missing)}: {command}")
