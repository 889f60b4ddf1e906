"""What every command shares: where text goes, how errors end a command, how files are written."""

import errno
import os
import re
import shutil
import signal
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import typer

from autospace.spaces.errors import AutospaceError
from autospace.spaces.text import visible

if TYPE_CHECKING:
    from rich.console import Console

OK: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2
INTERRUPTED: Final = 130

_OF_THE_MACHINE: Final = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
"""Errors that only the user can mend; a write or a flush does not say of which file they are."""
STDOUT: Final = "-"
DEFAULT_COLUMNS: Final = 80
NARROWEST: Final = 20
_SHOWN: Final = 120
_ENDLESS: Final = re.compile(r"\S{1000,}")
_MEANT: Final = (typer.Exit, typer.Abort, typer.BadParameter.__base__ or typer.BadParameter)
"""What Typer raises to end a command, or of a wrong command line."""
# For terminals whose encoding has no box characters.
ASCII: Final = str.maketrans("─│┌┐└┘┬┴▼█▉▊▋▌▍▎▏→…·", "-|++++++v########>~.")


class InputError(AutospaceError):
    """An option or argument that makes no sense together with what it refers to."""


class Loudness:
    """How much the command says on stderr; every start of the program begins with the default."""

    def __init__(self) -> None:
        self.quiet = self.verbose = False

    def reset(self) -> None:
        """The default: progress, remarks and errors."""
        self.quiet = self.verbose = False

    def set(self, level: int) -> None:
        """1 for errors only, 2 for more than the default; the later of two counts."""
        self.quiet, self.verbose = level == 1, level == 2


loudness: Final = Loudness()


@contextmanager
def errors_reported() -> Iterator[None]:
    """Turns what a user can mend into an error line and the documented exit code."""
    try:
        yield
    except KeyboardInterrupt:
        complaint("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader has seen enough. What is still buffered must not fail again at exit.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(OK) from None
    except OSError as error:
        if error.filename is None and error.errno not in _OF_THE_MACHINE:
            _end_if_interrupted(error)
            raise
        place = f"{os.fspath(error.filename)}: " if error.filename is not None else ""
        _fail(f"{place}{error.strerror or error}")
    except AutospaceError as error:
        _fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            _end_if_interrupted(error)
            raise
        _fail("out of memory; use fewer --workers, smaller batches or a smaller network")
    except Exception as error:
        _end_if_interrupted(error)
        raise


_interrupts: list[int] = []
"""The signals that interrupted this program: of Ctrl-C, or of a scheduler that stops its job."""
_STOPS: Final[dict[int, Any]] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
"""What interrupts a program, and what Python does with it by itself."""


@contextmanager
def interrupts_remembered() -> Iterator[None]:
    """Remembers Ctrl-C and SIGTERM, as well as raising `KeyboardInterrupt`.

    A module that is being imported may swallow the exception. It is then only half there, and the
    program fails a little later, of whatever is missing.
    """

    def remember(number: int, frame: FrameType | None) -> None:
        _interrupts.append(number)
        signal.default_int_handler(number, frame)

    # Somebody else may decide what a signal does, or nobody: a background job ignores Ctrl-C.
    own = [each for each, usual in _STOPS.items() if signal.getsignal(each) is usual]
    try:
        for each in own:
            signal.signal(each, remember)
    except ValueError:  # In another thread than the main one, which has the signals.
        yield
        return
    try:
        yield
    finally:
        for each in own:
            signal.signal(each, _STOPS[each])
        _interrupts.clear()


def _end_if_interrupted(error: Exception) -> None:
    """Ends the program as interrupted, if an error that is no user's comes after a signal."""
    if _interrupts and not isinstance(error, _MEANT):
        complaint("interrupted")
        raise typer.Exit(INTERRUPTED) from None


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError):
        return True
    if "torch" not in sys.modules:
        return False  # nothing that takes memory has begun
    from autospace.compute.cuda_graphs import is_out_of_memory

    return isinstance(error, RuntimeError) and is_out_of_memory(error)


def open_streams() -> None:
    """Gives a program that was started with closed streams (`>&-`) some that go nowhere.

    The first file that it opens would otherwise get their place, and all that is printed.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115
    if follows():
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def processes_of_torchrun() -> int:
    """How many processes torchrun started for this command; 1 without it."""
    found = os.environ.get("WORLD_SIZE", "") if "TORCHELASTIC_RUN_ID" in os.environ else ""
    return int(found) if found.isdecimal() else 1


def follows() -> bool:
    """Whether this is one of several processes of torchrun, and another than process 0.

    Process 0 reads the command line, and says everything once.
    """
    return processes_of_torchrun() > 1 and os.environ.get("RANK", "0") != "0"


def data(text: str) -> None:
    """Writes a result to stdout, without box characters where the terminal has none."""
    stream = sys.stdout
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        plain = text.translate(ASCII)
        encoding = stream.encoding or "ascii"
        text = plain.encode(encoding, "backslashreplace").decode(encoding)
    stream.write(text if text.endswith("\n") else f"{text}\n")


class Unheard:
    """A stream for messages that does not mind if they cannot be written.

    A full disk below `2>log`, a terminal that was closed, or a `tee` that was killed must not end
    hours of work, whose results are in files; and a command has its own exit code, as ever.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes what can be written."""
        self._tried(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flushes what can be flushed."""
        self._tried(self._stream.flush)

    def _tried(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError:
            # What is still buffered would fail again at exit, and change the exit code.
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


def message(text: str) -> None:
    """Writes what is not the result to stderr, unless `--quiet` forbids it.

    It is one line, which a terminal gets in as many as it needs, ended between words.
    """
    if not loudness.quiet:
        for line in _folded(visible(text)):
            complaint(line)


def _folded(text: str) -> list[str]:
    # A command is left whole, so that it can be copied and pasted.
    if "autospace " in text or not sys.stderr.isatty():
        return [text]
    width = shutil.get_terminal_size((DEFAULT_COLUMNS, 0)).columns or DEFAULT_COLUMNS
    if len(text) <= width:
        return [text]
    whole: Any = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.wrap(text, max(width, NARROWEST), subsequent_indent="  ", **whole)


def complaint(text: str) -> None:
    """Writes one line to stderr that `--quiet` does not hide: an error, or a check that failed."""
    line = visible(text)
    encoding = sys.stderr.encoding or "ascii"
    print(line.encode(encoding, "backslashreplace").decode(encoding), file=Unheard(sys.stderr))


def json_data(value: Any) -> None:
    """Writes plain values to stdout as JSON; ASCII, so that no name can steer a terminal."""
    import json

    data(json.dumps(value, indent=2, allow_nan=False))


def rich_data(*parts: Any) -> None:
    """Writes rich tables and texts to stdout: in colour to a terminal, as plain text to a pipe."""
    out = _console()
    with out.capture() as captured:
        for part in parts:
            # `print` forgets what a text says about its own wrapping.
            no_wrap, overflow = getattr(part, "no_wrap", None), getattr(part, "overflow", None)
            out.print(part, crop=False, no_wrap=no_wrap, overflow=overflow)
    # A pipe gets no trailing blanks, with which rich fills up columns.
    text = captured.get()
    data(text if out.is_terminal else "\n".join(map(str.rstrip, text.splitlines())))


def terminal_width() -> int:
    """Columns that a table may take."""
    return _console().width


def _console() -> "Console":
    from rich.console import Console

    found = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
    if found.width < 1:  # COLUMNS=0, or a terminal that nobody gave a size: nothing would be shown
        found.width = DEFAULT_COLUMNS
    return found


def check_new(path: Path, *, force: bool, stdout: bool = True) -> None:
    """Refuses a path where no file may be written; an existing one only goes with `force`.

    What is no file, such as `/dev/null` or a pipe, is written into and needs no `force`, and `-` is
    stdout.

    Args:
        path: what the user gave.
        force: whether a file that is there is replaced.
        stdout: whether the file may go there, because no table does.

    Raises:
        InputError: the file is there already, is a folder, would be in a folder that is missing, or
            would go to stdout with a table.
    """
    if is_stdout(path):
        if stdout:
            return
        raise InputError(f"{path}: is stdout, where the table goes; allowed: the name of a file")
    if path.is_dir():
        raise InputError(f"{path}: is a folder")
    if path.is_block_device():
        raise InputError(f"{path}: is a disk; allowed: a file, a pipe or {STDOUT} for stdout")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}")
    if path.is_file() and not force:
        raise InputError(f"{path}: already exists; --force overwrites it")


def write_new(path: Path, text: str, *, force: bool) -> bool:
    """Writes a file whole or not at all, an existing one only with `force`; `-` is stdout.

    Returns:
        Whether a file was written, of which something can be said.

    Raises:
        InputError: the file is there already, or is a folder.
    """
    if is_stdout(path):
        raw_data(text)
        return False
    check_new(path, force=force)
    from autospace.runs.files import write_output

    write_output(path, text)
    return True


def is_stdout(path: Path) -> bool:
    """Whether a path that the user gave is stdout."""
    return str(path) in (STDOUT, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def raw_data(text: str) -> None:
    """Writes the bytes of a file to stdout: UTF-8, whatever the encoding of the terminal."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8"))
    sys.stdout.buffer.flush()


def _fail(text: str) -> None:
    if loudness.verbose:
        traceback.print_exc()
    # Of a path or another value that is much too long, both ends are enough.
    text = _ENDLESS.sub(lambda word: f"{word[0][:_SHOWN]}...{word[0][-_SHOWN:]}", text)
    complaint(f"error: {text}")
    raise typer.Exit(BAD_INPUT) from None
