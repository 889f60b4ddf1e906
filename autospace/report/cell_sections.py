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
from autospace.spaces.cells.family import cell_cost, notation
from autospace.spaces.cells.notation import shape_label
from autospace.spaces.cells.operations import OPERATIONS
from autospace.spaces.space import Candidate
from autospace.spaces.text import human

MOST_SPECKS = 1000


def operations_figure(record: RunRecord) -> Figure | None:
    """Share of every operation in the kept cells and in the initial population, by depth."""
    depths = [each for each in by_depth(record) if each.learned.cells]
    traits = [t for each in depths for t in (each.learned, each.initial) if t is not None]
    names = [name for name in OPERATIONS if any(name in each.operations for each in traits)]
    if not names:
        return None
    top = max(share for each in traits for share in each.operations.values())
    x = Axis("share of the edges", 0.0, top * 1.08, "percent")
    panels = tuple(_dumbbells(each, names, x) for each in depths)
    caption = (
        "Operations of the kept cells, compared with the initial population, from the layers near "
        "the image (early) to those near the classifier (late)."
    )
    legend = (
        LegendEntry("initial population", "second", "ring"),
        LegendEntry("kept cells", "first", "dot"),
    )
    return Figure("operations", caption, panels, legend, (300, 60 + 22 * len(names)))


def front_figure(record: RunRecord) -> Figure:
    """MAdds and fitness of the cells of every layer, with the front of the best trade-offs."""
    panels = tuple(_front(record, index) for index in range(len(record.shapes)))
    caption = (
        "Cost and fitness of the cells. The line is the Pareto front: no scored cell is both "
        "cheaper and fitter than a cell on it. Each layer has its own axes."
    )
    legend = (
        LegendEntry("kept cell", "first", "dot"),
        LegendEntry("hand-made cell", "second", "square"),
        LegendEntry("any other scored cell", "faint", "speck"),
        LegendEntry("front", "third", "line"),
    )
    return Figure("front", caption, panels, legend, (300, 210))


def lineage_figure(found: Lineage, place: str) -> Figure:
    """The whole ancestry of a cell: generation of birth and fitness of each ancestor."""
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
        f"{len(found.ancestors)} cells, born in generations 0 to {last}, with a fitness of "
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
        LegendEntry("hand-made cell", "second", "square"),
    )
    caption = "All ancestors by generation and fitness. The thick line is the main line of descent."
    return Figure("lineage", caption, (panel,), legend, (400, 230))


def born(member: Member | Candidate) -> str:
    """A few words on when and how a cell was created."""
    origin = member.origin
    if origin.kind == "reference":
        return "hand-made"
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
    tips = tuple(f"{name}: {share:.0%} of the edges{was}" for name, share, was in triples)
    changes = zip(initial, learned, rows, strict=False)
    marks = (
        Segments(tuple(((was, row), (now, row)) for was, now, row in changes), "faint"),
        Dots(tuple(zip(initial, rows, strict=False)), "second", "ring"),
        Dots(tuple(zip(learned, rows, strict=True)), "first", "dot", tips),
    )
    return Panel(_title(depth), "; ".join(tips), x, Axis.named(names), marks)


def _title(depth: Depth) -> str:
    first, last = depth.layers.start, depth.layers.stop - 1
    span = f"layer {first}" if first == last else f"layers {first} to {last}"
    return f"{depth.name.capitalize()}: {span}"


def _front(record: RunRecord, layer: int) -> Panel:
    shape, cells = record.shapes[layer], record.chosen(layer)
    points = [(float(cell_cost(each.cell, shape).madds), each.fitness or 0.0) for each in cells]
    chosen = {each.id for each in cells}
    rest = [each for name, each in sorted(record.scored[layer].items()) if name not in chosen]
    others = sorted((float(each.cost.madds), each.value) for each in rest)
    line = front([*others, *points])
    # Cells far below all kept ones would compress the scale of the rest.
    values = [0.0, *(value for _, value in points)]
    low = min(values) - 0.5 * (max(values) - min(values))
    seen = [point for point in others if point[1] >= low]
    stride = -(-len(seen) // MOST_SPECKS) or 1

    def dots(hand_made: bool, role: Role, shape: Shape) -> Dots:
        pairs = list(zip(cells, points, strict=True))
        found = [(c, p) for c, p in pairs if (c.origin.kind == "reference") == hand_made]
        tips = (f"{c.id}: {human(x)} MAdds, fitness {signed(y)}" for c, (x, y) in found)
        return Dots(tuple(point for _, point in found), role, shape, tuple(tips))

    words = f"{len(cells)} cells of the space and {len(others)} others; {len(line)} on the front."
    if len(seen) < len(others):
        words += f" {len(others) - len(seen)} cells with fitness below {signed(low)} are not shown."
    return Panel(
        shape.name,
        words,
        Axis.of("MAdds", [x for x, _ in [*seen, *points]], "count"),
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
    """The fittest cell of every layer, and on demand all cells of the layer."""
    cards, folds = [], []
    for index, shape in enumerate(record.shapes):
        cells = ranked(record.chosen(index))
        if cells:
            cards.append(_card(cells[0], shape, pictures, shape.name))
    for index, shape in enumerate(record.shapes):
        cells = ranked(record.chosen(index))
        drawn = [_card(each, shape, pictures) for each in cells]
        hint = f"{_arrowed(shape)}, {len(cells)} cells"
        folds.append(part("details", shape.name, part("cards", drawn), hint=hint))
    return PageSection(
        "cells",
        "The learned cells",
        (
            part("p", "The fittest cell of every layer, input side first."),
            part("cards", cards),
            part("h3", "All cells, layer by layer"),
            *folds,
        ),
    )


@dataclass(frozen=True, slots=True)
class Winner:
    """The cell with the largest gain over the hand-made cells, and where it comes from."""

    place: str
    layer: int
    line: Lineage


def winner(record: RunRecord) -> Winner | None:
    """The winning cell; None if the origin of all candidates is unknown."""
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
        part("p", _in_words(top.line, top.place)),
        figure(lineage_figure(top.line, top.place)),
        _strip(top.line, record.shapes[top.layer], pictures),
    ]
    others = [(index, each) for index, each in _best_known(record) if index != top.layer]
    if others:
        content.append(part("h3", "The best cells of the other layers"))
    for index, each in others:
        line = lineage(each.identity, record.scored[index])
        strip = _strip(line, record.shapes[index], pictures)
        content.append(part("details", f"{each.name}: {each.identity}", strip, hint=_short(line)))
    return [PageSection("lineage", "Where a winning cell comes from", tuple(content))]


def all_cells(record: RunRecord) -> PageSection:
    """Every cell of the space in one table."""
    about = "0 means as good as the reference cell"
    places = range(len(record.shapes))
    if any(each.uncertainty is not None for place in places for each in record.chosen(place)):
        about += "; ± is the standard deviation of its error"
    columns = (
        Column("layer"),
        Column("cell"),
        Column("fitness", numeric=True, about=about),
        Column("MAdds", numeric=True),
        Column("params", numeric=True),
        Column("born"),
        Column("what it computes"),
    )
    rows = []
    for index, shape in enumerate(record.shapes):
        for each in ranked(record.chosen(index)):
            cost = cell_cost(each.cell, shape)
            rows.append(
                (
                    shape.name,
                    each.id,
                    fitness(each.fitness, each.uncertainty),
                    Number(human(cost.madds), cost.madds),
                    Number(human(cost.params), cost.params),
                    born(each),
                    part("code", notation(each.cell)),
                )
            )
    caption = f"All {len(rows)} cells, by layer and fitness"
    table = Table(caption, columns, tuple(rows), filter="Filter rows by words")
    return PageSection("table", "All cells as a table", (table.markup(),))


def ranked(cells: tuple[Candidate, ...]) -> list[Candidate]:
    """The fittest first; those never scored last."""
    return sorted(cells, key=lambda each: (each.fitness is None, -(each.fitness or 0.0)))


def _arrowed(shape: LayerShape) -> str:
    return shape_label(shape).replace("->", "→")


def _card(cell: Candidate, shape: LayerShape, pictures: Pictures, place: str = "") -> Content:
    hand_made = cell.origin.kind == "reference"
    told = ""
    if cell.fitness is not None:
        told = f"fitness {fitness_text(cell.fitness, cell.uncertainty)}, "
    cost = f"{told}{human(cell_cost(cell.cell, shape).madds)} MAdds"
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
        changes=[*step.changes, *([f"other parent {other.id}"] if other else [])],
    )


def _when(member: Member) -> str:
    origin = member.origin
    if origin.kind == "reference":
        return "hand-made"
    when = f"generation {origin.generation}" if origin.generation else "initial population"
    return f"{when}, {origin.kind}"


def _in_words(line: Lineage, place: str) -> str:
    first, last = line.steps[0].member, line.steps[-1].member
    start = {
        "reference": f"the hand-made cell {first.id}",
        "random": f"the random cell {first.id} of the initial population",
    }.get(first.origin.kind, f"the cell {first.id}")
    steps = len(line.steps) - 1
    crossed = sum(step.member.origin.kind == "crossover" for step in line.steps)
    told = (
        f"{last.id}, the best cell of {place}, descends from {start} in {steps} "
        f"step{'' if steps == 1 else 's'}"
    )
    told += f", {crossed} of them by crossover" if crossed else ""
    told += f"; {len(line.ancestors) - 1} other cells are among its ancestors."
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
