"""The pictures of docs/evidence/results.md."""

from collections.abc import Sequence
from dataclasses import replace

from results_figures import LEARNED, Record

from autospace.charts.figure import Axis, Dots, Figure, LegendEntry, Panel, Rule, Segments
from autospace.comparison.document import ComparisonDocument
from autospace.report.comparison_figures import edf_figure


def ablations_figure(found: Sequence[Record]) -> Figure:
    """What the full method is better by, variant by variant."""
    rows = [each for each in found if each["full_better_by"]]
    places = [float(place) for place in range(len(rows))]
    better = [each["full_better_by"] for each in rows]
    ends = [each["interval"] for each in better]
    bars = tuple(((low, at), (high, at)) for at, (low, high) in zip(places, ends, strict=True))
    means = tuple((each["difference"], at) for at, each in zip(places, better, strict=True))
    seeds = tuple(
        (value, at) for at, each in zip(places, better, strict=True) for value in each["per_seed"]
    )
    values = [0.0, *(x for x, _ in seeds), *(end for pair in ends for end in pair)]
    margin = 0.06 * (max(values) - min(values))
    axis = Axis("points of accuracy; right of 0 the full method is better", 0.0, 1.0)
    panel = Panel(
        "Full method against variants",
        "",
        replace(axis, low=min(values) - margin, high=max(values) + margin),
        Axis.named([each["variant"] for each in rows]),
        (
            Rule(0.0, "reference", "y"),
            Segments(bars, "first", thick=True),
            Dots(seeds, "second", "ring"),
            Dots(means, "first"),
        ),
    )
    legend = (
        LegendEntry("mean and 95 % interval over the networks", "first", "dot"),
        LegendEntry("one seed", "second", "ring"),
    )
    return Figure("ablations", "", (panel,), legend, (560, 60 + 34 * len(rows)))


def distributions(comparisons: Sequence[ComparisonDocument]) -> Figure:
    """The error distributions of all seeds side by side."""
    drawn = [edf_figure(each) for each in comparisons]
    errors = [
        each.shown(error) for each in comparisons for space in each.spaces for error in space.errors
    ]
    panels = tuple(
        replace(each.panels[0], title=f"seed {found.seed}", x=Axis.of("error in %", errors))
        for each, found in zip(drawn, comparisons, strict=True)
    )
    ours, *rivals = drawn[0].legend[: len(comparisons[0].spaces)]
    named = (replace(each, label=each.label.partition("@")[0]) for each in rivals)
    legend = (replace(ours, label=LEARNED), *named)
    return Figure("edf", "", panels, legend, (300, 240))
