"""Files of binary networks, read by PyTorch and by onnxruntime: they compute what we compute."""

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from autospace.exporters.targets import TARGETS
from autospace.networks.deploy import deploy
from autospace.networks.network import Network
from autospace.networks.weights import save_weights
from autospace.spaces import Architecture, Candidate, SpaceError, load
from autospace.spaces.cells.binary import BINARY_OPERATIONS, Binary
from tests.slow import slowly

SPACE = load("binary@digits")
FAMILY = Binary()


def _drawn(seed: int) -> Architecture:
    rng, prior = random.Random(seed), FAMILY.prior(BINARY_OPERATIONS)
    cells: list[Any] = [FAMILY.random_cell(prior, rng) for _ in SPACE.layers]
    if seed == 0:
        cells[0] = FAMILY.skipped
    return Architecture(SPACE.skeleton, tuple(Candidate(f"c{i}", c) for i, c in enumerate(cells)))


def _trained(architecture: Architecture) -> Network:
    torch.manual_seed(0)
    network = Network(architecture.skeleton, architecture.cells).train()
    for _ in range(3):
        network(torch.randn(16, 1, 8, 8))
    return network.eval()


@pytest.mark.parametrize("seed", range(4))
def test_an_exported_file_computes_and_learns_what_the_network_does(seed: int) -> None:
    architecture = _drawn(seed)
    export = TARGETS["pytorch"].architecture
    assert export is not None
    module = ModuleType("exported")
    exec(compile(export(architecture), "exported.py", "exec"), module.__dict__)
    network = _trained(architecture).double()
    made: Any = module.build().double()
    made.load_state_dict(network.state_dict())
    x = torch.randn(3, 1, 8, 8, dtype=torch.float64)
    for mode in (True, False):
        found, wanted = made.train(mode)(x), network.train(mode)(x)
        torch.testing.assert_close(found, wanted)
        for each in (found, wanted):
            each.square().sum().backward()
        for (name, ours), theirs in zip(network.named_parameters(), made.parameters(), strict=True):
            torch.testing.assert_close(theirs.grad, ours.grad, msg=name)
    assert sum(each.numel() for each in made.parameters()) == architecture.cost.params


@pytest.mark.parametrize("target", slowly("onnx", "pt2"))
def test_a_runtime_computes_what_the_network_computes(target: Any, tmp_path: Path) -> None:
    if target == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    architecture = _drawn(1)
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, _trained(architecture), architecture)
    done = deploy(architecture, target, tmp_path / f"net.{target}", weights=weights)
    assert done.difference is not None
    assert done.difference < 1e-5


def test_what_has_no_binary_form_is_refused_by_name() -> None:
    for target in ("proxylessnas", "nasbench201", "timm-arch"):
        refused = TARGETS[target].architecture
        assert refused is not None
        with pytest.raises(SpaceError, match="binary"):
            refused(_drawn(1))
