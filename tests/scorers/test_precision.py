"""Scoring in bfloat16: what stays float32, and how far fitness moves."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from autospace.compute.execution import PLAIN, Execution, widened
from autospace.networks.network import Network
from autospace.scorers import mixture
from autospace.scorers.context import ReferenceSupernet, ScoringContext
from autospace.scorers.gated import GatedScorer, train_single_path
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import Cell
from autospace.training.short import Recipe, train
from tests.scorers.conftest import SKELETON, MakeSetting
from tests.slow import slowly

BFLOAT16 = Execution(precision=torch.bfloat16)
Cells = list[list[Cell]]


def _half(setting: ScoringContext) -> ScoringContext:
    return replace(setting, execution=BFLOAT16)


def _flat(table: list[list[float]]) -> torch.Tensor:
    return torch.tensor([value for layer in table for value in layer])


def _kinds(network: nn.Module, run: Callable[[], object]) -> set[tuple[str, torch.dtype]]:
    """Which modules gave out which numbers during a run."""
    seen: set[tuple[str, torch.dtype]] = set()

    def note(module: nn.Module, _given: object, found: torch.Tensor) -> None:
        seen.add((type(module).__name__, found.dtype))

    hooks = [part.register_forward_hook(note) for part in network.modules()]
    run()
    for hook in hooks:
        hook.remove()
    return seen


def test_networks_compute_in_the_precision_and_nothing_else_does(reference: Network) -> None:
    images = torch.randn(4, 3, 8, 8)

    def forward() -> None:
        for execution in (PLAIN, BFLOAT16):
            with execution.autocast():
                reference(images)

    kinds = _kinds(reference, forward)
    for name in ("Conv2d", "BatchNorm2d", "ReLU6", "Linear", "CellModule"):
        assert {(name, torch.float32), (name, torch.bfloat16)} <= kinds
    assert not torch.is_autocast_enabled("cpu")


def test_training_in_bfloat16_keeps_weights_statistics_momentum_and_loss_in_float32(
    make_setting: MakeSetting,
) -> None:
    setting = make_setting()
    network = Network(SKELETON, [setting.reference.cell(layer).cell for layer in range(3)])
    losses: list[torch.Tensor] = []
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    train(
        network,
        setting.training,
        Recipe(3, 0.05),
        optimizer=optimizer,
        after_step=lambda _, loss: losses.append(loss),
        execution=BFLOAT16,
    )
    states = [state["momentum_buffer"] for state in optimizer.state.values()]
    floats = [value for value in network.state_dict().values() if value.is_floating_point()]
    gradients = [parameter.grad for parameter in network.parameters()]
    for tensor in [*states, *floats, *losses, *gradients]:
        assert tensor is not None
        assert tensor.dtype == torch.float32
    assert any("running_var" in name for name in network.state_dict())


@pytest.mark.parametrize(
    ("method", "most"),
    [("probe", 0.01), *slowly(("local", 0.01), ("in-place", 0.01), ("distilled", 0.01))],
)
def test_lone_candidates_score_alike_in_bfloat16(
    method: ScoringMethod, most: float, make_setting: MakeSetting, cells: Cells
) -> None:
    plain = _flat(make_scorer(make_setting(method)).score(cells, 0))
    half = _flat(make_scorer(_half(make_setting(method))).score(cells, 0))
    assert not torch.equal(plain, half)
    # The candidates are further apart than the precision moves them.
    assert float((plain - half).abs().max()) < most < float(plain.std())


def test_gate_gradients_are_those_of_float32_to_a_few_percent(
    make_setting: MakeSetting, cells: Cells
) -> None:
    setting = make_setting("gated")
    supernet = ReferenceSupernet(setting, cells, 0)
    train_single_path(supernet, setting, 0)
    plain, half = (
        _flat(GatedScorer(each)._gate_gradients(supernet, 0)) for each in (setting, _half(setting))
    )
    assert not torch.equal(plain, half)
    torch.testing.assert_close(half, plain, rtol=0.05, atol=0.002)


def test_alphas_get_the_gradients_of_float32_to_a_few_percent(
    make_setting: MakeSetting, cells: Cells
) -> None:
    setting = make_setting("mixture", cost_weight=0.1)
    found = []
    for each in (setting, _half(setting)):
        search = mixture.MixtureSearch(ReferenceSupernet(setting, cells, 0), each)
        search.train_alphas(setting.validation.batch(0))
        assert {alpha.dtype for alpha in search.alphas} == {torch.float32}
        assert {total.dtype for total in search.totals} == {torch.float32}
        found.append(torch.cat(search.totals))
    assert not torch.equal(*found)
    torch.testing.assert_close(found[1], found[0], rtol=0.05, atol=0.01)


def test_only_bfloat16_is_widened() -> None:
    for dtype in (torch.float32, torch.float64, torch.int64):
        tensor = torch.ones(2, dtype=dtype)
        assert widened(tensor) is tensor
    assert widened(torch.ones(2, dtype=torch.bfloat16)).dtype == torch.float32
