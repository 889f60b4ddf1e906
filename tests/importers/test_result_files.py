"""Winners as tuners write them: written by the libraries that tuners use, and read back."""

import csv
import io
import json
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import Architecture, Space, SpaceError, load
from autospace.spaces.files.foreign import foreign_text
from tests.strategies import spaces

SPACE = load("mbconv@digits")
WINNER, OTHER = (SPACE.sample(random.Random(seed)) for seed in (1, 2))
HYPERPARAMETERS = {"lr": 0.003, "batch_size": 64}


def read(
    text: str, name: str = "optuna", *, trial: str | None = None, space: Space = SPACE
) -> tuple[Architecture, list[str]]:
    notes: list[str] = []
    found = import_text(name, text, Target(space=space, trial=trial, note=notes.append))
    assert isinstance(found, Architecture)
    return found, notes


def error(text: str, trial: str | None = None) -> str:
    with pytest.raises(SpaceError) as caught:
        read(text, trial=trial)
    return str(caught.value)


def as_csv(rows: list[dict[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_yaml(choices: dict[str, Any]) -> str:
    yaml = pytest.importorskip("yaml")
    text: str = yaml.safe_dump(choices, allow_unicode=True, width=10_000)
    return text


def prefixed(choices: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {f"{prefix}{key}": value for key, value in choices.items()}


WRITERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "json": json.dumps,
    "byte order mark": lambda choices: "\ufeff" + json.dumps(choices),
    "python": str,
    "best_params": lambda choices: json.dumps({"best_params": choices, "best_value": 0.9}),
    "lines": lambda choices: "\n".join(
        json.dumps({"loss": math.nan, "training_iteration": step, "config": choices})
        for step in range(3)
    ),
    "frame": lambda choices: json.dumps([{"number": 1, **prefixed(choices, "params_")}]),
    "table": lambda choices: as_csv([{"": 0, "value": 0.5, **prefixed(choices, "params_")}]),
    "semicolons": lambda choices: as_csv(
        [{"value": "0,5", **prefixed(choices, "params_")}], delimiter=";"
    ),
    "tabs": lambda choices: as_csv([{"value": 0.5, **prefixed(choices, "params_")}], "\t"),
    "ray's table": lambda choices: as_csv([{"loss": 0.5, **prefixed(choices, "config/")}]),
    "yaml": as_yaml,
    "nested yaml": lambda choices: as_yaml({"name": "optuna", "best_params": choices}),
    "wandb": lambda choices: as_yaml({key: {"value": each} for key, each in choices.items()}),
}


@pytest.mark.parametrize("writer", WRITERS)
@given(space=spaces(), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_every_way_to_write_a_winner_names_the_same_architecture(
    writer: str, space: Space, seed: int
) -> None:
    drawn = space.sample(random.Random(seed))
    found, notes = read(WRITERS[writer](drawn.choices), space=space)
    assert found == drawn
    assert notes == []


@pytest.mark.parametrize("writer", [name for name in WRITERS if name != "ray's table"])
def test_hyperparameters_beside_the_layers_are_left_out_and_named(writer: str) -> None:
    found, notes = read(WRITERS[writer](WINNER.choices | HYPERPARAMETERS))
    assert found == WINNER
    assert [sorted(note.removeprefix("left out, no layers: ").split(", ")) for note in notes] == [
        ['"batch_size"', '"lr"']
    ]


def test_more_than_a_few_are_counted() -> None:
    _, notes = read(json.dumps(WINNER.choices | {f"p{index}": 0 for index in range(9)}))
    assert notes == ['left out, no layers: "p0", "p1", "p2", "p3", "p4", "p5" and 3 more']


def test_a_layer_that_the_space_does_not_have_is_no_hyperparameter() -> None:
    assert error(json.dumps(WINNER.choices | {"layer_77": "skip"})).startswith(
        "layer_77: unknown layer"
    )


# What `nnictl experiment export` writes: every trial, its value as text or by name.
EXPORT = [
    {"parameter": OTHER.choices, "value": "0.72", "trialJobId": "Zq91k"},
    {"parameter": WINNER.choices, "value": {"default": 0.91}, "trialJobId": "aB3dE"},
    {"parameter": OTHER.choices, "value": math.nan, "trialJobId": "failed"},
]


def test_of_several_trials_one_has_to_be_chosen() -> None:
    text = json.dumps(EXPORT)
    assert error(text).endswith('or --trial with max, min or one of "Zq91k", "aB3dE", "failed"')
    assert read(text, trial="aB3dE")[0] == WINNER
    found, notes = read(text, trial="max")
    assert found == WINNER
    assert notes == [
        'max value 0.91 of 2: trial "aB3dE"; 1 without a finite value were passed over'
    ]
    assert read(text, trial="min")[0] == OTHER
    assert error(text, "nothing").startswith('trial: "nothing": no such trial; allowed: max, min, ')


@pytest.mark.parametrize("divider", [",", ";", "\t"])
def test_columns_may_have_names_in_quotes(divider: str) -> None:
    stream = io.StringIO()
    rows = [{"Name": "a", **WINNER.choices}]
    writer = csv.DictWriter(stream, [*rows[0]], delimiter=divider, quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    assert read(stream.getvalue())[0] == WINNER
    assert foreign_text(stream.getvalue()) is not None


def test_numbers_with_a_comma_decide_where_semicolons_divide() -> None:
    rows = [
        {"number": index, "value": value, **prefixed(each.choices, "params_")}
        for index, (each, value) in enumerate([(OTHER, "0,5"), (WINNER, "0,75"), (OTHER, "")])
    ]
    found, notes = read(as_csv(rows, ";"), trial="max")
    assert found == WINNER
    assert notes == ['max value 0.75 of 2: trial "1"; 1 without a finite value were passed over']


def test_a_trial_is_named_once() -> None:
    lines = [{"trial_id": "t0", "config": each.choices} for each in (OTHER, WINNER)]
    text = "\n".join(map(json.dumps, lines))
    assert error(text).endswith('or --trial with max, min or one of "t0"')


@pytest.mark.parametrize("text", ["// no\n{}", "!!python/object/apply:x []", "<html>", "%PDF-1.4"])
def test_what_is_none_of_the_forms_is_shown(text: str) -> None:
    problem = error(text)
    assert problem.startswith('begins with "')
    assert problem.endswith("; allowed: JSON, a table, or keys and values of YAML")


def test_any_number_of_a_trial_can_decide() -> None:
    rows = [
        {"trial_id": index, "accuracy": accuracy, "config": each.choices}
        for index, (each, accuracy) in enumerate([(OTHER, 0.5), (WINNER, 0.8)])
    ]
    text = json.dumps(rows)
    assert read(text, trial="max:accuracy")[0] == WINNER
    assert read(text, trial="min:accuracy")[0] == OTHER
    assert "no value in any trial; allowed: max:KEY of accuracy, trial_id" in error(text, "max")
    assert read(text, trial="1")[0] == WINNER


def test_equals_of_the_best_value_are_said() -> None:
    rows = [{"number": n, "value": 1, "params": e.choices} for n, e in enumerate((WINNER, OTHER))]
    found, notes = read(json.dumps(rows), trial="max")
    assert found == WINNER
    assert notes[0].endswith("1 other architectures have this value")


def test_the_line_that_a_killed_process_left_is_passed_over() -> None:
    line = json.dumps({"config": WINNER.choices})
    found, notes = read(f"{line}\n{line}\n{line[:30]}", "ray")
    assert (found, notes) == (WINNER, ["line 3 is cut off and was passed over"])
    assert error(f"{line}\n{line[:30]}\n{line}").startswith("line 2: ")


def test_lines_of_different_trials_are_not_guessed() -> None:
    text = "\n".join(json.dumps({"config": each.choices}) for each in (WINNER, OTHER))
    assert "a list of 2 values" in error(text)


def test_overrides_of_hydra_are_read() -> None:
    lines = [f"- {layer}={cell}" for layer, cell in WINNER.choices.items()]
    assert read("\n".join([*lines, "- lr=0.1"])) == (WINNER, ['left out, no layers: "lr"'])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer_00: a\n  layer_01: b", "line 2: indented in a way"),
        ("layer_00: a\nlayer_00: b", 'line 2: "layer_00" occurs twice'),
        ("layer_00: a\n{x", 'line 2: "{x"; allowed: key: value'),
        ("layer_00,layer_01\na", "line 2: more or fewer fields"),
        ("layer_00,layer_01\na,b,c", "line 2: more or fewer fields"),
        ("{'layer_00': open('x')}", "\"{'layer_00': open('x')}\"; allowed: JSON, or a dict"),
        (json.dumps({"params_layer_00": 1, "config/layer_01": 2}), "layers under"),
    ],
)
def test_a_damaged_file_is_one_line(text: str, message: str) -> None:
    assert error(text).startswith(message)


YAML_LIKE = st.text(alphabet="layer_0123:\n -#'\"=, {[x", max_size=80)


@given(YAML_LIKE | st.text(max_size=40), st.sampled_from([None, "max", "min:x", "0"]))
@settings(max_examples=300)
def test_any_text_is_a_value_or_an_error(text: str, trial: str | None) -> None:
    try:
        read(text, trial=trial)
    except SpaceError as problem:
        assert str(problem).isprintable()  # noqa: PT017
