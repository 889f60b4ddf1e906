"""What all commands share before they run: help in panels, environment variables, usage errors."""

import re
import sys
import traceback
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from autospace.cli import output
from autospace.cli.output import (
    BAD_INPUT,
    OK,
    InputError,
    complaint,
    errors_reported,
    interrupts_remembered,
    message,
    processes_of_torchrun,
)
from autospace.spaces.errors import offered

HELP_NAMES: Final = {"help_option_names": ["-h", "--help"]}
USAGE_ERROR: Final[Any] = typer.BadParameter.__base__

PANELS: Final = {
    "Images and network": "data skeleton architecture space resolution channels classes table "
    "layer cell weights",
    "Method and size": "preset config family method scorer objectives recipe evaluator match split "
    "supernet-training interference generations population candidates keep samples effect repeats "
    "evaluations count suite quick seeds steps epochs batch lr no-validation seed set",
    "Limits": "max-madds max-params max-ops max-latency-ms latency-table tolerance",
    "Where it runs": "device workers executor address threads dtype cache",
}
"""Options of a panel of the help, by their long names; all others are in the panel `Options`."""
FEW: Final = 9
"""With at most so many options, a command needs no panels."""
WIDEST: Final = 78
"""Columns of an option with its words in the help, which is indented by two."""
_HYPHEN: Final = "\ue000"
"""Stands for a hyphen within a word while help is wrapped: names are not broken there."""

KEPT: Final = (
    *("device", "workers", "executor", "address", "progress", "format_", "onnx", "tensorboard"),
    *("log", "resume"),
)
"""Parameters whose environment variables count for a run that is resumed."""


class Command(TyperCommand):
    """A command with `-h`, `-q`, `-v`, and an environment variable for every option."""

    def __init__(self, name: str | None, **settings: Any) -> None:
        settings["context_settings"] = {**(settings.get("context_settings") or {}), **HELP_NAMES}
        super().__init__(name, **settings)
        self.params += _flags()
        for option in self.params:
            if isinstance(option, TyperOption):
                variable = variable_of(name or "", option)
                own = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
                option.envvar = [variable, *own]
                option.show_envvar = False
        self.epilog = f"Each option has an environment variable: {variable_of(name or '')}."

    def get_help_option(self, ctx: Any) -> Any:
        """The options `-h` and `--help`."""
        return _without_pydantic(super().get_help_option(ctx))

    def get_help(self, ctx: Any) -> str:
        """The help, in lines of 80 columns that end between words."""
        text: str = super().get_help(ctx)
        return text.replace(_HYPHEN, "-")

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses; the environment of new runs does not count for a run that is resumed.

        Raises:
            InputError: a path is empty, as of a variable of a script that is not set.
        """
        given = list(args)  # parsing empties the list
        rest: list[str] = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _check_paths(self.params, given, ctx.params)
        if ctx.params.get("resume") is not None:
            for option in self.params:
                if option.name not in KEPT and _from_environment(ctx, option):
                    ctx.params[option.name] = option.default
        if output.loudness.verbose:
            _tell_options(ctx, self.params)
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the command.

        Raises:
            InputError: torchrun started it several times, and it is not one that works so.
        """
        count = processes_of_torchrun()
        if count > 1 and self.name != "train":
            advice = "run it once, without torchrun"
            if any("--executor" in option.opts for option in self.params):
                advice += f": autospace {self.name} --executor processes or ray shares its work out"
            problem = f"torchrun started it in {count} processes, which is for train only"
            raise InputError(f"{self.name}: {problem}; {advice}")
        return super().invoke(ctx)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The arguments, then the options in panels."""
        sections: dict[str, list[tuple[str, str]]] = defaultdict(list)
        params = self.get_params(ctx)
        many = sum(isinstance(each, TyperOption) for each in params) > FEW
        order = ["Arguments", *PANELS, "Options"]
        for each in params:
            panel = _panel(each) if many else "Options"
            section = panel if isinstance(each, TyperOption) else "Arguments"
            names, text = each.get_help_record(ctx) or ("", "")
            plain = _IN_WORDS.sub(r"[default: \1\2]", text)
            sections[section].append((_folded(names), _WITHIN.sub(_HYPHEN, plain)))
        for title in sorted(sections, key=order.index):
            with formatter.section(title):
                formatter.write_dl(sections[title])


def _folded(names: str) -> str:
    """Option and words in 78 columns: more words than fit go on in the next line."""
    if len(names) <= WIDEST:
        return names
    place = names.rindex("|", 0, WIDEST)
    indent = " " * (names.index("<") + 3)
    return f"{names[: place + 1]}\n{indent}{names[place + 1 :]}"


class Program(TyperGroup):
    """Commands whose errors end as one line on stderr and an exit code, never as a traceback."""

    def __init__(self, **settings: Any) -> None:
        settings["context_settings"] = {**(settings.get("context_settings") or {}), **HELP_NAMES}
        super().__init__(**settings)

    def get_help_option(self, ctx: Any) -> Any:
        """The options `-h` and `--help` of the program itself."""
        return _without_pydantic(super().get_help_option(ctx))

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs the program; a wrong command line is one line on stderr, too."""
        output.open_streams()
        output.loudness.reset()
        standalone = extra.get("standalone_mode", True)
        try:
            with interrupts_remembered(), errors_reported():
                code = super().main(*args, **{**extra, "standalone_mode": False})
        except typer.Exit as stopped:
            code = stopped.exit_code
        except USAGE_ERROR as error:
            _tell(error)
            code = BAD_INPUT
        if standalone:
            sys.exit(code if isinstance(code, int) else OK)
        return code

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the options of the program itself, among them those of completion."""
        for option in self.params:
            _without_pydantic(option)
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was named.

        Raises:
            InputError: the current folder was removed, without which PyTorch's libraries fail.
        """
        with errors_reported():
            try:
                Path.cwd()
            except FileNotFoundError:
                problem = "was removed; change into a folder that exists"
                raise InputError(f"the current folder {problem}") from None
            result = super().invoke(ctx)
            # Here, not at exit, so that a closed pipe is noticed where it is handled.
            sys.stdout.flush()
            return result

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of this name."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            ctx.fail(f"{name[:40]!r}: no such command; {offered(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


_IN_WORDS: Final = re.compile(r"\[default: \((.*)\)(; [^\]]*)?\]$")
"""A default in words, which Typer has in brackets, and the range after it."""
_WITHIN: Final = re.compile(r"(?<=\w)-(?=\w)")
_QUIET: Final = "Show nothing but results and errors."
_VERBOSE: Final = "Show the options and where they come from, and errors with their traceback."


def _flags() -> list[TyperOption]:
    """`-q` and `-v`, made as Typer makes the options of a function."""

    def chosen(ctx: typer.Context, param: typer.CallbackParam, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            output.loudness.set(1 if param.name == "quiet" else 2)

    app = typer.Typer(add_completion=False)
    early: Any = {"is_eager": True, "callback": chosen}

    @app.command()
    def flags(
        quiet: Annotated[bool, typer.Option("-q", "--quiet", help=_QUIET, **early)] = False,
        verbose: Annotated[bool, typer.Option("-v", "--verbose", help=_VERBOSE, **early)] = False,
    ) -> None:
        pass

    params: Any = typer.main.get_command(app).params
    for each in params:
        each.expose_value = False
    return list(params)


def variable_of(command: str, option: TyperOption | None = None) -> str:
    """The environment variable of an option: `AUTOSPACE_EVOLVE_MAX_MADDS` for `--max-madds`."""
    name = "OPTION" if option is None else _long(option).upper().replace("-", "_")
    return f"AUTOSPACE_{command.upper().replace('-', '_')}_{name}"


def _long(option: TyperOption) -> str:
    return max(option.opts, key=len).lstrip("-")


def _panel(each: Any) -> str:
    found = [title for title, names in PANELS.items() if _long(each) in names.split()]
    return found[0] if found else "Options"


def _without_pydantic(option: Any) -> Any:
    if option is not None:
        # With no value at all, Typer imports pydantic to make it a bool: a third of a start.
        option.default = False
        option.opts.sort(key=len)
    return option


def _check_paths(params: list[Any], args: list[str], values: dict[str, Any]) -> None:
    """Refuses an option whose path is empty: that would be the folder one is in.

    Other empty values are refused where the words are known that are allowed.
    """
    paths = [each for each in params if isinstance(values.get(each.name), Path)]
    taking = {name: each for each in paths if isinstance(each, TyperOption) for name in each.opts}
    for before, word in zip(["", *args], args, strict=False):
        if word == "--":
            return
        name = before if word == "" else word[:-1] if word[:2] == "--" and word[-1] == "=" else ""
        if name in taking:
            raise InputError(f"{_named(taking[name])} '': allowed: a path that is not empty")


def _from_environment(ctx: Any, option: Any) -> bool:
    source = ctx.get_parameter_source(option.name)
    return source is not None and source.name == "ENVIRONMENT"


def _tell_options(ctx: Any, params: list[Any]) -> None:
    """Every option that was given, and where."""
    from importlib.metadata import version

    message(f"autospace {version('autospace')}, command {ctx.info_name}")
    for each in params:
        source = ctx.get_parameter_source(each.name)
        if each.name in ctx.params and source is not None and source.name != "DEFAULT":
            place = "environment" if _from_environment(ctx, each) else "command line"
            message(f"  {_named(each)} {ctx.params[each.name]} ({place})")


def _tell(error: Any) -> None:
    """A wrong command line in one line."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    if output.loudness.verbose:
        traceback.print_exception(error)
    complaint(f"error: {usage_text(error)}")


def usage_text(error: Any) -> str:
    """What is wrong with a command line: the option, the problem, what is allowed."""
    text = _plain(error.format_message())
    command = "autospace" if error.ctx is None else error.ctx.command_path
    kind, option = type(error).__name__, getattr(error, "param", None)
    if kind == "NoSuchOption":
        known = error.ctx.command.get_params(error.ctx) if error.ctx is not None else ()
        names = [name for each in known if isinstance(each, TyperOption) for name in each.opts]
        words = f"the options that {command} --help lists"
        return (
            f"{error.option_name[:40]}: no such option; {offered(error.option_name, names, words)}"
        )
    if kind == "MissingParameter" and option is not None:
        return f"{_named(option)}: missing; allowed: {_lower(option.help or 'a value')}"
    if option is None:
        return _lower(text)
    problem = _plain(error.message)
    wrong = re.match(r"'(.*)' is not one of ", problem)
    if wrong:
        choices = [str(each) for each in option.type_descriptor.choices or ()]
        return f"{_place(error, option)} {wrong[1][:40]!r}: {offered(wrong[1], choices)}"
    return f"{_place(error, option)}{_given(error)}: {_lower(problem)}"


def _given(error: Any) -> str:
    """The wrong value, where the error has one that can be shown."""
    cause = error.__cause__
    found = cause.errors()[0].get("input") if hasattr(cause, "errors") else None
    return f" {str(found)[:40]!r}" if isinstance(found, str | int | float) else ""


def _place(error: Any, option: Any) -> str:
    """The option, or the environment variable that it has its value from."""
    if error.ctx is not None and _from_environment(error.ctx, option):
        import os

        return next((each for each in option.envvar if os.environ.get(each)), _named(option))
    return _named(option)


def _named(option: Any) -> str:
    return (
        f"--{_long(option)}" if isinstance(option, TyperOption) else option.display_name_raw.upper()
    )


def _plain(text: str) -> str:
    """A message without the words that Typer and pydantic put before it."""
    text = text.replace("Value error, ", "").replace("Input should be", "allowed:")
    text = re.sub(r", unable to parse.*$", "", text)
    # Of a number with thousands of digits.
    text = re.sub(r"^Unable to parse input string as an integer.*$", "allowed: an integer", text)
    text = re.sub(r"an? (valid )?integer", "a whole number", text).replace("valid ", "")
    text = text.replace("a boolean, unable to interpret input", "1 or 0")
    return re.sub(r"^Option '([^']+)' ", r"\1: ", text).strip().rstrip(".")


def _lower(text: str) -> str:
    # Not the first letter of a name such as NAME@SKELETON, but that of `A file`.
    kept = text[:2].isupper() and text[:2].isalpha()
    return text if kept else f"{text[:1].lower()}{text[1:]}".rstrip(".")
