"""Deployed files as other programs read them, against our own networks."""

import io
import json
import math
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from autospace.networks.deploy import (
    EXTRA,
    deploy,
    onnx_encoded,
    onnx_opened,
    pt2_encoded,
    pt2_opened,
)
from autospace.networks.weights import NORMALISATION, save_weights
from autospace.spaces import (
    OPERATIONS,
    Architecture,
    Candidate,
    Cell,
    LayerSpec,
    Skeleton,
    Stem,
    from_json,
    load,
    to_json,
)
from tests.networks.samples import images_for, lived_in
from tests.strategies import architectures

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).resolve().parents[2]
TARGETS: tuple[Literal["onnx", "pt2"], ...] = ("onnx", "pt2")
ABOUT = {NORMALISATION: '{"mean": [1.5], "std": [2.5]}', "classes": '["a", "ñ"]'}


def _every_operation() -> Architecture:
    """Each operation at both strides and at odd sides, each mix, and a layer left out."""
    names = [name for name in OPERATIONS if name != "none"]
    size = math.ceil(len(names) / 3)
    cells = [Cell.from_edges([], expansion=1)]
    for start in range(size):
        # Three edges into the last node, where the stride is, and three others.
        early, late = (
            [names[(3 * (start + shift) + index) % len(names)] for index in range(3)]
            for shift in (0, 1)
        )
        pairs = [(0, 1), (0, 2), (1, 2)]
        edges = [(*pair, name) for pair, name in zip(pairs, early, strict=True)]
        edges += [(source, 3, name) for source, name in enumerate(late)]
        mix = (("gate", "se", "sum") * 2)[start % 3 :][:3]
        cells.append(Cell.from_edges(edges, mix=mix, expansion=3 if start else 1))
    assert {edge.operation for cell in cells for edge in cell.edges if edge.target == 3} == {*names}
    layers = (LayerSpec(4), *(LayerSpec(3 + index, 2) for index in range(size)))
    skeleton = Skeleton("odd", 2, 33, 3, Stem(4, 2, 4), layers, head=7)
    named = (Candidate(f"cell_{index} \\ '名", cell) for index, cell in enumerate(cells))
    return Architecture(skeleton, tuple(named))


ARCHITECTURE = _every_operation()


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Folder:
    """Both files of one trained network, written by a program whose output is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        save_weights(path / "net.safetensors", lived_in(ARCHITECTURE), ARCHITECTURE, ABOUT)
        (path / "architecture.json").write_text(to_json(ARCHITECTURE), "utf-8")
        program = (
            "from pathlib import Path; from autospace.networks.deploy import deploy; "
            "from autospace.spaces import load_architecture; "
            "made = load_architecture('architecture.json'); "
            "found = [deploy(made, name, Path('net.' + name), weights=Path('net.safetensors')) "
            "for name in ('onnx', 'pt2')]; print([each.difference for each in found])"
        )
        self.done = subprocess.run(
            [sys.executable, "-c", program], cwd=path, capture_output=True, text=True, check=False
        )

    def file(self, target: str) -> Path:
        return self.path / f"net.{target}"

    @cached_property
    def program(self) -> tuple[Any, str]:
        """The exported program, and what stands beside it in its file."""
        extra = {EXTRA: ""}
        program = torch.export.load(self.file("pt2"), extra_files=extra)
        return program.module(), extra[EXTRA]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    return Folder(tmp_path_factory.mktemp("deployed"))


def test_deploying_writes_the_files_and_says_nothing_of_its_own(folder: Folder) -> None:
    assert (folder.done.returncode, folder.done.stderr) == (0, "")
    onnx_difference, pt2_difference = json.loads(folder.done.stdout)
    assert 0 < onnx_difference < 1e-5
    assert pt2_difference == 0
    names = {"net.safetensors", "architecture.json", "net.onnx", "net.pt2"}
    assert {each.name for each in folder.path.iterdir()} == names


@pytest.mark.parametrize("count", [1, 2, 7])
def test_onnx_runtime_computes_the_networks_logits(folder: Folder, count: int) -> None:
    images = images_for(ARCHITECTURE.skeleton, count)
    (found,) = _session(folder.file("onnx")).run(None, {"images": images.numpy()})
    with torch.no_grad():
        wanted = lived_in(ARCHITECTURE)(images).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("count", [1, 2, 7])
def test_the_exported_program_computes_exactly_the_networks_logits(
    folder: Folder, count: int
) -> None:
    images = images_for(ARCHITECTURE.skeleton, count)
    program, _ = folder.program
    with torch.no_grad():
        assert torch.equal(program(images), lived_in(ARCHITECTURE)(images))


def test_the_onnx_model_is_valid_of_one_file_and_for_old_runtimes(folder: Folder) -> None:
    onnx.checker.check_model(str(folder.file("onnx")), full_check=True)
    model = onnx.load(folder.file("onnx"), load_external_data=False)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    assert model.ir_version == 8
    assert not any(each.external_data for each in model.graph.initializer)
    (images,), (logits,) = model.graph.input, model.graph.output
    sizes = [each.dim_param or each.dim_value for each in images.type.tensor_type.shape.dim]
    assert (images.name, sizes) == ("images", ["batch", 2, 33, 33])
    sizes = [each.dim_param or each.dim_value for each in logits.type.tensor_type.shape.dim]
    assert (logits.name, sizes) == ("logits", ["batch", 3])


def _said(folder: Folder, target: str) -> Mapping[str, str]:
    if target == "onnx":
        found: Mapping[str, str] = _session(folder.file("onnx")).get_modelmeta().custom_metadata_map
        return found
    said: Mapping[str, str] = json.loads(folder.program[1])
    return said


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_says_what_it_holds(folder: Folder, target: str) -> None:
    said = dict(_said(folder, target))
    assert from_json(said.pop("architecture")) == ARCHITECTURE
    cost = {"madds": str(ARCHITECTURE.cost.madds), "params": str(ARCHITECTURE.cost.params)}
    assert said == {**cost, **ABOUT, "weights": "trained"}


@pytest.mark.parametrize("target", TARGETS)
def test_a_file_tells_nothing_about_the_machine_that_wrote_it(folder: Folder, target: str) -> None:
    raw = folder.file(target).read_bytes()
    parts = [raw]
    if zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            parts += [archive.read(name) for name in archive.namelist()]
    for trace in (str(ROOT), str(folder.path), sys.prefix, "site-packages"):
        assert not any(trace.encode() in part for part in parts), trace


@pytest.mark.slow
@given(architectures())
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
def test_any_architecture_can_be_deployed(architecture: Architecture) -> None:
    network = lived_in(architecture).requires_grad_(False)
    for encoded, opened in ((onnx_encoded, onnx_opened), (pt2_encoded, pt2_opened)):
        raw = encoded(network, images_for(architecture.skeleton, 2), {})
        run = opened(raw)
        for count in (1, 3):
            images = images_for(architecture.skeleton, count)
            wanted = network(images)
            scale = wanted.abs().max().item()
            torch.testing.assert_close(run(images), wanted, rtol=0, atol=1e-5 * scale)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mbconv@cifar", "mnasnet@mobile"])
def test_a_network_of_common_size_can_be_deployed(name: str, tmp_path: Path) -> None:
    architecture = _some(name)
    weights = tmp_path / "net.safetensors"
    save_weights(weights, lived_in(architecture), architecture)
    for target in TARGETS:
        path = tmp_path / f"net.{target}"
        done = deploy(architecture, target, path, weights=weights)
        assert done.bytes == path.stat().st_size
        # Batch normalisations are folded into the convolutions before them.
        assert done.bytes > 0.9 * 4 * architecture.cost.params
        again = tmp_path / f"again.{target}"
        deploy(architecture, target, again, weights=weights, verify=False)
        assert again.read_bytes() == path.read_bytes()


def _some(name: str) -> Architecture:
    space = load(name)
    layers = enumerate(space.layers)
    return Architecture(
        space.skeleton, tuple(layer.candidates[index % 3] for index, layer in layers)
    )
