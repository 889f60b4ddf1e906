"""What the report says about a run, against the run itself."""

import itertools
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer

from autospace.charts.figure import Dots
from autospace.cli.main import app
from autospace.evolution.population import Drawn, LayerRecord, Round
from autospace.evolution.settings import Config, make_config
from autospace.report import report_text
from autospace.report.cell_sections import front
from autospace.report.findings import by_depth, layer_findings, overall, traits
from autospace.report.fitness_figures import MOST_POINTS, fitness_figure, gains_figure, thinned
from autospace.report.record import read_run
from autospace.report.run_page import changed, command, source
from autospace.runs.errors import ConfigError, RunError
from autospace.runs.settings import parse_settings
from autospace.spaces import Cell, SpaceError, load, mbconv
from tests.report.pages import Node, parsed
from tests.report.samples import SETTINGS, score, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "run"
    write_run(path)
    return path


@pytest.fixture(scope="module")
def page(run: Path) -> Node:
    return parsed(report_text(run))


def _section(page: Node, name: str) -> Node:
    (found,) = (node for node in page.all("section") if node.attributes["id"] == name)
    return found


def _rows(table: Node) -> list[list[str]]:
    (body,) = table.all("tbody")
    return [[cell.whole for cell in row.children] for row in body.all("tr")]


def test_a_cell_that_was_scored_once_only_is_a_ring(run: Path) -> None:
    record = read_run(run)
    found = layer_findings(record)
    first = found[0].identity
    for confirmed, rings in ((1, 0), (0, 1)):
        fresh = read_run(run)
        layers = [
            {name: replace(member, confirmed=1) for name, member in layer.items()}
            for layer in record.scored
        ]
        layers[0][first] = replace(layers[0][first], confirmed=confirmed)
        fresh.__dict__["scored"] = tuple(layers)
        figure = gains_figure(fresh)
        dots = [mark for mark in figure.panels[0].marks if isinstance(mark, Dots)]
        shown = {mark.shape: len(mark.points) for mark in dots if mark.shape != "square"}
        assert shown.get("ring", 0) == rings
        assert sum(shown.values()) == len(found)
        assert any(entry.look == "ring" for entry in figure.legend) is bool(rings)


def test_every_cell_of_the_space_stands_in_the_table_with_its_fitness(
    page: Node, run: Path
) -> None:
    (table,) = _section(page, "table").all("table")
    found = {(row[0], row[1]): row[2] for row in _rows(table)}
    space = load(run)
    expected = {
        (layer.shape.name, each.id): f"{each.fitness or 0:+.3f}".replace("-", "\N{MINUS SIGN}")
        for layer in space.layers
        for each in layer.candidates
    }
    assert found == expected


def test_the_lead_counts_the_layers_in_which_an_evolved_cell_wins(page: Node, run: Path) -> None:
    wins = 0
    for layer in load(run).layers:
        scores = {"reference": [0.0], "evolved": [-1.0]}
        for each in layer.candidates:
            kind = "reference" if each.origin.kind == "reference" else "evolved"
            scores[kind].append(score(each.cell))
        wins += max(scores["evolved"]) > max(scores["reference"])
    facts = {n.all("dt")[0].whole: n.all("dd")[0].whole for n in page.all("dl")[0].children}
    assert facts["layers where an evolved cell is best"] == f"{wins} of 2"
    assert facts["cells scored"] == str(read_run(run).state.evaluations)  # type: ignore[union-attr]
    assert facts["architectures"] == str(load(run).size)


def test_the_log_gives_back_every_cell_that_was_ever_scored(run: Path) -> None:
    record = read_run(run)
    assert record.state is not None
    for layer, known in zip(record.state.layers, record.scored, strict=True):
        assert {each.key for each in known.values()} == layer.seen
        assert all(each.fitness == pytest.approx(score(each.cell)) for each in known.values())
    assert record.logged_in_full


def test_every_parent_of_a_known_cell_is_known(run: Path) -> None:
    for known in read_run(run).scored:
        parents = {parent for each in known.values() for parent in each.origin.parents}
        assert parents <= set(known)


def test_lineages_end_at_the_cell_and_begin_where_nothing_is_older(page: Node) -> None:
    lineage = _section(page, "lineage")
    steps = [n for n in lineage.all("ol") if "steps" in n.attributes["class"]]
    assert len(steps) == 2
    for strip in steps:
        places = [
            n.whole
            for n in strip.walk()
            if n.tag == "span" and n.attributes.get("class") == "place"
        ]
        assert places[0] in ("hand-made", "initial population, random")
        assert all("generation" in p or "initial population, mutation" in p for p in places[1:])


def test_the_initial_population_is_what_was_drawn_before_evolution(run: Path) -> None:
    record = read_run(run)
    everything = overall(record)
    assert everything.initial is not None
    # 8 founders in each of 2 layers, 3 of them references.
    assert everything.initial.cells == 2 * (8 - 3)
    assert everything.learned.cells == 2 * 2
    assert [depth.name for depth in by_depth(record)] == ["early layers", "late layers"]


def test_traits_of_cells_counted_by_hand() -> None:
    first = mbconv(3, 6)
    second = Cell.from_edges(
        [(0, 1, "dw_conv_5x5"), (0, 3, "dw_conv_3x3"), (1, 3, "skip_connect"), (0, 2, "none")],
        mix=("gate", "sum", "sum"),
        expansion=3,
    )
    found = traits([first, second])
    assert found.operations == {"dw_conv_3x3": 0.5, "dw_conv_5x5": 0.25, "skip_connect": 0.25}
    assert found.expansions == {6: 0.5, 3: 0.5}
    # Of second, node 1 gates and node 3 sums two edges; first joins nothing.
    assert found.mixes == {"gate": 0.5, "sum": 0.5}
    assert (found.edges, found.cells) == (2.0, 2)


def test_a_log_without_cells_is_said_to_be_one(tmp_path: Path) -> None:
    write_run(tmp_path / "run", cells=False)
    text = parsed(report_text(tmp_path / "run"))
    assert "does not contain the initial population" in _section(text, "shared").whole
    assert "did not survive are missing" in _section(text, "front").whole


@pytest.mark.parametrize("rounds", [0, 1, 4])
def test_an_unfinished_run_says_so_first(tmp_path: Path, rounds: int) -> None:
    write_run(tmp_path / "run", rounds=rounds)
    page = parsed(report_text(tmp_path / "run"))
    sections = [each.attributes["id"] for each in page.all("section")]
    assert sections[0] == "state"
    assert "autospace evolve --resume" in _section(page, "state").whole
    assert ("fitness" in sections) == (rounds > 0)
    if rounds == 4:
        assert f"{rounds} rounds are finished" in _section(page, "state").whole


def test_a_damaged_log_costs_only_what_was_in_the_damaged_lines(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    log = tmp_path / "run" / "events.jsonl"
    lines = log.read_text().splitlines()
    lines[1] = lines[1][:100]
    lines[2] = json.dumps(json.loads(lines[2]) | {"seconds": "long", "memory_mb": -1})
    lines[3] = lines[3].replace('"seconds": ', '"seconds": 1' + 400 * "0")
    log.write_text("\n".join(["[]", '{"round": true}', "[" * 9999, *lines]))
    record = read_run(tmp_path / "run")
    assert sorted(record.log) == [0, 2, *range(4, len(lines))]
    assert (record.log[2].seconds, record.log[2].memory_mb) == (None, None)
    assert not record.logged_in_full
    parsed(report_text(tmp_path / "run"))


@pytest.mark.parametrize("file", ["space.json", "checkpoint/state.json", "config.toml"])
def test_a_damaged_file_is_one_line_that_names_it(tmp_path: Path, file: str) -> None:
    write_run(tmp_path / "run")
    (tmp_path / "run" / file).write_text("{")
    with pytest.raises(ValueError, match=Path(file).name) as caught:
        report_text(tmp_path / "run")
    assert "\n" not in str(caught.value)


def test_what_is_neither_a_run_nor_a_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run and no comparison"):
        report_text(tmp_path)
    with pytest.raises(RunError, match="no such folder"):
        report_text(tmp_path / "nowhere")
    (tmp_path / "config.toml").write_text('command = "compare"\nspaces = ["a", "b"]\n')
    with pytest.raises(RunError, match="has not finished"):
        report_text(tmp_path)
    (tmp_path / "config.toml").write_text('command = "search"\n')
    with pytest.raises(RunError, match="search has not finished; autospace search --resume cont"):
        report_text(tmp_path)
    (tmp_path / "comparison.json").write_text('{"format": "autospace.comparison"}')
    with pytest.raises(SpaceError, match="missing key"):
        report_text(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        SETTINGS,
        {"seed": 7, "data": {"source": "synthetic:classes=3", "flip": True, "resolution": 16}},
        {"cells": {"operations": ["none", "dw_conv_3x3"], "reference_kernels": [3]}},
        {"evolution": {"objectives": ["fitness", "madds"]}, "budget": {"max_madds": 5_000_000}},
    ],
)
def test_the_command_asks_for_the_same_settings(settings: dict[str, object]) -> None:
    config = make_config(settings)
    words = shlex.split(command(config).replace("\\\n", " "))
    assert words[:2] == ["autospace", "evolve"]
    program: Any = typer.main.get_command(app)
    context = program.commands["evolve"].make_context("evolve", words[2:])
    given = context.params
    asked = make_config(
        parse_settings(given["settings"] or []),
        {"seed": given["seed"], "data": {"source": given["data"]}},
    )
    assert asked == config


@pytest.mark.parametrize("skeleton", ["auto", "python", "/home/me/two.toml"])
def test_a_run_on_images_of_python_is_repeated_by_a_call(skeleton: str) -> None:
    scoring = {"steps": 3, "method": "local"}
    config = make_config(
        {"seed": 4, "skeleton": skeleton, "data": {"source": "python"}, "scoring": scoring}
    )
    asked: list[dict[str, Any]] = []

    class Recorder:
        @staticmethod
        def evolve(*data: str, **given: Any) -> None:
            asked.append({"data": data, **given})

    names = {"autospace": Recorder, "images": "IMAGES", "skeleton": "SKELETON"}
    exec(command(config), names)
    own = {"auto": {}, "python": {"skeleton": "SKELETON"}}.get(skeleton, {"skeleton": "two.toml"})
    assert asked == [{"data": ("IMAGES",), "seed": 4, "settings": {"scoring": scoring}, **own}]


def test_no_folder_of_this_machine_is_in_the_command() -> None:
    config = make_config(
        {
            "skeleton": "/home/me/nets/two.toml",
            "data": {"source": "npz:/home/me/data/x.npz"},
            "budget": {"max_latency_ms": 5, "latency_table": "/home/me/phones/pixel.json"},
        }
    )
    assert source(config) == "npz:x.npz"
    assert "/home" not in command(config)
    assert "--skeleton two.toml" in command(config)
    assert 'budget.latency_table="pixel.json"' in command(config)
    assert ("skeleton", "two.toml") in changed(config)
    assert changed(Config()) == []
    with pytest.raises(ConfigError):
        make_config({"nowhere": 1})


def test_long_runs_are_thinned_evenly_and_keep_their_ends() -> None:
    layer = LayerRecord(0.0, 0.0, 0.0, Drawn(1, 0, 0), 1)
    history = [Round(index, "evolve", (layer,)) for index in range(5000)]
    for size in (1, 7, MOST_POINTS, MOST_POINTS + 1, 5000):
        found = [each.index for each in thinned(history[:size])]
        assert len(found) <= MOST_POINTS
        assert (found[0], found[-1]) == (0, size - 1)
        assert len({b - a for a, b in itertools.pairwise(found[1:])}) <= 1
    assert thinned([]) == []
    assert len(thinned(history[:7])) == 7


def test_the_front_holds_what_nothing_beats() -> None:
    points = [(1.0, 1.0), (2.0, 0.5), (2.0, 3.0), (3.0, 3.0), (4.0, 4.0), (0.5, -1.0)]
    found = front(points)
    expected = [
        p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)
    ]
    assert found == sorted(expected)


def test_a_diverged_cell_does_not_flatten_the_chart(tmp_path: Path) -> None:
    def diverging(cell: Cell) -> float:
        return float("nan") if cell.expansion == 1 else score(cell)

    write_run(tmp_path / "run", scored=diverging)
    record = read_run(tmp_path / "run")
    assert min(each.mean for r in record.history for each in r.layers) < -1e4
    for panel in fitness_figure(record).panels:
        assert panel.y.low > -10
    assert all(each.best is not None for each in layer_findings(record))


@pytest.mark.parametrize(("explained", "said"), [(0.42, "42%"), (-0.1, "0%")])
def test_whole_networks_are_shown_where_fitness_comes_from_them(
    tmp_path: Path, explained: float, said: str
) -> None:
    networks = {"trained": 38, "explained": explained}
    write_run(tmp_path / "run", further={"networks": networks})
    effort = _section(parsed(report_text(tmp_path / "run")), "effort").whole
    assert "Fitness was predicted from 38 whole networks, each trained from scratch." in effort
    assert (
        f"Of the variance of their errors at equal MAdds, {said} is predicted from the others."
        in effort
    )


def test_uncertainty_and_the_predictor_are_shown_where_a_run_has_them(
    tmp_path: Path, page: Node
) -> None:
    write_run(tmp_path / "run", screen=3, shrink=True)
    found, space = parsed(report_text(tmp_path / "run")), load(tmp_path / "run")
    (table,) = _section(found, "table").all("table")
    shown = {(row[0], row[1]): row[2] for row in _rows(table)}
    for layer in space.layers:
        for each in layer.candidates:
            spread = "" if each.uncertainty is None else f" ± {each.uncertainty:.3f}"
            text = f"{each.fitness or 0:+.3f}{spread}".replace("-", "\N{MINUS SIGN}")
            assert shown[layer.shape.name, each.id] == text
    effort = _section(found, "effort").whole
    # Two layers, four generations, two of three offspring of three places.
    assert "48 cells were not scored, because the predictor preferred others" in effort
    r2 = space.provenance["predictor"]["r2"]
    assert f"{r2:.0%} of the variance of fitness is explained" in effort
    assert "predictor" not in _section(page, "effort").whole
    assert "whole networks" not in _section(page, "effort").whole
    assert "±" not in _section(page, "table").whole
