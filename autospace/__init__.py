"""Learn a search space for neural architecture search, prove that it is better, hand it over.

Each function does what the command of the same name does; the names below are loaded when they are
first used, so `import autospace` alone loads neither PyTorch nor NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from autospace.api import (
        Compared,
        Evolved,
        RunInterrupted,
        Searched,
        Trained,
        compare,
        evolve,
        export,
        search,
        train,
    )
    from autospace.data.readers.arrays import images
    from autospace.networks.operations import register_operation
    from autospace.progress import Event, Observer, Silent
    from autospace.spaces.errors import AutospaceError
    from autospace.spaces.files.library import load

_HOMES: Final = {
    "AutospaceError": "spaces.errors",
    "Compared": "api",
    "Event": "progress",
    "Evolved": "api",
    "Observer": "progress",
    "RunInterrupted": "api",
    "Searched": "api",
    "Silent": "progress",
    "Trained": "api",
    "compare": "api",
    "evolve": "api",
    "export": "api",
    "images": "data.readers.arrays",
    "load": "spaces.files.library",
    "register_operation": "networks.operations",
    "search": "api",
    "train": "api",
}

__all__ = [
    "AutospaceError",
    "Compared",
    "Event",
    "Evolved",
    "Observer",
    "RunInterrupted",
    "Searched",
    "Silent",
    "Trained",
    "compare",
    "evolve",
    "export",
    "images",
    "load",
    "register_operation",
    "search",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
