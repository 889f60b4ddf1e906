"""Figures over the rounds of a run: fitness, and the effort of the search."""

from collections.abc import Sequence

from autospace.charts.figure import (
    Area,
    Axis,
    Dots,
    Figure,
    LegendEntry,
    Line,
    Mark,
    Panel,
    Rule,
    Segments,
    Shape,
    Unit,
)
from autospace.evolution.population import Round
from autospace.report.findings import layer_findings
from autospace.report.page import signed
from autospace.report.record import RunRecord
from autospace.spaces.text import human

MOST_POINTS = 160
"""Maximum number of rounds in a line; longer runs show every k-th round."""
DEEPEST = 0.6
"""Extent of a fitness axis below all best values, as a share of their range."""


def fitness_figure(record: RunRecord) -> Figure:
    """Best and mean fitness of every layer, round by round, against the reference at 0."""
    rounds = thinned(record.history)
    rivals = [each.rival for each in layer_findings(record)]
    levels = [0.0 if each is None else each.fitness or 0.0 for each in rivals]
    panels = tuple(
        Panel(
            shape.name,
            _in_words(rounds, index),
            _rounds_axis(record),
            _fitness_axis(rounds, index, levels[index]),
            _course(rounds, index, levels[index]),
        )
        for index, shape in enumerate(record.shapes)
    )
    thing = record.thing
    whose = f"each {record.place}'s" if len(panels) > 1 else "the"
    scales = f"; each {record.place} has its own scale" if len(panels) > 1 else ""
    caption = (
        f"Fitness of {whose} population, round by round{scales}. A {thing} above 0 is fitter than "
        f"the reference {thing}. In the last rounds, the best {thing}s are scored again on other "
        f"{record.inputs}, which corrects scores that were high by chance."
    )
    legend = (
        LegendEntry(f"best {thing}", "first", "line"),
        LegendEntry("mean of the population", "faint", "dashed"),
        LegendEntry(f"reference {thing}, 0", "reference", "line"),
        LegendEntry(f"best hand-made {thing}", "second", "dashed"),
        LegendEntry("rounds with offspring", "first", "area"),
    )
    return Figure("fitness", caption, panels, legend)


def gains_figure(record: RunRecord) -> Figure:
    """Per layer, the best evolved and the best hand-made cell, all on one scale."""
    found = layer_findings(record)
    rivals = [max(0.0, each.rival.fitness or 0.0) if each.rival else 0.0 for each in found]
    best = [
        each.best.fitness or 0.0 if each.best else rival
        for each, rival in zip(found, rivals, strict=True)
    ]
    rows = [float(index) for index in range(len(found))]
    tips = tuple(
        f"{each.name}: evolved {signed(value)}, hand-made {signed(rival)}"
        for each, value, rival in zip(found, best, rivals, strict=True)
    )
    pairs = tuple(
        ((rival, row), (value, row)) for value, rival, row in zip(best, rivals, rows, strict=True)
    )
    once = [_scored_once(record, index, each.identity) for index, each in enumerate(found)]
    places = list(zip(best, rows, tips, once, strict=True))
    marks: list[Mark] = [
        Rule(0.0, "reference", "y", dashed=False),
        Segments(pairs, "faint"),
        Dots(tuple(zip(rivals, rows, strict=True)), "second", "square"),
    ]
    looks: tuple[tuple[Shape, bool], ...] = (("dot", False), ("ring", True))
    for shape, group in looks:
        chosen = [(value, row, tip) for value, row, tip, each in places if each is group]
        if chosen:
            at, told = tuple((v, r) for v, r, _ in chosen), tuple(tip for *_, tip in chosen)
            marks.append(Dots(at, "first", shape, told))
    names = [each.name for each in found]
    axis = Axis.of("fitness", [0.0, *rivals, *best])
    place, thing = record.place, record.thing
    title = f"Best {thing}" + (f" of each {place}" if place != thing else "")
    panel = Panel(title, "; ".join(tips), axis, Axis.named(names), tuple(marks))
    where = f" of every {place}" if place != thing else ""
    caption = (
        f"The fittest evolved and the fittest hand-made {thing}{where}. Where the dot is "
        f"to the right of the square, the evolved {thing} is fitter."
    )
    legend: tuple[LegendEntry, ...] = (
        LegendEntry(f"best evolved {thing}", "first", "dot"),
        LegendEntry(f"best hand-made {thing}", "second", "square"),
        LegendEntry(f"reference {thing}, 0", "reference", "line"),
    )
    if any(once):
        once_only = f"evolved {thing} that was scored once only"
        legend = (*legend, LegendEntry(once_only, "first", "ring"))
    return Figure("gains", caption, (panel,), legend, (400, 70 + 22 * len(found)))


def _scored_once(record: RunRecord, layer: int, identity: str) -> bool:
    """Whether a cell has a fitness that no confirming round has corrected."""
    member = record.scored[layer].get(identity)
    return member is not None and record.config.evolution.confirm > 0 and not member.confirmed


def effort_figure(record: RunRecord) -> Figure:
    """Feasible cells, duplicates, seconds and memory of every round."""
    rounds, x = thinned(record.history), _rounds_axis(record)
    drawn = [each for each in rounds if each.drawn.total]
    feasible = [(each.index + 1.0, each.drawn.feasible_rate) for each in drawn]
    repeated = [(each.index + 1.0, each.drawn.duplicates / each.drawn.total) for each in drawn]
    logs = [(each.index + 1.0, record.log.get(each.index)) for each in rounds]
    seconds = [(at, log.seconds) for at, log in logs if log and log.seconds is not None]
    memory = [(at, float(log.memory_mb)) for at, log in logs if log and log.memory_mb]
    series: list[tuple[str, list[tuple[float, float]], Unit]] = [
        (f"Drawn {record.thing}s within the budget", feasible, "percent"),
        (f"Drawn {record.thing}s known already", repeated, "percent"),
        ("Seconds", seconds, "number"),
        ("Peak memory in MB", memory, "count"),
    ]
    panels = tuple(_series(title, x, points, unit) for title, points, unit in series if points)
    caption = f"The search round by round: shares of the drawn {record.thing}s, time and memory."
    return Figure("effort", caption, panels, (), (300, 150))


def thinned(history: Sequence[Round]) -> list[Round]:
    """At most `MOST_POINTS` rounds, evenly spread but for the first and the last."""
    stride = -(-(len(history) - 1) // (MOST_POINTS - 1)) or 1
    return [*history[:1], *history[:0:-1][::stride][::-1]]


def _fitness_axis(rounds: Sequence[Round], layer: int, rival: float) -> Axis:
    records = [each.layers[layer] for each in rounds]
    best = [0.0, rival, *(each.best for each in records)]
    # One diverged cell lowers a mean by thousands, so that the axis follows the best.
    lowest = min([*best, *(each.mean for each in records)])
    return Axis.of("fitness", [max(lowest, min(best) - DEEPEST * (max(best) - min(best))), *best])


def _rounds_axis(record: RunRecord) -> Axis:
    return Axis("round", 0.5, max(2, len(record.history)) + 0.5, "whole")


def _course(rounds: Sequence[Round], layer: int, rival: float) -> tuple[Mark, ...]:
    best = tuple((each.index + 1.0, each.layers[layer].best) for each in rounds)
    mean = tuple((each.index + 1.0, each.layers[layer].mean) for each in rounds)
    tips = tuple(
        f"round {each.index + 1} ({each.phase}): best {signed(each.layers[layer].best)}, "
        f"mean {signed(each.layers[layer].mean)}"
        for each in rounds
    )
    evolving = [each.index + 1.0 for each in rounds if each.phase == "evolve"]
    ends = (evolving[0] - 0.5, evolving[-1] + 0.5) if evolving else ()
    return (
        # As high as the panel for every axis.
        Area(tuple((at, -1e300, 1e300) for at in ends), "first"),
        Rule(0.0, "reference", dashed=False),
        Rule(rival, "second"),
        Line(mean, "faint", dashed=True),
        Line(best, "first"),
        Dots(best, "first", "none", tips),
    )


def _in_words(rounds: Sequence[Round], layer: int) -> str:
    if not rounds:
        return "No round is finished yet."
    first, last = rounds[0].layers[layer], rounds[-1].layers[layer]
    return (
        f"Best fitness {signed(first.best)} after the first round and {signed(last.best)} after "
        f"round {rounds[-1].index + 1}; mean {signed(first.mean)} and {signed(last.mean)}."
    )


def _series(title: str, x: Axis, points: list[tuple[float, float]], unit: Unit) -> Panel:
    values = [value for _, value in points]
    tips = tuple(f"round {at:.0f}: {_told(value, unit)}" for at, value in points)
    top = 1.0 if unit == "percent" else max([*values, 1e-3]) * 1.1
    words = f"Between {_told(min(values), unit)} and {_told(max(values), unit)}."
    marks = (Line(tuple(points), "first"), Dots(tuple(points), "first", "none", tips))
    return Panel(title, words, x, Axis("", 0.0, top, unit), marks)


def _told(value: float, unit: Unit) -> str:
    if unit == "percent":
        return f"{value:.0%}"
    return human(value) if unit == "count" else f"{value:.1f}"
