"""Runs that learn a space of decoders of captions."""

import json
from pathlib import Path
from typing import Any

import pytest

from autospace import api
from autospace.data.errors import DataError
from autospace.report.write import write_report
from autospace.runs.errors import ConfigError
from autospace.spaces import Space, from_json
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.errors import SpaceError
from tests.evolution.test_text import _Stops as Stops
from tests.slow import slowly

SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "evolution": {
        "generations": 1, "population": 4, "candidates": 3, "tournament": 2, "keep": 2,
    },
    "scoring": {"method": "in-place", "steps": 3, "batch": 8, "validation_batches": 2},
    "warm_up": {"steps": 20, "batch": 8},
}  # fmt: skip
SKELETON = CaptionSkeleton.of("tiny", 9, 8, 2, depth=2, resolution=8, encoder=(4,))


def _evolve(folder: Path, out: str, settings: Any = SETTINGS, **more: Any) -> Any:
    given = {"skeleton": SKELETON, "data": "captions:scenes=80", "seed": 2, **more}
    return api.evolve(settings=settings, out=folder / out, **given)


def test_a_space_of_cells_with_links_is_learned(tmp_path: Path) -> None:
    heard = Stops()
    _evolve(tmp_path, "run", observer=heard)
    space = from_json((tmp_path / "run" / "space.json").read_text())
    assert isinstance(space, Space)
    assert [len(layer.candidates) for layer in space.layers] == [3, 3]
    for depth, layer in enumerate(space.layers, 1):
        assert layer.by_id["tanh_chain"].fitness == 0.0
        links = [getattr(each.cell, "links", ()) for each in layer.candidates]
        assert links[-1] == tuple(range(depth))
        assert all(link < depth for row in links for link in row)
    assert space.budget.max_madds == space.cost(space.reference).madds
    assert space.provenance["data"]["length"] == 7
    reference = json.loads((tmp_path / "run" / "reference.json").read_text())
    assert reference["unit"] == "tokens"
    assert reference["perplexity"] > 1
    (plan,) = heard.plans
    assert plan.record["captions"]["name"] == "captions"
    assert (plan.record["network"]["layers"], plan.record["network"]["resolution"]) == (2, 8)
    assert any("2 layers, 8x8x1 images" in line for line in plan.lines)
    trial = {"method": "random", "evaluations": 2, "device": "cpu", "trial": {"steps": 2}}
    found = api.search(tmp_path / "run", settings=trial, out=tmp_path / "search")
    assert found.best.skeleton == space.skeleton
    assert "captions" in write_report(tmp_path / "run").read_text()


@pytest.mark.parametrize(
    ("section", "setting", "message"),
    [
        ("evolution", {"tied": 2}, "tied: 2, but each layer of a decoder may read other layers"),
        ("data", {"validation": 0.3}, "validation: 0.3, but captions have a validation split"),
    ],
)
def test_settings_that_would_mean_something_else_are_refused(
    section: str, setting: dict[str, Any], message: str, tmp_path: Path
) -> None:
    changed = {**SETTINGS, section: {**SETTINGS.get(section, {}), **setting}}
    with pytest.raises(ConfigError, match=message):
        _evolve(tmp_path, "run", changed)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("phase", "after"), [("score", 12), *slowly(("warm-up", 9), ("score", 5))])
def test_a_run_that_was_stopped_ends_with_the_same_bytes(
    tmp_path: Path, phase: str, after: int
) -> None:
    _evolve(tmp_path, "whole")
    with pytest.raises(KeyboardInterrupt):
        _evolve(tmp_path, "half", observer=Stops(phase, after))
    api.evolve(resume=tmp_path / "half")
    for name in ("space.json", "reference.json"):
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    wrong = {**SETTINGS, "scoring": {"method": "local"}}
    with pytest.raises(SpaceError, match=r"local, .*; allowed for captions: in-place"):
        _evolve(tmp_path, "a", wrong)
    with pytest.raises(DataError, match=r"digits, but tiny reads captions; allowed: captions\["):
        _evolve(tmp_path, "b", data="digits")
    with pytest.raises(DataError, match="a mirrored image has another caption"):
        _evolve(tmp_path, "c", {**SETTINGS, "data": {"flip": True}})
    with pytest.raises(DataError, match=r"captions.*, but rnn-small reads text; allowed: text\["):
        _evolve(tmp_path, "d", skeleton="rnn-small")
    assert not any((tmp_path / name).exists() for name in "abcd")
