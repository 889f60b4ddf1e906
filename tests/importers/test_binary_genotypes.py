"""Genotypes of binary cells, which have the names of DARTS, as networks of the family `bats`."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.exporters.genotypes import darts_genotype as export_architecture
from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import Architecture, SpaceError, from_json, load, load_skeleton, to_json
from autospace.spaces.cells.bats import BATS_OPERATIONS, GROUPED, SEPARABLE, BatsCell
from tests.spaces.bats.genotypes import BATS, TINY, bats
from tests.spaces.bats.genotypes import separable as separable_network
from tests.spaces.darts.genotypes import DARTS_V2, network


def imported(
    text: str, format_: str = "bats-genotype", skeleton: str | None = None
) -> Architecture:
    target = Target(None if skeleton is None else load_skeleton(skeleton), note=lambda _: None)
    value = import_text(format_, text, target)
    assert isinstance(value, Architecture)
    return value


def test_the_published_cells_are_the_published_network_and_are_written_back() -> None:
    found = imported(f"BATS = {BATS}")
    assert found.skeleton == load_skeleton("bats")
    assert found.cells == bats("bats").cells
    # The authors' library counts 9,593,950, without the scale of each of 22,680 channels.
    assert found.cost.params == 9_593_950 + 22_680
    assert export_architecture(found) == f"{BATS}\n"
    assert from_json(to_json(found)) == found
    narrow = imported(BATS, skeleton="bats-c48")
    assert narrow.cost.params == bats("bats-c48").cost.params
    space = load("bats@bats")
    assert space.architecture(found.choices).cells == found.cells


def test_the_same_names_are_separable_convolutions_in_the_other_format() -> None:
    found = imported(BATS, "bnas-genotype", "bats-small")
    assert found.cells == separable_network("bats-small").cells
    assert export_architecture(found) == f"{BATS}\n"
    space = load("bnas@bats-small")
    assert space.architecture(found.choices).cells == found.cells


def test_on_a_binary_skeleton_a_genotype_of_darts_is_read_as_bats_and_that_is_said() -> None:
    said: list[str] = []
    found = import_text(
        "darts-genotype", BATS, Target(load_skeleton("bats-small"), note=said.append)
    )
    assert found == imported(BATS, skeleton="bats-small")
    assert len(said) == 1
    assert "grouped" in said[0]
    assert "bnas-genotype" in said[0]


@pytest.mark.parametrize("format_", ["darts-genotype", "bats-genotype", "bnas-genotype"])
def test_names_of_our_own_need_no_table(format_: str) -> None:
    text = BATS
    for name, own in GROUPED.items():
        text = text.replace(f"'{name}'", f"'{own}'")
    assert imported(text, format_, "bats-small").cells == bats("bats-small").cells
    assert imported(text, format_).skeleton.binary_groups == 12


def named(names: tuple[str, ...]) -> st.SearchStrategy[BatsCell]:
    edges = [
        st.tuples(st.sampled_from(names), st.integers(0, node - 1))
        for node in range(2, 6)
        for _ in range(2)
    ]
    return st.tuples(*edges).map(BatsCell.of)


@pytest.mark.parametrize(("format_", "table"), [("bats", GROUPED), ("bnas", SEPARABLE)])
def test_any_two_cells_are_read_back_as_they_were_written(format_: str, table: object) -> None:
    assert isinstance(table, dict)

    @given(named(tuple(table.values())), named(tuple(table.values())))
    @settings(max_examples=40)
    def check(one: BatsCell, other: BatsCell) -> None:
        architecture = network(one, other, TINY)
        found = import_text(f"{format_}-genotype", export_architecture(architecture), Target(TINY))
        assert isinstance(found, Architecture)
        assert found.cells == architecture.cells

    check()


def refused(text: str, format_: str, skeleton: str) -> tuple[str, Architecture | None]:
    """The message, or what was read."""
    try:
        return "", imported(text, format_, skeleton)
    except SpaceError as error:
        return str(error), None


FRAGMENTS = st.sampled_from(
    ["Genotype(", "normal=", "reduce=", "[", "]", "(", ")", "'sep_conv_3x3'", "'bin_conv_3x3'", ",",
     "0", "1", "range(2, 6)", "normal_concat=", "reduce_concat=", BATS, "'conv_7x1_1x7'", "'none'"]
)  # fmt: skip


@given(
    st.lists(FRAGMENTS, max_size=30).map("".join) | st.text(max_size=60),
    st.sampled_from(["bats-genotype", "bnas-genotype"]),
)
def test_any_text_is_read_or_refused_in_a_line(text: str, format_: str) -> None:
    message, _ = refused(text, format_, "bats")
    assert message.isprintable()
    assert len(message) < 400


@given(st.integers(0, len(BATS) - 1), st.characters() | st.just(""))
def test_a_genotype_with_one_other_character_is_read_or_refused(place: int, char: str) -> None:
    text = BATS[:place] + char + BATS[place + 1 :]
    message, found = refused(text, "bats-genotype", "bats-small")
    assert message.isprintable()
    if found is not None:
        again = imported(export_architecture(found), skeleton="bats-small")
        assert again.cells == found.cells


@pytest.mark.parametrize(
    ("text", "format_", "skeleton", "message"),
    [
        (BATS, "bats-genotype", "darts", 'skeleton: "darts" is for real cells, bats-genotype for'),
        (BATS, "bats-genotype", "cifar", 'skeleton: "cifar" is for real cells, bats-genotype for'),
        (
            BATS.replace("sep_conv_3x3", "conv_7x1_1x7"),
            "bats-genotype",
            "bats",
            "normal[6]: conv_7x1_1x7 is no operation of BATS; allowed: none, skip_connect, bin_",
        ),
        (
            BATS.replace("sep_conv_3x3", "sep_conv_7x7"),
            "bnas-genotype",
            "bats",
            "normal[6]: sep_conv_7x7 is no operation of BNAS; allowed: none",
        ),
        (
            BATS.replace("sep_conv_3x3", "bin_conv_3x3"),
            "darts-genotype",
            "darts",
            'skeleton: "darts" is for real cells',
        ),
        (DARTS_V2, "bats-genotype", "rnn-small", "skeleton"),
    ],
)
def test_what_is_wrong_is_named(text: str, format_: str, skeleton: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        imported(text, format_, skeleton)
    assert str(caught.value).startswith(message)
    # The formats have their words in common: another one is no advice.
    assert "looks like" not in str(caught.value)


def test_grouped_beside_separable_convolutions_have_no_names() -> None:
    cell = BatsCell.of([("bin_conv_3x3", 0), ("bin_sep_conv_3x3", 1)] * 4)
    with pytest.raises(SpaceError) as caught:
        export_architecture(network(cell, cell, TINY))
    assert str(caught.value) == (
        "edges: bin_conv_3x3 beside bin_sep_conv_3x3, which both have the names of DARTS there; "
        "allowed: grouped convolutions, or separable ones"
    )
    assert {"bin_conv_3x3", "bin_sep_conv_3x3"} <= set(BATS_OPERATIONS)
