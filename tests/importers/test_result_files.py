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
WINNER, OTHER, THIRD = (SPACE.sample(random.Random(seed)) for seed in (1, 2, 3))
HYPERPARAMETERS = {"lr": 0.003, "batch_size": 64}
# Spaces whose layers are not named layer_00, layer_01, ...
NAMED = {
    name: load(name)
    for name in (
        "nasbench201@nasbench201",
        "darts@darts-small",
        "enas-rnn@rnn-small",
        "autocaption@captions-small",
    )
}


def read(
    text: str, name: str = "optuna", *, trial: str | None = None, space: Space = SPACE
) -> tuple[Architecture, list[str]]:
    notes: list[str] = []
    found = import_text(name, text, Target(space=space, trial=trial, note=notes.append))
    assert isinstance(found, Architecture)
    return found, notes


def error(text: str, trial: str | None = None, space: Space = SPACE) -> str:
    with pytest.raises(SpaceError) as caught:
        read(text, trial=trial, space=space)
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


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("space", NAMED)
def test_so_it_does_whatever_the_layers_are_named(writer: str, space: str) -> None:
    drawn = NAMED[space].sample(random.Random(7))
    assert read(WRITERS[writer](drawn.choices), space=NAMED[space]) == (drawn, [])
    if writer == "ray's table":
        return
    found, notes = read(WRITERS[writer](drawn.choices | {"lr": 0.003}), space=NAMED[space])
    assert (found, notes) == (drawn, ['left out, no layers: "lr"'])


def trials_of(space: Space, count: int = 3) -> list[Architecture]:
    """Different architectures, the last of which is the best trial of `TRIALS`."""
    drawn = [space.sample(random.Random(seed)) for seed in range(count)]
    assert len({str(each.choices) for each in drawn}) == count
    return drawn


TRIALS: dict[str, Callable[[list[dict[str, str]]], str]] = {
    "optuna's trials": lambda trials: json.dumps(
        [{"number": n, "value": n / 8, "params": each} for n, each in enumerate(trials)]
    ),
    "optuna's table": lambda trials: as_csv(
        [
            {"number": n, "value": n / 8, **prefixed(each | {"lr": "1"}, "params_")}
            for n, each in enumerate(trials)
        ]
    ),
    "nni's export": lambda trials: json.dumps(
        [
            {"parameter": each, "value": str(n / 8), "trialJobId": str(n)}
            for n, each in enumerate(trials)
        ]
    ),
    "ray's lines": lambda trials: "\n".join(
        json.dumps({"value": n / 8, "trial_id": str(n), "config": each})
        for n, each in enumerate(trials)
    ),
}


@pytest.mark.parametrize("form", TRIALS)
@pytest.mark.parametrize("space", [SPACE.name, *NAMED])
def test_of_the_trials_of_any_space_one_is_chosen(form: str, space: str) -> None:
    of = NAMED.get(space, SPACE)
    trials = trials_of(of)
    text = TRIALS[form]([each.choices for each in trials])
    assert read(text, trial="max", space=of)[0] == trials[2]
    assert read(text, trial="min", space=of)[0] == trials[0]
    assert read(text, trial="1", space=of)[0] == trials[1]
    assert error(text, space=of).endswith('max, min or one of "0", "1", "2"')


@pytest.mark.parametrize(
    ("space", "misspelt"),
    [
        ("nasbench201@nasbench201", "edge_0_7"),
        ("darts@darts-small", "layer_9_node_2"),
        ("enas-rnn@rnn-small", "node_1_input"),
        ("autocaption@captions-small", "layer_7_links"),
    ],
)
def test_a_name_like_those_of_the_layers_is_no_hyperparameter(space: str, misspelt: str) -> None:
    choices = NAMED[space].sample(random.Random(0)).choices
    names = [*choices]
    for wrapped in (lambda each: each, lambda each: {"params": each}):
        problem = error(json.dumps(wrapped(choices | {misspelt: "none"})), space=NAMED[space])
        allowed = f"unknown layer; allowed: {names[0]} to {names[-1]}"
        assert problem.removeprefix("params.") == f"{misspelt}: {allowed}"


def test_trials_of_another_space_are_refused_by_the_name_of_a_layer() -> None:
    bench = NAMED["nasbench201@nasbench201"]
    texts = {
        each.name: TRIALS["optuna's trials"]([one.choices for one in trials_of(each)])
        for each in (SPACE, bench)
    }
    assert error(texts[bench.name], "max") == (
        "[2].params.edge_0_1: unknown layer; allowed: layer_00 to layer_03"
    )
    assert error(texts[SPACE.name], "max", bench) == (
        "[2].params.layer_00: unknown layer; allowed: edge_0_1 to edge_2_3"
    )


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
    assert notes == ['max value 0.91 of 2: trial "aB3dE"; passed over: 1 without a finite value']
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


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("around", ["", "\n", "\r\n", " \r\n\t\n"])
def test_names_and_cells_at_the_ends_of_a_table_may_be_empty(delimiter: str, around: str) -> None:
    rows = [{"": 0, **prefixed(WINNER.choices, "params_"), "error": ""}]
    text = as_csv(rows, delimiter).strip("\r\n")
    assert read(f"{around}{text}{around}")[0] == WINNER


def test_numbers_with_a_comma_decide_where_semicolons_divide() -> None:
    rows = [
        {"number": index, "value": value, **prefixed(each.choices, "params_")}
        for index, (each, value) in enumerate([(OTHER, "0,5"), (WINNER, "0,75"), (OTHER, "")])
    ]
    found, notes = read(as_csv(rows, ";"), trial="max")
    assert found == WINNER
    assert notes == ['max value 0.75 of 2: trial "1"; passed over: 1 without a finite value']


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


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([WINNER], ""),
        ([OTHER, OTHER], "; as good: 1 other architecture"),
        ([OTHER, THIRD, WINNER], "; as good: 2 other architectures"),
    ],
)
def test_equals_of_the_best_value_are_said(others: list[Architecture], said: str) -> None:
    trials = [WINNER, *others]
    rows = [{"number": n, "value": 1, "params": each.choices} for n, each in enumerate(trials)]
    found, notes = read(json.dumps(rows), trial="max")
    assert found == WINNER
    assert notes == [f'max value 1 of {len(trials)}: trial "0"{said}']


# What a tool calls a trial that it ran to the end, and one that it did not.
STATES = [
    ("COMPLETE", "PRUNED"),
    ("COMPLETE", "FAIL"),
    ("TrialState.COMPLETE", "TrialState.PRUNED"),
    ("SUCCEEDED", "EARLY_STOPPED"),
    ("SUCCEEDED", "USER_CANCELED"),
    ("TERMINATED", "ERROR"),
    ("finished", "crashed"),
    ("success", "evaluating"),
    ("SUCCESS", "MEMORYOUT"),
    ("Completed", "InProgress"),
    ("COMPLETED", "ABANDONED"),
    ("a word of no tool", "running"),
]


@pytest.mark.parametrize(("finished", "unfinished"), STATES)
@pytest.mark.parametrize("key", ["state", "State", "status", "trial_status"])
def test_the_best_trial_is_one_that_finished(key: str, finished: str, unfinished: str) -> None:
    rows = [
        {"number": 0, "value": 0.9, key: unfinished, **prefixed(OTHER.choices, "params_")},
        {"number": 1, "value": 0.5, key: finished, **prefixed(WINNER.choices, "params_")},
        {"number": 2, "value": 0.1, key: unfinished, **prefixed(OTHER.choices, "params_")},
    ]
    for direction in ("max", "min"):
        note = f'{direction} value 0.5 of 1: trial "1"; passed over: 2 not finished'
        expected = (WINNER, [f'{note} ("{unfinished}")'])
        assert read(as_csv(rows), trial=direction) == expected
        assert read(json.dumps(rows), trial=direction) == expected
    assert read(as_csv(rows), trial="0")[0] == OTHER  # Whoever names a trial gets it.


def test_a_state_that_is_empty_or_of_no_tool_passes_no_trial_over() -> None:
    rows = [
        {"number": n, "value": n, "state": state, **each.choices}
        for n, (each, state) in enumerate([(OTHER, "COMPLETE"), (WINNER, "odd"), (OTHER, "")])
    ]
    assert read(as_csv(rows), trial="max") == (OTHER, ['max value 2 of 3: trial "2"'])
    assert read(as_csv(rows[:2]), trial="max") == (WINNER, ['max value 1 of 2: trial "1"'])


def test_without_a_finished_trial_the_best_one_is_an_error() -> None:
    states = ("PRUNED", "FAIL", "PRUNED")
    rows = [{"number": n, "value": 1, "state": s, **OTHER.choices} for n, s in enumerate(states)]
    assert error(as_csv(rows), "max") == (
        'trial: no finished trial, 3 not finished ("PRUNED", "FAIL"); allowed: one of "0", "1", "2"'
    )


def test_the_best_of_a_study_is_that_of_optuna() -> None:
    client = pytest.importorskip("optuna")
    client.logging.set_verbosity(client.logging.ERROR)
    study = client.create_study(direction="maximize")
    states = client.trial.TrialState
    category = client.distributions.CategoricalDistribution
    told = [(WINNER, 0.5, states.COMPLETE), (OTHER, 0.9, states.PRUNED), (OTHER, None, states.FAIL)]
    for each, value, state in told:
        study.add_trial(
            client.trial.create_trial(
                state=state,
                value=value,
                params=each.choices,
                distributions={name: category([cell]) for name, cell in each.choices.items()},
            )
        )
    trials = [
        {
            "number": each.number,
            "value": each.value,
            "params": each.params,
            "state": each.state.name,
        }
        for each in study.trials
    ]
    found, notes = read(json.dumps(trials), trial="max")
    assert found.choices == study.best_trial.params
    assert notes == [
        'max value 0.5 of 1: trial "0"; passed over: 2 not finished ("PRUNED", "FAIL")'
    ]


def test_the_state_of_a_whole_search_is_not_that_of_its_trials() -> None:
    trials = [
        {"id": "a", "value": 1, "config": WINNER.choices},
        {"id": "b", "value": 2, "config": OTHER.choices},
    ]
    for held in (trials, trials[:1], {each["id"]: each for each in trials}):
        read(json.dumps({"status": "RUNNING", "trials": held}), trial="max")
    # Ray writes the configuration of a trial twice.
    last = {"config": OTHER.choices, "value": 3}
    failed = {"id": "c", "status": "ERROR", "config": OTHER.choices, "last_result": last}
    found, notes = read(
        json.dumps({"status": "RUNNING", "trials": [*trials[:1], failed]}), trial="max"
    )
    assert found == WINNER
    assert notes[0].startswith('max value 1 of 1: trial "a"; ')


def test_the_line_that_a_killed_process_left_is_passed_over() -> None:
    line = json.dumps({"config": WINNER.choices})
    found, notes = read(f"{line}\n{line}\n{line[:30]}", "ray")
    assert (found, notes) == (WINNER, ["line 3 is cut off and was passed over"])
    assert error(f"{line}\n{line[:30]}\n{line}").startswith("line 2: ")


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_where_those_of_json_do(separator: str, end: str) -> None:
    lines = [{"note": f"a{separator}b", "config": WINNER.choices}] * 3
    text = end.join(json.dumps(each, ensure_ascii=False) for each in lines)
    assert read(text, "ray")[0] == WINNER


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
