"""NAS-Bench-201 strings and DARTS genotypes: graphs without convolutions, computed side by side."""

import itertools
import random
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from autospace.importers.formats import import_text
from autospace.importers.target import Target
from autospace.networks.cells import CellModule
from autospace.spaces import (
    Architecture,
    Cell,
    LayerShape,
    LayerSpec,
    Skeleton,
    SpaceError,
    Stem,
    load_skeleton,
)

FLAT = Skeleton("flat", 3, 8, 10, Stem(4, 1), (LayerSpec(4), LayerSpec(4)))
DOWN = Skeleton("down", 3, 8, 10, Stem(4, 1), (LayerSpec(4), LayerSpec(8, 2)))


def imported(name: str, text: str, skeleton: Skeleton = FLAT) -> Architecture:
    value = import_text(name, text, Target(skeleton))
    assert isinstance(value, Architecture)
    return value


def applied(operation: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """The operations of both papers without weights, padding not averaged."""
    if operation == "none":
        return torch.zeros_like(x)
    if operation == "skip_connect":
        return x
    if operation == "avg_pool_3x3":
        return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
    return F.max_pool2d(x, 3, stride, 1)


def graph_output(cell: Cell, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
    """What our cell holds before its projection, by the module that training uses."""
    module = CellModule(cell, LayerShape("layer_00", x.shape[1], 4, stride, x.shape[2])).eval()
    if cell.is_zero:
        return torch.zeros_like(x)
    return module.features(x)


def nasbench201(operations: list[str]) -> tuple[str, Any]:
    """A string, and the function that it stands for."""
    parts, index = [], 0
    for node in range(1, 4):
        edges = [f"{operations[index + source]}~{source}" for source in range(node)]
        parts.append("|" + "|".join(edges) + "|")
        index += node

    def function(x: torch.Tensor) -> torch.Tensor:
        nodes, rest = [x], iter(operations)
        for _ in range(3):
            nodes.append(sum((applied(next(rest), each) for each in nodes), torch.zeros_like(x)))
        return nodes[-1]

    return "+".join(parts), function


def test_all_729_strings_without_convolutions_compute_what_they_say() -> None:
    x = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    expressible = ("none", "skip_connect", "avg_pool_3x3")
    for operations in itertools.product(expressible, repeat=6):
        text, function = nasbench201(list(operations))
        cell = imported("nasbench201", text).cells[0]
        torch.testing.assert_close(graph_output(cell, x), function(x))


def test_a_string_goes_into_every_layer() -> None:
    text, _ = nasbench201(["skip_connect"] * 6)
    found = imported("nasbench201", f'"{text}"\n', load_skeleton("cifar"))
    assert len(set(found.cells)) == 1
    assert set(found.choices.values()) == {"nasbench201"}
    assert import_text("nasbench201", text, Target(load_skeleton("cifar"))) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("|none~0|", '"|none~0|"; allowed: 3 nodes such as |avg_pool_3x3~0|+|none~0|'),
        ("|a~0|+|b~0|+|c~0|", 'edge 0>1: unknown operation "a"; allowed: none, skip_connect, avg'),
        ("|none~0|+|none~0|+|none~0|", 'node 2: "|none~0|"; allowed: 2 edges, each |operation~'),
        ("|none~1|+|none~0|none~1|+|none~0|none~1|none~2|", 'edge 0>1: "none~1"; allowed: oper'),
        (
            "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|",
            "edge 1>2: nor_conv_3x3 is a dense convolution, but operations here are depthwise; "
            "allowed: none, skip_connect, avg_pool_3x3",
        ),
    ],
)
def test_a_wrong_string_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        imported("nasbench201", text)
    assert str(caught.value).startswith(message)


def test_a_string_without_a_path_fits_only_where_there_are_shortcuts() -> None:
    text, _ = nasbench201(["none"] * 6)
    assert set(imported("nasbench201", text).choices.values()) == {"skip"}
    with pytest.raises(SpaceError, match=r"^layers\[1\]\.candidate\.edges: no path from input"):
        imported("nasbench201", text, DOWN)


def genotype(normal: list[tuple[str, int]], end: int, reduce: str = "max_pool_3x3") -> str:
    reduced = [(reduce, 1), ("none", 0)]
    return (
        f"Genotype(normal={normal}, normal_concat=[{end}], "
        f"reduce={reduced}, reduce_concat=range(2, 3))"
    )


def test_a_genotype_of_identities_and_pools_computes_what_it_says() -> None:
    rng = random.Random(0)
    x = torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    for _ in range(40):
        normal, names = [], ("none", "skip_connect", "avg_pool_3x3", "max_pool_3x3")
        for node in range(2, 6):
            sources = rng.sample(range(1, node), min(2, node - 1))
            picked = [(rng.choice(names), source) for source in sources]
            normal.extend([*picked, ("none", 0)][:2])
        end = rng.randint(2, 5)
        nodes = {1: x}
        for node in range(2, 6):
            pairs = normal[2 * (node - 2) : 2 * (node - 1)]
            nodes[node] = sum(
                (applied(name, nodes.get(source, x)) for name, source in pairs),
                torch.zeros_like(x),
            )
        cell = imported("darts-genotype", genotype(normal, end)).cells[0]
        torch.testing.assert_close(graph_output(cell, x), nodes[end])


def test_a_reduction_cell_of_one_pool_computes_what_it_says() -> None:
    normal = [("skip_connect", 1), ("none", 0)]
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    found = imported("darts-genotype", "genotype = " + genotype(normal, 2), DOWN)
    expected = applied("max_pool_3x3", x, 2)
    torch.testing.assert_close(graph_output(found.cells[1], x, 2), expected)


SEP = [("sep_conv_3x3", 1), ("skip_connect", 0)] * 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"Genotype(normal={SEP}, normal_concat=range(2, 6), reduce={SEP}, reduce_concat=[5])",
            "normal_concat: 4 nodes are concatenated, but cells here add them (and 8 other parts)",
        ),
        (genotype(SEP[:2], 2), "normal[0]: sep_conv_3x3 has a dense 1x1 convolution"),
        (genotype([("conv_3x3", 1), ("none", 0)], 2), "normal[0]: conv_3x3 is dense"),
        (
            genotype([("skip_connect", 1), ("skip_connect", 0)], 2),
            "normal[1]: starts at the cell before the previous one, but cells here have one input",
        ),
        (genotype([("skip_connect", 3), ("none", 0)], 2), "normal[0]: from 3; allowed: 0 to 1"),
        (genotype([("jump", 1), ("none", 0)], 2), 'normal[0]: unknown operation "jump"; allowed'),
        (genotype([("none", 1), ("none", 0)], 3), "normal_concat: a list; allowed: nodes 2 to 2"),
        (genotype([("none", 1)], 2), "normal: a list; allowed: two pairs (operation, from) per"),
        ("Genotype(normal=[], normal_concat=[2])", "reduce: missing key"),
        ("Genotype(1)", '"Genotype(1)"; allowed: Genotype(key=value, ...)'),
        ("normal = [1]", '"normal = [1]"; allowed: Genotype(key=value, ...)'),
        (
            "Genotype(normal=__import__('os'))",
            "normal: unknown value; allowed: a number, string, list",
        ),
        ("Genotype(normal=(lambda: 1)())", '":" is not part of any literal'),
        ("Genotype(normal=range(99999999999))", "normal: unknown value; allowed: a number, string"),
        ("Genotype(normal=" + "[" * 40, "nested deeper than 16 levels"),
        ("Genotype(" + "x" * 30_000, "30009 characters; allowed: up to 20000"),
        ("Genotype(normal=[1, ", "not a Python literal: "),
        ("", '""; allowed: Genotype(key=value, ...)'),
    ],
)
def test_what_a_cell_cannot_express_is_named(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        imported("darts-genotype", text)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("reduce", "end", "message"),
    [
        ("skip_connect", 2, "reduce[0]: skip_connect at stride 2 is a convolution in DARTS"),
        ("avg_pool_3x3", 2, ""),
    ],
)
def test_strides_have_to_sit_on_the_same_edges(reduce: str, end: int, message: str) -> None:
    text = genotype([("skip_connect", 1), ("none", 0)], end, reduce)
    if not message:
        assert imported("darts-genotype", text, DOWN).cells[1].edges[0].operation == reduce
        return
    with pytest.raises(SpaceError) as caught:
        imported("darts-genotype", text, DOWN)
    assert str(caught.value).startswith(message)


def test_a_strided_edge_to_an_inner_node_is_refused() -> None:
    deep = [("avg_pool_3x3", 1), ("none", 0), ("skip_connect", 2), ("none", 0)]
    normal = [("skip_connect", 1), ("none", 0)]
    text = f"Genotype(normal={normal}, normal_concat=[2], reduce={deep}, reduce_concat=[3])"
    with pytest.raises(SpaceError, match=r"^reduce\[0\]: DARTS has the stride on edges from the"):
        imported("darts-genotype", text, DOWN)


LONE = "Genotype(normal=[('max_pool_3x3', 1), ('none', 0)], normal_concat=[2], "
LONE += "reduce=[('max_pool_3x3', 1), ('none', 0)], reduce_concat=[2])"


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (f"# found on 3 March\n{LONE}  # 94.1 %\n", []),
        (f"BEST = {LONE}", []),
        (LONE.replace(", reduce", ",  # why: 'quoted (\n reduce"), []),
        (
            f"from collections import namedtuple\n\n2019-01-01 INFO genotype = {LONE}\nepoch 3",
            ["passed over: 3 lines around Genotype(...)"],
        ),
        (f"{LONE}\nepoch 3", ["passed over: 1 line around Genotype(...)"]),
    ],
)
def test_a_genotype_is_found_where_it_lies(text: str, notes: list[str]) -> None:
    heard: list[str] = []
    found = import_text("darts-genotype", text, Target(note=heard.append))
    assert found == import_text("darts-genotype", LONE, Target())
    assert heard == notes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"FIRST = {LONE}\nSECOND = {LONE}", "holds 2 of Genotype: FIRST (line 1) and SECOND (lin"),
        (f"{LONE}\n" * 9, "holds 9 of Genotype: line 1, line 2, line 3, line 4, ... and line 9;"),
        (
            LONE.replace("('none', 0)", "('skip_connect', 1)", 1),
            "normal[0] and normal[1]: both come from 1; cells here have one edge between two nodes",
        ),
    ],
)
def test_what_is_ambiguous_is_said_in_words_of_the_file(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        import_text("darts-genotype", text, Target(FLAT))
    assert str(caught.value).startswith(message)
