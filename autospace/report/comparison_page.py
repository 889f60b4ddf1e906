"""The report on a comparison: the verdict first, then what it rests on."""

from autospace.comparison.document import Comparison
from autospace.report import comparison_figures as figures
from autospace.report.comparison_tables import difference_section, networks_section, spaces_section
from autospace.report.html import (
    Content,
    definitions,
    element,
    lines,
)
from autospace.report.numbers import signed
from autospace.report.page import Hero, Section, figure, page
from autospace.report.pictures import Pictures
from autospace.spaces.cells.notation import human


def comparison_page(found: Comparison) -> str:
    """The text of the report on a comparison; equal comparisons give equal bytes."""
    sections = [_notes(found)] if found.notes else []
    if any(each.errors for each in found.spaces):
        both = map(figure, (figures.best_figure(found), figures.scatter_figure(found)))
        pair = element("div", *both, class_="side")
        sections += [
            Section(
                "edf", "Error distributions at equal cost", (figure(figures.edf_figure(found)),)
            ),
            difference_section(found),
            Section("best", "Best of n, and every network", (pair,)),
        ]
    sections.append(spaces_section(found))
    if any(each.networks for each in found.spaces):
        sections.append(networks_section(found))
    sections += [_method(found), _again(found), _words(found)]
    return page(_hero(found), sections, Pictures())


def _hero(found: Comparison) -> Hero:
    state = "open" if not found.comparable else "plain" if found.verdict == "none" else "good"
    facts = []
    if found.difference is not None:
        facts.append((_difference_name(found), signed(found.difference, 2)))
    if found.interval is not None:
        low, high = found.interval
        facts.append((f"its {found.level:.0%} interval", f"{signed(low, 2)} to {signed(high, 2)}"))
    counts = {each.n for each in found.spaces}
    span = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    facts += [
        ("networks per space", span),
        ("seeds per network", f"{found.repeats}"),
        ("scored by", found.evaluator.method + (" (a proxy)" if found.evaluator.proxy else "")),
        ("matched cost", {"madds": "MAdds"}.get(found.matching.cost, found.matching.cost)),
    ]
    title = " against ".join(each.label for each in found.spaces[:3])
    title += f" and {len(found.spaces) - 3} more" if len(found.spaces) > 3 else ""
    others = [pair.sentence for pair in found.pairs[1:]]
    told = (*others, *_evidence(found))
    return Hero("Report on a comparison", title, found.sentence, told, tuple(facts), state)


def _evidence(found: Comparison) -> list[str]:
    """What the verdict rests on, in a sentence or two."""
    told = []
    if found.evaluator.proxy:
        told.append(
            f"{found.evaluator.method} is a proxy: a score taken without training. It is quick, "
            "and only as good a judge of networks as it ranks them."
        )
    elif found.data.name:
        split = found.data.measured_on or "held-out"
        told.append(
            f"Networks were trained on {found.data.train_images:,} images of {found.data.name} "
            f"and measured on {found.data.measured_images:,} {split} images."
        )
    power = found.power
    if power.detectable is not None:
        told.append(
            f"With so many networks, a true difference of {power.detectable:.2g} points would be "
            f"found {power.power:.0%} of the time."
        )
    return told


def _notes(found: Comparison) -> Section:
    notes = [element("li", note) for note in found.notes]
    return Section("notes", "What to know first", (element("ul", *notes),))


def _method(found: Comparison) -> Section:
    matching, power, data = found.matching, found.power, found.data
    pairs: list[tuple[Content, Content]] = [
        ("scored by", found.evaluator.description or found.evaluator.method),
    ]
    for name, value in sorted(found.evaluator.settings.items()):
        pairs.append((name, f"{value}"))
    if matching.cost != "none":
        told = f"{matching.cost}, within {matching.tolerance or 0:.0%}"
        if matching.range is not None:
            told += f", from {human(matching.range[0])} to {human(matching.range[1])}"
        if matching.draws is not None:
            told += f"; {matching.draws:,} networks drawn per space"
        pairs.append(("matched by", told))
    else:
        pairs.append(("matched by", "nothing: the spaces are compared as they are"))
    if power.samples is not None and power.effect is not None:
        pairs.append(("planned for", f"a difference of {power.effect:g} points: {power.samples} "
                      f"networks per space, from a pilot of {power.pilot}"))  # fmt: skip
    images = f"{data.name}: {data.classes} classes, {data.train_images:,} training images"
    pairs.append(("data", images))
    return Section("method", "How it was measured", (definitions(pairs, "pairs"),))


def _again(found: Comparison) -> Section:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found.versions.items()))
    pairs: list[tuple[Content, Content]] = [
        ("seed", f"{found.seed}"),
        ("data", found.data.name),
        ("SHA-256 of the data", element("code", found.data.sha256)),
        ("versions", versions),
    ]
    told = element("p", "The same command with the same files and versions, on a CPU:")
    content: list[Content] = [definitions(pairs, "pairs")]
    if found.command:
        content = [told, element("pre", element("code", lines(found.command))), *content]
    return Section("again", "Do it again", tuple(content))


def _words(found: Comparison) -> Section:
    error = (
        "per cent of the measured images that a network names wrongly; a point is one per cent"
        if found.unit == "points"
        else "minus the score of the proxy, so that lower is better; it is no percentage"
    )
    words = (
        ("error", error),
        ("EDF", "empirical distribution function: the share of networks with at most this error"),
        ("interval", "a procedure that gives intervals like this one covers the truth in "
         f"{found.level:.0%} of all comparisons"),
        ("matched", "every network of one space has a partner of equal cost in the others, so "
         "that no space wins by being dearer"),
        ("MAdds", "multiply-accumulates of one image through convolutions and linear layers"),
    )  # fmt: skip
    return Section("words", "Words", (definitions(words, "pairs"),))


def _difference_name(found: Comparison) -> str:
    if found.unit == "points":
        return "difference of means, points of error"
    return "dominance of the second, from -1 to 1"
