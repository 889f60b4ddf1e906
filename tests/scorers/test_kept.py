"""Weights that are kept from round to round: who shares them, and where they go on."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from autospace.networks.cells import CellModule
from autospace.networks.network import Network
from autospace.runs.errors import ConfigError
from autospace.runs.settings import make_settings
from autospace.runs.state import load_state, save_state
from autospace.scorers.context import KeptWeights, ReferenceSupernet, ScoringContext
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringConfig, ScoringMethod
from autospace.seeds import stream
from autospace.spaces import Cell, LayerShape
from autospace.spaces.cells.variation import CellPrior, random_cell
from tests.scorers.conftest import MakeSetting

Cells = list[list[Cell]]
METHODS: tuple[ScoringMethod, ...] = ("mixture", "gated")
each_method = pytest.mark.parametrize("method", METHODS)

FIRST = Cell.from_edges([(0, 1, "dw_conv_5x5"), (1, 3, "dw_conv_3x3")], expansion=3)
# It has the first edge of FIRST, and the same operation on another edge than FIRST.
SECOND = Cell.from_edges([(0, 1, "dw_conv_5x5"), (1, 3, "dw_conv_5x5")], expansion=3)
WIDE = Cell.from_edges([(0, 1, "dw_conv_5x5"), (1, 3, "dw_conv_3x3")], expansion=6)


def kept_setting(make_setting: MakeSetting, method: ScoringMethod = "mixture") -> ScoringContext:
    return replace(make_setting(method, weights="kept"), kept=KeptWeights())


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def trained(
    setting: ScoringContext, cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> ReferenceSupernet:
    """The supernet of a round, after it was scored."""
    made: list[ReferenceSupernet] = []
    original = ReferenceSupernet.__init__

    def watched(self: ReferenceSupernet, *given: object) -> None:
        original(self, *given)  # type: ignore[arg-type]
        made.append(self)

    with monkeypatch.context() as patch:
        patch.setattr(ReferenceSupernet, "__init__", watched)
        make_scorer(setting).score(cells, 0)
    return made[0]


@each_method
def test_a_part_that_was_trained_before_begins_with_those_tensors(
    method: ScoringMethod, make_setting: MakeSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = kept_setting(make_setting, method)
    after = trained(setting, [[FIRST]] * 3, monkeypatch)
    fresh = replace(setting, kept=None)
    following = ReferenceSupernet(setting, [[SECOND, WIDE]] * 3, 0)
    for layer in range(3):
        (first,), (second, wide) = after.cells(layer), following.cells(layer)
        for name in ("expand", "operations.0_1", "project"):
            assert equal(weights(first.get_submodule(name)), weights(second.get_submodule(name)))
        # Neither another place nor another expansion shares anything.
        new = fresh.candidate(layer, SECOND, 0).get_submodule("operations.1_3")
        assert equal(weights(second.get_submodule("operations.1_3")), weights(new))
        assert equal(weights(wide), weights(fresh.candidate(layer, WIDE, 0)))


@each_method
def test_the_reference_goes_on_too_and_the_frozen_one_stays(
    method: ScoringMethod,
    make_setting: MakeSetting,
    monkeypatch: pytest.MonkeyPatch,
    reference: Network,
) -> None:
    before = weights(reference)
    setting = kept_setting(make_setting, method)
    after = trained(setting, [[FIRST]] * 3, monkeypatch)
    assert not equal(weights(after.network), before)
    following = ReferenceSupernet(setting, [[SECOND]] * 3, 0)
    assert equal(weights(following.network), weights(after.network))
    assert equal(weights(reference), before)


def test_what_no_candidate_of_a_round_has_waits(
    make_setting: MakeSetting, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = kept_setting(make_setting)
    first = trained(setting, [[FIRST]] * 3, monkeypatch).cells(0)[0]
    waiting = weights(first.operations["1_3"])
    trained(setting, [[SECOND], [SECOND], [SECOND]], monkeypatch)
    again = ReferenceSupernet(setting, [[FIRST]] * 3, 0).cells(0)[0]
    assert equal(weights(again.operations["1_3"]), waiting)
    assert not equal(weights(again.operations["0_1"]), weights(first.operations["0_1"]))


def test_candidates_of_a_round_share_their_common_parts_and_add_up_their_gradients(
    make_setting: MakeSetting,
) -> None:
    setting = kept_setting(make_setting)
    supernet = ReferenceSupernet(setting, [[FIRST, SECOND]] * 3, 0).double()
    first, second = supernet.cells(0)
    assert first.operations["0_1"] is second.operations["0_1"]
    assert first.operations["1_3"] is not second.operations["1_3"]
    apart = [copy.deepcopy(each) for each in (first, second)]
    images = torch.randn(4, 6, 8, 8, dtype=torch.double)
    sum(each(images).pow(2).sum() for each in (first, second)).backward()
    for each in apart:
        each(images).pow(2).sum().backward()
    for path in ("expand.0.weight", "operations.0_1.0.weight", "project.1.bias"):
        alone = torch.stack([gradient(each, path) for each in apart])
        torch.testing.assert_close(gradient(first, path), alone.sum(0))


def gradient(module: torch.nn.Module, path: str) -> torch.Tensor:
    found = module.get_parameter(path).grad
    assert found is not None
    return found


def test_the_last_edge_is_the_last_whatever_its_number() -> None:
    shape = LayerShape("layer_00", 4, 4, 2, 8)
    short = CellModule(Cell.from_edges([(0, 2, "dw_conv_3x3")], nodes=3, expansion=3), shape)
    long = CellModule(
        Cell.from_edges([(0, 2, "dw_conv_3x3"), (2, 3, "dw_conv_3x3")], expansion=3), shape
    )
    # One has stride 2, the other 1: nothing but expansion and projection fits both.
    common = short.parts.keys() & long.parts.keys()
    assert {short.parts[name] for name in common} == {"expand", "project"}
    assert [short.parts["e3 0-out dw_conv_3x3"], long.parts["e3 0-2 dw_conv_3x3"]] == [
        "operations.0_2"
    ] * 2


@each_method
def test_rounds_see_images_that_no_round_saw(
    method: ScoringMethod, make_setting: MakeSetting
) -> None:
    setting = kept_setting(make_setting, method)
    scorer = make_scorer(setting)
    assert setting.kept is not None
    scorer.score([[FIRST]] * 3, 0)
    # Six steps for each of two choices, the candidate and the reference.
    assert (setting.kept.steps, setting.training_steps(0, 5)) == (12, range(12, 17))
    scorer.score([[FIRST, SECOND]] * 3, 0)
    assert setting.kept.steps == 12 + 18


@each_method
def test_saved_and_restored_the_next_round_is_equal_to_the_bit(
    method: ScoringMethod, make_setting: MakeSetting, tmp_path: Path
) -> None:
    setting = kept_setting(make_setting, method)
    kept = setting.kept
    assert kept is not None
    make_scorer(setting).score([[FIRST], [SECOND, WIDE], [FIRST]], 0)
    save_state(tmp_path / "kept", kept.state())
    restored = KeptWeights()
    restored.restore(load_state(tmp_path / "kept", torch.device("cpu")))
    assert restored.steps == kept.steps
    cells = [[SECOND, FIRST], [WIDE], [SECOND]]
    found = make_scorer(setting).score(cells, 0)
    other = replace(setting, kept=restored)
    assert make_scorer(other).score(cells, 0) == found
    for name, part in kept.parts.items():
        assert equal(dict(part), dict(restored.parts[name]))


def test_an_interrupted_round_keeps_nothing(make_setting: MakeSetting) -> None:
    def stop(done: int, total: int) -> None:
        if done == total - 1:
            raise KeyboardInterrupt

    setting = replace(kept_setting(make_setting), tick=stop)
    with pytest.raises(KeyboardInterrupt):
        make_scorer(setting).score([[FIRST]] * 3, 0)
    assert setting.kept is not None
    assert (setting.kept.parts, setting.kept.steps) == ({}, 0)


@pytest.mark.slow
def test_memory_is_bounded_by_the_vocabulary(make_setting: MakeSetting) -> None:
    operations = ("skip_connect", "dw_conv_3x3", "dw_conv_5x5")
    prior = CellPrior(operations, nodes=3)
    setting = kept_setting(make_setting)
    kept, rng = setting.kept, stream(0, "cells")
    assert kept is not None
    for _ in range(25):
        cells = [[random_cell(prior, rng) for _ in range(8)] for _ in range(3)]
        kept.keep(ReferenceSupernet(setting, cells, 0), 1)
    # Per layer and expansion: 3 edges times 2 operations, 2 nodes with SE, and the projection;
    # without expansion (1 of 3) there is no module that expands.
    assert len(kept.parts) == 1 + 3 * (3 * (3 * 2 + 2 + 1) + 2)


@pytest.mark.parametrize("method", ["probe", "local", "in-place"])
def test_only_a_supernet_can_be_kept(method: str) -> None:
    problem = f"kept; allowed: fresh, because {method} has no supernet; gated and mixture do"
    with pytest.raises(ConfigError, match=problem):
        make_settings(ScoringConfig, {"method": method, "weights": "kept"})
