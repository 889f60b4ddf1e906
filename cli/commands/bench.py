"""`autospace bench`: suites of measurements as numbers; fails on a regression."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from autospace.cli.options import DeviceName, Format, Overwrite, Text, choices
from autospace.cli.output import (
    FAILED,
    InputError,
    check_new,
    complaint,
    data,
    message,
    rich_data,
    write_new,
)
from autospace.spaces.errors import offered

if TYPE_CHECKING:
    from autospace.bench.baseline import Change
    from autospace.bench.document import Bench, Options, Suite
    from autospace.bench.suites import Order

LARGEST_TOLERANCE: Final = 10.0

Suites = Annotated[
    list[str] | None,
    typer.Option(
        "--suite",
        help="What to measure; may be repeated.",
        show_default="all",
        **choices("speed", "recovery", "ranking", "truth", "cost"),
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="All suites in about two minutes.")]
Seeds = Annotated[
    int | None,
    typer.Option(
        min=1, max=1000, help="Seeds of recovery and ranking.", show_default="3; with --quick 2"
    ),
]
Data = Annotated[
    Text,
    typer.Option(
        "--data",
        help="CIFAR-10, as in evolve; ranking then uses the true accuracies of "
        "docs/evidence/ranking.md.",
        show_default="generated images",
    ),
]
Out = Annotated[Path | None, typer.Option(help="JSON file for the measurements.")]
Baseline = Annotated[Path | None, typer.Option(help="Compare with the measurements in this file.")]
Tolerance = Annotated[
    str, typer.Option(help="Accepted loss against the baseline, in addition to noise.")
]
Update = Annotated[bool, typer.Option("--update", help="Write this run to the file of --baseline.")]
Junit = Annotated[Path | None, typer.Option(help="JUnit XML file for the comparison.")]


def bench(
    suite: Suites = None,
    quick: Quick = False,
    seeds: Seeds = None,
    data_: Data = None,
    device: DeviceName = "cpu",
    out: Out = None,
    baseline: Baseline = None,
    tolerance: Tolerance = "10%",
    update: Update = False,
    junit: Junit = None,
    force: Overwrite = False,
    format_: Format = "table",
) -> None:
    """Measure speed, search quality, statistics and costs.

    With --baseline, the exit code is 1 if anything became worse by more than noise and tolerance.
    If it is stopped, --out has what was measured until then; the baseline stays as it was.
    """
    accepted = _tolerance(tolerance)
    if update and baseline is None:
        raise InputError("--update: needs --baseline FILE, which it overwrites")
    names = _names(suite)
    _check_files(out, junit, baseline if update else None, force=force)
    from autospace.bench.document import to_json
    from autospace.bench.suites import QUICK_SEEDS, SEEDS, Order
    from autospace.bench.suites import bench as measured
    from autospace.compute.device import resolve_device

    seeds = seeds or (QUICK_SEEDS if quick else SEEDS)
    order = Order(quick, seeds, resolve_device(device), data_)
    before = _before(baseline, order, names, update=update)
    _check_images(data_, names)
    kept = _Kept(out, force=force)
    try:
        with kept:
            now = measured(names, order, message, kept)
    except KeyboardInterrupt:
        if kept.found is not None:
            changes = _changes(before, kept.found, [], accepted)
            _show(kept.found, changes, format_, compared=before is not None)
            _tell_stopped(len(kept.found.entries), out)
        raise
    changes = _changes(before, now, names, accepted)
    if junit is not None:
        from autospace.bench.baseline import junit as as_junit

        write_new(junit, as_junit(changes), force=force)
    _show(now, changes, format_, compared=before is not None)
    if update and baseline is not None:
        from autospace.bench.baseline import renewed

        whole = now if before is None else renewed(before, now, names)
        write_new(baseline, to_json(whole), force=True)
        message(f"wrote {baseline}")
        return
    if before is not None:
        _tell(before, now, changes)


class _Kept:
    """What is measured so far, in a file if there is one: whatever stops the command, it stays."""

    def __init__(self, out: Path | None, *, force: bool) -> None:
        from autospace.runs.files import is_stream

        self.found: Bench | None = None
        self._out, self._force = out, force
        self._once = out is not None and is_stream(out)

    def __call__(self, found: "Bench") -> None:
        """Keeps it in place of what was kept before."""
        from autospace.bench.document import to_json

        if self._out is not None and not self._once:
            write_new(self._out, to_json(found), force=self._force or self.found is not None)
        self.found = found

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, *_: object) -> None:
        """Writes it into what cannot be written again, such as a pipe."""
        from autospace.bench.document import to_json

        if self._out is not None and self._once and self.found is not None:
            write_new(self._out, to_json(self.found), force=True)


def _tell_stopped(count: int, out: Path | None) -> None:
    kept = f"; {out} has {'them' if count > 1 else 'it'}" if out is not None else ""
    message(f"stopped after {count} measurement{'s' * (count > 1)}{kept}")


def _show(found: "Bench", changes: "list[Change]", format_: Format, *, compared: bool) -> None:
    from autospace.bench.document import to_json

    if format_ == "json":
        data(to_json(found))
    else:
        _print(changes, compared=compared)


def _tell(before: "Bench", now: "Bench", changes: "list[Change]") -> None:
    """What a reader of the table should know, and the exit code."""
    from autospace.bench.baseline import other_conditions

    if "hardware" in other_conditions(before, now):
        message("note: the baseline was measured on another machine")
    if before.versions != now.versions:
        pairs = {*before.versions.items()} ^ {*now.versions.items()}
        message(f"note: versions differ: {', '.join(sorted({name for name, _ in pairs}))}")
    for change in changes:
        if change.verdict in ("new", "gone"):
            where = "only in the baseline" if change.verdict == "gone" else "not in the baseline"
            message(f"note: {change.entry.name}: {where}")
    worse = [change.entry.name for change in changes if change.verdict == "worse"]
    if worse:
        complaint(f"regression: {', '.join(worse)}")
        raise typer.Exit(FAILED)


def _changes(
    before: "Bench | None", now: "Bench", names: "list[Suite]", tolerance: float
) -> "list[Change]":
    from autospace.bench.baseline import Change, compare

    if before is None:
        return [Change(None, entry, tolerance) for entry in now.entries]
    return compare(before, now, names, tolerance)


def _names(wanted: list[str] | None) -> "list[Suite]":
    """The suites that were asked for, each once, in their own order.

    Raises:
        InputError: one that does not exist.
    """
    import typing

    from autospace.bench.document import Suite

    known = typing.get_args(Suite)
    for name in wanted or ():
        if name not in known:
            raise InputError(f"--suite {name[:40]!r}: {offered(name, known)}")
    return [name for name in known if not wanted or name in wanted]


def _tolerance(text: str) -> float:
    """`10%` or `0.1` as a share.

    Raises:
        InputError: not a number, negative or absurd.
    """
    digits = text.strip().removesuffix("%")
    scale = 100 if text.strip().endswith("%") else 1
    try:
        value = float(digits) / scale
    except ValueError:
        value = -1.0
    if not 0 <= value <= LARGEST_TOLERANCE:
        raise InputError(f"--tolerance {text[:40]!r}: expected a share such as 10% or 0.1")
    return value


def _check_files(
    out: Path | None, junit: Path | None, updated: Path | None, *, force: bool
) -> None:
    # Before minutes of work, not after; `write_new` asks again.
    if out is not None and out == junit:
        raise InputError(f"--junit: {junit} is --out, too; allowed: another file")
    for path, replaces in ((out, force), (junit, force), (updated, True)):
        if path is not None:
            check_new(path, force=replaces, stdout=False)


def _check_images(source: str | None, names: Sequence["Suite"]) -> None:
    """Reads the images before minutes of other work, to refuse wrong ones at once.

    Raises:
        InputError: no suite that was chosen uses them.
        DataError: they cannot be read, or are not those of CIFAR-10.
    """
    if source is None:
        return
    if "ranking" not in names:
        raise InputError("--data: has no effect without the suite ranking; allowed: without it")
    from autospace.bench.ranking import frozen_truth, images_of

    images_of(frozen_truth(source))


def _before(
    path: Path | None, order: "Order", names: "list[Suite]", *, update: bool
) -> "Bench | None":
    """The baseline, if there is one; only an update may be without.

    Raises:
        InputError: it was measured in another way, and would be compared or kept in part.
        SpaceError: it is missing or no valid document.
    """
    from autospace.bench.document import read_bench
    from autospace.bench.suites import begun

    if path is None or (update and not path.exists()):
        return None
    before = read_bench(path)
    if update:
        _check_renewable(path, before, begun(order), names)
    else:
        _check_comparable(path, before, order.options)
    return before


def _check_comparable(path: Path, before: "Bench", options: "Options") -> None:
    if before.options != options:
        how = f"{'--quick ' if before.options.quick else ''}--seeds {before.options.seeds}"
        how += " --data CIFAR-10" if before.options.cifar10 else ""
        problem = f"was measured with {how}; use the same options, or renew it with --update"
        raise InputError(f"{path}: {problem}")


def _check_renewable(path: Path, before: "Bench", now: "Bench", names: "list[Suite]") -> None:
    """Refuses to keep the metrics of suites that do not run, if they do not belong to this run."""
    from autospace.bench.baseline import other_conditions, unmeasured

    others = dict.fromkeys(entry.suite for entry in unmeasured(before, names))
    different = other_conditions(before, now)
    if others and different:
        problem = f"has {', '.join(others)}, measured with other {' and '.join(different)}"
        raise InputError(f"{path}: {problem}; renew these suites, too")


def _print(changes: "list[Change]", *, compared: bool) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("metric", overflow="fold")
    headings = ("baseline", "now", "better by", "noise", "") if compared else ("value", "spread")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    if not compared:
        table.add_column("better", no_wrap=True)
    for change in changes:
        table.add_row(*(_compared_row(change) if compared else _row(change)))
    rich_data(table)


def _row(change: "Change") -> tuple[str, ...]:
    from autospace.spaces.text import visible

    entry = change.entry
    spread = f"±{entry.spread:.2g}"
    return visible(entry.name), f"{entry.value:.4g}", spread, entry.better


def _compared_row(change: "Change") -> tuple[str, ...]:
    from autospace.spaces.text import visible

    before, now = (
        "-" if entry is None else f"{entry.value:.4g}" for entry in (change.before, change.now)
    )
    gain = noise = ""
    if change.before is not None and change.now is not None:
        scale = abs(change.before.value)
        gain = f"{change.gain / scale:+.1%}" if scale else f"{change.gain:+.2g}"
        noise = f"±{change.noise / scale:.1%}" if scale else f"±{change.noise:.2g}"
    verdict = {"worse": "WORSE", "same": ""}.get(change.verdict, change.verdict)
    return visible(change.entry.name), before, now, gain, noise, verdict
