"""Binary cells with two inputs on the command line: shown, exported, searched, evolved."""

import json
from pathlib import Path
from typing import Any

import pytest

from autospace.comparison.document import read_comparison
from autospace.exporters.targets import TARGETS
from autospace.spaces import from_json, json_schema, load
from tests.cli.conftest import Run
from tests.cli.test_darts_cells import EVERYWHERE, IMAGES, OF_ONE, SHORT, TINY_CHOSEN, _sizes
from tests.spaces.bats.genotypes import BATS, bats

BINARY = {**TINY_CHOSEN, "binary_groups": 2}


def test_a_genotype_comes_in_is_shown_and_goes_out(run: Run, tmp_path: Path) -> None:
    text, file = tmp_path / "bats.txt", tmp_path / "bats.json"
    text.write_text(BATS, encoding="utf-8")
    ran = run("import", text, "--from", "bats-genotype", "--out", file)
    assert ran.code == 0, ran.err
    shown = run("show", file, "--layer", 0)
    assert "bin5(0) + bin5d2(1)" in shown.out
    assert run("export", file, "--to", "darts-genotype").out.strip() == BATS


@pytest.mark.parametrize("name", [each for each in EVERYWHERE if each != "svg"])
def test_a_space_is_exported(name: str) -> None:
    export = TARGETS[name].space
    assert export is not None
    assert export(load("bats@bats-small"))


@pytest.mark.parametrize("name", OF_ONE)
def test_a_network_is_exported(name: str) -> None:
    export = TARGETS[name].architecture
    assert export is not None
    assert export(bats("bats-small"))


def test_the_schema_is_that_of_the_family(run: Run) -> None:
    ran = run("schema", "space", "--family", "bats")
    assert json.loads(ran.out) == json_schema("autospace.space", kind="bats")


@pytest.mark.slow
def test_a_run_learns_binary_nodes_which_are_searched(run: Run, tmp_path: Path) -> None:
    skeleton, out = tmp_path / "tiny.json", tmp_path / "run"
    skeleton.write_text(json.dumps(BINARY), encoding="utf-8")
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
    assert space.kind == "bats"
    assert all(layer.candidates[-1].origin.kind == "reference" for layer in space.layers)
    for method in ("bnas", "darts", "spos", "random"):
        extra = {"options.temperature": 0.2} if method == "darts" else {}
        found = run(
            "search", out, *IMAGES, "--method", method, "--steps", 4, "--evaluations", 2,
            "--out", tmp_path / method, *_sizes(**SHORT, **extra),
        )  # fmt: skip
        assert found.code == 0, found.err
    trained = run(
        "train", tmp_path / "bnas" / "best.json", *IMAGES, "--out", tmp_path / "trained",
        "--set", "training.epochs=2",
    )  # fmt: skip
    assert trained.code == 0, trained.err
    compared = run(
        "compare", out, out, *IMAGES, "--samples", 4, "--steps", 2, "--match", "ops",
        "--workers", 1, "--out", tmp_path / "compared", "--resolution", 8,
    )  # fmt: skip
    assert compared.code == 0, compared.err
    assert "OPs" in compared.out
    assert "MAdds" not in compared.out
    comparison = read_comparison(tmp_path / "compared" / "comparison.json")
    for each in comparison.spaces:
        assert comparison.matching.range is not None
        low, high = comparison.matching.range
        assert each.ops is not None
        assert low <= min(each.ops) <= max(each.ops) <= high
    page = (tmp_path / "compared" / "report.html").read_text(encoding="utf-8")
    assert "OPs of the networks compared" in page
    assert "OPs compared" in page
