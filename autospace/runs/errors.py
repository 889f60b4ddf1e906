"""The errors of run folders: their settings, their files, and their state.

The command line and Python show the same messages, so advice names the option and the argument.
"""

from typing import Final

from autospace.spaces.errors import AutospaceError
from autospace.spaces.text import visible

FORCE: Final = "--force (force=True in Python)"
OUT: Final = "--out (out= in Python)"


class CheckpointError(AutospaceError):
    """A checkpoint that is damaged or was not written by this program."""


class ConfigError(AutospaceError):
    """A setting that does not exist or is out of range.

    The message is one line: the setting, its value, and what is allowed.
    """


class RunError(AutospaceError):
    """A run folder that cannot be started, overwritten or resumed; the message says what to do."""


class RoomError(AutospaceError):
    """A disk without room for what has to be written.

    The message is one line: the place, the problem, the room that is free, and what is allowed.
    """

    def __init__(self, message: str) -> None:
        """Keeps the message on one printable line, whatever the place is called.

        Args:
            message: what is wrong and what would be right.
        """
        super().__init__(visible(message))
