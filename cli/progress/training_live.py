"""The live display of a training on a terminal."""

import time
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autospace.cli.display.drawing import curve
from autospace.cli.progress.reporters import duration
from autospace.cli.progress.training_reporters import PHASES, TrainingReporter

if TYPE_CHECKING:
    from autospace.training.session import Epoch

REFRESHES_PER_SECOND = 8
WIDTH = 40


class LiveTrainingReporter(TrainingReporter):
    """Epoch, time left, and the curves so far."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__()
        self._phase = ("data", 0, 1)
        self._epochs: list[Epoch] = []
        self._total = 0
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
        self._phase = (phase, done, total)

    def show_epoch(self, epoch: "Epoch", epochs: int, seconds: float) -> None:
        """Remembers what the next refresh shows."""
        self._epochs.append(epoch)
        self._total = epochs

    def close(self) -> None:
        """Leaves the last picture on the terminal."""
        self._live.stop()
        super().close()

    def _render(self) -> RenderableType:
        parts = [self._headline()]
        if self._epochs:
            parts.append(self._curves())
        return Group(*parts)

    def _headline(self) -> RenderableType:
        phase, done, total = self._phase
        name = PHASES[phase]
        if self._epochs:
            name = f"epoch {min(self._epochs[-1].epoch + 1, self._total)} of {self._total}"
        share = min(done / max(1, total), 1.0)
        left = "..." if self.time_left is None else duration(self.time_left)
        grid = Table.grid(padding=(0, 1))
        so_far = duration(time.monotonic() - self.started)
        bar = ProgressBar(total=1.0, completed=share, width=28)
        grid.add_row(Text(name, style="bold"), bar, f"{so_far} so far, {left} left")
        return grid

    def _curves(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2))
        encoding = self._live.console.encoding
        losses = [each.train_loss for each in self._epochs]
        grid.add_row("loss", curve(losses, WIDTH, encoding), f"{losses[-1]:.4f}")
        right = [each.validation_accuracy for each in self._epochs]
        known = [each for each in right if each is not None]
        if known:
            shown = Text(curve(known, WIDTH, encoding), style="green")
            grid.add_row("validation", shown, f"{known[-1]:.2%}")
        return grid
