"""Drop-path: nothing at 0, the same mean at any p, no draw that depends on another layer."""

import random
from typing import Any

import pytest
import torch

from autospace.networks.network import Network
from autospace.runs.errors import ConfigError
from autospace.spaces import (
    Architecture,
    Candidate,
    LayerSpec,
    Skeleton,
    Stem,
    load,
    load_skeleton,
    mbconv,
)
from autospace.training.drop_path import (
    Scales,
    as_scales,
    check_drop_path,
    draw_rows,
    drop_probabilities,
    dropped_places,
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


def _two_inputs() -> tuple[Architecture, Network]:
    architecture = load("darts@darts-small").sample(random.Random(3))
    torch.manual_seed(0)
    return architecture, Network(architecture.skeleton, architecture.cells).double().eval()


def test_of_two_inputs_every_operation_is_dropped_but_identities() -> None:
    architecture, _ = _two_inputs()
    found = dropped_places(architecture, 0.2)
    wanted = []
    for cell, shape in zip(architecture.cells, architecture.skeleton.cell_layers, strict=True):
        chosen: Any = cell
        for edge in chosen.chosen:
            identity = edge.operation == "skip_connect" and (shape.stride == 1 or edge.source > 1)
            wanted.append(0.0 if identity else 0.2)
    assert found == wanted
    assert {0.0, 0.2} == set(found)
    assert dropped_places(architecture, 0.0) == [0.0] * len(found)
    plain = Architecture(SKELETON, tuple(Candidate("c", mbconv(3, 3)) for _ in LAYERS))
    assert dropped_places(plain, 0.4) == drop_probabilities(SKELETON, 0.4)


def test_of_two_inputs_a_dropped_operation_adds_nothing() -> None:
    architecture, network = _two_inputs()
    images, count = _images(3), len(dropped_places(architecture, 0.2))
    ones = [torch.ones(3)] * count
    plain = network(images)
    torch.testing.assert_close(forward_dropped(network, images, ones), plain)
    place = dropped_places(architecture, 0.2).index(0.2)
    scale = torch.tensor([0.0, 1.0, 2.0])
    scales: list[torch.Tensor | None] = [None] * count
    scales[place] = scale
    found = forward_dropped(network, images, scales)
    # The same operation, which gives nothing of the first image and twice as much of the third.
    edges = 2 * architecture.skeleton.concat
    cell: Any = network.cell(place // edges)
    part = cell.operations[f"{2 + place % edges // 2}_{place % 2}"]
    part.register_forward_hook(lambda _module, _given, y: y * scale.double()[:, None, None, None])
    torch.testing.assert_close(found, network(images))
    assert not torch.allclose(found, plain)


def test_a_share_of_a_probability_drops_less_and_keeps_the_mean() -> None:
    none = draw_rows([0.5], 1000, 0, CPU, 0.0)
    half = draw_rows([0.5], 1000, 0, CPU, 0.5)
    assert torch.equal(none, torch.ones(1, 1000))
    assert sorted(set(half[0].tolist())) == pytest.approx([0.0, 1 / 0.75])
    assert float((half == 0).float().mean()) == pytest.approx(0.25, abs=0.09)


def test_where_no_layer_has_a_shortcut_it_is_refused() -> None:
    for name in ("nasbench201", "resnet20", "bert-small"):
        check_drop_path(load_skeleton(name), 0.0)
        with pytest.raises(ConfigError, match=r"^training\.drop_path: 0\.2; allowed: 0, as "):
            check_drop_path(load_skeleton(name), 0.2)
    for name in ("digits", "darts-small", "ofa-small"):
        check_drop_path(load_skeleton(name), 0.2)
