"""How to do a run again, without anything that belongs to one machine."""

import json
import shlex
from pathlib import PurePath
from typing import Any

from autospace.evolution.settings import Config

_WITH_PATH = frozenset({"folder", "cifar10", "cifar100", "idx", "npz"})
_OPTIONS = {"seed": "--seed", "skeleton": "--skeleton", "data.source": "--data"}


def command(config: Config) -> str:
    """The command that repeats a run, a line per option."""
    options = [f"--seed {config.seed}", f"--data {shlex.quote(source(config))}"]
    for name, value in changed(config):
        if name in _OPTIONS:
            if name == "skeleton":
                options.append(f"--skeleton {shlex.quote(value)}")
        else:
            options.append(f"--set {shlex.quote(f'{name}={json.dumps(value)}')}")
    return " \\\n  ".join(["autospace evolve", *options])


def changed(config: Config) -> list[tuple[str, Any]]:
    """The settings that differ from their defaults, by their full names; no device."""
    plain, usual = config.model_dump(mode="json"), Config().model_dump(mode="json")
    found: list[tuple[str, Any]] = []
    for name, value in plain.items():
        if isinstance(value, dict):
            pairs = value.items()
            found += [(f"{name}.{key}", v) for key, v in pairs if v != usual[name][key]]
        elif name == "skeleton" and value != usual[name]:
            found.append((name, PurePath(value).name))
        elif name != "device" and value != usual[name]:
            found.append((name, value))
    return [(name, source(config) if name == "data.source" else v) for name, v in found]


def source(config: Config) -> str:
    """Where the images came from; of a path its last part only, since reports are passed on."""
    kind, colon, path = config.data.source.partition(":")
    if kind in _WITH_PATH and colon:
        return f"{kind}:{PurePath(path.strip()).name or 'PATH'}"
    return config.data.source
