"""Drop-path: nothing at 0, the same mean at any p, no draw that depends on another layer."""

import pytest
import torch

from autospace.networks.network import Network
from autospace.spaces import LayerSpec, Skeleton, Stem, mbconv
from autospace.training.drop_path import (
    Scales,
    as_scales,
    draw_rows,
    drop_probabilities,
    forward_dropped,
)

LAYERS = (LayerSpec(4), LayerSpec(6, 2), LayerSpec(6), LayerSpec(6))
SKELETON = Skeleton("four", 1, 8, 3, Stem(4, 1), LAYERS)
CPU = torch.device("cpu")


def draw_scales(probabilities: list[float], images: int, seed: int, device: torch.device) -> Scales:
    return as_scales(probabilities, draw_rows(probabilities, images, seed, device))


def _network() -> Network:
    torch.manual_seed(0)
    return Network(SKELETON, [mbconv(3, 3)] * 4).double().eval()


def _images(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 1, 8, 8, generator=generator, dtype=torch.float64)


def test_the_probability_rises_with_depth_and_needs_a_shortcut() -> None:
    assert drop_probabilities(SKELETON, 0.4) == pytest.approx([0.1, 0.0, 0.3, 0.4])
    assert drop_probabilities(SKELETON, 0.0) == [0.0] * 4


def test_at_zero_it_is_the_network_itself() -> None:
    network, images = _network(), _images(5)
    scales = draw_scales([0.0] * 4, 5, 0, CPU)
    assert torch.equal(forward_dropped(network, images, scales), network(images))


def test_a_dropped_cell_leaves_its_input() -> None:
    network, images = _network(), _images(2)
    scale = torch.tensor([0.0, 1.0])
    found = forward_dropped(network, images, [None, None, scale, None])
    x = network.before(images, 2)
    without = network.rest(x, 3)
    torch.testing.assert_close(found[0], without[0])
    torch.testing.assert_close(found[1], network(images)[1])


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_mean_output_of_a_layer_stays(probability: float) -> None:
    (scale,) = draw_scales([probability], 40_000, 0, CPU)
    assert scale is not None
    assert sorted(set(scale.tolist())) == pytest.approx([0.0, 1 / (1 - probability)])
    # Six standard errors of a scaled Bernoulli draw.
    spread = (probability / (1 - probability) / 40_000) ** 0.5
    assert float(scale.mean()) == pytest.approx(1.0, abs=6 * spread)


def test_draws_depend_on_seed_and_layer_alone() -> None:
    both = draw_scales([0.5, 0.5], 64, 7, CPU)
    second = draw_scales([0.0, 0.5], 64, 7, CPU)
    assert both[0] is not None
    assert both[1] is not None
    assert second[0] is None
    assert second[1] is not None
    assert torch.equal(both[1], second[1])
    assert not torch.equal(both[0], both[1])
    other = draw_scales([0.0, 0.5], 64, 8, CPU)[1]
    assert other is not None
    assert not torch.equal(other, second[1])
