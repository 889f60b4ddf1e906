"""Networks as torch modules: a skeleton with a cell in every layer."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import torch
from torch import nn

from autospace.networks.binary import BinaryModule
from autospace.networks.captions import CaptionModel
from autospace.networks.cells import CellModule, Trace, initialise
from autospace.networks.conv import ConvModule
from autospace.networks.darts import DartsModule, TwoInputs, stem_parts
from autospace.networks.dense import DenseModule, NormActivation, ResidualBlock
from autospace.networks.encoder import BertModule, EncoderNetwork
from autospace.networks.ofa import Activated, Mixing, OfaModule, staged_stem
from autospace.networks.operations import ConvNorm
from autospace.networks.recurrent import LanguageModel, RecurrentModule
from autospace.spaces.cells.cell import Cell, LayerShape, mbconv
from autospace.spaces.cells.family import check_kind
from autospace.spaces.cost import stem_widths
from autospace.spaces.skeleton import Skeleton

# Per family of `autospace.spaces.cells.family.FAMILIES`, what makes a module of a cell.
BUILDERS: Final[dict[str, Callable[[Any, LayerShape], Any]]] = {
    "mobile": CellModule,
    "dense": DenseModule,
    "darts": DartsModule,
    "binary": BinaryModule,
    "conv": ConvModule,
    "bats": DartsModule,
    "ofa": OfaModule,
    "recurrent": RecurrentModule,
    "nas-bert": BertModule,
}


def build_cell(cell: Cell, shape: LayerShape) -> CellModule:
    """A cell as a module, at a layer of this shape.

    Raises:
        SpaceError: no module is known for cells of this family.
    """
    check_kind(cell.kind, "networks", BUILDERS)
    module: CellModule = BUILDERS[cell.kind](cell, shape)
    return module


class Network(nn.Module):
    """Stem, one cell per layer, and head: images [N, C, H, W] -> logits [N, classes].

    A fixed layer of the skeleton belongs to the layer before it, whose output it changes. Where
    cells have two inputs, a layer's input is one tensor all the same: both of them side by side,
    and behind them what the layer before gave, as long as the next layer needs it.
    """

    def __init__(self, skeleton: Skeleton, cells: Sequence[Cell]) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.stem = nn.Sequential(*_stem(skeleton))
        self.layers = nn.ModuleList(
            build_cell(cell, shape) for shape, cell in zip(skeleton.cell_layers, cells, strict=True)
        )
        self.fixed = _fixed(skeleton)
        chained = skeleton.cell_layers if skeleton.chain == 2 else ()
        self.inputs = nn.ModuleList(map(TwoInputs, chained))
        width = skeleton.spine[-1].out_channels
        self.head = _head(skeleton)
        features = skeleton.head or width
        self.last: nn.Module = nn.Identity()
        if skeleton.last:
            self.last = Mixing(features, skeleton.last, skeleton.activation)
        self.classifier = nn.Linear(skeleton.last or features, skeleton.classes)
        for part in (self.stem[0], self.head, self.classifier):
            initialise(part)

    def cell(self, layer: int) -> CellModule:
        """The cell of a layer."""
        module = self.layers[layer]
        if not isinstance(module, CellModule):
            raise TypeError(f"layer {layer} holds a {type(module).__name__}, not a cell")
        return module

    def candidate(self, layer: int, cell: Cell) -> CellModule:
        """Another cell for a layer, with new weights."""
        return build_cell(cell, self.skeleton.shapes[layer])

    def stages(self) -> Iterator[tuple[LayerShape, nn.Module]]:
        """Each layer's shape and cell, input side first."""
        return zip(self.skeleton.cell_layers, self.layers, strict=True)

    def output(self, layer: int, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """What the next layer receives, from a layer's input x and its cell's output y."""
        shape = self.skeleton.cell_layers[layer]
        if shape.before is not None:
            return self._chained(layer + 1, x[:, 2 * shape.width :], y)
        found = joined(shape, x, y)
        if (place := str(layer)) in self.fixed:
            found = self.fixed[place](found)
        return found

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of the images."""
        return self.rest(self.enter(images), 0)

    def enter(self, images: torch.Tensor) -> torch.Tensor:
        """The input of the first layer."""
        if self.skeleton.chain == 1:
            features: torch.Tensor = self.stem(images)
            return features
        first, *others = self.stem
        before: torch.Tensor = first(images)
        return self._chained(0, before, others[0](before) if others else before)

    def _chained(self, layer: int, before: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """The input of a layer whose cell has two, from what the two layers before it gave.

        Behind the last layer, what that one gave.
        """
        if layer == len(self.inputs):
            return last
        both: torch.Tensor = self.inputs[layer](before, last)
        return both if layer == len(self.inputs) - 1 else torch.cat([both, last], 1)

    def before(self, images: torch.Tensor, layer: int) -> torch.Tensor:
        """The input of a layer; `rest` computes the logits from it."""
        x = self.enter(images)
        for index, cell in enumerate([*self.layers][:layer]):
            x = self.output(index, x, cell(x))
        return x

    def rest(self, x: torch.Tensor, start: int) -> torch.Tensor:
        """Logits from x, the input of layer `start`."""
        for index, cell in enumerate([*self.layers][start:], start):
            x = self.output(index, x, cell(x))
        return self.classify(x)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """What enters the first layer, and what every layer hands on."""
        found = [self.enter(images)]
        for layer, cell in enumerate(self.layers):
            found.append(self.output(layer, found[-1], cell(found[-1])))
        return found

    def classify(self, x: torch.Tensor) -> torch.Tensor:
        """Logits from the output x of the last layer."""
        logits: torch.Tensor = self.classifier(self.last(self.head(x).mean(dim=(2, 3))))
        return logits

    def trace(self, images: torch.Tensor) -> Trace:
        """A forward pass that keeps what every cell received and returned."""
        x = self.enter(images)
        if torch.is_grad_enabled() and not x.requires_grad:
            # A frozen network still has to hand gradients to its layers' outputs.
            x.requires_grad_()
        inputs, outputs = [], []
        for index, cell in enumerate(self.layers):
            y = cell(x)
            if torch.is_grad_enabled() and not y.requires_grad:
                # A skipped layer is zero whatever its input, but the loss has a slope there.
                y.requires_grad_()
            inputs.append(x)
            outputs.append(y)
            x = self.output(index, x, y)
        return Trace(self.classify(x), inputs, outputs)


# Per kind of what skeletons read, what makes a network of cells: inputs -> logits.
NETWORKS: Final[dict[str, Callable[[Skeleton, Sequence[Any]], nn.Module]]] = {
    "images": Network,
    "text": LanguageModel,
    "sentences": EncoderNetwork,
    "captions": CaptionModel,
}


def build_network(skeleton: Skeleton, cells: Sequence[Cell]) -> nn.Module:
    """The network of a skeleton and its cells, for images, text or sentences."""
    return NETWORKS[skeleton.reads](skeleton, cells)


def _stem(skeleton: Skeleton) -> list[nn.Module]:
    """The parts of the stem; where cells have two inputs, the first part gives one of them."""
    stem = skeleton.stem
    if skeleton.chain == 2:
        activated = skeleton.binary_groups > 0
        return stem_parts(stem_widths(skeleton), stem.stride, activated=activated)
    if skeleton.stages:
        return staged_stem(skeleton)
    activate = not skeleton.preactivation
    parts: list[nn.Module] = [
        ConvNorm(skeleton.in_channels, stem.channels, 3, stride=stem.stride, activate=activate)
    ]
    if stem.block is not None:
        shape = LayerShape("stem", stem.channels, stem.block, 1, skeleton.stem_resolution)
        parts.append(CellModule(mbconv(3, 1), shape))
    return parts


def _head(skeleton: Skeleton) -> nn.Module:
    """What stands between the last layer and pooling."""
    width = skeleton.spine[-1].out_channels
    if skeleton.head and skeleton.stages:
        return Activated(width, skeleton.head, activation=skeleton.activation)
    if skeleton.head:
        return ConvNorm(width, skeleton.head)
    return NormActivation(width) if skeleton.preactivation else nn.Identity()


def _fixed(skeleton: Skeleton) -> nn.ModuleDict:
    """The fixed layers, by the index of the layer with a cell that they follow."""
    blocks: dict[str, list[nn.Module]] = {}
    index = -1
    for shape, layer in zip(skeleton.spine, skeleton.layers, strict=True):
        if layer.fixed:
            blocks.setdefault(str(index), []).append(ResidualBlock(shape))
        else:
            index += 1
    return nn.ModuleDict({place: nn.Sequential(*each) for place, each in blocks.items()})


def joined(shape: LayerShape, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Output of a layer: its cell's output y, plus its input x where there is a shortcut."""
    return x + y if shape.shortcut else y


Placeable = TypeVar("Placeable", bound=nn.Module)


def placed(module: Placeable, device: torch.device | str) -> Placeable:
    """The module on a device, with its weights in the memory format that suits convolutions."""
    # Not waiting for a GPU at every weight; what is copied is taken before the call returns.
    there = module.to(device, non_blocking=torch.device(device).type == "cuda")
    placed_there: Placeable = there.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed_there
