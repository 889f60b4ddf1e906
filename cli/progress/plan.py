"""The plan of a run that is not begun: `--dry-run`."""

from collections.abc import Sequence
from typing import Any

from autospace.cli.output import InputError, data, json_data
from autospace.cli.progress.reporters import running


def print_plan(
    command: str, progress: str, format_: str, log: Sequence[str], **arguments: Any
) -> None:
    """Prints what a command would do and how long it would take; nothing is written.

    Args:
        command: `evolve`, `compare`, `search` or `train`.
        progress: how the reading of images is shown.
        format_: `table` or `json`.
        log: the tools of `--log`: nothing is written for them, but they have to be there.
        arguments: of the command's function in `autospace.api`.

    Raises:
        InputError: a run that has begun has no plan.
        ConfigError: the run would not begin.
    """
    from autospace import api

    if arguments.get("resume") is not None:
        raise InputError("--dry-run: shows the plan of a new run; allowed: without --resume")
    with running(progress, command, log=log) as observer:
        found = api.plan(getattr(api, command), observer=observer, **arguments)
    if format_ == "json":
        json_data(dict(found.record))
    else:
        data("\n".join(found.lines))
