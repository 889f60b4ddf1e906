"""Values of a parameter that only the slow tests try."""

from typing import Any

import pytest


def slowly(*values: Any) -> list[Any]:
    """The values, each marked slow; a tuple has a value for each of several parameters.

    What stands beside them in a list is tried by every run of the tests.
    """
    several = (each if isinstance(each, tuple) else (each,) for each in values)
    return [pytest.param(*each, marks=pytest.mark.slow) for each in several]
