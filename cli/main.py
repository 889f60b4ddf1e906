"""The command `autospace`: its commands in the order in which one uses them."""

from typing import Annotated

import typer

from autospace.cli.commands.bench import bench
from autospace.cli.commands.compare import compare
from autospace.cli.commands.data import data
from autospace.cli.commands.diff import diff
from autospace.cli.commands.doctor import doctor
from autospace.cli.commands.evolve import evolve
from autospace.cli.commands.export import export
from autospace.cli.commands.import_ import import_
from autospace.cli.commands.init import init
from autospace.cli.commands.listing import schema, spaces
from autospace.cli.commands.profile import profile
from autospace.cli.commands.report import plot, report
from autospace.cli.commands.sample import sample
from autospace.cli.commands.search import search
from autospace.cli.commands.show import show
from autospace.cli.commands.train import train
from autospace.cli.commands.validate import validate
from autospace.cli.program import Command, Program

app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
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
            "-V",
            "--version",
            help="Print the version and exit.",
            callback=_print_version,
            is_eager=True,
        ),
    ] = False,
) -> None:
    """Learn a search space for neural architecture search, prove it, and hand it over."""


# Help lists the commands in this order: the order of a project.
app.command(cls=Command)(doctor)
app.command(cls=Command)(init)
app.command(cls=Command)(data)
app.command(cls=Command)(evolve)
app.command(cls=Command)(show)
app.command(cls=Command)(diff)
app.command(cls=Command)(sample)
app.command(cls=Command)(validate)
app.command(cls=Command)(compare)
app.command(cls=Command)(search)
app.command(cls=Command)(train)
app.command(cls=Command)(export)
app.command("import", cls=Command)(import_)
app.command(cls=Command)(report)
app.command(cls=Command)(plot)
app.command(cls=Command)(bench)
app.command(cls=Command)(profile)
app.command(cls=Command)(spaces)
app.command(cls=Command)(schema)
