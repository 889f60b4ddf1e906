"""Both pictures hold the same network; strict readers see no name leave its label."""

from collections.abc import Callable

import networkx as nx
import pytest
from hypothesis import given, settings

from autospace.exporters import graphs
from autospace.spaces import Architecture, Candidate, Cell, Layer, Space, load
from autospace.spaces.cells.notation import edge_label
from autospace.spaces.space import by_fitness, layers_of
from autospace.spaces.text import visible
from tests.cli.samples import drawn_architecture, learned_space
from tests.exporters.flow_readers import Drawn, read_dot, read_mermaid
from tests.strategies import HOSTILE_NAMES, architectures, spaces

Value = Space | Architecture
MARKUP = ("`**md**`", "&amp; #35; #quot;", '"]) --> x', "\\N\\l\\", "%%{init}%%", '"; --- <b> #')


def _as_dot(value: Value) -> Drawn:
    made = graphs.space_to_dot if isinstance(value, Space) else graphs.architecture_to_dot
    return read_dot(made(value))  # type: ignore[arg-type]


def _as_mermaid(value: Value) -> Drawn:
    made = graphs.space_to_mermaid if isinstance(value, Space) else graphs.architecture_to_mermaid
    return read_mermaid(made(value))  # type: ignore[arg-type]


both = pytest.mark.parametrize("drawn_by", [_as_dot, _as_mermaid], ids=["dot", "mermaid"])


def _check(value: Value, drawn: Drawn) -> None:
    layers = layers_of(value)
    assert drawn.title == visible(value.name if isinstance(value, Space) else value.skeleton.name)
    assert list(drawn.groups) == [layer.shape.name for layer in layers]
    for layer in layers:
        best = by_fitness(layer.candidates)[0]
        nodes, name = drawn.groups[layer.shape.name], layer.shape.name
        assert drawn.nodes[nodes[0]][1].startswith(visible(best.id))
        cell = best.cell.pruned()
        expected = {
            (f"{name}_{edge.source}", f"{name}_{edge.target}", edge_label(edge, cell, layer.shape))
            for edge in cell.edges
        }
        inside = [link for link in drawn.links if {link[0], link[1]} <= set(nodes)]
        assert {link[:3] for link in inside if not link[3]} == expected
        shortcuts = [link[:2] for link in inside if link[3]]
        assert shortcuts == ([(nodes[0], nodes[-1])] if layer.shape.shortcut else [])


@both
@settings(max_examples=15)
@given(spaces())
def test_the_best_cell_of_every_layer_is_drawn(
    drawn_by: Callable[[Value], Drawn], space: Space
) -> None:
    _check(space, drawn_by(space))


@both
@settings(max_examples=15)
@given(architectures())
def test_an_architecture_is_drawn(
    drawn_by: Callable[[Value], Drawn], architecture: Architecture
) -> None:
    _check(architecture, drawn_by(architecture))


@both
@pytest.mark.parametrize("name", [*HOSTILE_NAMES, *MARKUP])
def test_no_name_leaves_its_label(drawn_by: Callable[[Value], Drawn], name: str) -> None:
    space = learned_space()
    renamed = tuple(
        Layer(layer.shape, (Candidate(name, layer.candidates[0].cell),)) for layer in space.layers
    )
    hostile = Space(name, space.skeleton, space.operations, renamed)
    drawn = drawn_by(hostile)
    _check(hostile, drawn)
    assert all(nodes[1] == name for node, nodes in drawn.nodes.items() if node.endswith("_0"))


@both
def test_stem_layers_and_head_form_one_way(drawn_by: Callable[[Value], Drawn]) -> None:
    drawn = drawn_by(learned_space())
    graph = nx.DiGraph(link[:2] for link in drawn.links)
    assert set(graph) == set(drawn.nodes)
    assert nx.is_directed_acyclic_graph(graph)
    starts = [node for node in graph if graph.in_degree(node) == 0]
    ends = [node for node in graph if graph.out_degree(node) == 0]
    assert (starts, ends) == (["stem"], ["head"])
    for name in drawn.groups:
        assert name not in graph
        assert all(
            nx.has_path(graph, "stem", node) and nx.has_path(graph, node, "head")
            for node in drawn.groups[name]
        )


def test_both_pictures_say_the_same() -> None:
    for value in (learned_space(), drawn_architecture()):
        assert _as_dot(value) == _as_mermaid(value)


def test_the_facts_of_a_layer_stand_in_its_first_node() -> None:
    space = learned_space()
    best = by_fitness(space.layers[0].candidates)[0]
    shape = "layer_00: 12x8x8 → 12x8x8"
    lines = _as_dot(space).nodes["layer_00_0"]
    assert lines[:2] == [shape, f"{best.id} (best of 9)"]
    assert lines[2].endswith(f"MAdds, fitness {best.fitness:+.3f}")
    assert _as_dot(drawn_architecture()).nodes["layer_00_0"][1].find("of") == -1


def test_a_layer_that_is_left_out_has_its_shortcut_only() -> None:
    zero = Cell.from_edges([], expansion=1)
    space = load("mbconv@digits")
    layer = next(each for each in space.layers if each.shape.shortcut)
    layers = tuple(
        Layer(each.shape, (Candidate("skip", zero),)) if each is layer else each
        for each in space.layers
    )
    drawn = _as_mermaid(Space("a", space.skeleton, space.operations, layers))
    nodes = drawn.groups[layer.shape.name]
    assert len(nodes) == 2
    assert [link for link in drawn.links if set(link[:2]) <= set(nodes)] == [
        (nodes[0], nodes[1], "shortcut", True)
    ]
