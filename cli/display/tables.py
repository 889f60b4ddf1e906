"""Tables of spaces, layers, cells and architectures for people, at any width."""

import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from textwrap import fill
from typing import Final

from rich.cells import cell_len
from rich.table import Column, Table
from rich.text import Text

from autospace.cli.display.drawing import draw_cell
from autospace.cli.display.summary import (
    born,
    choices,
    extent,
    fitness_text,
    span,
)
from autospace.cli.output import rich_data, terminal_width
from autospace.spaces import Architecture, Candidate, Layer, LayerShape, Space, cell_cost
from autospace.spaces.cells.family import FAMILIES, changes, notation, work, work_unit
from autospace.spaces.cells.notation import shape_label
from autospace.spaces.space import by_fitness
from autospace.spaces.text import human, magnitude, plural, visible

BAR_WIDTH: Final = 8
EIGHTHS: Final = " ▏▎▍▌▋▊▉"
ROOMY: Final = 100
WIDE: Final = 140
ID_BESIDE_TEXT: Final = 40


def header(name: str, *lines: str) -> Text:
    """A name in bold, and lines of facts below it."""
    text = Text(visible(name), style="bold")
    for line in lines:
        text.append(f"\n{visible(line)}", style="not bold")
    return text


def table(*headings: str) -> Table:
    """A table without lines; a heading that starts with `>` is a column of numbers."""
    gap = 2 if terminal_width() >= ROOMY else 1
    made = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for heading in headings:
        if heading.startswith(">"):
            made.add_column(heading[1:], justify="right", no_wrap=True)
        else:
            made.add_column(heading, no_wrap=True, overflow="ellipsis", min_width=len(heading))
    return made


def fit_or_with_less(
    make: Callable[[Collection[str]], Table], heading: str, less: Sequence[str]
) -> Table:
    """The table without as many of its least important columns as it takes to show this one whole.

    Args:
        make: makes the table without these columns.
        heading: of the column; if there is no way to show a value of it whole, it goes on below.
        less: the columns that may be missing, the least important first.
    """
    for count in range(len(less) + 1):
        made = make(less[:count])
        if _fits(made, heading):
            break
    return made


def _fits(made: Table, heading: str) -> bool:
    """Gives this column what the others leave it, and says whether that is enough."""
    gap = 2 if terminal_width() >= ROOMY else 1
    own = next(column for column in made.columns if column.header == heading)
    others = [column for column in made.columns if column is not own]
    # A column that folds takes what is left, and needs some of it.
    folds = any(column.overflow == "fold" for column in others)
    room = terminal_width() if not folds else min(terminal_width(), ID_BESIDE_TEXT)
    taken = sum(gap + _widest(column) for column in others if column.overflow != "fold")
    room = min(room, terminal_width() - taken - gap)
    own.max_width, own.no_wrap, own.overflow = max(len(heading), room), False, "fold"
    return _widest(own) <= room


def _widest(column: Column) -> int:
    return max(cell_len(str(each)) for each in (column.header, *column.cells))


def bar(value: float, largest: float) -> Text:
    """A bar of up to `BAR_WIDTH` characters."""
    eighths = round(8 * BAR_WIDTH * value / largest) if largest else 0
    full, rest = divmod(eighths, 8)
    return Text("█" * full + EIGHTHS[rest].strip(), style="green")


def hint(*words: str, after: str = "") -> Text:
    """The command to go on with, ready to be copied, and what may follow it."""
    command = " ".join(shlex.quote(visible(word)) for word in words)
    # On one line even where that is too long, to be copied.
    text = f"next: autospace {command}{after}"
    return Text(text, style="dim", no_wrap=True, overflow="ignore")


def faint(text: str) -> Text:
    """A remark."""
    return Text(text, style="dim")


def folded(graph: str, indent: int) -> str:
    """A cell's notation on indented lines, broken between edges, never inside one."""
    blanks = " " * indent
    width = max(terminal_width(), indent + 20)
    # textwrap breaks at ordinary spaces only.
    joined = re.sub(r"(\d>\d) ", "\\1\xa0", graph)
    return fill(joined, width, initial_indent=blanks, subsequent_indent=blanks).replace("\xa0", " ")


LEAST_FOR_IDS = 24
BOX_CHARACTERS = "[─│┌┐└┘┬┴▼]+"
SVG_TOO = " [--svg FILE]"


def print_space(space: Space, source: str, remarks: Sequence[str] = ()) -> None:
    """A header with remarks on the run, one row per layer, and what to do next."""
    head = (
        f"{extent(space)} on the skeleton {space.skeleton.name}",
        f"MAdds {span(space.madds)}, params {span(space.params)}",
        *_binary_line(space),
        *_reference_line(space),
        *remarks,
    )
    unit = work_unit(space.kind)
    made = fit_or_with_less(lambda less: _layers_of(space, less), "best", ("bars", "shape"))
    legend = f"best: the highest fitness; 0 is as good as the reference (*), {unit} are its own"
    following = hint("show", source, "--layer", "0", after=SVG_TOO)
    rich_data(header(space.name, *head), "", made, "", faint(legend), following)


def _layers_of(space: Space, less: Collection[str]) -> Table:
    """One row per layer: its cells, and the best of them."""
    unit, shapes, bars = work_unit(space.kind), "shape" not in less, "bars" not in less
    named, drawn = ["shape"] * shapes, [""] * bars
    columns = table("layer", *named, ">cells", "best", ">fitness", f">{unit}", *drawn)
    several = len(set(space.reference.values())) > 1 and terminal_width() >= ROOMY
    if several:
        columns.add_column("reference", overflow="ellipsis")
    if space.reference and terminal_width() >= WIDE:
        columns.add_column("against the reference", overflow="fold")
    best = [by_fitness(layer.candidates)[0] for layer in space.layers]
    pairs = list(zip(space.layers, best, strict=True))
    costs = [work(space.kind, cell_cost(each.cell, layer.shape)) for layer, each in pairs]
    for (layer, candidate), madds in zip(pairs, costs, strict=True):
        reference = reference_of(space, layer)
        row: list[str | Text] = [
            layer.shape.name,
            *([shape_label(layer.shape)] if shapes else []),
            str(len(layer.candidates)),
            _marked(candidate, reference),
            fitness_text(candidate),
            human(madds),
            *([bar(madds, max(costs))] if bars else []),
        ]
        if several:
            row.append(visible(reference.id) if reference is not None else "-")
        changed = changes(candidate.cell, reference.cell) if reference is not None else ""
        columns.add_row(*row, *[changed][: len(columns.columns) - len(row)])
    return columns


def _binary_line(space: Space) -> list[str]:
    if not FAMILIES[space.kind].binary:
        return []
    return [f"binary operations {span(space.bops)}, OPs (MAdds + a 64th of them) {span(space.ops)}"]


def print_architecture(
    architecture: Architecture, name: str, command: Sequence[str], space: Space | None = None
) -> None:
    """A header and one row per layer.

    Args:
        architecture: what to show.
        name: its title.
        command: the words after `autospace` that show it.
        space: the space that it is one of, whose references it is held against.
    """
    cost, skeleton = architecture.cost, architecture.skeleton
    head = (
        f"an architecture of {choices(architecture)} on the skeleton {skeleton.name}",
        f"MAdds {human(cost.madds)}, params {human(cost.params)}",
        *([f"binary operations {human(cost.bops)}, OPs {human(cost.ops)}"] if cost.bops else []),
    )
    less = ("bars", "shape", "params")
    made = fit_or_with_less(lambda less: _cells_of(architecture, space, less), "cell", less)
    following = hint(*command, "--layer", "0", after=SVG_TOO)
    rich_data(header(name, *head), "", made, "", following)


def _cells_of(architecture: Architecture, space: Space | None, less: Collection[str]) -> Table:
    """One row per layer: its cell, and what it costs."""
    skeleton = architecture.skeleton
    scored = any(each.fitness is not None for each in architecture.candidates)
    fitness = [">fitness"] if scored else []
    unit = work_unit(architecture.kind)
    shapes, bars, params = (name not in less for name in ("shape", "bars", "params"))
    named, drawn, last = ["shape"] * shapes, [""] * bars, [">params"] * params
    columns = table("layer", *named, "cell", *fitness, f">{unit}", *drawn, *last)
    wide = terminal_width() >= WIDE
    if wide:
        columns.add_column("against the reference" if space else "edges", overflow="fold")
    pairs = list(zip(skeleton.shapes, architecture.candidates, strict=True))
    costs = [cell_cost(candidate.cell, shape) for shape, candidate in pairs]
    largest = max(work(architecture.kind, each) for each in costs)
    for index, ((shape, candidate), each) in enumerate(zip(pairs, costs, strict=True)):
        reference = reference_of(space, space.layers[index]) if space else None
        row: list[str | Text] = [
            shape.name,
            *([shape_label(shape)] if shapes else []),
            _marked(candidate, reference),
            *([fitness_text(candidate)] if scored else []),
            human(work(architecture.kind, each)),
            *([bar(work(architecture.kind, each), largest)] if bars else []),
            *([human(each.params)] if params else []),
        ]
        compared = changes(candidate.cell, reference.cell) if reference else ""
        graph = compared if space else notation(candidate.cell)
        columns.add_row(*row, *([graph] if wide else []))
    return columns


def print_samples(
    space: Space, drawn: Sequence[Architecture], seed: int, limits: Mapping[str, int]
) -> None:
    """One row per architecture: its cost, and where it differs from the reference."""
    within = "".join(f", {name} at most {limit:,}" for name, limit in limits.items())
    head = f"{len(drawn)} of {magnitude(space.size)} architectures, seed {seed}{within}"
    columns = table(">#", f">{work_unit(space.kind)}", "", ">params")
    # Whatever is left of the line, so that the numbers are never cut.
    columns.expand = True
    columns.add_column("cells", overflow="fold", ratio=1)
    largest = max(work(space.kind, each.cost) for each in drawn)
    for index, architecture in enumerate(drawn):
        cost = architecture.cost
        done = work(space.kind, cost)
        ids = ", ".join(visible(each.id) for each in architecture.candidates)
        columns.add_row(str(index), human(done), bar(done, largest), human(cost.params), ids)
    note = faint("cells: one per layer, input side first; --format json names the layers")
    rich_data(header(space.name, head), "", columns, "", note)


def print_layer(layer: Layer, reference: Candidate | None, command: Sequence[str]) -> None:
    """The candidates, the fittest first, each with its graph on one line; the best one drawn."""
    ordered = by_fitness(layer.candidates)
    count = plural(len(ordered), "candidate")
    origin = max(cell_len(visible(born(each))) for each in ordered) + 2
    beside, room = terminal_width() >= WIDE, terminal_width() >= ROOMY
    gap = " " * 10 if room else ""
    wide = fitness_width(layer)
    taken = wide + 8 + len(gap) + 10 + origin + (ID_BESIDE_TEXT if beside else 0)
    longest = max(cell_len(visible(each.id)) for each in ordered) + 2
    size = min(max(LEAST_FOR_IDS, terminal_width() - taken), longest)
    titles = f"{'':{size}}{'fitness':>{wide}}{'MAdds':>8}{gap}{'params':>8}  {'born':{origin}}"
    parts: list[Text | Table | str] = [
        header(layer.shape.name, f"{shape_label(layer.shape)}, {count}"),
        "",
        Text(f"{titles}{'cell' if beside else ''}", style="bold"),
    ]
    largest = max(cost.madds for cost in layer.costs)
    for each in ordered:
        line = _numbers(each, layer.shape, (size, wide), reference, largest if room else 0)
        shown = visible(born(each))
        # The id may have a line of its own, and so may where the cell is from.
        column = cell_len(line.plain.rpartition("\n")[2])
        if not beside and column + cell_len(shown) > terminal_width():
            line.append("\n" + folded(shown, 4))
        else:
            line.append(shown + " " * (origin - cell_len(shown)))
            column += origin
        parts.append(_with_graph(line, each, reference, column if beside else None))
    legend = "fitness: 0 is as good as the reference (*)"
    if any(each.uncertainty is not None for each in ordered):
        legend += "; ±: standard deviation of its error"
    if reference is not None:
        legend += "; vs *: what differs from it"
    parts.extend(["", faint(legend), ""])
    best = ordered[0]
    title = f"{'the best: ' if len(ordered) > 1 else ''}{visible(best.id)}"
    parts.extend([Text(title, style="bold"), _picture(best, layer.shape)])
    words = (*command, "--layer", layer.shape.name, "--cell", best.id)
    parts.extend(["", hint(*words, after=SVG_TOO)])
    rich_data(*parts)


def print_cell(layer: Layer, candidate: Candidate, reference: Candidate | None = None) -> None:
    """One candidate in numbers, on one line, and drawn; against the reference if there is one."""
    cost = cell_cost(candidate.cell, layer.shape)
    head = [
        f"a cell of {layer.shape.name}, {shape_label(layer.shape)}",
        f"fitness {fitness_text(candidate)}, MAdds {human(cost.madds)}, "
        f"params {human(cost.params)}; {visible(born(candidate))}",
    ]
    parts = [folded(notation(candidate.cell), 0)]
    if reference is not None and reference.id != candidate.id:
        other = cell_cost(reference.cell, layer.shape)
        ratios = (
            f"MAdds {_ratio(cost.madds, other.madds)}, params {_ratio(cost.params, other.params)}"
        )
        head.append(f"against the reference {visible(reference.id)}: {ratios}")
        parts.append(folded(changes(candidate.cell, reference.cell) or "the same cell", 4))
    elif reference is not None:
        head.append("the reference of this layer")
    rich_data(header(candidate.id, *head), *parts, "", _picture(candidate, layer.shape))


def reference_of(space: Space | None, layer: Layer) -> Candidate | None:
    """The reference candidate of a layer, if the space has a reference."""
    if space is None or not space.reference:
        return None
    return layer.by_id[space.reference[layer.shape.name]]


def _marked(candidate: Candidate, reference: Candidate | None) -> str:
    """The id, with the mark of the reference."""
    is_reference = reference is not None and candidate.id == reference.id
    return visible(candidate.id) + (" *" if is_reference else "")


def _ratio(value: int, reference: int) -> str:
    return f"{100 * (value / reference - 1):+.0f} %" if reference else human(value)


def fitness_width(layer: Layer) -> int:
    """The width of a column of fitness, two spaces before it included."""
    return max(9, *(len(fitness_text(each)) + 2 for each in layer.candidates))


def _numbers(
    candidate: Candidate,
    shape: LayerShape,
    sizes: tuple[int, int],
    reference: Candidate | None,
    largest: int,
) -> Text:
    """Id, fitness and cost; a bar next to the MAdds unless `largest` is 0.

    `sizes` are the widths of the columns of ids and of fitness. An id that is wider has a line of
    its own.
    """
    size, wide = sizes
    cost = cell_cost(candidate.cell, shape)
    mark = " *" if reference is not None and candidate.id == reference.id else "  "
    name = visible(candidate.id)
    blanks = size - 2 - cell_len(name)
    own = f"{name}{mark.rstrip()}\n{' ' * size}"
    line = Text(name + mark + " " * blanks if blanks >= 0 else own)
    line.append(f"{fitness_text(candidate):>{wide}}{human(cost.madds):>8}")
    if largest:
        drawn = bar(cost.madds, largest)
        line.append("  ").append_text(drawn).append(" " * (8 - drawn.cell_len))
    return line.append(f"{human(cost.params):>8}  ")


def _with_graph(
    line: Text, candidate: Candidate, reference: Candidate | None, column: int | None
) -> Text:
    """The numbers of a candidate with its graph, and what differs from the reference.

    Both stand from this column on, or on indented lines of their own.
    """
    graph = folded(notation(candidate.cell), 4 if column is None else column)
    line.append(f"\n{graph}" if column is None else graph[column:])
    if reference is None or candidate.id == reference.id:
        return line
    changed = f"vs *: {changes(candidate.cell, reference.cell) or 'the same cell'}"
    return line.append(f"\n{folded(changed, 4 if column is None else column)}", style="dim")


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
