"""Evolution of blocks of convolutions: choice of the family, references, planted block, resume."""

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from autospace.cli.options import FAMILIES
from autospace.evolution.families import check_effect, check_family, prior_on, references_on
from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import RoundEvent, learn
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.plan import make_plan
from autospace.evolution.settings import BLOCKS, CellsConfig, Config, make_config
from autospace.progress import Silent
from autospace.report.record import read_run
from autospace.runs.errors import ConfigError
from autospace.runs.settings import to_toml
from autospace.spaces import Budget, from_json, load, load_skeleton, to_json
from autospace.spaces.cells.conv import CONV_OPERATIONS, ConvPrior, basic, bottleneck, convnext
from autospace.spaces.cells.family import CELLS
from autospace.spaces.cost import layer_shares
from tests.slow import slowly

SCORERS = ("probe", "calibrated", "local", "in-place", "distilled", "gated", "mixture")
TINY: dict[str, Any] = {
    "skeleton": "digits",
    "cells": {"family": "convnext"},
    "data": {"limit": 120},
    "evolution": {"generations": 2, "population": 4, "candidates": 2, "tournament": 2, "keep": 2},
    "scoring": {"steps": 2, "batch": 16, "validation_batches": 1},
    "warm_up": {"steps": 2, "batch": 16},
}


def cells(**changes: Any) -> CellsConfig:
    return CellsConfig.model_validate(changes)


@pytest.mark.parametrize(
    ("family", "blocks"),
    [
        ("resnet", [basic(), bottleneck(), convnext()]),
        ("bottleneck", [bottleneck()]),
        ("convnext", [convnext(), bottleneck()]),
    ],
)
def test_the_named_block_is_the_reference_and_cheaper_ones_join_it(
    family: str, blocks: list[Any]
) -> None:
    chosen = cells(family=family)
    for name in ("digits", "cifar", "resnet20", "resnet50"):
        skeleton = load_skeleton(name)
        check_family(skeleton, chosen)
        found = references_on(skeleton, chosen)
        assert found[0][0] == family
        assert [cell for _, cell in found] == blocks


def test_a_skeleton_with_activations_first_has_these_cells_by_default() -> None:
    skeleton = load_skeleton("resnet20")
    assert skeleton.kind == "conv"
    first: Any = references_on(skeleton, cells())[0]
    assert first == ("resnet", basic())
    prior = prior_on(skeleton, cells())
    assert {*prior.vocabulary} == {*CONV_OPERATIONS}
    # The layers of NAS-Bench-201 keep their shape.
    kept = replace(load("nasbench201@nasbench201").skeleton, ties=(), nodes=None)
    assert kept.kind == "dense"


def test_operations_are_those_of_the_family_and_a_reference_needs_its_own() -> None:
    few = cells(family="resnet", operations=["conv_3x3", "max_pool_3x3"])
    prior = prior_on(load_skeleton("digits"), few)
    assert isinstance(prior, ConvPrior)
    assert prior.operations == ("conv_3x3", "max_pool_3x3")
    names = [name for name, _ in references_on(load_skeleton("digits"), few)]
    assert names == ["resnet", "bottleneck"]  # a ConvNeXt needs others
    with pytest.raises(ValueError, match="reference of convnext requires dw_conv_7x7, mlp_4"):
        cells(family="convnext", operations=["conv_3x3"])
    with pytest.raises(ValueError, match=r'"dw_conv_3x3_d2" of resnet cells'):
        cells(family="resnet", operations=["conv_3x3", "dw_conv_3x3_d2"])
    with pytest.raises(ValueError, match=r"cells\.family=resnet knows it"):
        cells(operations=["conv_3x3"])


def test_settings_that_a_file_writes_out_do_not_stand_in_the_way_of_another_family() -> None:
    text = to_toml(make_config({}))
    for family in ("resnet", "binary", "auto"):
        written = tomllib.loads(text)
        chosen = make_config(written, {"cells": {"family": family}}).cells
        assert chosen == cells(family=family)
        # And back: a run of one family writes its own operations out.
        text = to_toml(make_config({"cells": {"family": family}}))
    with pytest.raises(ConfigError, match="unknown operation"):
        make_config({"cells": {"family": "resnet", "operations": ["dw_conv_3x3_d2"]}})


def test_small_graphs_hold_the_blocks_that_fit() -> None:
    two = cells(family="bottleneck", nodes=2)
    check_effect(load_skeleton("digits"), two)
    found = references_on(load_skeleton("digits"), two)
    assert [name for name, _ in found] == ["bottleneck"]
    for family in ("resnet", "convnext"):
        with pytest.raises(ValueError, match=f"nodes: 2; {family} needs at least 3"):
            cells(family=family, nodes=2)


def test_the_names_of_families_are_the_same_everywhere() -> None:
    (literal,) = [CellsConfig.model_fields["family"].annotation]
    assert sorted(FAMILIES) == sorted(get_args(literal)) == sorted(["auto", *CELLS])
    assert set(BLOCKS) < set(CELLS)
    # A run and the built-in space call a block by one name.
    ids = {candidate.id for candidate in load("conv@digits").layers[0].candidates}
    assert set(BLOCKS) <= ids


@pytest.mark.parametrize("name", ["nasbench201", "darts-small", "ofa-small", "rnn-small"])
def test_other_skeletons_refuse_them(name: str) -> None:
    with pytest.raises(ConfigError, match=r"cells\.family: resnet; allowed on the skeleton"):
        check_family(load_skeleton(name), cells(family="resnet"))


def config(**changes: Any) -> Config:
    return make_config({**TINY, **changes}, {}, {})


@pytest.mark.parametrize(
    "method", ["calibrated", *slowly(*(each for each in SCORERS if each != "calibrated"))]
)
def test_a_run_learns_a_space_of_these_cells(tmp_path: Path, method: str) -> None:
    made = config(scoring={**TINY["scoring"], "method": method})
    folder = RunFolder.create(tmp_path / "run", made)
    learn(folder, Silent())
    space = load(tmp_path / "run")
    assert space.kind == "conv"
    assert read_run(tmp_path / "run").kind == "conv"  # which a report draws
    assert space.reference == {layer.shape.name: "convnext" for layer in space.layers}
    evolved = {each.id for layer in space.layers for each in layer.candidates}
    assert len(evolved) > 3
    assert space.madds.max <= max(
        load("conv@digits").architecture({layer.shape.name: name for layer in space.layers}).cost[0]
        for name in ("resnet", "bottleneck", "convnext")
    )


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    class Stopping(Silent):
        def event(self, event: Any) -> None:
            if isinstance(event, RoundEvent) and event.state.round == 2:
                raise KeyboardInterrupt

    learn(RunFolder.create(tmp_path / "whole", config()), Silent())
    with pytest.raises(KeyboardInterrupt):
        learn(RunFolder.create(tmp_path / "halved", config()), Stopping())
    learn(RunFolder.open(tmp_path / "halved"), Silent())
    texts = [(tmp_path / name / "space.json").read_bytes() for name in ("whole", "halved")]
    assert texts[0] == texts[1]


class Wide:
    """A scorer without torch: depthwise 5x5 convolutions on a path count, and so do bottlenecks."""

    def score(self, candidates: Sequence[Sequence[Any]], repeat: int) -> list[list[float]]:
        return [
            [
                float(sum(edge.operation == "dw_conv_5x5" for edge in cell.pruned().edges))
                + 0.5 * (cell.reduction == 2)
                for cell in row
            ]
            for row in candidates
        ]


@pytest.mark.slow
def test_a_planted_block_is_found() -> None:
    sizes = {"population": 12, "tournament": 4, "candidates": 12, "keep": 2, "generations": 80}
    made = Config.model_validate({"cells": {"family": "resnet"}, "evolution": sizes})
    skeleton = load_skeleton("digits")
    references = references_on(skeleton, made.cells)
    shares = layer_shares(skeleton, [cell for _, cell in references], Budget())
    plan = make_plan(made, skeleton, references, (shares,))
    (*_, state) = evolve(plan, Wide())
    space = learned_space(plan, state, name="learned", budget=Budget(), provenance={})
    for layer in space.layers:
        best: Any = layer.candidates[0].cell
        assert set(best.operations) == {"dw_conv_5x5"}
        assert best.reduction == 2
    assert from_json(to_json(space)) == space
