"""The command `autospace`, also as `python -m autospace`, which `torchrun -m autospace` needs."""

import os
import signal
import sys
from contextlib import suppress
from types import FrameType

INTERRUPTED = 130


def main() -> None:
    """Runs the command; Ctrl-C ends it in one line before it has been loaded, too."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    try:
        from autospace.cli.main import app

        if signal.getsignal(signal.SIGINT) is _leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        app(prog_name="autospace")
    except SystemExit as end:
        _keep_code(end.code)
        raise
    except KeyboardInterrupt:  # before the command handles it, or after it has ended
        _tell()
        _keep_code(INTERRUPTED)
        sys.exit(INTERRUPTED)


def _leave(number: int, frame: FrameType | None) -> None:
    """Ends the process at once: it has done nothing yet, and a module may swallow an exception."""
    _tell()
    os._exit(INTERRUPTED)


def _keep_code(code: object) -> None:
    """Everything is done: Ctrl-C while the interpreter tidies up ends it, with the same code."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        known = code if isinstance(code, int) else int(code is not None)
        with suppress(ValueError):  # in another thread than the main one
            signal.signal(signal.SIGINT, lambda *_: os._exit(known))


def _tell() -> None:
    if sys.stderr is not None:
        with suppress(OSError):  # its reader may be gone
            sys.stderr.write("interrupted\n")
            sys.stderr.flush()


if __name__ == "__main__":
    main()
