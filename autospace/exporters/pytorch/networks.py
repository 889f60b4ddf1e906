"""What stands around the cells of an exported PyTorch file: network, supernet, functions."""

from typing import Final

LAYER: Final = '''\
class Layer(NamedTuple):
    """A cell, and the channels and stride of its place in the network."""

    name: str
    in_channels: int
    out_channels: int
    stride: int
    cell: Cell
'''

LAYER_OF_CANDIDATES: Final = '''\
class Layer(NamedTuple):
    """The candidates of a layer, and the channels and stride that they all have."""

    name: str
    in_channels: int
    out_channels: int
    stride: int
    cells: list[Cell]
'''

NETWORK: Final = '''\
class Network(nn.Module):
    """Stem, one cell per layer, and head: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
<stem>
        self.layers = nn.ModuleList(
            CellModule(layer.cell, layer.in_channels, layer.out_channels, layer.stride)
            for layer in LAYERS
        )
<head>
        initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.stem(images)
        for cell in self.layers:
            y = cell(x)
            x = x + y if cell.shortcut else y
        return self.classifier(self.head(x).mean((2, 3)))
'''

NETWORK_OF_MODULES: Final = '''\
class Network(nn.Module):
    """Stem, one cell per layer, and head: images [N, C, H, W] -> logits [N, classes]."""

    def __init__(self, layers: Iterable[nn.Module], classes: int = CLASSES) -> None:
        super().__init__()
<stem>
        self.layers = nn.ModuleList(layers)
<head>

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.through(self.layers, images)

    def through(self, cells: Iterable[nn.Module], images: torch.Tensor) -> torch.Tensor:
        """Logits of the images by way of these cells."""
        x = self.stem(images)
        for cell in cells:
            y = cell(x)
            x = x + y if cell.shortcut else y
        return self.classifier(self.head(x).mean((2, 3)))
'''

SUPERNET: Final = '''\
class Supernet(Network):
    """All candidates of all layers; a forward pass takes one of each layer.

    Images [N, C, H, W] -> logits [N, classes].
    """

    def __init__(self, classes: int = CLASSES) -> None:
        layers = [
            nn.ModuleList(cell_module(layer, cell) for cell in layer.cells)
            for layer in LAYERS
        ]
        super().__init__(layers, classes)
        initialise(self)

    def forward(
        self, images: torch.Tensor, architecture: dict[str, str] | None = None
    ) -> torch.Tensor:
        """Logits by way of the named cells, or of those that `DEFAULT` names."""
        return self.through(self.path(architecture or DEFAULT), images)

    def path(self, architecture: dict[str, str]) -> list[nn.Module]:
        """The cells that an architecture names, input side first."""
        places = zip(self.layers, chosen(architecture), strict=True)
        return [candidates[index] for candidates, index in places]

    def extract(self, architecture: dict[str, str]) -> Network:
        """One architecture as a network of its own, with a copy of its weights."""
        classes = self.classifier.out_features
        network = Network(deepcopy(self.path(architecture)), classes)
        network.stem = deepcopy(self.stem)
        network.head = deepcopy(self.head)
        network.classifier = deepcopy(self.classifier)
        return network
'''

INITIALISE: Final = '''\
def initialise(network: nn.Module) -> None:
    """He initialisation of convolutions, small weights for linear layers, zero biases."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, 0, 0.01)
        if isinstance(part, nn.Conv2d | nn.Linear) and part.bias is not None:
            nn.init.zeros_(part.bias)
'''

BUILD: Final = '''\
def build(classes: int = CLASSES) -> Network:
    """The network with fresh weights."""
    return Network(classes)
'''

BUILD_CHOSEN: Final = '''\
def cell_module(layer: Layer, cell: Cell) -> CellModule:
    """A candidate with fresh weights."""
    return CellModule(cell, layer.in_channels, layer.out_channels, layer.stride)


def chosen(architecture: dict[str, str]) -> list[int]:
    """The index of the cell that an architecture names, layer by layer."""
    if unknown := architecture.keys() - {layer.name for layer in LAYERS}:
        raise ValueError(f"unknown layers: {sorted(unknown)}")
    indices = []
    for layer in LAYERS:
        ids = [cell.id for cell in layer.cells]
        name = architecture.get(layer.name)
        if name not in ids:
            raise ValueError(f"{layer.name}: {name!r} is not one of {ids}")
        indices.append(ids.index(name))
    return indices


def sample(rng: random.Random) -> dict[str, str]:
    """An architecture, the cell of every layer drawn uniformly."""
    return {layer.name: rng.choice(layer.cells).id for layer in LAYERS}


def build(architecture: dict[str, str], classes: int = CLASSES) -> Network:
    """One architecture as a network of its own, with fresh weights."""
    places = zip(LAYERS, chosen(architecture), strict=True)
    cells = [cell_module(layer, layer.cells[index]) for layer, index in places]
    network = Network(cells, classes)
    initialise(network)
    return network
'''

MAIN: Final = """\
if __name__ == "__main__":
    network = build(<default>).eval()
    images = torch.zeros(1, *IMAGE)
    print(f"{sum(weights.numel() for weights in network.parameters()):,} params")
    print(f"{tuple(images.shape)} -> {tuple(network(images).shape)}")
"""
