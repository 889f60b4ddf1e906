"""Zero-cost scores against loops and finite differences."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from autospace.evaluators.make import make_evaluator
from autospace.evaluators.stand_alone import new_network
from autospace.evaluators.zero_cost import LOWEST, ZeroCostEvaluator, naswot, synflow
from tests.evaluators.setups import architecture, first_batch, images, setup

CPU = torch.device("cpu")


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
    assert naswot(fresh, batch) == pytest.approx(float(wanted.det().abs().log()), rel=1e-6)


def test_synflow_is_the_sum_over_finite_differences() -> None:
    ones = torch.ones(1, 1, 8, 8)
    network = new_network(architecture(0, 1), 0, CPU)
    found = synflow(network, ones)
    twin = new_network(architecture(0, 1), 0, CPU).double().eval()
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


@pytest.mark.parametrize("method", ["naswot", "synflow"])
def test_scores_follow_from_network_and_seed(tmp_path: Path, method: str) -> None:
    some = setup(tmp_path, method=method)
    evaluator = make_evaluator(some, some.images())
    one, same = (evaluator.evaluate(architecture(0, 1), 0) for _ in range(2))
    assert one == same != evaluator.evaluate(architecture(2, 2), 0)
    assert one != evaluator.evaluate(architecture(0, 1), 1)
    assert one.loss is None


def test_a_score_that_is_no_number_is_the_lowest(tmp_path: Path) -> None:
    evaluator = ZeroCostEvaluator(images(tmp_path), lambda _network, _images: float("nan"))
    assert evaluator.evaluate(architecture(0, 0), 0).score == LOWEST
