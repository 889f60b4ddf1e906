"""The supernet of decoders: a path is the network that has its matrices; mixtures."""

import random
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from autospace.networks.captions import START, CaptionModel, Described, packed
from autospace.spaces import Candidate, Layer, Space
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.files.families import family_space
from autospace.supernets.families import supernet_over
from autospace.supernets.recurrent import CaptionSupernet, WholeCells
from tests.tiny import whole_cells


def _space(root: str | None = "tanh") -> Space:
    own = CaptionSkeleton.of("tiny", 9, 5, 2, depth=3, resolution=8, encoder=(4,), root=root)
    return family_space("autocaption", own)


SPACES = {
    "decisions": _space(),
    "no function of the root": _space(None),
    "whole cells": whole_cells(_space()),
}


def _supernet(space: Space) -> Any:
    found = supernet_over(space, 0, "cpu")
    assert isinstance(found, CaptionSupernet)
    return found.double()


def _inputs(*, judged: bool = False) -> torch.Tensor:
    torch.manual_seed(1)
    tokens = torch.tensor([[START, 5, 6], [START, 7, 8]])
    return packed(torch.randn(2, 1, 8, 8).double(), tokens, judged=judged)


@pytest.mark.parametrize("kind", SPACES)
def test_a_path_is_the_network_with_the_matrices_of_its_choices(kind: str) -> None:
    space = SPACES[kind]
    supernet = _supernet(space).eval()
    for seed in range(6):
        architecture = space.sample(random.Random(seed))
        path = [
            layer.candidates.index(candidate)
            for layer, candidate in zip(space.layers, architecture.candidates, strict=True)
        ]
        network: Any = CaptionModel(space.skeleton, architecture.cells).double().eval()
        with torch.no_grad():
            for name, value in network.named_parameters():
                if not name.startswith("layers"):
                    value.copy_(supernet.get_parameter(f"network.{name}"))
            for layer, bank in zip(network.layers, supernet.matrices, strict=True):
                cell = layer.cell
                parts = [bank[f"link_{link}"] for link in cell.links]
                state = bank[f"0_0_{cell.functions[0]}"]
                layer.root.copy_(torch.cat([*parts, state]))
                for node, (source, name) in enumerate(cell.pairs, 1):
                    layer.nodes[node - 1].copy_(bank[f"{node}_{source}_{name}"])
        torch.testing.assert_close(supernet.single_path(_inputs(), path), network(_inputs()))
        judged = supernet.single_path(_inputs(judged=True), path)
        assert isinstance(judged, Described)
        assert torch.equal(judged.tokens, network(_inputs(judged=True)).tokens)


@pytest.mark.parametrize("kind", SPACES)
def test_a_mixture_with_all_weight_on_one_choice_is_that_path(kind: str) -> None:
    space = SPACES[kind]
    supernet = _supernet(space).eval()
    for pick in (0, -1):
        path = [pick % len(layer.candidates) for layer in space.layers]
        weights = [torch.eye(len(each.candidates)).double()[pick] for each in space.layers]
        found = supernet.mixture(_inputs(), weights)
        torch.testing.assert_close(found, supernet.single_path(_inputs(), path))


@pytest.mark.parametrize("kind", ["decisions", "whole cells"])
def test_gradients_of_alpha_are_finite_differences(kind: str) -> None:
    space = SPACES[kind]
    supernet = _supernet(space).eval()
    torch.manual_seed(2)
    alphas = [torch.randn(len(layer.candidates)).double() for layer in space.layers]
    targets = torch.tensor([5, 6, 2, 7, 8, 2])

    def loss(values: list[torch.Tensor]) -> torch.Tensor:
        logits = supernet.mixture(_inputs(), [value.softmax(0) for value in values])
        return F.cross_entropy(logits.flatten(0, 1), targets)

    wanted = torch.autograd.grad(loss([a.requires_grad_() for a in alphas]), alphas)
    step = 1e-6
    for place, gradient in enumerate(wanted):
        for index in range(len(gradient)):
            ends = []
            for sign in (1, -1):
                moved = [alpha.detach().clone() for alpha in alphas]
                moved[place][index] += sign * step
                ends.append(float(loss(moved).detach()))
            assert abs((ends[0] - ends[1]) / (2 * step) - float(gradient[index])) < 1e-7


def test_a_link_of_several_whole_cells_has_the_sum_of_their_weights() -> None:
    skeleton: Any = whole_cells(_space()).skeleton
    pairs = [(0, "tanh"), (1, "relu")]
    cells: list[Any] = [RecurrentCell.of(pairs, links=links) for links in ((0,), (0, 2), (1,))]
    layer = Layer(skeleton.shapes[2], tuple(Candidate(f"c{i}", c) for i, c in enumerate(cells)))
    shares = torch.tensor([0.5, 0.3, 0.2]).unbind()
    nodes, links = WholeCells(layer, skeleton).weighted([dict(enumerate(shares))])
    assert {k: round(float(w), 6) for k, w in links.items()} == {0: 0.8, 1: 0.2, 2: 0.3}  # type: ignore[arg-type]
    assert [len(terms) for terms in nodes] == [1, 1, 1]


def test_weights_off_the_path_have_no_gradient() -> None:
    space = _space()
    supernet = _supernet(space)
    logits = supernet.single_path(_inputs(), [0] * len(space.layers))
    F.cross_entropy(logits.flatten(0, 1), torch.tensor([5, 6, 2, 7, 8, 2])).backward()
    used = {
        name for bank in supernet.matrices for name, each in bank.items() if each.grad is not None
    }
    assert used == {"0_0_tanh", "1_0_tanh", "2_0_tanh", "link_0"}
