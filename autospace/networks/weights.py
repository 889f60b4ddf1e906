"""Saves and loads a trained network: a safetensors file with the architecture in its metadata."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from autospace.networks.network import build_network
from autospace.networks.recurrent import weights_of
from autospace.runs.files import write_atomically
from autospace.spaces.errors import AutospaceError, SpaceError, shown
from autospace.spaces.files.codec import from_json, to_json
from autospace.spaces.space import Architecture

ARCHITECTURE: Final = "architecture"
# JSON of two lists, `mean` and `std`: one number per image channel, in pixel values of 0 to 255.
NORMALISATION: Final = "normalisation"


class WeightsError(AutospaceError):
    """A file without weights, with only some of them, or with those of another network."""


def save_weights(
    path: Path,
    network: nn.Module,
    architecture: Architecture,
    metadata: Mapping[str, str] = {},
) -> None:
    """Writes weights and architecture, whole or not at all; equal values give equal bytes.

    Args:
        path: the file, `.safetensors` by custom.
        network: a `Network` of this architecture, or a module whose weights have its names.
        architecture: the architecture of the network.
        metadata: what to keep in addition to the architecture; `deploy` reads `NORMALISATION`.

    Raises:
        WeightsError: the network is not of this architecture.
        OSError: the folder cannot be written.
    """
    tensors = {name: value.contiguous() for name, value in weights_of(network).items()}
    _check(str(path), architecture, tensors)
    raw = save(tensors, {**metadata, ARCHITECTURE: to_json(architecture)})
    write_atomically(path, _sorted_header(raw))


def load_weights(path: Path) -> tuple[Architecture, dict[str, torch.Tensor]]:
    """The architecture and weights of a file: they fit a `Network` of that architecture.

    Raises:
        WeightsError: the file does not exist, is damaged, or was not written by `save_weights`.
    """
    metadata = load_metadata(path)
    if ARCHITECTURE not in metadata:
        raise WeightsError(
            f"{path}: has no architecture in its metadata; allowed: a file that autospace saved"
        )
    try:
        architecture = from_json(metadata[ARCHITECTURE])
    except SpaceError as error:
        raise WeightsError(f"{path}: {ARCHITECTURE}: {error}") from None
    if not isinstance(architecture, Architecture):
        kind = type(architecture).__name__.lower()
        raise WeightsError(f"{path}: {ARCHITECTURE}: a {kind}; allowed: an architecture")
    with safe_open(path, "pt") as stream:
        tensors = {name: stream.get_tensor(name) for name in sorted(stream.keys())}
    _check(str(path), architecture, tensors)
    return architecture, tensors


def load_metadata(path: Path) -> dict[str, str]:
    """The metadata of a file of weights.

    Raises:
        WeightsError: the file does not exist or is not a complete safetensors file.
    """
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "no such file"
        raise WeightsError(f"{path}: {problem}; allowed: a .safetensors file")
    try:
        with safe_open(path, "pt") as stream:
            return dict(stream.metadata() or {})
    except (SafetensorError, OSError) as error:
        problem = str(error).partition("\n")[0][:160]
        wanted = "the model.safetensors that autospace train writes"
        problem = f"{path}: not a complete .safetensors file: {problem}"
        raise WeightsError(f"{problem}; allowed: {wanted}") from None


def _check(place: str, architecture: Architecture, tensors: Mapping[str, torch.Tensor]) -> None:
    """Names, shapes and kinds of the weights are those that the architecture has."""
    count, params = sum(value.numel() for value in tensors.values()), architecture.cost.params
    if count < params:
        # Before a network is built: a small file may name a network that fills the memory.
        raise WeightsError(
            f"{place}: {count} numbers; allowed: the {params} weights of its architecture"
        )
    with torch.random.fork_rng(devices=[]):
        wanted = weights_of(build_network(architecture.skeleton, architecture.cells))
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise WeightsError(f"{place}: {name}: missing weight")
        if name not in wanted:
            raise WeightsError(f"{place}: {shown(name)}: not a weight of its architecture")
        found, right = _kind(tensors[name]), _kind(wanted[name])
        if found != right:
            raise WeightsError(
                f"{place}: {name}: {found}; allowed: {right}, as in its architecture"
            )


def _kind(tensor: torch.Tensor) -> str:
    kind = "floats" if tensor.dtype.is_floating_point else "integers"
    return f"{kind} {list(tensor.shape)}"


def _sorted_header(raw: bytes) -> bytes:
    """The same file with its metadata in order: the library writes it in a random one."""
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + raw[8 + size :]
