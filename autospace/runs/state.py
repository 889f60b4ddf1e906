"""Saves and restores the state of work between its steps, as one file."""

import hashlib
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

VERSION: Final = "5"
_PLAIN: Final = "plain"
_RECORD: Final = "state"
_SEAL: Final = "sha256"


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


def save_sealed(path: Path, tensors: Mapping[str, torch.Tensor], texts: Mapping[str, str]) -> None:
    """Writes tensors and texts into one file, whole or not at all, with a SHA-256 of all of them.

    Two files could not be replaced at once. Equal contents give equal bytes: of several entries,
    safetensors would choose the order.
    """
    given = {name: value.detach().contiguous() for name, value in tensors.items()}
    record = json.dumps({**texts, _SEAL: _sealed(given, texts)}, sort_keys=True)
    write_atomically(path, save(given, {_RECORD: record}))


def load_sealed(path: Path, device: torch.device) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """What `save_sealed` wrote, the tensors on a device.

    Raises:
        CheckpointError: the file is damaged, or was changed after it was written.
    """
    tensors, texts = _opened(path)
    _check_seal(path, tensors, texts)
    return {name: value.to(device) for name, value in tensors.items()}, texts


def _check_seal(path: Path, tensors: Mapping[str, torch.Tensor], texts: dict[str, str]) -> None:
    seal = texts.pop(_SEAL, None)
    if seal != _sealed(tensors, texts):
        problem = "has no SHA-256" if seal is None else "is not what was written"
        raise CheckpointError(f"{path}: damaged: {problem}; start again with {FORCE}")


def _opened(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as stream:
            found = dict(stream.metadata() or {})
        # Files of earlier versions have several entries.
        texts = json.loads(found[_RECORD]) if _RECORD in found else found
        return load_file(path), {str(name): str(text) for name, text in dict(texts).items()}
    except (SafetensorError, OSError, TypeError, ValueError, RecursionError) as error:
        problem = str(error).partition("\n")[0][:160]
        raise CheckpointError(f"{path}: damaged, or not the state of a run: {problem}") from None


def _sealed(tensors: Mapping[str, torch.Tensor], texts: Mapping[str, str]) -> str:
    """SHA-256 over names and contents, in the order of the names."""
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_state(path: Path, state: State) -> None:
    """Writes a state whole or not at all."""
    texts = {
        "version": VERSION,
        "written_by": f"autospace {metadata.version('autospace')}",
        _PLAIN: json.dumps(dict(state.plain), sort_keys=True),
    }
    save_sealed(path, state.tensors, texts)


def load_state(path: Path, device: torch.device) -> State:
    """A state that `save_state` wrote, its tensors on a device.

    Raises:
        CheckpointError: the file is damaged, or from another program or version.
    """
    tensors, texts = _opened(path)
    if _PLAIN not in texts:
        raise CheckpointError(f"{path}: damaged, or not the state of a run; allowed: a checkpoint")
    version, writer = texts.get("version", "1"), texts.get("written_by", "an earlier autospace")
    if version != VERSION:
        raise CheckpointError(
            f"{path}: version {version}, written by {writer}; allowed: version {VERSION}; "
            f"finish the run with the autospace that wrote it, or start again with {FORCE}"
        )
    _check_seal(path, tensors, texts)
    on_device = {name: value.to(device) for name, value in tensors.items()}
    try:
        plain = json.loads(texts[_PLAIN])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: {str(error)[:160]}") from None
    return State(plain, on_device)


def restore_from(path: Path, device: torch.device, whole: Stateful) -> None:
    """Restores what `save_state` wrote into an object that was made from the same settings.

    Raises:
        CheckpointError: the file is damaged, or is the state of something else.
    """
    state = load_state(path, device)
    try:
        whole.restore(state)
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        problem = str(error).partition("\n")[0][:160]
        raise CheckpointError(
            f"{path}: damaged, or the state of another run: {problem}; start again with {FORCE}"
        ) from None
