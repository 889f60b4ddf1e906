"""The live display of a run on a terminal."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autospace.cli.progress.reporters import PHASES, Reporter, duration, feasible_rate
from autospace.compute.machine import peak_memory

if TYPE_CHECKING:
    from autospace.evolution.plan import Plan
    from autospace.evolution.population import EvolutionState

SPARKS = "▁▂▃▄▅▆▇█"
REFRESHES_PER_SECOND = 8
MAX_LAYERS = 12


class LiveReporter(Reporter):
    """Phase and time left, fitness per layer against the reference, and the course so far."""

    def __init__(self, run: Path, console: Console | None = None) -> None:
        super().__init__()
        self._run = run
        self._phase = ("data", 0, 1)
        self._phase_started = time.monotonic()
        self._now: tuple[Plan, EvolutionState] | None = None
        self._live = Live(
            console=console or Console(stderr=True, highlight=False, markup=False),
            refresh_per_second=REFRESHES_PER_SECOND,
            get_renderable=self._render,
        )
        self._live.start()

    def say(self, text: str) -> None:
        """A remark for the user, above the display."""
        self._live.console.print(Text(text))

    def show_tick(self, phase: str, done: int, total: int) -> None:
        """Remembers what the next refresh shows."""
        if phase != self._phase[0]:
            self._phase_started = time.monotonic()
        self._phase = (phase, done, total)

    def show_round(self, plan: "Plan", state: "EvolutionState", seconds: float) -> None:
        """Remembers what the next refresh shows."""
        self._now = (plan, state)

    def close(self) -> None:
        """Leaves the last picture on the terminal."""
        self._live.stop()

    def _render(self) -> RenderableType:
        parts: list[RenderableType] = [self._headline()]
        if self._now is not None:
            plan, state = self._now
            parts += [self._figures(plan, state), _layers(plan, state)]
        return Group(*parts)

    def _headline(self) -> RenderableType:
        phase, done, total = self._phase
        share = done / max(1, total)
        if self._now is not None:
            plan, state = self._now
            share = (state.round + min(share, 1.0)) / plan.rounds
            name = f"round {min(state.round + 1, plan.rounds)} of {plan.rounds}"
            left = duration(self.seconds_left(plan, state))
        else:
            name = PHASES[phase]
            elapsed = time.monotonic() - self._phase_started
            left = duration(elapsed * (1 - share) / share) if share > 0.02 else "..."
        grid = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=min(share, 1.0), width=28)
        elapsed_text = duration(time.monotonic() - self.started)
        grid.add_row(Text(name, style="bold"), bar, f"{elapsed_text} so far, {left} left")
        return grid

    def _figures(self, plan: "Plan", state: "EvolutionState") -> Text:
        record = state.history[-1]
        cells = state.evaluations / max(1e-9, sum(self.rounds))
        memory = peak_memory() // 2**20
        return Text(
            f"{record.phase}: best {record.best:+.4f}, mean {record.mean:+.4f}; "
            f"{cells:.1f} cells/s, {feasible_rate(state):.0%} in budget, {memory:,} MB",
            style="dim",
        )


def _layers(plan: "Plan", state: "EvolutionState") -> Table:
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
        table.add_row(
            name,
            Text(f"{best:+.4f}", style=style),
            f"{records[-1].mean:+.4f}",
            Text(sparkline([record.best for record in records][-40:]), style=style),
        )
    if len(names) > MAX_LAYERS:
        table.add_row(f"and {len(names) - MAX_LAYERS} more", "", "", "")
    return table


def sparkline(values: list[float]) -> str:
    """The course of some values as a line of blocks, lowest to highest."""
    low, high = min(values), max(values)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0
    return "".join(SPARKS[round((value - low) * scale)] for value in values)
