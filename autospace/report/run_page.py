"""The report on a run: its result, its course, and the command that repeats it on any machine."""

import json
import shlex
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from autospace.data.settings import PYTHON, WITH_PATH
from autospace.evolution.folder import ReferenceDocument
from autospace.evolution.settings import Config
from autospace.report import cell_sections
from autospace.report import fitness_figures as course
from autospace.report.cell_sections import all_cells, best_cells, lineages
from autospace.report.findings import (
    Depth,
    by_depth,
    gain,
    headline,
    layer_findings,
    limits_of,
    overall,
    shifts,
    story,
    work_range,
)
from autospace.report.page import (
    Column,
    Content,
    Hero,
    Number,
    PageSection,
    Pictures,
    Table,
    decimal,
    duration,
    figure,
    fitness,
    page,
    part,
    share,
    whole,
)
from autospace.report.record import RunRecord
from autospace.spaces.cells.cell import EXPANSIONS, MIXES
from autospace.spaces.cells.family import DEFAULT_KIND, FAMILIES, used, work_unit
from autospace.spaces.cells.notation import known_symbol
from autospace.spaces.cost import NAMES
from autospace.spaces.text import human, magnitude

_OPTIONS = {"seed": "--seed", "skeleton": "--skeleton", "data.source": "--data"}

_WITH_OPTIONS = frozenset({"text", "sentences", "captions"})
"""The kinds of sources whose path may follow options."""


def command(config: Config) -> str:
    """The command that repeats a run, a line per option, or the call in Python if it had values."""
    if PYTHON in (config.data.source, config.skeleton):
        return _call(config)
    options = [f"--seed {config.seed}", f"--data {shlex.quote(source(config))}"]
    for name, value in changed(config):
        if name in _OPTIONS:
            if name == "skeleton":
                options.append(f"--skeleton {shlex.quote(value)}")
        else:
            options.append(f"--set {shlex.quote(f'{name}={json.dumps(value)}')}")
    return " \\\n  ".join(["autospace evolve", *options])


def _call(config: Config) -> str:
    """The call of the Python API that repeats a run on images or a skeleton passed as values."""
    nested: dict[str, Any] = {}
    for name, value in changed(config):
        if name not in _OPTIONS:
            section, _, key = name.rpartition(".")
            (nested.setdefault(section, {}) if section else nested)[key] = value
    images = "images" if config.data.source == PYTHON else repr(source(config))
    lines = [images, f"seed={config.seed}"]
    if config.skeleton != "auto":
        own = config.skeleton == PYTHON
        lines.append(f"skeleton={'skeleton' if own else repr(PurePath(config.skeleton).name)}")
    if nested:
        lines.append(f"settings={nested}")
    return ",\n    ".join(["autospace.evolve(\n    " + lines[0], *lines[1:]]) + ",\n)"


def changed(config: Config) -> list[tuple[str, Any]]:
    """The settings that differ from their defaults, by their full names, without the device."""
    plain, usual = config.model_dump(mode="json"), Config().model_dump(mode="json")
    found: list[tuple[str, Any]] = []
    for name, value in plain.items():
        if isinstance(value, dict):
            pairs = value.items()
            found += [(f"{name}.{key}", v) for key, v in pairs if v != usual[name][key]]
        elif name == "skeleton" and value != usual[name]:
            found.append((name, PurePath(value).name))
        elif name != "device" and value != usual[name]:
            found.append((name, value))
    shared = {"data.source": source(config)}
    if config.budget.latency_table is not None:
        shared["budget.latency_table"] = PurePath(config.budget.latency_table).name
    return [(name, shared.get(name, value)) for name, value in found]


def source(config: Config) -> str:
    """The source of the images; only the last part of a path, because reports are shared."""
    kind, colon, path = config.data.source.partition(":")
    if kind in WITH_PATH and colon:
        return f"{kind}:{PurePath(path.strip()).name or 'PATH'}"
    return config.data.source if kind not in _WITH_OPTIONS else _without_folders(config.data.source)


def _without_folders(source: str) -> str:
    """The source of a text, of sentences or of captions with the last part of its path."""
    # One of these imports torch.
    from autospace.captions.source import is_captions, parse_captions
    from autospace.data.request import parse_source
    from autospace.text.source import is_text, parse_text

    parse = parse_captions if is_captions(source) else parse_source
    parsed: Any = parse_text(source) if is_text(source) else parse(source)
    return source if parsed.path is None else str(replace(parsed, path=Path(parsed.path.name)).text)


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
            row.append(share(depth.learned.operations.get(name, 0.0)))
            before = depth.initial
            row.append(share(before.operations.get(name, 0.0) if before else None))
        rows.append(tuple(row))
    caption = "Share of each operation among those that outputs depend on, sorted by change"
    return Table(caption, tuple(columns), tuple(rows)).markup()


def traits_table(depths: tuple[Depth, ...], thing: str) -> Content:
    """Size, expansion and mixes of the cells by depth, at the end and at the beginning.

    Expansions and mixes have columns where some cell has one.
    """
    traits = [each for depth in depths for each in (depth.learned, depth.initial) if each]
    found = {each for some in traits for each in some.expansions}
    expansions = sorted({*EXPANSIONS, *found}) if found else []
    mixed = MIXES if any(some.mixes for some in traits) else ()
    headings = ("number", f"operations per {thing}", *(f"expansion {each}" for each in expansions))
    headings += tuple(f"mix by {name}" if name == MIXES[0] else f"by {name}" for name in mixed)
    columns = (Column(f"{thing}s"), *(Column(name, True) for name in headings))
    rows: list[tuple[Content | Number, ...]] = []
    for depth in depths:
        for label, each in (
            (depth.name, depth.learned),
            (f"{depth.name}, initially", depth.initial),
        ):
            if each is not None:
                shares = [each.expansions.get(e, 0.0) for e in expansions]
                shares += [each.mixes.get(mix, 0.0) for mix in mixed]
                edges = decimal(each.edges, 1)
                rows.append((label, whole(each.cells), edges, *map(share, shares)))
    caption = f"Size of the {thing}s"
    if expansions:
        caption = "Number of operations, and expansion ratio"
    if mixed:
        caption = "Number of operations, expansion ratio, and how nodes combine several edges"
    return Table(caption, columns, tuple(rows)).markup()


def effort_section(record: RunRecord) -> PageSection:
    """The effort of the search: cells drawn and rejected, seconds and memory."""
    things = f"{record.thing}s"
    cells = (f"{things} scored", f"{things} drawn", "within budget", "duplicates")
    rest = ("best", "mean", "seconds", "peak MB")
    numeric = (Column(name, numeric=True) for name in (*cells, *rest))
    columns = (Column("round", numeric=True), Column("phase"), *numeric)
    rows: list[tuple[Content | Number, ...]] = []
    shown = course.thinned(record.history)
    for each in shown:
        log, drawn = record.log.get(each.index), each.drawn
        seconds = log.seconds if log else None
        memory = log.memory_mb if log else None
        rows.append(
            (
                whole(each.index + 1),
                each.phase,
                whole(sum(layer.scored for layer in each.layers)),
                whole(drawn.total),
                share(drawn.feasible_rate if drawn.total else None),
                whole(drawn.duplicates),
                fitness(each.best),
                fitness(each.mean),
                decimal(seconds, 1),
                whole(memory),
            )
        )
    together = f", all {record.place}s together" if record.place != record.thing else ""
    whole_run = len(record.history)
    which = "Every round" if len(shown) == whole_run else f"{len(shown)} of {whole_run:,} rounds"
    table = Table(f"{which}{together}", columns, tuple(rows))
    drawn_ = figure(course.effort_figure(record), part("details", "The numbers", table.markup()))
    return PageSection("effort", "The search itself", (_effort_words(record), drawn_))


def _effort_words(record: RunRecord) -> Content:
    total = sum(each.drawn.total for each in record.history)
    over = sum(each.drawn.over_budget for each in record.history)
    again = sum(each.drawn.duplicates for each in record.history)
    scored = record.state.evaluations if record.state else 0
    share_ = f"their {record.place}'s share of the" if record.place != record.thing else "the"
    told = (
        f"{total:,} {record.thing}s were drawn. Of these, {over:,} exceeded {share_} "
        f"budget and {again:,} were known already; neither costs training. In total, {scored:,} "
        "scores were computed, including those of the confirming rounds."
    )
    return part("p", told + _predictor_words(record) + _networks_words(record))


def _predictor_words(record: RunRecord) -> str:
    """What the predictor of fitness did, if the run has one."""
    told = ""
    if screened := sum(each.drawn.screened for each in record.history):
        told += f" {screened:,} {record.thing}s were not scored, because the predictor preferred "
        told += "others."
    found = record.space.provenance.get("predictor") if record.space else None
    if isinstance(found, dict) and all(type(found.get(n)) in (int, float) for n in ("r2", "tau")):
        told += (
            f" Predicted from all other scored {record.thing}s of its {record.place}, "
            f"{found['r2']:.0%} of the variance of fitness is explained (R²), and {record.thing}s "
            f"are ordered with a Kendall's tau of {found['tau']:.2f}."
        )
    return told


def _networks_words(record: RunRecord) -> str:
    """How many whole networks fitness was predicted from, if it was."""
    found = record.space.provenance.get("networks") if record.space else None
    if not isinstance(found, dict):
        return ""
    count, share = found.get("trained"), found.get("explained")
    if not isinstance(count, int) or not isinstance(share, (int, float)):
        return ""
    return (
        f" Fitness was predicted from {count:,} whole networks, each trained from scratch. Of the "
        f"variance of their errors at equal MAdds, {max(0.0, share):.0%} is predicted from the "
        "others."
    )


def run_page(record: RunRecord) -> str:
    """The text of the report on a run; equal records give equal bytes."""
    pictures = Pictures()
    sections = [_unfinished(record)] if record.space is None else []
    if record.history:
        sections.append(_fitness(record))
    if record.state is not None or record.space is not None:
        sections += [
            best_cells(record, pictures),
            *_shared(record),
            *lineages(record, pictures),
            _front(record),
            all_cells(record),
        ]
    if record.history:
        sections.append(effort_section(record))
    if record.images:
        sections.append(
            PageSection(
                "images",
                f"The {'images' if record.skeleton is None else record.skeleton.reads}",
                (part("ul", record.images),),
            )
        )
    if record.reference is not None:
        sections.append(_reference(record.reference))
    sections += [_budget(record), _again(record), _words(record)]
    return page(_hero(record), sections, pictures)


def _hero(record: RunRecord) -> Hero:
    space = record.space
    found = layer_findings(record)
    better = sum(each.beats_all for each in found)
    state = "open" if space is None else "good" if better else "plain"
    place, thing = record.place, record.thing
    facts = []
    if found and place != thing:
        facts = [(f"{place}s where an evolved {thing} is best", f"{better} of {len(found)}")]
    if space is not None:
        cells = sum(len(layer.candidates) for layer in space.layers)
        facts += [
            ("architectures", magnitude(space.size)),
            (f"{thing}s in all {place}s" if place != thing else f"{thing}s", f"{cells}"),
            (work_unit(space.kind), work_range(space).removesuffix(f" {work_unit(space.kind)}")),
        ]
    if record.state is not None:
        facts.append((f"{thing}s scored", f"{record.state.evaluations:,}"))
        facts.append(("rounds", f"{record.state.round}"))
    if record.reference is not None:
        facts.append(("accuracy of the reference", f"{record.reference.accuracy:.1%}"))
        if record.reference.perplexity is not None:
            facts.append(("its perplexity", f"{record.reference.perplexity:.2f}"))
    facts += _time(record)
    facts.append(("seed", f"{record.config.seed}"))
    if space is not None:
        kind, title = "Report on a learned space", space.name
    else:
        place = f" on {record.skeleton.name}" if record.skeleton else ""
        kind, title = "Report on an unfinished run", f"Evolution{place}"
    return Hero(kind, title, headline(record), tuple(story(record)), tuple(facts), state)


def _time(record: RunRecord) -> list[tuple[str, str]]:
    logs = [record.log.get(each.index) for each in record.history]
    seconds = [each.seconds for each in logs if each and each.seconds is not None]
    memory = [each.memory_mb for each in logs if each and each.memory_mb]
    found = [("time in rounds", duration(sum(seconds)))] if seconds else []
    return [*found, ("peak memory", f"{max(memory):,} MB")] if memory else found


def _unfinished(record: RunRecord) -> PageSection:
    done = len(record.history)
    told = (
        f"{done} rounds are finished; the learned space has not been written yet. This page shows "
        f"the state after the last of them. Not all of the best {record.thing}s have been scored "
        "again, so their fitness is overestimated. autospace evolve --resume continues the run."
        if done
        else "Nothing has been scored yet. autospace evolve --resume continues the run."
    )
    return PageSection("state", "An unfinished run", (part("p", told, "note"),))


def _fitness(record: RunRecord) -> PageSection:
    headings = ("best, first round", "best", "mean", "best kept", "best hand-made", "gain")
    columns = (Column(record.place), *(Column(heading, numeric=True) for heading in headings))
    first, last = record.history[0], record.history[-1]
    rows: list[tuple[Content | Number, ...]] = []
    for index, each in enumerate(layer_findings(record)):
        values = (
            first.layers[index].best,
            last.layers[index].best,
            last.layers[index].mean,
            each.best.fitness if each.best else None,
            each.rival.fitness if each.rival else None,
            gain(each) if each.best else None,
        )
        rows.append((each.name, *map(fitness, values)))
    caption = (
        f"The population after the first and the last round, and the kept {record.thing}s. A "
        f"{record.thing} is kept only if no {record.thing} was confirmed more often, so the best "
        "of the population may be missing."
    )
    table = Table(caption, columns, tuple(rows))
    drawn = figure(course.fitness_figure(record), part("details", "The numbers", table.markup()))
    gains = figure(course.gains_figure(record))
    return PageSection("fitness", "Fitness against the reference", (gains, drawn))


def _shared(record: RunRecord) -> list[PageSection]:
    drawn = cell_sections.operations_figure(record)
    if drawn is None:
        return []
    depths = (*by_depth(record), overall(record))
    content: list[Content] = []
    if overall(record).initial is None:
        told = (
            "The event log of this run does not contain the initial population, so the "
            f"{record.thing}s cannot be compared with it."
        )
        content.append(part("p", told, "note"))
    tables = part(
        "details", "The numbers", operations_table(depths), traits_table(depths, record.thing)
    )
    return [
        PageSection(
            "shared", f"Operations of the {record.thing}s", (*content, figure(drawn, tables))
        )
    ]


def _reference(found: ReferenceDocument) -> PageSection:
    told = (
        "Fitness is relative to the reference network, so it says something only if that network "
        f"learned something. After its training it had a {found.described}."
    )
    warnings = (part("p", f"Warning: {each}.", "note") for each in found.warnings)
    return PageSection("reference", "The reference network", (*warnings, part("p", told)))


def _front(record: RunRecord) -> PageSection:
    drawn = figure(cell_sections.front_figure(record))
    content: tuple[Content, ...] = (drawn,)
    if not record.logged_in_full:
        some = f"{record.thing.capitalize()}s that did not survive"
        told = f"{some} are missing here: the event log does not contain them."
        content = (part("p", told, "note"), drawn)
    return PageSection("front", "Cost and fitness", content)


def _budget(record: RunRecord) -> PageSection:
    space, config = record.space, record.config.budget
    pairs: list[tuple[Content, Content]] = []
    if space is not None:
        limits = dict(limits_of(space))
        for unit in ("madds", "params", *(("ops",) if FAMILIES[space.kind].binary else ())):
            limit, used = limits.get(unit), getattr(space, unit).max
            allowed = f"at most {limit:,}" if limit is not None else "no limit"
            share = f", {used / limit:.1%} of it" if limit else ""
            told = f"{allowed}; the most expensive architecture has {used:,}{share}"
            pairs.append((NAMES[unit], told))
        pairs.append(
            (
                "params of all architectures",
                f"{human(space.params.min)} to {human(space.params.max)}",
            )
        )
    else:
        pairs.append(("MAdds", f"{config.max_madds}"))
        pairs.append(("params", f"{config.max_params}"))
    if record.skeleton is not None:
        pairs.append(("skeleton", f"{record.skeleton.name}: {record.skeleton.described}"))
    told = "No architecture that can be drawn from the space exceeds the limits."
    return PageSection("budget", "Budget", (part("p", told), part("dl", pairs, "pairs")))


def _again(record: RunRecord) -> PageSection:
    pairs: list[tuple[Content, Content]] = [("seed", f"{record.config.seed}")]
    provenance = record.space.provenance if record.space else {}
    data = provenance.get("data")
    if isinstance(data, dict):
        pairs.append(("data", f"{data.get('name')}"))
        pairs.append(("SHA-256 of the data", part("code", f"{data.get('sha256')}")))
    if "method" in provenance:
        pairs.append(("method", f"{provenance['method']}"))
    versions = provenance.get("versions")
    if isinstance(versions, dict):
        named = (f"{name} {version}" for name, version in sorted(versions.items()))
        pairs.append(("versions", ", ".join(named)))
    config = record.config
    paths = (config.data.source, config.skeleton, config.budget.latency_table or "")
    # Anything but a path stays whole.
    places = "with the paths of its files in place, " if any("/" in each for each in paths) else ""
    told = f"On a CPU, {places}and with the same versions, this command gives the same bytes:"
    content: list[Content] = [
        part("p", told.replace("On a CPU, and", "On a CPU and")),
        part("pre", command(config)),
        part("dl", pairs, "pairs"),
    ]
    rows = tuple((name, f"{value}") for name, value in changed(record.config))
    if rows:
        table = Table("Settings that differ from their defaults",
                      (Column("setting"), Column("value")), rows)  # fmt: skip
        content.append(
            part("details", f"{len(rows)} settings differ from their defaults", table.markup())
        )
    return PageSection("again", "How to repeat it", tuple(content))


def _words(record: RunRecord) -> PageSection:
    place, thing, unit = record.place, record.thing, work_unit(record.kind or DEFAULT_KIND)
    settings = "scoring.cost_weight, scoring.layer_price"
    price = f", minus a price for its additional {unit} if the run sets one ({settings})"
    pairs = [
        ("fitness", f"how much a {thing} lowers the loss compared with the reference {thing} in "
         f"its place{price}; 0 means as good as the reference {thing}, and larger is better"),
        (f"reference {thing}", f"the hand-made {thing} that has fitness 0"),
        (f"hand-made {thing}s", f"the {thing}s from which evolution starts"),
        (unit, WORK[unit].format(_sample(record))),
    ]  # fmt: skip
    if record.divided:
        one = f"what one {place} of a cell has; the choices of all {place}s make the cell"
        pairs.insert(0, (thing, f"{one}, which all layers that share it have"))
    if signs := _signs(record):
        pairs.append(("signs", signs))
    return PageSection("words", "Words", (part("dl", pairs, "pairs"),))


WORK = {
    "MAdds": "multiply-accumulate operations per {}: convolutions, linear layers and other "
    "products of matrices",
    "OPs": "multiply-accumulate operations per {}, plus a 64th of the binary operations",
}


def _sample(record: RunRecord) -> str:
    reads = "images" if record.skeleton is None else record.skeleton.reads
    names = {"text": "token", "sentences": "sentence", "captions": "image and token"}
    return names.get(reads, "image")


def _signs(record: RunRecord) -> str:
    """What signs in drawings and notations mean."""
    if not record.kind:
        return ""
    shown = {name for index in range(len(record.shapes)) for each in record.chosen(index)
             for name in used(each.cell)}  # fmt: skip
    family = FAMILIES[record.kind]
    pairs = [(known_symbol(name), name) for name in family.operations if name in shown]
    told = [f"{symbol}: {name}" for symbol, name in pairs if symbol != name]
    return "; ".join(filter(None, [*told, family.legend]))
