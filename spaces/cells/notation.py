"""A cell, its edges and its costs in a few characters."""

from autospace.spaces import OPERATIONS, Cell, Edge, LayerShape


def notation(cell: Cell) -> str:
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
    return f"{edge.source}>{edge.target} {OPERATIONS[edge.operation].symbol}"


def edge_label(edge: Edge, cell: Cell, shape: LayerShape | None = None) -> str:
    """The symbol of an edge's operation, with `/2` where the layer's stride applies to it."""
    symbol = OPERATIONS[edge.operation].symbol
    strided = shape is not None and shape.stride != 1 and edge.target == cell.nodes - 1
    return f"{symbol}/{shape.stride}" if shape is not None and strided else symbol


def dead_edges(cell: Cell) -> tuple[Edge, ...]:
    """The edges on no path from input to output, which compute nothing that is used."""
    live = cell.live_nodes
    return tuple(edge for edge in cell.edges if not {edge.source, edge.target} <= live)


def node_label(cell: Cell, node: int) -> str:
    """The node's index and, where it does more than pass on one edge, its mix."""
    mix = "" if node == 0 else cell.mix[node - 1]
    incoming = sum(edge.target == node for edge in cell.pruned().edges)
    return f"{node} {mix}" if mix not in ("", "sum") or incoming > 1 else str(node)


def shape_label(shape: LayerShape) -> str:
    """What a layer does to a feature map: `16x32x32 -> 32x16x16 /2`."""
    side, out_side = shape.resolution, shape.out_resolution
    stride = f" /{shape.stride}" if shape.stride != 1 else ""
    ends = f"{shape.in_channels}x{side}x{side} -> {shape.out_channels}x{out_side}x{out_side}"
    return f"{ends}{stride}"


def human(value: float) -> str:
    """A count with three digits and a unit: `43.5M`, `214k`, `96`."""
    if value < 999.5:
        return f"{value:.0f}" if value == int(value) else f"{value:.3g}"
    for unit in ("k", "M", "G"):
        value /= 1000
        if value < 999.5:
            return f"{_three_digits(value)}{unit}"
    return f"{_three_digits(value / 1000)}T"


def _three_digits(value: float) -> str:
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f}"
