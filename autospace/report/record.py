"""A run folder as a value: its result or its state so far, and the ancestry of its cells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from autospace.evolution.families import kind_on
from autospace.evolution.folder import (
    ReferenceDocument,
    RunFolder,
    cells_of_event,
    read_reference,
)
from autospace.evolution.population import EvolutionState, Member, Round
from autospace.evolution.settings import Config
from autospace.runs.errors import CheckpointError
from autospace.runs.folder import EVENTS
from autospace.runs.images import image_lines
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.family import differences
from autospace.spaces.files.reading import parse_json
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Architecture, Candidate, Space, by_fitness, drawn_layers

MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Logged:
    """Facts of a round that only the event log contains.

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
        space: the learned space; None before the end of the run.
        log: by round, the facts that the event log adds to the state's history.
        images: what was read of the images, in lines.
        reference: how good the reference network is; None before its training has ended.
    """

    config: Config
    skeleton: Skeleton | None
    state: EvolutionState | None
    space: Space | None
    log: Mapping[int, Logged] = field(default_factory=dict)
    images: tuple[str, ...] = ()
    reference: ReferenceDocument | None = None

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """The layers, input side first; none before the run has saved its skeleton."""
        return () if self.skeleton is None else self.skeleton.shapes

    @property
    def kind(self) -> str:
        """The family of the cells; empty before the run has saved its skeleton."""
        return "" if self.skeleton is None else kind_on(self.skeleton, self.config.cells)

    @property
    def place(self) -> str:
        """What has candidates: a layer, or where cells are chosen in parts, an edge or a node."""
        return "layer" if self.skeleton is None else self.skeleton.choice_noun

    @property
    def thing(self) -> str:
        """What a candidate is: a cell, or a choice of which several make one."""
        return "choice" if self.divided else "cell"

    @property
    def inputs(self) -> str:
        """What fitness is measured on, in the plural."""
        reads = "images" if self.skeleton is None else self.skeleton.reads
        return {"text": "passages"}.get(reads, reads)

    @property
    def divided(self) -> bool:
        """Whether several candidates make one cell."""
        return self.skeleton is not None and self.skeleton.choices_per_cell > 1

    @property
    def fittest(self) -> tuple[Candidate, ...]:
        """The fittest candidate of every place; none if some place has none."""
        places = [by_fitness(self.chosen(index)) for index in range(len(self.shapes))]
        return tuple(each[0] for each in places) if all(places) else ()

    def made(self, choices: Sequence[Candidate]) -> tuple[tuple[Cell, LayerShape], ...]:
        """The cells that one choice per place makes, with the layers that have them."""
        if self.skeleton is None:
            return ()
        if not self.divided:
            # Cells of different hidden sizes make no network.
            cells = [each.cell for each in choices]
            return tuple(zip(cells, self.shapes, strict=True))
        layers = drawn_layers(Architecture(self.skeleton, tuple(choices)))
        return tuple((layer.candidates[0].cell, layer.shape) for layer in layers)

    @property
    def history(self) -> tuple[Round, ...]:
        """The finished rounds."""
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
        """The cells of the space at a layer; in an unfinished run, the best so far."""
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
    state, log = None, {}
    if skeleton is not None:
        kind = kind_on(skeleton, folder.config.cells)
        state = folder.load_state(skeleton, kind)
        log = _log(path / EVENTS, skeleton, kind)
    config, images = folder.config, image_lines(path)
    return RunRecord(config, skeleton, state, space, log, images, read_reference(path))


def _log(path: Path, skeleton: Skeleton, kind: str) -> dict[int, Logged]:
    """The complete lines of the event log by round; the last one counts if there are several."""
    found: dict[int, Logged] = {}
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return found
    for line in path.read_bytes().split(b"\n"):
        try:
            event = parse_json(line.decode("utf-8"))
        except ValueError:
            continue
        if isinstance(event, dict) and type(event.get("round")) is int:
            found[event["round"]] = _logged(event, skeleton, kind)
    return found


def _logged(event: Mapping[str, Any], skeleton: Skeleton, kind: str) -> Logged:
    try:
        cells = cells_of_event(event, skeleton, kind)
    except CheckpointError:
        cells = None
    seconds, memory = event.get("seconds"), event.get("memory_mb")
    timed = type(seconds) in (int, float) and 0 <= (seconds or 0) < 10**9
    sized = type(memory) is int and 0 <= (memory or 0) < 10**9
    return Logged(float(seconds or 0) if timed else None, memory if sized else None, cells)


MOST_ANCESTORS = 400


@dataclass(frozen=True, slots=True)
class Step:
    """One ancestor on the main line.

    Attributes:
        changes: its differences from the step before; empty for the first.
        other: the second parent of a crossover.
    """

    member: Member
    changes: tuple[str, ...] = ()
    other: Member | None = None


@dataclass(frozen=True, slots=True)
class Lineage:
    """The ancestry of a cell.

    Attributes:
        steps: the main line, from the first known ancestor to the cell itself.
        ancestors: all of them, the cell included, the oldest first.
        lost: id of the parent at which the record ends; None if it is whole.
    """

    steps: tuple[Step, ...]
    ancestors: tuple[Member, ...]
    lost: str | None = None


def lineage(identity: str, known: Mapping[str, Member]) -> Lineage:
    """The ancestry of the cell with this id among the cells of its layer.

    The main line continues with the parent of a crossover that is closest to the child.

    Raises:
        KeyError: the cell itself is not known.
    """
    steps: list[Step] = []
    seen: set[str] = set()
    lost = None
    current: Member | None = known[identity]
    while current is not None and current.id not in seen:
        seen.add(current.id)
        parents = [known[each] for each in current.origin.parents if each in known]
        if current.origin.parents and not parents:
            lost = current.origin.parents[0]
        cell = current.cell
        parents.sort(key=lambda each: len(differences(cell, each.cell)))
        main = parents[0] if parents else None
        other = parents[1] if len(parents) > 1 else None
        changes = tuple(differences(cell, main.cell)) if main else ()
        steps.append(Step(current, changes, other))
        current = main
    return Lineage(tuple(steps[::-1]), _ancestors(identity, known), lost)


def _ancestors(identity: str, known: Mapping[str, Member]) -> tuple[Member, ...]:
    found: dict[str, Member] = {}
    waiting = [identity]
    while waiting and len(found) < MOST_ANCESTORS:
        member = known.get(waiting.pop(0))
        if member is not None and member.id not in found:
            found[member.id] = member
            waiting.extend(member.origin.parents)
    ordered = sorted(found.values(), key=lambda each: (each.origin.generation, each.id))
    return tuple(ordered)
