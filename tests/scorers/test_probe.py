"""The probe: a cell and its classifier, against the same computation written out."""

import pytest
import torch
from torch.nn import functional as F

from autospace.compute.execution import PLAIN
from autospace.networks.cells import CellModule
from autospace.networks.features import Steps, layer_inputs
from autospace.networks.network import Network
from autospace.scorers.probe import Probe
from autospace.spaces import mbconv
from tests.scorers.conftest import SKELETON, MakeSetting


@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize("pool", [1, 2, 5])
def test_a_probe_is_relu_pooling_and_a_linear_layer_on_the_layers_output(
    layer: int, pool: int
) -> None:
    shape = SKELETON.shapes[layer]
    cell = CellModule(mbconv(3, 3), shape).double()
    probe = Probe(cell, shape, 3, pool).double().eval()
    x = torch.randn(4, shape.in_channels, shape.resolution, shape.resolution).double()
    output = cell(x) + (x if layer != 1 else 0)
    side = min(pool, shape.out_resolution)
    pooled = F.adaptive_avg_pool2d(output.clamp_min(0), side).reshape(4, -1)
    expected = pooled @ probe.classifier.weight.T + probe.classifier.bias
    torch.testing.assert_close(probe(x), expected)


def test_layer_inputs_are_those_of_the_reference_and_are_remembered(
    reference: Network, make_setting: MakeSetting
) -> None:
    source = make_setting().training
    inputs = Steps(reference, source, layer_inputs, PLAIN, 1 << 20)
    images, labels = source.batch(2)
    for layer, given in enumerate(inputs.at(2, range(3))):
        torch.testing.assert_close(given.x, reference.before(images, layer))
        assert torch.equal(given.labels, labels)
    # Of other layers than those asked for nothing is kept.
    (last,) = inputs.at(3, [2])
    assert inputs.at(3, [2]) == [last]
    assert inputs.at(3, [1, 2])[1].x is not last.x
    assert inputs.at(3, [1, 2])[1].x is last.x
