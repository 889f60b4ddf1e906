import json

import jsonschema
import pytest

from autospace.spaces import builtin_names, load, to_json
from tests.cli.conftest import Run
from tests.cli.samples import drawn_architecture, learned_space
from tests.evaluators.test_tabular import document


@pytest.mark.parametrize("columns", [80, 200])
def test_every_builtin_is_listed(run: Run, columns: int) -> None:
    ran = run("spaces", columns=columns)
    assert (ran.code, ran.err) == (0, "")
    assert all(f"\n{name} " in ran.out for name in builtin_names())
    assert max(map(len, ran.out.splitlines())) <= columns
    assert "…" not in ran.out


@pytest.mark.parametrize("columns", [60, 40])
def test_a_narrow_window_gets_fewer_columns_and_none_that_is_cut(run: Run, columns: int) -> None:
    ran = run("spaces", columns=columns)
    names = [line.split()[0] for line in ran.out.splitlines() if "@" in line.split(" ")[0]]
    assert names == list(builtin_names())
    assert "…" not in ran.out
    head, _, rest = ran.out.partition("\n")
    _, _, left_out = " ".join(rest.split()).partition("In a wider window: ")
    named = [*head.split(), *left_out.partition(".")[0].split(", ")]
    assert sorted(named) == sorted(["space", "layers", "cells", "networks", "MAdds", "params"])


def test_the_list_as_json(run: Run) -> None:
    found = json.loads(run("spaces", "--format", "json").out)
    assert [each["name"] for each in found] == list(builtin_names())
    space = load("mbconv@cifar")
    (record,) = [each for each in found if each["name"] == space.name]
    assert record["skeleton"] == "cifar"
    assert record["madds"] == space.madds._asdict()
    assert all(each["description"] and each["skeleton_description"] for each in found)


@pytest.mark.parametrize("kind", ["space", "architecture", "skeleton", "table"])
def test_the_schema_accepts_our_own_files(run: Run, kind: str) -> None:
    schema = json.loads(run("schema", kind).out)
    space = learned_space()
    text = {
        "space": to_json(space),
        "architecture": to_json(drawn_architecture()),
        "skeleton": to_json(space.skeleton),
        "table": json.dumps(document()),
    }[kind]
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))


def test_the_schema_of_a_space_is_the_default(run: Run) -> None:
    assert run("schema").out == run("schema", "space").out
    assert run("schema", "cell").code == 2
