"""The report on a comparison: the verdict first, then the evidence for it."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, NamedTuple

from autospace.charts.figure import with_minus
from autospace.comparison.document import (
    ComparisonDocument,
    EstimateDocument,
    PairDocument,
    SpaceDocument,
)
from autospace.comparison.sample_size import counted, in_points
from autospace.comparison.statistics import LEVEL
from autospace.report import comparison_figures as figures
from autospace.report.comparison_figures import error_label, error_text, percent
from autospace.report.page import (
    Column,
    Content,
    Hero,
    Number,
    PageSection,
    Pictures,
    Table,
    decimal,
    figure,
    missing,
    page,
    part,
    probability,
    share,
    signed,
    whole,
)
from autospace.spaces.cost import NAMES
from autospace.spaces.text import human, magnitude

MOST_NETWORKS = 800
"""Maximum number of rows in the table of networks; the file holds all networks."""


def difference_section(found: ComparisonDocument) -> PageSection:
    """Differences with their intervals and tests, a row per pair."""
    columns = (
        Column("spaces"),
        Column("difference", numeric=True),
        Column("interval", numeric=True, about="of the difference, with its confidence level"),
        Column("test"),
        Column("p", numeric=True),
        Column("p (Holm)", numeric=True, about="p-value, corrected for multiple comparisons"),
        Column("superiority", numeric=True, about="probability that a random network of the second "
               "space has a lower error than one of the first"),
        Column("Kolmogorov-Smirnov", numeric=True),
        Column("Mann-Whitney p", numeric=True),
    )  # fmt: skip
    rows = tuple(_pair_row(found, pair) for pair in found.pairs)
    caption = "Pairs of spaces. If the difference is positive, the second space is better"
    table = Table(caption, columns, rows).markup() if rows else ""
    content = figure(figures.difference_figure(found), table)
    return PageSection("difference", "How large the difference is", (content,))


def _pair_row(found: ComparisonDocument, pair: PairDocument) -> tuple[Content | Number, ...]:
    difference, low, high = map(found.shown, (pair.difference, *pair.interval))
    smirnov, whitney = pair.kolmogorov_smirnov, pair.mann_whitney
    return (
        f"{found.spaces[pair.a].label} against {found.spaces[pair.b].label}",
        Number(signed(difference, 2), difference),
        Number(f"{signed(low, 2)} to {signed(high, 2)} ({percent(pair.level)})", low),
        pair.test,
        probability(pair.p),
        probability(pair.p_holm),
        _estimate(pair.superiority),
        Number(f"{smirnov.statistic:.2f}, p {probability(smirnov.p).text}", smirnov.statistic)
        if smirnov
        else missing(),
        probability(whitney.p if whitney else None),
    )


def spaces_section(found: ComparisonDocument) -> PageSection:
    """The statistics of every space."""
    columns = (
        Column("space"),
        Column("skeleton"),
        Column("architectures", numeric=True),
        Column("networks", numeric=True),
        Column(f"mean, {error_label(found)}", numeric=True),
        Column("median", numeric=True),
        Column("spread", numeric=True, about="standard deviation of the errors"),
        Column("overlap", numeric=True, about="share of the drawn networks at whose cost every "
               "other space has networks, too"),
        Column(f"{NAMES[found.cost]} compared", numeric=True),
        Column("due to seeds", numeric=True, about="share of the variance of an error that is "
               "due to the seed"),
    )  # fmt: skip
    rows = tuple(_space_row(found, each) for each in found.spaces)
    caption = f"The spaces, with {percent(LEVEL)} intervals in brackets"
    return PageSection("spaces", "The spaces", (Table(caption, columns, rows).markup(),))


def _space_row(found: ComparisonDocument, space: SpaceDocument) -> tuple[Content | Number, ...]:
    compared = space.matched.of(found.cost) if space.matched else None
    seeds = 1 - space.variance.share if space.variance else None
    return (
        space.label,
        space.skeleton,
        _architectures(space.architectures),
        whole(space.n),
        _estimate(space.mean, found.shown),
        _estimate(space.median, found.shown),
        decimal(None if space.spread is None else found.shown(space.spread), 2),
        share(space.overlap if found.matching.cost != "none" else None),
        Number(f"{human(compared.min)} to {human(compared.max)}", compared.mean)
        if compared
        else missing(),
        share(seeds),
    )


def networks_section(found: ComparisonDocument) -> PageSection:
    """All networks in one table, the best first."""
    columns = (
        Column("space"),
        Column("network", numeric=True),
        Column(error_label(found), numeric=True),
        Column("loss", numeric=True),
        *(Column(NAMES[cost], numeric=True) for cost in found.known_costs),
        Column("cells, input side first"),
    )
    rows = [
        _network_row(found, space, index)
        for space in found.spaces
        for index in range(len(space.errors))
    ]
    total = len(rows)
    rows.sort(key=lambda row: row[2].value or 0.0 if isinstance(row[2], Number) else 0.0)
    kept = tuple(islice(rows, MOST_NETWORKS))
    caption = f"All {total} networks, sorted by error"
    if len(kept) < total:
        caption = f"The {len(kept)} networks of lowest error; comparison.json lists all {total}"
    table = Table(caption, columns, kept, filter="Filter rows by words")
    return PageSection("networks", "Every network as a table", (table.markup(),))


def _network_row(
    found: ComparisonDocument, space: SpaceDocument, index: int
) -> tuple[Content | Number, ...]:
    loss = space.losses[index] if index < len(space.losses) else None
    chosen = space.networks[index] if index < len(space.networks) else {}
    cells = part("code", " ".join(cell for _, cell in sorted(chosen.items())))
    costs = [space.costs(cost)[index] for cost in found.known_costs]
    return (
        space.label,
        whole(index + 1),
        Number(error_text(space.errors[index], found), found.shown(space.errors[index])),
        decimal(loss, 3),
        *(Number(human(each), each) for each in costs),
        cells,
    )


def _estimate(estimate: EstimateDocument | None, shown: Callable[[float], float] = float) -> Number:
    if estimate is None:
        return missing()
    value, low, high = map(shown, (estimate.value, *estimate.interval))
    return Number(with_minus(f"{value:.2f} ({low:.2f} to {high:.2f})"), value)


def _architectures(digits: str) -> Number:
    # As text in the file, because the number may be too large for a reader of JSON.
    if not digits.isdecimal() or len(digits) > 4000:
        return missing()
    return Number(magnitude(int(digits)), float(min(int(digits), 10**300)))


def comparison_page(found: ComparisonDocument, images: Sequence[str] = ()) -> str:
    """The text of the report on a comparison; equal comparisons give equal bytes.

    Args:
        found: the comparison.
        images: lines that say what was read of the images.
    """
    sections = [_notes(found)] if found.notes else []
    if any(each.errors for each in found.spaces):
        both = map(figure, (figures.best_figure(found), figures.scatter_figure(found)))
        pair = part("side", *both)
        matched = found.matching.cost != "none"
        distributions = "Error distributions" + " at equal cost" * matched
        sections += [
            PageSection("edf", distributions, (figure(figures.edf_figure(found)),)),
            difference_section(found),
            PageSection("best", "Best of n, and every network", (pair,)),
        ]
    sections.append(spaces_section(found))
    if any(each.networks for each in found.spaces):
        sections.append(networks_section(found))
    if images:
        heading = f"The {_read(found).units}"
        sections.append(PageSection("images", heading, (part("ul", tuple(images)),)))
    sections += [_method(found), _again(found), _words(found)]
    return page(_hero(found), sections, Pictures())


def _hero(found: ComparisonDocument) -> Hero:
    state = "open" if not found.comparable else "plain" if found.verdict == "none" else "good"
    facts = []
    # As in the sentence: how much better the better space is, so that both have one sign.
    turned = _first_is_better(found)
    if found.difference is not None:
        value = found.shown(found.difference)
        facts.append((_difference_name(found), signed(-value if turned else value, 2)))
    if found.interval is not None:
        low, high = map(found.shown, found.interval)
        low, high = (-high, -low) if turned else (low, high)
        ends = f"{signed(low, 2)} to {signed(high, 2)}"
        facts.append((f"its {percent(found.level)} interval", ends))
    counts = {each.n for each in found.spaces}
    span = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    facts += [
        ("networks per space", span),
        ("seeds per network", f"{found.repeats}"),
        ("scored by", found.evaluator.method + (" (a proxy)" if found.evaluator.proxy else "")),
        ("matched cost", NAMES.get(found.matching.cost, "none")),
    ]
    title = " against ".join(each.label for each in found.spaces[:3])
    title += f" and {len(found.spaces) - 3} more" if len(found.spaces) > 3 else ""
    others = [pair.sentence for pair in found.pairs[1:]]
    told = (*others, *_evidence(found))
    return Hero("Report on a comparison", title, found.sentence, told, tuple(facts), state)


def _evidence(found: ComparisonDocument) -> list[str]:
    """The evidence for the verdict, in a sentence or two."""
    told = []
    if found.evaluator.proxy:
        told.append(
            f"{found.evaluator.method} is a proxy: networks were scored without being trained "
            "individually. This is fast, but the ranking by scores can differ from the ranking by "
            "accuracy after training."
        )
    elif found.evaluator.method == "table":
        told.append(
            f"Networks were scored by {found.evaluator.description}: none was trained here."
        )
    elif found.data.name:
        split, units = found.data.measured_on or "held-out", _read(found).units
        told.append(
            f"Networks were trained on {found.data.train_images:,} {units} of {found.data.name} "
            f"and measured on {found.data.measured_images:,} {split} {units}."
        )
    power = found.power
    if power.detectable:  # without any spread, nothing is known about other networks
        points = in_points(f"{found.shown(power.detectable):.2g}")
        told.append(
            f"With this number of networks, the test detects a true difference of {points} with a "
            f"probability of {power.power:.0%} (its power)."
        )
    return told


class _Read(NamedTuple):
    """What networks read: what is counted, what they tell apart, and what an error is."""

    units: str
    outputs: str
    error: str


_READ: Final = {
    "text": _Read("tokens", "different tokens", "100 % less the inverse of the perplexity"),
    "sentences": _Read("sentences", "classes", "percentage of the measured sentences that a "
                       "network misclassifies"),
    "captions": _Read("images", "different tokens", "100 % less the n-gram F of the captions that "
                      "a network writes"),
}  # fmt: skip
"""By the kind of the data; images otherwise."""
_IMAGES: Final = _Read(
    "images", "classes", "percentage of the measured images that a network misclassifies"
)


def _read(found: ComparisonDocument) -> _Read:
    return _READ.get(found.data.name.partition(":")[0], _IMAGES)


def _notes(found: ComparisonDocument) -> PageSection:
    return PageSection("notes", "Notes on this comparison", (part("ul", found.notes),))


def _method(found: ComparisonDocument) -> PageSection:
    matching, power, data = found.matching, found.power, found.data
    pairs: list[tuple[Content, Content]] = [
        ("scored by", found.evaluator.description or found.evaluator.method),
    ]
    for name, value in sorted(found.evaluator.settings.items()):
        pairs.append((name, f"{value}"))
    if matching.cost != "none":
        told = f"{NAMES[matching.cost]}, within {matching.tolerance or 0:.0%}"
        if matching.range is not None:
            told += f", from {human(matching.range[0])} to {human(matching.range[1])}"
        if matching.draws is not None:
            told += f"; {matching.draws:,} networks drawn per space"
        pairs.append(("matched by", told))
    else:
        pairs.append(("matched by", "nothing: networks are compared as they were drawn"))
    if power.samples is not None and power.effect is not None:
        points = in_points(f"{found.shown(power.effect):g}")
        pairs.append(("planned for", f"a difference of {points}: {counted(power.samples)} "
                      f"networks per space, from a pilot of {power.pilot}"))  # fmt: skip
    if found.evaluator.method != "table":
        units, outputs, _ = _read(found)
        counts = f"{data.classes:,} {outputs}, {data.train_images:,} training {units}"
        pairs.append(("data", f"{data.name}: {counts}"))
    return PageSection("method", "How it was measured", (part("dl", pairs, "pairs"),))


def _again(found: ComparisonDocument) -> PageSection:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found.versions.items()))
    pairs: list[tuple[Content, Content]] = [
        ("seed", f"{found.seed}"),
        ("table" if found.evaluator.method == "table" else "data", found.data.name),
        ("SHA-256 of the data", part("code", found.data.sha256)),
        ("versions", versions),
    ]
    told = part(
        "p",
        "This was the command, with the last name of each file and folder. With their paths in "
        "place, and with the same files and versions, it repeats the comparison on a CPU:",
    )
    content: list[Content] = [part("dl", pairs, "pairs")]
    if found.command:
        content = [told, part("pre", found.command), *content]
    return PageSection("again", "How to repeat it", tuple(content))


def _words(found: ComparisonDocument) -> PageSection:
    error = (
        f"{_read(found).error}; 1 point is 1 %"
        if found.unit == "share"
        else "the negated score of the proxy, so that lower is better; it is not a percentage"
    )
    words = (
        ("error", error),
        ("EDF", "empirical distribution function: the share of networks with at most this error"),
        ("interval", "confidence interval: of all intervals made in this way, as many per cent "
         "contain the true value as its level says"),
        *([("matched", "every network of one space has a partner of equal cost in the others, so "
            "that no space wins because its networks are more expensive")]
          if found.matching.cost != "none" else []),
        ("MAdds", "multiply-accumulate operations of convolutions and linear layers per image"),
    )  # fmt: skip
    return PageSection("words", "Words", (part("dl", words, "pairs"),))


def _first_is_better(found: ComparisonDocument) -> bool:
    """Whether the sentence on the first two spaces says how much better the first is."""
    undecided = found.verdict == "none" and (found.difference or 0.0) < 0
    return found.verdict == "a" or undecided


def _difference_name(found: ComparisonDocument) -> str:
    better = found.spaces[0 if _first_is_better(found) else 1].label
    if found.unit == "share":
        return f"lead of {better}, points of error"
    return f"dominance of {better}, from -1 to 1"
