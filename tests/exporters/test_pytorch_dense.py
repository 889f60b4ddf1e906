"""Exported PyTorch files of dense cells, against our own networks with the same weights."""

import random
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from autospace.exporters.targets import TARGETS
from autospace.networks.network import Network
from autospace.spaces import Architecture, Candidate, LayerSpec, Stem
from tests.spaces.dense.nasbench201 import SPACE, architecture_of, whole
from tests.spaces.dense.test_shared_layers import SMALL

NONE = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
PLAIN = replace(SMALL, preactivation=False, ties=(), head=6, layers=(LayerSpec(4), LayerSpec(4)))
"""An ordinary skeleton, with identities around its cells."""
WIDENED = replace(PLAIN, stem=Stem(4, 1, 4))
"""The same behind a stem of two convolutions more."""


def _module(text: str) -> ModuleType:
    module = ModuleType("exported")
    exec(compile(text, "exported.py", "exec"), module.__dict__)
    return module


def _two_cells() -> Architecture:
    cells = (whole("nor_conv_3x3", "skip_connect", "nor_conv_1x1"), whole("nor_conv_3x3"))
    return Architecture(SMALL, tuple(Candidate(f"c{i}", cell) for i, cell in enumerate(cells)))


def _architectures() -> list[Architecture]:
    rng = random.Random(0)
    chosen = tuple(Candidate("c", whole("nor_conv_3x3")) for _ in PLAIN.shapes)
    drawn = [SPACE.sample(rng) for _ in range(6)]
    plain = [Architecture(each, chosen) for each in (PLAIN, WIDENED)]
    return [architecture_of(NONE), *drawn, _two_cells(), *plain]


@pytest.mark.parametrize("architecture", _architectures())
def test_an_exported_file_computes_what_the_network_computes(architecture: Architecture) -> None:
    export = TARGETS["pytorch"].architecture
    assert export is not None
    network = Network(architecture.skeleton, architecture.cells).double()
    made: Any = _module(export(architecture)).build().double()
    made.load_state_dict(network.state_dict())
    side = architecture.skeleton.resolution
    x = torch.randn(3, 3, side, side, dtype=torch.float64)
    for mode in (True, False):
        with torch.no_grad():
            torch.testing.assert_close(made.train(mode)(x), network.train(mode)(x))
    found = sum(each.numel() for each in made.parameters())
    assert found == architecture.cost.params


@pytest.mark.parametrize("target", ["huggingface", "timm"])
def test_hubs_take_dense_networks(target: str) -> None:
    export = TARGETS[target].architecture
    assert export is not None
    text = export(SPACE.sample(random.Random(1)))
    compile(text, "exported.py", "exec")
    assert "class DenseCell(nn.Module)" in text
