"""Options of the command line that several commands have: defined, checked and resolved once."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, overload

import typer

from autospace.cli.output import InputError, message

if TYPE_CHECKING:
    from autospace.spaces import Architecture, Space

Text = str | None
Number = int | None


def choices(*names: str, also: str = "") -> dict[str, Any]:
    """How an option shows the words that it takes: in the help, and to the shell's completion.

    The library checks the value; tests compare its words with these.

    Args:
        names: the words.
        also: what else it takes, such as `FILE`.
    """
    shown = [*names, also] if also else names
    return {"metavar": f"<{'|'.join(shown)}>", "autocompletion": lambda: list(names)}


FAMILIES: Final = ("auto", "resnet", "bottleneck", "convnext", "binary", "bnas")
PRESETS: Final = (
    "demo", "cifar-small", "cifar", "imagenet-mobile", "text", "captions", "sentences", "paper",
)  # fmt: skip


def _data(default: str | bool, whose: str) -> Any:
    return typer.Option(
        "--data",
        help="digits, folder:PATH, cifar10:PATH, cifar100:PATH, idx:PATH, npz:PATH, "
        f"shards:PATTERN or synthetic[:options]; for {whose} that read them text, sentences or "
        "captions[:options][:PATH].",
        show_default=default,
    )


def _most(name: str, cost: str, default: str | None = None) -> Any:
    """A limit on a cost; if there is a default, `none` and `reference` stand for limits, too."""
    words = "; none; or reference: those of the most expensive reference architecture"
    return typer.Option(
        f"--max-{name}",
        help=f"Maximum {cost}{words if default else ''}.",
        show_default=default or "none",
    )


def _workers(work: str, default: str, variable: str | None = None) -> Any:
    return typer.Option(
        "--workers",
        envvar=variable,
        help=f"Processes that {work}; their number changes only the time.",
        show_default=default,
        show_envvar=False,
    )


def _device(default: str | bool, help_: str = "Where to compute.", *more: str) -> Any:
    *words, last = more or ("cuda:N",)
    names = choices("auto", "cpu", "cuda", *words, also=last)
    return typer.Option("--device", help=help_, show_default=default, **names)


_MADDS: Final = "MAdds of any architecture, such as 5M"
_OPS: Final = "MAdds plus a 64th of the binary operations of any architecture"
_PARAMS: Final = "number of weights of any architecture"
_LATENCY: Final = "milliseconds of any architecture, by --latency-table"

# What a command works on.
SpaceSource = "A file, a run folder, or a built-in space as NAME@SKELETON."
Data = Annotated[Text, _data(default=False, whose="networks")]
DataOrDigits = Annotated[Text, _data("digits", "skeletons")]
OneArchitecture = Annotated[
    Text,
    typer.Option(
        "--architecture",
        help='One architecture of the space: a file, which may hold just {"layer_03": "cell id"}.',
    ),
]

# Settings.
Seed = Annotated[Number, typer.Option(help="Equal seeds give equal results.", show_default="0")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting, such as data.limit=1000."),
]
MaxMadds = Annotated[Text, _most("madds", _MADDS)]
MaxOps = Annotated[Text, _most("ops", _OPS)]
MaxParams = Annotated[Text, _most("params", _PARAMS)]
MaxLatency = Annotated[float | None, _most("latency-ms", _LATENCY)]
MaxMaddsOrWord = Annotated[Text, _most("madds", _MADDS, "reference")]
MaxOpsOrWord = Annotated[Text, _most("ops", _OPS, "none")]
MaxParamsOrWord = Annotated[Text, _most("params", _PARAMS, "none")]
MaxLatencyOrWord = Annotated[Text, _most("latency-ms", _LATENCY, "none")]


def _note_of_csv(path: str | None) -> str | None:
    """Says what a table of CSV lacks; whether it can be read shows later, with all other errors."""
    if path is not None and Path(path).suffix.lower() == ".csv":
        message(f"note: {path} has no correction, which only the JSON of autospace profile has")
    return path


LatencyTable = Annotated[
    Text,
    typer.Option(
        "--latency-table",
        help="File of autospace profile --out, or a published table by name.",
        show_default=False,
        callback=_note_of_csv,
    ),
]
Table = Annotated[
    Text,
    typer.Option(
        "--table",
        help="Published accuracies, for --evaluator table: nasbench-macro, "
        "nasbench201-12epochs, nasbench201-200epochs, or a file.",
        show_default=False,
    ),
]

# Where and how the work is done.
Device = Annotated[Text, _device("auto")]
Devices = Annotated[
    Text,
    _device("auto", "Where to compute; on several GPUs one worker each.", "all", "cuda:N,..."),
]
DeviceName = Annotated[str, _device(True)]
ScoringWorkers = Annotated[
    Number,
    _workers(
        "train cells on a CPU or on several GPUs",
        "as many as cores and memory allow; 1 per GPU",
        "AUTOSPACE_WORKERS",
    ),
]
EvaluationWorkers = Annotated[Number, _workers("evaluate networks", "one per core; 1 per GPU")]
TrialWorkers = Annotated[Number, _workers("train networks alone", "this one alone")]
WORK_OPTIONS: Final = "--workers, --executor, --address"
ExecutorName = Annotated[
    Text,
    typer.Option(
        "--executor",
        envvar="AUTOSPACE_EXECUTOR",
        help="Who does the work: this process, processes, or a Ray cluster.",
        show_default="here if --workers is 1, else processes",
        show_envvar=False,
        **choices("here", "processes", "ray"),
    ),
]
Address = Annotated[
    Text,
    typer.Option(
        metavar="HOST:PORT",
        help="Ray cluster for --executor ray.",
        show_default="RAY_ADDRESS, or the one on this machine",
    ),
]
Progress = Annotated[
    str,
    typer.Option(
        "--progress", help="Progress on stderr.", **choices("auto", "plain", "json", "none")
    ),
]

# Where results go.
Log = Annotated[
    list[str] | None,
    typer.Option(
        "--log",
        help="Also write the numbers of the run for this tool; may be repeated.",
        show_default="none",
        **choices("tensorboard", "wandb", "mlflow"),
    ),
]
RunOut = Annotated[
    Path | None, typer.Option("--out", help="Folder of the new run.", show_default="runs/...")
]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", help="Continue the run in this folder.", show_default=False),
]
Replace = Annotated[bool, typer.Option("--force", help="Replace an earlier run in the folder.")]
Overwrite = Annotated[bool, typer.Option("--force", help="Overwrite existing files.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Read the data, show the plan, and write nothing.")
]
Format = Annotated[
    Literal["table", "json"], typer.Option("--format", help="For people, or for programs.")
]


def check_resumed(resume: Path | None, others: Sequence[object], allowed: str) -> None:
    """Refuses the options that a run which is resumed cannot change any more.

    Args:
        resume: the folder of the run; None for a new one.
        others: the values of the options besides those allowed.
        allowed: the options that may be combined with `--resume`.

    Raises:
        InputError: there are others.
    """
    if resume is not None and any(others):
        problem = f"keeps the settings of the run; only {allowed} can be combined with it"
        raise InputError(f"--resume: {problem}")


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are not None, nested by the dots of their names."""
    nested: dict[str, Any] = {}
    for name, value in options.items():
        if value is None:
            continue
        *sections, last = name.split(".")
        place = nested
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return nested


LARGEST_LIMIT: Final = 10**15


@overload
def limit(option: str, text: str) -> int: ...
@overload
def limit(option: str, text: None) -> None: ...
def limit(option: str, text: str | None) -> int | None:
    """A count such as `5M`, `1.5k` or `300000`; None stays None.

    Raises:
        InputError: no such number, or one that is no limit.
    """
    from autospace.spaces.text import parse_count

    if text is None:
        return None
    value = parse_count(text)
    if value is None or not 1 <= value <= LARGEST_LIMIT:
        raise InputError(f"{option} {text[:40]!r}: expected a number such as 5M")
    return value


def limit_or_word(option: str, text: str | None, words: tuple[str, ...]) -> int | str | None:
    """A limit, or a word that stands for one; None stays None.

    Raises:
        InputError: neither of both.
    """
    if text is None or text in words:
        return text
    try:
        return limit(option, text)
    except InputError as error:
        raise InputError(f"{error}, {' or '.join(words)}") from None


def architecture_of(space: "Space | Architecture", source: str, given: str) -> "Architecture":
    """The architecture of `--architecture`, which is one of the space.

    Args:
        space: what the command was given.
        source: the words that named it.
        given: the words behind the option.

    Raises:
        InputError: it is no space, or that of another skeleton.
        SpaceError: there is no such architecture.
    """
    from autospace.spaces import Space, load_architecture

    if not isinstance(space, Space):
        raise InputError(f"--architecture: {source} is already one; allowed: with a space")
    one = load_architecture(given, space)
    if one.skeleton != space.skeleton:
        problem = "has another skeleton than the space"
        raise InputError(f"--architecture {given}: {problem} {source}")
    return one


def check_work(progress: str, workers: int | None = None) -> None:
    """Refuses an unknown `--progress` and a wrong `--workers` before anything is started.

    Raises:
        InputError: naming the option.
    """
    from autospace.cli.progress.reporters import check_progress

    check_progress(progress)
    check_workers(workers)


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
