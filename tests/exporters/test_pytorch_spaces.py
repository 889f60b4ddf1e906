"""Files of whole spaces of other families than `mobile`, against our own networks."""

import ast
import random
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.exporters.targets import TARGETS
from autospace.networks.captions import START, CaptionModel, packed
from autospace.networks.encoder import EncoderNetwork
from autospace.networks.recurrent import LanguageModel, weights_of
from autospace.spaces import (
    Architecture,
    Candidate,
    Layer,
    LayerSpec,
    Skeleton,
    Space,
    Stem,
    load,
)
from autospace.spaces.cells.family import FAMILIES
from autospace.spaces.files.families import family_space
from tests.networks.samples import lived_in
from tests.tiny import whole_cells

NAMES = (
    "binary@digits",
    "conv@resnet20",
    "nasbench201@nasbench201",
    "darts@darts-small",
    "bats@bats-small",
    "bnas@bats-small",
    "ofa@ofa-small",
    "enas-rnn@rnn-small",
    "enas-rnn@enas-rnn-paper",
    "nas-bert@bert-small",
    "autocaption@captions-small",
)
WHOLE = ("nasbench201@nasbench201", "darts@darts-small", "enas-rnn@rnn-small",
         "autocaption@captions-small")  # fmt: skip


@cache
def _space(name: str) -> Space:
    plain = name.removeprefix("whole ")
    return load(name) if plain == name else whole_cells(load(plain))


@cache
def _text(name: str) -> str:
    return TARGETS["pytorch"].text(_space(name))


def _module(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(_text(name), "exported.py", "exec"), names)
    return names


ALL = (*NAMES, *(f"whole {name}" for name in WHOLE))


def _same(architecture: Architecture, made: Any) -> None:
    """Raises if a network of the file does not compute what ours computes."""
    skeleton: Any = architecture.skeleton
    torch.manual_seed(0)
    if skeleton.reads == "text":
        model = LanguageModel(skeleton, architecture.cells)
        made.load_state_dict(weights_of(model))
        tokens, state = torch.randint(0, 9, (5, 2)), torch.randn(2, skeleton.width)
        logits, last = made(tokens, state)
        wanted = model.run(tokens, state, model.cell)
        torch.testing.assert_close(logits.flatten(0, 1), wanted.logits)
        torch.testing.assert_close(last, wanted.states[-1])
        return
    if skeleton.reads == "captions":
        captioner = CaptionModel(skeleton, architecture.cells).eval()
        made.eval().load_state_dict(captioner.state_dict())
        images = torch.randn(2, skeleton.in_channels, skeleton.resolution, skeleton.resolution)
        tokens = torch.tensor([[START, 5, 6], [START, 7, 4]])
        found = captioner(packed(images, tokens))
        torch.testing.assert_close(made(images, tokens), found)
        return
    if skeleton.reads == "sentences":
        cells: Any = architecture.cells
        network: Any = EncoderNetwork(skeleton, cells)
        inputs = torch.randint(0, skeleton.vocabulary, (3, skeleton.length))
    else:
        network = lived_in(architecture).double()
        made = made.double()
        shape = (3, skeleton.in_channels, skeleton.resolution, skeleton.resolution)
        inputs = torch.randn(shape, dtype=torch.float64)
    made.load_state_dict(network.state_dict(), strict=True)
    for mode in (True, False):
        with torch.no_grad():
            torch.testing.assert_close(made.train(mode)(inputs), network.train(mode)(inputs))


@pytest.mark.parametrize("name", ALL)
def test_a_network_of_the_file_computes_what_ours_computes(name: str) -> None:
    space, module = _space(name), _module(name)
    first = space.reference or module["DEFAULT"]
    drawn = [space.sample(random.Random(seed)) for seed in range(3)]
    for architecture in (space.architecture(first), *drawn):
        made = module["build"](architecture.choices)
        assert sum(each.numel() for each in made.parameters()) == architecture.cost.params
        _same(architecture, made)


@pytest.mark.parametrize("name", ALL)
def test_the_file_draws_what_we_draw_and_offers_what_the_space_offers(name: str) -> None:
    space, module = _space(name), _module(name)
    for seed in range(20):
        assert module["sample"](random.Random(seed)) == space.sample(random.Random(seed)).choices
    offered = {layer.shape.name: [*layer.by_id] for layer in space.layers}
    assert {layer: [*each] for layer, each in module["CHOICES"].items()} == offered
    assert space.architecture(module["DEFAULT"])


@pytest.mark.parametrize("name", ["binary@digits", "conv@resnet20"])
def test_cells_that_evolution_drew_are_in_the_file(name: str) -> None:
    space, rng = load(name), random.Random(3)
    family = FAMILIES[space.kind]
    prior = family.prior(space.operations)
    layers = [
        Layer(shape, tuple(Candidate(f"c{i}", family.random_cell(prior, rng)) for i in range(3)))
        for shape in space.skeleton.shapes
    ]
    learned = Space("learned", space.skeleton, space.operations, tuple(layers))
    module: dict[str, Any] = {"__name__": "exported"}
    exec(compile(TARGETS["pytorch"].text(learned), "exported.py", "exec"), module)
    for seed in range(3):
        architecture = learned.sample(random.Random(seed))
        made = module["build"](architecture.choices)
        assert sum(each.numel() for each in made.parameters()) == architecture.cost.params
        _same(architecture, made)


def test_files_import_pytorch_alone_and_please_ruff(tmp_path: Path) -> None:
    for index, name in enumerate(ALL):
        (tmp_path / f"space_{index}.py").write_text(_text(name), "utf-8")
        roots = {
            node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(ast.parse(_text(name)))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        own = {root.split(".")[0] for root in roots} - set(sys.stdlib_module_names)
        assert own == {"torch"}, name
    for rule in (["format", "--check"], ["check"]):
        command = [sys.executable, "-m", "ruff", *rule, "--isolated", "--no-cache", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["ofa@ofa-small", "nas-bert@bert-small", "enas-rnn@rnn-small"])
def test_a_file_is_a_program_that_says_what_it_builds(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    exec(compile(_text(name), "exported.py", "exec"), {"__name__": "__main__"})
    space = _space(name)
    params = space.architecture(space.reference).cost.params
    assert f"{params:,} params" in capsys.readouterr().out


def test_networks_can_have_other_classes() -> None:
    for name in ("darts@darts-small", "nasbench201@nasbench201", "ofa@ofa-small"):
        module = _module(name)
        made = module["build"](module["DEFAULT"], classes=7)
        assert made(torch.zeros(2, *module["IMAGE"])).shape == (2, 7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer_01": "nothing"}, r"layer_01: 'nothing' is not one of \["),
        ({"layer_09": "a"}, r"unknown layers: \['layer_09'\]"),
        ({"layer_01": None}, "layer_01: None is not one of"),
    ],
)
def test_a_file_says_what_is_wrong_with_an_architecture(
    changes: dict[str, str], message: str
) -> None:
    module = _module("binary@digits")
    with pytest.raises(ValueError, match=message):
        module["build"](module["DEFAULT"] | changes)


def test_a_file_refuses_what_stages_do_not_allow() -> None:
    module, space = _module("ofa@ofa-small"), _space("ofa@ofa-small")
    inner = next(each.shape.name for each in space.layers if "skip" in each.by_id)
    later = [layer for layers, _ in module["STAGES"] for layer in layers if inner in layers]
    assert later.index(inner) < len(later) - 1
    with pytest.raises(ValueError, match=f"{later[0]} to {later[-1]}: cells do not go together"):
        module["build"](module["DEFAULT"] | {inner: "skip"})
    sentences, bert = _module("nas-bert@bert-small"), _space("nas-bert@bert-small")
    first = bert.layers[0]
    own = first.by_id[bert.reference[first.shape.name]].cell
    other = next(each.id for each in first.candidates if each.cell.group != own.group)
    with pytest.raises(ValueError, match="cells do not go together"):
        sentences["build"]({**bert.reference, first.shape.name: other})


@pytest.mark.parametrize("name", ["binary@digits", "conv@resnet20"])
def test_a_stem_may_have_a_block(name: str) -> None:
    space = load(name)
    stem = replace(space.skeleton.stem, block=12)
    skeleton = replace(space.skeleton, stem=stem, preactivation=False)
    layers = tuple(
        replace(layer, shape=shape)
        for layer, shape in zip(space.layers, skeleton.shapes, strict=True)
    )
    widened = Space("widened", skeleton, space.operations, layers)
    module: dict[str, Any] = {"__name__": "exported"}
    exec(compile(TARGETS["pytorch"].text(widened), "exported.py", "exec"), module)
    architecture = widened.sample(random.Random(0))
    made = module["build"](architecture.choices)
    assert sum(each.numel() for each in made.parameters()) == architecture.cost.params
    _same(architecture, made)


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (2,)])
def test_fixed_blocks_stand_between_blocks_of_convolutions(strides: tuple[int, ...]) -> None:
    fixed = [LayerSpec(4 * stride, stride, fixed=True) for stride in strides]
    layers = (LayerSpec(4), *fixed, LayerSpec(fixed[-1].channels), LayerSpec(8, 2))
    skeleton = Skeleton("fixed", 3, 9, 5, Stem(4, 1), layers, 0, preactivation=True)
    space = family_space("conv", skeleton)
    architecture = space.sample(random.Random(2))
    builds = []
    for thing in (space, architecture):
        module: dict[str, Any] = {"__name__": "exported"}
        exec(compile(TARGETS["pytorch"].text(thing), "exported.py", "exec"), module)
        builds.append(module["build"])
    for made in (builds[0](architecture.choices), builds[1]()):
        assert sum(each.numel() for each in made.parameters()) == architecture.cost.params
        _same(architecture, made)
