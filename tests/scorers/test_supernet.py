"""The supernet and the two scorers on it, against lone networks and finite differences."""

import copy
from collections import Counter

import pytest
import torch
from torch.nn import functional as F

from autospace.networks.network import Network
from autospace.scorers import gated
from autospace.scorers.context import ReferenceSupernet
from autospace.scorers.gated import GatedScorer, train_single_path
from autospace.scorers.make import make_scorer
from autospace.scorers.mixture import MixtureScorer
from autospace.spaces import Cell
from autospace.supernets.supernet import fix_scale
from tests.scorers.conftest import MakeSetting, examples

Cells = list[list[Cell]]


@pytest.fixture
def supernet(make_setting: MakeSetting, cells: Cells) -> ReferenceSupernet:
    return ReferenceSupernet(make_setting("gated"), cells, 0).double().eval()


def images(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = examples(count, 9)
    return drawn.images.double() / 100 - 1, drawn.labels


def lone(supernet: ReferenceSupernet, path: list[int]) -> Network:
    network = copy.deepcopy(supernet.network)
    for layer, choice in enumerate(path):
        network.layers[layer] = copy.deepcopy(supernet.choices[layer][choice])
    return network


PATHS = [[0, 0, 0], [1, -1, 1], [-1, -1, -1]]


@pytest.mark.parametrize("path", PATHS)
def test_a_single_path_is_the_lone_network(supernet: ReferenceSupernet, path: list[int]) -> None:
    x, _ = images()
    torch.testing.assert_close(supernet.single_path(x, path), lone(supernet, path)(x))


@pytest.mark.parametrize("path", PATHS)
def test_a_mixture_with_one_weight_is_the_lone_network(
    supernet: ReferenceSupernet, path: list[int]
) -> None:
    x, _ = images()
    weights = []
    for modules, choice in zip(supernet.choices, path, strict=True):
        weights.append(F.one_hot(torch.tensor(choice % len(modules)), len(modules)).double())
    torch.testing.assert_close(supernet.mixture(x, weights), lone(supernet, path)(x))


def test_gate_fitness_is_minus_the_slope_of_the_loss_towards_the_candidate(
    make_setting: MakeSetting, cells: Cells
) -> None:
    setting = make_setting("gated")
    supernet = ReferenceSupernet(setting, cells, 0).double().eval()
    object.__setattr__(setting, "validation", _Double(setting.validation))
    found = GatedScorer(setting)._gate_gradients(supernet, 0)
    for layer, row in enumerate(found):
        for index, fitness in enumerate(row):
            slopes = [
                _slope(supernet, layer, index, *setting.validation.batch(step))
                for step in setting.validation_steps(0)
            ]
            assert fitness == pytest.approx(-sum(slopes) / len(slopes), rel=1e-4, abs=1e-9)


class _Double:
    def __init__(self, source: object) -> None:
        self._source = source

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, labels = self._source.batch(step)  # type: ignore[attr-defined]
        return x.double(), labels


def _slope(
    supernet: ReferenceSupernet, layer: int, index: int, x: torch.Tensor, labels: torch.Tensor
) -> float:
    def loss(gate: float) -> float:
        weights = []
        for number, modules in enumerate(supernet.choices):
            mix = torch.zeros(len(modules)).double()
            mix[-1] = 1
            if number == layer:
                mix[-1] = 1 - gate
                mix[index] = gate
            weights.append(mix)
        with torch.no_grad():
            return float(F.cross_entropy(supernet.mixture(x, weights), labels))

    return (loss(1e-5) - loss(-1e-5)) / 2e-5


def test_single_path_training_uses_every_choice_equally_often(
    make_setting: MakeSetting, cells: Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = make_setting("gated", steps=4)
    supernet = ReferenceSupernet(setting, cells, 0)
    used: list[Counter[int]] = [Counter() for _ in cells]
    original = ReferenceSupernet.single_path

    def counted(self: ReferenceSupernet, x: torch.Tensor, path: list[int]) -> torch.Tensor:
        for counter, choice in zip(used, path, strict=True):
            counter[choice] += 1
        return original(self, x, path)

    monkeypatch.setattr(ReferenceSupernet, "single_path", counted)
    train_single_path(supernet, setting, 0)
    assert used[0] == Counter({0: 4, 1: 4, 2: 4})
    assert used[1] == Counter({0: 6, 1: 6})


def test_one_shot_losses_are_those_of_the_lone_networks(
    make_setting: MakeSetting, cells: Cells
) -> None:
    setting = make_setting("gated")
    supernet = ReferenceSupernet(setting, cells, 0).eval()
    losses = gated.one_shot_losses(supernet, setting, 0)
    network = lone(supernet, [-1, -1, 1])
    batches = [setting.validation.batch(step) for step in setting.validation_steps(0)]
    with torch.no_grad():
        expected = [float(F.cross_entropy(network(x), labels)) for x, labels in batches]
    assert losses[2][1] == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_mixture_gives_every_candidate_the_references_output_scale_for_good(
    make_setting: MakeSetting, cells: Cells
) -> None:
    supernet = ReferenceSupernet(make_setting("mixture"), cells, 0)
    fix_scale(supernet)
    for *candidates, reference in supernet.choices:
        assert reference.project is not None
        for module in candidates:
            assert module.project is not None
            assert torch.equal(module.project.norm.weight, reference.project.norm.weight)
            assert not module.project.norm.weight.requires_grad


def test_mixture_with_an_expensive_cost_term_prefers_the_cheaper_cell(
    make_setting: MakeSetting,
) -> None:
    cheap = Cell.from_edges([(0, 3, "skip_connect")], expansion=1)
    dear = Cell.from_edges([(0, 1, "dw_conv_7x7"), (1, 3, "dw_conv_7x7")], expansion=6)
    scorer = make_scorer(make_setting("mixture", cost_weight=100.0, steps=20))
    fitness = scorer.score([[cheap, dear]] * 3, 0)
    assert all(low > 0 > high for low, high in fitness)


def test_log_odds_and_averaged_gradients_are_relative_to_the_reference(
    make_setting: MakeSetting, cells: Cells
) -> None:
    scorer = MixtureScorer(make_setting("mixture", steps=8))
    fitness = scorer.score(cells, 0)
    assert [len(row) for row in scorer.gradients] == [len(row) for row in fitness]
