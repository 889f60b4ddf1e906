"""Networks of Once-for-All's layers: source code that exported PyTorch files copy."""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 10
ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "h_swish": nn.Hardswish}


class Layer(NamedTuple):
    """Channels, stride, kernel (0: skipped), expansion, activation, attention."""

    in_channels: int
    out_channels: int
    stride: int
    kernel: int
    expansion: int
    activation: str
    attention: bool


LAYERS: list[Layer] = []


class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation and, where one is named, an activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: str = "",
    ) -> None:
        convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=kernel // 2,
            groups=groups,
            bias=False,
        )
        following = [ACTIVATIONS[activation]()] if activation else []
        super().__init__(convolution, nn.BatchNorm2d(out_channels), *following)


class HardAttention(nn.Module):
    """Every channel times a weight that two layers make of the means of all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter = channels // 4
        hidden = max(8, (quarter + 4) // 8 * 8)
        if 10 * hidden < 9 * quarter:
            hidden += 8
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.mean((2, 3), keepdim=True)
        return x * F.hardsigmoid(self.expand(F.relu(self.reduce(means))))


class Bottleneck(nn.Module):
    """Expansion, depthwise convolution, attention and projection."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.skipped = layer.kernel == 0
        self.shortcut = layer.stride == 1 and layer.in_channels == layer.out_channels
        self.expand: nn.Module = nn.Identity()
        self.operations, self.mixes = nn.ModuleDict(), nn.ModuleDict()
        if self.skipped:
            return
        inner, activation = layer.expansion * layer.in_channels, layer.activation
        if layer.expansion > 1:
            self.expand = ConvNorm(layer.in_channels, inner, activation=activation)
        self.operations["0_1"] = ConvNorm(
            inner, inner, layer.kernel, layer.stride, inner, activation
        )
        if layer.attention:
            self.mixes["1"] = HardAttention(inner)
        self.project = ConvNorm(inner, layer.out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.skipped:
            return torch.zeros_like(x)
        x = self.operations["0_1"](self.expand(x))
        for attention in self.mixes.values():
            x = attention(x)
        return self.project(x)


class Shortcut(nn.Module):
    """A module, with an identity around it."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.cell(x)


class Network(nn.Module):
    """Stem, layers and head: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.stem = nn.Sequential(ConvNorm(3, 8, 3, stride=2))  # stem
        self.layers = nn.ModuleList(Bottleneck(layer) for layer in LAYERS)
        self.head = ConvNorm(8, 16)  # head
        self.last = nn.Identity()  # head
        self.classifier = nn.Linear(16, classes)  # head
        initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        for cell in self.layers:
            x = x + cell(x) if cell.shortcut else cell(x)
        return self.classifier(self.last(self.head(x).mean((2, 3))))


def group(layer: Layer) -> int | None:
    """None for a skipped layer; all others go with each other."""
    return 0 if layer.kernel else None


def initialise(network: nn.Module) -> None:
    """He initialisation of convolutions, small weights for linear layers, zero biases."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d) or (
            isinstance(part, nn.Linear) and part.bias is None
        ):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0, 0.01)
        if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
