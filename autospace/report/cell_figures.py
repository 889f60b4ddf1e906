"""The figures about cells: what they are made of, what they cost, where they come from."""

from collections.abc import Sequence

from autospace.charts.figure import (
    Axis,
    Dots,
    Entry,
    Figure,
    Line,
    Panel,
    Point,
    Role,
    Rule,
    Segments,
    Shape,
)
from autospace.evolution.population import Member
from autospace.report.lineage import Lineage
from autospace.report.numbers import signed
from autospace.report.record import RunRecord
from autospace.report.traits import Depth, by_depth
from autospace.spaces.cells.notation import human
from autospace.spaces.cells.operations import OPERATIONS
from autospace.spaces.cost import cell_cost
from autospace.spaces.space import Candidate

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
        "What the kept cells are made of, from the layers near the image (early) to those near "
        "the classifier (late), beside the initial population."
    )
    legend = (
        Entry("initial population", "second", "ring"),
        Entry("kept cells", "first", "dot"),
    )
    return Figure("operations", caption, panels, legend, (300, 60 + 22 * len(names)))


def front_figure(record: RunRecord) -> Figure:
    """MAdds and fitness of the cells of every layer, with the front of the best trade-offs."""
    panels = tuple(_front(record, index) for index in range(len(record.shapes)))
    caption = (
        "What a cell costs and what it promises. The line is the front: no scored cell is both "
        "cheaper and fitter than one on it. Axes differ between layers."
    )
    legend = (
        Entry("kept cell", "first", "dot"),
        Entry("hand-made cell", "second", "square"),
        Entry("any other scored cell", "faint", "speck"),
        Entry("front", "third", "line"),
    )
    return Figure("front", caption, panels, legend, (300, 210))


def lineage_figure(found: Lineage, place: str) -> Figure:
    """The whole ancestry of a cell: when each ancestor was born and how fit it was."""
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
        f"{len(found.ancestors)} cells, born in generations 0 to {last}, of fitness "
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
        Entry("main line", "first", "dot"),
        Entry("other ancestor", "faint", "dot"),
        Entry("hand-made cell", "second", "square"),
    )
    caption = "Every ancestor by its birth and fitness; the thick line is the main line."
    return Figure("lineage", caption, (panel,), legend, (400, 230))


def born(member: Member | Candidate) -> str:
    """When and how a cell came about, in words."""
    origin = member.origin
    if origin.kind == "reference":
        return "hand-made"
    parents = f" of {' and '.join(origin.parents)}" if origin.parents else ""
    when = f"generation {origin.generation}" if origin.generation else "initial population"
    return f"{when}, {origin.kind}{parents}"


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no cheaper or equally cheap one reaches: rising, from the left."""
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
    # Cells far below all that was kept would squeeze the rest together.
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
        words += f" {len(others) - len(seen)} cells of fitness below {signed(low)} are not shown."
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
