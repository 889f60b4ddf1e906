"""The public face of autospace.spaces: complete, typed, and loaded by name."""

import ast
import importlib
import subprocess
import sys

import pytest

from autospace import spaces
from tests.docs.pages import ROOT

TREE = ast.parse((ROOT / "spaces" / "__init__.py").read_text("utf-8"))


def _typed() -> dict[str, str]:
    """Name -> home, as type checkers see it."""
    imports = [node for node in ast.walk(TREE) if isinstance(node, ast.ImportFrom)]
    return {
        alias.name: str(node.module).removeprefix("autospace.spaces.")
        for node in imports
        if str(node.module).startswith("autospace.spaces.")
        for alias in node.names
    }


def test_type_checkers_see_what_is_loaded() -> None:
    assert _typed() == spaces._HOMES
    assert sorted(spaces.__all__) == sorted(spaces._HOMES)


@pytest.mark.parametrize("name", sorted(spaces.__all__))
def test_every_name_is_that_of_its_home(name: str) -> None:
    home = importlib.import_module(f"autospace.spaces.{spaces._HOMES[name]}")
    assert getattr(spaces, name) is getattr(home, name)
    assert name in dir(spaces)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(
        AttributeError, match=r"module 'autospace\.spaces' has no attribute 'Spice'"
    ):
        _ = spaces.Spice


def test_the_face_alone_loads_nothing_else() -> None:
    code = "import sys, autospace.spaces; print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
