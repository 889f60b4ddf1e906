"""A run that a command asks for: planned (`--dry-run`), or done in sight of its user."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autospace.cli.output import InputError, data, json_data
from autospace.cli.progress.parts import Parts
from autospace.cli.progress.reporters import finished, running

if TYPE_CHECKING:
    from autospace.progress import Outcome


@dataclass(frozen=True)
class Asked:
    """What the options of `evolve`, `compare`, `search` and `train` say of a run.

    Attributes:
        command: its name, also that of its function in `autospace.api`.
        progress: how progress is shown.
        format_: of the outcome or the plan: `table` or `json`.
        log: the tools that numbers of the run are written for.
        settings: those of `--set`.
        options: settings that other options stand for; they win.
        dry_run: whether the run is only planned.
    """

    command: str
    progress: str
    format_: str
    log: Sequence[str] | None
    settings: Sequence[str] | None
    options: Mapping[str, Any]
    dry_run: bool

    def run(
        self,
        parts: Parts | None = None,
        ended: "tuple[str, Callable[[Any], Outcome]] | None" = None,
        **arguments: Any,
    ) -> Any:
        """What the function returns; None, with the plan printed, if the run is only planned.

        Args:
            parts: that the display shows.
            ended: the file of the result, and what to log of the run that writes it.
            arguments: all others of the function; `workers` are number, executor and address.

        Raises:
            InputError: a run that has begun has no plan.
            ConfigError: the run cannot begin.
        """
        from autospace import api
        from autospace.compute.executor import Executor
        from autospace.runs.settings import merged, parse_settings

        function = getattr(api, self.command)
        arguments["settings"] = merged(parse_settings(list(self.settings or ())), self.options)
        if "workers" in arguments:
            arguments["workers"] = Executor(*arguments["workers"])
        if self.dry_run:
            self._plan(function, arguments)
            return None
        done = ended is None or finished(arguments["resume"], ended[0])
        with running(self.progress, self.command, parts, self.log or ()) as observer:
            found = function(observer=observer, **arguments)
            if ended is not None and not done:
                observer.event(ended[1](found))
        return found

    def _plan(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        """Prints what the run would do and how long it would take; nothing is written.

        The tools of `--log` have to be there all the same.
        """
        from autospace import api

        if arguments["resume"] is not None:
            raise InputError("--dry-run: shows the plan of a new run; allowed: without --resume")
        with running(self.progress, self.command, log=self.log or ()) as observer:
            found = api.plan(function, observer=observer, **arguments)
        if self.format_ == "json":
            json_data(dict(found.record))
        else:
            data("\n".join(found.lines))
