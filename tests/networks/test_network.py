"""Networks: stem, layers with shortcuts, head; and what a trace hands out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from autospace.networks.cells import CellModule
from autospace.networks.network import Network, joined
from autospace.spaces import Cell, LayerShape, LayerSpec, Skeleton, Stem, mbconv
from tests.strategies import cells, skeletons

TINY = Skeleton("tiny", 1, 6, 3, Stem(3, 1, 2), (LayerSpec(2), LayerSpec(4, 2)), head=5)


def images(skeleton: Skeleton) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    side = skeleton.resolution
    shape = (2, skeleton.in_channels, side, side)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def network_of(skeleton: Skeleton, chosen: list[Cell]) -> Network:
    torch.manual_seed(0)
    return Network(skeleton, chosen).double().eval()


@st.composite
def networks(draw: st.DrawFn) -> Network:
    skeleton = draw(skeletons(most_layers=3, most_resolution=9))
    chosen = [draw(cells(most_nodes=4, zero=shape.shortcut)) for shape in skeleton.shapes]
    return network_of(skeleton, chosen)


@given(networks())
@settings(max_examples=25)
def test_a_network_gives_one_logit_per_image_and_class(network: Network) -> None:
    logits = network(images(network.skeleton))
    assert logits.shape == (2, network.skeleton.classes)


@given(networks())
@settings(max_examples=25)
def test_every_layer_receives_and_returns_what_its_shape_says(network: Network) -> None:
    trace = network.trace(images(network.skeleton))
    for shape, x, y in zip(network.skeleton.shapes, trace.inputs, trace.outputs, strict=True):
        assert x.shape == (2, shape.in_channels, shape.resolution, shape.resolution)
        side = shape.out_resolution
        assert y.shape == (2, shape.out_channels, side, side)


@given(networks())
@settings(max_examples=25)
def test_the_logits_of_a_trace_are_the_networks(network: Network) -> None:
    x = images(network.skeleton)
    assert torch.equal(network.trace(x).logits, network(x))


@given(networks())
@settings(max_examples=25)
def test_the_rest_from_any_layer_on_ends_in_the_same_logits(network: Network) -> None:
    x = images(network.skeleton)
    trace = network.trace(x)
    for start, received in enumerate(trace.inputs):
        assert torch.equal(network.rest(received, start), trace.logits)


def test_a_network_is_its_stem_its_layers_and_its_head_one_after_another() -> None:
    network = network_of(TINY, [mbconv(3, 3), mbconv(5, 6)])
    values = network.state_dict()
    for name, value in values.items():
        if name.endswith("running_mean"):
            value.normal_()

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        statistics = (values[f"{name}.running_mean"], values[f"{name}.running_var"])
        return F.batch_norm(x, *statistics, values[f"{name}.weight"], values[f"{name}.bias"])

    x = images(TINY)
    y = F.conv2d(x, values["stem.0.0.weight"], padding=1)
    y = F.relu6(norm(y, "stem.0.1"))
    for part in (network.stem[1], network.layers[0], network.layers[1]):
        assert isinstance(part, CellModule)
        # The stem's block changes the width, the second layer the side: no shortcut there.
        y = part(y) + (y if part is network.layers[0] else 0)
    y = F.relu6(norm(F.conv2d(y, values["head.0.weight"]), "head.1"))
    logits = y.mean((2, 3)) @ values["classifier.weight"].T + values["classifier.bias"]
    torch.testing.assert_close(network(x), logits)


def test_a_layer_without_a_path_hands_its_input_on() -> None:
    skipped = Cell.from_edges([], expansion=1)
    network = network_of(TINY, [skipped, mbconv(3, 1)])
    trace = network.trace(images(TINY))
    assert torch.equal(trace.inputs[1], trace.inputs[0])


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_of_a_trace_are_finite_differences_of_the_loss(frozen: bool) -> None:
    network = network_of(TINY, [mbconv(3, 3), mbconv(3, 1, se=True)])
    for parameter in network.parameters():
        parameter.requires_grad_(not frozen)
    labels = torch.tensor([0, 2])

    def loss_with(layer: int, moved: torch.Tensor) -> float:
        """The loss if this layer's cell returned something else."""
        with torch.no_grad():
            x = trace.inputs[layer]
            after = joined(TINY.shapes[layer], x, moved)
            return F.cross_entropy(network.rest(after, layer + 1), labels).item()

    trace = network.trace(images(TINY))
    gradients = torch.autograd.grad(F.cross_entropy(trace.logits, labels), trace.outputs)
    generator = torch.Generator().manual_seed(1)
    for layer, (y, gradient) in enumerate(zip(trace.outputs, gradients, strict=True)):
        direction = torch.randn(y.shape, generator=generator, dtype=torch.float64)
        step = 1e-5 * direction
        difference = (loss_with(layer, y + step) - loss_with(layer, y - step)) / 2e-5
        torch.testing.assert_close(
            (gradient * direction).sum().item(), difference, rtol=1e-5, atol=1e-9
        )


def test_a_trace_without_gradients_needs_none() -> None:
    network = network_of(TINY, [mbconv(3, 3), mbconv(3, 1)])
    with torch.no_grad():
        trace = network.trace(images(TINY))
    assert not any(x.requires_grad for x in (*trace.inputs, *trace.outputs, trace.logits))


def test_stages_pair_the_layers_with_their_shapes() -> None:
    network = network_of(TINY, [mbconv(3, 3), mbconv(3, 1)])
    wanted = [LayerShape("layer_00", 2, 2, 1, 6), LayerShape("layer_01", 2, 4, 2, 6)]
    assert [shape for shape, _ in network.stages()] == wanted


@pytest.mark.parametrize("count", [1, 3])
def test_a_network_needs_one_cell_per_layer(count: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        Network(TINY, [mbconv(3, 1)] * count)
