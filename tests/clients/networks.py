"""One network for the tests of clients that take networks."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from autospace.exporters.targets import TARGETS
from autospace.spaces import Architecture, Candidate
from tests.clients.exchange import learned_space


def small_network() -> Architecture:
    """An architecture with mixes, and with a candidate of every kind of cell."""
    space = learned_space()
    found: Architecture = space.sample(random.Random(3))
    assert any(isinstance(each, Candidate) for each in found.candidates)
    return found


def images() -> Any:
    """Two images of the network's resolution."""
    import torch

    skeleton = small_network().skeleton
    shape = (2, skeleton.in_channels, skeleton.resolution, skeleton.resolution)
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def module_of(target: str, network: Architecture, folder: Path) -> ModuleType:
    """An exported module of a network, imported."""
    made = TARGETS[target].architecture
    if made is None:
        raise ValueError(f"{target} takes no architecture")
    path = folder / f"{target}_network.py"
    path.write_text(made(network), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    # Clients look the module up by its name.
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module
