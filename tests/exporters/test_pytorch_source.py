"""The text of exported PyTorch files; `test_pytorch.py` runs them where there is no autospace."""

import ast
import inspect
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from autospace.exporters.pytorch.export import export_architecture, export_space
from autospace.exporters.templates import cells, network, supernet
from autospace.spaces import (
    OPERATIONS,
    Architecture,
    Candidate,
    Cell,
    LayerSpec,
    Operation,
    Skeleton,
    Space,
    SpaceError,
    Stem,
)
from autospace.spaces.files.families import family_space
from tests.networks.samples import images_for, lived_in
from tests.strategies import architectures, spaces

SMALL = Skeleton("small", 3, 9, 4, Stem(4, 2, 3), (LayerSpec(3), LayerSpec(6, 2), LayerSpec(6)))
SKIPPED = Cell.from_edges([], expansion=1)


def _namespace(text: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "exported.py", "exec"), names)
    return names


def _came_back(cell: Any) -> tuple[str, int, list[tuple[int, int, str]], dict[int, str]]:
    return (cell.id, cell.expansion, cell.edges, getattr(cell, "mix", {}))


def _told(candidate: Candidate) -> tuple[str, int, list[tuple[int, int, str]], dict[int, str]]:
    cell = candidate.cell.pruned()
    mixes = {node: mix for node, mix in enumerate(cell.mix, 1) if mix != "sum"}
    return (
        candidate.id,
        cell.expansion,
        [(source, target, name) for source, target, name in cell.edges],
        mixes,
    )


@given(spaces())
@settings(max_examples=30)
def test_what_a_space_holds_comes_back_from_its_file(space: Space) -> None:
    names = _namespace(export_space(space))
    found = [list(map(_came_back, layer.cells)) for layer in names["LAYERS"]]
    assert found == [list(map(_told, layer.candidates)) for layer in space.layers]
    for layer in space.layers:
        first = layer.candidates[0].id
        assert names["DEFAULT"][layer.shape.name] == space.reference.get(layer.shape.name, first)


@given(architectures())
@settings(max_examples=30)
def test_what_an_architecture_holds_comes_back_from_its_file(architecture: Architecture) -> None:
    names = _namespace(export_architecture(architecture))
    assert [_came_back(layer.cell) for layer in names["LAYERS"]] == list(
        map(_told, architecture.candidates)
    )
    skeleton = architecture.skeleton
    assert names["IMAGE"] == (skeleton.in_channels, skeleton.resolution, skeleton.resolution)
    assert names["CLASSES"] == skeleton.classes
    cost = architecture.cost
    assert f"{cost.madds:,} MAdds" in names["__doc__"].replace("\n", " ")


@pytest.mark.parametrize("name", ['"""', '\\"""', "\\N{BELL}", "a" * 128, "日" * 128, "{x}\\x"])
def test_no_name_gets_out_of_the_docstring(name: str) -> None:
    names = _namespace(export_architecture(_architecture(replace(SMALL, name=name))))
    assert name.replace('"', "'") in names["__doc__"]


def _architecture(skeleton: Skeleton = SMALL) -> Architecture:
    layers = family_space("mbconv", skeleton).layers
    return Architecture(skeleton, tuple(layer.candidates[0] for layer in layers))


def test_a_file_holds_only_the_classes_that_its_cells_need() -> None:
    plain = export_architecture(_architecture(replace(SMALL, stem=Stem(4, 1))))
    assert not {"SqueezeExcite", "Gate", "mix", "AvgPool2d", "zeros_like"} & set(_words(plain))
    cell = Cell.from_edges([(0, 1, "avg_pool_3x3")], nodes=2, mix=("gate",), expansion=1)
    gated = Architecture(SMALL, tuple(Candidate("a", each) for each in (cell, cell, SKIPPED)))
    found = set(_words(export_architecture(gated)))
    assert {"Gate", "AvgPool2d", "zeros_like"} <= found
    assert not {"SqueezeExcite", "MaxPool2d"} & found


@given(spaces())
@settings(max_examples=10)
def test_what_is_exported_is_the_code_of_the_templates_without_their_marks(space: Space) -> None:
    text = export_space(space)
    assert not re.search(r"  # (\w+|type: .*)$", text, re.MULTILINE)
    lent = (cells.ConvNorm, cells.initialise, supernet.Layer, supernet.chosen, supernet.build)
    for each in lent:
        assert f"\n\n\n{inspect.getsource(each)}" in text
    names = {node.name for node in ast.parse(text).body if hasattr(node, "name")}
    assert set(_namespace(text)) >= names
    assert names >= {"Cell", "CellModule", "Network", "Supernet", "operation", "sample"}


def test_templates_are_programs_that_run() -> None:
    """With lines in the places of marks, they are more than text."""
    names = {"operation": cells.operation("dw_conv_3x3", 4, 2), "mix": cells.mixing("se", 4, 1)}
    images = torch.ones(2, 4, 7, 7)
    assert names["operation"](images).shape == (2, 4, 4, 4)
    assert names["mix"](images).shape == images.shape
    assert network.build(classes=5)(torch.zeros(2, 3, 8, 8)).shape == (2, 5)
    assert supernet.build({}, classes=5)(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)


def test_an_exported_network_can_have_other_classes() -> None:
    architecture = _architecture()
    network = _namespace(export_architecture(architecture))["build"](classes=7)
    assert network(torch.zeros(2, 3, 9, 9)).shape == (2, 7)
    space = _namespace(export_space(family_space("mbconv", SMALL)))
    supernet = space["Supernet"](classes=7)
    assert supernet.extract(space["DEFAULT"]).classifier.out_features == 7


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_01": "nothing"}, r"layer_01: 'nothing' is not one of \['mbconv_k3_e3', "),
        ({"layer_09": "a"}, r"unknown layers: \['layer_09'\]"),
        ({"layer_01": None}, "layer_01: None is not one of"),
    ],
)
def test_a_supernet_says_what_is_wrong_with_an_architecture(
    changes: dict[str, str], message: str
) -> None:
    names = _namespace(export_space(family_space("mbconv", SMALL)))
    with pytest.raises(ValueError, match=message):
        names["build"](names["DEFAULT"] | changes)


def test_an_exported_file_run_as_a_program_says_what_it_is(tmp_path: Path) -> None:
    architecture = _architecture()
    path = tmp_path / "network.py"
    path.write_text(export_architecture(architecture), "utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        f"{architecture.cost.params:,} params",
        "(1, 3, 9, 9) -> (1, 4)",
    ]


def test_an_operation_without_source_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd: Any = Operation("blur", "blur", "bl")  # type: ignore[arg-type]
    monkeypatch.setitem(OPERATIONS, "blur", odd)
    cell = Cell.from_edges([(0, 1, "blur")], nodes=2, expansion=1)
    architecture = Architecture(SMALL, tuple(Candidate("a", cell) for _ in SMALL.layers))
    with pytest.raises(SpaceError, match="blur: kind 'blur' has no PyTorch source; allowed: skip"):
        export_architecture(architecture)


def test_an_operation_of_a_known_kind_needs_no_source_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far = Operation("dw_conv_3x3_d4", "depthwise", "dw3d4", kernel=3, dilation=4)
    monkeypatch.setitem(OPERATIONS, far.name, far)
    cell = Cell.from_edges([(0, 1, far.name)], nodes=2, expansion=1)
    architecture = Architecture(SMALL, tuple(Candidate("a", cell) for _ in SMALL.layers))
    network = _namespace(export_architecture(architecture))["build"]().double()
    ours, images = lived_in(architecture).double(), images_for(SMALL, 3).double()
    network.load_state_dict(ours.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), ours(images))
