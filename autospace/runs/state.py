"""Saves and restores the state of work between its steps, as one file."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import nn

from autospace.runs.errors import FORCE, CheckpointError
from autospace.runs.files import write_atomically

VERSION: Final = "3"
_PLAIN: Final = "plain"


@dataclass(frozen=True)
class State:
    """The state of an object.

    Attributes:
        plain: JSON values by the names of its parts; a tensor is named where it belongs.
        tensors: by name.
    """

    plain: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]


class Stateful:
    """An object that remembers some of its attributes: its parts.

    A part is of one of two kinds. The contents of a `Stateful`, a module, an optimiser, a tensor
    that is trained, or a list of these are restored in place, in the same object. A number, a
    string, None, a tensor, or a tuple, list or dict of such values is replaced.

    Attributes:
        remembered: names of the attributes, restored in this order, after those of the bases.
        records: the dataclasses and models that occur in remembered values.
    """

    remembered: ClassVar[tuple[str, ...]] = ()
    records: ClassVar[tuple[type, ...]] = ()

    def state(self) -> State:
        """The state of all parts; tensors are those of the object, not copies."""
        tensors: dict[str, torch.Tensor] = {}
        parts = _inherited(type(self), "remembered")
        return State(
            {name: _written(getattr(self, name), name, tensors) for name in parts}, tensors
        )

    def restore(self, state: State) -> None:
        """Restores the state of an object that was made from the same settings."""
        kinds = {kind.__name__: kind for kind in _inherited(type(self), "records")}
        for name in _inherited(type(self), "remembered"):
            current = getattr(self, name)
            setattr(self, name, _restored(current, state.plain[name], state.tensors, kinds))


def _inherited(kind: type, name: str) -> tuple[Any, ...]:
    """The entries of a class attribute, those of the bases first."""
    return tuple(each for base in reversed(kind.__mro__) for each in vars(base).get(name, ()))


def _parts(whole: Stateful) -> dict[str, Any]:
    return {name: getattr(whole, name) for name in _inherited(type(whole), "remembered")}


def _written(value: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """A value as JSON; its tensors are added to `tensors`, their names beginning with `name`."""

    def within(key: object, item: Any) -> Any:
        return _written(item, f"{name}.{key}", tensors)

    match value:
        case None | bool() | int() | float() | str():
            return value
        case torch.Tensor():
            tensors[name] = value.detach()
            return {"tensor": name}
        case Stateful():
            return {part: within(part, item) for part, item in _parts(value).items()}
        case nn.Module() | torch.optim.Optimizer():
            return _written(dict(value.state_dict()), name, tensors)
        case list():
            return [within(place, item) for place, item in enumerate(value)]
        case tuple():
            return {"tuple": [within(place, item) for place, item in enumerate(value)]}
        case dict():
            return {
                "dict": [[within("key", key), within(key, item)] for key, item in value.items()]
            }
        case BaseModel():
            return _record(value, type(value).model_fields, within)
    if is_dataclass(value):
        return _record(value, [each.name for each in fields(value)], within)
    raise TypeError(f"{name}: a {type(value).__name__} cannot be saved")


def _record(
    value: object, names: Iterable[str], within: Callable[[object, Any], Any]
) -> dict[str, Any]:
    kept = {name: within(name, getattr(value, name)) for name in names}
    return {"record": type(value).__name__, "fields": kept}


def _read(kept: Any, tensors: Mapping[str, torch.Tensor], kinds: Mapping[str, type]) -> Any:
    """The value that `_written` gave as JSON."""

    def inner(item: Any) -> Any:
        return _read(item, tensors, kinds)

    match kept:
        case {"tensor": name}:
            return tensors[name]
        case {"tuple": items}:
            return tuple(map(inner, items))
        case {"dict": pairs}:
            return {inner(key): inner(item) for key, item in pairs}
        case {"record": name, "fields": named}:
            return kinds[name](**{key: inner(item) for key, item in named.items()})
        case list():
            return list(map(inner, kept))
    return kept


def _restored(
    current: Any, kept: Any, tensors: Mapping[str, torch.Tensor], kinds: Mapping[str, type]
) -> Any:
    """The current value with its contents restored, or the value that replaces it."""
    match current:
        case Stateful():
            current.restore(State(kept, tensors))
        case nn.Module():
            current.load_state_dict(_read(kept, tensors, kinds))
        case torch.optim.Optimizer():
            _restore_optimizer(current, _read(kept, tensors, kinds))
        case torch.Tensor() if current.requires_grad:
            current.detach().copy_(_read(kept, tensors, kinds))
        case [_, *_] if all(map(_stays, current)):
            for part, item in zip(current, kept, strict=True):
                _restored(part, item, tensors, kinds)
        case _:
            return _read(kept, tensors, kinds)
    return current


def _stays(part: Any) -> bool:
    """Whether a part stays the object it is when its contents are restored."""
    trained = isinstance(part, torch.Tensor) and part.requires_grad
    return trained or isinstance(part, Stateful | nn.Module | torch.optim.Optimizer)


def _restore_optimizer(optimizer: torch.optim.Optimizer, kept: dict[str, Any]) -> None:
    optimizer.load_state_dict(kept)
    for parameter, averages in optimizer.state.items():
        for name, value in averages.items():
            if name == "step":
                averages[name] = value.cpu()  # Adam counts there, wherever its averages are.
            elif isinstance(value, torch.Tensor):
                # The file knows no memory format: theirs is that of the weights.
                averages[name] = torch.empty_like(parameter).copy_(value)


def save_state(path: Path, state: State) -> None:
    """Writes a state whole or not at all."""
    tensors = {name: value.contiguous() for name, value in state.tensors.items()}
    # Two files could not be replaced at once: the JSON travels with the tensors.
    kept = {
        "version": VERSION,
        "written_by": f"autospace {metadata.version('autospace')}",
        _PLAIN: json.dumps(dict(state.plain), sort_keys=True),
    }
    write_atomically(path, save(tensors, kept))


def load_state(path: Path, device: torch.device) -> State:
    """A state that `save_state` wrote, its tensors on a device.

    Raises:
        CheckpointError: the file is damaged, or from another program or version.
    """
    try:
        with safe_open(path, "pt") as stream:
            kept = stream.metadata()
        plain = json.loads(kept[_PLAIN])
        tensors = load_file(path, device=str(device))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:160]
        raise CheckpointError(f"{path}: damaged, or not the state of a run: {problem}") from None
    version, writer = kept.get("version", "1"), kept.get("written_by", "an earlier autospace")
    if version != VERSION:
        raise CheckpointError(
            f"{path}: version {version}, written by {writer}; allowed: version {VERSION}; "
            f"finish the run with the autospace that wrote it, or start again with {FORCE}"
        )
    return State(plain, tensors)
