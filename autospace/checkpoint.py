"""The state of evolution as JSON, and back."""

from typing import Any

from autospace.population import Drawn, LayerRecord, LayerState, Member, Round, State
from autospace.spaces.canonical import canonical_key
from autospace.spaces.codec import canonical_json, cell_from, cell_out, origin_out
from autospace.spaces.cost import cell_cost
from autospace.spaces.document import CellDocument
from autospace.spaces.errors import SpaceError
from autospace.spaces.reading import parse_json, validated
from autospace.spaces.skeleton import LayerShape, Skeleton
from autospace.spaces.space import Origin

FORMAT = "autospace.state"
VERSION = 1


class CheckpointError(ValueError):
    """A checkpoint that this program did not write, or that was damaged."""


def state_to_json(state: State) -> str:
    """Canonical text of a state."""
    return canonical_json(
        {
            "format": FORMAT,
            "version": VERSION,
            "round": state.round,
            "layers": [_layer_out(layer) for layer in state.layers],
            "history": [_round_out(record) for record in state.history],
        }
    )


def state_from_json(text: str, skeleton: Skeleton) -> State:
    """The state that a text holds.

    Raises:
        CheckpointError: not such a text, or one for another skeleton.
    """
    try:
        plain = parse_json(text)
        if plain["format"] != FORMAT or plain["version"] != VERSION:
            raise CheckpointError(f"checkpoint: not a state of version {VERSION}")
        pairs = zip(plain["layers"], skeleton.shapes, strict=True)
        layers = tuple(_layer_in(layer, shape) for layer, shape in pairs)
        return State(plain["round"], layers, tuple(_round_in(each) for each in plain["history"]))
    except (SpaceError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"checkpoint: damaged: {error}") from None


def round_out(record: Round) -> dict[str, Any]:
    """What a round did, as plain JSON values: a line of the event log."""
    return {**_round_out(record), "best": record.best, "mean": record.mean}


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


def _layer_in(plain: Any, shape: LayerShape) -> LayerState:
    known = {each["id"]: _member_in(each, shape) for each in plain["known"]}

    def group(name: str) -> tuple[Member, ...]:
        return tuple(known[identity] for identity in plain[name])

    return LayerState(
        group("members"),
        group("hall"),
        group("references"),
        frozenset(plain["seen"]),
        plain["born"],
    )


def _member_out(member: Member) -> dict[str, Any]:
    return {
        "id": member.id,
        **cell_out(member.cell),
        "origin": origin_out(member.origin),
        "fitness": member.fitness,
        "scores": member.scores,
    }


def _member_in(plain: dict[str, Any], shape: LayerShape) -> Member:
    fields = {name: plain[name] for name in CellDocument.model_fields}
    cell = cell_from(validated(CellDocument, fields))
    origin = plain["origin"]
    return Member(
        plain["id"],
        cell,
        canonical_key(cell, shape.stride),
        cell_cost(cell, shape),
        Origin(origin["kind"], origin["generation"], tuple(origin["parents"])),
        plain["fitness"],
        plain["scores"],
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


def _round_in(plain: dict[str, Any]) -> Round:
    layers = tuple(
        LayerRecord(
            each["best"],
            each["mean"],
            each["spread"],
            Drawn(each["drawn"], each["duplicates"], each["over_budget"]),
            each["scored"],
        )
        for each in plain["layers"]
    )
    return Round(plain["round"], plain["phase"], layers)
