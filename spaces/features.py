"""What a predictor of fitness sees of a cell: numbers under names, for cells of every family."""

import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import family_of
from autospace.spaces.cells.operations import Cost


@lru_cache(maxsize=65536)
def features(cell: Cell, cost: Cost) -> Mapping[str, float]:
    """What is known of a cell before it is scored; equivalent cells have equal features.

    They are made of the document of the canonical cell, so they serve every family: counts of its
    texts and sums of its numbers (as logarithms) by their place in the document without indices,
    counts of the objects in its lists (edges with their operation), and texts of its lists by
    index (the mix of a node). The logarithms of MAdds, params and binary operations join them.
    """
    family = family_of(cell)
    found = {"madds": math.log1p(cost.madds), "params": math.log1p(cost.params)}
    if cost.bops:
        found["bops"] = math.log1p(cost.bops)
    for name, value in _leaves("", family.encoded(family.canonical(cell))):
        found[name] = found.get(name, 0.0) + value
    return found


def _leaves(path: str, value: Any) -> Iterable[tuple[str, float]]:
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(f"{path}.{key}", value[key])
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(f"{path}[]", each)
            if isinstance(each, dict):
                yield f"{path}[]={json.dumps(each, sort_keys=True)}", 1.0
            elif isinstance(each, str):
                yield f"{path}[{index}]={each}", 1.0
    elif isinstance(value, bool | str):
        yield f"{path}={value}", 1.0
    elif value is not None:
        yield path, math.copysign(math.log1p(abs(value)), value)
