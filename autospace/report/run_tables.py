"""The tables of a run: what cells are made of, and how every round went."""

from autospace.report import fitness_figures as course
from autospace.report import numbers
from autospace.report.html import Column, Content, Number, Table, details, element
from autospace.report.page import Section, figure
from autospace.report.record import RunRecord
from autospace.report.traits import Depth, shifts


def operations_table(depths: tuple[Depth, ...]) -> Content:
    """Share of every operation by depth; the last depth is all layers together."""
    whole = depths[-1]
    names = [name for name, _, _ in shifts(whole)] or sorted(whole.learned.operations)
    columns = [Column("operation")]
    for depth in depths:
        columns.append(Column(depth.name, True))
        columns.append(Column("initially", True))
    rows: list[tuple[Content | Number, ...]] = []
    for name in names:
        row: list[Content | Number] = [name]
        for depth in depths:
            row.append(numbers.share(depth.learned.operations.get(name, 0.0)))
            before = depth.initial
            row.append(numbers.share(before.operations.get(name, 0.0) if before else None))
        rows.append(tuple(row))
    caption = "Share of each operation among the live edges, largest change first"
    return Table(caption, tuple(columns), tuple(rows)).markup()


def traits_table(depths: tuple[Depth, ...]) -> Content:
    """Everything else about the cells by depth, at the end and at the beginning."""
    headings = ("number", "edges per cell", "expansion 1", "expansion 3", "expansion 6")
    mixes = ("mix by sum", "by gate", "by se")
    columns = (Column("cells"), *(Column(name, True) for name in (*headings, *mixes)))
    rows: list[tuple[Content | Number, ...]] = []
    for depth in depths:
        for label, each in (
            (depth.name, depth.learned),
            (f"{depth.name}, initially", depth.initial),
        ):
            if each is not None:
                shares = [each.expansions.get(e, 0.0) for e in (1, 3, 6)]
                shares += [each.mixes.get(mix, 0.0) for mix in ("sum", "gate", "se")]
                edges = numbers.decimal(each.edges, 1)
                rows.append((label, numbers.whole(each.cells), edges, *map(numbers.share, shares)))
    caption = "Size, expansion ratio, and how nodes that join several edges combine them"
    return Table(caption, columns, tuple(rows)).markup()


def effort_section(record: RunRecord) -> Section:
    """How the search went: cells drawn and rejected, seconds and memory."""
    cells = ("cells scored", "cells drawn", "within budget", "duplicates")
    rest = ("best", "mean", "seconds", "peak MB")
    numeric = (Column(name, numeric=True) for name in (*cells, *rest))
    columns = (Column("round", numeric=True), Column("phase"), *numeric)
    rows: list[tuple[Content | Number, ...]] = []
    for each in course.thinned(record.history):
        log, drawn = record.log.get(each.index), each.drawn
        seconds = log.seconds if log else None
        memory = log.memory_mb if log else None
        rows.append(
            (
                numbers.whole(each.index + 1),
                each.phase,
                numbers.whole(sum(layer.scored for layer in each.layers)),
                numbers.whole(drawn.total),
                numbers.share(drawn.feasible_rate if drawn.total else None),
                numbers.whole(drawn.duplicates),
                numbers.fitness(each.best),
                numbers.fitness(each.mean),
                numbers.decimal(seconds, 1),
                numbers.whole(memory),
            )
        )
    table = Table("Every round, all layers together", columns, tuple(rows))
    drawn_ = figure(course.effort_figure(record), details("The numbers", table.markup()))
    return Section("effort", "The search itself", (_effort_words(record), drawn_))


def _effort_words(record: RunRecord) -> Content:
    total = sum(each.drawn.total for each in record.history)
    over = sum(each.drawn.over_budget for each in record.history)
    again = sum(each.drawn.duplicates for each in record.history)
    scored = record.state.evaluations if record.state else 0
    told = (
        f"{total:,} cells were drawn: {over:,} were over their layer's share of the budget and "
        f"{again:,} known already; neither costs training. {scored:,} scores were taken, those of "
        "the confirming rounds included."
    )
    return element("p", told)
