"""The published JSON Schemas."""

from typing import Any

from autospace.spaces.document import FILES, SPACE_FORMAT


def json_schema(kind: str = SPACE_FORMAT) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file format of this program."""
    schema = FILES[kind].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": kind, **schema}
