"""Sections and figures about cells: the best of each layer, ancestry, operations and costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from autospace.charts.figure import (
    Axis,
    Dots,
    Figure,
    LegendEntry,
    Line,
    Panel,
    Point,
    Role,
    Rule,
    Segments,
    Shape,
    with_minus,
)
from autospace.evolution.population import Member
from autospace.report.findings import Depth, LayerFinding, by_depth, gain, layer_findings
from autospace.report.page import (
    Column,
    Content,
    Number,
    PageSection,
    Pictures,
    Table,
    figure,
    fitness,
    fitness_text,
    part,
    signed,
)
from autospace.report.record import Lineage, RunRecord, Step, lineage
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.family import FAMILIES, cell_cost, notation, work, work_unit
from autospace.spaces.cells.notation import shape_label
from autospace.spaces.space import Candidate, by_fitness
from autospace.spaces.text import human, plural

MOST_SPECKS = 1000


def operations_figure(record: RunRecord) -> Figure | None:
    """Share of every operation in what was kept and in the initial population, by depth."""
    depths = [each for each in by_depth(record) if each.learned.cells]
    traits = [t for each in depths for t in (each.learned, each.initial) if t is not None]
    known = FAMILIES[record.kind].operations if record.kind else ()
    names = [name for name in known if any(name in each.operations for each in traits)]
    if not names:
        return None
    top = max(share for each in traits for share in each.operations.values())
    x = Axis("share of the operations", 0.0, top * 1.08, "percent")
    panels = tuple(_dumbbells(each, names, x) for each in depths)
    caption = f"Operations of the kept {record.thing}s, compared with the initial population"
    if len(depths) > 1 and not record.divided:
        caption += ", from the layers near the input (early) to those near the classifier (late)"
    legend = (
        LegendEntry("initial population", "second", "ring"),
        LegendEntry(f"kept {record.thing}s", "first", "dot"),
    )
    caption += "."
    return Figure("operations", caption, panels, legend, (300, 60 + 22 * len(names)))


def front_figure(record: RunRecord) -> Figure:
    """Cost and fitness of the candidates of every place, with the front of the best trade-offs."""
    panels = tuple(_front(record, index) for index in range(len(record.shapes)))
    thing = record.thing
    caption = (
        f"Cost and fitness of the {thing}s. The line is the Pareto front: no scored {thing} is "
        f"both cheaper and fitter than a {thing} on it."
    )
    if len(panels) > 1:
        caption += f" Each {record.place} has its own axes."
    legend = (
        LegendEntry(f"kept {thing}", "first", "dot"),
        LegendEntry(f"hand-made {thing}", "second", "square"),
        LegendEntry(f"any other scored {thing}", "faint", "speck"),
        LegendEntry("front", "third", "line"),
    )
    return Figure("front", caption, panels, legend, (300, 210))


def lineage_figure(found: Lineage, place: str, thing: str = "cell") -> Figure:
    """The whole ancestry of a candidate: generation of birth and fitness of each ancestor."""
    at: dict[str, Point] = {
        each.id: (float(each.origin.generation), each.value) for each in found.ancestors
    }
    trunk = {step.member.id for step in found.steps}
    pairs = [(a, b.id) for b in found.ancestors for a in b.origin.parents if a in at]
    main = tuple((at[a], at[b]) for a, b in pairs if {a, b} <= trunk)
    side = tuple((at[a], at[b]) for a, b in pairs if not {a, b} <= trunk)
    hand_made = [each for each in found.ancestors if each.origin.kind == "reference"]
    grown = [each for each in found.ancestors if each.origin.kind != "reference"]

    def dots(members: Sequence[Member], role: Role, shape: Shape) -> Dots:
        tips = tuple(f"{m.id}: {born(m)}; fitness {signed(m.value)}" for m in members)
        return Dots(tuple(at[each.id] for each in members), role, shape, tips)

    last = max(each.origin.generation for each in found.ancestors)
    values = [value for _, value in at.values()]
    panel = Panel(
        f"Ancestors of {found.steps[-1].member.id} in {place}",
        f"{len(found.ancestors)} {thing}s, born in generations 0 to {last}, with a fitness of "
        f"{signed(min(values))} to {signed(max(values))}.",
        Axis("generation of birth", -0.4, max(1, last) + 0.4, "whole"),
        Axis.of("fitness", [0.0, *values]),
        (
            Rule(0.0, "reference", dashed=False),
            Segments(side, "faint"),
            Segments(main, "first", thick=True),
            dots([each for each in grown if each.id not in trunk], "faint", "dot"),
            dots([each for each in grown if each.id in trunk], "first", "dot"),
            dots(hand_made, "second", "square"),
        ),
    )
    legend = (
        LegendEntry("main line", "first", "dot"),
        LegendEntry("other ancestor", "faint", "dot"),
        LegendEntry(f"hand-made {thing}", "second", "square"),
    )
    caption = "All ancestors by generation and fitness. The thick line is the main line of descent."
    return Figure("lineage", caption, (panel,), legend, (400, 230))


def born(member: Member | Candidate) -> str:
    """A few words on when and how a cell was created."""
    origin = member.origin
    if origin.kind == "reference":
        return "hand-made"
    if not origin.evolved:
        return "offered without a score"
    parents = f" of {' and '.join(origin.parents)}" if origin.parents else ""
    when = f"generation {origin.generation}" if origin.generation else "initial population"
    return f"{when}, {origin.kind}{parents}"


def front(points: Sequence[Point]) -> list[Point]:
    """The Pareto front, cheapest first: points that no point of at most their cost reaches."""
    found: list[Point] = []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or y > found[-1][1]:
            found.append((x, y))
    return found


def _dumbbells(depth: Depth, names: Sequence[str], x: Axis) -> Panel:
    learned = [depth.learned.operations.get(name, 0.0) for name in names]
    before = depth.initial
    initial = [before.operations.get(name, 0.0) for name in names] if before else []
    at_first = [f", {share:.0%} initially" for share in initial] or [""] * len(names)
    rows = [float(index) for index in range(len(names))]
    triples = zip(names, learned, at_first, strict=True)
    tips = tuple(f"{name}: {share:.0%} of the operations{was}" for name, share, was in triples)
    changes = zip(initial, learned, rows, strict=False)
    marks = (
        Segments(tuple(((was, row), (now, row)) for was, now, row in changes), "faint"),
        Dots(tuple(zip(initial, rows, strict=False)), "second", "ring"),
        Dots(tuple(zip(learned, rows, strict=True)), "first", "dot", tips),
    )
    return Panel(_title(depth), "; ".join(tips), x, Axis.named(names), marks)


def _title(depth: Depth) -> str:
    if not depth.name.endswith("layers"):
        return f"{depth.name[0].upper()}{depth.name[1:]}"
    first, last = depth.layers[0], depth.layers[-1]
    span = first if first == last else f"{first} to {last}"
    return f"{depth.name.capitalize()}: {span}"


def _front(record: RunRecord, layer: int) -> Panel:
    shape = record.shapes[layer]
    # A skip is offered without a score.
    cells = [each for each in record.chosen(layer) if each.fitness is not None]
    kind, unit, thing = record.kind, work_unit(record.kind), record.thing
    points = [
        (float(work(kind, cell_cost(each.cell, shape))), each.fitness or 0.0) for each in cells
    ]
    chosen = {each.id for each in cells}
    rest = [each for name, each in sorted(record.scored[layer].items()) if name not in chosen]
    others = sorted((float(work(kind, each.cost)), each.value) for each in rest)
    line = front([*others, *points])
    # Cells far below all kept ones would compress the scale of the rest.
    values = [0.0, *(value for _, value in points)]
    low = min(values) - 0.5 * (max(values) - min(values))
    seen = [point for point in others if point[1] >= low]
    stride = -(-len(seen) // MOST_SPECKS) or 1

    def dots(hand_made: bool, role: Role, shape: Shape) -> Dots:
        pairs = list(zip(cells, points, strict=True))
        found = [(c, p) for c, p in pairs if (c.origin.kind == "reference") == hand_made]
        tips = (f"{c.id}: {human(x)} {unit}, fitness {signed(y)}" for c, (x, y) in found)
        return Dots(tuple(point for _, point in found), role, shape, tuple(tips))

    words = (
        f"{len(cells)} {thing}s of the space and {len(others)} others; {len(line)} on the front."
    )
    if len(seen) < len(others):
        hidden = f"{len(others) - len(seen)} {thing}s with fitness below {signed(low)}"
        words += f" {hidden} are not shown."
    return Panel(
        shape.name,
        words,
        Axis.of(unit, [x for x, _ in [*seen, *points]], "count"),
        Axis.of("fitness", [0.0, *(y for _, y in [*seen, *points])]),
        (
            Rule(0.0, "reference", dashed=False),
            Dots(tuple(seen[::stride]), "faint", "speck"),
            Line(tuple(point for point in line if point[1] >= low), "third", step=True),
            dots(True, "second", "square"),
            dots(False, "first", "dot"),
        ),
    )


MOST_STEPS = 24
"""Maximum number of steps of a lineage that are drawn; the oldest steps are left out."""


def best_cells(record: RunRecord, pictures: Pictures) -> PageSection:
    """The fittest candidate of every place, and on demand all of them.

    Where several choices make a cell, also the cell that the fittest choices make.
    """
    cards, folds = [], []
    place, thing = record.place, record.thing
    best = [by_fitness(record.chosen(index)) for index in range(len(record.shapes))]
    for cells, shape in zip(best, record.shapes, strict=True):
        if cells:
            cards.append(_card(cells[0], shape, pictures, shape.name))
    for cells, shape in zip(best, record.shapes, strict=True):
        drawn = [_card(each, shape, pictures) for each in cells]
        hint = f"{_arrowed(shape)}, {len(cells)} {thing}s"
        folds.append(part("details", shape.name, part("cards", drawn), hint=hint))
    content: list[Content] = []
    if record.divided and record.fittest:
        content += _made(record, pictures)
    told = f"The fittest {thing} of every {place}, input side first."
    if place == thing:
        told = f"The fittest {thing}."
    title = f"All {thing}s" + (f", {place} by {place}" if place != thing else "")
    content += [part("p", told), part("cards", cards), part("h3", title), *folds]
    return PageSection("cells", "The learned cells", tuple(content))


def _made(record: RunRecord, pictures: Pictures) -> list[Content]:
    """The cells that the fittest choices make."""
    unit, cards = work_unit(record.kind), []
    made = record.made(record.fittest)
    for cell, shape in made:
        cost = work(cell.kind, cell_cost(cell, shape))
        place = _arrowed(shape) if len(made) == 1 else f"{shape.name}: {_arrowed(shape)}"
        cards.append(
            part(
                "card",
                f"{human(cost)} {unit}",
                [notation(cell)],
                pictures.of(cell, shape),
                place=place,
            )
        )
    several = "The cells" if len(made) > 1 else "The cell"
    told = (
        f"{several} that the fittest {record.thing} of every {record.place} makes. Each was scored "
        "in the cell of the reference, and not together with the others."
    )
    return [part("p", told), part("cards", cards), part("h3", f"The fittest {record.thing}s")]


@dataclass(frozen=True, slots=True)
class Winner:
    """The cell with the largest gain over the hand-made cells, and where it comes from."""

    place: str
    layer: int
    line: Lineage


def winner(record: RunRecord) -> Winner | None:
    """The winning candidate; None if the origin of all of them is unknown."""
    found = _best_known(record)
    if not found:
        return None
    layer, best = max(found, key=lambda pair: (gain(pair[1]), -pair[0]))
    return Winner(best.name, layer, lineage(best.identity, record.scored[layer]))


def lineages(record: RunRecord, pictures: Pictures) -> list[PageSection]:
    """The ancestry of the winning cells: in full for the largest gain, as steps for the others."""
    top = winner(record)
    if top is None:
        return []
    content: list[Content] = [
        part("p", _in_words(top.line, top.place, record.thing)),
        figure(lineage_figure(top.line, top.place, record.thing)),
        _strip(top.line, record.shapes[top.layer], pictures),
    ]
    others = [(index, each) for index, each in _best_known(record) if index != top.layer]
    if others:
        content.append(part("h3", f"The best {record.thing}s of the other {record.place}s"))
    for index, each in others:
        line = lineage(each.identity, record.scored[index])
        strip = _strip(line, record.shapes[index], pictures)
        content.append(part("details", f"{each.name}: {each.identity}", strip, hint=_short(line)))
    return [PageSection("lineage", f"Where a winning {record.thing} comes from", tuple(content))]


def all_cells(record: RunRecord) -> PageSection:
    """Every candidate of the space in one table."""
    about, thing = f"0 means as good as the reference {record.thing}", record.thing
    places = range(len(record.shapes))
    if any(each.uncertainty is not None for place in places for each in record.chosen(place)):
        about += "; ± is the standard deviation of its error"
    columns = (
        Column(record.place),
        Column("id" if record.place == thing else thing),
        Column("fitness", numeric=True, about=about),
        Column(work_unit(record.kind), numeric=True),
        Column("params", numeric=True),
        Column("born"),
        Column("what it computes"),
    )
    rows = []
    for index, shape in enumerate(record.shapes):
        for each in by_fitness(record.chosen(index)):
            cost = cell_cost(each.cell, shape)
            rows.append(
                (
                    shape.name,
                    each.id,
                    fitness(each.fitness, each.uncertainty),
                    Number(human(done := work(record.kind, cost)), done),
                    Number(human(cost.params), cost.params),
                    born(each),
                    part("code", notation(each.cell)),
                )
            )
    order = "fitness" if record.place == thing else f"{record.place} and fitness"
    caption = f"All {len(rows)} {thing}s, by {order}"
    table = Table(caption, columns, tuple(rows), filter="Filter rows by words")
    return PageSection("table", f"All {thing}s as a table", (table.markup(),))


def _arrowed(shape: LayerShape) -> str:
    return shape_label(shape).replace("->", "→")


def _card(cell: Candidate, shape: LayerShape, pictures: Pictures, place: str = "") -> Content:
    hand_made = cell.origin.kind == "reference"
    told = ""
    if cell.fitness is not None:
        told = f"fitness {fitness_text(cell.fitness, cell.uncertainty)}, "
    kind = cell.cell.kind
    cost = f"{told}{human(work(kind, cell_cost(cell.cell, shape)))} {work_unit(kind)}"
    return part(
        "card",
        cell.id,
        [cost] if hand_made else [cost, born(cell)],
        pictures.of(cell.cell, shape),
        place=f"{place}: {_arrowed(shape)}" if place else "",
        hand_made=hand_made,
    )


def _strip(line: Lineage, shape: LayerShape, pictures: Pictures) -> Content:
    """The main line as a row of drawn cells, each with its changes."""
    shown = line.steps[-MOST_STEPS:]
    return part("steps", [_step(step, shape, pictures) for step in shown])


def _step(step: Step, shape: LayerShape, pictures: Pictures) -> Content:
    member, other = step.member, step.other
    return part(
        "card",
        member.id,
        [f"fitness {signed(member.value)}"],
        pictures.of(member.cell, shape),
        place=_when(member),
        changes=[*map(_sign, step.changes), *([f"other parent {other.id}"] if other else [])],
    )


def _sign(change: str) -> str:
    """A change with a minus sign in place of the hyphen of what is left out."""
    return with_minus(change[:1]) + change[1:]


def _when(member: Member) -> str:
    origin = member.origin
    if origin.kind == "reference":
        return "hand-made"
    when = f"generation {origin.generation}" if origin.generation else "initial population"
    return f"{when}, {origin.kind}"


def _in_words(line: Lineage, place: str, thing: str) -> str:
    first, last = line.steps[0].member, line.steps[-1].member
    start = {
        "reference": f"the hand-made {thing} {first.id}",
        "random": f"the random {thing} {first.id} of the initial population",
    }.get(first.origin.kind, f"the {thing} {first.id}")
    steps = len(line.steps) - 1
    if not steps and line.lost is None:
        return f"{last.id}, the best {thing} of {place}, is {start.replace('the', 'a', 1)}."
    crossed = sum(step.member.origin.kind == "crossover" for step in line.steps)
    told = (
        f"{last.id}, the best {thing} of {place}, descends from {start} in {steps} "
        f"step{'' if steps == 1 else 's'}"
    )
    told += f", {crossed} of them by crossover" if crossed else ""
    count = plural(len(line.ancestors) - 1, f"other {thing}")
    told += f"; {count} {'is' if len(line.ancestors) == 2 else 'are'} among its ancestors."
    if line.lost is not None:
        told += f" No record exists of {line.lost}, the parent of {first.id}."
    return told


def _short(line: Lineage) -> str:
    first, steps = line.steps[0].member, len(line.steps) - 1
    return f"{steps} step{'' if steps == 1 else 's'} from {first.id} ({first.origin.kind})"


def _best_known(record: RunRecord) -> list[tuple[int, LayerFinding]]:
    """The best evolved cell of each layer, if the record holds its origin."""
    found = enumerate(layer_findings(record))
    return [(index, each) for index, each in found if each.identity in record.scored[index]]
