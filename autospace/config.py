"""Settings from presets, TOML files and the command line, merged and validated."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autospace.presets import PRESETS
from autospace.settings import Config


class ConfigError(ValueError):
    """A setting that does not exist or is out of range; the message names it and its value."""


def make_config(*layers: Mapping[str, Any]) -> Config:
    """A validated configuration: later layers of nested settings override earlier ones.

    Raises:
        ConfigError: naming the first wrong setting, its value, and what is allowed.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merged(merged, layer)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(_message(first)) from None


def read_config(path: Path) -> dict[str, Any]:
    """The nested settings of a TOML file.

    Raises:
        ConfigError: not there, not UTF-8, or not TOML.
    """
    try:
        if path.stat().st_size > 1024 * 1024 or not path.is_file():
            raise ConfigError(f"{path}: no configuration file of at most 1 MiB")
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {str(error).splitlines()[0][:120]}") from None


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Nested settings from `a.b=value` texts; values are TOML, bare words are strings.

    Raises:
        ConfigError: a text without `=` or without a name.
    """
    nested: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        parts = name.strip().split(".")
        if not equals or not all(parts):
            raise ConfigError(f"--set {setting[:80]!r}: expected section.name=value")
        value: Any = _value(text.strip())
        for part in reversed(parts):
            value = {part: value}
        nested = _merged(nested, value)
    return nested


def preset(name: str) -> dict[str, Any]:
    """The nested settings of a preset.

    Raises:
        ConfigError: no preset of this name.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset {name!r}: unknown; allowed: {', '.join(PRESETS)}")
    return PRESETS[name]


def to_toml(config: Config) -> str:
    """The whole configuration as TOML; reading it back gives an equal configuration."""
    plain = config.model_dump(mode="json")
    lines = [f"{k} = {_toml(v)}" for k, v in plain.items() if not isinstance(v, dict)]
    for name, section in plain.items():
        if isinstance(section, dict):
            lines += ["", f"[{name}]"]
            # TOML has no null: an absent key is the default, which is None for all of these.
            lines += [f"{key} = {_toml(v)}" for key, v in section.items() if v is not None]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    # JSON strings, numbers, booleans and flat lists are valid TOML.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def _message(error: Any) -> str:
    # A union adds a part per alternative to the location; those are no settings of ours.
    named = [str(part) for part in error["loc"] if not str(part).startswith(("constrained", "lit"))]
    path = ".".join(part for part in named if part not in {"int", "function-after"})
    if error["type"] == "extra_forbidden":
        section = Config if len(named) == 1 else Config.model_fields[named[0]].annotation
        known = ", ".join(getattr(section, "model_fields", {}))
        return f"{path[:80]}: unknown setting; known: {known}"
    text = error["msg"].removeprefix("Value error, ")
    shown = repr(error["input"])
    where = path or "configuration"
    if error["type"] == "value_error":
        return f"{where}: {text}"
    return f"{where}: {shown if len(shown) <= 60 else shown[:57] + '...'}; {text[:1].lower()}{text[1:]}"
