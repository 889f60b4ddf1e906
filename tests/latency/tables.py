"""Latency tables made by a formula, so that no test waits for a clock."""

import random
from collections.abc import Sequence
from typing import Any

from autospace.latency.budget import Prediction
from autospace.latency.parts import Part, parts_of_skeleton
from autospace.latency.table import Correction, LatencyTable, Row
from autospace.spaces import Cell, Skeleton

CORRECTION = Correction(scale=1.25, overhead_ms=0.002)


def milliseconds(part: Part) -> float:
    """A time that depends on every field of a part."""
    return random.Random(repr(part)).uniform(0.001, 0.1) + part.inputs * 1e-4


def network_ns(prediction: Prediction, cells: Sequence[Cell]) -> int:
    """The latency of a whole network with one cell per layer."""
    pairs = zip(cells, prediction.skeleton.cell_layers, strict=True)
    return prediction.fixed_ns + sum(prediction.cell_ns(cell, shape) for cell, shape in pairs)


def row(part: Part) -> Row:
    return Row(
        part=part.name,
        inputs=part.inputs,
        outputs=part.outputs,
        resolution=part.resolution,
        stride=part.stride,
        mean_ms=milliseconds(part),
        std_ms=0.001,
        n=3,
    )


def table_for(skeleton: Skeleton, **changes: Any) -> LatencyTable:
    some = {
        "device": "cpu",
        "processor": "a processor",
        "dtype": "float32",
        "batch": 1,
        "threads": 1,
        "torch": "2",
        "subject": "made",
        "rows": [row(part) for part in parts_of_skeleton(skeleton)],
        "correction": CORRECTION,
    }
    return LatencyTable(**{**some, **changes})
