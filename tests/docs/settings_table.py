"""The tables of settings in the docs, made from the settings themselves."""

import json
import re
from typing import Any

from pydantic import BaseModel

from autospace.evolution.settings import Config
from autospace.spaces import DEFAULT_OPERATIONS

_HEAD = "| setting | default | allowed | meaning |\n|---|---|---|---|\n"


def renewed(page: str, kind: type[BaseModel] = Config, of: str = "") -> str:
    """The page with a table of all settings; meanings are taken over from the old table.

    A page with the settings of several commands names a command behind the mark: `of` is it.
    """
    match = _table(page, of)
    if match is None:
        raise ValueError("the page has no place for the settings")
    known = meanings(page, of)
    rows = (
        f"| `{name}` | {default} | {allowed} | {known.get(name, '')} |\n"
        for name, default, allowed in settings(kind)
    )
    return f"{page[: match.start(1)]}\n{_HEAD}{''.join(rows)}\n{page[match.end(1) :]}"


def meanings(page: str, of: str = "") -> dict[str, str]:
    """What the page says that each setting means."""
    match = _table(page, of)
    lines = match[1].splitlines() if match else []
    rows = [line.split("|") for line in lines if line.startswith("| `")]
    return {row[1].strip(" `"): row[4].strip() for row in rows}


def settings(kind: type[BaseModel] = Config) -> list[tuple[str, str, str]]:
    """Name, default and what is allowed, of every setting that has a default."""
    schema = kind.model_json_schema()
    found = []
    for name, value in kind.model_construct().model_dump(mode="json").items():
        place = schema["properties"][name]
        if "$ref" not in place:
            found.append((name, _shown(value), allowed(place)))
            continue
        section = schema["$defs"][place["$ref"].rpartition("/")[2]]["properties"]
        for key, inner in value.items():
            found.append((f"{name}.{key}", _shown(inner), allowed(section[key])))
    return found


def allowed(place: dict[str, Any]) -> str:
    """What a part of the JSON Schema of the settings allows."""
    if "anyOf" in place:
        return ", or ".join(allowed(each) for each in place["anyOf"])
    if "const" in place:
        return f"`{place['const']}`"
    if "enum" in place:
        return ", ".join(f"`{value}`" for value in place["enum"])
    match place["type"]:
        case "boolean":
            return "`true`, `false`"
        case "null":
            return "absent"
        case "array":
            return f"list: {allowed(place['items'])}"
        case "integer" | "number":
            return _bounds(place)
    return str(place.get("description", "text"))


def _table(page: str, of: str) -> re.Match[str] | None:
    mark = f"settings of {of}" if of else "settings"
    pattern = rf"<!-- {mark}: [^>]*-->\n(.*?)<!-- end of settings -->"
    return re.search(pattern, page, re.DOTALL)


def _bounds(place: dict[str, Any]) -> str:
    if "minimum" in place and "maximum" in place:
        return f"{_number(place['minimum'])} to {_number(place['maximum'])}"
    words = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return ", ".join(f"{word} {_number(place[key])}" for key, word in words.items() if key in place)


def _number(value: float) -> str:
    return f"{value:,}" if value < 10**12 else f"{value:.3g}"


def _shown(value: Any) -> str:
    if value is None:
        return "absent"
    if value == list(DEFAULT_OPERATIONS):
        return "all operations but `dw_conv_1x1`"
    return f"`{json.dumps(value)}`"
