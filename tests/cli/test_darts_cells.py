"""DARTS cells on the command line: shown, exported, imported, searched, evolved and trained."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autospace.comparison.setup import load_source
from autospace.exporters.svg import cell_svg, layer_svg, network_svg
from autospace.exporters.targets import TARGETS
from autospace.spaces import (
    FAMILIES,
    Candidate,
    Layer,
    Skeleton,
    Space,
    from_json,
    json_schema,
    load,
    to_json,
)
from autospace.spaces.cells.darts import DartsPrior
from autospace.spaces.cells.darts_cell import USUAL
from autospace.spaces.choices import Choices
from autospace.supernets.families import ON_NODES
from tests.cli.conftest import Run
from tests.slow import slowly
from tests.spaces.darts.genotypes import DARTS_V2, darts_v2

NAME = "darts@darts-small"
SPACE = load(NAME)
TINY_CHOSEN = {
    "format": "autospace.skeleton",
    "version": 2,
    "name": "tiny",
    "in_channels": 1,
    "resolution": 8,
    "classes": 10,
    "stem": {"channels": 4, "stride": 1},
    "layers": [{"channels": 2}, {"channels": 4, "stride": 2}, {"channels": 4}],
    "ties": [0, 1, 0],
    "chain": 2,
    "concat": 2,
    "nodes": 2,
}
IMAGES = ("--data", "synthetic:classes=3,train=120,test=12")
SHORT = {
    "supernet.batch": 8,
    "supernet.recalibration": 1,
    "supernet.validation_batches": 1,
    "trial.steps": 2,
}
EVERYWHERE = (
    "configspace", "optuna", "nni", "ray", "wandb", "syne-tune", "neps", "ax", "hydra", "pyglove",
    "nevergrad", "pymoo", "archai", "csv", "json-flat", "dot", "mermaid", "svg",
)  # fmt: skip
OF_ONE = ("flat", "pytorch", "huggingface", "timm", "darts-genotype", "dot", "mermaid", "svg")


def test_show_lists_nodes_and_writes_cells_node_by_node(run: Run) -> None:
    whole = run("show", NAME)
    assert "8 nodes, 1,960 candidates, 10^18.0 architectures on the skeleton darts-sma" in whole.out
    wide = run("show", NAME, columns=120)
    assert "layer_02_node_5  2 layers, 32x4x4 to 64x2x2" in wide.out
    cell = run(
        "show", NAME, "--layer", "layer_02_node_4", "--cell", "skip_connect~0+max_pool_3x3~3"
    )
    assert "4 = id/2(0) + max3(3)" in cell.out


def test_a_genotype_comes_in_is_shown_and_goes_out(run: Run, tmp_path: Path) -> None:
    text, file = tmp_path / "genotype.txt", tmp_path / "network.json"
    text.write_text(DARTS_V2, encoding="utf-8")
    ran = run("import", text, "--from", "darts-genotype", "--out", file)
    assert ran.code == 0, ran.err
    assert "8 nodes, 528M MAdds, 3.35M params" in run("validate", file).out
    assert run("export", file, "--to", "darts-genotype").out.strip() == DARTS_V2


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_space_is_exported(name: str) -> None:
    export = TARGETS[name].space
    assert export is not None
    few = Choices(SPACE).restricted([[0, 1, 2]] * 8).space
    assert "max_pool_3x3~0" in export(few) or name in ("dot", "mermaid", "svg", "pyglove", "ax")


@pytest.mark.parametrize("name", OF_ONE)
def test_a_network_is_exported(name: str) -> None:
    export = TARGETS[name].architecture
    assert export is not None
    assert export(darts_v2("darts-small"))


@pytest.mark.parametrize("name", ["nni-python", "proxylessnas", "timm-arch", "nasbench201"])
def test_what_cannot_hold_the_cells_is_refused_in_a_line(
    run: Run, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "one.json"
    file.write_text(to_json(darts_v2("darts-small")), encoding="utf-8")
    source = NAME if TARGETS[name].space else file
    ran = run("export", source, "--to", name)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert 'kind: "darts", which' in ran.err
    assert ran.err.count("\n") == 1


def test_pictures_show_both_inputs_and_the_concatenation() -> None:
    architecture = darts_v2("darts-small")
    picture = network_svg(architecture, "one")
    for words in ("inputs", "k-2", "k-1", "concat", "sep3", "max3/2", "dil3"):
        assert words in picture
    layer = SPACE.layers[2]
    for candidate in layer.candidates[::97]:
        assert "concat" in cell_svg(candidate, layer.shape)
    few = Choices(SPACE).restricted([[0, 1]] * 8).space
    assert "max_pool_3x3~0+avg_pool_3x3~1" in layer_svg(few.layers[3])


def test_the_schema_is_that_of_the_family(run: Run) -> None:
    ran = run("schema", "space", "--family", "darts")
    assert json.loads(ran.out) == json_schema("autospace.space", kind="darts")


def _sizes(**others: Any) -> list[str]:
    sizes = {"data.resolution": 8, **others}
    return [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]


@pytest.mark.parametrize(
    "methods",
    slowly((("pnas", "spos", "darts"),), (ON_NODES,)),  # of each kind one; then all
    ids=["some", "all"],
)
def test_a_run_learns_choices_of_nodes(run: Run, tmp_path: Path, methods: tuple[str, ...]) -> None:
    skeleton, out = tmp_path / "tiny.json", tmp_path / "run"
    skeleton.write_text(json.dumps(TINY_CHOSEN), encoding="utf-8")
    settings = _sizes(
        **{
            "evolution.generations": 1,
            "evolution.population": 3,
            "evolution.tournament": 2,
            "evolution.candidates": 3,
            "evolution.keep": 2,
            "scoring.steps": 2,
            "scoring.batch": 8,
            "warm_up.steps": 3,
        }
    )
    given = ("--skeleton", skeleton, *IMAGES, "--out", out, "--workers", 1)
    ran = run("evolve", *given, *settings)
    assert ran.code == 0, ran.err
    space: Any = from_json((out / "space.json").read_text(encoding="utf-8"))
    names = [f"layer_{place}_node_{node}" for place in ("00", "01") for node in (2, 3)]
    assert [layer.shape.name for layer in space.layers] == names
    assert space.kind == "darts"
    assert all(layer.candidates[-1].origin.kind == "reference" for layer in space.layers)
    assert run("report", out).code == 0
    drawn = load_source(f"random@{out / 'space.json'}", 0)
    assert [len(layer.candidates) for layer in drawn.layers] == [3] * 4
    for method in methods:
        found = run(
            "search", out, *IMAGES, "--method", method, "--steps", 4, "--evaluations", 2,
            "--out", tmp_path / method,
            *_sizes(**SHORT),
        )  # fmt: skip
        assert found.code == 0, found.err
        assert from_json((tmp_path / method / "best.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("method", ["proxyless", "gdas", "nasp", "petridish", "gm", "dna"])
def test_methods_that_do_not_work_are_refused_in_a_line(
    run: Run, method: str, tmp_path: Path
) -> None:
    ran = run("search", NAME, *IMAGES, "--method", method, "--out", tmp_path / "run", *_sizes())
    assert ran.code == 2
    why = f"share their operations, which {method} does not support"
    if method == "dna":
        why = "share cells, so that dna cannot choose them one by one"
    assert f"{why}; allowed: random, random-ws" in ran.err
    # It is said before images are read, of which there may be many.
    assert len(ran.err.splitlines()) == 1
    assert not (tmp_path / "run" / "result.json").exists()


def _whole_cells() -> Space:
    """Three whole cells at each of three layers, which share none."""
    chosen = from_json(json.dumps(TINY_CHOSEN))
    assert isinstance(chosen, Skeleton)
    skeleton = replace(chosen, ties=(), nodes=None)
    rng, prior = random.Random(0), DartsPrior(USUAL, nodes=2)
    cells: list[Any] = [FAMILIES["darts"].random_cell(prior, rng) for _ in range(3)]
    candidates = tuple(Candidate(f"c{place}", cell) for place, cell in enumerate(cells))
    layers = tuple(Layer(shape, candidates) for shape in skeleton.shapes)
    return Space("whole", skeleton, USUAL, layers)


@pytest.mark.parametrize(
    "method", ["gdas", "proxyless", "nasp", "petridish", *slowly("gm", "nas-lid")]
)
def test_whole_cells_of_their_own_are_searched_with_a_module_each(
    run: Run, method: str, tmp_path: Path
) -> None:
    file = tmp_path / "whole.json"
    file.write_text(to_json(_whole_cells()), encoding="utf-8")
    found = run("search", file, *IMAGES, "--method", method, "--steps", 6, "--evaluations", 2,
                "--out", tmp_path / method, *_sizes(**SHORT))  # fmt: skip
    assert found.code == 0, found.err
    assert from_json((tmp_path / method / "best.json").read_text(encoding="utf-8"))


def test_spaces_are_compared_and_reported(run: Run, tmp_path: Path) -> None:
    first, out = tmp_path / "whole.json", tmp_path / "compared"
    first.write_text(to_json(_whole_cells()), encoding="utf-8")
    ran = run("compare", first, f"random@{first}", *IMAGES, "--samples", 4, "--steps", 2,
              "--match", "none", "--workers", 1, "--out", out, "--resolution", 8)  # fmt: skip
    assert ran.code == 0, ran.err
    page = tmp_path / "page.html"
    reported = run("report", out, "--out", page)
    assert reported.code == 0, reported.err
    assert page.stat().st_size > 0
