"""The distilled scorer: a cell inside its block, with the frozen reference as the teacher."""

import copy

import numpy as np
import pytest
import torch

from autospace.networks.network import Network, joined
from autospace.scorers.local import DistilledScorer
from autospace.scorers.make import make_scorer
from autospace.spaces import Cell, mbconv
from tests.scorers.conftest import SKELETON, MakeSetting

LASTS = [0, 2, 2]
"""The second layer has another width and resolution; the third is like its output."""


def _outputs(network: Network, images: torch.Tensor) -> list[torch.Tensor]:
    found = [network.stem(images)]
    for shape, cell in network.stages():
        found.append(joined(shape, found[-1], cell(found[-1])))
    return found[1:]


@pytest.mark.parametrize("layer", range(3))
def test_the_loss_is_how_far_the_block_is_from_that_of_the_reference(
    layer: int, make_setting: MakeSetting, reference: Network
) -> None:
    setting = make_setting("distilled")
    scorer = DistilledScorer(setting)
    seen = scorer._validation.at(0, range(3))[layer]
    learner = setting.candidate(layer, mbconv(5, 6), 0).eval()
    other = copy.deepcopy(reference)
    other.layers[layer] = learner
    images, _ = setting.validation.batch(0)
    with torch.no_grad():
        found = float(scorer.loss(layer, learner, seen))
        ours, theirs = (
            _outputs(each, images)[LASTS[layer]].double().numpy() for each in (other, reference)
        )
        assert float(scorer.loss(layer, reference.cell(layer), seen)) == 0
    assert found == pytest.approx(np.abs(ours - theirs).mean() / theirs.std(), rel=1e-5)
    assert found > 0.1


def test_layers_behind_the_candidate_are_frozen(
    make_setting: MakeSetting, reference: Network, cells: list[list[Cell]]
) -> None:
    before = {name: value.clone() for name, value in reference.state_dict().items()}
    make_scorer(make_setting("distilled", steps=8)).score(cells, 0)
    for name, value in reference.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_cell_that_destroys_the_features_is_less_fit(make_setting: MakeSetting) -> None:
    assert SKELETON.shapes[0].shortcut
    assert not SKELETON.shapes[1].shortcut
    blank = Cell.from_edges([(0, 1, "skip_connect")], nodes=2, expansion=1)
    fitness = make_scorer(make_setting("distilled", steps=40)).score([[], [blank], []], 0)
    assert fitness[1][0] < 0
