"""The state of a training on disk: one safetensors file with a JSON record in its metadata."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from autospace.evolution.checkpoint import CheckpointError
from autospace.runs.files import write_atomically
from autospace.training.session import Epoch, Session

FORMAT: Final = "autospace.session"
_RECORD: Final = "session"

_Count = Annotated[int, Field(ge=0)]
_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Epoch(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    epoch: _Count
    learning_rate: _Number
    train_loss: _Number
    validation_loss: _Number | None
    validation_accuracy: _Number | None


class _Session(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal["autospace.session"]
    version: Literal[1]
    step: _Count
    history: list[_Epoch]
    settings: dict[str, Any]


def save_session(path: Path, session: Session) -> None:
    """Replaces the checkpoint, whole or not at all.

    Raises:
        ConfigError: the training diverged; the old checkpoint is left.
    """
    session.check()
    record = {
        "format": FORMAT,
        "version": 1,
        "step": session.step,
        "history": [asdict(each) for each in session.history],
        "settings": _settings(session),
    }
    tensors = {name: value.detach().contiguous() for name, value in _tensors(session)}
    write_atomically(path, save(tensors, {_RECORD: json.dumps(record, allow_nan=False)}))


def load_session(path: Path, session: Session) -> None:
    """Puts a new session where the saved one was.

    Raises:
        CheckpointError: the file is damaged, or of a training with other settings.
    """
    try:
        with safe_open(path, "pt") as stream:
            record = _Session.model_validate_json((stream.metadata() or {})[_RECORD])
        if record.settings != _settings(session):
            raise CheckpointError(f"{path}: config.toml has changed since; start anew with --force")
        if not record.step <= session.steps:
            raise ValueError(f"step {record.step} of {session.steps}")
        _restore(session, load_file(path, device=str(session.device)))
    except CheckpointError:
        raise
    except (SafetensorError, RuntimeError, LookupError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:160]
        raise CheckpointError(f"{path}: damaged, or of another run: {problem}") from None
    session.history = [Epoch(**each.model_dump()) for each in record.history]
    session.begin_at(record.step)


def _settings(session: Session) -> dict[str, Any]:
    plain: dict[str, Any] = session.config.model_dump(mode="json", exclude={"device"})
    # Where the images lie may change; what they are is checked by their digest.
    del plain["data"]["source"]
    return plain


def _tensors(session: Session) -> Iterator[tuple[str, torch.Tensor]]:
    yield "loss_sum", session.loss_sum
    for name, value in session.network.state_dict().items():
        yield f"network.{name}", value
    if session.average is not None:
        for name, value in session.average.model.state_dict().items():
            yield f"average.{name}", value
    for name, value in session.best.items():
        yield f"best.{name}", value
    for index, parameter in enumerate(_parameters(session)):
        for name, value in session.optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                yield f"optimizer.{index}.{name}", value


def _restore(session: Session, tensors: dict[str, torch.Tensor]) -> None:
    groups: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        group, _, rest = name.partition(".")
        groups.setdefault(group, {})[rest] = value
    session.loss_sum.copy_(groups["loss_sum"][""])
    session.network.load_state_dict(groups["network"])
    if session.average is not None:
        session.average.model.load_state_dict(groups["average"])
    session.best = groups.get("best", {})
    parameters = _parameters(session)
    for name, value in groups.get("optimizer", {}).items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        # The layout of a buffer follows its weight, as the optimiser itself would have it; the
        # count of steps, a single number, stays where the optimiser wants it: on the CPU.
        like = torch.empty_like(parameter) if value.ndim else torch.empty(())
        session.optimizer.state[parameter][key] = like.copy_(value)


def _parameters(session: Session) -> list[torch.Tensor]:
    return [each for group in session.optimizer.param_groups for each in group["params"]]
