"""The errors of the program: one base class, and how a message shows a wrong value.

Everything that a user can correct is an `AutospaceError`, which is a `ValueError`. The command
line prints its message as one line and exits with code 2; any other exception is a defect of the
program and keeps its traceback. Each error is defined next to the code that raises it:

    ValueError
    └── AutospaceError             spaces/errors.py
        ├── SpaceError             spaces/errors.py: a cell, skeleton, space or architecture
        ├── BudgetError            spaces/cost.py: limits that no architecture keeps
        ├── SearchError            spaces/choices.py: a search that the space does not allow
        ├── ConfigError            autospace/runs/errors.py: a setting
        ├── RunError               autospace/runs/errors.py: a run folder
        ├── CheckpointError        autospace/runs/errors.py: a damaged file in a run folder
        ├── RoomError              autospace/runs/errors.py: a disk without room for copies of data
        ├── DataError              autospace/data/errors.py: data that cannot be used
        │   └── OtherKindError     autospace/data/errors.py: data of another kind than was named
        ├── EvaluationError        autospace/evaluators/evaluator.py: an evaluation
        ├── LatencyError           autospace/latency/budget.py: a latency table or limit
        ├── StageError             autospace/training/stages.py: a training of two stages
        ├── WeightsError           autospace/networks/weights.py: a file of weights
        ├── DeployError            autospace/networks/deploy.py: a network as ONNX or pt2
        ├── WorkerLostError        autospace/compute/worker.py: a worker process that died
        ├── DismissedError         autospace/compute/ranks.py: a training that process 0 ended
        ├── LostError              autospace/compute/ranks.py: a process of a training that is gone
        ├── ClusterError           autospace/compute/ray_session.py: a cluster and its nodes
        └── InputError             cli/output.py: a combination of options
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

MAX_PATH: Final = 120
MAX_PROBLEM: Final = 270
MAX_SHOWN: Final = 60


class AutospaceError(ValueError):
    """An error that the user can correct; its message is one line."""


class SpaceError(AutospaceError):
    """A value that is no valid cell, skeleton, space or architecture.

    The message is one printable line of less than 400 characters, whatever the value holds: the
    path of the value, the problem, the value, and what is allowed.
    """

    def __init__(self, path: str, problem: str) -> None:
        self.path = _one_line(path, MAX_PATH)
        self.problem = _one_line(problem, MAX_PROBLEM)
        super().__init__(f"{self.path}: {self.problem}" if path else self.problem)

    def __reduce__(self) -> tuple[type["SpaceError"], tuple[str, str]]:
        # The default hands the message alone to __init__, which fails across processes.
        return type(self), (self.path, self.problem)

    def under(self, prefix: str) -> "SpaceError":
        """The same error, its path seen from an enclosing value."""
        return SpaceError(join_path(prefix, self.path), self.problem)


def join_path(prefix: str, rest: str) -> str:
    """Path of a part of a value: `layers`, then `[3].name`, make `layers[3].name`."""
    dot = "." if prefix and rest and not rest.startswith("[") else ""
    return f"{prefix}{dot}{rest}"


@contextmanager
def located(path: str) -> Iterator[None]:
    """Errors of the block say that they are at this path."""
    try:
        yield
    except SpaceError as error:
        raise error.under(path) from None


def offered(wrong: object, names: Iterable[str], words: str | None = None) -> str:
    """What is allowed in place of a wrong name, after the one that was probably meant.

    Args:
        wrong: what was given.
        names: all that are allowed.
        words: how the message says what is allowed; by default the names.
    """
    from difflib import get_close_matches

    listed = list(names)
    plain = {name.lower(): name for name in listed}
    text = wrong[:MAX_SHOWN].lower() if isinstance(wrong, str) else ""
    meant = get_close_matches(text, plain, n=1, cutoff=0.65)
    allowed = (", ".join(listed) or "none") if words is None else words
    # The hint comes first: a long list may be cut at its end.
    return f"did you mean {plain[meant[0]]}? Allowed: {allowed}" if meant else f"allowed: {allowed}"


def shown(value: object) -> str:
    """A wrong value as it stands in a message: JSON if it is short and simple."""
    if isinstance(value, str):
        text = json.dumps(value[: MAX_SHOWN + 1])
    elif isinstance(value, int) and value.bit_length() > 4 * MAX_SHOWN:
        # Python refuses to print integers of thousands of digits.
        text = f"an integer of about {int(value.bit_length() * 0.30103)} digits"
    elif value is None or isinstance(value, bool | int | float):
        text = json.dumps(value)
    elif isinstance(value, list | dict):
        kind = "list" if isinstance(value, list) else "object"
        text = named(kind) if value else f"an empty {kind}"
    else:
        text = named(type(value).__name__)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."


def named(kind: str) -> str:
    """A type with its article: `a list`, `an int64`."""
    return f"{'an' if kind[:1].lower() in set('aeiou') else 'a'} {kind}"


def raised(error: Exception) -> str:
    """An exception of a user's own code, as it stands in a message."""
    return f"raises {type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _one_line(text: str, limit: int) -> str:
    """Without control characters, line ends and other traps for a terminal, and shortened."""
    if len(text) > limit:
        half = (limit - 3) // 2
        text = f"{text[:half]}...{text[-half:]}"
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    joined = "".join(escaped)
    # A shortened text has no traps any more, so this ends.
    return joined if len(joined) <= limit else _one_line(joined, limit)
