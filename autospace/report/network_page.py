"""The report on a search or a training: what was found, how it got there, and the network itself.

Results are read by the models that wrote them. These bring torch, so that they are loaded only
where such a page is made.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from autospace.charts.figure import Axis, Dots, Figure, LegendEntry, Line, Panel, Unit
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
    missing,
    page,
    part,
    whole,
)
from autospace.runs.errors import RunError
from autospace.runs.images import image_lines
from autospace.spaces.cells.family import cell_cost, notation, work, work_unit
from autospace.spaces.cells.notation import shape_label
from autospace.spaces.files.library import load_any
from autospace.spaces.space import Architecture, drawn_layers
from autospace.spaces.text import human, plural

COMMANDS: Final = ("search", "train")
RESULT: Final = "result.json"
MOST_RANKED: Final = 50
"""Ranked networks in the table of a search; its `result.json` has all."""
_NETWORKS: Final = {"search": "best.json", "train": "architecture.json"}
_SCORES: Final = {
    "text": ("1 / perplexity", "on validation text, after a short training"),
    "captions": ("n-gram F", "of validation captions, after a short training"),
    "sentences": ("accuracy", "on validation sentences, after a short training"),
    "images": ("accuracy", "on validation images, after a short training"),
}
"""What a search calls accuracy, and what it was measured on, by what the networks read."""
_PERCENT: Final = ("accuracy", "ngram_f", "exact")


@dataclass(frozen=True)
class NetworkRecord:
    """A finished search or training.

    Attributes:
        command: `search` or `train`.
        result: `result.json`, as its own model.
        network: the best architecture of a search, or the one that was trained.
        read: what was read of the data, in lines.
    """

    command: str
    result: Any
    network: Architecture
    read: tuple[str, ...]

    @property
    def reads(self) -> str:
        """What the network reads."""
        return self.network.skeleton.reads

    @property
    def headline(self) -> str:
        """The outcome in one sentence."""
        found = self.result
        cost = (
            f"{human(work(self.network.kind, self.network.cost))} {work_unit(self.network.kind)} "
            f"and {human(found.params)} params"
        )
        if self.command == "search":
            name, value = self._reached
            if self.reads == "text":
                return f"The best network has a {name} of {value}, with {cost}."
            return f"The best network has {value} {name}, with {cost}."
        if self.reads == "text":
            return f"The network has a test perplexity of {found.test_perplexity:.2f}, with {cost}."
        if self.reads == "captions":
            exact = f"writes {found.test_accuracy:.1%} of the test captions exactly"
            return f"The network {exact} (n-gram F {found.test_ngram_f:.2f}), with {cost}."
        return f"The network has a test accuracy of {found.test_accuracy:.2%}, with {cost}."

    @property
    def sentences(self) -> tuple[str, ...]:
        """What the headline means."""
        found = self.result
        if self.command == "train":
            kept = f"The weights are those after epoch {found.kept_epoch} of {found.epochs}."
            return (f"{kept} The test split was used only once, at the end.",)
        _, measured = self._score
        evaluated = plural(found.evaluations, "evaluation")
        trained = f"{found.method} searched {found.space} with {evaluated}."
        table = found.config.evaluator.table
        if table is not None:
            return (
                trained,
                f"Accuracies are those of the table {table}: nothing was trained here.",
            )
        return (trained, f"Its accuracy was measured {measured} of that network alone.")

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """The most important numbers."""
        found, kind = self.result, self.network.kind
        facts = [
            (work_unit(kind), human(work(kind, self.network.cost))),
            ("params", human(found.params)),
        ]
        if self.command == "search":
            facts = [
                self._reached,
                *facts,
                ("evaluations", f"{found.evaluations:,}"),
                ("time", duration(found.seconds)),
                ("seed", f"{found.config.seed}"),
            ]
            if found.memory_mb:
                facts.append(("peak memory", f"{found.memory_mb:,} MB"))
            return tuple(facts)
        return (*self._measured(), *facts, ("epochs", f"{found.epochs:,}"),
                ("steps", f"{found.steps:,}"), ("seed", f"{found.seed}"))  # fmt: skip

    def _measured(self) -> Iterator[tuple[str, str]]:
        """The numbers on the test split that a training has, by their names."""
        for name in type(self.result).model_fields:
            value = getattr(self.result, name)
            if name.startswith("test_") and isinstance(value, float):
                share = name.endswith(_PERCENT)
                told = f"{value:.2%}" if share else f"{value:.3f}"
                yield _words(name, self.reads), told

    @property
    def _reached(self) -> tuple[str, str]:
        """The quality of the best network of a search: its name and its value, for people."""
        score = self.result.accuracy
        if self.reads == "text":
            return "perplexity", f"{1 / score if score else math.inf:.1f}"
        return self._score[0], f"{score:.1%}"

    @property
    def _score(self) -> tuple[str, str]:
        if self.result.config.evaluator.table is not None:
            return "accuracy", "by the benchmark"
        return _SCORES[self.reads]


def read_network(path: Path, command: str) -> NetworkRecord:
    """The finished search or training in a folder.

    Raises:
        RunError: it has not finished.
        CheckpointError, SpaceError: a file in it is damaged.
    """
    if not (path / RESULT).is_file():
        problem = f"the {command} has not finished; autospace {command} --resume continues it"
        raise RunError(f"{path}: {problem}")
    network = load_any(path / _NETWORKS[command])
    if not isinstance(network, Architecture):
        raise RunError(f"{path / _NETWORKS[command]}: a space; allowed: one architecture")
    folder = _folder_of(command, network.skeleton.reads)
    result = folder.open(path).load_result()
    return NetworkRecord(command, result, network, image_lines(path))


def _folder_of(command: str, reads: str) -> Any:
    if command == "search":
        from autospace.searchers.folder import SearchFolder

        return SearchFolder
    if reads == "text":
        from autospace.text.folder import TextFolder

        return TextFolder
    if reads == "captions":
        from autospace.captions.full import CaptionFolder

        return CaptionFolder
    from autospace.training.folder import TrainingFolder

    return TrainingFolder


def network_page(record: NetworkRecord) -> str:
    """The text of the report on a search or training; equal records give equal bytes."""
    found, pictures = record.result, Pictures()
    search = record.command == "search"
    hero = Hero(
        f"Report on a {'search' if search else 'training'}",
        f"{found.method} on {found.space}" if search else found.architecture,
        record.headline,
        record.sentences,
        record.facts,
    )
    sections = [*(_search_sections(record) if search else _training_sections(record))]
    sections.append(_drawn(record.network, pictures))
    if record.read:
        lines = part("ul", record.read)
        sections.append(PageSection("images", f"The {record.reads}", (lines,)))
    sections.append(_again(record))
    return page(hero, sections, pictures)


def network_figures(record: NetworkRecord) -> list[Figure | None]:
    """The figures of the page."""
    if record.command == "search":
        return [trajectory_figure(record), ranked_figure(record)]
    return [curves_figure(record.result.curve, record.reads)]


def network_values(record: NetworkRecord) -> dict[str, Any]:
    """The page as plain JSON values, with all of `result.json`."""
    return {
        "kind": record.command,
        "headline": record.headline,
        "sentences": list(record.sentences),
        "family": record.network.kind,
        "reads": record.reads,
        "read": list(record.read),
        "network": [
            {"layer": name, "cell": text, **cost} for name, text, cost in _cells(record.network)
        ],
        "result": record.result.model_dump(mode="json"),
    }


def _cells(network: Architecture) -> Iterator[tuple[str, str, dict[str, int]]]:
    for layer in drawn_layers(network):
        (candidate,) = layer.candidates
        cost = cell_cost(candidate.cell, layer.shape)
        yield layer.shape.name, notation(candidate.cell), cost._asdict()


def _search_sections(record: NetworkRecord) -> Iterator[PageSection]:
    course = trajectory_figure(record)
    if course is not None:
        yield PageSection("course", "The best network so far", (figure(course),))
    ranked = ranked_figure(record)
    if ranked is not None:
        yield PageSection("ranked", "Cost and rank", (figure(ranked),))
    found = record.result
    tables = [_networks("Finalists, the best first", found.finalists, record)]
    if found.ranked:
        shown = found.ranked[:MOST_RANKED]
        caption = f"The {plural(len(found.ranked), 'network')} that the method ranked best"
        if len(shown) < len(found.ranked):
            caption = f"The first {len(shown)} of {len(found.ranked):,} ranked networks"
        table = _networks(caption, shown, record)
        tables.append(part("details", "Ranked networks", table))
    yield PageSection("finalists", "The finalists", tuple(tables))


def _training_sections(record: NetworkRecord) -> Iterator[PageSection]:
    drawn = curves_figure(record.result.curve, record.reads)
    if drawn is not None:
        table = _epochs(record.result.curve, record.reads)
        content = figure(drawn, part("details", "The numbers", table))
        yield PageSection("curves", "The training, epoch by epoch", (content,))
    examples = getattr(record.result, "examples", None)
    if examples:
        columns = (Column("written"), Column("reference"))
        rows = tuple((each.written, each.reference) for each in examples)
        written = Table("What the network writes of the first test images", columns, rows)
        yield PageSection("examples", "Captions", (written.markup(),))


def trajectory_figure(record: NetworkRecord) -> Figure | None:
    """The best score after so many evaluations; None if the search kept no such points."""
    points = record.result.trajectory
    if not points:
        return None
    shares = all(each.accuracy is not None for each in points)
    values = [each.accuracy if shares else each.score for each in points]
    unit: Unit = "percent" if shares else "number"
    ends = [(float(each.evaluations), value) for each, value in zip(points, values, strict=True)]
    last = max(ends[-1][0], float(record.result.evaluations))
    line = ends if last == ends[-1][0] else [*ends, (last, ends[-1][1])]
    tips = tuple(
        f"{each.evaluations:,} evaluations: {_told(value, unit)}"
        for each, value in zip(points, values, strict=True)
    )
    name = f"predicted {record._score[0]}" if shares else "score"
    panel = Panel(
        "Best network so far",
        f"{_told(values[0], unit)} at first and {_told(values[-1], unit)} at the end.",
        Axis.of("evaluations", [0.0, *(x for x, _ in line)], "count"),
        Axis.of(name, values, unit),
        (Line(tuple(line), "first", step=True), Dots(tuple(ends), "first", "dot", tips)),
    )
    caption = f"The best {name} after so many evaluations, by the method's own measure."
    return Figure("trajectory", caption, (panel,), (), (400, 200))


def ranked_figure(record: NetworkRecord) -> Figure | None:
    """Cost and score of the networks that the method ranked; None if there are fewer than two."""
    found = record.result.ranked
    if len(found) < 2:
        return None
    shares = all(each.predicted_accuracy is not None for each in found)
    values = [each.predicted_accuracy if shares else each.score for each in found]
    unit: Unit = "percent" if shares else "number"
    ops = [each.ops for each in found if each.ops is not None]
    costs, what = (ops, "OPs") if len(ops) == len(found) else ([e.madds for e in found], "MAdds")
    points = tuple((float(x), float(y)) for x, y in zip(costs, values, strict=True))
    finalists = [tuple(sorted(each.architecture.items())) for each in record.result.finalists]
    marked = [tuple(sorted(each.architecture.items())) in finalists for each in found]
    tips = tuple(f"{human(x)} {what}, {_told(y, unit)}" for x, y in points)
    name = f"predicted {record._score[0]}" if shares else "score"
    dots = [
        Dots(
            tuple(p for p, own in zip(points, marked, strict=True) if own is group),
            "first" if group else "faint",
            "dot",
            tuple(tip for tip, own in zip(tips, marked, strict=True) if own is group),
        )
        for group in (False, True)
    ]
    panel = Panel(
        f"{plural(len(found), 'ranked network')}",
        f"{what} from {human(min(costs))} to {human(max(costs))}.",
        Axis.of(what, [x for x, _ in points], "count"),
        Axis.of(name, [y for _, y in points], unit),
        tuple(each for each in dots if each.points),
    )
    legend = (
        LegendEntry("finalist", "first", "dot"),
        LegendEntry("other ranked network", "faint", "dot"),
    )
    return Figure("ranked", f"Cost and {name} of networks.", (panel,), legend, (400, 230))


def curves_figure(curve: Sequence[Any], reads: str) -> Figure | None:
    """The numbers of every epoch: losses together, each other number alone."""
    if len(curve) < 2:
        return None
    names = [name for name in type(curve[0]).model_fields if name != "epoch"]
    losses = [name for name in names if name.endswith("loss")]
    panels = [_curve("loss", losses, curve, reads)] if losses else []
    panels += [
        _curve(_words(name, reads), [name], curve, reads) for name in names if name not in losses
    ]
    legend = (
        LegendEntry("train", "faint", "dashed"),
        LegendEntry("validation", "first", "line"),
    )
    shown = tuple(each for each in panels if each is not None)
    caption = "The numbers after every epoch; loss is mean cross-entropy in nats."
    return Figure("curves", caption, shown, legend, (300, 190)) if shown else None


def _curve(title: str, names: Sequence[str], curve: Sequence[Any], reads: str) -> Panel | None:
    series = {
        name: [
            (float(each.epoch), float(value))
            for each in curve
            if type(value := getattr(each, name)) in (int, float) and math.isfinite(value)
        ]
        for name in names
    }
    points = [point for some in series.values() for point in some]
    if len(points) < 2:
        return None
    share = names[0].endswith(_PERCENT)
    unit: Unit = "percent" if share else "number"
    marks: list[Line | Dots] = []
    for name, some in series.items():
        of_train = name.startswith("train")
        tips = tuple(f"epoch {x:.0f}: {_words(name, reads)} {_told(y, unit)}" for x, y in some)
        marks.append(Line(tuple(some), "faint" if of_train else "first", dashed=of_train))
        marks.append(Dots(tuple(some), "faint" if of_train else "first", "none", tips))
    told = "; ".join(
        f"{_words(name, reads)} {_told(some[0][1], unit)} at first and "
        f"{_told(some[-1][1], unit)} at last"
        for name, some in series.items()
        if some
    )
    epochs = [x for x, _ in points]
    x_axis = Axis("epoch", min(epochs) - 0.5, max(epochs) + 0.5, "whole")
    return Panel(title, f"{told}.", x_axis, Axis.of("", [y for _, y in points], unit), tuple(marks))


def _epochs(curve: Sequence[Any], reads: str) -> Content:
    names = [*type(curve[0]).model_fields]
    columns = tuple(Column(_words(name, reads), numeric=True) for name in names)
    rows = tuple(tuple(_cell(name, getattr(each, name)) for name in names) for each in curve)
    return Table("Every epoch", columns, rows).markup()


def _cell(name: str, value: Any) -> Number:
    if value is None:
        return missing()
    if isinstance(value, int):
        return whole(value)
    return Number(f"{value:.2%}", value) if name.endswith(_PERCENT) else decimal(value, 4)


def _words(name: str, reads: str) -> str:
    """What a number is called; captions have names of their own for what files call accuracy."""
    if reads == "captions":
        name = _OF_CAPTIONS.get(name, name)
    return name.replace("_", " ")


_OF_CAPTIONS: Final = {
    "test_accuracy": "test exact match",
    "test_ngram_f": "test n-gram F",
    "validation_accuracy": "validation n-gram F",
    "validation_exact": "validation exact match",
}


def _told(value: float, unit: Unit) -> str:
    return f"{value:.1%}" if unit == "percent" else f"{value:.4g}"


def _networks(caption: str, found: Sequence[Any], record: NetworkRecord) -> Content:
    name = record._score[0]
    binary = record.result.ops is not None
    headings = (name, f"predicted {name}", "score", "MAdds", "params", *(("OPs",) * binary))
    columns = (*(Column(each, numeric=True) for each in headings), Column("architecture"))
    rows = tuple(
        (
            _share(each.accuracy),
            _share(each.predicted_accuracy),
            decimal(each.score, 4),
            Number(human(each.madds), each.madds),
            Number(human(each.params), each.params),
            *((Number(human(each.ops), each.ops),) if binary else ()),
            part("code", _choices(each.architecture)),
        )
        for each in found
    )
    return Table(caption, columns, rows).markup()


def _choices(architecture: Mapping[str, str]) -> str:
    return ", ".join(f"{layer}={cell}" for layer, cell in sorted(architecture.items()))


def _share(value: float | None) -> Number:
    return missing() if value is None else Number(f"{value:.1%}", value)


def _drawn(network: Architecture, pictures: Pictures) -> PageSection:
    """The cell of every layer; those that layers share once."""
    cards = []
    for layer in drawn_layers(network):
        (candidate,) = layer.candidates
        kind = candidate.cell.kind
        cost = work(kind, cell_cost(candidate.cell, layer.shape))
        cards.append(
            part(
                "card",
                layer.shape.name,
                [
                    shape_label(layer.shape).replace("->", "→"),
                    f"{human(cost)} {work_unit(kind)}",
                    notation(candidate.cell),
                ],
                pictures.of(candidate.cell, layer.shape),
                place="" if network.skeleton.choices_per_cell > 1 else candidate.id,
            )
        )
    skeleton = network.skeleton
    told = f"The cells on the skeleton {skeleton.name} ({skeleton.described}), input side first."
    return PageSection("network", "The network", (part("p", told), part("cards", cards)))


def _again(record: NetworkRecord) -> PageSection:
    found = record.result
    settings: Mapping[str, Any] = (
        found.config.model_dump(mode="json") if record.command == "search" else found.recipe
    )
    rows = tuple((name, f"{value}") for name, value in _flat(settings))
    table = Table("Settings", (Column("setting"), Column("value")), rows)
    versions = ", ".join(f"{name} {version}" for name, version in sorted(found.versions.items()))
    data = getattr(found, "data", None)
    pairs = [("versions", versions)]
    if data is not None:
        pairs = [("data", data.name), ("SHA-256 of the data", data.sha256), *pairs]
    told = "On a CPU and with the same versions, equal settings and data give equal results."
    fold = part("details", plural(len(rows), "setting"), table.markup())
    content = (part("p", told), part("dl", pairs, "pairs"), fold)
    return PageSection("again", "How to repeat it", content)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None and name not in ("device", "latency_table"):
            yield f"{prefix}{name}", value
