"""The table of targets is whole: it names what the modules offer, and they do what it says."""

import importlib
import json
import pkgutil
import random

import pytest
from hypothesis import given, settings

from autospace import exporters
from autospace.exporters.json_clients import to_flat as export_architecture
from autospace.exporters.targets import TARGETS
from autospace.spaces import Architecture, Space, SpaceError, from_json, load, to_json
from tests.cli.samples import learned_space
from tests.strategies import architectures

OFFERED = {
    getattr(module, name)
    for info in pkgutil.iter_modules(exporters.__path__)
    for module in [importlib.import_module(f"autospace.exporters.{info.name}")]
    for name in ("export_space", "export_architecture")
    if hasattr(module, name)
}


def test_every_exporter_is_a_target() -> None:
    wired = {made for each in TARGETS.values() for made in (each.space, each.architecture) if made}
    assert wired >= OFFERED


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_says_what_it_takes(name: str) -> None:
    target = TARGETS[name]
    made = {"space": target.space, "architecture": target.architecture}
    given = {what for what, function in made.items() if function is not None}
    assert target.deployed or given == ({"space", "architecture"} & {target.takes} or set(made))
    assert target.deployed == (not given)
    assert target.suffix.startswith(".")
    assert target.purpose


def _space(name: str) -> Space:
    """A space that the format can express."""
    if name == "timm-arch":
        return load("reference@mobilenetv2")
    limited = ("autospace-iccv2021", "proxylessnas")
    if name == "nasbench201":
        return load("nasbench201@nasbench201")
    if name == "darts-genotype":
        return load("darts@darts-small")
    return load("reference@digits") if name in limited else learned_space()


@pytest.mark.parametrize("name", [name for name, each in TARGETS.items() if each.space])
def test_equal_spaces_give_equal_text(name: str) -> None:
    made, space = TARGETS[name].space, _space(name)
    again = from_json(to_json(space))
    assert made is not None
    assert isinstance(again, Space)
    assert made(space) == made(again)
    assert made(space).endswith("\n")


@pytest.mark.parametrize("name", [name for name, each in TARGETS.items() if each.architecture])
def test_equal_architectures_give_equal_text(name: str) -> None:
    made, architecture = TARGETS[name].architecture, _space(name).sample(random.Random(0))
    again = from_json(to_json(architecture))
    assert made is not None
    assert isinstance(again, Architecture)
    assert made(architecture) == made(again)
    assert made(again).endswith("\n")


@settings(max_examples=25)
@given(architectures())
def test_choices_are_the_flat_form(architecture: Architecture) -> None:
    text = export_architecture(architecture)
    assert json.loads(text) == architecture.choices
    assert list(json.loads(text)) == list(architecture.choices)


@pytest.mark.parametrize(
    "name", ["enas-rnn@rnn-small", "autocaption@captions-small", "nas-bert@bert-small"]
)
def test_what_a_refusal_names_instead_is_possible(name: str) -> None:
    """It names tuners only for spaces that they can hold, and not the words of an old table."""
    space = load(name)
    with pytest.raises(SpaceError) as caught:
        TARGETS["timm"].text(space.sample(random.Random(0)))
    said = str(caught.value)
    assert "all commands but profile" in said
    holds = True
    try:
        TARGETS["optuna"].text(space)
    except SpaceError:
        holds = False
    assert ("tuners" in said) == holds
