"""Runs that learn a space of recurrent cells from a text."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from autospace import api
from autospace.data.errors import DataError
from autospace.progress import Planned, Silent
from autospace.spaces import Space, from_json
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.errors import SpaceError
from autospace.spaces.sequence import SequenceSkeleton
from tests.slow import slowly

SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "evolution": {
        "generations": 2, "population": 4, "candidates": 3, "tournament": 2, "keep": 2,
    },
    "scoring": {"method": "in-place", "steps": 4, "batch": 4, "learning_rate": 0.5},
    "warm_up": {"steps": 120, "batch": 4, "learning_rate": 0.5},
}  # fmt: skip
SKELETON = SequenceSkeleton.of("tiny", 2, 8, 3)


class _Stops(Silent):
    """Raises in one phase, after so many ticks of it."""

    def __init__(self, phase: str = "", after: int = 0) -> None:
        self.phase, self.left = phase, after
        self.plans: list[Planned] = []
        self.messages: list[str] = []

    def tick(self, phase: str, done: int, total: int) -> None:
        """Counts."""
        if phase == self.phase:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt

    def message(self, text: str) -> None:
        """Keeps the message."""
        self.messages.append(text)

    def planned(self, plan: Planned) -> None:
        """Keeps the plan."""
        self.plans.append(plan)


def _text(folder: Path) -> str:
    rng = random.Random(1)
    (folder / "t.txt").write_text("".join(rng.choice(["ab", "ac"]) for _ in range(1500)))
    return f"text:bptt=6:{folder / 't.txt'}"


def _evolve(folder: Path, out: str, **more: Any) -> Any:
    text = _text(folder)
    return api.evolve(
        settings=SETTINGS, skeleton=SKELETON, data=text, seed=2, out=folder / out, **more
    )


def _space(folder: Path, out: str) -> Space:
    found = from_json((folder / out / "space.json").read_text())
    assert isinstance(found, Space)
    return found


def test_a_space_of_whole_cells_is_learned(tmp_path: Path) -> None:
    heard = _Stops()
    _evolve(tmp_path, "run", observer=heard)
    space = _space(tmp_path, "run")
    (layer,) = space.layers
    assert len(layer.candidates) == 3  # two evolved ones, and the reference
    assert all(isinstance(each.cell, RecurrentCell) for each in layer.candidates)
    assert layer.by_id["tanh_chain"].fitness == 0.0
    assert space.skeleton.classes == 3
    assert space.provenance["data"]["vocabulary"] == 3
    reference = json.loads((tmp_path / "run" / "reference.json").read_text())
    assert reference["unit"] == "tokens"
    assert 1 < reference["perplexity"] < 3
    # Every other letter is an "a", and a network that reads knows when.
    assert reference["interval"][0] > reference["chance"]
    (plan,) = heard.plans
    assert plan.record["text"]["vocabulary"] == 3
    assert plan.record["network"]["reference"] == "tanh_chain"
    assert plan.record["estimate"]["seconds"] > 0


@pytest.mark.slow  # tests/scorers/test_recurrent.py has the quick one
def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    heard = _Stops()
    _evolve(tmp_path, "alone")
    _evolve(tmp_path, "shared", observer=heard, workers=2)
    assert not any("workers are not used" in each for each in heard.messages)
    found = [(tmp_path / name / "space.json").read_bytes() for name in ("alone", "shared")]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("phase", "after"), [("score", 16), *slowly(("warm-up", 50), ("score", 5))]
)
def test_a_run_that_was_stopped_ends_with_the_same_bytes(
    tmp_path: Path, phase: str, after: int
) -> None:
    _evolve(tmp_path, "whole")
    with pytest.raises(KeyboardInterrupt):
        _evolve(tmp_path, "half", observer=_Stops(phase, after))
    api.evolve(resume=tmp_path / "half")
    for name in ("space.json", "reference.json"):
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_learned_space_is_compared_and_searched(tmp_path: Path) -> None:
    _evolve(tmp_path, "run")
    trial = {"steps": 3, "batch": 4}
    settings = {"method": "random", "evaluations": 2, "device": "cpu", "trial": trial}
    found = api.search(tmp_path / "run", settings=settings, out=tmp_path / "search")
    shared = {**settings, "method": "darts", "supernet": {"steps": 3, "batch": 4}}
    api.search(tmp_path / "run", settings=shared, out=tmp_path / "shared")
    assert found.best.skeleton == _space(tmp_path, "run").skeleton
    heard = _Stops()
    compared = api.compare(
        [tmp_path / "run", tmp_path / "run"],
        settings={"device": "cpu", "sampling": {"samples": 4}, "evaluator": trial},
        out=tmp_path / "compare",
        observer=heard,
    )
    assert (tmp_path / "compare" / "comparison.json").is_file(), compared
    assert heard.plans[0].record["text"]["vocabulary"] == 3
    assert heard.plans[0].record["steps"] == 3


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    wrong = {**SETTINGS, "scoring": {**SETTINGS["scoring"], "method": "mixture"}}
    with pytest.raises(
        SpaceError,
        match=r"mixture, .*read text; allowed for text: in-place, which --preset",
    ):
        api.evolve(settings=wrong, skeleton=SKELETON, data=_text(tmp_path), out=tmp_path / "a")
    with pytest.raises(DataError, match="digits, but tiny reads text; allowed: text"):
        api.evolve(settings=SETTINGS, skeleton=SKELETON, data="digits", out=tmp_path / "b")
    with pytest.raises(SpaceError, match="reads images, but the data are a text"):
        api.evolve(preset="demo", data=_text(tmp_path), out=tmp_path / "c")
    crop = {**SETTINGS, "data": {"crop": 2}}
    with pytest.raises(DataError, match="allowed for a text: leave it out"):
        api.evolve(settings=crop, skeleton=SKELETON, data=_text(tmp_path), out=tmp_path / "d")
    with pytest.raises(DataError, match="digits, but captions-small reads captions; allowed: cap"):
        api.evolve(settings=SETTINGS, skeleton="captions-small", data="digits", out=tmp_path / "e")
    with pytest.raises(SpaceError, match="digits reads images, but the data are sentences"):
        api.evolve(preset="demo", data="sentences", out=tmp_path / "f")
    assert not any((tmp_path / name).exists() for name in "abcdef")
