"""The published JSON Schemas against an independent validator."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given

from autospace.spaces import (
    Architecture,
    Skeleton,
    Space,
    SpaceError,
    builtin_names,
    json_schema,
    load,
    to_json,
)
from autospace.spaces.files.codec import canonical_json
from autospace.spaces.files.document import FILES, VERSIONS
from tests.strategies import architectures, skeletons, spaces
from tests.versions import version_1

CORPUS = Path(__file__).parents[1] / "corpus"
KINDS = [
    "autospace.space",
    "autospace.architecture",
    "autospace.skeleton",
    "autospace.family",
]
# Faults that no schema of single values can tell: they need two values, or arithmetic.
BEYOND_SCHEMA = {
    "budget_broken",
    "duplicate_id",
    "edge_backward",
    "edge_out_of_range",
    "edge_to_itself",
    "edge_twice",
    "id_newline",
    "id_surrogate",
    "key_surrogate",
    "layer_name",
    "mix_too_short",
    "operations_too_few",
    "provenance_deep",
    "reference_cell",
    "reference_incomplete",
    "reference_layer",
    "skeleton_name_newline",
    "too_few_layers",
    # To JSON Schema and its readers, 1.0 is an integer.
    "float_for_int",
    "version_float",
    "wrong_madds",
    "wrong_params",
    "zero_without_shortcut",
    # Not JSON to begin with, or different after parsing without our checks.
    "duplicate_key",
    "duplicate_key_with_escape",
    "huge_float",
    "huge_float_provenance",
    "huge_integer",
    "infinity_provenance",
    "nan_fitness",
}
VALIDATORS = {
    (kind, version): jsonschema.Draft202012Validator(json_schema(kind, version))
    for kind in KINDS
    for version in VERSIONS
}


def valid(value: Space | Architecture | Skeleton) -> bool:
    """Whether each of its two versions fits the schema of that version, and no other."""
    new, old = json.loads(to_json(value)), version_1(value)
    kind = new["format"]
    return [
        VALIDATORS[kind, version].is_valid(plain) for plain in (old, new) for version in VERSIONS
    ] == [True, False, False, True]


def test_every_file_format_has_a_schema() -> None:
    assert sorted(FILES) == sorted(KINDS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_is_valid_itself(kind: str, version: int) -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(kind, version))


@given(spaces())
def test_every_space_validates(space: Space) -> None:
    assert valid(space)


@given(architectures())
def test_every_architecture_validates(architecture: Architecture) -> None:
    assert valid(architecture)


@given(skeletons())
def test_every_skeleton_validates(skeleton: Skeleton) -> None:
    assert valid(skeleton)


@pytest.mark.parametrize("name", [n for n in builtin_names() if load(n).kind == "mobile"])
def test_every_builtin_space_validates(name: str) -> None:
    assert valid(load(name))


def documents() -> list[tuple[str, Any]]:
    """Those files of the corpus that a lenient reader takes for JSON."""
    found = []
    for path in sorted(CORPUS.glob("*.json")):
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            continue
        if path.name != "messages.json":
            found.append((path.stem, plain))
    return found


@pytest.mark.parametrize(("name", "plain"), documents(), ids=[name for name, _ in documents()])
def test_the_schema_refuses_every_fault_of_structure_and_no_other(name: str, plain: Any) -> None:
    kind = "autospace.skeleton" if name.startswith("skeleton_") else "autospace.space"
    if isinstance(plain, dict) and "skeleton" in plain:
        kind = "autospace.space"
    version = 2 if isinstance(plain, dict) and plain.get("version") == 2 else 1
    assert VALIDATORS[kind, version].is_valid(plain) is (name in BEYOND_SCHEMA)


def test_an_unknown_format_version_or_family_has_no_schema() -> None:
    with pytest.raises(SpaceError, match=r'^format: "x"; allowed: autospace\.space, autospace'):
        json_schema("x")
    with pytest.raises(SpaceError, match=r"^version: 3; allowed: 1, 2$"):
        json_schema(version=3)
    known = "mobile, dense, darts, binary, conv, bats, ofa, recurrent, nas-bert"
    with pytest.raises(SpaceError, match=rf'^kind: "x"; allowed: {known}$'):
        json_schema(kind="x")


def test_the_published_schema_is_as_recorded(golden: Callable[[str, str], None]) -> None:
    golden("space.schema.json", canonical_json(json_schema()))
    golden("space.schema.1.json", canonical_json(json_schema(version=1)))
