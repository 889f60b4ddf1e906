"""Reports of evolved spaces of every family: what is drawn, described and counted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autospace.charts.figure import Dots
from autospace.evolution.families import references_on
from autospace.evolution.folder import RunFolder, event_out
from autospace.evolution.loop import evolve, learned_space, start
from autospace.evolution.plan import make_plan
from autospace.evolution.settings import make_config
from autospace.report import figures, report_json, report_text
from autospace.report.record import lineage, read_run
from autospace.spaces import Budget, Cell, LayerSpec, Skeleton, Stem, load, load_skeleton
from autospace.spaces.cells.family import notation, used, work, work_unit
from autospace.spaces.cost import layer_shares
from autospace.spaces.files.codec import to_json
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.space import Architecture, drawn_layers
from autospace.spaces.text import human
from tests.report.pages import Node, parsed
from tests.report.samples import provenance
from tests.spaces.ofa.spaces import SKELETON as STAGED
from tests.tiny import ClosedForm

_LAYERS = (LayerSpec(4), LayerSpec(8, 2, fixed=True), LayerSpec(8))
_DENSE = Skeleton("dense", 1, 8, 3, Stem(4, 1), _LAYERS, preactivation=True, ties=(0, 0), nodes=4)
SKELETONS: dict[str, tuple[Skeleton, str, str]] = {
    "edges": (_DENSE, "edge", "choice"),
    "dense": (_DENSE.undivided, "layer", "cell"),
    "darts": (load_skeleton("darts-small"), "node", "choice"),
    "bats": (load_skeleton("bats-small"), "node", "choice"),
    "ofa": (STAGED, "layer", "cell"),
    "conv": (load_skeleton("resnet20"), "layer", "cell"),
    "text": (SequenceSkeleton.of("text", 9, 8, 3).undivided, "cell", "cell"),
}
"""Skeletons with the noun for what has candidates, and for a candidate."""


def score(cell: Cell) -> float:
    """Any number that depends on the cell alone."""
    return sum(map(ord, notation(cell))) % 97 / 100


def family_run(path: Path, skeleton: Skeleton, *, rounds: int | None = None) -> Path:
    """A run folder as evolution leaves it on a skeleton, scored by a formula."""
    sizes = {"generations": 2, "population": 4, "candidates": 3, "tournament": 2, "keep": 2}
    config = make_config({"data": {"source": "digits"}, "evolution": sizes})
    references = references_on(skeleton, config.cells)
    shares = layer_shares(skeleton, [cell for _, cell in references], Budget())
    plan = make_plan(config, skeleton, references, (shares,))
    folder = RunFolder.create(path, config)
    with folder.locked():
        folder.settle(skeleton, "0" * 64)
        state = start(plan)
        for state in evolve(plan, ClosedForm(score)):
            folder.append_event(event_out(state) | {"seconds": 1.5, "memory_mb": 100})
            folder.save_state(state)
            if state.round == rounds:
                return path
        space = learned_space(
            plan, state, name="learned", budget=Budget(), provenance=provenance("digits")
        )
        folder.save_space(space)
    return path


@pytest.fixture(scope="module", params=[*SKELETONS])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A finished run, and the nouns of its report."""
    skeleton, place, thing = SKELETONS[request.param]
    path = tmp_path_factory.mktemp("family") / request.param
    return family_run(path, skeleton), place, thing


def _section(page: Node, name: str) -> Node:
    (found,) = (node for node in page.all("section") if node.attributes["id"] == name)
    return found


def test_the_page_holds_every_candidate_with_its_cost_and_what_it_computes(run: Any) -> None:
    path, place, thing = run
    page, space = parsed(report_text(path)), load(path)
    table = _section(page, "table").all("table")[0]
    headings = [node.whole for node in table.all("th")]
    assert headings[0] == place
    assert headings[1] == ("id" if place == thing else thing)
    assert headings[3] == work_unit(space.kind)
    rows = [list(row.children) for row in table.all("tbody")[0].all("tr")]
    found = {
        (row[0].whole, row[1].whole): (row[3].attributes["data-sort"], row[6].whole) for row in rows
    }
    expected = {
        (layer.shape.name, each.id): (
            f"{float(work(space.kind, cost)):.6g}",
            notation(each.cell),
        )
        for layer in space.layers
        for each, cost in zip(layer.candidates, layer.costs, strict=True)
    }
    assert found == expected


def test_pictures_titles_and_nouns_are_those_of_the_family(run: Any) -> None:
    path, place, thing = run
    text, space = report_text(path), load(path)
    page = parsed(text)
    titles = {
        node.children[0].whole for node in page.all("svg") if node.attributes["class"] == "picture"
    }
    assert titles >= {notation(each.cell) for layer in space.layers for each in layer.candidates}
    headings = [node.whole for node in page.all("h2")]
    assert f"Where a winning {thing} comes from" in headings
    if place != thing:
        assert f"{place}s where an evolved {thing} is best" in text
    words = _section(page, "words").whole
    assert f"reference {thing}" in words
    assert work_unit(space.kind) in words
    if thing == "choice":
        assert "MBConv" not in text


@pytest.mark.parametrize("name", [*SKELETONS])
def test_equal_folders_give_equal_bytes_and_unfinished_ones_a_page(
    name: str, tmp_path: Path
) -> None:
    skeleton, _, thing = SKELETONS[name]
    one, other = (family_run(tmp_path / each, skeleton) for each in "ab")
    assert report_text(one) == report_text(other)
    assert report_json(one) == report_json(other)
    begun = family_run(tmp_path / "begun", skeleton, rounds=2)
    assert "This run is not finished: 2 rounds done." in report_text(begun)
    assert f"the best {thing}s have been scored again" in report_text(begun)
    assert json.loads(report_json(begun))["finished"] is False


def test_choices_are_drawn_as_the_cell_that_the_fittest_make(run: Any) -> None:
    path, _, thing = run
    found, space = json.loads(report_json(path)), load(path)
    if thing == "cell":
        assert found["cells"] == []
        return
    best = [max(layer.candidates, key=lambda each: each.fitness or 0.0) for layer in space.layers]
    layers = drawn_layers(Architecture(space.skeleton, tuple(best)))
    assert [each["cell"] for each in found["cells"]] == [
        notation(layer.candidates[0].cell) for layer in layers
    ]
    titles = {node.whole for node in parsed(report_text(path)).all("title")}
    assert titles >= {each["cell"] for each in found["cells"]}


def test_the_json_holds_candidates_lineage_rounds_and_operations(run: Any) -> None:
    path, place, thing = run
    found, space, record = json.loads(report_json(path)), load(path), read_run(path)
    assert (found["kind"], found["family"]) == ("evolve", space.kind)
    assert (found["place"], found["thing"]) == (place, thing)
    for layer, given in zip(space.layers, found["places"], strict=True):
        assert given["name"] == layer.shape.name
        assert [each["id"] for each in given["candidates"]] == [e.id for e in layer.candidates]
        assert [each["madds"] for each in given["candidates"]] == [e.madds for e in layer.costs]
        evolved = [each for each in layer.candidates if each.origin.evolved]
        best = max(evolved, key=lambda each: each.fitness or 0.0)
        assert given["best"] == best.id
        assert given["lineage"]["steps"][-1]["cell"] == notation(best.cell)
        assert given["scored"] == len(record.scored[record.shapes.index(layer.shape)])
    assert [each["round"] for each in found["rounds"]] == [*range(1, len(record.history) + 1)]
    assert sum(each["scored"] for each in found["rounds"]) == found["evaluations"]
    everything = found["operations"][-1]
    kept = [
        name
        for layer in space.layers
        for each in layer.candidates
        if each.origin.evolved
        for name in used(each.cell)
    ]
    shares = {name: kept.count(name) / len(kept) for name in set(kept)}
    assert everything["kept"]["operations"] == pytest.approx(shares)


def test_a_step_of_the_lineage_says_what_changed(run: Any) -> None:
    path, _, _ = run
    record = read_run(path)
    lines = [lineage(name, known) for known in record.scored for name in known]
    steps = [step for line in lines for step in line.steps[1:]]
    assert steps, "no candidate has a parent"
    assert all(step.changes for step in steps if step.member.origin.kind == "mutation")
    assert all("→" in text or "->" in text for step in steps for text in step.changes)


def test_the_figures_show_the_costs_of_the_family(run: Any) -> None:
    path, _, _ = run
    drawn = {each.name: each for each in figures(path)}
    assert {"fitness", "gains", "front", "effort", "operations"} <= set(drawn)
    space = load(path)
    for layer, panel in zip(space.layers, drawn["front"].panels, strict=True):
        assert panel.x.label == work_unit(space.kind)
        points = {p for mark in panel.marks if isinstance(mark, Dots) for p in mark.points}
        for each, cost in zip(layer.candidates, layer.costs, strict=True):
            # A layer that is skipped was never scored.
            point = (float(work(space.kind, cost)), each.fitness)
            assert (point in points) is (each.fitness is not None)


def test_limits_on_ops_stand_in_the_report_of_a_binary_space(tmp_path: Path) -> None:
    family_run(tmp_path / "run", SKELETONS["bats"][0])
    file = tmp_path / "run" / "space.json"
    space = load(str(file))
    limited = replace(space, budget=Budget(max_ops=space.ops.max + 1))
    file.write_text(to_json(limited), encoding="utf-8")
    page = report_text(tmp_path / "run")
    assert f"at most {space.ops.max + 1:,}; the most expensive architecture has" in page
    assert f"none exceeds the budget of {human(space.ops.max + 1)} OPs" in page
    told = json.loads(report_json(tmp_path / "run"))["space"]
    assert told["budget"] == {"max_madds": None, "max_params": None, "max_ops": space.ops.max + 1}


def test_kinds_are_those_that_evolution_knows() -> None:
    kinds = {skeleton.kind for skeleton, _, _ in SKELETONS.values()}
    assert kinds == {"conv", "dense", "darts", "bats", "ofa", "recurrent"}
