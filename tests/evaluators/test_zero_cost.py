"""Zero-cost scores against loops and finite differences."""

import math
import random
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from autospace.evaluators.make import make_evaluator
from autospace.evaluators.stand_alone import new_network
from autospace.evaluators.zero_cost import (
    ACTIVATIONS,
    LOWEST,
    ZeroCostEvaluator,
    grad_norm,
    jacob_cov,
    naswot,
    snip,
    synflow,
)
from autospace.networks.network import Network
from autospace.spaces import load
from tests.evaluators.setups import architecture, first_batch, images, setup

CPU = torch.device("cpu")
LABELS = torch.arange(6) % 3


def _double(*choices: int) -> Network:
    return new_network(architecture(*choices), 0, CPU).double()


def _loss_slopes(batch: torch.Tensor) -> list[tuple[float, float]]:
    """Every weight and dL/dw by central differences."""
    network, step = _double(0, 1).train(), 1e-5
    found = []
    with torch.no_grad():
        for parameter in network.parameters():
            flat = parameter.view(-1)
            for index in range(len(flat)):
                before = float(flat[index])
                losses = []
                for sign in (1, -1):
                    flat[index] = before + sign * step
                    losses.append(float(F.cross_entropy(network(batch), LABELS)))
                flat[index] = before
                found.append((before, (losses[0] - losses[1]) / (2 * step)))
    return found


def test_naswot_counts_the_units_on_which_two_images_agree(tmp_path: Path) -> None:
    batch = first_batch(images(tmp_path), 6)
    network = new_network(architecture(0, 2), 0, CPU)
    units: list[torch.Tensor] = []
    for part in network.modules():
        if isinstance(part, nn.ReLU6):
            part.register_forward_hook(lambda _m, _i, out: units.append(out.flatten(1) > 0))
    network.train()(batch)
    on = torch.cat(units, dim=1)
    kernel = [[float((one == other).sum()) for other in on] for one in on]
    wanted = torch.tensor(kernel, dtype=torch.float64) + 1e-6 * torch.eye(6)
    fresh = new_network(architecture(0, 2), 0, CPU)
    assert naswot(fresh, batch, LABELS) == pytest.approx(float(wanted.det().abs().log()), rel=1e-6)


def test_synflow_is_the_sum_over_finite_differences() -> None:
    ones = torch.ones(1, 1, 8, 8)
    network = new_network(architecture(0, 1), 0, CPU)
    found = synflow(network, ones, LABELS[:1])
    twin = new_network(architecture(0, 1), 0, CPU).double().eval()
    for part in list(twin.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.ReLU6):  # the published network has ReLU
                setattr(part, name, nn.ReLU())
    total, step = 0.0, 1e-6
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.abs_()
        flow = float(twin(ones.double()).sum())
        for parameter in twin.parameters():
            flat = parameter.view(-1)
            for index in range(len(flat)):
                before = float(flat[index])
                flat[index] = before + step
                total += abs(before * (float(twin(ones.double()).sum()) - flow) / step)
                flat[index] = before
    assert found == pytest.approx(math.log(total), rel=1e-4)


def test_synflow_flows_through_networks_with_relu6() -> None:
    space = load("nasbench-macro@nasbench-macro")
    network = new_network(space.sample(random.Random(0)), 0, CPU)
    synflow(network, torch.ones(1, 3, 32, 32), LABELS[:1])
    grads = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    assert float((grads == 0).double().mean()) < 0.01


@pytest.mark.parametrize("source", ["bats@bats-small", "binary@digits", "ofa@ofa-small"])
def test_naswot_hears_every_activation_of_every_family(source: str) -> None:
    space = load(source)
    shape = (6, space.skeleton.in_channels, 32, 32)
    batch = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    network = new_network(space.sample(random.Random(0)), 0, CPU)
    own = [part for part in network.modules() if type(part).__module__.endswith("activation")]
    assert {*map(type, own)} <= {*ACTIVATIONS}
    heard: list[nn.Module] = []
    for part in own:
        part.register_forward_pre_hook(lambda module, _: heard.append(module))
    assert math.isfinite(naswot(network, batch, LABELS))
    assert len(heard) > len(space.layers)


def test_snip_and_the_gradient_norm_are_those_of_finite_differences(tmp_path: Path) -> None:
    batch = first_batch(images(tmp_path), 6).double()
    slopes = _loss_slopes(batch)
    assert snip(_double(0, 1), batch, LABELS) == pytest.approx(
        sum(abs(weight * slope) for weight, slope in slopes), rel=1e-3
    )
    total, rest = 0.0, iter(slopes)
    for parameter in _double(0, 1).parameters():
        total += math.hypot(*(next(rest)[1] for _ in range(parameter.numel())))
    assert grad_norm(_double(0, 1), batch, LABELS) == pytest.approx(total, rel=1e-3)


def test_jacob_cov_is_that_of_gradients_image_by_image(tmp_path: Path) -> None:
    batch = first_batch(images(tmp_path), 6).double()
    network = _double(0, 1)
    found = jacob_cov(network, batch, LABELS)
    # The network now normalises by the batch's statistics, as constants: an image at a time.
    rows = []
    for image in batch:
        one = image[None].clone().requires_grad_()
        rows.append(torch.autograd.grad(network(one).sum(), one)[0].flatten())
    values = torch.linalg.eigvalsh(torch.corrcoef(torch.stack(rows))) + 1e-5
    assert found == pytest.approx(-float((values.log() + 1 / values).sum()), rel=1e-6)
    assert float((values - 1e-5).sum()) == pytest.approx(6)


def test_jacob_cov_prefers_images_whose_gradients_differ(tmp_path: Path) -> None:
    batch = first_batch(images(tmp_path), 6)
    alike = batch[:1].repeat(6, 1, 1, 1) + 1e-3 * batch
    one, other = (new_network(architecture(0, 1), 0, CPU) for _ in range(2))
    assert jacob_cov(one, batch, LABELS) > jacob_cov(other, alike, LABELS)


@pytest.mark.parametrize("method", ["naswot", "synflow"])
def test_scores_follow_from_network_and_seed(tmp_path: Path, method: str) -> None:
    some = setup(tmp_path, method=method)
    evaluator = make_evaluator(some, some.images())
    one, same = (evaluator.evaluate(architecture(0, 1), 0) for _ in range(2))
    assert one == same != evaluator.evaluate(architecture(2, 2), 0)
    assert one != evaluator.evaluate(architecture(0, 1), 1)
    assert one.loss is None


def test_a_score_that_is_no_number_is_the_lowest(tmp_path: Path) -> None:
    evaluator = ZeroCostEvaluator(images(tmp_path), lambda *_: float("nan"))
    assert evaluator.evaluate(architecture(0, 0), 0).score == LOWEST
