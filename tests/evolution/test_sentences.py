"""Runs that learn a space of layers for sentences."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from autospace import api
from autospace.data.errors import DataError
from autospace.evolution.families import references_on
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.plan import Plan
from autospace.evolution.settings import make_config
from autospace.report.write import write_report
from autospace.runs.errors import ConfigError
from autospace.scorers.scorer import METHODS_ON, ScoringMethod
from autospace.spaces import Space, from_json
from autospace.spaces.cells.bert import SYMBOLS, BertPrior
from autospace.spaces.cost import Budget
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.errors import SpaceError
from tests.evolution.test_text import _Stops as Stops
from tests.slow import slowly
from tests.tiny import ClosedForm, operators

SETTINGS: dict[str, Any] = {
    "device": "cpu",
    "evolution": {
        "generations": 2, "population": 4, "candidates": 3, "tournament": 2, "keep": 2,
    },
    "scoring": {"steps": 4, "batch": 8, "learning_rate": 0.05, "validation_batches": 2},
    "warm_up": {"steps": 20, "batch": 16, "learning_rate": 0.05},
}  # fmt: skip
LENGTH = 12
SKELETON = EncoderSkeleton.of("tiny", 6, LENGTH, 2, 8, (2, 1), heads=4)


def circling(folder: Path, count: int = 200) -> str:
    """Sentences that go through four words forwards or backwards, which is their label.

    Every word is as frequent at every place in both classes, so only what reads neighbours, and
    knows which of them is the first, tells the classes apart.
    """
    rng, rows = random.Random(0), ["text,label"]
    for _ in range(count):
        label, words = rng.randrange(2), [rng.randrange(4)]
        while len(words) < LENGTH:
            step = 1 if label else 3
            words.append((words[-1] + step) % 4)
        rows.append(" ".join("abcd"[word] for word in words) + f",{label}")
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    return f"sentences:length={LENGTH}:{folder / 't.csv'}"


def _evolve(folder: Path, out: str, settings: Any = SETTINGS, **more: Any) -> Any:
    given = {"skeleton": SKELETON, "data": circling(folder), "seed": 2, **more}
    return api.evolve(settings=settings, out=folder / out, **given)


def _space(folder: Path, out: str) -> Space:
    found = from_json((folder / out / "space.json").read_text())
    assert isinstance(found, Space)
    return found


def test_references_that_compete_are_refused(tmp_path: Path) -> None:
    """A block's first layer could keep a hidden size that no later layer has."""
    competing = {**SETTINGS, "evolution": {**SETTINGS["evolution"], "references": "compete"}}
    with pytest.raises(ConfigError, match=r"evolution\.references: compete, but layers of a block"):
        _evolve(tmp_path, "run", competing)
    assert not (tmp_path / "run").exists()


def test_a_space_of_layers_is_learned(tmp_path: Path) -> None:
    heard = Stops()
    _evolve(tmp_path, "run", observer=heard)
    space = _space(tmp_path, "run")
    assert [len(layer.candidates) for layer in space.layers] == [4, 5, 4]
    for layer in space.layers:
        ids = [each.id for each in layer.candidates]
        assert ids[2:4] == ["attention_8", "feed_forward_8"]
        assert ("skip" in ids) == layer.shape.skippable
        assert layer.by_id["attention_8"].fitness == 0.0
        evolved = [each.fitness for each in layer.candidates[:2]]
        assert all(each is not None for each in evolved)
    assert set(space.reference.values()) == {"attention_8"}
    # No network costs more than one of feed-forward layers, the more expensive reference.
    dear = space.cost(dict.fromkeys(space.reference, "feed_forward_8"))
    assert space.budget.max_madds == space.madds.max == dear.madds
    assert space.provenance["data"]["vocabulary"] == 6
    reference = json.loads((tmp_path / "run" / "reference.json").read_text())
    assert (reference["unit"], reference["images"]) == ("sentences", 80)
    (plan,) = heard.plans
    assert plan.record["sentences"]["name"] == "sentences:t.csv"
    assert plan.record["sentences_training_cells"] == 80
    assert plan.record["network"]["length"] == LENGTH
    assert plan.record["network"]["reference"] == "attention_8"
    assert plan.record["estimate"]["seconds"] > 0


RESUMED = [
    ("in-place", "score", 20),
    *slowly(("in-place", "warm-up", 9), ("in-place", "score", 5)),
    *slowly(*((method, "score", 20) for method in METHODS_ON["sentences"][:3])),
]


@pytest.mark.parametrize(("method", "phase", "after"), RESUMED)
def test_a_run_that_was_stopped_ends_with_the_same_bytes(
    tmp_path: Path, method: ScoringMethod, phase: str, after: int
) -> None:
    settings = {**SETTINGS, "scoring": {**SETTINGS["scoring"], "method": method}}
    _evolve(tmp_path, "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        _evolve(tmp_path, "half", settings, observer=Stops(phase, after))
    api.evolve(resume=tmp_path / "half")
    for name in ("space.json", "reference.json"):
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow  # tests/scorers/test_sentences.py has the quick one
def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    for workers in (1, 2):
        _evolve(tmp_path, f"by{workers}", workers=workers)
    found = [(tmp_path / f"by{workers}" / "space.json").read_bytes() for workers in (1, 2)]
    assert found[0] == found[1]


def test_a_learned_space_is_compared_searched_and_reported(tmp_path: Path) -> None:
    _evolve(tmp_path, "run")
    trial = {"steps": 3, "batch": 4}
    settings = {"method": "random", "evaluations": 2, "device": "cpu", "trial": trial}
    found = api.search(tmp_path / "run", settings=settings, out=tmp_path / "search")
    assert found.best.skeleton == _space(tmp_path, "run").skeleton
    shared = {**settings, "method": "magic-t", "supernet": {"steps": 3, "batch": 4}}
    api.search(tmp_path / "run", settings=shared, out=tmp_path / "shared")
    api.compare(
        [tmp_path / "run", tmp_path / "run"],
        settings={"device": "cpu", "sampling": {"samples": 4}, "evaluator": trial},
        out=tmp_path / "compare",
    )
    written = write_report(tmp_path / "run")
    assert "sentences" in written.read_text()


def _plan(**changes: Any) -> Plan:
    acting = operators(prior=BertPrior(tuple(SYMBOLS), SKELETON.widths))
    references = references_on(SKELETON, make_config({}).cells)
    more = {"keep": 3, "generations": 3, "candidates": 4, **changes}
    return Plan(skeleton=SKELETON, references=references, operators=acting, seed=0, **more)


class Fickle(ClosedForm):
    """At every layer, cells of one hidden size are fittest."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.widths = widths

    def score(self, candidates: Any, repeat: int) -> list[list[float]]:
        pairs = zip(self.widths, candidates, strict=True)
        return [[float(cell.width == width) for cell in row] for width, row in pairs]


@pytest.mark.parametrize("stay", [True, False])
@pytest.mark.parametrize(("first", "second"), [(4, 8), (8, 4)])
def test_every_cell_of_a_learned_space_is_in_some_network(
    first: int, second: int, stay: bool
) -> None:
    plan = _plan(references_stay=stay)
    *_, state = evolve(plan, Fickle((first, second, 4)))
    space = learned_space(plan, state, name="fickle", budget=Budget(), provenance={})
    used = [set[int]() for _ in space.layers]
    for part in space.parts:
        for rows in part.alternatives:
            for layer, row in zip(part.layers, rows, strict=True):
                used[layer] |= {*row}
    assert used == [{*range(len(layer.candidates))} for layer in space.layers]
    widths = [{each.cell.group for each in layer.candidates} for layer in space.layers]
    # The references have the hidden size 8.
    assert widths[0] == {first, *([8] if stay else [])}
    assert widths[1] == {0, 8 if stay else first}


PLANTED: dict[str, Any] = {
    **SETTINGS,
    "evolution": {
        "generations": 3, "population": 6, "candidates": 3, "tournament": 3, "keep": 3,
    },
    "scoring": {"steps": 200, "batch": 32, "learning_rate": 0.05},
    "warm_up": {"steps": 30, "batch": 32, "learning_rate": 0.1},
    "budget": {"max_madds": "none"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("method", ["probe", "calibrated", "local", "in-place"])
def test_evolution_fills_the_space_with_what_reads_neighbours(
    tmp_path: Path, method: ScoringMethod
) -> None:
    settings = {**PLANTED, "scoring": {**PLANTED["scoring"], "method": method}}
    skeleton = EncoderSkeleton.of("planted", 6, LENGTH, 2, 16, (1,), heads=8)
    _evolve(tmp_path, "run", settings, skeleton=skeleton, data=circling(tmp_path, 2500))
    (layer,) = _space(tmp_path, "run").layers
    assert len(layer.candidates) == 5
    # The reference does not know the class, which is worth ln 2; a local model of the loss is less
    # sure of it.
    least = 0.01 if method == "local" else 0.1
    for each in layer.candidates[:3]:
        assert each.cell.operations[0].startswith("conv1d_separable")
        assert (each.fitness or 0.0) > least
    assert (layer.candidates[0].fitness or 0.0) > 0.1
    assert abs(layer.by_id["feed_forward_16"].fitness or 0.0) < 0.05


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    for method in ("mixture", "gated", "distilled"):
        wrong = {**SETTINGS, "scoring": {**SETTINGS["scoring"], "method": method}}
        wanted = rf"scoring\.method: {method}.*allowed for sentences: probe, calibrated, local"
        with pytest.raises(SpaceError, match=wanted):
            _evolve(tmp_path, "a", wrong)
    with pytest.raises(SpaceError, match="tiny reads sentences, but the data are 8x8 images"):
        _evolve(tmp_path, "b", data="digits")
    with pytest.raises(SpaceError, match="tiny reads sentences, but the data are a text"):
        _evolve(tmp_path, "c", data="text")
    crop = {**SETTINGS, "data": {"crop": 2}}
    with pytest.raises(DataError, match=r"data\.crop: 2, for images; allowed for sentences"):
        _evolve(tmp_path, "d", crop)
    side = {**SETTINGS, "data": {"resolution": 8}}
    with pytest.raises(DataError, match="resolution 8, of images"):
        _evolve(tmp_path, "e", side)
    assert not any((tmp_path / name).exists() for name in "abcde")
