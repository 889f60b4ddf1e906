"""Generated Python: data as literals, code that no name can change, in a formatter's layout."""

import ast
import random
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.exporters import nni_python
from autospace.exporters.python_clients import literal
from autospace.exporters.targets import TARGETS
from autospace.spaces import Candidate, Cell, Layer, Space, SpaceError, load
from autospace.spaces.cost import fixed_cost
from tests.cli.samples import learned_space
from tests.strategies import HOSTILE_NAMES, names, spaces

TUNERS = ("nevergrad", "pymoo", "archai")
CLOSERS = ('"""', "'''", '"', "'", "\\", "#", "{x}", "\\N{DIGIT ONE}", "\\u0041")


def _text(target: str, space: Space) -> str:
    made = TARGETS[target].space
    assert made is not None
    return made(space)


def _assigned(tree: ast.Module) -> dict[str, Any]:
    """What the module assigns at its top level, as values."""
    found = {}
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found[name] = ast.literal_eval(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                found[name] = ast.literal_eval(value)
    return found


def _code(tree: ast.Module) -> str:
    """The module without its data."""
    kept = [each for each in tree.body if not isinstance(each, ast.Assign | ast.AnnAssign)]
    return ast.dump(ast.Module(kept, []))


@given(st.text() | st.lists(st.sampled_from(CLOSERS)).map("".join) | names())
def test_a_literal_is_the_text(text: str) -> None:
    assert ast.literal_eval(literal(text)) == text
    assert literal(text).isprintable()


@settings(max_examples=20)
@given(space=spaces())
def test_any_space_comes_back_from_the_literals(space: Space) -> None:
    expected = [
        (
            layer.shape.name,
            dict(zip(layer.by_id, (each.madds for each in layer.costs), strict=True)),
        )
        for layer in space.layers
    ]
    for target in TUNERS:
        found = _assigned(ast.parse(_text(target, space)))
        assert found["NAME"] == space.name
        assert found["FIXED_MADDS"] == fixed_cost(space.skeleton).madds
        assert list(found["MADDS"].items()) == expected
        assert [list(row) for row in found["MADDS"].values()] == [list(row) for _, row in expected]


class _Problem:
    """Stands for pymoo's class of problems."""

    def __init__(self, **_: Any) -> None:
        pass


def _ran(target: str, space: Space) -> dict[str, Any]:
    """The names of a module, run without its client."""
    tree = ast.parse(_text(target, space))
    tree.body = [each for each in tree.body if not isinstance(each, ast.Import | ast.ImportFrom)]
    stubs = ("NSGA2", "ChoiceParameterConfig", "ArchConfig", "ConfigSearchSpace", "Callable")
    names: dict[str, Any] = dict.fromkeys(stubs, Any)
    names |= {"Any": Any, "ElementwiseProblem": _Problem, "Choice": dict, "Callable": Callable}
    names |= {
        "nn": SimpleNamespace(Module=object),
        "ng": SimpleNamespace(p=SimpleNamespace(Dict=0)),
    }
    names["neps"] = SimpleNamespace(PipelineSpace=object, Categorical=dict)
    exec(compile(tree, "exported.py", "exec"), names)
    return names


@pytest.mark.parametrize("target", [*TUNERS, "syne-tune", "neps", "ax"])
@pytest.mark.parametrize("name", ["binary@digits", "bats@bats-small", "bnas@bats-small"])
def test_a_module_of_binary_cells_counts_ops_as_the_space_does(target: str, name: str) -> None:
    space, rng = load(name), random.Random(0)
    module = _ran(target, space)
    for architecture in [space.sample(rng) for _ in range(5)]:
        cost, choices = architecture.cost, architecture.choices
        assert cost.bops
        assert module["ops"](choices) == cost.ops
        assert (module["madds"](choices), module["bops"](choices)) == (cost.madds, cost.bops)


@pytest.mark.parametrize(("name", "unit"), [("binary@digits", "ops"), ("mbconv@digits", "madds")])
def test_pymoo_minimises_what_our_own_search_limits(name: str, unit: str) -> None:
    space = load(name)
    problem = _ran("pymoo", space)["LearnedSpace"](lambda _: 0.5)
    for architecture in [space.sample(random.Random(seed)) for seed in range(3)]:
        found: dict[str, Any] = {}
        problem._evaluate(architecture.choices, found)
        assert found["F"] == [0.5, getattr(architecture.cost, unit)]
    wrong, right = ("MAdds", "OPs") if unit == "ops" else ("OPs", "MAdds")
    doc = ast.get_docstring(ast.parse(_text("pymoo", space))) or ""
    assert right in doc
    assert wrong not in doc


@settings(max_examples=20)
@given(space=spaces())
def test_no_space_changes_the_code(space: Space) -> None:
    for target in TUNERS:
        plain = ast.parse(_text(target, learned_space()))
        assert _code(ast.parse(_text(target, space))) == _code(plain)


@settings(max_examples=20)
@given(space=spaces())
def test_the_cells_of_a_model_space_are_literals(space: Space) -> None:
    ids = [candidate.id for layer in space.layers for candidate in layer.candidates]
    if any("." in each or each in nni_python.RESERVED for each in ids):
        with pytest.raises(SpaceError, match="cannot name a module"):
            _text("nni-python", space)
        return
    tree = ast.parse(_text("nni-python", space))
    (layers,) = (
        each.value
        for each in tree.body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "LAYERS"
    )
    cells = [
        ast.literal_eval(each.args[0])
        for each in ast.walk(layers)
        if isinstance(each, ast.Call) and ast.unparse(each.func) == "Cell"
    ]
    assert cells == ids
    called = {ast.unparse(each.func) for each in ast.walk(layers) if isinstance(each, ast.Call)}
    assert called == {"Layer", "Cell"}


@pytest.mark.parametrize("identity", ["a.b", "names", "length"])
def test_an_id_that_torch_cannot_take_is_named(identity: str) -> None:
    space = learned_space()
    cell = Cell.from_edges([(0, 3, "dw_conv_3x3")])
    layers = (Layer(space.layers[0].shape, (Candidate(identity, cell),)), *space.layers[1:])
    with pytest.raises(SpaceError, match=rf'layers\[0\].candidates\[0\].id: "{identity}" cannot'):
        _text("nni-python", Space("a", space.skeleton, space.operations, layers))


def _hostile_space() -> Space:
    space, cell = learned_space(), Cell.from_edges([(0, 3, "dw_conv_3x3")])
    plain = [each for each in (*HOSTILE_NAMES, *CLOSERS, "長" * 60, "x" * 64) if "." not in each]
    candidates = tuple(Candidate(each, cell) for each in plain)
    layers = tuple(Layer(layer.shape, candidates) for layer in space.layers)
    return Space('"""; import os', space.skeleton, space.operations, layers)


@pytest.mark.parametrize("target", [*TUNERS, "nni-python"])
@pytest.mark.parametrize("space", [learned_space(), _hostile_space()], ids=["plain", "hostile"])
def test_a_formatter_and_a_linter_leave_it_as_it_is(target: str, space: Space) -> None:
    for arguments in (["format", "--check"], ["check", "--ignore", "E501"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--isolated", "--no-cache", "-"]
        done = subprocess.run(
            command, input=_text(target, space), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@settings(max_examples=10)
@given(space=spaces())
def test_a_formatter_leaves_any_space_as_it_is(space: Space) -> None:
    command = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", "--no-cache", "-"]
    for target in TUNERS:
        text = _text(target, space)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, text


def test_a_module_for_nni_of_another_family_is_refused_by_name() -> None:
    wanted = 'kind: "binary", which modules for nni.nas do not support; allowed: mobile'
    with pytest.raises(SpaceError, match=f"^{wanted}$"):
        _text("nni-python", load("binary@digits"))
