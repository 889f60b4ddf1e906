"""The classes of an exported PyTorch file: each file gets those that its cells need."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from autospace.exporters.python_clients import literal
from autospace.spaces import OPERATIONS, Operation, SpaceError

CONV_NORM: Final = '''\
class ConvNorm(nn.Sequential):
    """Convolution, batch normalisation and, unless told otherwise, ReLU6."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        convolution = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding=dilation * (kernel - 1) // 2,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        activation = [nn.ReLU6()] if activate else []
        super().__init__(convolution, nn.BatchNorm2d(out_channels), *activation)
'''

GATE: Final = '''\
class Gate(nn.Module):
    """Every channel times the sigmoid of its own mean."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x.mean((2, 3), keepdim=True))
'''

SQUEEZE_EXCITE: Final = '''\
class SqueezeExcite(nn.Module):
    """Every channel times a weight that two layers make of the means of all channels."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(means))))
'''

OPERATION: Final = '''\
def operation(name: str, channels: int, stride: int) -> nn.Module:
    """What an edge does: [N, C, H, W] -> [N, C, ceil(H / stride), ceil(W / stride)]."""
'''

MIXING: Final = '''\
def mixing(name: str, channels: int, hidden: int) -> nn.Module:
    """What a node does with the sum of its edges."""
'''

# Lines marked `# [mix]` or `# [zero]` stand only where some cell mixes, or has no edge.
CELL: Final = '''\
class Cell(NamedTuple):
    """A graph of operations from node 0 to the last node.

    Before it, a 1x1 convolution makes `expansion` times the channels (with 1, there is
    none); after it, another makes those of the layer's output. An edge is (source,
    target, operation). A node is the sum of the edges that enter it.
    `mix` names the nodes that then weigh their channels, and how.  # [mix]
    A cell without edges gives zero: its layer is left out.  # [zero]
    """

    id: str
    expansion: int
    edges: list[tuple[int, int, str]]
    mix: dict[int, str]  # [mix]
'''

CELL_MODULE: Final = '''\
class CellModule(nn.Module):
    """A cell with its weights: [N, C, H, W] -> [N, C', H / stride, W / stride]."""

    def __init__(
        self, cell: Cell, in_channels: int, out_channels: int, stride: int
    ) -> None:
        super().__init__()
        self.shortcut = stride == 1 and in_channels == out_channels
        self.sources: dict[int, list[int]] = {}
        if not cell.edges:  # [zero]
            return  # [zero]
        inner = cell.expansion * in_channels
        self.last = max(target for _, target, _ in cell.edges)
        self.expand: nn.Module = nn.Identity()
        if cell.expansion > 1:
            self.expand = ConvNorm(in_channels, inner)
        self.operations = nn.ModuleDict()
        for source, target, name in cell.edges:
            self.sources.setdefault(target, []).append(source)
            step = stride if target == self.last else 1
            self.operations[f"{source}_{target}"] = operation(name, inner, step)
        self.mixes = nn.ModuleDict()  # [mix]
        for node, name in cell.mix.items():  # [mix]
            self.mixes[f"{node}"] = mixing(name, inner, max(1, in_channels // 4))  # [mix]
        self.project = ConvNorm(inner, out_channels, activate=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.sources:  # [zero]
            return torch.zeros_like(x)  # [zero]
        nodes = {0: self.expand(x)}
        for target, sources in self.sources.items():
            edges = [
                self.operations[f"{source}_{target}"](nodes[source])
                for source in sources
            ]
            nodes[target] = reduce(torch.add, edges)
            if f"{target}" in self.mixes:  # [mix]
                nodes[target] = self.mixes[f"{target}"](nodes[target])  # [mix]
        return self.project(nodes[self.last])
'''
_MARK: Final = re.compile(r"  # \[(mix|zero)\]$")

_OPERATIONS: Final[dict[str, Callable[[Operation], str]]] = {
    "skip": lambda operation: "nn.Identity() if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)",
    "depthwise": lambda operation: _depthwise(operation.kernel, operation.dilation),
    "average_pool": lambda operation: (
        f"nn.AvgPool2d({operation.kernel}, stride, {operation.kernel // 2}, "
        "count_include_pad=False)"
    ),
    "max_pool": lambda operation: (
        f"nn.MaxPool2d({operation.kernel}, stride, {operation.kernel // 2})"
    ),
}
_MIXES: Final = {"gate": "Gate()", "se": "SqueezeExcite(channels, hidden)"}


@dataclass(frozen=True, slots=True)
class Needs:
    """What the cells of a file are made of; `zero` if one of them has no edge."""

    operations: frozenset[str]
    mixes: frozenset[str]
    zero: bool

    @property
    def marks(self) -> set[str]:
        """The marked lines that the file gets."""
        return {name for name, wanted in (("mix", self.mixes), ("zero", self.zero)) if wanted}


def cell_record(needs: Needs) -> str:
    """The definition of a cell as data."""
    return _marked(CELL, needs.marks)


def cell_classes(needs: Needs) -> list[str]:
    """Definitions of the modules that cells need.

    Raises:
        SpaceError: an operation of a kind that is not known here.
    """
    mixes = needs.mixes
    edges = {name: _operation(name) for name in OPERATIONS if name in needs.operations}
    parts = [CONV_NORM, _choice(OPERATION, "operation", edges)]
    parts += [text for name, text in (("gate", GATE), ("se", SQUEEZE_EXCITE)) if name in mixes]
    if mixes:
        known = {name: text for name, text in _MIXES.items() if name in mixes}
        parts.append(_choice(MIXING, "mix", known))
    return [*parts, _marked(CELL_MODULE, needs.marks)]


def _operation(name: str) -> str:
    operation = OPERATIONS[name]
    if operation.kind not in _OPERATIONS:
        problem = f"kind {operation.kind!r} has no PyTorch source"
        raise SpaceError(name, f"{problem}; allowed: {', '.join(_OPERATIONS)}")
    return _OPERATIONS[operation.kind](operation)


def _depthwise(kernel: int, dilation: int) -> str:
    dilated = f"dilation={dilation}, " if dilation != 1 else ""
    return f"ConvNorm(channels, channels, {kernel}, stride, {dilated}groups=channels)"


def _choice(head: str, what: str, cases: dict[str, str]) -> str:
    """A function that returns the expression of a name."""
    lines = [
        f"    if name == {literal(name)}:\n        return {expression}\n"
        for name, expression in cases.items()
    ]
    return f'{head}{"".join(lines)}    raise ValueError(f"unknown {what} {{name!r}}")\n'


def _marked(text: str, marks: Collection[str]) -> str:
    """The text without the lines of other marks."""
    lines = []
    for line in text.splitlines():
        mark = _MARK.search(line)
        if mark is None or mark[1] in marks:
            lines.append(_MARK.sub("", line))
    return "\n".join(lines) + "\n"
