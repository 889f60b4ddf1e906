"""A run folder as a value: what it learned, or how far it came."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from autospace.evolution.checkpoint import CheckpointError, cells_of_event
from autospace.evolution.folder import RunFolder
from autospace.evolution.population import Member, Round, State
from autospace.evolution.settings import Config
from autospace.runs.folder import EVENTS
from autospace.spaces.skeleton import LayerShape, Skeleton
from autospace.spaces.space import Candidate, Space

MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Logged:
    """What only the event log knows of a round.

    Attributes:
        cells: per layer, the members that the round scored; None if the line does not hold them,
            as with logs of versions before 0.2.
    """

    seconds: float | None
    memory_mb: int | None
    cells: tuple[tuple[Member, ...], ...] | None


@dataclass(frozen=True)
class RunRecord:
    """A run between two rounds, or at its end.

    Attributes:
        space: the learned space; None while the run goes on.
        log: by round, what the event log adds to the state's history.
    """

    config: Config
    skeleton: Skeleton | None
    state: State | None
    space: Space | None
    log: Mapping[int, Logged] = field(default_factory=dict)

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """The layers, input side first; none before the run has settled on a skeleton."""
        return () if self.skeleton is None else self.skeleton.shapes

    @property
    def history(self) -> tuple[Round, ...]:
        """The rounds that are done."""
        return () if self.state is None else self.state.history

    @cached_property
    def scored(self) -> tuple[dict[str, Member], ...]:
        """Per layer, every cell known by its id, with its last fitness."""
        known: tuple[dict[str, Member], ...] = tuple({} for _ in self.shapes)
        for record in self.history:
            logged = self.log.get(record.index)
            for layer, members in zip(known, (logged and logged.cells) or (), strict=False):
                layer.update((member.id, member) for member in members)
        for layer, state in zip(known, self.state.layers if self.state else (), strict=False):
            for member in (*state.members, *state.hall, *state.references):
                layer[member.id] = member
        return known

    @property
    def logged_in_full(self) -> bool:
        """Whether the log holds the cells of every round."""
        logs = [self.log.get(record.index) for record in self.history]
        return bool(logs) and all(each and each.cells is not None for each in logs)

    def chosen(self, layer: int) -> tuple[Candidate, ...]:
        """What the space offers at a layer; of a run under way, the best so far and references."""
        if self.space is not None:
            return self.space.layers[layer].candidates
        if self.state is None:
            return ()
        state = self.state.layers[layer]
        evolved = [each for each in state.hall if each.origin.kind != "reference"]
        evolved.sort(key=lambda each: (-each.value, each.id))
        kept = (*evolved[: self.config.evolution.keep], *state.references)
        return tuple(Candidate(m.id, m.cell, m.fitness, m.origin) for m in kept)


def read_run(path: Path) -> RunRecord:
    """The run in a folder.

    Raises:
        RunError: there is no run.
        ConfigError, CheckpointError, SpaceError: one of its files is damaged.
    """
    folder = RunFolder.open(path)
    space = folder.load_space() if folder.finished else None
    skeleton = folder.skeleton or (space.skeleton if space else None)
    state = folder.load_state(skeleton) if skeleton is not None else None
    log = _log(path / EVENTS, skeleton) if skeleton is not None else {}
    return RunRecord(folder.config, skeleton, state, space, log)


def _log(path: Path, skeleton: Skeleton) -> dict[int, Logged]:
    """The whole lines of the event log by round; of several for one round, the last counts."""
    found: dict[int, Logged] = {}
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return found
    for line in path.read_bytes().split(b"\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and type(event.get("round")) is int:
            found[event["round"]] = _logged(event, skeleton)
    return found


def _logged(event: Mapping[str, Any], skeleton: Skeleton) -> Logged:
    try:
        cells = cells_of_event(event, skeleton)
    except CheckpointError:
        cells = None
    seconds, memory = event.get("seconds"), event.get("memory_mb")
    timed = type(seconds) in (int, float) and math.isfinite(seconds or 0) and (seconds or 0) >= 0
    sized = type(memory) is int and 0 <= (memory or 0) < 10**9
    return Logged(float(seconds or 0) if timed else None, memory if sized else None, cells)
