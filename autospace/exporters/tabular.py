"""Writes a space or an architecture as a table: one row per layer and candidate."""

import csv
from io import StringIO
from typing import Any, Final

from autospace.spaces import Architecture, Space
from autospace.spaces.cells.family import FAMILIES, KINDS, check_kind, notation
from autospace.spaces.space import layers_of
from autospace.spaces.text import json_text

# What makes a spreadsheet take the text of a cell for a formula.
_FORMULA: Final = ("=", "+", "-", "@")


def csv_table(value: Space | Architecture) -> str:
    """The table as CSV, with a header; an empty field where a candidate has no fitness.

    Ids are not changed: an id that was changed for spreadsheets would no longer name its cell.
    `formulas` lists the ids that a spreadsheet would misread.
    """
    rows = _rows(value)
    text = StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def json_records(value: Space | Architecture) -> str:
    """The table as a JSON list of flat objects."""
    return json_text(_rows(value))


def formulas(value: Space | Architecture) -> list[str]:
    """The ids that a spreadsheet would take for formulas; only foreign files have such."""
    ids = [candidate.id for layer in layers_of(value) for candidate in layer.candidates]
    return sorted({each for each in ids if each.startswith(_FORMULA)})


def _rows(value: Space | Architecture) -> list[dict[str, Any]]:
    check_kind(value.kind, "tables of cells", KINDS)
    return [
        {
            "layer": layer.shape.name,
            "candidate": candidate.id,
            "fitness": candidate.fitness,
            "madds": cost.madds,
            "params": cost.params,
            **({"bops": cost.bops} if FAMILIES[value.kind].binary else {}),
            "expansion": None if candidate.cell.bare else candidate.cell.expansion,
            "operations": notation(candidate.cell),
            "origin": candidate.origin.kind,
            "generation": candidate.origin.generation,
        }
        for layer in layers_of(value)
        for candidate, cost in zip(layer.candidates, layer.costs, strict=True)
    ]
