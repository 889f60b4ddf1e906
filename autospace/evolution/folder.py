"""The run folder: the whole state of an evolution run on disk, and that state as JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from autospace.evolution.population import (
    Drawn,
    EvolutionState,
    LayerRecord,
    LayerState,
    Member,
    Round,
)
from autospace.evolution.settings import Config
from autospace.progress import Message
from autospace.runs.errors import FORCE, CheckpointError, RunError
from autospace.runs.files import is_sealed, sealed, unlike_sealed, write_atomically
from autospace.runs.folder import CHECKPOINT, EVENTS, Document, Folder
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.family import DEFAULT_KIND, FAMILIES, Family, family_of
from autospace.spaces.checks import MAX_COUNT
from autospace.spaces.errors import SpaceError, located, shown
from autospace.spaces.files.codec import origin_out, read, to_json
from autospace.spaces.files.document import OriginDocument, with_cell
from autospace.spaces.files.library import load
from autospace.spaces.files.reading import parse_json, read_text, validated
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Origin, Space
from autospace.spaces.text import json_text

FORMAT = "autospace.state"
VERSION = 2
_Count = Annotated[int, Field(ge=0)]
# Far from where squares and sums overflow.
_Number = Annotated[float, Field(ge=-1e100, le=1e100)]
_Share = Annotated[float, Field(ge=0, le=1)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Member(_Document):
    id: str
    origin: OriginDocument
    fitness: _Number
    scores: Annotated[int, Field(ge=1)]
    confirmed: _Count


_MemberT = TypeVar("_MemberT", bound=_Member)


class _Layer(_Document, Generic[_MemberT]):
    members: list[str]
    hall: list[str]
    references: list[str]
    known: list[_MemberT]
    seen: list[str]
    born: _Count


class _Scored(BaseModel, Generic[_MemberT]):
    model_config = ConfigDict(extra="ignore", strict=True)
    cells: list[_MemberT]


class _LayerRecord(_Document):
    best: _Number
    mean: _Number
    spread: _Number
    scored: _Count
    drawn: _Count
    duplicates: _Count
    over_budget: _Count
    screened: _Count = 0


class _Round(_Document):
    round: _Count
    phase: Literal["initial", "evolve", "confirm"]
    layers: list[_LayerRecord]


class _State(_Document, Generic[_MemberT]):
    format: Literal["autospace.state"]
    version: Literal[2]
    round: _Count
    layers: list[_Layer[_MemberT]]
    history: list[_Round]
    still: _Count
    sha256: str = ""


def state_to_json(state: EvolutionState) -> str:
    """Canonical text of a state."""
    plain = {
        "format": FORMAT,
        "version": VERSION,
        "round": state.round,
        "layers": [_layer_out(layer) for layer in state.layers],
        "history": [_round_out(record) for record in state.history],
        "still": state.still,
    }
    # Written after every round and read by this program only, so without white space.
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def _of_cells(model: Any, kind: str) -> Any:
    """A model of members whose cells are of this family."""
    return model[with_cell(_Member, kind)]


def state_from_json(text: str, skeleton: Skeleton, kind: str = DEFAULT_KIND) -> EvolutionState:
    """The state that a text holds; `kind` is the family of its cells.

    Raises:
        CheckpointError: the text holds no state, or one for another skeleton.
    """
    try:
        plain = parse_json(text, bounded=False)
        document: _State[_Member] = validated(_of_cells(_State, kind), plain)
        _check_history(document, len(skeleton.shapes))
        history = tuple(_round_in(each) for each in document.history)
        family, layers = FAMILIES[kind], []
        for index, (layer, shape) in enumerate(zip(document.layers, skeleton.shapes, strict=True)):
            with located(f"layers[{index}]"):
                layers.append(_layer_in(layer, shape, family, begun=bool(history)))
        return EvolutionState(len(history), tuple(layers), history, document.still)
    except SpaceError as error:
        raise CheckpointError(f"checkpoint: damaged: {error}") from None


def _check_history(document: _State[Any], layers: int) -> None:
    """Refuses a state whose rounds and layers do not belong together."""
    for name, count in (
        ("layers", len(document.layers)),
        *((f"history[{i}].layers", len(each.layers)) for i, each in enumerate(document.history)),
    ):
        if count != layers:
            problem = f"{count} layers, so it belongs to another run; allowed: {layers}"
            raise SpaceError(name, problem)
    rounds = [record.round for record in document.history]
    if len(rounds) != document.round or rounds != list(range(len(rounds))):
        problem = f"{len(rounds)} rounds; allowed: one for each round up to {document.round}"
        raise SpaceError("history", problem)


def round_out(record: Round) -> dict[str, Any]:
    """A round as plain JSON values: a line of the event log without the cells."""
    return {**_round_out(record), "best": record.best, "mean": record.mean}


def event_out(state: EvolutionState) -> dict[str, Any]:
    """The last round with every cell that it scored: a complete line of the event log."""
    event = round_out(state.history[-1])
    for layer, scored in zip(event["layers"], state.scored, strict=True):
        layer["cells"] = [_member_out(member) for member in scored]
    return event


def cells_of_event(
    event: Any, skeleton: Skeleton, kind: str = DEFAULT_KIND
) -> tuple[tuple[Member, ...], ...]:
    """Per layer, the members that a round scored, from its line of the event log.

    `kind` is the family of their cells.

    Raises:
        CheckpointError: the line belongs to another run, is damaged, or does not hold the cells.
    """
    try:
        model, family = _of_cells(_Scored, kind), FAMILIES[kind]
        layers = [validated(model, layer).cells for layer in event["layers"]]
        return tuple(
            tuple(_member_in(each, shape, family) for each in layer)
            for layer, shape in zip(layers, skeleton.shapes, strict=True)
        )
    except (SpaceError, KeyError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:200]
        raise CheckpointError(f"event log: contains no cells: {problem}") from None


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


def _layer_in(
    layer: _Layer[_Member], shape: LayerShape, family: Family[Any, Any], *, begun: bool
) -> LayerState:
    """A layer; once the run has `begun`, it has parents for offspring, and references."""
    known = {}
    for index, each in enumerate(layer.known):
        with located(f"known[{index}]"):
            known[each.id] = _member_in(each, shape, family)
    groups = []
    for name in ("members", "hall", "references"):
        identities = getattr(layer, name)
        unknown = [identity for identity in identities if identity not in known]
        if unknown or (begun and not identities):
            problem = f"no cell {shown(unknown[0])}" if unknown else "none"
            raise SpaceError(name, f"{problem}; allowed: one or more ids of known cells")
        groups.append(tuple(known[identity] for identity in identities))
    members, hall, references = groups
    return LayerState(members, hall, references, frozenset(layer.seen), layer.born)


def _member_out(member: Member) -> dict[str, Any]:
    return {
        "id": member.id,
        **family_of(member.cell).encoded(member.cell),
        "origin": origin_out(member.origin),
        "fitness": member.fitness,
        "scores": member.scores,
        "confirmed": member.confirmed,
    }


def _member_in(member: _Member, shape: LayerShape, family: Family[Any, Any]) -> Member:
    cell, origin = family.decoded(member), member.origin
    return Member(
        member.id,
        cell,
        family.key(cell, shape),
        family.cost(cell, shape),
        Origin(origin.kind, origin.generation, tuple(origin.parents)),
        member.fitness,
        member.scores,
        member.confirmed,
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
                # Only where there are any: the log of a run without a predictor has no such key.
                **({"screened": layer.drawn.screened} if layer.drawn.screened else {}),
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
            Drawn(each.drawn, each.duplicates, each.over_budget, each.screened),
            each.scored,
        )
        for each in record.layers
    )
    return Round(record.round, record.phase, layers)


class ReferenceDocument(Document):
    """`reference.json`: how good the trained reference network is, which fitness is relative to.

    Attributes:
        accuracy: on validation images, which trained no reference; a share.
        interval: its 95 % interval.
        images: how many were measured, in units of `unit`.
        chance: the accuracy of always naming the most common class of these images.
        unit: what was counted; the file says so if it is not images.
        perplexity: of a text, how many tokens the network is as unsure between; the files of
            earlier versions do not say so.
    """

    format: Literal["autospace.reference"] = "autospace.reference"
    version: Literal[1] = 1
    accuracy: _Share
    interval: Annotated[list[_Share], Field(min_length=2, max_length=2)]
    images: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    chance: _Share
    unit: Literal["images", "sentences", "tokens"] = "images"
    perplexity: Annotated[float, Field(ge=1, le=1e100)] | None = None

    @model_serializer(mode="wrap")
    def _without_images(self, plain: Any) -> dict[str, Any]:
        found: dict[str, Any] = plain(self)
        usual = {"unit": "images", "perplexity": None}
        return {k: v for k, v in found.items() if not (k in usual and v == usual[k])}

    @property
    def at_chance(self) -> bool:
        """Whether the accuracy is not above chance by more than its sampling error."""
        return self.interval[0] <= self.chance

    @property
    def described(self) -> str:
        """The accuracy in less than 80 columns."""
        low, high = (f"{100 * end:.1f}" for end in self.interval)
        unsure = "" if self.perplexity is None else f", perplexity {self.perplexity:.2f}"
        return (
            f"validation accuracy {self.accuracy:.1%} ({low} to {high}) on {self.images:,} "
            f"{self.unit}, chance {self.chance:.1%}{unsure}"
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line, if fitness against this reference means nothing."""
        if not self.at_chance:
            return ()
        return (
            f"the reference network learned nothing that shows ({self.described}), so fitness "
            f"against it means nothing; more {self.unit} or more warm_up.steps may help",
        )


SPACE: Final = "space.json"
REFERENCE: Final = "reference.json"
REPORT: Final = "report.html"
STATE: Final = "state.json"
SKELETON: Final = "skeleton.json"
__all__ = ["REPORT", "SPACE", "RunError", "RunFolder"]


def read_reference(run: Path) -> ReferenceDocument | None:
    """How good the reference of a run is; None if its file is not there.

    Raises:
        CheckpointError: it is damaged.
    """
    path = run / REFERENCE
    if not path.is_file():
        return None
    try:
        return validated(ReferenceDocument, parse_json(read_text(path)))
    except SpaceError as error:
        raise CheckpointError(f"{path}: damaged: {error}") from None


class RunFolder(Folder[Config]):
    """A folder that holds one run: `config.toml`, events, checkpoint and, at the end, the space."""

    command = "evolve"
    settings = Config
    results = (REPORT, REFERENCE, SPACE)
    harmless = Folder.harmless | {"evolution.generations"}

    def settle(self, skeleton: Skeleton, data_digest: str) -> None:
        """Begins the run, or checks that it resumes with the data with which it began.

        Raises:
            RunError: the data is not the same.
        """
        self._begin({f"{CHECKPOINT}/{SKELETON}": to_json(skeleton)}, data_digest)

    @property
    def skeleton(self) -> Skeleton | None:
        """The skeleton with which the run began, even if its file changed since.

        Raises:
            SpaceError: the copy is damaged.
        """
        path = self.checkpoint / SKELETON
        if self.replacing or not path.exists():
            return None
        found = read(path)
        if not isinstance(found, Skeleton):
            raise CheckpointError(f"{path}: damaged: contains no skeleton")
        return found

    def save_state(self, state: EvolutionState) -> None:
        """Replaces the checkpoint of evolution, and removes kept weights that are older."""
        write_atomically(self.checkpoint / STATE, sealed(state_to_json(state)))
        self._drop_weights(but=state.round)

    def load_state(self, skeleton: Skeleton, kind: str = DEFAULT_KIND) -> EvolutionState | None:
        """The checkpoint of evolution, with cells of a family; None before the first round.

        Raises:
            CheckpointError: it is damaged, or was changed after it was written.
        """
        path = self.checkpoint / STATE
        if not path.exists():
            return None
        try:
            text = read_text(path, bounded=False)
            state = state_from_json(text, skeleton, kind)
            if not is_sealed(text):
                raise SpaceError("", f"{unlike_sealed(text)}; start again with {FORCE}")
            return state
        except SpaceError as error:
            raise CheckpointError(f"{path}: damaged: {error.problem}") from None
        except CheckpointError as error:
            raise CheckpointError(str(error).replace("checkpoint", str(path), 1)) from None

    def kept_weights(self, rounds: int) -> Path:
        """The file of the weights that are kept after so many rounds; `save_state` removes it.

        Two files cannot be replaced at once: it has to be there before the state that needs it.
        """
        return self.checkpoint / f"kept-{rounds}.safetensors"

    def _drop_weights(self, but: int | None = None) -> None:
        for path in self.checkpoint.glob("kept-*.safetensors"):
            if but is None or path != self.kept_weights(but):
                path.unlink()

    def mend_events(self, history: Sequence[Round], on_message: Message) -> None:
        """Makes the log hold one line for every round that the checkpoint knows, and no other.

        Args:
            history: what the checkpoint knows.
            on_message: is told which lines were lost.

        Raises:
            CheckpointError: the checkpoint is missing, although rounds were saved.
        """
        # A round is logged before it is saved: without a checkpoint, there is one line at most.
        rounds = {each.index: round_out(each) for each in history}
        self._mend_events("round", rounds, on_message, ahead=1)

    def scored_cells(
        self, rounds: int, skeleton: Skeleton, kind: str = DEFAULT_KIND
    ) -> tuple[tuple[tuple[Member, ...], ...], ...]:
        """Per round and layer, the members that the first rounds scored, from the event log.

        Raises:
            CheckpointError: the log does not hold the cells of all these rounds.
        """
        path, found = self.path / EVENTS, []
        for index, event in enumerate(self._logged("round", rounds)):
            try:
                found.append(cells_of_event(event, skeleton, kind))
            except CheckpointError as error:
                needed = "evolution.screen and evolution.shrink need the cells of every round"
                problem = str(error).partition(": ")[2]
                raise CheckpointError(f"{path}: round {index}: {problem}; {needed}") from None
        return tuple(found)

    def save_reference(self, found: ReferenceDocument) -> None:
        """Writes how good the reference is."""
        write_atomically(self.path / REFERENCE, json_text(found.model_dump(mode="json")))

    def save_space(self, space: Space) -> Path:
        """Writes the learned space; with it, the run is finished, and needs no weights."""
        self._drop_weights()
        write_atomically(self.path / SPACE, to_json(space))
        return self.path / SPACE

    def load_space(self) -> Space:
        """The learned space of a finished run.

        Raises:
            SpaceError: its file is damaged.
        """
        return load(self.path / SPACE)
