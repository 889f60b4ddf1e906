"""The representation of search spaces; it needs only the standard library and pydantic.

Each name below is loaded on first use, so a program that uses none of them, such as
`autospace --help`, does not wait for pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from autospace.spaces.cells.cell import Cell, Edge, LayerShape, mbconv
    from autospace.spaces.cells.family import FAMILIES, cell_cost, cell_key, family_of
    from autospace.spaces.cells.key import canonical, canonical_key
    from autospace.spaces.cells.operations import DEFAULT_OPERATIONS, OPERATIONS, Cost, Operation
    from autospace.spaces.cost import Budget, Range
    from autospace.spaces.errors import SpaceError
    from autospace.spaces.files.codec import from_json, to_json
    from autospace.spaces.files.document import json_schema
    from autospace.spaces.files.library import (
        builtin_names,
        load,
        load_any,
        load_architecture,
        load_skeleton,
    )
    from autospace.spaces.skeleton import LayerSpec, Skeleton, Stem
    from autospace.spaces.space import Architecture, Candidate, Layer, Origin, Space, network_cost

_HOMES: Final = {
    "Architecture": "space",
    "Budget": "cost",
    "Candidate": "space",
    "Cell": "cells.cell",
    "Cost": "cells.operations",
    "DEFAULT_OPERATIONS": "cells.operations",
    "Edge": "cells.cell",
    "FAMILIES": "cells.family",
    "Layer": "space",
    "LayerShape": "cells.cell",
    "LayerSpec": "skeleton",
    "OPERATIONS": "cells.operations",
    "Operation": "cells.operations",
    "Origin": "space",
    "Range": "cost",
    "Skeleton": "skeleton",
    "Space": "space",
    "SpaceError": "errors",
    "Stem": "skeleton",
    "builtin_names": "files.library",
    "canonical": "cells.key",
    "canonical_key": "cells.key",
    "cell_cost": "cells.family",
    "cell_key": "cells.family",
    "family_of": "cells.family",
    "from_json": "files.codec",
    "json_schema": "files.document",
    "load": "files.library",
    "load_any": "files.library",
    "load_architecture": "files.library",
    "load_skeleton": "files.library",
    "mbconv": "cells.cell",
    "network_cost": "space",
    "to_json": "files.codec",
}

__all__ = [
    "DEFAULT_OPERATIONS",
    "FAMILIES",
    "OPERATIONS",
    "Architecture",
    "Budget",
    "Candidate",
    "Cell",
    "Cost",
    "Edge",
    "Layer",
    "LayerShape",
    "LayerSpec",
    "Operation",
    "Origin",
    "Range",
    "Skeleton",
    "Space",
    "SpaceError",
    "Stem",
    "builtin_names",
    "canonical",
    "canonical_key",
    "cell_cost",
    "cell_key",
    "family_of",
    "from_json",
    "json_schema",
    "load",
    "load_any",
    "load_architecture",
    "load_skeleton",
    "mbconv",
    "network_cost",
    "to_json",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
