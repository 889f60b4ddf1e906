"""The notation of cells: a cell, an edge or a layer in a few characters.

The differences between a cell and a reference have the same notation.
"""

from typing import Any, Final

from autospace.spaces.cells.bats import BATS_OPERATIONS, BatsCell
from autospace.spaces.cells.bert import SYMBOLS as BERT
from autospace.spaces.cells.bert import BertCell, BlockShape
from autospace.spaces.cells.binary import BinaryCell
from autospace.spaces.cells.cell import Cell, Edge, LayerShape
from autospace.spaces.cells.conv import CONV_OPERATIONS, ConvCell, inner_width, keeps_shape
from autospace.spaces.cells.darts_cell import ENDS, INPUTS, DartsCell, darts_picture
from autospace.spaces.cells.darts_cell import OPERATIONS as DARTS
from autospace.spaces.cells.dense_cell import OPERATIONS as DENSE
from autospace.spaces.cells.dense_cell import DenseCell
from autospace.spaces.cells.operations import OPERATIONS, Operation
from autospace.spaces.cells.recurrent import DecisionShape
from autospace.spaces.cells.recurrent_cell import (
    FUNCTIONS,
    MEAN,
    RecurrentCell,
    recurrent_picture,
)

PAIRED: Final = (DartsCell.kind, BatsCell.kind)
"""The families whose cells have two inputs."""


def graph_notation(cell: Cell) -> str:
    """The cell on one line: `e6: 0>1 dw3, 1>3 id, 0>3 dw5 | 3:se`.

    Dead edges are left out; they change nothing. After the bar stand the nodes that do more than
    add up what comes in.
    """
    pruned = cell.pruned()
    if pruned.is_zero:
        return "zero"
    edges = ", ".join(edge_notation(edge) for edge in pruned.edges)
    mixes = [f"{node}:{mix}" for node, mix in enumerate(pruned.mix, 1) if mix != "sum"]
    bar = f" | {' '.join(mixes)}" if mixes else ""
    return f"e{pruned.expansion}: {edges}{bar}"


def edge_notation(edge: Edge) -> str:
    """An edge on its own: `0>3 dw5`."""
    return f"{edge.source}>{edge.target} {known_symbol(edge.operation)}"


def known_symbol(operation: str) -> str:
    """The symbol of an operation of any family; those of one name have one symbol."""
    if operation in ENDS:
        return ENDS[operation]
    if operation in FUNCTIONS or operation == MEAN:
        return FUNCTIONS.get(operation, operation)
    if operation in DARTS:
        return DARTS[operation].symbol
    if operation in BERT:
        return BERT[operation]
    return operation_of(operation).symbol


def operation_of(name: str) -> Operation:
    """The operation of this name of any family."""
    tables = (DENSE, BATS_OPERATIONS, CONV_OPERATIONS)
    return next((table[name] for table in tables if name in table), None) or OPERATIONS[name]


def drawable(cell: Cell) -> Any:
    """The part of a cell that can be drawn: its live edges, or an edge between two nodes.

    `node_label` of the cell itself says which nodes of the cell the two are.
    """
    shown: Any = cell
    if isinstance(shown, DartsCell):
        return darts_picture(shown)
    if isinstance(shown, RecurrentCell):
        return recurrent_picture(shown)
    return cell.pruned() if cell.edge is None else DenseCell.of(cell.operations)


def edge_label(edge: Edge, cell: Cell, shape: LayerShape | None = None) -> str:
    """The symbol of an edge's operation, with `/2` where the layer's stride applies to it."""
    symbol = known_symbol(edge.operation)
    strided = shape is not None and shape.stride != 1 and edge.target == cell.nodes - 1
    if cell.kind == ConvCell.kind:
        strided = shape is not None and shape.stride != 1 and edge.source == 0
    if cell.kind in PAIRED:
        # In a picture the inputs are nodes 1 and 2.
        strided = shape is not None and shape.stride != 1 and 1 <= edge.source <= INPUTS
    return f"{symbol}/{shape.stride}" if shape is not None and strided else symbol


def has_shortcut(cell: Cell, shape: LayerShape) -> bool:
    """Whether the layer adds its input, or what a shortcut makes of it, to the cell's output."""
    return shape.shortcut or cell.kind == ConvCell.kind


def cell_ends(cell: Any) -> tuple[str, str]:
    """What stands before and behind the graph of a cell: `expand x6` and `project`.

    The first is `input` where a graph begins with that; the second is empty if nothing follows.
    """
    if cell.kind == ConvCell.kind:
        return conv_ends(cell)
    if isinstance(cell, BertCell):
        return f"input, hidden size {cell.width}", ""
    first = "input" if cell.expansion == 1 else f"expand x{cell.expansion}"
    if cell.kind == BinaryCell.kind:
        first = "binary 1x1"
    return first, "" if cell.bare else "project"


def conv_ends(cell: Any, shape: LayerShape | None = None) -> tuple[str, str]:
    """What stands before and behind the graph of a cell of family `conv`: `conv 1x1, 64 → 16`."""
    first, last = "input", ""
    if cell.reduction != 1:
        first, last = f"conv 1x1, to 1/{cell.reduction}", "conv 1x1"
    if shape is None:
        return first, last
    inner = inner_width(cell, shape)
    if cell.reduction != 1:
        first = f"conv 1x1, {shape.in_channels} → {inner}"
        last = f"conv 1x1, {inner} → {shape.out_channels}"
    else:
        widths = dict.fromkeys((shape.in_channels, shape.out_channels))
        first = f"input, {' → '.join(map(str, widths))}"
    added = "+ input" if keeps_shape(shape) else "+ shortcut 1x1"
    return first, f"{last}, {added}" if last else added


def dead_edges(cell: Cell) -> tuple[Edge, ...]:
    """The edges that are on no path from input to output, so that nothing uses their results.

    Whether anything uses a single edge depends on the others.
    """
    if cell.edge is not None:
        return ()
    own: Any = cell
    if isinstance(own, DartsCell):
        return tuple(edge for edge in own.edges if own.is_whole and edge.target not in own.used)
    live = cell.live_nodes
    return tuple(edge for edge in cell.edges if not {edge.source, edge.target} <= live)


def node_label(cell: Cell, node: int) -> str:
    """The node's index and, where it does more than pass on one edge, its mix.

    Of DARTS cells, the node of their picture.
    """
    if cell.kind in PAIRED:
        return _darts_label(cell, node)
    if cell.kind == RecurrentCell.kind:
        return {0: "0 input and state", cell.nodes - 1: "mean"}.get(node, str(node))
    if cell.edge is not None:
        return str(cell.edge[node])
    mix = "" if node == 0 else cell.mix[node - 1]
    incoming = sum(edge.target == node for edge in cell.pruned().edges)
    return f"{node} {mix}" if mix not in ("", "sum") or incoming > 1 else str(node)


def _darts_label(cell: Cell, node: int) -> str:
    if node == 0:
        return "inputs"
    last: Any = cell
    if node == last.nodes - 1 + (INPUTS + 2 if isinstance(last, DartsCell) else 0):
        return "concat"
    return str(node - 1)


def shape_label(shape: LayerShape) -> str:
    """The shapes of a layer's input and output, and its stride: `16x32x32 -> 32x16x16 /2`.

    Of layers that share a cell, their number and the shapes of the first and the last one.
    """
    if isinstance(shape, DecisionShape):
        return f"{shape.in_channels} units"
    if isinstance(shape, BlockShape):
        return f"{shape.resolution} tokens{', begins a block' if shape.first else ''}"
    if shape.tied:
        first, last = (
            f"{each.out_channels}x{each.out_resolution}x{each.out_resolution}"
            for each in (shape.tied[0], shape.tied[-1])
        )
        return f"{len(shape.tied)} layers, {first} to {last}"
    side, out_side = shape.resolution, shape.out_resolution
    stride = f" /{shape.stride}" if shape.stride != 1 else ""
    ends = f"{shape.in_channels}x{side}x{side} -> {shape.out_channels}x{out_side}x{out_side}"
    around = f", {shape.activation}" if shape.activation else ""
    return f"{ends}{stride}{around}{', se' if shape.attention else ''}"


def graph_differences(cell: Cell, reference: Cell) -> list[str]:
    """The differences between two cells: `e6→e3`, `0>3 dw3→dw5`, `+0>1 id`, `-1>3 dw3`, `3:sum→se`.

    Dead edges do not count. Where the cells have different numbers of nodes, their last nodes are
    taken for the same one, which then has the larger number. Empty if nothing differs.
    """
    here, there = cell.pruned(), reference.pruned()
    if here.is_zero or there.is_zero:
        if here.is_zero == there.is_zero:
            return []
        return [f"{graph_notation(there)} → {graph_notation(here)}"]
    last = max(here.nodes, there.nodes) - 1
    parts = []
    if here.expansion != there.expansion:
        parts.append(f"e{there.expansion}→e{here.expansion}")
    parts.extend(_edge_changes(_edges(here, last), _edges(there, last)))
    parts.extend(_mix_changes(_mixes(here, last), _mixes(there, last)))
    return parts


def _edges(cell: Cell, last: int) -> dict[tuple[int, int], str]:
    """Operations by edge, the last node renumbered."""
    end = cell.nodes - 1
    return {
        (edge.source, last if edge.target == end else edge.target): edge.operation
        for edge in cell.edges
    }


def _mixes(cell: Cell, last: int) -> dict[int, str]:
    """Mixes other than sums by node, the last node renumbered."""
    end = cell.nodes - 1
    named = enumerate(cell.mix, start=1)
    return {last if node == end else node: mix for node, mix in named if mix != "sum"}


def _edge_changes(here: dict[tuple[int, int], str], there: dict[tuple[int, int], str]) -> list[str]:
    parts = []
    for slot in sorted(here.keys() | there.keys(), key=lambda slot: (slot[1], slot[0])):
        old, new = there.get(slot), here.get(slot)
        if old == new:
            continue
        if old is None:
            parts.append(f"+{edge_notation(Edge(*slot, str(new)))}")
        elif new is None:
            parts.append(f"-{edge_notation(Edge(*slot, old))}")
        else:
            parts.append(f"{edge_notation(Edge(*slot, old))}→{OPERATIONS[new].symbol}")
    return parts


def _mix_changes(here: dict[int, str], there: dict[int, str]) -> list[str]:
    return [
        f"{node}:{there.get(node, 'sum')}→{here.get(node, 'sum')}"
        for node in sorted(here.keys() | there.keys())
        if here.get(node) != there.get(node)
    ]
