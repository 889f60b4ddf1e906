"""Random cells, mutation and crossover."""

import random
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autospace.spaces import Cell, mbconv
from autospace.spaces.cells.cell import EXPANSIONS, MIXES, edge_slots
from autospace.spaces.cells.variation import CellPrior, _with_window, crossover, mutate, random_cell
from tests.strategies import ALL_OPERATIONS, cells

NAMES = tuple(name for name in ALL_OPERATIONS if name != "none")


@st.composite
def priors(draw: st.DrawFn, nodes: int | None = None) -> CellPrior:
    size = nodes or draw(st.integers(2, 6))
    vocabulary = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    return CellPrior(
        tuple(vocabulary),
        nodes=size,
        none_probability=draw(st.sampled_from((0.0, 0.4, 0.9))),
        window=draw(st.integers(1, size - 1)),
    )


@st.composite
def cells_with_priors(draw: st.DrawFn, count: int = 1) -> tuple[CellPrior, list[Cell]]:
    prior = draw(priors())
    operations = ("none", *prior.operations)
    drawn = [
        draw(cells(nodes=prior.nodes, operations=operations, zero=False)) for _ in range(count)
    ]
    return prior, drawn


def _is_of(cell: Cell, prior: CellPrior) -> bool:
    return (
        cell == cell.pruned()
        and not cell.is_zero
        and cell.nodes == prior.nodes
        and set(cell.operations) <= {"none", *prior.operations}
        and set(cell.mix) <= set(prior.mixes)
        and cell.expansion in prior.expansions
    )


@given(priors(), st.integers())
def test_random_cells_are_pruned_have_a_path_and_are_of_the_prior(
    prior: CellPrior, seed: int
) -> None:
    assert _is_of(random_cell(prior, random.Random(seed)), prior)


def test_every_cell_of_a_small_prior_can_be_drawn() -> None:
    prior = CellPrior(("dw_conv_3x3",), nodes=3)
    rng = random.Random(0)
    found = {random_cell(prior, rng) for _ in range(12_000)}
    # 0->2 alone, 0->1->2 alone, or both; with their live mixes; times three expansions.
    assert len(found) == (3 + 9 + 9) * 3


@given(cells_with_priors(), st.integers())
def test_a_mutant_is_another_pruned_cell_with_a_path_within_the_prior(
    case: tuple[CellPrior, list[Cell]], seed: int
) -> None:
    prior, (parent,) = case
    before = replace(parent)
    child = mutate(parent, prior, random.Random(seed))
    assert _is_of(child, prior)
    assert child != parent.pruned()
    assert parent == before


@given(cells_with_priors(), st.integers())
def test_a_mutation_is_one_local_change(case: tuple[CellPrior, list[Cell]], seed: int) -> None:
    prior, (drawn,) = case
    parent = drawn.pruned()
    child = mutate(parent, prior, random.Random(seed))
    assert any(
        neighbour.pruned() == child for neighbour in _neighbours_towards(parent, child, prior)
    )


def _neighbours_towards(parent: Cell, child: Cell, prior: CellPrior) -> list[Cell]:
    """What the parent becomes by one change that copies from the child, before pruning.

    What pruning removes cannot be seen in the child, and makes no difference to it.
    """
    found = [replace(parent, expansion=child.expansion)]
    for node in range(len(parent.mix)):
        found += [
            replace(parent, mix=(*parent.mix[:node], mix, *parent.mix[node + 1 :])) for mix in MIXES
        ]
    slots = list(edge_slots(parent.nodes))
    for node in range(parent.nodes):
        here = [index for index, slot in enumerate(slots) if node in slot]
        for window in combinations(here, min(prior.window, len(here))):
            operations = (
                child.operations[index] if index in window else parent.operations[index]
                for index in range(len(slots))
            )
            found.append(replace(parent, operations=tuple(operations)))
    return found


@settings(max_examples=20)
@given(cells_with_priors(), st.integers(1, 4), st.integers())
def test_a_window_changes_so_many_edges_at_most(
    case: tuple[CellPrior, list[Cell]], window: int, seed: int
) -> None:
    prior, (parent,) = case
    prior = replace(prior, window=min(window, prior.edges))
    child = _with_window(parent, prior, random.Random(seed))
    pairs = zip(parent.operations, child.operations, strict=True)
    assert sum(one != other for one, other in pairs) <= prior.window
    assert (child.mix, child.expansion) == (parent.mix, parent.expansion)


def test_mutations_alone_lead_from_a_single_edge_to_a_full_cell() -> None:
    prior = CellPrior(("dw_conv_3x3", "skip_connect"))
    rng = random.Random(0)
    cell = mbconv(3, 1)
    for _ in range(2000):
        child = mutate(cell, prior, rng)
        if len(child.edges) >= len(cell.edges):
            cell = child
    assert len(cell.edges) == prior.edges


@given(cells_with_priors(), st.integers())
def test_equal_generators_give_equal_mutants(case: tuple[CellPrior, list[Cell]], seed: int) -> None:
    prior, (parent,) = case
    assert mutate(parent, prior, random.Random(seed)) == mutate(parent, prior, random.Random(seed))


def test_mutation_reaches_all_neighbours_of_a_cell() -> None:
    prior = CellPrior(("dw_conv_3x3", "dw_conv_5x5"), nodes=2, window=1)
    rng = random.Random(1)
    parent = Cell(("dw_conv_3x3",), ("sum",), 3)
    found = {mutate(parent, prior, rng) for _ in range(500)}
    assert found == {
        Cell(("dw_conv_5x5",), ("sum",), 3),
        Cell(("dw_conv_3x3",), ("gate",), 3),
        Cell(("dw_conv_3x3",), ("se",), 3),
        Cell(("dw_conv_3x3",), ("sum",), 1),
        Cell(("dw_conv_3x3",), ("sum",), 6),
    }


@given(cells_with_priors(count=2), st.integers())
def test_a_crossed_child_has_every_node_whole_from_one_parent(
    case: tuple[CellPrior, list[Cell]], seed: int
) -> None:
    prior, parents = case
    before = [replace(parent) for parent in parents]
    child = crossover(parents[0], parents[1], random.Random(seed))
    assert _is_of(child, prior)
    assert child.expansion in {parent.expansion for parent in parents}
    assert parents == before
    # Some choice of a parent per node makes the child, once dead edges are pruned.
    made = {_joined(parents, choice, child.expansion).pruned() for choice in _choices(prior.nodes)}
    assert child in made


def _choices(nodes: int) -> list[tuple[int, ...]]:
    return [
        tuple(bits >> node & 1 for node in range(nodes - 1)) for bits in range(2 ** (nodes - 1))
    ]


def _joined(parents: list[Cell], choice: tuple[int, ...], expansion: int) -> Cell:
    slots = list(edge_slots(parents[0].nodes))
    operations = tuple(
        parents[choice[target - 1]].operations[index] for index, (_, target) in enumerate(slots)
    )
    mix = tuple(parents[each].mix[node] for node, each in enumerate(choice))
    return Cell(operations, mix, expansion)


@given(cells_with_priors(), st.integers())
def test_crossing_a_cell_with_itself_gives_the_cell(
    case: tuple[CellPrior, list[Cell]], seed: int
) -> None:
    _, (parent,) = case
    assert crossover(parent, parent, random.Random(seed)) == parent.pruned()


@given(cells_with_priors(count=2), st.integers())
def test_equal_generators_give_equal_crossings(
    case: tuple[CellPrior, list[Cell]], seed: int
) -> None:
    _, (one, two) = case
    assume(one != two)
    first = crossover(one, two, random.Random(seed))
    assert first == crossover(one, two, random.Random(seed))


def test_parents_whose_parts_never_join_give_the_first_parent() -> None:
    # Node 1 feeds the end in one parent, the input feeds it in the other; neither part works alone.
    class Contrary(random.Random):
        """Takes node 1 from one parent and the last node from the other, always."""

        def choice(self, seq):  # type: ignore[no-untyped-def]
            self.turn = not getattr(self, "turn", False)
            return seq[int(self.turn)]

    first = Cell(("dw_conv_3x3", "none", "dw_conv_3x3"), ("sum", "sum"), 1)
    second = Cell(("none", "dw_conv_5x5", "none"), ("sum", "sum"), 1)
    child = crossover(first, second, random.Random(0))
    assert not child.is_zero
    assert crossover(first, second, Contrary()) in {first, second}


def test_a_prior_without_paths_is_refused_not_searched_for_ever() -> None:
    with pytest.raises(RuntimeError, match="no cell with a path"):
        random_cell(CellPrior(("dw_conv_3x3",), none_probability=1.0), random.Random(0))


def test_a_mutation_that_has_nowhere_to_go_is_refused() -> None:
    prior = CellPrior(
        ("dw_conv_3x3",), nodes=2, none_probability=0.0, window=1, expansions=(3,), mixes=("sum",)
    )
    with pytest.raises(RuntimeError, match="no other cell"):
        mutate(mbconv(3, 3, nodes=2), prior, random.Random(0))


def test_expansions_and_mixes_of_the_prior_are_those_of_cells() -> None:
    assert CellPrior(("dw_conv_3x3",)).expansions == EXPANSIONS
    assert CellPrior(("dw_conv_3x3",)).mixes == MIXES
