"""`autospace sample`: architectures drawn from a space, within limits if asked."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autospace.cli.options import Format, MaxMadds, MaxOps, MaxParams, Overwrite, SpaceSource, limit
from autospace.cli.output import InputError, check_new, json_data, message, write_new

if TYPE_CHECKING:
    from autospace.spaces import Architecture, Budget, Space

MOST_SAMPLES = 10_000


def sample(
    space: Annotated[str, typer.Argument(help=SpaceSource)],
    count: Annotated[
        int, typer.Option("-n", "--count", help="Number of architectures, all distinct.")
    ] = 5,
    seed: Annotated[int, typer.Option(help="Equal seeds draw equal architectures.")] = 0,
    max_madds: MaxMadds = None,
    max_params: MaxParams = None,
    max_ops: MaxOps = None,
    format_: Format = "table",
    out: Annotated[
        Path | None, typer.Option(help="Folder to which each architecture is written as a file.")
    ] = None,
    force: Overwrite = False,
) -> None:
    """Draw architectures from a space.

    All architectures within the limits are equally likely, however few there are.
    """
    from autospace.seeds import stream
    from autospace.spaces import Budget, load
    from autospace.spaces.sampling import sample_within
    from autospace.spaces.text import plural

    if not 1 <= count <= MOST_SAMPLES:
        raise InputError(f"-n {count}: allowed: 1 to {MOST_SAMPLES}")
    budget = Budget(
        limit("--max-madds", max_madds),
        limit("--max-params", max_params),
        limit("--max-ops", max_ops),
    )
    source = load(space)
    drawn = sample_within(source, budget, count, stream(seed, "sample"))
    if len(drawn) < count:
        allowed = " within the limits" if budget != Budget() else ""
        number = plural(len(drawn), "architecture")
        message(f"only {number}{allowed}: all there are")
    if out is not None:
        _write(drawn, out, force)
    if format_ == "json":
        json_data([_record(each) for each in drawn])
    else:
        _print_table(source, drawn, seed, budget)


def _record(architecture: "Architecture") -> dict[str, object]:
    cost = architecture.cost
    # Only networks with binary operations have the key, so that others keep what they printed.
    bops = {"bops": cost.bops} if cost.bops else {}
    counted = {"madds": cost.madds, "params": cost.params, **bops}
    return {"architecture": architecture.choices, **counted}


def _write(drawn: list["Architecture"], folder: Path, force: bool) -> None:
    from autospace.spaces import to_json

    width = max(2, len(str(len(drawn) - 1)))
    files = [folder / f"architecture_{index:0{width}d}.json" for index in range(len(drawn))]
    folder.mkdir(parents=True, exist_ok=True)
    # All or none: not half of them beside older ones.
    for file in files:
        check_new(file, force=force)
    for file, architecture in zip(files, drawn, strict=True):
        write_new(file, to_json(architecture), force=force)
    message(f"wrote {files[0]} to {files[-1].name}")


def _print_table(space: "Space", drawn: list["Architecture"], seed: int, budget: "Budget") -> None:
    from autospace.cli.display.tables import print_samples

    limits = {"MAdds": budget.max_madds, "params": budget.max_params, "OPs": budget.max_ops}
    print_samples(space, drawn, seed, {name: at for name, at in limits.items() if at is not None})
