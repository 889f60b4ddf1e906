"""The value of `--workers`."""

from typing import Final

from autospace.cli.output import InputError

MOST: Final = 1024


def check_workers(count: int | None) -> None:
    """None stands for as many as fit.

    Raises:
        InputError: no number of processes.
    """
    if count is not None and not 1 <= count <= MOST:
        raise InputError(f"--workers {count}: allowed: 1 to {MOST:,}")
