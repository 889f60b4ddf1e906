"""Network files in ProxylessNAS's style, written from their documented keys, and what they cost.

`counted` builds the network in torch straight from the file, knowing nothing of cells, skeletons or
importers, and lets torch count.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autospace.spaces import Cost

File = dict[str, Any]


def conv_layer(inner: int, outer: int, kernel: int, stride: int = 1) -> File:
    return {
        "name": "ConvLayer",
        "kernel_size": kernel,
        "stride": stride,
        "dilation": 1,
        "groups": 1,
        "bias": False,
        "has_shuffle": False,
        "in_channels": inner,
        "out_channels": outer,
        "use_bn": True,
        "act_func": "relu6",
        "dropout_rate": 0,
        "ops_order": "weight_bn_act",
    }


def mbconv_layer(inner: int, outer: int, kernel: int, stride: int, expansion: int) -> File:
    return {
        "name": "MBInvertedConvLayer",
        "in_channels": inner,
        "out_channels": outer,
        "kernel_size": kernel,
        "stride": stride,
        "expand_ratio": expansion,
        "mid_channels": None,
    }


def motif_layer(inner: int, outer: int, stride: int, matrix: list[list[Any]]) -> File:
    return {
        "name": "Motif",
        "in_channels": inner,
        "out_channels": outer,
        "kernel_size": 3,
        "stride": stride,
        "expand_ratio": (1, 3, 6)[matrix[0][3]],
        "num_nodes": 4,
        "build_graph": str(matrix),
        "dim_conv_idx": matrix[0][3],
        "atten_mode": "channel",
        "feature_mix_mode_idx": matrix[1][3],
        "has_se": False,
    }


def zero_layer() -> File:
    return {"name": "ZeroLayer", "stride": 1}


def block(layer: File, channels: int, *, first: bool = False) -> File:
    """A block around a layer; `channels` are those that enter it."""
    stays = layer.get("stride", 1) == 1 and layer.get("out_channels", channels) == channels
    shortcut = {"name": "IdentityLayer", "in_channels": channels, "out_channels": channels}
    shortcut |= {"use_bn": False, "act_func": None, "dropout_rate": 0}
    shortcut |= {"ops_order": "weight_bn_act"}
    return {
        "name": "MobileInvertedResidualBlock",
        "mobile_inverted_conv": layer,
        "shortcut": shortcut if stays and not first else None,
    }


def network_file(
    blocks: Sequence[File],
    *,
    stem: int,
    width: int,
    head: int = 1280,
    classes: int = 1000,
    stem_stride: int = 2,
) -> File:
    """A whole network; `width` are the channels that leave the blocks."""
    return {
        "name": "ProxylessNASNets",
        "bn": {"momentum": 0.1, "eps": 1e-5},
        "first_conv": conv_layer(3, stem, 3, stem_stride),
        "blocks": list(blocks),
        "feature_mix_layer": conv_layer(width, head, 1) if head else None,
        "classifier": {
            "name": "LinearLayer",
            "in_features": head or width,
            "out_features": classes,
            "bias": True,
            "use_bn": False,
            "act_func": None,
            "dropout_rate": 0,
            "ops_order": "weight_bn_act",
        },
    }


class _Residual(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        return x + y


def _conv(layer: File, **options: Any) -> nn.Sequential:
    kernel = layer["kernel_size"]
    sides = (layer["in_channels"], layer["out_channels"])
    options = {"stride": layer["stride"], "padding": kernel // 2, "bias": False} | options
    return nn.Sequential(nn.Conv2d(*sides, kernel, **options), nn.BatchNorm2d(sides[1]), nn.ReLU6())


def _inverted_bottleneck(layer: File) -> nn.Sequential:
    inner, outer = layer["in_channels"], layer["out_channels"]
    wide = inner * layer["expand_ratio"]
    parts: list[nn.Module] = []
    if layer["expand_ratio"] != 1:
        parts.append(_conv(conv_layer(inner, wide, 1)))
    depthwise = conv_layer(wide, wide, layer["kernel_size"], layer["stride"])
    parts.append(_conv(depthwise, groups=wide))
    parts.extend([nn.Conv2d(wide, outer, 1, bias=False), nn.BatchNorm2d(outer)])
    return nn.Sequential(*parts)


def built(file: File) -> nn.Module:
    """The network of a file without motifs."""
    parts: list[nn.Module] = [_conv(file["first_conv"])]
    for each in file["blocks"]:
        layer = each["mobile_inverted_conv"]
        if layer["name"] == "ZeroLayer":
            continue
        made = _inverted_bottleneck(layer)
        parts.append(made if each["shortcut"] is None else _Residual(made))
    if file["feature_mix_layer"] is not None:
        parts.append(_conv(file["feature_mix_layer"]))
    last = file["classifier"]
    parts.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    return nn.Sequential(*parts, nn.Linear(last["in_features"], last["out_features"]))


def counted(file: File, resolution: int) -> Cost:
    """MAdds and params as torch counts them."""
    with torch.device("meta"):
        network = built(file).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, resolution, resolution, device="meta"))
    params = sum(each.numel() for each in network.parameters())
    return Cost(counter.get_total_flops() // 2, params)
