"""Spaces and networks with stages in files of other tools, read back by them."""

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
from autospace.spaces import SpaceError, load
from autospace.spaces.cells.ofa import SKIPPED
from tests.slow import slowly
from tests.spaces.ofa.spaces import every_path, small_space

SPACE = small_space()
CHOICES = (
    "optuna",
    "nni",
    "nni-python",
    "ray",
    "wandb",
    "syne-tune",
    "neps",
    "ax",
    "hydra",
    "pyglove",
    "nevergrad",
    "pymoo",
    "archai",
    "autospace-iccv2021",
)


def test_configspace_offers_exactly_the_architectures(tmp_path: Path) -> None:
    configspace = pytest.importorskip("ConfigSpace")
    path = tmp_path / "space.json"
    path.write_text(TARGETS["configspace"].text(SPACE))
    read = configspace.ConfigurationSpace.from_json(path)
    read.seed(0)
    drawn = [dict(each) for each in read.sample_configuration(300)]
    for each in drawn:
        SPACE.architecture(each)
    # Every architecture is legal, and every other choice of cells is not.
    paths = set(every_path(SPACE))
    rng = random.Random(0)
    for _ in range(200):
        path_ = tuple(rng.randrange(len(layer.candidates)) for layer in SPACE.layers)
        choices = {
            layer.shape.name: layer.candidates[index].id
            for layer, index in zip(SPACE.layers, path_, strict=True)
        }
        try:
            configspace.Configuration(read, values=choices).check_valid_configuration()
            legal = True
        except configspace.exceptions.ForbiddenValueError:
            legal = False
        assert legal == (path_ in paths)


@pytest.mark.parametrize("target", CHOICES)
def test_what_cannot_say_that_only_last_layers_are_skipped_is_refused(target: str) -> None:
    with pytest.raises(SpaceError) as caught:
        TARGETS[target].text(SPACE)
    found = str(caught.value)
    assert "of which only the last layers are skipped" in found
    assert "configspace" in found
    assert "\n" not in found


def test_every_other_target_of_spaces_takes_them() -> None:
    for name, target in TARGETS.items():
        if target.space is not None and name not in CHOICES:
            assert target.text(SPACE)


@pytest.mark.parametrize(("name", "seed"), [("small", 0), ("small", 1), ("ofa@ofa-small", 2)])
def test_an_exported_file_computes_and_learns_what_the_network_does(name: str, seed: int) -> None:
    space = SPACE if name == "small" else load(name)
    architecture = space.sample(random.Random(seed))
    skeleton = architecture.skeleton
    module = ModuleType("exported")
    exec(compile(TARGETS["pytorch"].text(architecture), "exported.py", "exec"), module.__dict__)
    network = Network(skeleton, architecture.cells).double()
    made: Any = module.build().double()
    made.load_state_dict(network.state_dict())
    x = torch.randn(3, skeleton.in_channels, skeleton.resolution, skeleton.resolution).double()
    for mode in (True, False):
        found, wanted = made.train(mode)(x), network.train(mode)(x)
        torch.testing.assert_close(found, wanted)
        for each in (found, wanted):
            each.square().sum().backward()
        for (part, ours), theirs in zip(network.named_parameters(), made.parameters(), strict=True):
            torch.testing.assert_close(theirs.grad, ours.grad, msg=part)


def test_hubs_take_a_network() -> None:
    architecture = SPACE.sample(random.Random(0))
    for target in ("huggingface", "timm"):
        compile(TARGETS[target].text(architecture), "hub.py", "exec")


@pytest.mark.parametrize("target", [*slowly("onnx"), "pt2"])
def test_a_runtime_computes_what_the_network_computes(target: Any, tmp_path: Path) -> None:
    if target == "onnx":
        pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
    architecture = next(
        found for seed in range(99) if SKIPPED in (found := SPACE.sample(random.Random(seed))).cells
    )
    torch.manual_seed(0)
    network = Network(architecture.skeleton, architecture.cells).train()
    network(torch.randn(16, 1, 8, 8))
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, network.eval(), architecture)
    done = deploy(architecture, target, tmp_path / f"net.{target}", weights=weights)
    assert done.difference is not None
    assert done.difference < 1e-5


def test_strings_of_other_programs_refuse_the_family_by_name() -> None:
    architecture = SPACE.sample(random.Random(0))
    for target in ("proxylessnas", "nasbench201", "timm-arch", "darts-genotype"):
        with pytest.raises(SpaceError, match="ofa"):
            TARGETS[target].text(architecture)
