"""Exported PyTorch files of DARTS cells, against our own networks with the same weights."""

import random
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
import torch

from autospace.exporters.targets import TARGETS
from autospace.networks.network import Network
from autospace.spaces import Architecture, load
from autospace.spaces.cells.darts_cell import DartsCell
from tests.spaces.darts.genotypes import TINY, V2_NORMAL, V2_REDUCE, darts_v2, network

SPACE = load("darts@darts-small")
EVERY = [
    ("conv_7x1_1x7", 0), ("sep_conv_7x7", 1), ("dil_conv_5x5", 0), ("avg_pool_3x3", 1),
    ("none", 0), ("none", 1), ("skip_connect", 1), ("sep_conv_5x5", 4),
]  # fmt: skip
"""Operations of every kind, and a node that is zero."""


def _architectures() -> list[Architecture]:
    rng = random.Random(0)
    cell, other = DartsCell.of(EVERY), DartsCell.of(V2_NORMAL)
    three = replace(TINY, concat=3)
    part = DartsCell.of(EVERY, (5, 2, 4)), DartsCell.of(V2_REDUCE, (3, 5, 4))
    deep = darts_v2("darts-imagenet").skeleton
    small = replace(deep, layers=TINY.layers, ties=TINY.ties, resolution=41, classes=5)
    return [
        *(SPACE.sample(rng) for _ in range(3)),
        network(cell, cell, TINY),
        network(*part, three),
        network(other, cell, small),
    ]


def _made(architecture: Architecture) -> Any:
    export = TARGETS["pytorch"].architecture
    assert export is not None
    module = ModuleType("exported")
    exec(compile(export(architecture), "exported.py", "exec"), module.__dict__)
    built: Any = module
    return built.build()


@pytest.mark.parametrize("architecture", _architectures())
def test_an_exported_file_computes_what_the_network_computes(architecture: Architecture) -> None:
    skeleton = architecture.skeleton
    ours = Network(skeleton, architecture.cells).double()
    made = _made(architecture).double()
    made.load_state_dict(ours.state_dict())
    x = torch.randn(3, skeleton.in_channels, *[skeleton.resolution] * 2, dtype=torch.float64)
    for mode in (True, False):
        with torch.no_grad():
            torch.testing.assert_close(made.train(mode)(x), ours.train(mode)(x))
    assert sum(each.numel() for each in made.parameters()) == architecture.cost.params


def test_darts_v2_as_a_file_has_the_published_params() -> None:
    assert sum(each.numel() for each in _made(darts_v2("darts")).parameters()) == 3_349_342


@pytest.mark.parametrize("target", ["huggingface", "timm"])
def test_hubs_take_darts_networks(target: str) -> None:
    export = TARGETS[target].architecture
    assert export is not None
    text = export(SPACE.sample(random.Random(1)))
    compile(text, "exported.py", "exec")
    assert "class DartsCell(nn.Module)" in text
