"""The live display of a run on a terminal."""

import sys
import time
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autospace.cli.display.drawing import curve
from autospace.cli.output import DEFAULT_COLUMNS, Unheard
from autospace.cli.progress.base import Reporter
from autospace.cli.progress.parts import Epochs, Parts, Rounds
from autospace.compute.machine import peak_memory
from autospace.progress import duration
from autospace.spaces.text import visible

if TYPE_CHECKING:
    from autospace.evolution.plan import Plan
    from autospace.evolution.population import EvolutionState

REFRESHES_PER_SECOND: Final = 8
MAX_LAYERS: Final = 12
CURVE_WIDTH: Final = 40


class LiveReporter(Reporter):
    """What is in progress, the time left, and a picture of the rounds or epochs so far."""

    def __init__(self, command: str, parts: Parts, console: Console | None = None) -> None:
        super().__init__(command, parts)
        stream: Any = Unheard(sys.stderr)
        self._console = console or Console(file=stream, highlight=False, markup=False)
        if self._console.width < 1:
            self._console.width = DEFAULT_COLUMNS
        self._live = Live(
            console=self._console,
            refresh_per_second=REFRESHES_PER_SECOND,
            get_renderable=self._render,
        )
        self._live.start()

    def message(self, text: str) -> None:
        """A remark for the user, above the display."""
        self._console.print(Text(visible(text)))

    def last_word(self, text: str) -> None:
        """What is left of a run that was stopped, above the display."""
        self.message(text)

    def say_nodes(self) -> None:
        """Nothing: the last picture has what every node has done."""

    def close(self) -> None:
        """Leaves the last picture on the terminal."""
        self._live.stop()

    def _render(self) -> RenderableType:
        pictures: list[RenderableType] = []
        if isinstance(self.parts, Rounds):
            pictures = _rounds(self.parts, self._console.encoding)
        elif isinstance(self.parts, Epochs):
            pictures = _epochs(self.parts, self._console.encoding)
        line = self.nodes_line()
        nodes = [Text(visible(line), style="dim")] if line else []
        return Group(self._headline(), *nodes, *pictures)

    def _headline(self) -> RenderableType:
        name, done, total = self.now
        phase = self.phases[name]
        share = min(done / max(1, total), 1.0)
        title, share = self.parts.headline(share) or (phase.title, share)
        elapsed = duration(time.monotonic() - self.started)
        times = f"{elapsed} so far, {self.left()}"
        count = [f"{done:,}/{total:,}"] if phase.events == "seconds" else []
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=min(share, 1.0), width=28)
        grid.add_row(Text(title, style="bold"), bar, *count, times)
        return grid


def _rounds(rounds: Rounds, encoding: str) -> list[RenderableType]:
    """Speed and memory, and the fitness per layer against the reference."""
    if rounds.last is None:
        return []
    plan, state = rounds.last.plan, rounds.last.state
    record = state.history[-1]
    cells = rounds.cells / max(1e-9, sum(rounds.seconds))
    text = (
        f"{record.phase}: best {record.best:+.4f}, mean {record.mean:+.4f}; "
        f"{cells:.1f} cells/s, {record.drawn.feasible_rate:.0%} in budget, "
        f"{peak_memory() // 2**20:,} MB"
    )
    return [Text(text, style="dim"), _layers(plan, state, encoding)]


def _layers(plan: "Plan", state: "EvolutionState", encoding: str) -> Table:
    """Per layer the best fitness so far against the reference at 0, and its course."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    table.add_column("layer")
    table.add_column("best", justify="right")
    table.add_column("mean", justify="right")
    table.add_column("best so far, round by round", no_wrap=True)
    names = [shape.name for shape in plan.skeleton.shapes]
    for index, name in enumerate(names[:MAX_LAYERS]):
        records = [record.layers[index] for record in state.history]
        best = records[-1].best
        style = "green" if best > 0 else ""
        course = [record.best for record in records][-CURVE_WIDTH:]
        table.add_row(
            name,
            Text(f"{best:+.4f}", style=style),
            f"{records[-1].mean:+.4f}",
            Text(curve(course, CURVE_WIDTH, encoding), style=style),
        )
    if len(names) > MAX_LAYERS:
        table.add_row(f"and {len(names) - MAX_LAYERS} more", "", "", "")
    return table


def _epochs(epochs: Epochs, encoding: str) -> list[RenderableType]:
    """The curves of loss and accuracy."""
    if not epochs.all:
        return []
    grid = Table.grid(padding=(0, 2))
    losses = [each.epoch.train_loss for each in epochs.all]
    grid.add_row("loss", curve(losses, CURVE_WIDTH, encoding), f"{losses[-1]:.4f}")
    accuracies = [each.epoch.validation_accuracy for each in epochs.all]
    known = [each for each in accuracies if each is not None]
    if known:
        shown = Text(curve(known, CURVE_WIDTH, encoding), style="green")
        grid.add_row("validation", shown, f"{known[-1]:.2%}")
    return [grid]
