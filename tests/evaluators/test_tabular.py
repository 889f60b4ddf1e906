"""Tables: what their files may hold, what they answer, and what they refuse."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.evaluators.evaluator import Evaluation, EvaluationError
from autospace.evaluators.tabular import (
    Table,
    TableEvaluator,
    is_table,
    read_table,
    table_from,
    table_schema,
)
from autospace.spaces import (
    Candidate,
    LayerSpec,
    Skeleton,
    Space,
    SpaceError,
    Stem,
    mbconv,
    to_json,
)
from autospace.spaces.choices import Choices
from tests.comparison.setups import space as same_cells
from tests.strategies import spaces

SKELETON = Skeleton("t", 1, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(6, 2)))
CELLS = [mbconv(3, 1), mbconv(5, 1), mbconv(3, 3)]
SPACE = same_cells(CELLS, "three", SKELETON)
NAME = "runs/mine.json"


def document(of: Space = SPACE, columns: int = 2, **changes: Any) -> dict[str, Any]:
    """A table whose scores are 0, 1, 2, ... steps of a thousandth."""
    found = {
        "format": "autospace.table",
        "version": 1,
        "name": "mine",
        "description": "made up",
        "source": "nobody",
        "license": "CC0",
        "space": json.loads(to_json(of)),
        "unit": 0.001,
        "seeds": columns,
        "scores": list(range(min(of.size, 100) * columns)),
    }
    return {k: v for k, v in {**found, **changes}.items() if v != "left out"}


def table(**changes: Any) -> Table:
    return table_from(json.dumps(document(**changes)))


def test_a_table_holds_what_its_file_says() -> None:
    found = table()
    assert (found.name, found.source, found.license) == ("mine", "nobody", "CC0")
    assert found.space == SPACE
    assert found.scores.tolist() == [[2 * row / 1000, (2 * row + 1) / 1000] for row in range(9)]
    assert found.notes == (
        "accuracies are those of table mine (nobody), not of networks trained here",
    )


def test_the_last_layer_changes_first_and_the_seed_before_it() -> None:
    found = table()
    for row, path in enumerate((i, j) for i in range(3) for j in range(3)):
        architecture = found.choices.architecture(path)
        assert found.index(architecture) == row
        assert found.path(architecture) == path
        assert [found.score(architecture, seed) for seed in range(3)] == pytest.approx(
            [2 * row / 1000, (2 * row + 1) / 1000, 2 * row / 1000]
        )
        assert found.mean(path) == pytest.approx((2 * row + 0.5) / 1000)


@given(spaces(most_layers=2), st.integers(1, 3), st.data())
@settings(max_examples=40)
def test_a_random_space_survives_the_file(space: Space, seeds: int, data: st.DataObject) -> None:
    if space.size * seeds > 500 or any(len(set(x.keys)) < len(x.keys) for x in space.layers):
        return
    score = st.none() | st.integers(0, 1000)
    scores = data.draw(st.lists(score, min_size=space.size * seeds, max_size=space.size * seeds))
    if all(each is None for each in scores):
        scores[0] = 7
    found = table(of=space, columns=seeds, scores=scores)
    assert found.space == space
    rng = np.random.default_rng(0)
    choices = Choices(space)
    for row in rng.integers(space.size, size=5).tolist():
        path = tuple(map(int, np.unravel_index(row, choices.sizes)))
        kept = [each for each in scores[seeds * row : seeds * row + seeds] if each is not None]
        architecture = choices.architecture(path)
        assert found.index(architecture) == row
        if kept:
            got = [found.score(architecture, seed) for seed in range(len(kept))]
            assert got == [each / 1000 for each in kept]
            assert found.mean(path) == pytest.approx(np.mean(kept) / 1000)
        else:
            assert np.isnan(found.mean(path))
            with pytest.raises(EvaluationError, match=r"^table mine has no score of"):
                found.score(architecture, 0)


def test_the_digest_is_of_the_content_and_not_of_its_form() -> None:
    plain = document()
    digest = table_from(json.dumps(plain)).digest
    assert table_from(json.dumps(plain, indent=3, sort_keys=True)).digest == digest
    assert table(scores=[1, *plain["scores"][1:]]).digest != digest
    assert table(name="other").digest != digest


def test_its_scores_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        table().scores[0, 0] = 1


def test_the_evaluator_looks_up() -> None:
    found = table()
    architecture = found.choices.architecture((2, 1))
    assert TableEvaluator(found).evaluate(architecture, 5) == Evaluation(0.015)


def test_networks_of_other_spaces_with_the_same_cells_are_found_by_what_they_compute() -> None:
    other = same_cells(CELLS[:0:-1], "other", replace(SKELETON, name="elsewhere"))
    found = table()
    assert found.fitted(other) is other
    # The third and second cell of the table, under other ids.
    assert found.path(Choices(other).architecture((0, 1))) == (2, 1)


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        (
            same_cells([mbconv(7, 1)], "other", SKELETON),
            "layer_00: table mine does not hold the cell cell_0; allowed: the cells of its space, "
            "such as cell_0, cell_1, cell_2",
        ),
        (
            same_cells(CELLS, "other", replace(SKELETON, name="wide", head=8)),
            'skeleton "wide": not that of table mine; allowed: "t"',
        ),
    ],
)
def test_what_is_not_in_the_table_is_refused(space: Space, problem: str) -> None:
    found = table()
    network = Choices(space).architecture((0, 0))
    refused: list[Callable[[], object]] = [
        lambda: found.fitted(space),
        lambda: found.score(network, 0),
    ]
    for call in refused:
        with pytest.raises(EvaluationError, match=f"^{re.escape(problem)}$"):
            call()


def test_the_layer_of_a_foreign_cell_is_named() -> None:
    layer = SPACE.layers[1]
    strange = replace(layer, candidates=(*layer.candidates, Candidate("strange", mbconv(7, 3))))
    with pytest.raises(EvaluationError, match=r"^layer_01: .* the cell strange; "):
        table().fitted(replace(SPACE, layers=(SPACE.layers[0], strange)))


TWICE = same_cells([CELLS[0], CELLS[0]], "twice", SKELETON)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"format": "autospace.space"},
            "a space of autospace; allowed here: a table",
        ),
        (
            {"format": "autospace.bench"},
            "numbers of autospace bench; they are for --baseline",
        ),
        ({"format": 3}, "not of format autospace.table; allowed here: a table of accuracies, as"),
        ({"version": 2}, "version: 2; allowed: 1"),
        ({"version": "left out"}, "version: missing key"),
        ({"colour": 1}, "colour: unknown key; allowed: format, version, name, description"),
        ({"name": ""}, 'name: ""; allowed: 1 or more characters'),
        ({"name": "a\nb"}, 'name: "a\\nb"; value error, allowed: printable'),
        ({"unit": 0}, "unit: 0; allowed: above 0"),
        ({"unit": 2.0}, "unit: 2.0; allowed: 1 or less"),
        ({"unit": "1"}, 'unit: "1"; allowed: a number'),
        ({"seeds": 0}, "seeds: 0; allowed: 1 or more"),
        ({"seeds": 10**9}, "seeds: 1000000000; allowed: 1000 or less"),
        ({"seeds": 3, "scores": [1] * 18}, "scores: 18 scores; allowed: those of 9 networks"),
        ({"scores": []}, "scores: an empty list; allowed: 1 or more entries"),
        ({"scores": [None] * 18}, "scores: all are null; allowed: at least one number"),
        ({"scores": [1] * 17}, "scores: 17 scores; allowed: those of 9 networks with 2 each"),
        ({"scores": [-1] * 18}, "scores[0]: -1; allowed: 0 or more"),
        ({"scores": [1.5] * 18}, "scores[0]: 1.5; "),
        ({"scores": [True] * 18}, "scores[0]: true; allowed: an integer"),
        ({"scores": [1001] * 18}, "scores: the largest times unit is 1.001; allowed: up to 1"),
        ({"space": {}}, "space.format: null; allowed: autospace.space"),
        ({"space": 5}, "space: 5; allowed: an object"),
        ({"space": json.loads(to_json(SKELETON))}, "space: not a space; allowed: format auto"),
        (
            {"space": {**document()["space"], "name": 5}},
            "space.name: 5; allowed: a string",
        ),
        (
            {"space": json.loads(to_json(TWICE)), "scores": [1] * 8},
            "space.layers[0]: cell_0 and cell_1 compute the same function; allowed: each",
        ),
    ],
)
def test_a_file_that_is_no_table_is_refused_in_one_line(
    changes: dict[str, Any], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    Path(NAME).write_text(json.dumps(document(**changes)))
    with pytest.raises(SpaceError) as caught:
        read_table(NAME)
    message = str(caught.value)
    assert message.startswith(f"{NAME}: {problem}")
    assert message.isprintable()
    assert len(message) < 400


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from([*document()]),
)
@settings(max_examples=100)
def test_whatever_a_key_holds_is_a_table_or_one_error(value: object, key: str) -> None:
    text = json.dumps({**document(), key: value})
    try:
        message = table_from(text).name
    except SpaceError as error:
        message = str(error)
    assert message.isprintable()
    assert 0 < len(message) < 400


@pytest.mark.parametrize("text", ["", "[]", "5", '{"scores": [' + "1," * 1_000_001 + "1]}"])
def test_a_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(SpaceError):
        table_from(text)


def test_a_space_of_more_networks_than_there_are_scores_takes_no_time() -> None:
    layers = tuple(LayerSpec(4) for _ in range(100))
    vast = same_cells(CELLS, "vast", Skeleton("vast", 1, 8, 3, Stem(4, 1), layers))
    with pytest.raises(SpaceError, match=r"^scores: 18 scores; allowed: those of \d+"):
        table(of=vast, scores=[1] * 18)


def test_a_missing_file_is_refused_with_the_built_in_names() -> None:
    names = "nasbench-macro, nasbench201-12epochs, nasbench201-200epochs"
    known = f"allowed: a file, or {names}"
    with pytest.raises(SpaceError, match=f"^nope.json: no such file or directory; {known}$"):
        read_table("nope.json")


def test_a_built_in_table_is_read_once_and_a_file_of_its_name_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read_table("nasbench-macro") is read_table("nasbench-macro")
    monkeypatch.chdir(tmp_path)
    Path("nasbench-macro").write_text(json.dumps(document()))
    assert read_table("nasbench-macro").name == "mine"


def test_the_schema_accepts_a_table_and_refuses_what_is_none() -> None:
    validator = jsonschema.Draft202012Validator(table_schema())
    validator.validate(document())
    assert not validator.is_valid(document(unit=2))
    assert not validator.is_valid(document(scores=[-1]))
    assert not validator.is_valid(document(seeds="left out"))


def test_a_file_says_itself_whether_it_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    for text, found in (
        (json.dumps(document()), True),
        (json.dumps(document(seeds=0)), True),
        (to_json(SPACE), False),
        ("{", False),
    ):
        path.write_text(text)
        assert is_table(path) is found
    assert not is_table(tmp_path)


def test_networks_without_a_score_are_counted() -> None:
    # Of the paths (0, 1), (1, 2) and (2, 0): both seeds, one of two, both.
    scores: list[int | None] = list(range(18))
    scores[2:4], scores[11:12], scores[12:14] = [None, None], [None], [None, None]
    found = table(scores=scores)
    assert found.unscored(SPACE) == 2
    assert table().unscored(SPACE) == 0
    part = same_cells(CELLS[1:], "part", SKELETON)  # without cell 0 of both layers
    assert found.unscored(part) == 0
    turned = same_cells([CELLS[1], CELLS[0]], "turned", SKELETON)
    assert found.unscored(turned) == 1
    assert [found.has_score(SPACE.at(path)) for path in ((0, 1), (1, 2))] == [False, True]
    with pytest.raises(
        EvaluationError, match="table mine has no score of the architecture cell_0,"
    ):
        found.score(SPACE.at((0, 1)), 0)


def test_tables_may_have_more_layers_than_arrays_have_dimensions() -> None:
    deep = replace(SKELETON, name="deep", layers=(LayerSpec(4),) * 70)
    one, two = same_cells(CELLS[:1], "one", deep), same_cells(CELLS[:2], "two", deep)
    layers = (*one.layers[:-2], *two.layers[-2:])
    space = replace(one, layers=layers, reference={})
    found = table(of=space, scores=[1, 2, None, None, 5, 6, None, 8])
    assert found.unscored(space) == 1
    assert found.unscored(one) == 0
