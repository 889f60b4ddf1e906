"""A space, a layer, a cell and an architecture for people, at any width."""

import re
import shlex
from textwrap import fill

from rich.cells import cell_len, set_cell_size
from rich.table import Table
from rich.text import Text

from autospace.cli.drawing import draw_cell
from autospace.cli.output import rich_data, terminal_width
from autospace.cli.summary import born, fitness_text, magnitude, span
from autospace.exporters.escape import visible
from autospace.exporters.notation import human, notation, shape_label
from autospace.exporters.svg import by_fitness
from autospace.spaces import Architecture, Candidate, Layer, LayerShape, Space, cell_cost

BAR_WIDTH = 8
EIGHTHS = " ▏▎▍▌▋▊▉"
ROOMY = 100
WIDE = 140
WIDEST_ID = 24
BOX_CHARACTERS = "[─│┌┐└┘┬┴▼]+"


def print_space(space: Space, source: str) -> None:
    """A header, one row per layer, and what to do next."""
    candidates = sum(len(layer.candidates) for layer in space.layers)
    head = (
        f"{len(space.layers)} layers on the skeleton {space.skeleton.name}, "
        f"{candidates} candidates, {magnitude(space)} architectures",
        f"MAdds {span(space.madds)}, params {span(space.params)}",
        *_reference_line(space),
    )
    table = _table("layer", "shape", ">cells", "best", ">fitness", ">MAdds", "")
    references = set(space.reference.values())
    if len(references) > 1 and terminal_width() >= ROOMY:
        table.add_column("reference", overflow="ellipsis")
    best = [by_fitness(layer.candidates)[0] for layer in space.layers]
    pairs = list(zip(space.layers, best, strict=True))
    costs = [cell_cost(candidate.cell, layer.shape).madds for layer, candidate in pairs]
    for (layer, candidate), madds in zip(pairs, costs, strict=True):
        reference = space.reference.get(layer.shape.name)
        row: list[str | Text] = [
            layer.shape.name,
            shape_label(layer.shape),
            str(len(layer.candidates)),
            visible(candidate.id) + (" *" if candidate.id == reference else ""),
            fitness_text(candidate),
            human(madds),
            _bar(madds, max(costs)),
        ]
        table.add_row(*row, *[visible(reference or "-")][: len(table.columns) - len(row)])
    legend = "best: the highest fitness; 0 is as good as the reference (*), MAdds are its own"
    rich_data(_header(space.name, *head), "", table, "", _faint(legend), _hint(source, "--layer 0"))


def print_architecture(architecture: Architecture, name: str, source: str) -> None:
    """A header and one row per layer."""
    cost = architecture.cost
    skeleton = architecture.skeleton
    head = (
        f"an architecture of {len(architecture.candidates)} layers on the skeleton {skeleton.name}",
        f"MAdds {human(cost.madds)}, params {human(cost.params)}",
    )
    table = _table("layer", "shape", "cell", ">MAdds", "", ">params")
    pairs = list(zip(skeleton.shapes, architecture.candidates, strict=True))
    costs = [cell_cost(candidate.cell, shape) for shape, candidate in pairs]
    dearest = max(each.madds for each in costs)
    for (shape, candidate), each in zip(pairs, costs, strict=True):
        table.add_row(
            shape.name,
            shape_label(shape),
            visible(candidate.id),
            human(each.madds),
            _bar(each.madds, dearest),
            human(each.params),
        )
    rich_data(_header(name, *head), "", table, "", _hint(source, "--layer 0"))


def print_layer(layer: Layer, reference: str | None, source: str) -> None:
    """The candidates, the fittest first, each with its graph on one line; the best one drawn."""
    ordered = by_fitness(layer.candidates)
    size = min(WIDEST_ID, max(cell_len(visible(each.id)) for each in ordered) + 2)
    origin = max(cell_len(visible(born(each))) for each in ordered) + 2
    beside = terminal_width() >= WIDE
    titles = f"{'':{size}}{'fitness':>9}{'MAdds':>8}{'params':>8}  {'born':{origin}}"
    parts: list[Text | Table | str] = [
        _header(layer.shape.name, f"{shape_label(layer.shape)}, {len(ordered)} candidates"),
        "",
        Text(f"{titles}{'cell' if beside else ''}", style="bold"),
    ]
    for each in ordered:
        line = _numbers(each, layer.shape, size, each.id == reference)
        line.append(set_cell_size(visible(born(each)), origin))
        line.append(_graph(each, line.cell_len if beside else None), style="dim")
        parts.append(line)
    best = ordered[0]
    parts.extend(["", _faint("fitness: 0 is as good as the reference (*)"), ""])
    parts.extend([Text(f"the best: {visible(best.id)}", style="bold"), _picture(best, layer.shape)])
    option = f"--layer {layer.shape.name} --cell {shlex.quote(visible(best.id))}"
    parts.extend(["", _hint(source, option)])
    rich_data(*parts)


def print_cell(layer: Layer, candidate: Candidate) -> None:
    """One candidate in numbers, on one line, and drawn."""
    cost = cell_cost(candidate.cell, layer.shape)
    head = (
        f"a cell of {layer.shape.name}, {shape_label(layer.shape)}",
        f"fitness {fitness_text(candidate)}, MAdds {human(cost.madds)}, "
        f"params {human(cost.params)}; {visible(born(candidate))}",
    )
    graph = _folded(notation(candidate.cell), 0)
    rich_data(_header(candidate.id, *head), graph, "", _picture(candidate, layer.shape))


def _numbers(candidate: Candidate, shape: LayerShape, size: int, is_reference: bool) -> Text:
    cost = cell_cost(candidate.cell, shape)
    name = visible(candidate.id)
    if cell_len(name) > size - 2:
        name = set_cell_size(name, size - 3) + "…"
    line = Text(set_cell_size(f"{name}{' *' if is_reference else ''}", size))
    numbers = f"{fitness_text(candidate):>9}{human(cost.madds):>8}{human(cost.params):>8}"
    return line.append(f"{numbers}  ")


def _graph(candidate: Candidate, column: int | None) -> str:
    """A cell on one line, from this column on, or on lines of its own."""
    lines = _folded(notation(candidate.cell), column or 4)
    return lines[column:] if column is not None else f"\n{lines}"


def _folded(graph: str, indent: int) -> str:
    """A cell's notation on indented lines, broken between edges, never inside one."""
    blanks = " " * indent
    width = max(terminal_width(), indent + 20)
    # textwrap breaks at ordinary spaces only.
    joined = re.sub(r"(\d>\d) ", "\\1\xa0", graph)
    return fill(joined, width, initial_indent=blanks, subsequent_indent=blanks).replace("\xa0", " ")


def _picture(candidate: Candidate, shape: LayerShape) -> Text:
    picture = Text(draw_cell(candidate.cell, shape, max(40, terminal_width())))
    picture.highlight_regex(BOX_CHARACTERS, "dim")
    return picture


def _reference_line(space: Space) -> tuple[str, ...]:
    names = sorted(set(space.reference.values()))
    if not names:
        return ("no reference architecture",)
    if len(names) == 1:
        return (f"reference {visible(names[0])} in every layer",)
    return ()


def _header(name: str, *lines: str) -> Text:
    header = Text(visible(name), style="bold")
    for line in lines:
        header.append(f"\n{visible(line)}", style="not bold")
    return header


def _table(*headings: str) -> Table:
    """A table without lines; a heading that starts with `>` is a column of numbers."""
    gap = 2 if terminal_width() >= ROOMY else 1
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for heading in headings:
        if heading.startswith(">"):
            table.add_column(heading[1:], justify="right", no_wrap=True)
        else:
            fixed = heading not in ("best", "cell")
            shortest = len(heading) if fixed else None
            table.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=shortest)
    return table


def _bar(value: int, largest: int) -> Text:
    eighths = round(8 * BAR_WIDTH * value / largest) if largest else 0
    full, rest = divmod(eighths, 8)
    return Text("█" * full + EIGHTHS[rest].strip(), style="green")


def _hint(source: str, option: str) -> Text:
    command = f"next: autospace show {shlex.quote(visible(source))} {option} [--svg FILE]"
    # On one line even where that is too long, to be copied.
    return Text(command, style="dim", no_wrap=True, overflow="ignore")


def _faint(text: str) -> Text:
    return Text(text, style="dim")
