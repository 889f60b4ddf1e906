import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.cli.display.drawing import draw_cell
from autospace.exporters.svg import cell_svg, layer_svg, network_svg
from autospace.exporters.targets import TARGETS
from autospace.spaces import Candidate, Cell, Layer, LayerShape, Space, load
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.bert import BertCell
from autospace.spaces.cells.notation import edge_label
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.space import by_fitness
from autospace.spaces.text import xml
from tests.cli.samples import DOWN, SAME, cells, drawn_architecture, full_cell, learned_space

NAME = "{http://www.w3.org/2000/svg}"


def _parsed(text: str) -> ET.Element:
    root = ET.fromstring(text)
    assert root.tag == f"{NAME}svg"
    assert root.get("role") == "img"
    assert [child.tag for child in root][:2] == [f"{NAME}title", f"{NAME}desc"]
    assert (root[0].text, root[1].text) != (None, None)
    return root


def _texts(root: ET.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{NAME}text")]


def _numbers(root: ET.Element) -> tuple[float, float]:
    _, _, width, height = map(float, (root.get("viewBox") or "").split())
    return width, height


@given(cells(), st.sampled_from([SAME, DOWN]))
def test_any_cell_has_a_picture_with_every_live_edge(cell: Cell, shape: LayerShape) -> None:
    root = _parsed(cell_svg(Candidate("a", cell, 0.25), shape))
    texts = _texts(root)
    live = [edge_label(edge, cell, shape) for edge in cell.pruned().edges]
    assert all(texts.count(label) == live.count(label) for label in set(live))
    assert "fitness +0.250" in texts


def test_dense_cells_stay_inside_the_picture() -> None:
    width, _ = _numbers(_parsed(cell_svg(Candidate("a", full_cell(8)), SAME)))
    assert width <= 720


def test_equal_values_give_equal_bytes() -> None:
    first, second = learned_space(), learned_space()
    assert network_svg(first, "a") == network_svg(second, "a")
    assert layer_svg(first.layers[1], "mbconv_k3") == layer_svg(second.layers[1], "mbconv_k3")


def test_a_network_names_every_layer_and_its_best_cell() -> None:
    space = learned_space()
    texts = _texts(_parsed(network_svg(space, space.name)))
    for layer in space.layers:
        assert layer.shape.name in texts
        best = by_fitness(layer.candidates)[0]
        assert f"{best.id}, fitness {best.fitness:+.3f}" in texts
    assert {"stem", "head", "best of 9"} <= set(texts)


def test_an_architecture_and_every_kind_of_stem_and_head_can_be_drawn() -> None:
    assert "1 of 1" not in _texts(_parsed(network_svg(drawn_architecture(), "net")))
    texts = _texts(_parsed(network_svg(load("mbconv@mobile"), "mobile")))
    assert "MBConv k3, 16 channels" in texts


def test_a_layer_shows_all_candidates_and_marks_the_reference() -> None:
    layer = learned_space().layers[2]
    texts = _texts(_parsed(layer_svg(layer, "mbconv_k3")))
    assert {candidate.id for candidate in layer.candidates} <= set(texts)
    assert texts.count("reference") == 1
    assert texts[texts.index("mbconv_k3") + 1] == "reference"


def test_the_fittest_come_first_and_the_unscored_last() -> None:
    cell = Cell.from_edges([(0, 3, "dw_conv_3x3")])
    found = [Candidate("a", cell), Candidate("b", cell, -1.0), Candidate("c", cell, 0.5)]
    assert [each.id for each in by_fitness(found)] == ["c", "b", "a"]


HOSTILE = '</title><script>alert("&1")</script>'


@pytest.mark.parametrize("name", [HOSTILE, "\x1b[31m\x00\ufffe\udcff\u202e", "]]><!--"])
def test_hostile_names_stay_text(name: str) -> None:
    text = network_svg(learned_space(), name)
    root = _parsed(text)
    assert {element.tag.removeprefix(NAME) for element in root.iter()} <= {
        *("svg", "title", "desc", "style", "rect", "g", "path", "text")
    }
    assert "<script" not in text
    assert re.search(r"[\x00-\x08\x0b-\x1f\u202e\ufffe]", text) is None
    text.encode("utf-8")


def test_hostile_ids_stay_text() -> None:
    space = learned_space()
    first = space.layers[0]
    renamed = replace(first.candidates[0], id=HOSTILE)
    layer = Layer(first.shape, (renamed, *first.candidates[1:]))
    assert "<script" not in layer_svg(layer, HOSTILE)
    assert "<script" not in cell_svg(renamed, first.shape)
    _parsed(layer_svg(layer, HOSTILE))


def test_nothing_is_loaded_from_elsewhere_and_both_themes_are_there() -> None:
    text = network_svg(learned_space(), "a")
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"href|url\(|@import|<image|<foreignObject", text)
    assert "prefers-color-scheme:dark" in text


def test_no_text_leaves_its_card() -> None:
    # A character of these fonts is at most about 0.62 em wide.
    for space in (learned_space(), load("mnasnet@mobile")):
        _assert_texts_fit(space)


def _assert_texts_fit(space: Space) -> None:
    root = _parsed(network_svg(space, space.name))
    for group in root.iter(f"{NAME}g"):
        frame = group.find(f"{NAME}rect[@class='as-card']")
        if frame is None:
            continue
        for element in group.findall(f"{NAME}text"):
            size, length = float(element.get("font-size", "0")), len(element.text or "")
            assert length * size * 0.58 <= float(frame.get("width", "0")), element.text


def test_xml_escapes_what_xml_forbids() -> None:
    assert xml('<a b="c">&\x00') == "&lt;a b=&quot;c&quot;&gt;&amp;\\x00"


@pytest.mark.parametrize("name", ["binary@digits", "bats@bats-small"])
def test_pictures_of_binary_cells_name_their_ops(name: str) -> None:
    space = load(name)
    architecture = space.sample(random.Random(0))
    for value in (space, architecture):
        for target in ("svg", "dot", "mermaid"):
            text = TARGETS[target].text(value)
            assert " OPs" in text
            assert "MAdds" not in text


def test_hidden_sizes_are_in_every_picture_of_a_layer_for_sentences() -> None:
    cell: Any = BertCell("feed_forward", 32)
    space = load("nas-bert@bert-small")
    shape = space.skeleton.shapes[0]
    label = "input, hidden size 32"
    assert f"0 · {label}" in _texts(_parsed(cell_svg(Candidate("a", cell), shape)))
    assert label in draw_cell(cell, shape)
    architecture = space.architecture(space.reference)
    for target in ("dot", "mermaid"):
        export = TARGETS[target].architecture
        assert export is not None
        assert "hidden size 32" in export(architecture)


def _ends(element: ET.Element, shift: float = 0.0) -> Iterator[tuple[float, float]]:
    """Left and right of every box in a picture, moved as its groups are."""
    moved = re.match(r"translate\(([\d.]+) ", element.get("transform") or "")
    shift += float(moved[1]) if moved else 0.0
    if element.tag == f"{NAME}rect":
        left = shift + float(element.get("x") or 0)
        yield left, left + float(element.get("width") or 0)
    for child in element:
        yield from _ends(child, shift)


@pytest.mark.parametrize("links", [(0,), (0, 1, 2, 3, 4, 5)])
def test_what_the_root_of_a_decoder_reads_is_above_it_and_in_the_picture(
    links: tuple[int, ...],
) -> None:
    cell: Any = RecurrentCell.of([(0, "relu")], links=links)
    skeleton = CaptionSkeleton.of("tiny", 9, 4, 1, depth=6, resolution=8, encoder=(4,))
    shape = skeleton.undivided.shapes[-1]
    root = _parsed(cell_svg(Candidate("a", cell), shape))
    words = ", ".join(f"layer {link}" if link else "token" for link in links)
    assert words in _texts(root)
    width, _ = _numbers(root)
    ends = [*_ends(root)]
    assert len(ends) >= 5
    assert all(0 <= left < right <= width for left, right in ends)
    plain: Any = RecurrentCell.of([(0, "relu")])
    assert words not in cell_svg(Candidate("a", plain), shape)
