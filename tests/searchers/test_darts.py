"""DARTS: both orders against finite differences, and each guard by what it promises."""

import math
import random
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from autospace.searchers.gradient import darts
from autospace.searchers.gradient.darts import Darts, is_weight_free
from autospace.searchers.gradient.search import ExpectedCost
from autospace.searchers.make import make_method
from autospace.spaces import Budget, Cell, Edge, load, mbconv
from autospace.spaces.cells.dense_cell import DenseCell
from autospace.spaces.files.families import family_space
from autospace.supernets.supernet import snapshot
from tests.searchers.planted import solved
from tests.searchers.problems import SKELETON, make_problem
from tests.searchers.slopes import Rows, double_method, slopes, smoothen

SPACE = family_space("mbconv", SKELETON)
RATE = 0.05


def make(**options: Any) -> Darts:
    method = double_method("darts", options=options)
    assert isinstance(method, Darts)
    return method


def fresh(steps: int = 8, budget: Budget = Budget(), **options: Any) -> Darts:  # noqa: B008
    method = make_method(
        make_problem(method="darts", budget=budget, options=options, supernet={"steps": steps})
    )
    assert isinstance(method, Darts)
    return method


def mixture_loss(method: Darts, split: str, rows: Rows) -> torch.Tensor:
    images, labels = getattr(method.problem, split).batch(0)
    mixes = [row.softmax(0) for row in rows]
    return F.cross_entropy(method.weights.supernet.mixture(images, mixes), labels)


def test_first_order_is_the_slope_of_the_validation_loss_and_its_cost() -> None:
    method = make(cost_form="additive", cost_weight=0.5)
    cost = ExpectedCost(method.problem.choices, method._options, method.problem.device)

    @torch.no_grad()
    def loss(rows: Rows) -> torch.Tensor:
        mixes = [row.softmax(0) for row in rows]
        target = method.problem.choices.space.madds.mean
        excess = (cost.expected(mixes) - target) / target
        return mixture_loss(method, "validation", rows) + 0.5 * excess

    exact = slopes(loss, method.alphas.values)
    for row, slope in zip(method.gradients(0), exact, strict=True):
        assert torch.allclose(row, slope, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("steps_before", [0, 2])
def test_second_order_is_the_slope_of_the_unrolled_objective(steps_before: int) -> None:
    """The oracle does the step with torch's own SGD; activations are smooth, as calculus wants."""
    method = make()
    smoothen(method.weights.supernet)
    supernet, optimizer = method.weights.supernet, method.weights.optimizer
    for group in optimizer.param_groups:
        group["lr"] = RATE
    for _ in range(steps_before):  # so that there is momentum
        optimizer.zero_grad(set_to_none=True)
        mixture_loss(method, "training", method.alphas.values).backward()
        optimizer.step()
    weights = {k: v.clone() for k, v in supernet.state_dict().items()}
    momentum = {
        p: state["momentum_buffer"].clone()
        for p, state in optimizer.state.items()
        if state.get("momentum_buffer") is not None
    }

    def objective(rows: Rows) -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        mixture_loss(method, "training", rows).backward()
        optimizer.step()
        loss = mixture_loss(method, "validation", rows).detach()
        supernet.load_state_dict(weights)
        for parameter in list(optimizer.state):
            if parameter in momentum:
                optimizer.state[parameter]["momentum_buffer"] = momentum[parameter].clone()
            else:
                optimizer.state.pop(parameter)
        return loss

    exact = slopes(objective, method.alphas.values)
    found = darts.unrolled_gradients(
        supernet,
        optimizer,
        RATE,
        method.alphas.values,
        lambda: mixture_loss(method, "training", method.alphas.values),
        lambda: mixture_loss(method, "validation", method.alphas.values),
    )
    first = method.gradients(0)
    error = torch.cat(found) - torch.cat(exact)
    assert error.norm() < 1e-4 * torch.cat(exact).norm()
    # What the second order adds is far above that error.
    assert (torch.cat(first) - torch.cat(exact)).norm() > 10 * error.norm()


def test_the_second_order_leaves_weights_statistics_and_momentum_bit_by_bit() -> None:
    method = fresh(order=2, warm_up=0.0)
    method.weights.step(0, [method.weight_loss(0)])
    before = {k: v.clone() for k, v in method.weights.state().tensors.items()}
    held = [p.requires_grad for p in method.weights.supernet.parameters()]
    method.gradients(1)
    after = method.weights.state().tensors
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
    assert held == [p.requires_grad for p in method.weights.supernet.parameters()]


def test_a_snapshot_is_given_back_after_an_error() -> None:
    module = torch.nn.BatchNorm2d(2)

    def interrupted() -> None:
        with snapshot(module):
            module.weight.detach().fill_(9)
            module(torch.randn(4, 2, 3, 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert module.weight.tolist() == [1, 1]
    assert module.running_mean is not None
    assert module.running_mean.tolist() == [0, 0]


def test_no_weight_has_a_gradient_after_an_alpha_step() -> None:
    method = fresh(warm_up=0.0)
    method.alpha_step(0)
    assert all(p.grad is None for p in method.weights.supernet.parameters())


def test_all_candidates_of_a_layer_keep_one_output_scale() -> None:
    method = fresh(warm_up=0.0)
    for index in range(4):
        method.step(index)
    for modules in method.weights.supernet.choices:
        for module in modules:
            if module.project is not None:
                norm = module.project.norm
                assert torch.equal(norm.weight, torch.ones_like(norm.weight))
                assert not norm.bias.any()


def test_alpha_rests_through_the_warm_up() -> None:
    method = fresh(steps=8, warm_up=0.5)
    start = [value.detach().clone() for value in method.alphas.values]
    for index in range(8):
        method.step(index)
        same = [torch.equal(a, b) for a, b in zip(start, method.alphas.values, strict=True)]
        assert all(same) == (index < 4)


def test_weight_free_cells_are_those_of_skips_and_poolings() -> None:
    assert not is_weight_free(mbconv(3, 6))
    assert is_weight_free(Cell.from_edges([], nodes=3))
    pooled = [(0, 1, "max_pool_3x3"), (1, 2, "skip_connect")]
    assert is_weight_free(Cell.from_edges(pooled, nodes=3))
    assert not is_weight_free(Cell.from_edges([*pooled, (0, 2, "dw_conv_3x3")], nodes=3))
    dead = [(0, 2, "skip_connect"), (0, 1, "dw_conv_3x3")]  # node 1 leads nowhere
    assert is_weight_free(Cell.from_edges(dead, nodes=3))


def test_weight_free_cells_of_every_family_of_images_are_known() -> None:
    dense: Any = [DenseCell.of([name] * 6) for name in ("skip_connect", "nor_conv_3x3")]
    dead: Any = DenseCell.of(["nor_conv_1x1", "none", "none", "avg_pool_3x3", "none", "none"])
    edges: Any = [DenseCell.on(Edge(0, 1, name)) for name in ("avg_pool_3x3", "nor_conv_1x1")]
    assert [is_weight_free(cell) for cell in (*dense, dead, *edges)] == [
        True, False, True, True, False,
    ]  # fmt: skip
    for space in ("conv@resnet20", "binary@digits", "bats@bats-small", "ofa@ofa-small"):
        for layer in load(space).layers:
            assert not all(is_weight_free(each.cell) for each in layer.candidates)


@pytest.mark.parametrize(("leading", "moves"), [(1, True), (2, False)])
def test_alpha_stops_once_too_many_layers_are_led_by_weight_free_candidates(
    leading: int, moves: bool
) -> None:
    method = fresh(warm_up=0.0, weight_free_limit=0.5, alpha_travel=1e-3)
    layers = method.problem.choices.space.layers
    free = [
        [k for k, each in enumerate(layer.candidates) if is_weight_free(each.cell)]
        for layer in layers
    ]
    assert sum(map(bool, free)) == 2  # of three layers, those with a shortcut can be skipped
    chosen = [indices[0] for indices in free if indices][:leading]
    with_skip = [layer for layer, indices in enumerate(free) if indices][:leading]
    for layer, alpha in enumerate(method.alphas.values):
        alpha.detach().zero_()
        alpha.detach()[chosen[with_skip.index(layer)] if layer in with_skip else 1] = 5
    method.alpha_step(0)
    assert method.weight_free == pytest.approx(leading / len(layers))
    before = [value.detach().clone() for value in method.alphas.values]
    method.alpha_step(1)
    pairs = zip(before, method.alphas.values, strict=True)
    assert moves != all(torch.equal(a, b) for a, b in pairs)


def test_perturbation_keeps_what_the_loss_rises_without() -> None:
    """The first layer decided, by hand: leave each candidate out of the mixture."""
    method = fresh(steps=2, selection="perturbation", tuning=0)
    for index in range(2):
        method.step(index)
    supernet, problem = method.weights.supernet.train(), method.problem
    mixes = [value.detach().softmax(0) for value in method.alphas.values]

    @torch.no_grad()
    def loss(layer: int, index: int) -> float:
        rows = [row.clone() for row in mixes]
        rows[layer][index] = 0
        batches = [problem.validation.batch(step) for step in range(2)]
        values = [float(F.cross_entropy(supernet.mixture(x, rows), y)) for x, y in batches]
        return math.fsum(values) / 2

    method.step(2)
    (layer,) = (k for k, row in enumerate(method._selection.rises) if any(row))
    kept = int(method._selection.mixes(mixes)[layer].argmax())
    losses = [loss(layer, index) for index in range(problem.choices.sizes[layer])]
    assert kept == losses.index(max(losses))
    for index in range(3, method.steps):
        method.step(index)
    assert method.ranked()[0].path == method.derived
    assert method.derived[layer] == kept


@pytest.mark.parametrize("seed", range(3))
def test_perturbation_keeps_the_limits(seed: int) -> None:
    rng = random.Random(seed)
    most = int(SPACE.madds.min + rng.random() * 0.3 * (SPACE.madds.max - SPACE.madds.min))
    method = fresh(1, Budget(max_madds=most), selection="perturbation", tuning=1)
    for index in range(method.steps):
        method.step(index)
    for each in method.ranked():
        assert method.problem.choices.cost(each.path).madds <= most


def test_the_planted_candidates_are_found() -> None:
    found = solved("darts", 0, 80)
    assert found.share >= 0.8
    assert found.chance < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"order": 2}, {"selection": "perturbation"}, {}])
def test_the_planted_candidates_are_found_by_most_seeds(options: dict[str, Any]) -> None:
    shares = [solved("darts", seed, 150, **options).share for seed in range(4)]
    assert sum(shares) / len(shares) >= 0.8
