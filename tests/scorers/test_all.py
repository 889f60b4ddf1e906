"""What holds for every scorer."""

from dataclasses import replace

import pytest
import torch

from autospace.networks.network import Network
from autospace.scorers.make import SCORERS, make_scorer
from autospace.scorers.scorer import SUPERNETS, ScoringMethod
from autospace.spaces import Cell, mbconv
from tests.scorers.conftest import MakeSetting

ALONE: tuple[ScoringMethod, ...] = ("probe", "local", "in-place", "distilled")
METHODS: tuple[ScoringMethod, ...] = tuple(SCORERS)
Cells = list[list[Cell]]


@pytest.mark.parametrize("method", METHODS)
def test_every_candidate_gets_a_finite_fitness(
    method: ScoringMethod, make_setting: MakeSetting, cells: Cells
) -> None:
    fitness = make_scorer(make_setting(method)).score(cells, 0)
    assert [len(layer) for layer in fitness] == [len(layer) for layer in cells]
    assert all(torch.isfinite(torch.tensor(layer)).all() for layer in fitness)


@pytest.mark.parametrize("method", METHODS)
def test_scoring_leaves_the_reference_and_the_global_generator_alone(
    method: ScoringMethod, make_setting: MakeSetting, cells: Cells, reference: Network
) -> None:
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    make_scorer(make_setting(method)).score(cells, 0)
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, before[name]) for name, value in reference.state_dict().items())
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert not any(module.training for module in reference.modules())


@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_give_equal_fitness(
    method: ScoringMethod, make_setting: MakeSetting, cells: Cells
) -> None:
    first = make_scorer(make_setting(method)).score(cells, 0)
    assert make_scorer(make_setting(method)).score(cells, 0) == first


# `predicted` trains no network twice, and here it knows all that there are.
@pytest.mark.parametrize("method", [method for method in METHODS if method != "predicted"])
def test_a_repeat_sees_other_images_and_other_weights(
    method: ScoringMethod, make_setting: MakeSetting, cells: Cells
) -> None:
    scorer = make_scorer(make_setting(method))
    assert scorer.score(cells, 0) != scorer.score(cells, 1)


@pytest.mark.parametrize("method", ALONE)
def test_company_does_not_change_a_score(
    method: ScoringMethod, make_setting: MakeSetting, cells: Cells
) -> None:
    together = make_scorer(make_setting(method)).score(cells, 0)
    alone = make_scorer(make_setting(method)).score([[], [], [cells[2][1]]], 0)
    assert alone == [[], [], [together[2][1]]]


@pytest.mark.parametrize("method", ALONE)
def test_the_reference_cell_scores_zero(method: ScoringMethod, make_setting: MakeSetting) -> None:
    reference = mbconv(3, 3)
    spelled_otherwise = Cell.from_edges(
        [(0, 1, "skip_connect"), (1, 3, "dw_conv_3x3")], expansion=3
    )
    scorer = make_scorer(make_setting(method))
    fitness = scorer.score([[reference], [reference], [spelled_otherwise]], 0)
    assert fitness[:2] == [[0.0], [0.0]]
    assert fitness[2][0] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_progress_is_reported_and_can_stop_the_work(
    method: ScoringMethod, make_setting: MakeSetting, cells: Cells
) -> None:
    def stop(done: int, total: int) -> None:
        if 0 < done < total:
            raise KeyboardInterrupt

    setting = make_setting(method)
    object.__setattr__(setting, "tick", stop)
    with pytest.raises(KeyboardInterrupt):
        make_scorer(setting).score(cells, 0)


@pytest.mark.parametrize("method", SUPERNETS)
def test_a_supernet_of_the_last_finalists_sees_no_batch_of_an_earlier_repeat(
    make_setting: MakeSetting, method: ScoringMethod
) -> None:
    setting = replace(make_setting(method, steps=6), candidates=4)
    full = [set(setting.training_steps(repeat, 6 * 5)) for repeat in (0, 1)]
    assert full == [set(range(30)), set(range(30, 60))]
    assert not set(setting.training_steps(1, 6 * 2)) & full[0]


def test_repeats_share_no_batch(make_setting: MakeSetting) -> None:
    setting = make_setting()
    for steps in (setting.validation_steps, lambda repeat: setting.training_steps(repeat, 7)):
        first, second = set(steps(0)), set(steps(1))
        assert not first & second
        assert len(first) == len(second) > 0
