"""Networks of DARTS cells as files: weights, ONNX and an exported program, read back."""

import random
from pathlib import Path
from typing import Literal

import pytest
import torch

from autospace.networks.deploy import deploy
from autospace.networks.network import Network
from autospace.networks.weights import load_weights, save_weights
from autospace.spaces import Architecture, load
from autospace.spaces.cells.darts_cell import DartsCell
from tests.slow import slowly
from tests.spaces.darts.genotypes import TINY, V2_NORMAL, V2_REDUCE, network

ARCHITECTURE = network(DartsCell.of(V2_NORMAL), DartsCell.of(V2_REDUCE), TINY)


def _saved(folder: Path, architecture: Architecture) -> tuple[Path, Network]:
    torch.manual_seed(0)
    found = Network(architecture.skeleton, architecture.cells)
    skeleton = architecture.skeleton
    found.train()(torch.randn(8, skeleton.in_channels, *[skeleton.resolution] * 2))
    path = folder / "weights.safetensors"
    save_weights(path, found, architecture)
    return path, found.eval()


@pytest.mark.parametrize(
    "architecture", [ARCHITECTURE, load("darts@darts-small").sample(random.Random(3))]
)
def test_weights_are_read_back(tmp_path: Path, architecture: Architecture) -> None:
    path, found = _saved(tmp_path, architecture)
    again, weights = load_weights(path)
    assert again == architecture
    other = Network(again.skeleton, again.cells)
    other.load_state_dict(weights)
    skeleton = architecture.skeleton
    x = torch.randn(2, skeleton.in_channels, *[skeleton.resolution] * 2)
    assert torch.equal(other.eval()(x), found(x))


@pytest.mark.parametrize("target", slowly("onnx", "pt2"))
def test_a_deployed_network_computes_the_same(
    tmp_path: Path, target: Literal["onnx", "pt2"]
) -> None:
    if target == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    weights, found = _saved(tmp_path, ARCHITECTURE)
    file = tmp_path / f"network.{target}"
    made = deploy(ARCHITECTURE, target, file, weights=weights)
    assert made.trained
    assert made.difference is not None
    assert made.difference < 1e-4
    if target == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file.read_bytes())
        for count in (1, 3):
            x = torch.randn(count, 2, 9, 9)
            (given,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
            with torch.no_grad():
                torch.testing.assert_close(torch.from_numpy(given), found(x), atol=1e-4, rtol=1e-4)
