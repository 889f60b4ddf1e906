"""The command `autospace`: its commands in the order in which one uses them."""

from typing import Annotated

import typer

from autospace.cli.commands.bench import bench
from autospace.cli.commands.compare import compare
from autospace.cli.commands.data import data
from autospace.cli.commands.diff import diff
from autospace.cli.commands.evolve import evolve
from autospace.cli.commands.export import export
from autospace.cli.commands.import_ import import_
from autospace.cli.commands.listing import doctor, init, schema, spaces
from autospace.cli.commands.profile import profile
from autospace.cli.commands.report import plot, report
from autospace.cli.commands.sample import sample
from autospace.cli.commands.search import search
from autospace.cli.commands.show import show
from autospace.cli.commands.train import train
from autospace.cli.commands.validate import validate
from autospace.cli.output import CommandGroup

app = typer.Typer(
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"autospace {version('autospace')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Learn a search space for neural architecture search, prove it, and hand it over."""


# Help lists the commands in this order: the order of a project.
app.command()(doctor)
app.command()(init)
app.command()(data)
app.command()(evolve)
app.command()(show)
app.command()(diff)
app.command()(sample)
app.command()(validate)
app.command()(compare)
app.command()(search)
app.command()(train)
app.command()(export)
app.command("import")(import_)
app.command()(report)
app.command()(plot)
app.command()(bench)
app.command()(profile)
app.command()(spaces)
app.command()(schema)
