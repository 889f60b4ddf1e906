"""Arcs of ENAS and recurrent genotypes of DARTS are read as their authors mean them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import Architecture, SpaceError, load_skeleton

PUBLISHED = "0 2 1 0 2 1 2 2 4 0 5 0 3 2 6 2"
OLD = "0 0 0 1 1 2 1 2 0 2 0 5 1 1 0 6 1 8 1 8 1 8 1"
GENOTYPE = (
    "DARTS = Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('relu', 1), ('identity', 1), "
    "('tanh', 2), ('sigmoid', 5), ('tanh', 3), ('relu', 5)], concat=range(1, 9))"
)


def _read(name: str, text: str) -> tuple[Architecture, list[str]]:
    notes: list[str] = []
    found = import_text(name, text, Target(note=notes.append))
    assert isinstance(found, Architecture)
    return found, notes


def test_the_published_arc_of_enas() -> None:
    found, notes = _read("enas-arc", PUBLISHED)
    cell: Any = found.cells[0]
    functions = ["sigmoid", "tanh", "relu", "sigmoid", "tanh", "tanh", "sigmoid", "sigmoid"]
    assert cell.pairs == tuple(zip([0, 1, 2, 2, 4, 5, 3, 6], functions, strict=True))
    assert (cell.functions[0], found.cost.params, notes) == ("tanh", 20_800_000, [])
    assert _read("enas-arc", f"[{PUBLISHED.replace(' ', ', ')}]\n")[0] == found


def test_an_arc_of_the_older_code_begins_with_the_root() -> None:
    found, notes = _read("enas-arc", OLD)
    cell: Any = found.cells[0]
    # Its functions are tanh, relu, identity, sigmoid.
    assert cell.functions[:4] == ("tanh", "tanh", "relu", "identity")[:1] + cell.functions[1:4]
    numbers = list(map(int, OLD.split()))
    names = ("tanh", "relu", "identity", "sigmoid")
    assert cell.functions == tuple(names[each] for each in numbers[::2])
    assert cell.sources[1:] == tuple(numbers[1::2])
    assert found.cost.params == 22_027_104
    assert len(notes) == 1


def test_a_genotype_of_darts() -> None:
    found, _ = _read("darts-recurrent", GENOTYPE)
    cell: Any = found.cells[0]
    assert cell.sources == (None, 0, 1, 1, 1, 2, 5, 3, 5)
    assert cell.functions[1:4] == ("sigmoid", "relu", "relu")
    assert found.cost.params == 22_960_000


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("enas-arc", "0 2 2 0", "node 2 reads node 2; allowed: 0 to 1"),
        ("enas-arc", "0 4", "function 4; allowed: 0 to 3"),
        ("enas-arc", "0", "1 numbers; allowed"),
        ("enas-arc", "0 -1", "allowed: an arc"),
        ("enas-arc", "__import__('os')", "allowed: an arc"),
        ("enas-arc", "0 1 " * 40, "80 numbers"),
        ("darts-recurrent", "Genotype(recurrent=[('sine', 0)], concat=[1])", "unknown function"),
        ("darts-recurrent", "Genotype(recurrent=[('tanh', 1)], concat=[1])", "from 1; allowed"),
        ("darts-recurrent", "Genotype(recurrent=[('tanh', 0)], concat=[2])", "all nodes"),
        ("darts-recurrent", "Genotype(normal=[])", "missing key"),
        ("darts-recurrent", "Genotype(recurrent=exit(), concat=[1])", "unknown value"),
    ],
)
def test_what_is_wrong_is_named(name: str, text: str, problem: str) -> None:
    with pytest.raises(SpaceError, match=problem) as found:
        _read(name, text)
    assert "\n" not in str(found.value)


def test_a_skeleton_for_images_is_refused() -> None:
    target = Target(skeleton=load_skeleton("digits"))
    with pytest.raises(SpaceError, match="reads images"):
        import_text("enas-arc", PUBLISHED, target)


@given(st.text(max_size=60))
def test_any_text_is_an_arc_or_one_line(text: str) -> None:
    for name in ("enas-arc", "darts-recurrent"):
        try:
            _read(name, text)
        except SpaceError as error:
            problem = str(error)
        else:
            problem = ""
        assert "\n" not in problem
