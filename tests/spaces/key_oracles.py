"""Two ways to tell cells apart that know nothing of canonical keys.

`outputs` computes a cell with numbers: all outputs that it can give when a fixed set of weights is
handed out to its weighted parts in every order. Cells that compute the same function have the same
outputs; that others collide is beyond chance. `joints` writes a cell without pools and gates as a
graph of its weighted parts, by counting paths.
"""

import itertools
import struct
from collections import Counter, defaultdict
from collections.abc import Iterator

import networkx as nx
import torch
from torch.nn import functional as F

from autospace.spaces import Cell
from autospace.spaces.cells.cell import Edge

SKIP = "skip_connect"


def weighted_parts(cell: Cell) -> list[tuple[str, Edge | int]]:
    """(kind, part): kinds that may share weights, parts that need some."""
    last = cell.nodes - 1
    parts: list[tuple[str, Edge | int]] = [
        (f"{edge.operation}@{edge.target == last}", edge)
        for edge in cell.edges
        if edge.operation.startswith("dw")
    ]
    return parts + [("se", node) for node, mix in enumerate(cell.mix, 1) if mix == "se"]


def assignments(cell: Cell, stride: int) -> Iterator[dict[Edge | int, int]]:
    """Every way to hand out weights 0, 1, ... of a kind to the parts of this kind."""
    kinds: defaultdict[str, list[Edge | int]] = defaultdict(list)
    for kind, part in weighted_parts(cell):
        kinds[kind.partition("@")[0] if stride == 1 else kind].append(part)
    orders = [list(itertools.permutations(range(len(parts)))) for parts in kinds.values()]
    for chosen in itertools.product(*orders):
        yield {
            part: number
            for parts, order in zip(kinds.values(), chosen, strict=True)
            for part, number in zip(parts, order, strict=True)
        }


def pooled(x: torch.Tensor, stride: int) -> torch.Tensor:
    return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)


@torch.no_grad()
def evaluated(cell: Cell, stride: int, weights: dict[Edge | int, int], seed: int) -> bytes:
    """One channel; squeeze-and-excitation is any function of the average.

    7x7 pixels, because on an even side a 2x2 pool keeps the average, and a gate cannot tell.
    """
    generator = torch.Generator().manual_seed(seed)
    kernels = torch.randn(9, 1, 1, 3, 3, generator=generator, dtype=torch.float64)
    nodes = {0: torch.randn(1, 1, 7, 7, generator=generator, dtype=torch.float64)}
    for target in range(1, cell.nodes):
        incoming = []
        for edge in cell.edges:
            if edge.target != target or edge.source not in nodes:
                continue
            step = stride if target == cell.nodes - 1 else 1
            x = nodes[edge.source]
            match edge.operation:
                case "skip_connect":
                    incoming.append(x if step == 1 else F.avg_pool2d(x, 2, ceil_mode=True))
                case "avg_pool_3x3":
                    incoming.append(pooled(x, step))
                case "max_pool_3x3":
                    incoming.append(F.max_pool2d(x, 3, step, 1))
                case _:
                    kernel = kernels[weights[edge]] + 0.1 * int(edge.operation[8])
                    incoming.append(F.leaky_relu(F.conv2d(x, kernel, None, step, 1) - 0.5))
        if not incoming:
            continue
        value = torch.stack(incoming).sum(dim=0)
        match cell.mix[target - 1]:
            case "gate":
                value = value * torch.sigmoid(value.mean())
            case "se":
                value = value * torch.sigmoid(value.mean() * (2 + kernels[weights[target]].mean()))
        nodes[target] = value
    # Rounded to single precision: sums in another order differ in the last digits.
    pixels = nodes[cell.nodes - 1].flatten().tolist()
    mean, spread = sum(pixels) / len(pixels), sum(p * (i + 1) for i, p in enumerate(pixels))
    return struct.pack("<2d", *(float(f"{value:.7g}") + 0.0 for value in (mean, spread)))


def outputs(cell: Cell, stride: int, seed: int = 0) -> frozenset[bytes]:
    pruned = cell.pruned()
    return frozenset(evaluated(pruned, stride, w, seed) for w in assignments(pruned, stride))


def joints(cell: Cell, stride: int) -> "nx.DiGraph[object]":
    """Weighted parts as vertices; arcs count the ways by which identities and sums join them."""
    cell = cell.pruned()
    last = cell.nodes - 1
    kinds: dict[object, str] = {"input": "input", "output": "output"}
    ways: Counter[tuple[object, object]] = Counter()
    ways["input", ("value", 0)] = ways[("value", last), "output"] = 1
    for node, mix in enumerate(cell.mix, start=1):
        middle = ("mix", node)
        if mix == "se":
            kinds[middle] = "se"
        ways[("sum", node), middle] = ways[middle, ("value", node)] = 1
    for edge in cell.edges:
        if edge.operation != SKIP:
            kinds[edge] = edge.operation + ("/2" if stride == 2 and edge.target == last else "")
        ways[("value", edge.source), edge] += 1
        ways[edge, ("sum", edge.target)] += 1
    for plain in {end for way in ways for end in way} - set(kinds):
        into = [(a, n) for (a, b), n in ways.items() if b == plain]
        out = [(b, n) for (a, b), n in ways.items() if a == plain]
        for (a, n), (b, m) in itertools.product(into, out):
            ways[a, b] += n * m
        ways = Counter({way: n for way, n in ways.items() if plain not in way})
    graph: nx.DiGraph[object] = nx.DiGraph()
    for vertex, kind in kinds.items():
        graph.add_node(vertex, kind=kind)
    for (a, b), n in ways.items():
        graph.add_edge(a, b, ways=n)
    return graph
