"""The representation of search spaces: standard library and pydantic only."""

from autospace.spaces.cells.cell import Cell, Edge, mbconv
from autospace.spaces.cells.key import canonical, canonical_key
from autospace.spaces.cells.operations import DEFAULT_OPERATIONS, OPERATIONS, Operation
from autospace.spaces.cost import Cost, Range, cell_cost
from autospace.spaces.errors import SpaceError
from autospace.spaces.files.choosing import load_architecture
from autospace.spaces.files.codec import from_json, to_json
from autospace.spaces.files.library import builtin_names, load, load_any, load_skeleton
from autospace.spaces.files.schema import json_schema
from autospace.spaces.skeleton import LayerShape, LayerSpec, Skeleton, Stem
from autospace.spaces.space import (
    Architecture,
    Budget,
    Candidate,
    Layer,
    Origin,
    Space,
    network_cost,
)

__all__ = [
    "DEFAULT_OPERATIONS",
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
