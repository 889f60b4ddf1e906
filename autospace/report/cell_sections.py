"""The sections that show cells: the best of each layer, where they come from, and all of them."""

from dataclasses import dataclass

from autospace.evolution.population import Member
from autospace.report.cell_figures import born, lineage_figure
from autospace.report.findings import LayerFinding, gain, layer_findings
from autospace.report.html import Column, Content, Markup, Number, Table, details, element
from autospace.report.lineage import Lineage, Step, lineage
from autospace.report.numbers import fitness, signed
from autospace.report.page import Section, figure
from autospace.report.pictures import Pictures
from autospace.report.record import RunRecord
from autospace.spaces.cells.notation import human, notation, shape_label
from autospace.spaces.cost import cell_cost
from autospace.spaces.skeleton import LayerShape
from autospace.spaces.space import Candidate

MOST_STEPS = 24
"""Steps of a lineage that are drawn; of a longer one the oldest are left out."""


def best_cells(record: RunRecord, pictures: Pictures) -> Section:
    """The fittest cell of every layer, and behind it all that the layer offers."""
    cards, folds = [], []
    for index, shape in enumerate(record.shapes):
        cells = ranked(record.chosen(index))
        if cells:
            cards.append(_card(cells[0], shape, pictures, shape.name))
    for index, shape in enumerate(record.shapes):
        cells = ranked(record.chosen(index))
        drawn = [_card(each, shape, pictures) for each in cells]
        hint = element("span", f"{_arrowed(shape)}, {len(cells)} cells", class_="hint")
        folds.append(details(_titled(shape.name, hint), element("ul", *drawn, class_="cells")))
    return Section(
        "cells",
        "The learned cells",
        (
            element("p", "The fittest cell of every layer, input side first."),
            element("ul", *cards, class_="cells"),
            element("h3", "All cells, layer by layer"),
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
    """The winning cell; None if there is none whose origin is known."""
    found = _best_known(record)
    if not found:
        return None
    layer, best = max(found, key=lambda pair: (gain(pair[1]), -pair[0]))
    return Winner(best.name, layer, lineage(best.identity, record.scored[layer]))


def lineages(record: RunRecord, pictures: Pictures) -> list[Section]:
    """How the winning cells came about: the largest gain in full, the others step by step."""
    top = winner(record)
    if top is None:
        return []
    content: list[Content] = [
        element("p", _in_words(top.line, top.place)),
        figure(lineage_figure(top.line, top.place)),
        _strip(top.line, record.shapes[top.layer], pictures),
    ]
    others = [(index, each) for index, each in _best_known(record) if index != top.layer]
    if others:
        content.append(element("h3", "The best cells of the other layers"))
    for index, each in others:
        line = lineage(each.identity, record.scored[index])
        hint = element("span", _short(line), class_="hint")
        strip = _strip(line, record.shapes[index], pictures)
        content.append(details(_titled(f"{each.name}: {each.identity}", hint), strip))
    return [Section("lineage", "Where a winning cell comes from", tuple(content))]


def all_cells(record: RunRecord) -> Section:
    """Every cell of the space in one table."""
    columns = (
        Column("layer"),
        Column("cell"),
        Column("fitness", numeric=True, about="0 is as good as the reference cell"),
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
                    fitness(each.fitness),
                    Number(human(cost.madds), cost.madds),
                    Number(human(cost.params), cost.params),
                    born(each),
                    element("code", notation(each.cell)),
                )
            )
    caption = f"All {len(rows)} cells, by layer and fitness"
    table = Table(caption, columns, tuple(rows), filter="Only rows with the words")
    return Section("table", "All cells as a table", (table.markup(),))


def ranked(cells: tuple[Candidate, ...]) -> list[Candidate]:
    """The fittest first; those never scored last."""
    return sorted(cells, key=lambda each: (each.fitness is None, -(each.fitness or 0.0)))


def _titled(title: str, hint: Markup) -> Markup:
    return Markup(f"{element('span', title)} {hint}")


def _arrowed(shape: LayerShape) -> str:
    return shape_label(shape).replace("->", "→")


def _card(cell: Candidate, shape: LayerShape, pictures: Pictures, place: str = "") -> Markup:
    cost = cell_cost(cell.cell, shape)
    mark = [element("span", "hand-made", class_="mark")] if cell.origin.kind == "reference" else []
    told = "" if cell.fitness is None else f"fitness {signed(cell.fitness)}, "
    where = f"{place}: {_arrowed(shape)}"
    return element(
        "li",
        *([element("span", where, class_="place")] if place else []),
        element("span", element("span", cell.id, class_="mono"), *mark, class_="who"),
        element("span", f"{told}{human(cost.madds)} MAdds", class_="what"),
        *([] if mark else [element("span", born(cell), class_="what")]),
        pictures.of(cell.cell, shape),
        class_="cell",
    )


def _strip(line: Lineage, shape: LayerShape, pictures: Pictures) -> Markup:
    """The main line as a row of drawn cells, each with what changed."""
    shown = line.steps[-MOST_STEPS:]
    items = [_step(step, shape, pictures) for step in shown]
    return element("ol", *items, class_="cells steps")


def _step(step: Step, shape: LayerShape, pictures: Pictures) -> Markup:
    member = step.member
    changes = [element("li", change) for change in step.changes]
    if step.other is not None:
        changes.append(element("li", f"other parent {step.other.id}"))
    return element(
        "li",
        element("span", _when(member), class_="place"),
        element("span", element("span", member.id, class_="mono"), class_="who"),
        element("span", f"fitness {signed(member.value)}", class_="what"),
        element("ul", *changes, class_="changes") if changes else Markup(""),
        pictures.of(member.cell, shape),
        class_="cell",
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
        f"{last.id}, the best cell of {place}, goes back to {start} in {steps} "
        f"step{'' if steps == 1 else 's'}"
    )
    told += f", {crossed} of them by crossover" if crossed else ""
    told += f"; {len(line.ancestors) - 1} other cells are among its ancestors."
    if line.lost is not None:
        told += f" Of {line.lost}, the parent of {first.id}, nothing was recorded."
    return told


def _short(line: Lineage) -> str:
    first, steps = line.steps[0].member, len(line.steps) - 1
    return f"{steps} step{'' if steps == 1 else 's'} from {first.id} ({first.origin.kind})"


def _best_known(record: RunRecord) -> list[tuple[int, LayerFinding]]:
    """Per layer, the best evolved cell, where the record knows how it came about."""
    found = enumerate(layer_findings(record))
    return [(index, each) for index, each in found if each.identity in record.scored[index]]
