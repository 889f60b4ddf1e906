"""What a search remembers between its steps, as one file."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from autospace.runs.errors import CheckpointError
from autospace.runs.files import write_atomically

_PLAIN = "plain"


@dataclass(frozen=True)
class State:
    """Tensors by name, and plain JSON values by name; nothing else is remembered."""

    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)
    plain: Mapping[str, Any] = field(default_factory=dict)

    def under(self, prefix: str) -> "State":
        """The same with every name behind a prefix, to be joined with the states of others."""
        return State(
            {f"{prefix}.{name}": value for name, value in self.tensors.items()},
            {f"{prefix}.{name}": value for name, value in self.plain.items()},
        )

    def part(self, prefix: str) -> "State":
        """What stands behind a prefix."""
        start = f"{prefix}."
        return State(
            {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)},
            {k.removeprefix(start): v for k, v in self.plain.items() if k.startswith(start)},
        )

    def joined(self, *others: "State") -> "State":
        """This state and others whose names differ from it."""
        tensors, plain = dict(self.tensors), dict(self.plain)
        for other in others:
            tensors |= other.tensors
            plain |= other.plain
        return State(tensors, plain)


def save_state(path: Path, state: State) -> None:
    """Writes a state whole or not at all."""
    tensors = {name: value.detach().contiguous() for name, value in state.tensors.items()}
    # Two files could not be replaced at once: the JSON travels with the tensors.
    write_atomically(path, save(tensors, {_PLAIN: json.dumps(dict(state.plain), sort_keys=True)}))


def load_state(path: Path, device: torch.device) -> State:
    """A state that `save_state` wrote, its tensors on a device.

    Raises:
        CheckpointError: the file is damaged, or of another program.
    """
    try:
        with safe_open(path, "pt") as stream:
            plain = json.loads(stream.metadata()[_PLAIN])
        return State(load_file(path, device=str(device)), plain)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:160]
        raise CheckpointError(f"{path}: damaged, or not of a search: {problem}") from None
