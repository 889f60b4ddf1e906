"""The JSON documents as pydantic models: their structure, and the published schema.

What a single field can say is checked here; what holds between fields is checked by the values
that `autospace.spaces.files.codec` builds from a document.

The published JSON Schemas.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, FailFast, Field

from autospace.spaces.cells.cell import EXPANSIONS, MAX_NODES, MIN_NODES
from autospace.spaces.cells.operations import BUILT_IN
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
from autospace.spaces.errors import SpaceError, shown

SPACE_FORMAT = "autospace.space"
ARCHITECTURE_FORMAT = "autospace.architecture"
SKELETON_FORMAT = "autospace.skeleton"
FAMILY_FORMAT = "autospace.family"
VERSION = 1
_MAX_EDGES = MAX_NODES * (MAX_NODES - 1) // 2
# More than the published schema allows, because programs may register operations of their own.
_MAX_OPERATIONS = 256
_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
_Id = Annotated[str, Field(min_length=1, max_length=MAX_ID)]
_Operation = Annotated[_Name, Field(json_schema_extra={"enum": list(BUILT_IN)})]
_Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
_Channels = Annotated[int, Field(ge=1, le=MAX_CHANNELS)]
_Stride = Annotated[int, Field(ge=1, le=2)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class EdgeDocument(_Document):
    """An operation on the way from one node of a cell to a later one."""

    source: Annotated[
        int, Field(ge=0, le=MAX_NODES - 1, description="index of the node it comes from")
    ]
    target: Annotated[
        int,
        Field(ge=1, le=MAX_NODES - 1, description="index of the node it goes to, a later one"),
    ]
    operation: _Operation


class CellDocument(_Document):
    """A cell: node 0 is the input after expansion, the last node the output before projection."""

    nodes: Annotated[
        int, Field(ge=MIN_NODES, le=MAX_NODES, description="input and output included")
    ] = 4
    edges: Annotated[list[EdgeDocument], Field(max_length=_MAX_EDGES), FailFast()]
    mix: Annotated[
        list[Literal["sum", "gate", "se"]],
        Field(
            min_length=MIN_NODES - 1,
            max_length=MAX_NODES - 1,
            description="per node 1, 2, ...: how edges combine",
        ),
        FailFast(),
    ]
    expansion: Annotated[
        int,
        Field(
            description="inner over input channels",
            json_schema_extra={"enum": list(EXPANSIONS)},
        ),
    ]


class OriginDocument(_Document):
    """Where a candidate comes from."""

    kind: Literal["reference", "random", "mutation", "crossover", "builtin", "imported"]
    generation: Annotated[int, Field(ge=0, le=MAX_GENERATION)] = 0
    parents: Annotated[list[_Id], Field(max_length=MAX_PARENTS), FailFast()] = []


class CandidateDocument(CellDocument):
    """A cell offered at a layer."""

    id: _Id
    fitness: Annotated[
        float | None,
        Field(allow_inf_nan=False, description="larger is better; 0: as good as the reference"),
    ] = None
    madds: Annotated[_Count, Field(description="multiply-accumulates of one image in this cell")]
    params: Annotated[_Count, Field(description="trainable weights of this cell")]
    origin: OriginDocument


class StemDocument(_Document):
    """A 3x3 convolution and, if `block` is given, a fixed MBConv k3 of expansion 1."""

    channels: _Channels
    stride: _Stride
    block: _Channels | None = None


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


class SkeletonFile(SkeletonDocument):
    """A skeleton in a file of its own, JSON or TOML."""

    format: Literal["autospace.skeleton"]
    version: Literal[1]


class LayerDocument(_Document):
    """The candidates of one layer."""

    name: _Name
    candidates: Annotated[
        list[CandidateDocument], Field(min_length=1, max_length=MAX_CANDIDATES), FailFast()
    ]


class BudgetDocument(_Document):
    """Limits that no architecture of the space exceeds."""

    max_madds: _Count | None = None
    max_params: _Count | None = None


class SpaceFile(_Document):
    """A search space: per layer of a skeleton, the candidates to choose from."""

    format: Literal["autospace.space"]
    version: Literal[1]
    name: _Name
    skeleton: SkeletonDocument
    operations: Annotated[
        list[_Operation],
        Field(
            max_length=_MAX_OPERATIONS,
            description="what cells are, or could have been, made of",
            json_schema_extra={"uniqueItems": True, "maxItems": len(BUILT_IN)},
        ),
        FailFast(),
    ]
    layers: Annotated[list[LayerDocument], Field(min_length=1, max_length=MAX_LAYERS), FailFast()]
    reference: Annotated[
        dict[_Name, _Id],
        Field(max_length=MAX_LAYERS, description="layer to id of the candidate of fitness 0"),
    ] = {}
    budget: BudgetDocument = BudgetDocument()
    provenance: dict[str, Any] = {}


class ChoiceDocument(_Document):
    """The candidate of one layer."""

    name: _Name
    candidate: CandidateDocument


class ArchitectureFile(_Document):
    """One candidate per layer of a skeleton, self-contained."""

    format: Literal["autospace.architecture"]
    version: Literal[1]
    skeleton: SkeletonDocument
    layers: Annotated[list[ChoiceDocument], Field(min_length=1, max_length=MAX_LAYERS), FailFast()]


class FamilyCandidate(CellDocument):
    """A cell under its id."""

    id: _Id


class FamilyFile(_Document):
    """A built-in space before it meets a skeleton: the candidates of every layer."""

    format: Literal["autospace.family"]
    version: Literal[1]
    name: _Name
    description: str
    skip_where_legal: bool
    reference: _Name
    candidates: Annotated[list[FamilyCandidate], Field(min_length=1)]


FILES: dict[str, type[BaseModel]] = {
    SPACE_FORMAT: SpaceFile,
    ARCHITECTURE_FORMAT: ArchitectureFile,
    SKELETON_FORMAT: SkeletonFile,
    FAMILY_FORMAT: FamilyFile,
}


def json_schema(kind: str = SPACE_FORMAT) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file format of this program.

    Raises:
        SpaceError: no such format.
    """
    if kind not in FILES:
        raise SpaceError("format", f"{shown(kind)}; allowed: {', '.join(FILES)}")
    schema = FILES[kind].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": kind, **schema}
