"""The probe: a cell and its classifier, against the same computation written out."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from autospace.compute.execution import PLAIN
from autospace.networks.cells import CellModule
from autospace.networks.features import Steps, layer_inputs
from autospace.networks.network import Network, build_cell
from autospace.scorers.probe import Probe
from autospace.spaces import LayerShape, mbconv
from autospace.spaces.cells.dense_cell import DenseCell
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


def test_before_convolutions_with_activations_first_a_probe_normalises_as_the_head_does() -> None:
    # A cell without normalisation of its own: whatever passes it, the scale does not matter.
    shape = LayerShape("layer_00", 4, 4, 1, 6, around=False)
    cell: Any = DenseCell.of(["skip_connect"])
    probe = Probe(build_cell(cell, shape), shape, 3, 2).double().train()
    x = torch.randn(5, 4, 6, 6).double()
    output = F.batch_norm(x, None, None, training=True).clamp_min(0)
    pooled = F.adaptive_avg_pool2d(output, 2).reshape(5, -1)
    expected = pooled @ probe.classifier.weight.T + probe.classifier.bias
    torch.testing.assert_close(probe(x), expected)
    torch.testing.assert_close(probe(100 * x), probe(x), rtol=1e-3, atol=1e-4)


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
