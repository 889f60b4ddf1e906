"""The state of evolution as JSON, and back."""


class CheckpointError(ValueError):
    """A checkpoint that this program did not write, or that was damaged."""


class ConfigError(ValueError):
    """A setting that does not exist or is out of range.

    The message is one line: the setting, its value, and what is allowed.
    """


class RunError(ValueError):
    """A run folder that cannot be started, overwritten or resumed; the message says what to do."""
