"""ProxylessNAS's net.config, rebuilt by a reader of its documented keys."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autospace.exporters.proxylessnas import export_architecture
from autospace.importers.network_file import read_proxylessnas as read
from autospace.importers.target import Target
from autospace.networks.network import Network
from autospace.spaces import (
    Architecture,
    Candidate,
    Cell,
    LayerSpec,
    Skeleton,
    SpaceError,
    Stem,
    load,
    mbconv,
)
from tests.strategies import skeletons

TINY = Skeleton("tiny", 3, 9, 4, Stem(4, 2), (LayerSpec(4), LayerSpec(6, 2)))
SKIP = Cell.from_edges([], expansion=1)

# Layers as mit-han-lab/proxylessnas, proxyless_nas/layers.py and nas_modules.py, describe them.
Config = dict[str, Any]


def convolution(config: Config) -> nn.Module:
    """`ConvLayer`; padding keeps the resolution, operations run weight, norm, activation."""
    assert config["ops_order"] == "weight_bn_act"
    assert config["use_bn"]
    assert config["act_func"] == "relu6"
    kernel, dilation = config["kernel_size"], config["dilation"]
    layer = nn.Conv2d(
        config["in_channels"],
        config["out_channels"],
        kernel,
        config["stride"],
        kernel // 2 * dilation,
        dilation,
        config["groups"],
        config["bias"],
    )
    return nn.Sequential(layer, nn.BatchNorm2d(config["out_channels"]), nn.ReLU6())


def inverted(config: Config) -> nn.Module:
    """`MBInvertedConvLayer`; no first convolution where the ratio is 1."""
    ratio, entering, leaving = (
        config[key] for key in ("expand_ratio", "in_channels", "out_channels")
    )
    kernel, width = config["kernel_size"], ratio * entering
    first = [nn.Conv2d(entering, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6()]
    depthwise = nn.Conv2d(
        width, width, kernel, config["stride"], kernel // 2, groups=width, bias=False
    )
    last = [nn.Conv2d(width, leaving, 1, bias=False), nn.BatchNorm2d(leaving)]
    middle = [depthwise, nn.BatchNorm2d(width), nn.ReLU6()]
    return nn.Sequential(*(first if ratio > 1 else []), *middle, *last)


class Block(nn.Module):
    """`MobileInvertedResidualBlock`: a zero layer hands its input on, whatever the shortcut."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        assert config["name"] == "MobileInvertedResidualBlock"
        layer, self.shortcut = config["mobile_inverted_conv"], config["shortcut"]
        assert self.shortcut is None or self.shortcut["name"] == "IdentityLayer"
        assert layer["name"] in ("MBInvertedConvLayer", "ZeroLayer")
        self.layer = None if layer["name"] == "ZeroLayer" else inverted(layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.layer is None:
            return x
        y: torch.Tensor = self.layer(x)
        return y if self.shortcut is None else x + y


class Rebuilt(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        assert config["name"] == "ProxylessNASNets"
        self.first = convolution(config["first_conv"])
        self.blocks = nn.Sequential(*map(Block, config["blocks"]))
        last, classifier = config["feature_mix_layer"], config["classifier"]
        self.last = nn.Identity() if last is None else convolution(last)
        sizes = (classifier["in_features"], classifier["out_features"])
        self.classifier = nn.Linear(*sizes, bias=classifier["bias"])
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum, part.eps = config["bn"]["momentum"], config["bn"]["eps"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.last(self.blocks(self.first(x)))
        logits: torch.Tensor = self.classifier(x.mean((2, 3)))
        return logits


def rebuilt(architecture: Architecture) -> Rebuilt:
    return Rebuilt(json.loads(export_architecture(architecture)))


def images(skeleton: Skeleton) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    side = skeleton.resolution
    return torch.randn(2, skeleton.in_channels, side, side, generator=generator).double()


def madds(network: nn.Module, skeleton: Skeleton) -> int:
    """Counted by PyTorch, which counts a multiply-accumulate as two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(images(skeleton)[:1])
    flops: int = counter.get_total_flops()
    return flops // 2


@st.composite
def expressible(draw: st.DrawFn) -> Architecture:
    skeleton = draw(skeletons())
    blocks = st.builds(
        mbconv, st.sampled_from([3, 5, 7]), st.integers(1, 8), nodes=st.integers(2, 5)
    )
    chosen = [
        draw(blocks | st.just(SKIP) if shape.shortcut else blocks) for shape in skeleton.shapes
    ]
    return Architecture(skeleton, tuple(Candidate("a", cell) for cell in chosen))


@given(expressible())
@settings(max_examples=25)
def test_the_rebuilt_network_computes_what_ours_computes_at_the_same_cost(
    architecture: Architecture,
) -> None:
    skeleton = architecture.skeleton
    torch.manual_seed(0)
    ours = Network(skeleton, architecture.cells).double().eval()
    theirs = rebuilt(architecture).double().eval()
    pairs = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)
    theirs.load_state_dict(dict(pairs))
    with torch.no_grad():
        torch.testing.assert_close(theirs(images(skeleton)), ours(images(skeleton)))
    params = sum(each.numel() for each in theirs.parameters())
    assert (madds(theirs, skeleton), params, 0) == architecture.cost


@pytest.mark.parametrize("name", ["mbconv@digits", "mbconv@cifar"])
def test_a_built_in_networks_costs_are_those_of_the_rebuilt_one(name: str) -> None:
    architecture = load(name).sample(random.Random(0))
    network = rebuilt(architecture).double()
    params = sum(each.numel() for each in network.parameters())
    assert (madds(network, architecture.skeleton), params, 0) == architecture.cost


@given(expressible())
@settings(max_examples=25)
def test_an_exported_network_is_imported_as_it_was(architecture: Architecture) -> None:
    config = json.loads(export_architecture(architecture))
    resolution = config.pop("resolution")
    back = read(json.dumps(config), Target(architecture.skeleton, resolution))
    assert back.skeleton == architecture.skeleton
    assert back.cost == architecture.cost


def test_a_cell_that_only_looks_different_is_exported() -> None:
    chain = Cell.from_edges([(0, 1, "skip_connect"), (1, 3, "dw_conv_5x5"), (0, 2, "dw_conv_3x3")])
    plain, same = (
        Architecture(TINY, (Candidate("a", cell), Candidate("b", mbconv(3, 1))))
        for cell in (mbconv(5, 6), chain)
    )
    assert export_architecture(same) == export_architecture(plain)


@pytest.mark.parametrize(
    ("cell", "what"),
    [
        (mbconv(3, 6, se=True), r"e6: 0>3 dw3 \| 3:se"),
        (Cell.from_edges([(0, 3, "dw_conv_3x3_d2")]), "e6: 0>3 dw3d2"),
        (
            Cell.from_edges([(0, 3, "dw_conv_3x3"), (0, 1, "dw_conv_3x3"), (1, 3, "skip_connect")]),
            "e6: .*",
        ),
        (Cell.from_edges([(0, 3, "skip_connect")]), "e6: 0>3 id"),
    ],
)
def test_any_other_cell_is_an_error_that_names_layer_and_cell(cell: Cell, what: str) -> None:
    candidates = (Candidate("a", mbconv(3, 1)), Candidate("odd one", cell))
    message = rf"layer_01: cell 'odd one' \({what}\) is not an MBConv; allowed: an MBConv of"
    with pytest.raises(SpaceError, match=message):
        export_architecture(Architecture(TINY, candidates))


def test_equal_architectures_give_equal_bytes() -> None:
    made = [
        Architecture(replace(TINY, name=name), (Candidate("a", mbconv(3, 3)),) * 2)
        for name in ("one", "other")
    ]
    assert export_architecture(made[0]) == export_architecture(made[1])
