"""The published JSON Schemas."""

from typing import Any

from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.files.document import FILES, SPACE_FORMAT


def json_schema(kind: str = SPACE_FORMAT) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file format of this program.

    Raises:
        SpaceError: no such format.
    """
    if kind not in FILES:
        raise SpaceError("format", f"{shown(kind)}; allowed: {', '.join(FILES)}")
    schema = FILES[kind].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": kind, **schema}
