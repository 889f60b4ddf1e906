"""What can be named as a space, and what its name becomes."""

from dataclasses import replace
from pathlib import Path

import pytest

from autospace.comparison.encoding import local_name
from autospace.comparison.setup import common_resolution, labels_of, load_source, random_space
from autospace.spaces import (
    SpaceError,
    canonical_key,
    cell_cost,
    from_json,
    load,
    load_skeleton,
    to_json,
)
from autospace.spaces.cells.family import notation
from autospace.spaces.cells.variation import CellPrior
from autospace.spaces.cost import Share
from autospace.spaces.files.families import family_space
from autospace.spaces.sequence import SequenceSkeleton
from tests.comparison.setups import CHEAP, SKELETON, space
from tests.tiny import whole_cells


def test_random_cells_are_different_functions_and_follow_the_seed() -> None:
    first, same, other = (load_source("random@digits", seed) for seed in (0, 0, 1))
    assert to_json(first) == to_json(same) != to_json(other)
    assert first.skeleton == load_skeleton("digits")
    for layer in first.layers:
        keys = {canonical_key(each.cell, layer.shape.stride) for each in layer.candidates}
        assert len(keys) == len(layer.candidates) == 9


def test_random_cells_like_those_of_a_space_are_as_many_and_no_dearer(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text(to_json(space(CHEAP)))
    found = load_source(f"random@{path}", 0)
    assert (found.name, found.skeleton) == ("random@space.json", SKELETON)
    for layer, like in zip(found.layers, space(CHEAP).layers, strict=True):
        assert len(layer.candidates) == len(like.candidates)
        most_expensive = max(cost.madds for cost in like.costs)
        costs = [cell_cost(each.cell, layer.shape).madds for each in layer.candidates]
        assert max(costs) <= most_expensive
        assert {e.operation for c in layer.candidates for e in c.cell.edges} <= {*found.operations}


def test_random_binary_cells_cost_no_more_operations() -> None:
    found, like = load_source("random@binary@digits", 0), load("binary@digits")
    for layer, given in zip(found.layers, like.layers, strict=True):
        # They have no MAdds; a 64th of each binary operation counts.
        most = max(cost.bops for cost in given.costs)
        assert max(cost.bops for cost in layer.costs) <= most
        assert len(layer.candidates) == len(given.candidates)


@pytest.mark.parametrize(
    "name",
    ["autocaption@captions-small", "autocaption@autocaption", "enas-rnn@enas-rnn-paper",
     "nas-bert@bert-small", "ofa@ofa-small", "mbconv@digits", "binary@digits", "conv@resnet20"],
)  # fmt: skip
def test_random_cells_of_any_space_are_as_many_and_may_skip_the_same_layers(name: str) -> None:
    found, like = load_source(f"random@{name}", 0), load(name)
    assert from_json(to_json(found)) == found
    for layer, given in zip(found.layers, like.layers, strict=True):
        assert len(layer.candidates) == len(given.candidates)
        assert len(set(layer.keys)) == len(layer.keys)
        skips = [each.id for each in layer.candidates if each.cell.is_zero]
        assert skips == ["skip"] * any(each.cell.is_zero for each in given.candidates)


@pytest.mark.parametrize("mixes", [("sum",), ("sum", "se"), ("sum", "gate", "se")])
def test_random_cells_mix_as_those_of_the_space_do(mixes: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    cells = [replace(CHEAP[0], mix=("sum", "sum", mix)) for mix in mixes]
    path.write_text(to_json(space(cells, "given", load_skeleton("cifar"))))
    layers = load_source(f"random@{path}", 0).layers
    drawn = [each.cell for layer in layers for each in layer.candidates]
    assert {mix for cell in drawn for mix in cell.mix} == {*mixes}


@pytest.mark.parametrize(("root", "most"), [("tanh", 1), (None, 4)])
def test_random_whole_cells_have_the_root_of_the_others_or_any(
    root: str | None, most: int, tmp_path: Path
) -> None:
    own = family_space("enas-rnn", SequenceSkeleton.of("tiny", 2, 8, 2, root=root))
    path = tmp_path / "space.json"
    path.write_text(to_json(whole_cells(own, 12)))
    (layer,) = load_source(f"random@{path}", 0).layers
    found = {notation(each.cell).split()[0] for each in layer.candidates}
    assert len(found) == most
    assert root is None or found == {f"0={root}"}


def test_random_cells_that_cannot_be_found_are_an_error() -> None:
    prior = CellPrior(("skip_connect",), nodes=2, expansions=(1,), mixes=("sum",))
    with pytest.raises(SpaceError, match=r"layer_00: only 1 of 9 different random cells found$"):
        random_space(SKELETON, 0, name="x", prior=prior)
    shares = [Share(madds=1)] * len(SKELETON.shapes)
    with pytest.raises(SpaceError, match=r"only 0 of 9 .* found within the cost limit$"):
        random_space(SKELETON, 0, name="x", prior=prior, shares=shares)


def test_other_sources_are_loaded_as_everywhere() -> None:
    assert load_source("mnasnet@digits", 0) == load("mnasnet@digits")
    with pytest.raises(SpaceError, match="unknown skeleton"):
        load_source("random@nowhere", 0)


def test_equal_names_are_told_apart_by_their_place() -> None:
    spaces = [space(CHEAP, name) for name in ("x", "y", "x")]
    assert labels_of(spaces) == ("x (A)", "y", "x (C)")


def test_spaces_for_other_resolutions_need_a_choice() -> None:
    assert common_resolution([space(CHEAP), load("mbconv@digits")]) == 8
    with pytest.raises(SpaceError, match="space has 8, mbconv@cifar has 32; choose one with"):
        common_resolution([space(CHEAP), load("mbconv@cifar")])


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/home/me/runs/first", "first"),
        ("mbconv@/home/me/runs/first/", "mbconv@first"),
        ("mbconv@cifar", "mbconv@cifar"),
        ("../a b.json", "a b.json"),
        ("/home/me@work/runs/first", "first"),
        ("random@mbconv@/home/me@work/a@b.json", "random@mbconv@a@b.json"),
        ("mine@home", "mine@home"),
        ("random", "random"),
    ],
)
def test_a_source_is_named_without_its_folders(source: str, name: str) -> None:
    assert local_name(source) == name
