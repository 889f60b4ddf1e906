"""Exported PyTorch files, run where there is no autospace, against our own networks."""

import importlib.util
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from safetensors.torch import load_file, save_file

from autospace.exporters.pytorch.export import export_architecture, export_space
from autospace.networks.network import Network
from autospace.spaces import Architecture, LayerSpec, Skeleton, Space, Stem
from autospace.spaces.files.families import FAMILY_NAMES, family_space
from autospace.spaces.files.library import load_skeleton
from tests.networks.samples import images_for, lived_in
from tests.strategies import architectures, spaces

CLIENT = Path(__file__).with_name("pytorch_client.py")
SMALL = Skeleton("small", 3, 9, 4, Stem(4, 2, 3), (LayerSpec(3), LayerSpec(6, 2), LayerSpec(6)))
EXACT: dict[str, Any] = {"rtol": 1e-10, "atol": 1e-10}


def _images(skeleton: Skeleton) -> torch.Tensor:
    return images_for(skeleton, 3).double()


def _drawn(count: int) -> tuple[list[Architecture], list[Space]]:
    """Values that Hypothesis draws, for tests that look at many at once."""
    found: tuple[list[Architecture], list[Space]] = ([], [])

    @settings(max_examples=count, database=None, phases=[Phase.generate])
    @given(architectures(), spaces())
    def keep(architecture: Architecture, space: Space) -> None:
        found[0].append(architecture)
        found[1].append(space)

    keep()
    return found


def _covering(space: Space) -> Iterator[Architecture]:
    """Few architectures that together hold every candidate of every layer."""
    for turn in range(max(len(layer.candidates) for layer in space.layers)):
        yield Architecture(
            space.skeleton,
            tuple(layer.candidates[turn % len(layer.candidates)] for layer in space.layers),
        )


@torch.no_grad()
def _logits(network: Network, mode: str) -> torch.Tensor:
    logits: torch.Tensor = network.train(mode == "train")(_images(network.skeleton))
    return logits


class Exported:
    """Files in a folder, what they were made from, and what came of running all of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: dict[str, Architecture | Space] = {}
        self.params: dict[str, int] = {}

    def add(self, value: Architecture | Space) -> None:
        name = f"{type(value).__name__.lower()}_{len(self.made):03d}"
        inputs = {"images": _images(value.skeleton)}
        if isinstance(value, Architecture):
            inputs |= lived_in(value).double().state_dict()
            text = export_architecture(value)
        else:
            text = export_space(value)
        (self.folder / f"{name}.py").write_text(text, "utf-8")
        save_file(inputs, self.folder / f"{name}.in")
        self.made[name] = value

    def run(self) -> None:
        command = [sys.executable, "-I", "-W", "error", str(CLIENT), str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        self.params = json.loads(done.stdout)
        assert self.params.keys() == self.made.keys()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    files = Exported(tmp_path_factory.mktemp("exported"))
    drawn_architectures, drawn_spaces = _drawn(25)
    # Files of other families have no supernet: test_pytorch_spaces.py runs them.
    families = [family_space(family, SMALL) for family in FAMILY_NAMES if family != "binary"]
    covering = [each for space in families for each in _covering(space)]
    for group in (covering, families, drawn_architectures, drawn_spaces):
        for value in group:
            files.add(value)
    files.run()
    return files


def test_an_exported_architecture_computes_what_ours_computes(exported: Exported) -> None:
    for name, value in exported.made.items():
        if isinstance(value, Architecture):
            found = load_file(exported.folder / f"{name}.out")
            for mode in ("eval", "train"):
                wanted = _logits(lived_in(value).double(), mode)
                torch.testing.assert_close(found[mode], wanted, msg=name, **EXACT)


def test_an_exported_architecture_has_the_params_that_it_costs(exported: Exported) -> None:
    for name, value in exported.made.items():
        if isinstance(value, Architecture):
            assert exported.params[name] == value.cost.params, name


def test_a_path_of_an_exported_supernet_computes_what_our_network_computes(
    exported: Exported,
) -> None:
    for name, space in exported.made.items():
        if isinstance(space, Space):
            found = load_file(exported.folder / f"{name}.out")
            weights = {
                key.removeprefix("weights."): value
                for key, value in found.items()
                if key.startswith("weights.")
            }
            # The same draws as the exported `sample`: candidates stand in the same order.
            architecture = space.sample(random.Random(0))
            network = lived_in(architecture).double()
            network.load_state_dict(weights, strict=True)
            for mode in ("eval", "train"):
                torch.testing.assert_close(found[mode], _logits(network, mode), msg=name, **EXACT)
            assert exported.params[name] == architecture.cost.params


@pytest.mark.parametrize("rule", [["format", "--check"], ["check"]], ids=["format", "lint"])
def test_exported_files_please_ruff(exported: Exported, rule: list[str]) -> None:
    command = [sys.executable, "-m", "ruff", *rule, "--isolated", "--no-cache"]
    done = subprocess.run(
        [*command, str(exported.folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.filterwarnings("ignore")
def test_a_file_is_traced_and_exported_but_not_scripted_as_the_guide_says(tmp_path: Path) -> None:
    space = family_space("mbconv", load_skeleton("digits"))
    chosen = {layer.shape.name: layer.candidates[0].id for layer in space.layers}
    file = tmp_path / "exported.py"
    file.write_text(export_architecture(space.architecture(chosen)), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("exported", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network, images = module.build().eval(), torch.randn(2, *module.IMAGE)
    expected = network(images)
    traced = torch.jit.trace(network, images)
    program = torch.export.export(network, (images,)).module()
    assert torch.allclose(traced(images), expected, atol=1e-5)
    assert torch.allclose(program(images), expected, atol=1e-5)
    with pytest.raises(RuntimeError, match="only supported with string literals"):
        torch.jit.script(network)
