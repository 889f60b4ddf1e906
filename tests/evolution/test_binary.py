"""Evolution of binary cells: what is bred, what it may cost, and what a run leaves."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autospace.compute.executor import Executor
from autospace.data.batches import Batches, Normaliser
from autospace.evolution.families import check_family, kind_on, reference_network, references_on
from autospace.evolution.folder import RunFolder, state_from_json, state_to_json
from autospace.evolution.learn import learn
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.plan import Plan, make_budget, make_plan
from autospace.evolution.settings import CellsConfig, Config, make_config
from autospace.exporters.targets import TARGETS
from autospace.networks import binary
from autospace.networks.network import Network, placed
from autospace.runs.errors import ConfigError
from autospace.scorers.context import ScoringContext, freeze, relative_costs
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces import (
    Budget,
    Cell,
    LayerSpec,
    Skeleton,
    Space,
    SpaceError,
    Stem,
    cell_cost,
    family_of,
    from_json,
    load_skeleton,
)
from autospace.spaces.cells.bats import BATS_USUAL, BNAS_USUAL
from autospace.spaces.cells.binary import BINARY_OPERATIONS, BinaryCell
from autospace.spaces.cost import layer_shares
from autospace.training.short import Recipe, train
from tests.evolution.runs import Counting, Server, settings
from tests.searchers.planted import CLASSES, MixUp, brightest_channel
from tests.slow import slowly

operation = binary.binary_cell_operation

DEFAULT_EXPANSION = CellsConfig.model_fields["reference_expansion"].default
SIZES = {"population": 8, "tournament": 3, "candidates": 12, "keep": 3, "generations": 10}
METHODS = ("probe", "calibrated", "local", "in-place", "distilled", "gated", "mixture")


class ClosedForm:
    """A scorer without torch: `wanted` on the way to the output is what counts."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        return [[self._value(cell) for cell in row] for row in candidates]

    def _value(self, cell: Cell) -> float:
        names = list(cell.pruned().operations)
        return names.count(self._wanted) - 0.1 * sum(name != "none" for name in names)


def _config(**sections: dict[str, Any]) -> Config:
    return make_config({"evolution": SIZES, "cells": {"family": "binary"}, **sections})


def _plan(config: Config, name: str = "digits") -> tuple[Plan, Any]:
    skeleton = load_skeleton(name)
    references = references_on(skeleton, config.cells)
    cells = [cell for _, cell in references]
    budget = make_budget(config.budget, skeleton, references)
    limits = (layer_shares(skeleton, cells, budget),)
    return make_plan(config, skeleton, references, limits), budget


def _space(plan: Plan, budget: Any, wanted: str) -> Space:
    (*_, state) = evolve(plan, ClosedForm(wanted))
    return learned_space(plan, state, name="learned", budget=budget, provenance={})


def test_cells_of_one_operation_are_the_references() -> None:
    skeleton = load_skeleton("digits")
    config = _config()
    references = references_on(skeleton, config.cells)
    assert [name for name, _ in references] == ["bin_conv_3x3", "bin_conv_5x5", "bin_conv_7x7"]
    assert all(cell.kind == "binary" and len(cell.edges) == 1 for _, cell in references)
    assert kind_on(skeleton, config.cells) == "binary"
    assert kind_on(skeleton, make_config({}).cells) == "mobile"
    plan, _ = _plan(_config(cells={"family": "binary", "nodes": 3}))
    cell = plan.operators.family.random_cell(plan.operators.prior, random.Random(0))
    assert isinstance(cell, BinaryCell)
    assert cell.nodes == 3


def test_the_better_operation_is_learned_in_every_layer() -> None:
    space = _space(*_plan(_config()), "bin_conv_5x5_d2")
    for layer in space.layers:
        best = layer.candidates[0].cell
        assert best.pruned().operations.count("bin_conv_5x5_d2") >= 3
        assert layer.candidates[-1].origin.kind == "reference"


def test_a_state_in_the_middle_is_read_back_and_goes_on_alike() -> None:
    plan, _ = _plan(_config(evolution={**SIZES, "generations": 3}))
    scorer = ClosedForm("bin_conv_3x3")
    states = list(evolve(plan, scorer))
    middle = state_from_json(state_to_json(states[2]), plan.skeleton, "binary")
    (*_, last) = evolve(plan, scorer, middle)
    assert last.layers == states[-1].layers


@pytest.mark.parametrize(
    ("name", "family"),
    [("digits", "binary"), *slowly(("bats-small", "auto"), ("bats-small", "bnas"))],
)
def test_no_architecture_of_a_learned_space_has_more_ops_than_the_budget(
    name: str, family: str
) -> None:
    dear = {"auto": "bin_conv_7x7", "bnas": "bin_sep_conv_5x5", "binary": "bin_conv_7x7"}[family]
    cells = {"family": family}
    free, budget = _plan(_config(cells=cells), name)
    assert budget.max_ops is None
    skeleton = load_skeleton(name)
    _, cell = references_on(skeleton, _config(cells=cells).cells)[-1]
    untied, whole = reference_network(skeleton, cell)
    most = Network(untied, whole)
    del most
    limited, budget = _plan(_config(cells=cells, budget={"max_ops": "reference"}), name)
    assert _space(limited, budget, dear).ops.max <= budget.max_ops
    assert _space(free, replace(budget, max_ops=None), dear).ops.max > budget.max_ops
    counted, limit = _plan(_config(cells=cells, budget={"max_ops": budget.max_ops + 5000}), name)
    assert limit.max_ops == budget.max_ops + 5000
    assert _space(counted, limit, dear).ops.max <= limit.max_ops


def test_cells_with_two_inputs_are_grouped_or_separable() -> None:
    grouped, _ = _plan(_config(cells={"family": "auto"}), "bats-small")
    separable, _ = _plan(_config(cells={"family": "bnas"}), "bats-small")
    assert grouped.operators.prior.vocabulary == BATS_USUAL
    assert separable.operators.prior.vocabulary == BNAS_USUAL
    assert separable.references[0][0] == "bin_sep_conv_3x3"


@pytest.mark.parametrize(
    ("name", "family", "allowed"),
    [
        ("digits", "bnas", "auto, binary, resnet, bottleneck, convnext"),
        ("bats-small", "binary", "auto, bnas"),
        ("darts-small", "bnas", "auto"),
        ("nasbench201", "binary", "auto"),
        ("ofa-small", "binary", "auto"),
        ("rnn-small", "binary", "auto"),
    ],
)
def test_a_family_that_does_not_fit_the_skeleton_is_refused(
    name: str, family: str, allowed: str
) -> None:
    cells = make_config({"cells": {"family": family}}).cells
    with pytest.raises(
        ConfigError, match=rf"^cells.family: {family}; allowed .*{name}: {allowed}$"
    ):
        check_family(load_skeleton(name), cells)


def test_one_cell_alone_is_refused_as_nothing_can_be_evolved() -> None:
    one = {"family": "binary", "operations": ["bin_conv_3x3"], "reference_kernels": [3]}
    check_family(load_skeleton("digits"), make_config({"cells": {**one, "nodes": 3}}).cells)
    cells = make_config({"cells": {**one, "nodes": 2}}).cells
    with pytest.raises(ConfigError, match=r"^cells.nodes: 2, .*bin_conv_3x3.*; allowed: 3 or more"):
        check_family(load_skeleton("digits"), cells)


def test_ops_are_no_limit_of_cells_that_are_not_binary() -> None:
    with pytest.raises(ConfigError, match=r"^budget.max_ops: 5000, but no cell is binary; allowed"):
        _plan(_config(cells={}, budget={"max_ops": 5000}))


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"operations": ["bin_conv_3x3"]}, "cells.family=binary knows it"),
        ({"family": "binary", "operations": ["dw_conv_3x3"]}, "of binary cells; "),
        (
            {"family": "binary", "operations": ["bin_conv_3x3"]},
            r"operations: the reference of kernel size 5 .* requires bin_conv_5x5 among them",
        ),
        ({"family": "dense"}, "allowed: auto or binary or bnas"),
    ],
)
def test_operations_of_another_family_are_refused(cells: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        make_config({"cells": cells})


def test_the_default_operations_are_those_of_the_family() -> None:
    assert _config().cells.operations == tuple(BINARY_OPERATIONS)
    some = {"operations": ["bin_conv_3x3", "skip_connect"], "reference_kernels": [3]}
    plan, _ = _plan(_config(cells={"family": "binary", **some}))
    assert plan.operators.prior.vocabulary == ("none", "bin_conv_3x3", "skip_connect")


def test_binary_cells_are_charged_for_ops() -> None:
    shapes = load_skeleton("digits").shapes
    names = ("avg_pool_3x3", "bin_conv_7x7", "bin_conv_3x3")
    row = [BinaryCell.from_edges([(0, 3, name)]) for name in names]
    cells: list[Any] = [*row]
    costs = relative_costs(shapes, [cells] * len(shapes))
    assert sum(row[-1] for row in costs) == pytest.approx(1)
    for found, shape in zip(costs, shapes, strict=True):
        ops = [cell_cost(cell, shape).ops for cell in cells]
        assert [each / found[-1] for each in found] == pytest.approx([x / ops[-1] for x in ops])


def test_nsga_ii_keeps_cells_of_few_binary_operations() -> None:
    objectives = {**SIZES, "objectives": ["fitness", "madds"]}
    plan, _ = _plan(_config(evolution=objectives))
    (*_, state) = evolve(plan, ClosedForm("bin_conv_3x3"))
    for layer, shape in zip(state.layers, plan.skeleton.shapes, strict=True):
        least = min(member.cost.ops for member in layer.members)
        pool = BinaryCell.from_edges([(0, 3, "skip_connect")])
        assert least == family_of(pool).cost(pool, shape).ops


@pytest.fixture(scope="module")
def server() -> Any:
    running = Server()
    yield running
    running.close()


def _tiny(folder: Path, **changes: Any) -> dict[str, Any]:
    cells = {
        "family": "binary",
        "nodes": 3,
        "reference_kernels": [3, 5],
        "reference_expansion": DEFAULT_EXPANSION,
    }
    return settings(folder, **{"cells": cells, "budget": {"max_ops": "reference"}, **changes})


@pytest.mark.parametrize("part", slowly(2, 3, 5))
def test_a_run_that_was_killed_goes_on_to_the_same_bytes(
    server: Server, tmp_path: Path, part: int
) -> None:
    chosen = _tiny(tmp_path)
    whole = server.run(tmp_path / "whole", settings=chosen)
    assert whole["code"] == 0
    wanted = (tmp_path / "whole" / "space.json").read_bytes()
    run = tmp_path / "killed"
    tick = len(whole["phases"]) * part // 6
    assert server.run(run, settings=chosen, tick=tick)["code"] < 0
    assert server.run(run, settings=chosen)["code"] == 0
    assert (run / "space.json").read_bytes() == wanted


@pytest.mark.parametrize(
    "method", ["calibrated", *slowly(*(each for each in METHODS if each != "calibrated"))]
)
def test_every_scorer_learns_a_space_that_can_be_exported(method: str, tmp_path: Path) -> None:
    scoring = {"method": method, "cost_weight": 0.1}
    weights = "kept" if method in {"gated", "mixture"} else "fresh"
    evolution = {"generations": 1, "screen": 2, "shrink": True}
    chosen = _tiny(tmp_path, scoring={**scoring, "weights": weights}, evolution=evolution)
    observer = Counting()
    space = learn(RunFolder.create(tmp_path / "run", make_config(chosen)), observer)
    assert space.kind == "binary"
    assert space.budget.max_ops is not None
    assert space.ops.max <= space.budget.max_ops
    assert "binary operations are no MAdds" not in "".join(observer.messages)
    assert from_json((tmp_path / "run" / "space.json").read_text()) == space
    for target in ("optuna", "configspace", "csv", "json-flat"):
        export = TARGETS[target].space
        assert export is not None
        assert export(space)


@pytest.mark.slow
def test_workers_change_nothing(tmp_path: Path) -> None:
    spaces = []
    for workers in (1, 2):
        chosen = _tiny(tmp_path, evolution={"generations": 1})
        folder = RunFolder.create(tmp_path / f"run{workers}", make_config(chosen))
        spaces.append(learn(folder, Counting(), workers=Executor.of(workers)))
    assert spaces[0] == spaces[1]


def test_a_run_without_a_limit_on_ops_says_so(tmp_path: Path) -> None:
    chosen = _tiny(tmp_path, budget={}, evolution={"generations": 0})
    observer = Counting()
    learn(RunFolder.create(tmp_path / "run", make_config(chosen)), observer)
    assert "MAdds do not count binary operations; budget.max_ops limits them" in observer.messages


PLANTED = "bin_conv_5x5_d2"


def _mixing(name: str, channels: int, stride: int) -> nn.Module:
    """What operations are in the planted space: all but one mix up the images of a batch."""
    return operation(name, channels, stride) if name == PLANTED else MixUp(stride)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_evolution_learns_the_one_binary_operation_that_passes_images_on(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binary, "binary_cell_operation", _mixing)
    config = _config(
        cells={"family": "binary", "nodes": 3, "reference_kernels": [3]},
        evolution={**SIZES, "generations": 4, "keep": 4},
    )
    skeleton = Skeleton("planted", 3, 4, CLASSES, Stem(12, 1), (LayerSpec(13),))
    references = references_on(skeleton, config.cells)
    plan = replace(make_plan(config, skeleton, references, ()), seed=seed)
    weights, fitness = brightest_channel(1000, 2 * seed), brightest_channel(1000, 2 * seed + 1)
    norm = Normaliser.from_examples(weights)
    torch.manual_seed(seed)
    network = placed(Network(skeleton, [references[0][1]]), "cpu")
    train(network, Batches(weights, 64, seed, "cpu", norm), Recipe(10))
    context = ScoringContext(
        freeze(network),
        Batches(weights, 32, seed + 1, "cpu", norm),
        Batches(fitness, 250, seed + 2, "cpu", norm),
        ScoringConfig(steps=30, validation_batches=2),
        seed,
    )
    (*_, state) = evolve(plan, make_scorer(context))
    space = learned_space(plan, state, name="learned", budget=Budget(), provenance={})
    *evolved, reference = space.layers[0].candidates
    # It is in a third of all cells.
    assert all(PLANTED in each.cell.pruned().operations for each in evolved)
    assert evolved[0].fitness is not None
    assert evolved[0].fitness > (reference.fitness or 0) + 0.1


@pytest.mark.parametrize(
    ("skeleton", "family"),
    [
        ("nasbench201", "auto"),
        ("darts-small", "auto"),
        ("bats-small", "auto"),
        ("digits", "binary"),
        ("digits", "resnet"),
        ("digits", "convnext"),
    ],
)
def test_cells_without_common_weights_inherit_none(
    skeleton: str, family: str, tmp_path: Path
) -> None:
    chosen: dict[str, Any] = {"skeleton": skeleton, "scoring": {"inherit": True}}
    chosen["cells"] = {"family": family}
    run = RunFolder.create(tmp_path / "run", make_config(chosen))
    with pytest.raises(SpaceError, match=r"scoring\.inherit: true, but \w+ cells have no weights"):
        learn(run, Counting())
    assert not (tmp_path / "run").exists()
