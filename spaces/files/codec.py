"""Converts spaces, architectures and skeletons to JSON text, and back."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.bert import BertCell
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.family import FAMILIES, Family, cell_cost, family_of
from autospace.spaces.cells.operations import Cost
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.cost import Budget
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.errors import SpaceError, located, shown
from autospace.spaces.files import document as doc
from autospace.spaces.files.foreign import own_elsewhere
from autospace.spaces.files.reading import (
    header_of,
    parse_json,
    parse_toml,
    read_text,
    recognised,
    validated,
)
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import LayerSpec, Skeleton, Stem
from autospace.spaces.space import Architecture, Candidate, Layer, Origin, Space
from autospace.spaces.stages import Stage


def to_json(value: Space | Architecture | Skeleton) -> str:
    """Canonical text: sorted keys, indented, newline at the end. Equal values give equal bytes."""
    if isinstance(value, Space):
        plain = _space_out(value)
    elif isinstance(value, Architecture):
        plain = _architecture_out(value)
    else:
        plain = {
            "format": doc.SKELETON_FORMAT,
            "version": doc.VERSION,
            **({"kind": _KINDS[value.reads]} if value.reads in _KINDS else {}),
            **_skeleton_out(value),
        }
    return canonical_json(plain)


def canonical_json(plain: Any) -> str:
    """Plain values as sorted, indented JSON with a newline at the end."""
    return json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Space | Architecture | Skeleton:
    """The value that the text describes.

    Raises:
        SpaceError: naming the path of the first wrong value, the value, and what is allowed.
    """
    return decoded(parse_json(text))


def read(path: Path) -> Space | Architecture | Skeleton:
    """The value in a `.json` or `.toml` file; errors name the file."""
    text = read_text(path)
    try:
        return decoded(parse_toml(text) if path.suffix == ".toml" else parse_json(text))
    except SpaceError as error:
        raise SpaceError(str(path), said_of(text, error)) from None


def said_of(text: str, error: SpaceError) -> str:
    """What to say of a text that could not be read: what it is instead, if that is known."""
    kind = recognised(text)
    if kind is None or kind.format.startswith("autospace."):
        return own_elsewhere(text) or str(error)
    return kind.hint


def decoded(plain: Any) -> Space | Architecture | Skeleton:
    """The value that a parsed file describes; see `from_json`."""
    header = header_of(plain)
    if header.format == doc.FAMILY_FORMAT:
        problem = f"{shown(header.format)} is only a part of a built-in space"
        raise SpaceError("format", problem)
    document: Any = validated(doc.file_model(*header), plain)
    if header.format == doc.SKELETON_FORMAT:
        return skeleton_from(document)
    family = FAMILIES[header.kind]
    if header.format == doc.SPACE_FORMAT:
        return _space_in(document, family)
    return _architecture_in(document, family)


def skeleton_from(
    document: doc.SkeletonDocument | doc.SequenceDocument | doc.EncoderDocument,
) -> Skeleton:
    """The skeleton that a document describes."""
    if isinstance(document, doc.EncoderDocument):
        values = {name: getattr(document, name) for name in _ENCODER}
        return EncoderSkeleton.of(**{**values, "blocks": tuple(document.blocks)})
    if isinstance(document, doc.SequenceDocument):
        return _sequence_from(document)
    stem = document.stem
    return Skeleton(
        document.name,
        document.in_channels,
        document.resolution,
        document.classes,
        Stem(stem.channels, stem.stride, stem.block, _convolutions(stem)),
        tuple(_layer_spec(layer) for layer in document.layers),
        document.head,
        document.description,
        **_sharing(document),
    )


_CAPTIONS: Final = ("depth", "image")
_SEQUENCE: Final = tuple(
    name for name in doc.SequenceDocument.model_fields if name not in _CAPTIONS
)
_ENCODER: Final = tuple(doc.EncoderDocument.model_fields)
_KINDS: Final = {
    SequenceSkeleton.reads: RecurrentCell.kind,
    CaptionSkeleton.reads: RecurrentCell.kind,
    EncoderSkeleton.reads: BertCell.kind,
}
"""The families of cells whose skeletons have files of their own, by what these read."""


def _sequence_from(document: doc.SequenceDocument) -> SequenceSkeleton:
    plain = {name: getattr(document, name) for name in _SEQUENCE}
    if document.image is not None:
        image = document.image.model_dump()
        return CaptionSkeleton.of(**plain, depth=document.depth, **image)
    if document.depth != 1:
        raise SpaceError("depth", f"{document.depth}; allowed: 1 without an image")
    return SequenceSkeleton.of(**plain)


def _convolutions(document: doc.StemDocument) -> int:
    return document.convolutions if isinstance(document, doc.AnyStemDocument) else 1


def _layer_spec(document: doc.LayerSpecDocument) -> LayerSpec:
    fixed = isinstance(document, doc.AnyLayerSpecDocument) and document.fixed
    return LayerSpec(document.channels, document.stride, fixed)


def _sharing(document: doc.SkeletonDocument) -> dict[str, Any]:
    """What skeletons for cells of family `mobile` do not have."""
    if not isinstance(document, doc.AnySkeletonDocument):
        return {}
    return {
        "preactivation": document.preactivation,
        "ties": tuple(document.ties),
        "nodes": document.nodes,
        "chain": document.chain,
        "concat": document.concat,
        "binary_groups": document.binary_groups,
        "stages": tuple(Stage(**each.model_dump()) for each in document.stages),
        "activation": document.activation,
        "last": document.last,
    }


def origin_out(origin: Origin) -> dict[str, Any]:
    """An origin as plain JSON values."""
    parents = list(origin.parents)
    return {"kind": origin.kind, "generation": origin.generation, "parents": parents}


def _space_in(
    document: doc.SpaceFile[doc.LayerDocument[doc.CandidateDocument]], family: Family[Any, Any]
) -> Space:
    with located("skeleton"):
        skeleton = skeleton_from(document.skeleton)
    _check_names(skeleton, [layer.name for layer in document.layers])
    layers = []
    for index, (shape, layer) in enumerate(zip(skeleton.shapes, document.layers, strict=True)):
        with located(f"layers[{index}]"):
            candidates = []
            for number, each in enumerate(layer.candidates):
                with located(f"candidates[{number}]"):
                    candidates.append(_candidate_in(each, shape, family))
            layers.append(Layer(shape, tuple(candidates)))
    return Space(
        document.name,
        skeleton,
        tuple(document.operations),
        tuple(layers),
        dict(document.reference),
        Budget(**document.budget.model_dump()),
        document.provenance,
    )


def _architecture_in(
    document: doc.ArchitectureFile[doc.ChoiceDocument[doc.CandidateDocument]],
    family: Family[Any, Any],
) -> Architecture:
    with located("skeleton"):
        skeleton = skeleton_from(document.skeleton)
    _check_names(skeleton, [layer.name for layer in document.layers])
    candidates = []
    for index, (shape, layer) in enumerate(zip(skeleton.shapes, document.layers, strict=True)):
        with located(f"layers[{index}].candidate"):
            candidates.append(_candidate_in(layer.candidate, shape, family))
    return Architecture(skeleton, tuple(candidates))


def _candidate_in(
    document: doc.CandidateDocument, shape: LayerShape, family: Family[Any, Any]
) -> Candidate:
    cell = family.decoded(document)
    cost = family.cost(cell, shape)
    # Files of families without binary operations do not state that there are none.
    stated_cost = (document.madds, document.params, getattr(document, "bops", cost.bops))
    for name, stated, counted in zip(Cost._fields, stated_cost, cost, strict=True):
        if stated != counted:
            raise SpaceError(name, f"{stated}; allowed: {counted}, the cost of this cell here")
    with located("origin"):
        parents = tuple(document.origin.parents)
        origin = Origin(document.origin.kind, document.origin.generation, parents)
    return Candidate(document.id, cell, document.fitness, origin, document.uncertainty)


def _space_out(space: Space) -> dict[str, Any]:
    return {
        "format": doc.SPACE_FORMAT,
        "version": doc.VERSION,
        "kind": space.kind,
        "name": space.name,
        "skeleton": _skeleton_out(space.skeleton),
        "operations": list(space.operations),
        "layers": [
            {
                "name": layer.shape.name,
                "candidates": [_candidate_out(each, layer.shape) for each in layer.candidates],
            }
            for layer in space.layers
        ],
        "reference": dict(space.reference),
        "budget": _budget_out(space),
        "provenance": dict(space.provenance),
    }


def _budget_out(space: Space) -> dict[str, Any]:
    budget = space.budget
    found = {"max_madds": budget.max_madds, "max_params": budget.max_params}
    return {**found, "max_ops": budget.max_ops} if FAMILIES[space.kind].binary else found


def _architecture_out(architecture: Architecture) -> dict[str, Any]:
    pairs = zip(architecture.skeleton.shapes, architecture.candidates, strict=True)
    return {
        "format": doc.ARCHITECTURE_FORMAT,
        "version": doc.VERSION,
        "kind": architecture.kind,
        "skeleton": _skeleton_out(architecture.skeleton),
        "layers": [
            {"name": shape.name, "candidate": _candidate_out(candidate, shape)}
            for shape, candidate in pairs
        ],
    }


def _candidate_out(candidate: Candidate, shape: LayerShape) -> dict[str, Any]:
    cost = cell_cost(candidate.cell, shape)
    return {
        "id": candidate.id,
        **family_of(candidate.cell).encoded(candidate.cell),
        "fitness": candidate.fitness,
        "madds": cost.madds,
        "params": cost.params,
        **({"bops": cost.bops} if family_of(candidate.cell).binary else {}),
        "origin": origin_out(candidate.origin),
        **uncertainty_out(candidate),
    }


def uncertainty_out(candidate: Candidate) -> dict[str, float]:
    """The uncertainty, if there is one: files that do not have the key keep their bytes."""
    return {} if candidate.uncertainty is None else {"uncertainty": candidate.uncertainty}


def _skeleton_out(skeleton: Skeleton) -> dict[str, Any]:
    if isinstance(skeleton, EncoderSkeleton):
        values = {name: getattr(skeleton, name) for name in _ENCODER}
        return {**values, "blocks": list(skeleton.blocks)}
    if isinstance(skeleton, SequenceSkeleton):
        plain = {name: getattr(skeleton, name) for name in _SEQUENCE}
        return {**plain, **_captions_out(skeleton)}
    stem = skeleton.stem
    return {
        "name": skeleton.name,
        "description": skeleton.description,
        "in_channels": skeleton.in_channels,
        "resolution": skeleton.resolution,
        "classes": skeleton.classes,
        "stem": {
            "channels": stem.channels,
            "stride": stem.stride,
            "block": stem.block,
            **({"convolutions": stem.convolutions} if stem.convolutions > 1 else {}),
        },
        "layers": [
            {
                "channels": each.channels,
                "stride": each.stride,
                **({"fixed": True} if each.fixed else {}),
            }
            for each in skeleton.layers
        ],
        "head": skeleton.head,
        **_sharing_out(skeleton),
    }


def _captions_out(skeleton: SequenceSkeleton) -> dict[str, Any]:
    """The keys that language models do not have."""
    if not isinstance(skeleton, CaptionSkeleton):
        return {}
    image = {
        "channels": skeleton.in_channels,
        "resolution": skeleton.resolution,
        "encoder": list(skeleton.encoder),
    }
    return {"depth": skeleton.depth, "image": image}


def _sharing_out(skeleton: Skeleton) -> dict[str, Any]:
    """The keys that say more than the usual; files without them keep their bytes."""
    return {
        **({"preactivation": True} if skeleton.preactivation else {}),
        **({"ties": list(skeleton.ties)} if skeleton.ties else {}),
        **({} if skeleton.nodes is None else {"nodes": skeleton.nodes}),
        **({"chain": skeleton.chain, "concat": skeleton.concat} if skeleton.chain > 1 else {}),
        **({"binary_groups": skeleton.binary_groups} if skeleton.binary_groups else {}),
        **(_stages_out(skeleton) if skeleton.stages else {}),
    }


def _stages_out(skeleton: Skeleton) -> dict[str, Any]:
    stages = [asdict(stage) for stage in skeleton.stages]
    return {"stages": stages, "activation": skeleton.activation, "last": skeleton.last}


def _check_names(skeleton: Skeleton, names: list[str]) -> None:
    if len(names) != len(skeleton.shapes):
        problem = f"{len(names)} layers; allowed: {len(skeleton.shapes)}, as in the skeleton"
        raise SpaceError("layers", problem)
    for index, (shape, name) in enumerate(zip(skeleton.shapes, names, strict=True)):
        if name != shape.name:
            problem = f"{shown(name)}; allowed here: {shape.name}"
            raise SpaceError(f"layers[{index}].name", problem)
