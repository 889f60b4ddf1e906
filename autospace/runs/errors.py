"""The errors of run folders: their settings, their files, and their state.

The command line and Python show the same messages, so advice names the option and the argument.
"""

from typing import Final

from autospace.spaces.errors import AutospaceError

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
