"""The plain path and the scorers' network: two programs for one function."""

import copy

import torch
from hypothesis import given, settings
from torch.nn import functional as F

from autospace.bench.plain_path import PlainCell, PlainSearch, PlainSupernet
from autospace.bench.workload import CANDIDATES, REFERENCE, Size, make_setting
from autospace.networks.cells import CellModule
from autospace.scorers.context import ReferenceSupernet
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces import DEFAULT_OPERATIONS, Cell, LayerShape
from tests.strategies import cells, shapes

TINY = Size((4, 6), 1, 8, 4, 4)
CPU = torch.device("cpu")


@settings(max_examples=25)
@given(cells(most_nodes=4, operations=DEFAULT_OPERATIONS, zero=False), shapes())
def test_equal_weights_give_equal_outputs_and_gradients(cell: Cell, shape: LayerShape) -> None:
    torch.manual_seed(0)
    ours = CellModule(cell, shape).double().train()
    plain = PlainCell(cell, shape).double().train()
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(3, shape.in_channels, shape.resolution, shape.resolution).double()
    results = []
    for module in (ours, plain):
        seen = x.clone().requires_grad_()
        y = module(seen)
        y.square().sum().backward()
        gradients = {name: p.grad for name, p in module.named_parameters()}
        results.append((y, seen.grad, gradients))
    (y, gx, gw), (py, pgx, pgw) = results
    torch.testing.assert_close(y, py, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gx, pgx, rtol=1e-6, atol=1e-9)
    assert gw.keys() == pgw.keys()
    for name in gw:
        # Normalising a few pixels multiplies rounding by up to 1 / eps = 1e5, in each of two norms.
        torch.testing.assert_close(gw[name], pgw[name], rtol=1e-6, atol=1e-7)


def test_the_mixture_of_the_supernet_is_the_plain_one() -> None:
    setting = make_setting(TINY, ScoringConfig(method="mixture", batch=4), CPU)
    supernet = ReferenceSupernet(setting, TINY.cells, 0).double()
    plain = PlainSupernet(TINY.skeleton, [[*some, REFERENCE] for some in TINY.cells]).double()
    plain.train()
    plain.stem.load_state_dict(supernet.network.stem[0].state_dict())
    plain.classifier.load_state_dict(supernet.network.classifier.state_dict())
    for to, source in zip(plain.layers, supernet.choices, strict=True):
        for one, other in zip(to.children(), source, strict=True):
            one.load_state_dict(other.state_dict())
    images = torch.randn(4, 3, 8, 8).double()
    weights = [torch.softmax(torch.randn(5).double(), 0) for _ in TINY.skeleton.layers]
    torch.testing.assert_close(plain(images, weights), supernet.mixture(images, weights))


def test_a_plain_step_moves_weights_and_alpha_downhill() -> None:
    torch.manual_seed(0)
    supernet = PlainSupernet(TINY.skeleton, [[*some, REFERENCE] for some in TINY.cells])
    search = PlainSearch(supernet)
    before = copy.deepcopy(supernet.state_dict())
    batch = (torch.randn(8, 3, 8, 8), torch.randint(0, 10, (8,)))

    @torch.no_grad()
    def loss() -> float:
        mixes = [torch.softmax(alpha, 0) for alpha in search.alphas]
        return float(F.cross_entropy(supernet(batch[0], mixes), batch[1]))

    first = loss()
    for _ in range(10):
        search.step(batch, batch)
    assert loss() < first
    assert all(bool((alpha != 0).any()) for alpha in search.alphas)
    assert any(bool((before[name] != value).any()) for name, value in supernet.state_dict().items())


def test_the_candidates_of_the_bench_hold_every_operation() -> None:
    used = {edge.operation for cell in (*CANDIDATES, REFERENCE) for edge in cell.edges}
    assert used == {name for name in DEFAULT_OPERATIONS if name != "none"}
