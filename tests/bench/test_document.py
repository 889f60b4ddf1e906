"""The file of a bench run."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given

from autospace.bench.document import Bench, read_bench, to_json
from autospace.spaces import SpaceError
from tests.bench.documents import document, documents, entry


@given(documents())
def test_a_document_that_is_written_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, bench: Bench
) -> None:
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    path.write_text(to_json(bench), "utf-8")
    assert read_bench(path) == bench
    assert to_json(read_bench(path)) == path.read_text("utf-8")


@given(documents())
def test_the_schema_accepts_every_document(bench: Bench) -> None:
    schema = Bench.model_json_schema()
    jsonschema.Draft202012Validator(schema).validate(json.loads(to_json(bench)))


def test_an_entry_has_the_keys_of_the_contract() -> None:
    plain = json.loads(to_json(document(entry())))
    assert {"format", "version", "machine", "versions", "entries"} <= set(plain)
    assert plain["format"] == "autospace.bench"
    (found,) = plain["entries"]
    assert set(found) == {"suite", "metric", "value", "unit", "better", "spread", "n"}


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("format",), "autospace.space", "a space of autospace; allowed here: numbers that"),
        (("format",), "autospace.table", "a table of accuracies; it is for --table of compare"),
        (
            ("format",),
            "x",
            "not of format autospace.bench; allowed here: numbers that",
        ),
        (("version",), 2, "version: 2"),
        (("entries", 0, "better"), "more", "entries[0].better: "),
        (("entries", 0, "value"), "0.6", "entries[0].value: "),
        (("entries", 0, "n"), 0, "entries[0].n: 0"),
        (("entries", 0, "spread"), -0.1, "entries[0].spread: "),
        (("entries", 0, "metric"), "a\x1b[31m", "entries[0].metric: "),
        (("entries", 0, "wall"), 1, "entries[0].wall: unknown key"),
        (("entries", 1), entry().model_dump(), "entries[1]: "),
        (("machine",), [], "machine: "),
    ],
)
def test_a_damaged_document_is_refused_with_its_place(
    tmp_path: Path, path: tuple[Any, ...], value: object, complaint: str
) -> None:
    plain: Any = json.loads(to_json(document(entry(), entry("other"))))
    place = plain
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(plain))
    with pytest.raises(SpaceError) as caught:
        read_bench(file)
    assert str(caught.value).startswith(f"{file}: {complaint}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"entries": NaN}'])
def test_what_is_no_document_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bench.json"
    file.write_text(text)
    with pytest.raises(SpaceError, match=r"bench\.json"):
        read_bench(file)
