"""Strings of NAS-Bench-201: every one is read, and written back as it was."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.exporters.targets import TARGETS
from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import Architecture, Candidate, SpaceError, load, load_skeleton
from tests.spaces.dense.nasbench201 import OPERATIONS, SPACE, architecture_of, whole
from tests.spaces.dense.test_shared_layers import SMALL


def _exported(architecture: Architecture) -> str:
    export = TARGETS["nasbench201"].architecture
    assert export is not None
    return export(architecture)


def string(names: tuple[str, ...]) -> str:
    a, b, c, d, e, f = names
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


@pytest.mark.slow
def test_all_15625_strings_are_read_and_written_back() -> None:
    for names in itertools.product(OPERATIONS, repeat=6):
        text = string(names)
        found = import_text("nasbench201", text, Target())
        assert isinstance(found, Architecture)
        assert tuple(found.choices.values()) == names
        assert _exported(found) == f"{text}\n"


def test_what_is_read_is_a_network_of_the_space() -> None:
    text = string(("nor_conv_3x3", *OPERATIONS))
    found = import_text("nasbench201", text, Target())
    assert isinstance(found, Architecture)
    same = architecture_of(text)
    assert (found.skeleton, found.cells, found.cost) == (same.skeleton, same.cells, same.cost)
    assert {each.origin.kind for each in found.candidates} == {"imported"}


def test_a_string_goes_into_every_layer_of_a_skeleton_of_whole_cells() -> None:
    found = import_text("nasbench201", string((*OPERATIONS[::-1], "none")), Target(SMALL))
    assert isinstance(found, Architecture)
    assert found.choices == {"layer_00": "nasbench201", "layer_02": "nasbench201"}
    assert _exported(found) == string((*OPERATIONS[::-1], "none")) + "\n"


@pytest.mark.parametrize(
    ("skeleton", "kind"),
    [("rnn-small", "recurrent"), ("autocaption", "recurrent"), ("bert-small", "nas-bert"),
     ("darts", "darts"), ("ofa-mbv3", "ofa")],
)  # fmt: skip
def test_a_skeleton_for_other_cells_is_refused(skeleton: str, kind: str) -> None:
    with pytest.raises(SpaceError, match=rf'"dense" at \w+; allowed here: {kind}$'):
        import_text(
            "nasbench201", string(OPERATIONS + OPERATIONS[:1]), Target(load_skeleton(skeleton))
        )


@given(st.text(max_size=80) | st.from_regex(r"\|[a-z_0-9]*~\d\|(\+\|([a-z_]*~\d\|)*){0,3}"))
def test_any_text_is_read_or_refused_in_a_line(text: str) -> None:
    message = ""
    try:
        import_text("nasbench201", text, Target())
    except SpaceError as error:
        message = str(error)
    assert message.isprintable()
    assert len(message) < 400


def test_cells_that_differ_have_no_string() -> None:
    first, second = whole(*["none"] * 6), whole(*["skip_connect"] * 6)
    differ = Architecture(SMALL, (Candidate("a", first), Candidate("b", second)))
    with pytest.raises(SpaceError, match=r"^layer_02: another cell than in the first layer"):
        _exported(differ)
    cell = whole(*["none"] * 3)
    small = Architecture(SMALL, (Candidate("a", cell), Candidate("b", cell)))
    with pytest.raises(SpaceError, match=r"^nodes: 3; allowed: 4$"):
        _exported(small)
    mobile = load("mbconv@digits")
    with pytest.raises(SpaceError, match=r'^kind: "mobile", which strings of NAS-Bench-201 do not'):
        _exported(mobile.architecture(mobile.reference))


def test_a_skeleton_of_other_cells_refuses_convolutions_and_names_the_one_that_takes_them() -> None:
    with pytest.raises(SpaceError, match=r"the skeleton nasbench201 holds all$"):
        import_text("nasbench201", string((*OPERATIONS, "none")), Target(load_skeleton("cifar")))


def test_the_space_is_the_one_that_is_built_in() -> None:
    assert load("nasbench201@nasbench201") == SPACE
