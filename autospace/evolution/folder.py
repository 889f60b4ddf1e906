"""The run folder: the whole state of a run of evolution on disk, and that state as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from autospace.evolution.population import (
    Drawn,
    EvolutionState,
    LayerRecord,
    LayerState,
    Member,
    Round,
)
from autospace.evolution.settings import Config, load_config
from autospace.runs.errors import CheckpointError, RunError
from autospace.runs.files import write_atomically
from autospace.runs.folder import CHECKPOINT, Folder
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.cost import cell_cost
from autospace.spaces.cells.key import canonical_key
from autospace.spaces.errors import SpaceError
from autospace.spaces.files.codec import cell_from, cell_out, origin_out, read, to_json
from autospace.spaces.files.document import CellDocument, OriginDocument
from autospace.spaces.files.library import load
from autospace.spaces.files.reading import validated
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Origin, Space

FORMAT = "autospace.state"
VERSION = 1
_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Member(CellDocument):
    id: str
    origin: OriginDocument
    fitness: _Number
    scores: Annotated[int, Field(ge=1)]


class _Layer(_Document):
    members: list[str]
    hall: list[str]
    references: list[str]
    known: list[_Member]
    seen: list[str]
    born: _Count


class _Scored(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)
    cells: list[_Member]


class _LayerRecord(_Document):
    best: _Number
    mean: _Number
    spread: _Number
    scored: _Count
    drawn: _Count
    duplicates: _Count
    over_budget: _Count


class _Round(_Document):
    round: _Count
    phase: Literal["initial", "evolve", "confirm"]
    layers: list[_LayerRecord]


class _State(_Document):
    format: Literal["autospace.state"]
    version: Literal[1]
    round: _Count
    layers: list[_Layer]
    history: list[_Round]


def state_to_json(state: EvolutionState) -> str:
    """Canonical text of a state."""
    plain = {
        "format": FORMAT,
        "version": VERSION,
        "round": state.round,
        "layers": [_layer_out(layer) for layer in state.layers],
        "history": [_round_out(record) for record in state.history],
    }
    # Written after every round and read by this program only, so without white space.
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def state_from_json(text: str, skeleton: Skeleton) -> EvolutionState:
    """The state that a text holds.

    Raises:
        CheckpointError: not such a text, or one for another skeleton.
    """
    try:
        document = validated(_State, json.loads(text))
        history = tuple(_round_in(each) for each in document.history)
        rounds, layers = len(history), {len(record.layers) for record in history}
        if document.round != rounds or layers - {len(skeleton.layers)}:
            raise CheckpointError("checkpoint: damaged: its history is of another run")
        pairs = zip(document.layers, skeleton.shapes, strict=True)
        return EvolutionState(
            rounds, tuple(_layer_in(layer, shape) for layer, shape in pairs), history
        )
    except KeyError as error:
        raise CheckpointError(f"checkpoint: damaged: no cell {str(error)[:80]}") from None
    except CheckpointError:
        raise
    except (SpaceError, RecursionError, ValueError) as error:
        problem = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"checkpoint: damaged: {problem}") from None


def round_out(record: Round) -> dict[str, Any]:
    """What a round did, as plain JSON values: a line of the event log, but for the cells."""
    return {**_round_out(record), "best": record.best, "mean": record.mean}


def event_out(state: EvolutionState) -> dict[str, Any]:
    """What the last round did, with every cell that it scored: a whole line of the event log."""
    event = round_out(state.history[-1])
    for layer, scored in zip(event["layers"], state.scored, strict=True):
        layer["cells"] = [_member_out(member) for member in scored]
    return event


def cells_of_event(event: Any, skeleton: Skeleton) -> tuple[tuple[Member, ...], ...]:
    """Per layer, the members that a round scored, from its line of the event log.

    Raises:
        CheckpointError: a line of another run, damaged, or one that does not hold the cells.
    """
    try:
        layers = [validated(_Scored, layer).cells for layer in event["layers"]]
        pairs = zip(layers, skeleton.shapes, strict=True)
        return tuple(tuple(_member_in(each, shape) for each in layer) for layer, shape in pairs)
    except (SpaceError, KeyError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"event log: holds no cells: {problem}") from None


def _layer_out(layer: LayerState) -> dict[str, Any]:
    # The hall and the references overlap the population: every member is written once.
    groups = {"members": layer.members, "hall": layer.hall, "references": layer.references}
    known = {member.id: member for group in groups.values() for member in group}
    return {
        **{name: [member.id for member in group] for name, group in groups.items()},
        "known": [_member_out(known[identity]) for identity in sorted(known)],
        "seen": sorted(layer.seen),
        "born": layer.born,
    }


def _layer_in(layer: _Layer, shape: LayerShape) -> LayerState:
    known = {each.id: _member_in(each, shape) for each in layer.known}

    def group(identities: list[str]) -> tuple[Member, ...]:
        return tuple(known[identity] for identity in identities)

    return LayerState(
        group(layer.members),
        group(layer.hall),
        group(layer.references),
        frozenset(layer.seen),
        layer.born,
    )


def _member_out(member: Member) -> dict[str, Any]:
    return {
        "id": member.id,
        **cell_out(member.cell),
        "origin": origin_out(member.origin),
        "fitness": member.fitness,
        "scores": member.scores,
    }


def _member_in(member: _Member, shape: LayerShape) -> Member:
    cell, origin = cell_from(member), member.origin
    return Member(
        member.id,
        cell,
        canonical_key(cell, shape.stride),
        cell_cost(cell, shape),
        Origin(origin.kind, origin.generation, tuple(origin.parents)),
        member.fitness,
        member.scores,
    )


def _round_out(record: Round) -> dict[str, Any]:
    return {
        "round": record.index,
        "phase": record.phase,
        "layers": [
            {
                "best": layer.best,
                "mean": layer.mean,
                "spread": layer.spread,
                "scored": layer.scored,
                "drawn": layer.drawn.total,
                "duplicates": layer.drawn.duplicates,
                "over_budget": layer.drawn.over_budget,
            }
            for layer in record.layers
        ],
    }


def _round_in(record: _Round) -> Round:
    layers = tuple(
        LayerRecord(
            each.best,
            each.mean,
            each.spread,
            Drawn(each.drawn, each.duplicates, each.over_budget),
            each.scored,
        )
        for each in record.layers
    )
    return Round(record.round, record.phase, layers)


SPACE: Final = "space.json"
REPORT: Final = "report.html"
STATE: Final = "state.json"
SKELETON: Final = "skeleton.json"
__all__ = ["REPORT", "SPACE", "RunError", "RunFolder"]


class RunFolder(Folder[Config]):
    """A folder that holds one run: `config.toml`, events, checkpoint and, at the end, the space."""

    command = "evolve"
    results = (REPORT, SPACE)

    def settle(self, skeleton: Skeleton, data_digest: str) -> None:
        """Begins the run, or makes sure that it goes on with the data with which it began.

        Raises:
            RunError: the data is not the same.
        """
        self._begin({f"{CHECKPOINT}/{SKELETON}": to_json(skeleton)}, data_digest)

    @property
    def skeleton(self) -> Skeleton | None:
        """The skeleton with which the run began, whatever became of its file since.

        Raises:
            SpaceError: the copy is damaged.
        """
        path = self.checkpoint / SKELETON
        if self.replacing or not path.is_file():
            return None
        found = read(path)
        if not isinstance(found, Skeleton):
            raise CheckpointError(f"{path}: damaged: holds no skeleton")
        return found

    def save_state(self, state: EvolutionState) -> None:
        """Replaces the checkpoint of evolution."""
        write_atomically(self.checkpoint / STATE, state_to_json(state))

    def load_state(self, skeleton: Skeleton) -> EvolutionState | None:
        """The checkpoint of evolution, or None before the first round is done.

        Raises:
            CheckpointError: it is damaged.
        """
        path = self.checkpoint / STATE
        if not path.is_file():
            return None
        try:
            return state_from_json(path.read_text("utf-8"), skeleton)
        except UnicodeDecodeError as error:
            raise CheckpointError(f"{path}: damaged: not UTF-8 at byte {error.start}") from None
        except CheckpointError as error:
            raise CheckpointError(str(error).replace("checkpoint", str(path), 1)) from None

    def mend_events(self, history: Sequence[Round]) -> None:
        """Makes the log hold one line for every round that the checkpoint knows, and no other."""
        self._mend_events("round", {each.index: round_out(each) for each in history})

    def save_space(self, space: Space) -> Path:
        """Writes the learned space; with it, the run is finished."""
        write_atomically(self.path / SPACE, to_json(space))
        return self.path / SPACE

    def load_space(self) -> Space:
        """The learned space of a finished run.

        Raises:
            SpaceError: its file is damaged.
        """
        return load(self.path / SPACE)

    @staticmethod
    def _read_config(path: Path) -> Config:
        return load_config(path)
