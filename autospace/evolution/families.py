"""Which cells a run evolves on a skeleton: their family, how they are drawn, and the references."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

from autospace.evolution.settings import (
    BLOCKS,
    BNAS_REFERENCE,
    OWN_OPERATIONS,
    CellsConfig,
    preset_values,
)
from autospace.runs.errors import ConfigError
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.bats import BATS_USUAL, BatsCell, BatsPrior
from autospace.spaces.cells.bert import SYMBOLS, BertCell, BertPrior
from autospace.spaces.cells.binary import Binary, BinaryCell
from autospace.spaces.cells.cell import MIN_NODES, Cell, mbconv
from autospace.spaces.cells.conv import Conv, ConvCell, ConvPrior, basic, bottleneck, convnext
from autospace.spaces.cells.darts import DartsPrior
from autospace.spaces.cells.darts_cell import USUAL, DartsCell
from autospace.spaces.cells.dense import DensePrior
from autospace.spaces.cells.dense_cell import NODES, DenseCell
from autospace.spaces.cells.dense_cell import OPERATIONS as DENSE
from autospace.spaces.cells.family import Family, Prior
from autospace.spaces.cells.ofa import EXPANSIONS, VOCABULARY, Ofa, OfaCell
from autospace.spaces.cells.recurrent import RecurrentPrior
from autospace.spaces.cells.recurrent_cell import FUNCTIONS, RecurrentCell
from autospace.spaces.cells.variation import CellPrior
from autospace.spaces.cost import most_expensive_reference
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import reference_cells_of

DENSE_REFERENCE: Final = "nor_conv_3x3"
DARTS_REFERENCE: Final = "sep_conv_3x3"
BATS_REFERENCE: Final = "bin_conv_3x3"
RECURRENT_REFERENCE: Final = "tanh_chain"
BERT_REFERENCES: Final = ("attention", "feed_forward")
_BUILT: Final[dict[str, Callable[..., ConvCell]]] = {
    "resnet": basic,
    "bottleneck": bottleneck,
    "convnext": convnext,
}
References = tuple[tuple[str, Cell], ...]
"""Reference cells under their ids."""


def check_family(skeleton: Skeleton, cells: CellsConfig) -> None:
    """Refuses a family of cells that does not fit a skeleton, or that has one cell alone.

    Raises:
        ConfigError: `cells.family` names one, or two nodes have a single operation.
    """
    fitting = ["auto"]
    if skeleton.kind == Cell.kind:
        fitting.append(BinaryCell.kind)
    if skeleton.kind == BatsCell.kind:
        fitting.append("bnas")
    if _fits(Conv(), skeleton):
        fitting.extend(BLOCKS)
    if cells.family not in fitting:
        allowed = f"allowed on the skeleton {skeleton.name}: {', '.join(fitting)}"
        raise ConfigError(f"cells.family: {cells.family}; {allowed}")
    operations = set(cells.operations) - {"none"}
    if cells.family == BinaryCell.kind and cells.nodes == 2 and len(operations) == 1:
        problem = (
            f"cells.nodes: 2, with {shown(*operations)} as the only operation, is one cell alone"
        )
        raise ConfigError(f"{problem}; allowed: 3 or more, or also more cells.operations")


def check_mobile(skeleton: Skeleton, cells: CellsConfig) -> None:
    """Refuses settings of mobile cells that contradict each other.

    Other cells do not read all of them, so the settings alone do not say what is wrong.

    Raises:
        ConfigError: an operation of a reference is missing, or the window has too many edges.
    """
    if kind_on(skeleton, cells) != Cell.kind:
        return
    if missing := cells.without_reference("dw"):
        raise ConfigError(f"cells.{missing}")
    edges = cells.nodes * (cells.nodes - 1) // 2
    if cells.window <= edges:
        return
    if cells.window != CellsConfig.model_fields["window"].default:
        problem = f"cells.window: {cells.window}; {cells.nodes} nodes (cells.nodes) "
        raise ConfigError(f"{problem}have {edges} edges; allowed: 1 to {edges}")
    problem = f"cells.nodes: {cells.nodes}; a mutation redraws up to {cells.window} edges"
    have = f"and these nodes have {edges}"
    raise ConfigError(f"{problem}, {have}; allowed: 3 or more, or also cells.window=1")


def check_effect(skeleton: Skeleton, cells: CellsConfig) -> None:
    """Refuses settings of cells that have no effect on the family that is evolved.

    A setting may be at its default, or at the value of a preset: nobody need have asked for that.

    Raises:
        ConfigError: one is at another value.
    """
    kind = kind_on(skeleton, cells)
    if kind == Cell.kind:
        return
    read = _READ.get(kind, frozenset())
    if cells.family in OWN_OPERATIONS:
        read |= {"operations"}
    for name, field in CellsConfig.model_fields.items():
        value, default = getattr(cells, name), field.default
        if name in (*read, "family") or value in (default, *preset_values("cells", name)):
            continue
        problem = f"{_words(value)}, which has no effect on {kind} cells"
        leave = _words(default) if name != "operations" else "those of the family"
        raise ConfigError(f"cells.{name}: {problem}; allowed on {skeleton.name}: {leave}")


_READ: Final[dict[str, frozenset[str]]] = {
    BinaryCell.kind: frozenset({"nodes", "reference_kernels"}),
    ConvCell.kind: frozenset({"nodes", "none_probability"}),
}
"""The settings of cells that each family other than `mobile` reads, apart from `operations`."""


def _words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else shown(value)


def kind_on(skeleton: Skeleton, cells: CellsConfig) -> str:
    """The family of the cells that are evolved on a skeleton, which the settings may choose."""
    if cells.family == BinaryCell.kind:
        return BinaryCell.kind
    return ConvCell.kind if cells.family in BLOCKS else skeleton.kind


def _fits(family: Family[Any, Any], skeleton: Skeleton) -> bool:
    """Whether cells of a family stand at every layer of a skeleton for images."""
    if skeleton.reads != "images":
        return False
    try:
        for shape in skeleton.shapes:
            family.check(family.least(shape), shape)
    except SpaceError:
        return False
    return True


def prior_on(skeleton: Skeleton, cells: CellsConfig) -> Prior:
    """Which cells are drawn.

    Of a whole cell: where single nodes are chosen, each takes its own part of it.
    """
    kind = kind_on(skeleton, cells)
    operations = tuple(name for name in cells.operations if name != "none")
    if kind == DartsCell.kind:
        return DartsPrior(USUAL, nodes=skeleton.concat)
    if kind == BatsCell.kind:
        usual = operations if cells.family == "bnas" else BATS_USUAL
        return BatsPrior(usual, nodes=skeleton.concat)
    if kind == BinaryCell.kind:
        return replace(Binary().prior(cells.operations), nodes=cells.nodes)
    if kind == ConvCell.kind:
        drawn = operations if cells.family in BLOCKS else Conv().prior(Conv.usual).operations
        return ConvPrior(drawn, cells.nodes, none_probability=cells.none_probability)
    if kind == OfaCell.kind:
        return Ofa().prior(VOCABULARY)
    if isinstance(skeleton, EncoderSkeleton):
        return BertPrior(tuple(SYMBOLS), skeleton.widths)
    if isinstance(skeleton, SequenceSkeleton):
        depth = skeleton.depth if isinstance(skeleton, CaptionSkeleton) else 0
        return RecurrentPrior(tuple(FUNCTIONS), skeleton.nodes, skeleton.root, depth)
    if kind == DenseCell.kind:
        # A graph of two nodes has one edge, whose operation goes where one is chosen.
        return DensePrior(tuple(DENSE), nodes=NODES if skeleton.nodes is None else MIN_NODES)
    return CellPrior(
        operations,
        nodes=cells.nodes,
        none_probability=cells.none_probability,
        window=cells.window,
        mixes=cells.mixes,
    )


def references_on(skeleton: Skeleton, cells: CellsConfig) -> References:
    """The reference cells; those that no setting names have 3x3 convolutions alone.

    Of DARTS cells, every node reads the two inputs. No layer of Once-for-All is skipped. The nodes
    of a recurrent cell are a chain of tanh: a recurrent highway network (Zilly et al., ICML 2017);
    in layers, its root reads the token and all layers below. Layers for sentences have those of
    BERT at the largest hidden size: attention, and feed-forward.
    """
    if isinstance(skeleton, EncoderSkeleton):
        width = skeleton.widths[-1]
        both = [(name, BertCell(name, width)) for name in BERT_REFERENCES]
        return tuple((f"{name}_{width}", cast(Cell, cell)) for name, cell in both)
    if isinstance(skeleton, SequenceSkeleton):
        links = None
        if isinstance(skeleton, CaptionSkeleton):
            links = tuple(range(skeleton.depth))
        nodes = [(node, "tanh") for node in range(skeleton.nodes)]
        chain = RecurrentCell.of(nodes, skeleton.root or "tanh", links)
        return ((RECURRENT_REFERENCE, cast(Cell, chain)),)
    kind = kind_on(skeleton, cells)
    if kind == DartsCell.kind:
        pairs = [(DARTS_REFERENCE, 0), (DARTS_REFERENCE, 1)]
        return ((DARTS_REFERENCE, cast(Cell, DartsCell.of(pairs * skeleton.concat))),)
    if kind == BatsCell.kind:
        name = BNAS_REFERENCE if cells.family == "bnas" else BATS_REFERENCE
        pairs = [(name, 0), (name, 1)]
        return ((name, cast(Cell, BatsCell.of(pairs * skeleton.concat))),)
    if kind == OfaCell.kind:
        cell = OfaCell.of(3, max(EXPANSIONS))
        return ((f"ofa_k3_e{cell.expansion}", cell),)
    if kind == ConvCell.kind:
        return _blocks(skeleton, cells)
    if kind != DenseCell.kind:
        return reference_cells(cells)
    edges = 1 if skeleton.nodes is not None else NODES * (NODES - 1) // 2
    return ((DENSE_REFERENCE, cast(Cell, DenseCell.of([DENSE_REFERENCE] * edges))),)


def _blocks(skeleton: Skeleton, cells: CellsConfig) -> References:
    """The block that the settings name, and those of the others that cost no more.

    A limit is by default the cost of the most expensive reference, and blocks differ much: on
    `resnet50`, two 3x3 convolutions cost 14 times as many MAdds as a bottleneck. Blocks with other
    operations than those of the vocabulary, or more nodes, do not join.
    """
    first = cells.family if cells.family in BLOCKS else next(iter(BLOCKS))
    known = {"none", *(cells.operations if cells.family in BLOCKS else Conv.usual)}
    found: list[tuple[str, Cell]] = []
    for name in (first, *(name for name in BLOCKS if name != first)):
        if BLOCKS[name].nodes > cells.nodes or not known.issuperset(BLOCKS[name].operations):
            continue
        block = cast(Cell, _BUILT[name](nodes=cells.nodes))
        madds = most_expensive_reference(skeleton, [block]).madds
        if not found or madds <= most_expensive_reference(skeleton, [found[0][1]]).madds:
            found.append((name, block))
    return tuple(found)


def reference_network(skeleton: Skeleton, cell: Cell) -> tuple[Skeleton, list[Cell]]:
    """The network that has a reference cell in every layer: where nothing is shared, and cells.

    Args:
        skeleton: whose layers may share cells, or a hidden size.
        cell: a reference cell, or what a reference has on every edge.
    """
    shared = reference_cells_of(skeleton, cell)
    return skeleton.untied, [shared[group] for group in skeleton.groups]


def reference_cells(cells: CellsConfig) -> References:
    """The reference cells that the settings name; fitness is relative to the first."""
    if cells.family == BinaryCell.kind:
        last = cells.nodes - 1
        names = [f"bin_conv_{kernel}x{kernel}" for kernel in cells.reference_kernels]
        graphs = [BinaryCell.from_edges([(0, last, name)], cells.nodes) for name in names]
        return tuple(zip(names, cast(list[Cell], graphs), strict=True))
    expansion = cells.reference_expansion
    return tuple(
        (f"mbconv_k{kernel}_e{expansion}", mbconv(kernel, expansion, nodes=cells.nodes))
        for kernel in cells.reference_kernels
    )
