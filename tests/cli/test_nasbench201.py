"""NAS-Bench-201 on the command line: shown, drawn, searched and compared, with nothing trained."""

import json
from pathlib import Path
from typing import Any

import pytest

from autospace.comparison.setup import load_source
from autospace.evaluators.tabular import read_table
from autospace.exporters.svg import cell_svg, layer_svg, network_svg
from autospace.exporters.targets import TARGETS
from autospace.spaces import FAMILIES, from_json, json_schema, load_architecture, to_json
from autospace.spaces.choices import Choices
from autospace.supernets.families import NOT_ON_TIED
from tests.cli.conftest import Run
from tests.spaces.dense.nasbench201 import OPERATIONS, SPACE
from tests.tiny import fitted_space

NAME = "nasbench201@nasbench201"
CHOSEN = ("avg_pool_3x3", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "none", "skip_connect")
CHOICES = dict(zip([each.shape.name for each in SPACE.layers], CHOSEN, strict=True))
SMALL = {
    "format": "autospace.skeleton",
    "version": 2,
    "name": "small",
    "in_channels": 1,
    "resolution": 8,
    "classes": 10,
    "stem": {"channels": 4, "stride": 1},
    "layers": [
        {"channels": 4},
        {"channels": 4},
        {"channels": 8, "stride": 2, "fixed": True},
        {"channels": 8},
    ],
    "preactivation": True,
    "ties": [0, 0, 0],
    "nodes": 3,
}
IDS_ALONE = ("configspace", "optuna", "nni", "ray", "wandb", "syne-tune", "neps", "pyglove")
OTHERS = ("nevergrad", "pymoo", "archai", "csv", "json-flat", "dot", "mermaid", "svg")


def test_show_lists_edges_and_draws_them(run: Run) -> None:
    whole = run("show", NAME)
    assert "6 edges, 30 candidates, 15,625 architectures on the skeleton nasbench201" in whole.out
    assert "edge_1_2 15 layers, 16x32x32 to 64x8x8" in whole.out
    cell = run("show", NAME, "--layer", "edge_1_3", "--cell", "nor_conv_3x3")
    assert "│   1   │" in cell.out
    assert "conv3" in cell.out
    nothing = run("show", NAME, "--layer", "edge_1_3", "--cell", "none")
    assert "nothing from node 1 to node 3" in nothing.out


def test_pictures_of_the_network_show_the_cell_that_the_edges_make() -> None:
    architecture = SPACE.architecture(CHOICES)
    picture = network_svg(architecture, "one")
    for words in ("conv1", "avg3", "15 layers", "2 residual blocks", "batch norm, ReLU"):
        assert words in picture
    assert "project" not in picture
    assert "edge_0_1" in layer_svg(SPACE.layers[0])
    assert "conv3" in cell_svg(SPACE.layers[3].by_id["nor_conv_3x3"], SPACE.layers[3].shape)


@pytest.mark.parametrize("target", [*IDS_ALONE, *OTHERS])
def test_every_export_of_choices_takes_the_space(target: str) -> None:
    export = TARGETS[target].space
    assert export is not None
    text = export(SPACE)
    if target not in ("dot", "mermaid", "svg"):
        assert all(layer.shape.name in text for layer in SPACE.layers)
        assert all(name in text for name in OPERATIONS)


@pytest.mark.parametrize("target", ["nni-python", "autospace-iccv2021"])
def test_exports_of_other_cells_refuse_it(target: str, run: Run, tmp_path: Path) -> None:
    ran = run("export", NAME, "--to", target, "--out", tmp_path / "file")
    assert ran.code == 2
    assert 'kind: "dense", which' in ran.err
    assert not (tmp_path / "file").exists()


def test_choices_of_a_tuner_become_a_network(run: Run, tmp_path: Path) -> None:
    flat, out = tmp_path / "flat.json", tmp_path / "best.json"
    flat.write_text(json.dumps({"best_params": CHOICES}), encoding="utf-8")
    ran = run("import", flat, "--from", "optuna", "--space", NAME, "--out", out)
    assert ran.code == 0, ran.err
    assert load_architecture(out).choices == CHOICES


@pytest.mark.parametrize("method", ["random", "evolution", "pnas"])
def test_searches_find_networks_of_a_table(method: str, run: Run, tmp_path: Path) -> None:
    out, table = tmp_path / "run", read_table("nasbench201-200epochs")
    by_table = ("--evaluator", "table", "--table", table.name, "--evaluations", 40)
    ran = run("search", NAME, *by_table, "--method", method, "--out", out)
    assert ran.code == 0, ran.err
    assert "accuracies are those of table nasbench201-200epochs" in ran.err
    result = json.loads((out / "result.json").read_text())
    best = SPACE.architecture(result["best"])
    assert result["accuracy"] == pytest.approx(table.score(best, 0))


@pytest.mark.parametrize("method", NOT_ON_TIED)
def test_methods_that_take_layers_apart_refuse_shared_cells(
    method: str, run: Run, tmp_path: Path
) -> None:
    data = ("--data", f"folder:{tmp_path / 'not there'}")
    ran = run("search", NAME, "--method", method, *data, "--out", tmp_path / "run")
    assert ran.code == 2
    why = {
        "dna": "blocks of {} share cells, so that dna cannot choose them one by one",
        "petridish": "layers of {} share cells, which petridish does not support",
    }[method].format('"nasbench201"')
    # It comes before the images, and neither method is offered in place of the other.
    assert ran.err == f"error: skeleton: {why}; allowed: all but dna and petridish\n"


def test_a_sub_space_is_compared_with_the_whole_on_a_table(run: Run, tmp_path: Path) -> None:
    # Without `none` and without pooling the truth is known: the means of the table.
    kept = [[1, 2, 3]] * 6
    part = Choices(SPACE).restricted(kept).space
    file, out = tmp_path / "part.json", tmp_path / "compared"
    file.write_text(to_json(part), encoding="utf-8")
    assert from_json(file.read_text(encoding="utf-8")) == part
    by_table = ("--evaluator", "table", "--table", "nasbench201-200epochs", "--samples", 60)
    ran = run("compare", file, NAME, *by_table, "--out", out)
    assert ran.code == 0, ran.err
    assert "nasbench201-200epochs" in ran.out + ran.err


def test_the_schema_of_dense_spaces_is_printed(run: Run) -> None:
    ran = run("schema", "space", "--family", "dense")
    assert json.loads(ran.out) == json_schema("autospace.space", kind="dense")
    assert json.loads(run("schema", "space").out) == json_schema()
    assert run("schema", "space", "--family", "x").code == 2
    assert run("schema", "table", "--family", "dense").code == 2
    shown = run("schema", "--help", columns=200).out
    assert [name for name in FAMILIES if name not in shown] == []


@pytest.mark.slow
def test_a_run_learns_operations_per_edge(run: Run, tmp_path: Path) -> None:
    skeleton, out = tmp_path / "small.json", tmp_path / "run"
    skeleton.write_text(json.dumps(SMALL), encoding="utf-8")
    given = ("--skeleton", skeleton, "--data", "synthetic:classes=3,train=120,test=12")
    sizes = {
        "data.resolution": 8,
        "evolution.generations": 1,
        "evolution.population": 4,
        "evolution.tournament": 2,
        "evolution.candidates": 4,
        "evolution.keep": 2,
        "scoring.steps": 2,
        "scoring.batch": 8,
        "warm_up.steps": 3,
    }
    settings = [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]
    ran = run("evolve", *given, "--out", out, "--workers", 1, *settings)
    assert ran.code == 0, ran.err
    space: Any = from_json((out / "space.json").read_text(encoding="utf-8"))
    assert [layer.shape.name for layer in space.layers] == ["edge_0_1", "edge_0_2", "edge_1_2"]
    assert space.kind == "dense"
    assert " rounds x 3 choices x 4 cells = " in ran.err
    assert "autospace report" in ran.out
    assert run("report", out).code == 0


def test_random_operations_are_a_space_to_compare_with(run: Run, tmp_path: Path) -> None:
    part = Choices(SPACE).restricted([[1, 2, 3]] * 6).space
    file = tmp_path / "part.json"
    file.write_text(to_json(part), encoding="utf-8")
    drawn = load_source(f"random@{file}", 0)
    assert [len(layer.candidates) for layer in drawn.layers] == [3] * 6
    assert drawn.kind == "dense"
    for layer in drawn.layers:
        assert {each.cell.operations[0] for each in layer.candidates} <= set(OPERATIONS)


def test_a_table_tells_spaces_for_other_images_apart(run: Run, tmp_path: Path) -> None:
    small = fitted_space(SPACE, in_channels=3, resolution=16, classes=10)
    file = tmp_path / "small.json"
    file.write_text(to_json(small), encoding="utf-8")
    by_table = ("--evaluator", "table", "--table", "nasbench201-200epochs")
    ran = run("search", file, *by_table, "--method", "random", "--out", tmp_path / "run")
    assert ran.code == 2
    assert "(3x16x16 images of 10 classes); allowed: 3x32x32 images of 10 classes" in ran.err
