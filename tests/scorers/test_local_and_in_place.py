"""The local model of the loss, and the true loss that it stands for, against finite differences."""

import copy

import pytest
import torch
from torch.nn import functional as F

from autospace.networks.cells import CellModule
from autospace.networks.features import LayerInput, LayerTrace, layer_traces
from autospace.networks.network import Network
from autospace.scorers.context import inherit
from autospace.scorers.local import local_model, loss_with
from autospace.spaces import Cell, mbconv
from autospace.training.task import CLASSIFICATION
from tests.scorers.conftest import SKELETON, examples

EPSILON = 1e-5


@pytest.fixture
def exact(reference: Network) -> Network:
    return copy.deepcopy(reference).double()


def batch(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    drawn = examples(count, 9)
    return drawn.images.double() / 100 - 1, drawn.labels


@pytest.mark.parametrize("layer", range(3))
def test_a_trace_holds_the_gradient_of_each_images_own_loss(exact: Network, layer: int) -> None:
    images, labels = batch()
    trace = layer_traces(CLASSIFICATION.loss, exact, images, labels)[layer]
    direction = torch.randn(trace.y.shape, generator=torch.Generator().manual_seed(1)).double()

    def losses(step: float) -> torch.Tensor:
        class Shifted(torch.nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return trace.y + step * direction

        logits = changed(exact, layer, Shifted())(images)
        return F.cross_entropy(logits, labels, reduction="none")

    slope = (losses(EPSILON) - losses(-EPSILON)) / (2 * EPSILON)
    expected = (trace.g * direction).sum(dim=(1, 2, 3))
    torch.testing.assert_close(slope, expected, rtol=1e-5, atol=1e-8)


def changed(network: Network, layer: int, module: torch.nn.Module) -> Network:
    other = copy.deepcopy(network)
    other.layers[layer] = module
    return other


def test_the_local_model_is_the_quadratic_of_its_definition() -> None:
    generator = torch.Generator().manual_seed(2)
    x, y, g, output = (torch.randn(4, 2, 3, 3, generator=generator).double() for _ in range(4))
    by_hand = sum(
        float((g[i] * (output[i] - y[i])).sum() + 0.7 / 2 * ((output[i] - y[i]) ** 2).sum())
        for i in range(4)
    )
    assert float(local_model(LayerTrace(x, y, g), output, 0.7)) == pytest.approx(by_hand)
    assert float(local_model(LayerTrace(x, y, g), y, 0.7)) == 0


@pytest.mark.parametrize("layer", range(3))
def test_in_place_loss_is_that_of_the_network_with_the_cell_swapped(
    exact: Network, layer: int
) -> None:
    images, labels = batch()
    shape = SKELETON.shapes[layer]
    module = CellModule(mbconv(5, 6), shape).double().eval()
    expected = F.cross_entropy(changed(exact, layer, module)(images), labels)
    seen = LayerInput(exact.before(images, layer), labels)
    found = loss_with(exact, CLASSIFICATION, layer, module, seen)
    torch.testing.assert_close(found, expected)


def test_the_reference_cell_inherits_the_reference_function(reference: Network) -> None:
    donor = reference.cell(0)
    heir = CellModule(mbconv(3, 3), SKELETON.shapes[0]).eval()
    torch.manual_seed(3)
    inherit(heir, donor)
    # A tenth of the heir's own kernels stays in it; without them it is the donor.
    for name, operation in heir.operations.named_children():
        given = donor.operations.get_submodule(name)
        operation.load_state_dict(given.state_dict())
    x = torch.randn(2, 6, 8, 8)
    torch.testing.assert_close(heir(x), donor(x))


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_an_heir_has_the_donors_kernel_in_the_middle_of_its_own(
    reference: Network, kernel: int
) -> None:
    donor = reference.cell(0)
    heir = CellModule(mbconv(kernel, 6), SKELETON.shapes[0])
    given = donor.operations.get_submodule("0_3").get_submodule("0").get_parameter("weight")
    own = heir.operations.get_submodule("0_3").get_submodule("0").get_parameter("weight")
    before = own.detach().clone()
    inherit(heir, donor)
    shared, margin = len(given), (kernel - 3) // 2
    middle = (slice(None), slice(None), *(slice(margin, margin + 3),) * 2)
    added = own[:shared] - 0.1 * before[:shared]
    torch.testing.assert_close(added[middle], given)
    assert torch.equal(own[shared:], before[shared:])


def test_a_cell_of_another_expansion_inherits_the_channels_that_both_have(
    reference: Network,
) -> None:
    donor = reference.cell(1)
    cell = Cell.from_edges([(0, 3, "avg_pool_3x3")], expansion=6)
    heir = CellModule(cell, SKELETON.shapes[1])
    inherit(heir, donor)
    given = donor.expand.get_submodule("0").get_parameter("weight")
    taken = heir.expand.get_submodule("0").get_parameter("weight")
    assert torch.equal(taken[: len(given)], given)
