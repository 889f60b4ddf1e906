"""Comparisons by a table: against means over all networks, and what they leave and refuse."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autospace import api
from autospace.comparison.encoding import command
from autospace.comparison.settings import CompareConfig
from autospace.evaluators.evaluator import EvaluationError
from autospace.evaluators.tabular import read_table
from autospace.progress import Silent
from autospace.runs.errors import ConfigError, RunError
from autospace.spaces import Space, from_json, load, to_json
from tests.evaluators.test_tabular import SPACE, document
from tests.slow import slowly

TABLE = read_table("nasbench-macro")
BY_TABLE = {"evaluator": {"method": "table", "table": "nasbench-macro"}}
TABLE_WORDS = "--set evaluator.method=table --set evaluator.table=nasbench-macro"


def without(dropped: str) -> Space:
    """NAS-Bench-Macro's space without one of its candidates, made by editing its file."""
    plain = json.loads(to_json(load("nasbench-macro@nasbench-macro")))
    plain["name"], plain["reference"] = f"without {dropped}", {}
    for layer in plain["layers"]:
        layer["candidates"] = [each for each in layer["candidates"] if each["id"] != dropped]
    found = from_json(json.dumps(plain))
    assert isinstance(found, Space)
    return found


def compared(out: Path, *dropped: str, **sampling: Any) -> dict[str, Any]:
    spaces = [without(each) for each in dropped]
    found = api.compare(spaces, settings={**BY_TABLE, "sampling": sampling}, seed=1, out=out)
    plain: dict[str, Any] = json.loads((found.folder / "comparison.json").read_text())
    return plain


# Means over the 256 networks of each, from the published file.
MEANS = {"0": 0.92547, "1": 0.88336, "2": 0.85931}


@pytest.mark.parametrize(("a", "b"), [("2", "1"), *slowly(("0", "2"), ("0", "1"))])
def test_the_intervals_hold_the_true_means(tmp_path: Path, a: str, b: str) -> None:
    found = compared(tmp_path / "out", a, b, samples=300, match="none")
    low, high = found["interval"]
    assert low < MEANS[b] - MEANS[a] < high
    assert found["verdict"] == ("a" if MEANS[a] > MEANS[b] else "b")
    assert [each["mean"]["value"] for each in found["spaces"]] == pytest.approx(
        [1 - MEANS[a], 1 - MEANS[b]], abs=0.01
    )


@pytest.mark.parametrize(
    ("sampling", "said"),
    [
        ({"samples": 20}, "--samples 20"),
        ({"samples": 20, "effect": 5.0}, "--samples 20 --set sampling.effect=5.0"),
        ({"effect": 5.0}, "--set sampling.effect=5.0"),
        ({}, None),
    ],
)
def test_the_command_has_what_was_given_and_no_number_that_was_planned(
    sampling: dict[str, Any], said: str | None
) -> None:
    given = {"spaces": ["a.json", "b.json"], **BY_TABLE, "sampling": sampling}
    words = command(CompareConfig.model_validate(given), "data")
    assert words == " ".join(
        ["autospace compare a.json b.json --seed 0", *([said] if said else []), TABLE_WORDS]
    )


def test_every_error_is_one_minus_a_score_of_the_network(tmp_path: Path) -> None:
    found = compared(tmp_path / "out", "0", "1", samples=20, repeats=4)
    for column in found["spaces"]:
        for choices, errors in zip(column["networks"], column["repeats"], strict=True):
            row = TABLE.scores[int("".join(choices.values()), 3)]
            assert set(errors) <= set(np.round(1 - row, 8))


def test_repeats_are_different_scores_and_split_the_variance(tmp_path: Path) -> None:
    found = compared(tmp_path / "out", "0", "1", samples=20, repeats=3)
    for column in found["spaces"]:
        rows = [
            1 - TABLE.scores[int("".join(choices.values()), 3)] for choices in column["networks"]
        ]
        assert [sorted(each) for each in column["repeats"]] == [
            sorted(np.round(row, 8)) for row in rows
        ]
        seed = np.var(rows, axis=1, ddof=1).mean()
        assert column["variance"]["seed"] == pytest.approx(seed, abs=1e-8)


def test_scores_that_are_used_again_are_no_further_seeds(tmp_path: Path) -> None:
    known, again = (
        compared(tmp_path / str(count), "0", "1", samples=8, repeats=count) for count in (3, 10)
    )
    for few, many in zip(known["spaces"], again["spaces"], strict=True):
        assert len(many["repeats"][0]) == 10
        of_few, of_many = few["variance"], many["variance"]
        # The same scores in another order.
        assert of_many == pytest.approx(of_few, abs=1e-7)


def test_a_table_of_one_seed_says_nothing_about_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document(columns=1)))
    settings = {**by_file(path), "sampling": {"samples": 12}}
    found = api.compare([SPACE, SPACE], settings=settings, out=tmp_path / "out")
    notes = json.loads((found.folder / "comparison.json").read_text())["notes"]
    assert (
        "the table has one score of each network: how it varies with the seed is unknown" in notes
    )
    assert any(each.endswith("; repeated networks have equal errors") for each in notes)
    assert not any("trained with one seed" in each or "other seeds" in each for each in notes)
    settings["sampling"] = {"samples": 12, "repeats": 2}
    twice = api.compare([SPACE, SPACE], settings=settings, out=tmp_path / "twice").folder
    for column in json.loads((twice / "comparison.json").read_text())["spaces"]:
        assert column["variance"] is None


def test_the_result_says_whose_accuracies_they_are(tmp_path: Path) -> None:
    found = compared(tmp_path / "out", "0", "1", samples=20)
    assert found["evaluator"]["method"] == "table"
    assert not found["evaluator"]["proxy"]
    assert found["evaluator"]["settings"] == {}
    assert found["data"] == {
        "name": "nasbench-macro",
        "sha256": TABLE.digest,
        **dict.fromkeys(("classes", "train_images", "measured_images"), 0),
        "measured_on": "",
    }
    note = "accuracies are those of table nasbench-macro (Su et al.,"
    assert found["notes"][0].startswith(note)
    assert found["notes"][0].endswith(", not of networks trained here")
    assert "--set evaluator.table=nasbench-macro" in found["command"]
    assert "--data" not in found["command"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Networks were scored by the accuracies of table nasbench-macro (Su et al." in page
    assert "training images" not in page


class Stop(Silent):
    def tick(self, phase: str, done: int, total: int) -> None:
        if phase == "evaluate" and done:
            raise KeyboardInterrupt


def test_a_stopped_comparison_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    compared(tmp_path / "whole", "0", "1", samples=20)
    spaces, settings = [without("0"), without("1")], {**BY_TABLE, "sampling": {"samples": 20}}
    with pytest.raises(api.RunInterrupted):
        api.compare(spaces, settings=settings, seed=1, out=tmp_path / "parts", observer=Stop())
    api.compare(resume=tmp_path / "parts")
    for name in ("comparison.json", "config.toml", "report.html"):
        whole, parts = (tmp_path / run / name for run in ("whole", "parts"))
        assert whole.read_bytes() == parts.read_bytes()


def by_file(path: Path) -> Mapping[str, Any]:
    return {"evaluator": {"method": "table", "table": str(path)}, "sampling": {"samples": 4}}


def test_a_table_of_ones_own_that_changes_stops_a_comparison_that_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("mine.json")
    path.write_text(json.dumps(document()))
    with pytest.raises(api.RunInterrupted):
        api.compare([SPACE, SPACE], settings=by_file(path), out="out", observer=Stop())
    path.write_text(json.dumps(document(scores=[5] * 18)))
    monkeypatch.chdir("/")
    with pytest.raises(RunError, match="the data has changed since"):
        api.compare(resume=tmp_path / "out")


def test_the_file_of_a_table_does_not_show_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document()))
    found = api.compare([SPACE, SPACE], settings=by_file(path), out=tmp_path / "out")
    for name in ("comparison.json", "report.html"):
        assert str(tmp_path) not in (found.folder / name).read_text()


@pytest.mark.parametrize(
    ("settings", "data", "problem"),
    [
        (BY_TABLE, "digits", "data: settings of images, but a table needs none; allowed: no data"),
        ({**BY_TABLE, "data": {"flip": True}}, None, "data: settings of images"),
        (
            {"evaluator": {"method": "table"}},
            None,
            'evaluator: method is "table" and table is null;',
        ),
        (
            {"evaluator": {"table": "nasbench-macro"}},
            "digits",
            'evaluator: method is "train" and table',
        ),
        (
            {"evaluator": {**BY_TABLE["evaluator"], "steps": 5}},
            None,
            "evaluator: steps is 5, but a table has no such setting",
        ),
        (
            {"evaluator": {**BY_TABLE["evaluator"], "precision": "bfloat16"}},
            None,
            'evaluator: precision is "bfloat16", but a table has no such setting',
        ),
        ({}, None, "data: name the images"),
    ],
)
def test_settings_that_contradict_a_table_are_refused(
    settings: dict[str, Any], data: str | None, problem: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"^{problem}"):
        api.compare([SPACE, SPACE], data, settings=settings, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_space_that_is_not_in_the_table_leaves_nothing_behind(tmp_path: Path) -> None:
    spaces = ["nasbench-macro@nasbench-macro", "mbconv@nasbench-macro"]
    with pytest.raises(ValueError, match=r"^layer_00: table nasbench-macro does not hold the cell"):
        api.compare(spaces, settings=BY_TABLE, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_networks_without_a_score_are_counted_and_refused_before_anything_is_drawn(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document(scores=[*range(16), None, None])))
    with pytest.raises(
        EvaluationError,
        match=r"^three \(A\): table mine has no score of 1 of its 9 networks; allowed in a comp",
    ):
        api.compare([SPACE, SPACE], settings=by_file(path), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # One of two seeds is enough.
    path.write_text(json.dumps(document(scores=[*range(17), None])))
    api.compare([SPACE, SPACE], settings=by_file(path), out=tmp_path / "out")
