"""Genotypes of DARTS and its kin as networks of the family `darts`, and back."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.exporters.genotypes import darts_genotype as export_architecture
from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.spaces import (
    Architecture,
    Candidate,
    LayerSpec,
    SpaceError,
    from_json,
    load,
    load_skeleton,
    to_json,
)
from autospace.spaces.cells.darts_cell import DartsCell
from tests.spaces.darts.genotypes import DARTS_V2, TINY, V2_NORMAL, V2_REDUCE, network, written
from tests.spaces.darts.test_darts_cells import cells


def imported(text: str, target: Target | None = None) -> Architecture:
    value = import_text("darts-genotype", text, target or Target())
    assert isinstance(value, Architecture)
    return value


# As their authors published them: the file of DARTS has lists of nodes, logs have ranges.
PC_DARTS = """PC_DARTS_cifar = Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0),
  ('sep_conv_3x3', 0), ('dil_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 1),
  ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)], normal_concat=range(2, 6),
  reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2),
  ('sep_conv_3x3', 0), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)],
  reduce_concat=range(2, 6))"""
PDARTS = """PDARTS = Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0),
  ('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3',0),
  ('dil_conv_5x5', 4)], normal_concat=range(2, 6), reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1),
  ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), ('dil_conv_3x3', 1),
  ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))"""
MDENAS = """Genotype(normal=[[('sep_conv_5x5', 1), ('sep_conv_3x3', 0)],
  [('skip_connect', 0), ('sep_conv_5x5', 1)], [('sep_conv_5x5', 3), ('sep_conv_3x3', 1)],
  [('dil_conv_5x5', 3), ('max_pool_3x3', 4)]], normal_concat=[2, 3, 4, 5],
  reduce=[[('max_pool_3x3', 0), ('sep_conv_5x5', 1)], [('skip_connect', 0), ('skip_connect', 1)],
  [('sep_conv_3x3', 3), ('skip_connect', 2)], [('dil_conv_3x3', 3), ('sep_conv_5x5', 0)]],
  reduce_concat=[2, 3, 4, 5])"""
NASNET = """NASNet = Genotype(
  normal = [
    ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 0), ('sep_conv_3x3', 0),
    ('avg_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), ('avg_pool_3x3', 0),
    ('sep_conv_3x3', 1), ('skip_connect', 1),
  ],
  normal_concat = [2, 3, 4, 5, 6],
  reduce = [
    ('sep_conv_5x5', 1), ('sep_conv_7x7', 0), ('max_pool_3x3', 1), ('sep_conv_7x7', 0),
    ('avg_pool_3x3', 1), ('sep_conv_5x5', 0), ('skip_connect', 3), ('avg_pool_3x3', 2),
    ('sep_conv_3x3', 2), ('max_pool_3x3', 1),
  ],
  reduce_concat = [4, 5, 6],
)"""


def test_darts_v2_is_the_published_network_and_is_written_back() -> None:
    found = imported(f"DARTS_V2 = {DARTS_V2}")
    assert found.cost.params == 3_349_342
    assert export_architecture(found) == f"{DARTS_V2}\n"
    big = imported(DARTS_V2, Target(load_skeleton("darts-imagenet")))
    assert big.cost.params == 4_718_752
    assert from_json(to_json(found)) == found


def test_its_nodes_have_the_ids_of_the_space() -> None:
    found, space = imported(DARTS_V2), load("darts@darts")
    again = space.architecture(found.choices)
    assert again.keys == found.keys
    assert again.cost == found.cost


def test_a_genotype_in_a_log_or_with_nodes_in_pairs_is_the_same() -> None:
    log = f"2019-05-01 12:00:01 INFO genotype = {DARTS_V2}"
    assert imported(log, Target(note=lambda _: None)) == imported(DARTS_V2)
    nested = DARTS_V2
    for pairs in (V2_NORMAL, V2_REDUCE):
        nodes = [(pairs[i], pairs[i + 1]) for i in range(0, 8, 2)]
        nested = nested.replace(str(list(pairs)), str(nodes))
    nested = re.sub(r"\)$", ", connectN=None, connects=None)", nested)
    assert imported(nested) == imported(DARTS_V2)


def test_networks_of_others_have_the_params_that_were_published() -> None:
    # PC-DARTS (Xu et al., ICLR 2020): 3.6M; counted by others: 3.63M, and MDENAS 599M and 3.78M.
    assert round(imported(PC_DARTS).cost.params / 1e6, 2) == 3.63
    other = imported(MDENAS).cost
    assert (round(other.params / 1e6, 2), round(other.madds / 1e6)) == (3.78, 599)
    # P-DARTS (Chen et al., ICCV 2019): 3.4M.
    assert round(imported(PDARTS).cost.params / 1e6, 1) == 3.4
    text = export_architecture(imported(PC_DARTS))
    assert " ".join(PC_DARTS.split("= ", 1)[1].split()) == text.strip()


def test_cells_that_hold_other_numbers_of_nodes_are_other_widths() -> None:
    with pytest.raises(SpaceError, match=r"^reduce_concat: 3 nodes, but normal_concat has 5; allo"):
        imported(NASNET)
    same = NASNET.replace("[4, 5, 6]", "[2, 3, 4, 5, 6]")
    found = imported(same)
    assert found.skeleton.concat == found.skeleton.nodes == 5
    some = NASNET.replace("[2, 3, 4, 5, 6]", "[6, 4, 5]")
    part = imported(some)
    assert (part.skeleton.concat, part.skeleton.nodes) == (3, None)
    assert export_architecture(part).count("_concat=[6, 4, 5]") == 1


@given(cells(), cells())
def test_any_two_cells_are_read_back_as_they_were_written(one: DartsCell, other: DartsCell) -> None:
    count = min(len(one.concat), len(other.concat))
    normal, reduce = (DartsCell(4, each.chosen, each.concat[:count]) for each in (one, other))
    skeleton = replace(TINY, concat=count)
    text = export_architecture(network(normal, reduce, skeleton))
    again = imported(text, Target(skeleton))
    assert again.cells == network(normal, reduce, skeleton).cells
    assert export_architecture(again) == text
    usual = imported(text, Target(note=lambda _: None))
    assert export_architecture(usual) == text


FRAGMENTS = st.sampled_from(
    ["Genotype(", "normal=", "reduce=", "normal_concat=", "reduce_concat=", "range(2, 6)", "[", "]",
     "(", ")", ", ", "('sep_conv_3x3', 0)", "('none', 1)", "('x', 9)", "2", "None", "connects=",
     "lambda: 0", "__import__('os')", "'", "#", "\n", "9" * 50]
)  # fmt: skip


def refused(text: str) -> str:
    """The message of a text that is refused; empty if it is read."""
    try:
        found = imported(text, Target(note=lambda _: None))
    except SpaceError as error:
        return str(error)
    assert imported(export_architecture(found), Target(note=lambda _: None)) == found
    return ""


@given(st.lists(FRAGMENTS, max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_is_read_or_refused_in_a_line(text: str) -> None:
    message = refused(text)
    assert not message or message.isprintable()
    assert len(message) < 400


@given(st.integers(0, len(DARTS_V2) - 1), st.characters() | st.just(""))
def test_a_genotype_with_one_other_character_is_read_or_refused(place: int, char: str) -> None:
    message = refused(DARTS_V2[:place] + char + DARTS_V2[place + 1 :])
    assert not message or message.isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DARTS_V2.replace("max_pool_3x3", "conv_3x3"), "reduce[0]: conv_3x3 is no operation of"),
        (DARTS_V2.replace("dil_conv_3x3", "dil_conv_3x4"), 'normal[7]: unknown operation "dil_con'),
        (DARTS_V2.replace("('skip_connect', 0)", "('skip_connect', 4)"), "normal[5]: from 4; allo"),
        (DARTS_V2.replace("range(2, 6)", "range(2, 7)"), "normal_concat: a list; allowed: nodes 2"),
        (DARTS_V2.replace("range(2, 6)", "[]"), "normal_concat: an empty list; allowed: nodes 2"),
        (DARTS_V2[:-1] + ", connects=[1])", 'connects: unknown key; allowed: normal, normal_con'),
        (DARTS_V2.replace("normal=", "normal=[], normal=", 1), "normal: is there twice; allowed"),
        ("Genotype(recurrent=[('tanh', 0)], concat=range(1, 9))", "normal: missing key"),
        (f"A = {DARTS_V2}\nB = {DARTS_V2}", "holds 2 of Genotype: A (line 1) and B (line 2); lea"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        imported(text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("skeleton", "ends", "message"),
    [
        ("darts", "[2, 3, 5]", "normal_concat: 4 nodes, of which 2 3 5 are concatenated; allowed"),
        ("darts", "[3, 2, 4, 5]", "normal_concat: 4 nodes, of which 3 2 4 5 are concatenated; al"),
        ("nasbench201", "range(2, 6)", "normal_concat: 4 nodes are concatenated, but cells here"),
        ("cifar", "range(2, 6)", "normal_concat: 4 nodes are concatenated, but cells here add"),
    ],
)
def test_a_skeleton_that_does_not_hold_the_cells_is_named(
    skeleton: str, ends: str, message: str
) -> None:
    with pytest.raises(SpaceError) as caught:
        imported(written(V2_NORMAL, V2_REDUCE, ends), Target(load_skeleton(skeleton)))
    assert str(caught.value).startswith(message)


def test_what_a_genotype_cannot_hold_is_named() -> None:
    with pytest.raises(SpaceError, match=r'^kind: "mobile", which genotypes of DARTS do not supp'):
        export_architecture(load("mbconv@digits").architecture(load("mbconv@digits").reference))
    one: Any = DartsCell.of(V2_NORMAL)
    two: Any = DartsCell.of(V2_REDUCE)
    own = replace(TINY, ties=(), layers=TINY.layers[:3])
    mixed: Any = [Candidate("a", cell) for cell in (one, one, two)]
    with pytest.raises(SpaceError, match=r"^layer_02: another cell than in the first layer of st"):
        export_architecture(Architecture(own, tuple(mixed)))
    flat = replace(own, layers=(LayerSpec(4), LayerSpec(4)))
    with pytest.raises(SpaceError, match=r"^reduce: no layer of stride 2; allowed: layers of bot"):
        export_architecture(Architecture(flat, tuple(mixed[:2])))
