"""Settings from presets, TOML files and the command line, merged and validated."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from autospace.runs.errors import ConfigError
from autospace.spaces.errors import SpaceError, offered, shown
from autospace.spaces.files.reading import parse_toml, read_text

MOST_SETTINGS = 1000
Settings = TypeVar("Settings", bound=BaseModel)


class Section(BaseModel):
    """Settings by name; unknown names and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def make_settings(
    kind: type[Settings], *layers: Mapping[str, Any], path: Path | None = None
) -> Settings:
    """Validated settings of one type: later layers of nested settings override earlier ones.

    Args:
        kind: a model whose fields are settings and sections of settings.
        layers: nested settings.
        path: the file that errors name.

    Raises:
        ConfigError: naming the first wrong setting, its value, and what is allowed.
    """
    try:
        return kind.model_validate(merged(*layers))
    except ValidationError as error:
        problem = _message(kind, error.errors(include_url=False)[0])
        raise ConfigError(str(SpaceError(str(path), problem)) if path else problem) from None


def read_config(path: Path, command: str | None = None) -> dict[str, Any]:
    """The nested settings of a TOML file, which may name the command that they belong to.

    Args:
        path: the file.
        command: whose settings are expected; None for any.

    Raises:
        ConfigError: the file does not exist, is not UTF-8 or TOML, is too large or too deep, or has
            the settings of another command.
    """
    try:
        text = read_text(path)
    except SpaceError as error:
        raise ConfigError(str(error).replace("JSON or TOML", "TOML")) from None
    try:
        settings: dict[str, Any] = parse_toml(text)
    except SpaceError as error:
        raise ConfigError(str(SpaceError(str(path), str(error)))) from None
    found = settings.pop("command", command)
    if command is not None and found != command:
        problem = f"holds the settings of autospace {shown(found)}; allowed: those of {command}"
        raise ConfigError(str(SpaceError(str(path), problem)))
    return settings


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Nested settings from `a.b=value` texts; values are TOML, bare words are strings.

    Raises:
        ConfigError: a text that is not `name=value` or `section.name=value`.
    """
    if len(settings) > MOST_SETTINGS:
        raise ConfigError(
            f"--set: given {len(settings)} times; allowed: up to {MOST_SETTINGS} times"
        )
    nested: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        parts = [part.strip() for part in name.split(".")]
        if not equals or not all(parts) or len(parts) > 2:
            raise ConfigError(f"--set {shown(setting)}: not a setting; allowed: section.name=value")
        value: Any = _value(text.strip())
        for part in reversed(parts):
            value = {part: value}
        nested = merged(nested, value)
    return nested


def to_toml(config: BaseModel) -> str:
    """The whole configuration as TOML; reading it back gives an equal configuration."""
    plain = config.model_dump(mode="json")
    # TOML has no null: an absent key is the default, which is None for all of these.
    top = {k: v for k, v in plain.items() if v is not None and not isinstance(v, dict)}
    lines = [f"{key} = {_toml(value)}" for key, value in top.items()]
    for name, section in plain.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]"]
            lines += [f"{key} = {_toml(v)}" for key, v in section.items() if v is not None]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    # JSON strings, numbers, booleans and flat lists are valid TOML.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(text: str) -> Any:
    try:
        parsed = parse_toml(f"value = {text}")
    except SpaceError:
        return text
    # A line end in the text could have smuggled in another setting.
    return parsed["value"] if set(parsed) == {"value"} else text


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings as one: later layers override earlier ones."""
    found: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = found.get(key)
            if not isinstance(value, Mapping) or below is None:
                found[key] = value
            elif isinstance(below, Mapping):
                found[key] = merged(below, value)
            # else: a section that is no section stays, for validation to complain about.
    return found


def _message(kind: type[BaseModel], error: Any) -> str:
    """One line for a pydantic error."""
    section, path = kind.model_fields, ""
    schema = kind.model_json_schema()
    place: dict[str, Any] = schema
    for part in error["loc"]:
        if isinstance(part, int):
            path, place = f"{path}[{part}]", place.get("items", {})
        elif part in section:
            path = f"{path}.{part}" if path else part
            place = _resolved(schema, place["properties"][part])
            section = getattr(section[part].annotation, "model_fields", {})
        elif error["type"] == "extra_forbidden":
            known = f"unknown setting; {offered(part, section)}"
            name = part if part.isidentifier() and len(part) <= 40 else shown(part)
            return f"{path}.{name}: {known}" if path else f"{name}: {known}"
        # What is left is which alternative of a union was tried; the user knows of none.
    if error["type"] == "value_error":
        problem: str = error["msg"].removeprefix("Value error, ")
        if not path:
            return problem
        # A section that looks at several of its settings names the wrong one itself.
        named = problem.partition(":")[0] in section
        return f"{path}.{problem}" if named else f"{path}: {problem}"
    given = error["input"]
    given = list(given) if isinstance(given, tuple) else given
    allowed = offered(given, _values(place), _allowed(place))
    return f"{path or 'configuration'}: {shown(given)}; {allowed}"


def _resolved(schema: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    reference = place.get("$ref", "").rpartition("/")[2]
    resolved: dict[str, Any] = schema["$defs"][reference] if reference else place
    return resolved


def _values(place: dict[str, Any]) -> list[str]:
    """The words among which a part of the JSON Schema chooses."""
    some = [place, *place.get("anyOf", ())]
    return [str(word) for each in some for word in each.get("enum", [each.get("const")]) if word]


def _allowed(place: dict[str, Any]) -> str:
    """The values that a part of the JSON Schema of the settings allows, in words."""
    if "anyOf" in place:
        some = [_allowed(each) for each in place["anyOf"] if each.get("type") != "null"]
        return " or ".join(some)
    values = place.get("enum", [place["const"]] if "const" in place else [])
    if values:
        return " or ".join(str(value) for value in values)
    kind = place.get("type")
    if kind in {"integer", "number"}:
        return f"{'a whole number' if kind == 'integer' else 'a number'} {_range(place)}".strip()
    if kind == "array":
        least = "of at least one: " if place.get("minItems") == 1 else "of "
        return f"a list {least}{_allowed(place.get('items', {}))}"
    names = {"boolean": "true or false", "object": "a section of settings"}
    return names.get(str(kind), str(place.get("description", "a string")))


def _range(place: dict[str, Any]) -> str:
    low, high = place.get("minimum"), place.get("maximum")
    above, below = place.get("exclusiveMinimum"), place.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f"from {low} to {high}"
    parts = [
        f"of at least {low}" if low is not None else "",
        f"above {above}" if above is not None else "",
        f"of at most {high}" if high is not None else "",
        f"below {below}" if below is not None else "",
    ]
    return " and ".join(part for part in parts if part)


DEVICE: Final = r"^(auto|cpu|cuda(:[0-9]{1,2})?)$"
DEVICES: Final = r"^(auto|cpu|all|cuda(:[0-9]{1,2}(,[0-9]{1,2})*)?)$"
ONE_DEVICE: Final = "auto, cpu or cuda[:n]"
SOME_DEVICES: Final = "auto, cpu, all or cuda[:n,...]"
"""What `device` takes, in words: of commands that use one device, and of those that use several."""


def check_device(name: Any, *, several: bool = False) -> Any:
    """The name of a device as it is, or of several; what is no text is for others to refuse.

    Raises:
        ValueError: no device has this name; the message holds the name and what is allowed.
    """
    pattern, words = (DEVICES, SOME_DEVICES) if several else (DEVICE, ONE_DEVICE)
    if isinstance(name, str) and not re.fullmatch(pattern, name):
        kind = name.partition(":")[0].lower()
        # Other processors look like cpu, too, and gpu is everybody's word for what is named cuda.
        meant = "cuda" if kind == "gpu" else kind
        known = ("auto", "cpu", "cuda", *(["all"] if several else []))
        names = [each for each in known if each[0] == meant[:1]]
        raise ValueError(f"{shown(name)}; {offered(meant, names, words)}")
    return name


Device = Annotated[
    str, BeforeValidator(check_device), Field(pattern=DEVICE, description=ONE_DEVICE)
]
Devices = Annotated[
    str,
    BeforeValidator(partial(check_device, several=True)),
    Field(pattern=DEVICES, description=SOME_DEVICES),
]
Precision = Literal["auto", "float32", "bfloat16"]
