"""The sections of a comparison that are tables: pairs, spaces, networks."""

from itertools import islice

from autospace.charts.scale import with_minus
from autospace.comparison.document import Compared, Comparison, Estimate, Pair
from autospace.report import comparison_figures as figures
from autospace.report.comparison_figures import error_label, error_text
from autospace.report.html import Column, Content, Number, Table, element
from autospace.report.numbers import (
    decimal,
    missing,
    probability,
    share,
    signed,
    size_text,
    whole,
)
from autospace.report.page import Section, figure
from autospace.spaces.cells.notation import human

MOST_NETWORKS = 800
"""Rows of the table of networks; the file holds them all."""


def difference_section(found: Comparison) -> Section:
    """Differences with their intervals and tests, a row per pair."""
    columns = (
        Column("spaces"),
        Column("difference", numeric=True),
        Column(f"{found.level:.0%} interval", numeric=True),
        Column("test"),
        Column("p", numeric=True),
        Column("p (Holm)", numeric=True, about="corrected for several comparisons"),
        Column("superiority", numeric=True, about="chance that a random network of the second "
               "space has a lower error than one of the first"),
        Column("Kolmogorov-Smirnov", numeric=True),
        Column("Mann-Whitney p", numeric=True),
    )  # fmt: skip
    rows = tuple(_pair_row(found, pair) for pair in found.pairs)
    caption = "Every pair; a positive difference speaks for the second space"
    table = Table(caption, columns, rows).markup() if rows else ""
    content = figure(figures.difference_figure(found), table)
    return Section("difference", "How large the difference is", (content,))


def _pair_row(found: Comparison, pair: Pair) -> tuple[Content | Number, ...]:
    low, high = pair.interval
    smirnov, whitney = pair.kolmogorov_smirnov, pair.mann_whitney
    return (
        f"{found.spaces[pair.a].label} against {found.spaces[pair.b].label}",
        Number(signed(pair.difference, 2), pair.difference),
        Number(f"{signed(low, 2)} to {signed(high, 2)}", low),
        pair.test,
        probability(pair.p),
        probability(pair.p_holm),
        _estimate(pair.superiority),
        Number(f"{smirnov.statistic:.2f}, p {probability(smirnov.p).text}", smirnov.statistic)
        if smirnov
        else missing(),
        probability(whitney.p if whitney else None),
    )


def spaces_section(found: Comparison) -> Section:
    """Every space in figures."""
    columns = (
        Column("space"),
        Column("skeleton"),
        Column("architectures", numeric=True),
        Column("networks", numeric=True),
        Column(f"mean, {error_label(found)}", numeric=True),
        Column("median", numeric=True),
        Column("spread", numeric=True, about="standard deviation of the errors"),
        Column("overlap", numeric=True, about="share of the drawn networks that have a partner of "
               "equal cost in every other space"),
        Column("MAdds compared", numeric=True),
        Column("due to seeds", numeric=True, about="share of the seed in the variance of an error"),
    )  # fmt: skip
    rows = tuple(_space_row(each) for each in found.spaces)
    caption = "The spaces; in brackets intervals"
    return Section("spaces", "The spaces", (Table(caption, columns, rows).markup(),))


def _space_row(space: Compared) -> tuple[Content | Number, ...]:
    compared = space.matched.madds if space.matched else None
    seeds = 1 - space.variance.share if space.variance else None
    return (
        space.label,
        space.skeleton,
        _architectures(space.architectures),
        whole(space.n),
        _estimate(space.mean),
        _estimate(space.median),
        decimal(space.spread, 2),
        share(space.overlap),
        Number(f"{human(compared.min)} to {human(compared.max)}", compared.mean)
        if compared
        else missing(),
        share(seeds),
    )


def networks_section(found: Comparison) -> Section:
    """Every network, the best first."""
    columns = (
        Column("space"),
        Column("network", numeric=True),
        Column(error_label(found), numeric=True),
        Column("loss", numeric=True),
        Column("MAdds", numeric=True),
        Column("params", numeric=True),
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
    caption = f"All {total} networks, lowest error first"
    if len(kept) < total:
        caption = f"The {len(kept)} networks of lowest error; comparison.json holds all {total}"
    table = Table(caption, columns, kept, filter="Only rows with the words")
    return Section("networks", "Every network as a table", (table.markup(),))


def _network_row(found: Comparison, space: Compared, index: int) -> tuple[Content | Number, ...]:
    loss = space.losses[index] if index < len(space.losses) else None
    chosen = space.networks[index] if index < len(space.networks) else {}
    cells = element("code", " ".join(cell for _, cell in sorted(chosen.items())))
    return (
        space.label,
        whole(index + 1),
        Number(error_text(space.errors[index], found), space.errors[index]),
        decimal(loss, 3),
        Number(human(space.madds[index]), space.madds[index]),
        Number(human(space.params[index]), space.params[index]),
        cells,
    )


def _estimate(estimate: Estimate | None) -> Number:
    if estimate is None:
        return missing()
    text = f"{estimate.value:.2f}"
    if estimate.interval is not None:
        low, high = estimate.interval
        text += f" ({low:.2f} to {high:.2f})"
    return Number(with_minus(text), estimate.value)


def _architectures(digits: str) -> Number:
    # As text in the file, because the number may be too large for a reader of JSON.
    if not digits.isdecimal() or len(digits) > 4000:
        return missing()
    return Number(size_text(int(digits)), float(min(int(digits), 10**300)))
