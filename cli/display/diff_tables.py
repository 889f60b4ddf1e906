"""Two spaces side by side for people."""

from rich.table import Table
from rich.text import Text

from autospace.cli.display.summary import extent, fitness_text, span
from autospace.cli.display.tables import WIDE, bar, faint, folded, hint, table
from autospace.cli.output import rich_data, terminal_width
from autospace.spaces import Candidate, Layer, Space, cell_cost
from autospace.spaces.cells.family import notation
from autospace.spaces.cells.notation import shape_label
from autospace.spaces.difference import (
    LayerDifference,
    SpaceDifference,
    operation_shares,
)
from autospace.spaces.text import human, plural, visible

MOST_IDS = 3

Side = tuple[str, Space]
Parts = list[Table | Text | str]


def print_difference(first: Side, second: Side, found: SpaceDifference) -> None:
    """Both in a line each, what differs as a whole, layers, operations, what to do next."""
    parts: Parts = [_heading(first, second), ""]
    parts.extend(_whole(first[1], second[1], found))
    parts.extend([_layers(found), *_repeated(found), "", _operations(first[1], second[1]), ""])
    note = "both: cells that compute the same function, whatever their ids are"
    rescored = sum(len(layer.rescored) for layer in found.layers)
    if rescored:
        note += f"; {rescored} of them have another fitness"
    parts.extend([faint(note), hint("diff", first[0], second[0], "--layer", "0")])
    rich_data(*parts)


def print_layer_difference(layer: LayerDifference) -> None:
    """The cells of a layer: those of A only, those of B only, and those of both."""
    parts: Parts = []
    for mark, side in (("A", layer.first), ("B", layer.second)):
        shape = shape_label(side.shape) if side is not None else "no such layer"
        count = f", {plural(len(side.candidates), 'candidate')}" if side is not None else ""
        parts.append(Text(f"{layer.name} of {mark}: {shape}{count}", style="bold"))
    for title, mark, side, cells in (
        ("only in A", "-", layer.first, layer.only_first),
        ("only in B", "+", layer.second, layer.only_second),
    ):
        if side is not None and cells:
            parts.extend(["", Text(title, style="bold")])
            parts.extend(_cell(mark, side, each) for each in cells)
    if layer.both:
        parts.extend(["", Text("in both", style="bold")])
        parts.extend(_pair(a, b) for a, b in layer.both)
    rich_data(*parts)


def _heading(first: Side, second: Side) -> Table:
    columns = Table.grid(padding=(0, 2, 0, 0))
    for mark, (source, space) in (("A", first), ("B", second)):
        columns.add_row(
            Text(mark, style="bold"),
            f"{visible(source)}\n{visible(space.name)}: {extent(space)}\n"
            f"MAdds {span(space.madds)}, params {span(space.params)}",
        )
    return columns


def _whole(first: Space, second: Space, found: SpaceDifference) -> Parts:
    lines = []
    if found.equal:
        lines.append("no difference: every layer has the same cells with the same fitness")
    if found.skeleton:
        lines.append(f"skeletons differ in: {', '.join(found.skeleton)}")
    if found.reference:
        lines.append(f"reference: A has {_reference(first)}, B has {_reference(second)}")
    if found.budget:
        lines.append(f"budget: A has {_budget(first)}, B has {_budget(second)}")
    return [*lines, ""] if lines else []


def _reference(space: Space) -> str:
    names = sorted(set(space.reference.values()))
    return ", ".join(map(visible, names[:MOST_IDS])) or "none"


def _budget(space: Space) -> str:
    limits = {"MAdds": space.budget.max_madds, "params": space.budget.max_params}
    limits["OPs"] = space.budget.max_ops
    given = [f"{human(limit)} {name}" for name, limit in limits.items() if limit is not None]
    return " and ".join(given) or "none"


def _layers(found: SpaceDifference) -> Table:
    """A row per layer; which cells it is, where there is room."""
    wide = terminal_width() >= WIDE
    columns = table("layer", ">both", ">only A", ">only B", ">MAdds of A", ">MAdds of B")
    if wide:
        columns.expand = True
        for heading in ("only in A", "only in B"):
            columns.add_column(heading, overflow="fold", ratio=1)
    for layer in found.layers:
        row = [
            layer.name,
            str(len(layer.both)),
            str(len(layer.only_first) or "-"),
            str(len(layer.only_second) or "-"),
            _range(layer.first),
            _range(layer.second),
        ]
        ids = [_ids(layer.only_first), _ids(layer.only_second)] if wide else []
        columns.add_row(*row, *ids, style="dim" if layer.equal else "")
    return columns


def _repeated(found: SpaceDifference) -> Parts:
    """A line per function that one space offers more often: no count of the table names it."""
    lines = [
        f"{layer.name}: one function: {_same(here)} in A, {_same(there)} in B"
        for layer in found.layers
        for here, there in layer.repeated
    ]
    return ["", *lines] if lines else []


def _same(cells: list[Candidate]) -> str:
    return " = ".join(visible(each.id) for each in cells)


def _ids(cells: tuple[Candidate, ...]) -> str:
    return ", ".join(visible(each.id) for each in cells)


def _range(layer: Layer | None) -> str:
    """Cheapest and most expensive candidate of a layer."""
    if layer is None:
        return "no layer"
    low, high = (human(pick(cost.madds for cost in layer.costs)) for pick in (min, max))
    return low if low == high else f"{low} to {high}"


def _operations(first: Space, second: Space) -> Table:
    """Share of every operation among the edges of either."""
    here, there = operation_shares(first.layers), operation_shares(second.layers)
    columns = table("operation", ">A", "", ">B", "", ">B - A")
    largest = max((*here.values(), *there.values()), default=0.0)
    for name in dict.fromkeys((*here, *there)):
        a, b = here.get(name, 0.0), there.get(name, 0.0)
        columns.add_row(
            name,
            f"{100 * a:.0f} %",
            bar(a, largest),
            f"{100 * b:.0f} %",
            bar(b, largest),
            f"{100 * (b - a):+.0f}",
        )
    return columns


def _cell(mark: str, layer: Layer, candidate: Candidate) -> Text:
    cost = cell_cost(candidate.cell, layer.shape)
    text = Text(f"{mark} {visible(candidate.id)}", style="red" if mark == "-" else "green")
    numbers = f"  fitness {fitness_text(candidate)}, MAdds {human(cost.madds)}"
    text.append(numbers, style="default")
    return text.append(f"\n{folded(notation(candidate.cell), 4)}", style="default")


def _pair(a: Candidate, b: Candidate) -> Text:
    """One function in both: under which ids, and how fit."""
    names = visible(a.id) if a.id == b.id else f"{visible(a.id)} = {visible(b.id)}"
    fitness = fitness_text(a)
    if a.fitness != b.fitness:
        fitness = f"{fitness} → {fitness_text(b)}"
    return Text(f"  {names}  fitness {fitness}", style="" if a.fitness != b.fitness else "dim")
