import csv
import json
from io import StringIO
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings

from autospace.exporters.tabular import csv_table, formulas, json_records
from autospace.spaces import Architecture, Candidate, Layer, Space, load
from tests.cli.samples import drawn_architecture, learned_space
from tests.strategies import architectures, spaces


def _rows(value: Space) -> list[tuple[Any, ...]]:
    return [
        (layer.shape.name, candidate.id, candidate.fitness, cost.madds, cost.params)
        for layer in value.layers
        for candidate, cost in zip(layer.candidates, layer.costs, strict=True)
    ]


@settings(max_examples=20)
@given(spaces())
def test_any_space_comes_back_from_csv(space: Space) -> None:
    found = [
        (
            row["layer"],
            row["candidate"],
            float(row["fitness"]) if row["fitness"] else None,
            int(row["madds"]),
            int(row["params"]),
        )
        for row in csv.DictReader(StringIO(csv_table(space)), strict=True)
    ]
    assert found == _rows(space)


@settings(max_examples=20)
@given(spaces())
def test_any_space_comes_back_from_json(space: Space) -> None:
    records = json.loads(json_records(space))
    wanted = ("layer", "candidate", "fitness", "madds", "params")
    assert [tuple(record[name] for name in wanted) for record in records] == _rows(space)
    assert json_records(space).isascii()


@settings(max_examples=20)
@given(architectures())
def test_an_architecture_has_a_row_per_layer(architecture: Architecture) -> None:
    records = json.loads(json_records(architecture))
    found = {record["layer"]: record["candidate"] for record in records}
    assert list(found.items()) == list(architecture.choices.items())
    header = csv.DictReader(StringIO(csv_table(architecture))).fieldnames
    assert set(header or ()) == set(records[0])


def test_pandas_reads_numbers_and_missing_fitness() -> None:
    space = load("mbconv@digits")
    frame = pd.read_csv(StringIO(csv_table(space)), dtype={"candidate": str})
    assert len(frame) == sum(len(layer.candidates) for layer in space.layers)
    smallest = frame.groupby("layer")["madds"].min().sum()
    assert smallest == sum(min(cost.madds for cost in layer.costs) for layer in space.layers)
    assert frame["fitness"].notna().sum() == len(space.layers)


def test_pandas_keeps_ids_that_look_like_something_else() -> None:
    ids = ["null", "007", "1e3", "NA", "=1+1", 'a"b,c']
    space = learned_space()
    first, *rest = space.layers
    awkward = tuple(Candidate(each, first.candidates[0].cell) for each in ids)
    layers = (Layer(first.shape, awkward), *rest)
    changed = Space("a", space.skeleton, space.operations, layers)
    frame = pd.read_csv(
        StringIO(csv_table(changed)), dtype={"candidate": str}, keep_default_na=False
    )
    assert list(frame["candidate"][: len(ids)]) == ids
    from_json = pd.DataFrame(json.loads(json_records(changed)))
    assert list(from_json["candidate"][: len(ids)]) == ids
    assert formulas(changed) == ["=1+1"]


@pytest.mark.parametrize("identity", ["=1", "+1", "-rf", "@SUM(A1)"])
def test_ids_that_a_spreadsheet_evaluates_are_told(identity: str) -> None:
    skeleton, (first, *rest) = learned_space().skeleton, drawn_architecture().candidates
    changed = Architecture(skeleton, (Candidate(identity, first.cell), *rest))
    assert formulas(changed) == [identity]
    assert formulas(learned_space()) == []
