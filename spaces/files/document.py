"""The JSON documents as pydantic models, and the published JSON Schemas.

The models check every field alone. Rules between fields are checked by the values that
`autospace.spaces.files.codec` makes of a document.
"""

from functools import cache
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, FailFast, Field, create_model

from autospace.spaces.captions import MAX_STAGES
from autospace.spaces.cells.bert import BertCell
from autospace.spaces.cells.cell import MAX_NODES, MIN_NODES
from autospace.spaces.cells.family import DEFAULT_KIND, FAMILIES
from autospace.spaces.cells.recurrent_cell import MAX_DEPTH, MAX_RECURRENT_NODES, RecurrentCell
from autospace.spaces.checks import (
    MAX_CANDIDATES,
    MAX_CHANNELS,
    MAX_CLASSES,
    MAX_COUNT,
    MAX_DESCRIPTION,
    MAX_GENERATION,
    MAX_ID,
    MAX_LAYERS,
    MAX_NAME,
    MAX_PARENTS,
    MAX_RESOLUTION,
)
from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.skeleton import MAX_GROUPS

SPACE_FORMAT = "autospace.space"
ARCHITECTURE_FORMAT = "autospace.architecture"
SKELETON_FORMAT = "autospace.skeleton"
FAMILY_FORMAT = "autospace.family"
SCHEMA_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
VERSION: Final = 2
VERSIONS: Final = (1, 2)
"""Version 2 names the family of the cells, `kind`; in version 1 all cells are `mobile`."""
# More than the published schema allows, because programs may register operations of their own.
_MAX_OPERATIONS: Final = 256
Model = TypeVar("Model", bound=BaseModel)
Part = TypeVar("Part", bound=BaseModel)
_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
_Id = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Channels = Annotated[int, Field(ge=1, le=MAX_CHANNELS)]
_Stride = Annotated[int, Field(ge=1, le=2)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OriginDocument(_Document):
    """Where a candidate comes from."""

    kind: Literal["reference", "random", "mutation", "crossover", "builtin", "imported"]
    generation: Annotated[int, Field(ge=0, le=MAX_GENERATION)] = 0
    parents: Annotated[list[_Id], Field(max_length=MAX_PARENTS), FailFast()] = []


class CandidateDocument(_Document):
    """A cell offered at a layer."""

    # `with_cell` puts the keys of the cell before these.

    id: _Id
    fitness: Annotated[
        float | None,
        Field(allow_inf_nan=False, description="larger is better; 0: as good as the reference"),
    ] = None
    madds: Annotated[_Count, Field(description="multiply-accumulates of one image in this cell")]
    params: Annotated[_Count, Field(description="trainable weights of this cell")]
    origin: OriginDocument
    uncertainty: Annotated[
        float | None,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="standard deviation of the error of `fitness`; absent where unknown",
        ),
    ] = None


class BinaryCandidateDocument(CandidateDocument):
    """A cell with binary operations offered at a layer."""

    bops: Annotated[_Count, Field(description="binary operations of one image in this cell")] = 0


class StemDocument(_Document):
    """A 3x3 convolution and, if `block` is given, a fixed MBConv k3 of expansion 1."""

    channels: _Channels
    stride: _Stride
    block: _Channels | None = None


class AnyStemDocument(StemDocument):
    """A stem that may have three convolutions, where cells have two inputs."""

    convolutions: Annotated[
        int,
        Field(
            ge=1,
            le=3,
            description="1, or 3 of stride 2: the second gives the other input of the first cell",
        ),
    ] = 1


class LayerSpecDocument(_Document):
    """Output channels and stride of a layer."""

    channels: _Channels
    stride: _Stride = 1


class SkeletonDocument(_Document):
    """The macro network around the cells."""

    name: _Name
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] = ""
    in_channels: _Channels
    resolution: Annotated[
        int, Field(ge=1, le=MAX_RESOLUTION, description="side of the square input, in pixels")
    ]
    classes: Annotated[int, Field(ge=2, le=MAX_CLASSES)]
    stem: StemDocument
    layers: Annotated[
        list[LayerSpecDocument], Field(min_length=1, max_length=MAX_LAYERS), FailFast()
    ]
    head: Annotated[
        int, Field(ge=0, le=MAX_CHANNELS, description="channels before global pooling; 0: none")
    ] = 0


class AnyLayerSpecDocument(LayerSpecDocument):
    """Output channels and stride of a layer, which may have no cell."""

    fixed: Annotated[bool, Field(description="a residual block, without candidates")] = False


class StageDocument(_Document):
    """Consecutive layers of one activation, of which the last ones may be skipped."""

    layers: Annotated[int, Field(ge=1, le=MAX_LAYERS)]
    least: Annotated[
        int, Field(ge=1, le=MAX_LAYERS, description="how many of the layers are never skipped")
    ]
    activation: Literal["relu", "relu6", "h_swish"] = "relu6"
    attention: Annotated[bool, Field(description="cells have squeeze-and-excitation")] = False


class AnySkeletonDocument(SkeletonDocument):
    """A macro network whose layers may share cells; cells of family `mobile` do not."""

    stem: AnyStemDocument
    layers: Annotated[  # type: ignore[assignment]
        list[AnyLayerSpecDocument], Field(min_length=1, max_length=MAX_LAYERS), FailFast()
    ]
    preactivation: Annotated[
        bool,
        Field(description="activations stand before convolutions; cells have no shortcut around"),
    ] = False
    ties: Annotated[
        list[Annotated[int, Field(ge=0, lt=MAX_LAYERS)]],
        Field(
            max_length=MAX_LAYERS,
            description="per layer that is not fixed, the group that shares one cell; empty: none",
        ),
        FailFast(),
    ] = []
    nodes: Annotated[
        int | None,
        Field(
            ge=MIN_NODES,
            le=MAX_NODES,
            description="nodes of a cell whose edges are chosen one by one; null: cells are chosen",
        ),
    ] = None
    chain: Annotated[
        int, Field(ge=1, le=2, description="how many of the layers before it a cell reads")
    ] = 1
    concat: Annotated[
        int,
        Field(ge=1, le=MAX_NODES, description="with chain 2, nodes that a cell concatenates"),
    ] = 1
    binary_groups: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_GROUPS,
            description="with chain 2, most groups of the binary convolutions of cells; 0: real",
        ),
    ] = 0
    stages: Annotated[
        list[StageDocument],
        Field(
            max_length=MAX_LAYERS,
            description="runs of layers that are chosen together; empty: layers are independent",
        ),
        FailFast(),
    ] = []
    activation: Annotated[
        Literal["relu", "relu6", "h_swish"],
        Field(description="with stages, that of the stem's convolution and of the head"),
    ] = "relu6"
    last: Annotated[
        int,
        Field(
            ge=0,
            le=MAX_CHANNELS,
            description="with stages, channels of a linear layer after pooling; 0: none",
        ),
    ] = 0


class ImageDocument(_Document):
    """The images that a network describes, and the convolutions that read them."""

    channels: _Channels
    resolution: Annotated[
        int, Field(ge=1, le=MAX_RESOLUTION, description="side of the square input, in pixels")
    ]
    encoder: Annotated[
        list[_Channels],
        Field(min_length=1, max_length=MAX_STAGES, description="channels, each of stride 2"),
        FailFast(),
    ]


class SequenceDocument(_Document):
    """A network that reads tokens: an embedding, recurrent cells, and a decoder."""

    name: _Name
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] = ""
    vocabulary: Annotated[int, Field(ge=2, le=MAX_CLASSES, description="different tokens")]
    width: Annotated[_Channels, Field(description="units of the embedding and of every node")]
    nodes: Annotated[
        int, Field(ge=1, le=MAX_RECURRENT_NODES, description="of the cell, behind its root")
    ] = 8
    root: Annotated[
        str | None,
        Field(max_length=MAX_NAME, description="function of the root; null: it is a choice"),
    ] = "tanh"
    bias: Annotated[bool, Field(description="whether the decoder has one")] = False
    whole: Annotated[
        bool, Field(description="whole cells are candidates, and not single choices")
    ] = False
    depth: Annotated[
        int, Field(ge=1, le=MAX_DEPTH, description="layers of cells; with an image only")
    ] = 1
    image: Annotated[
        ImageDocument | None,
        Field(description="what a network for captions describes; null: it reads text alone"),
    ] = None


class EncoderDocument(_Document):
    """A network that puts sentences into classes: an embedding, blocks, and a classifier."""

    name: _Name
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION)] = ""
    vocabulary: Annotated[
        int,
        Field(ge=3, le=MAX_CLASSES, description="different tokens; 0 is padding, 1 is unknown"),
    ]
    length: Annotated[
        int, Field(ge=1, le=MAX_RESOLUTION, description="tokens of a sentence, padding included")
    ]
    classes: Annotated[int, Field(ge=2, le=MAX_CLASSES)]
    width: Annotated[_Channels, Field(description="of the embedding, and between blocks")]
    blocks: Annotated[
        list[Annotated[int, Field(ge=1, le=MAX_LAYERS)]],
        Field(
            min_length=1,
            max_length=MAX_LAYERS,
            description="layers of each block, of which the first is never skipped",
        ),
        FailFast(),
    ]
    heads: Annotated[_Channels, Field(description="hidden units of an attention head")] = 64


class EncoderFile(EncoderDocument):
    """A skeleton of networks that read sentences, in a file of its own, JSON or TOML."""

    format: Literal["autospace.skeleton"]
    version: int


class SequenceFile(SequenceDocument):
    """A skeleton of networks that read tokens, in a file of its own, JSON or TOML."""

    format: Literal["autospace.skeleton"]
    version: int


class SkeletonFile(AnySkeletonDocument):
    """A skeleton in a file of its own, JSON or TOML."""

    format: Literal["autospace.skeleton"]
    version: int


class LayerDocument(_Document, Generic[Part]):
    """The candidates of one layer."""

    name: _Name
    candidates: Annotated[list[Part], Field(min_length=1, max_length=MAX_CANDIDATES), FailFast()]


class BudgetDocument(_Document):
    """Limits that no architecture of the space exceeds."""

    max_madds: _Count | None = None
    max_params: _Count | None = None


class BinaryBudgetDocument(BudgetDocument):
    """Limits that no architecture of the space exceeds, also on OPs."""

    max_ops: Annotated[
        _Count | None, Field(description="MAdds plus a 64th of the binary operations")
    ] = None


class SpaceFile(_Document, Generic[Part]):
    """A search space: per layer of a skeleton, the candidates to choose from."""

    format: Literal["autospace.space"]
    version: int
    name: _Name
    skeleton: SkeletonDocument
    operations: list[_Name]
    layers: Annotated[list[Part], Field(min_length=1, max_length=MAX_LAYERS), FailFast()]
    reference: Annotated[
        dict[_Name, _Id],
        Field(max_length=MAX_LAYERS, description="layer to id of the candidate of fitness 0"),
    ] = {}
    budget: BudgetDocument = BudgetDocument()
    provenance: dict[str, Any] = {}


class ChoiceDocument(_Document, Generic[Part]):
    """The candidate of one layer."""

    name: _Name
    candidate: Part


class ArchitectureFile(_Document, Generic[Part]):
    """One candidate per layer of a skeleton, self-contained."""

    format: Literal["autospace.architecture"]
    version: int
    skeleton: SkeletonDocument
    layers: Annotated[list[Part], Field(min_length=1, max_length=MAX_LAYERS), FailFast()]


class FamilyCandidate(_Document):
    """A cell under its id."""

    id: _Id
    shortcut: Annotated[
        bool | None,
        Field(description="offer it only at layers with a shortcut, or only at those without"),
    ] = None


class FamilyFile(_Document, Generic[Part]):
    """A built-in space before it meets a skeleton: the candidates of every layer."""

    format: Literal["autospace.family"]
    version: int
    name: _Name
    description: str
    skip_where_legal: bool
    reference: _Name
    candidates: Annotated[list[Part], Field(min_length=1)]


# Per format its model and what it consists of; the last part holds a cell's keys besides its own.
FILES: Final[dict[str, tuple[Any, ...]]] = {
    SPACE_FORMAT: (SpaceFile, LayerDocument, CandidateDocument),
    ARCHITECTURE_FORMAT: (ArchitectureFile, ChoiceDocument, CandidateDocument),
    SKELETON_FORMAT: (SkeletonFile,),
    FAMILY_FORMAT: (FamilyFile, FamilyCandidate),
}


SEQUENCES: Final[dict[str, type[BaseModel]]] = {
    RecurrentCell.kind: SequenceDocument,
    BertCell.kind: EncoderDocument,
}
"""The skeletons of families that do not read images."""
_SEQUENCE_FILES: Final[dict[str, type[BaseModel]]] = {
    RecurrentCell.kind: SequenceFile,
    BertCell.kind: EncoderFile,
}


@cache
def with_cell(part: type[Model], kind: str) -> type[Model]:
    """A model with the keys of a family's cells before its own."""
    return cast(type[Model], _derived(part, (part, FAMILIES[kind].document)))


@cache
def file_model(format_: str, version: int = VERSION, kind: str = DEFAULT_KIND) -> type[BaseModel]:
    """The model of a file of this format and version, with cells of this family."""
    literal: Any = Literal
    keys: dict[str, Any] = {"version": (literal[version], ...)}
    model, *parts = FILES[format_]
    if not parts and kind in SEQUENCES:
        keys["kind"] = (literal[kind], ...)
        return _derived(_SEQUENCE_FILES[kind], _SEQUENCE_FILES[kind], **keys)
    if not parts:
        return _derived(model, model, **keys)
    if version > 1:
        keys["kind"] = (Annotated[literal[kind], Field(description="the cell family")], ...)
    if format_ == SPACE_FORMAT:
        keys["operations"] = (_vocabulary(kind), ...)
    if "skeleton" in model.model_fields and kind != DEFAULT_KIND:
        keys["skeleton"] = (SEQUENCES.get(kind, AnySkeletonDocument), ...)
    *between, last = parts
    if FAMILIES[kind].binary and last is CandidateDocument:
        last = BinaryCandidateDocument
    if FAMILIES[kind].binary and format_ == SPACE_FORMAT:
        keys["budget"] = (BinaryBudgetDocument, BinaryBudgetDocument())
    part = with_cell(last, kind)
    for each in reversed(between):
        part = _derived(each, each[part])
    return _derived(model, model[part], **keys)


def _derived(model: type[BaseModel], base: Any, **keys: Any) -> type[BaseModel]:
    """A model from a base with more keys, under the name that the published schema shows."""
    made: Any = create_model(model.__name__, __base__=base, __doc__=model.__doc__, **keys)
    return cast(type[BaseModel], made)


def _vocabulary(kind: str) -> Any:
    names: list[Any] = list(FAMILIES[kind].built_in)
    operation: Any = Annotated[_Name, Field(json_schema_extra={"enum": names})]
    about = Field(
        max_length=_MAX_OPERATIONS,
        description="what cells are, or could have been, made of",
        json_schema_extra={"uniqueItems": True, "maxItems": len(names)},
    )
    return Annotated[list[operation], about, FailFast()]


def json_schema(
    format_: str = SPACE_FORMAT, version: int = VERSION, kind: str = DEFAULT_KIND
) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file format of this program, with cells of one family.

    Raises:
        SpaceError: the format, version or family is unknown.
    """
    for name, value, allowed in (
        ("format", format_, FILES),
        ("version", version, VERSIONS),
        ("kind", kind, FAMILIES),
    ):
        if value not in allowed:
            raise SpaceError(name, f"{shown(value)}; {offered(value, map(str, allowed))}")
    schema = file_model(format_, version, kind).model_json_schema()
    return {"$schema": SCHEMA_DIALECT, "$id": format_, **schema}
