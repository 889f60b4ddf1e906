"""Latency of cells of every family: the parts that run, the limits, and a profile of each."""

import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from autospace.evolution.families import prior_on, references_on
from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.settings import make_config
from autospace.latency import profile as profiling
from autospace.latency.budget import LatencyError, Prediction, latency_budget, latency_limit
from autospace.latency.parts import (
    Part,
    cell_parts,
    fixed_parts,
    parts_of_skeleton,
    parts_of_space,
)
from autospace.latency.profile import of_skeleton, of_space
from autospace.latency.table import read_table, to_csv, to_json
from autospace.latency.timing import LatencyBench, build_part
from autospace.networks.network import Network
from autospace.spaces import (
    LayerSpec,
    Skeleton,
    Space,
    SpaceError,
    Stem,
    load,
    load_skeleton,
)
from autospace.spaces.cells.family import CELLS
from autospace.spaces.choices import Choices
from autospace.spaces.files.codec import to_json as space_json
from autospace.spaces.files.families import family_space
from tests.evolution.runs import Counting
from tests.latency.tables import network_ns, row, table_for
from tests.spaces.ofa.spaces import SKELETON as STAGED

_LAYERS = (LayerSpec(4), LayerSpec(8, 2, fixed=True), LayerSpec(8))
DENSE = Skeleton("dense", 1, 8, 3, Stem(4, 1), _LAYERS, preactivation=True, ties=(0, 0), nodes=4)
CONV = Skeleton(
    "conv", 1, 8, 3, Stem(4, 1), (LayerSpec(4), LayerSpec(8, 2), LayerSpec(8)), preactivation=True
)
SKELETONS: dict[str, Skeleton] = {
    "edges": DENSE,
    "dense": DENSE.undivided,
    "darts": load_skeleton("darts-small"),
    "imagenet": load_skeleton("darts-imagenet").fitted(in_channels=1, resolution=32, classes=3),
    "bats": load_skeleton("bats-small"),
    "ofa": STAGED,
    "conv": CONV,
}
each_skeleton = pytest.mark.parametrize("name", [*SKELETONS])


def _network(name: str, seed: int) -> tuple[Skeleton, list[Any]]:
    skeleton = SKELETONS[name]
    return skeleton, list(of_skeleton(skeleton, random.Random(seed)).draw())


def _parts(skeleton: Skeleton, cells: list[Any]) -> list[Part]:
    found = list(fixed_parts(skeleton))
    for cell, shape in zip(cells, skeleton.cell_layers, strict=True):
        found.extend(cell_parts(cell, shape))
    return found


def _run(network: nn.Module, images: torch.Tensor) -> Counter[tuple[Any, ...]]:
    """Kernels, channels and sides of the convolutions and pools that a forward pass runs."""
    seen: Counter[tuple[Any, ...]] = Counter()

    def hook(module: Any, given: tuple[torch.Tensor], out: torch.Tensor) -> None:
        kernel = getattr(module, "kernel_size", None) or tuple(module.weight.shape[2:])
        size = (kernel,) * 2 if isinstance(kernel, int) else tuple(kernel)
        seen[type(module).__name__, size, given[0].shape[1:], out.shape[1:]] += 1

    for module in network.modules():
        name = type(module).__name__
        if "Conv2d" in name or "Pool2d" in name or name in ("BinaryConvolution", "AveragePool"):
            module.register_forward_hook(hook)
    with torch.no_grad():
        network.eval()(images)
    return seen


@each_skeleton
def test_the_parts_are_what_a_network_runs(name: str) -> None:
    bench = LatencyBench(torch.device("cpu"), torch.float32, 2)
    for seed in range(3):
        skeleton, cells = _network(name, seed)
        sides = skeleton.in_channels, skeleton.resolution, skeleton.resolution
        expected = _run(Network(skeleton, cells), torch.zeros(2, *sides))
        found: Counter[tuple[Any, ...]] = Counter()
        for part in _parts(skeleton, cells):
            if part.name not in ("sum", "cat"):
                images = torch.zeros(2, part.inputs, part.resolution, part.resolution)
                found += _run(build_part(part), images)
            else:
                assert isinstance(bench.part(part)(), torch.Tensor)
        assert found == expected


@each_skeleton
def test_every_random_network_is_covered_by_the_table_of_its_skeleton(name: str) -> None:
    known = parts_of_skeleton(SKELETONS[name])
    assert len(known) == len(set(known))
    for seed in range(20):
        skeleton, cells = _network(name, seed)
        assert set(_parts(skeleton, cells)) <= set(known)


def _space(name: str) -> Space:
    if name == "binary":
        return load("binary@digits")
    kinds = {"conv": "conv", "edges": "nasbench201", "darts": "darts", "bats": "bats", "ofa": "ofa"}
    return family_space(kinds[name], SKELETONS[name])


@pytest.mark.parametrize("name", ["edges", "darts", "bats", "ofa", "binary", "conv"])
def test_a_limit_holds_for_every_network_that_is_drawn(name: str) -> None:
    space, rng = _space(name), random.Random(1)
    rows = [row(part) for part in parts_of_space(space)]
    table = table_for(load_skeleton("digits"), rows=rows)
    prediction = Prediction(table, space.skeleton)
    drawn = [space.sample(rng) for _ in range(40)]
    times = sorted(network_ns(prediction, each.cells) / 1e6 for each in drawn)
    most = times[-1] * 0.98
    limit = latency_limit(space, table, most)
    choices = Choices(space, (limit,))
    for _ in range(40):
        found = space.at(choices.draw(rng))
        own = limit.fixed + sum(
            layer[place] for layer, place in zip(limit.table, choices.path(found), strict=True)
        )
        exact = network_ns(prediction, found.cells) / 1e6
        # A choice costs at most what it adds, so that the limit holds for what is predicted.
        assert exact <= own + 1e-9 <= most + 2e-9


@pytest.mark.parametrize("name", ["edges", "dense", "darts", "bats", "ofa", "conv"])
def test_the_reference_is_within_its_own_limit(name: str) -> None:
    skeleton = SKELETONS[name]
    config = make_config({})
    references = [cell for _, cell in references_on(skeleton, config.cells)]
    budget = latency_budget(table_for(skeleton), skeleton, references, "reference")
    assert budget.limit_ns == budget.prediction.fixed_ns + sum(budget.shares_ns)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["edges", "darts", "bats", "ofa", "conv"])
def test_evolve_keeps_the_limit_and_resumes_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    skeleton = SKELETONS[name].fitted(in_channels=1, resolution=8, classes=3)
    table, file = tmp_path / "table.json", tmp_path / "skeleton.json"
    table.write_text(to_json(table_for(skeleton)))
    file.write_text(space_json(skeleton))
    settings = {
        "skeleton": str(file),
        "device": "cpu",
        "data": {"source": "synthetic:classes=3,train=48,test=12,resolution=8"},
        "evolution": {"generations": 1, "population": 3, "candidates": 2, "tournament": 2,
                      "keep": 1},
        "scoring": {"steps": 1, "batch": 8},
        "warm_up": {"steps": 2, "batch": 8},
        "budget": {"max_latency_ms": "reference", "latency_table": str(table)},
    }  # fmt: skip

    def stop() -> None:
        raise KeyboardInterrupt

    learn(RunFolder.create(tmp_path / "whole", make_config(settings)), Counting())
    begun = RunFolder.create(tmp_path / "stopped", make_config(settings))
    with pytest.raises(KeyboardInterrupt):
        learn(begun, Counting(3, stop))
    # The run goes on with the table with which it began.
    table.rename(tmp_path / "moved.json")
    learn(RunFolder.open(tmp_path / "stopped"), Counting())
    texts = [(tmp_path / each / "space.json").read_text() for each in ("whole", "stopped")]
    assert texts[0] == texts[1]
    space = load(tmp_path / "whole")
    prediction = Prediction(read_table(tmp_path / "moved.json"), space.skeleton)
    most = space.provenance["latency"]["max_ms"]
    rng = random.Random(0)
    for _ in range(30):
        assert network_ns(prediction, space.sample(rng).cells) / 1e6 <= most


@pytest.mark.slow
@pytest.mark.parametrize("name", ["edges", "darts", "bats", "ofa", "binary", "conv"])
def test_a_profile_has_every_part_and_reads_back(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiling, "PASSES", 2)
    rng = random.Random(0)
    subject = of_space(_space(name), rng) if name == "binary" else of_skeleton(SKELETONS[name], rng)
    table = profiling.profile(
        subject, device=torch.device("cpu"), dtype="float32", batch=2, on_message=lambda _: None
    )
    assert [each.key for each in table.rows] == list(subject.parts)
    (tmp_path / "t.json").write_text(to_json(table))
    (tmp_path / "t.csv").write_text(to_csv(table))
    assert read_table(tmp_path / "t.json") == table
    assert read_table(tmp_path / "t.csv").rows == table.rows


@pytest.mark.parametrize("name", ["enas-rnn@rnn-small", "autocaption@captions-small"])
def test_what_reads_no_images_is_refused_in_one_line(name: str) -> None:
    space = load(name)
    problem = "a latency table knows networks for images only"
    with pytest.raises(SpaceError, match=problem):
        parts_of_space(space)
    with pytest.raises(SpaceError, match=problem):
        parts_of_skeleton(space.skeleton)


def test_layers_that_share_a_cell_take_the_time_of_all() -> None:
    skeleton = DENSE.undivided
    (shape,) = skeleton.shapes
    _, cells = _network("dense", 0)
    prediction = Prediction(table_for(skeleton), skeleton)
    assert prediction.cell_ns(cells[0], shape) == sum(
        prediction.cell_ns(cells[0], layer) for layer in skeleton.cell_layers
    )


FITTING = [*((family, "digits") for family in CELLS if family != "bnas"), ("bnas", "bats-small")]


@pytest.mark.parametrize(("family", "name"), FITTING)
def test_cells_that_the_settings_choose_have_tables_of_their_own(family: str, name: str) -> None:
    skeleton, cells = load_skeleton(name), make_config({"cells": {"family": family}}).cells
    kind, operations = CELLS[family]
    known = parts_of_skeleton(skeleton, kind, operations)
    references = [cell for _, cell in references_on(skeleton, cells)]
    vocabulary = prior_on(skeleton, cells).vocabulary
    table = table_for(skeleton, rows=[row(part) for part in known])
    latency_budget(table, skeleton, references, "reference", vocabulary)
    # Whatever is drawn later has its parts in the table: no run ends for a missing one.
    subject = of_skeleton(skeleton, random.Random(0), family)
    for _ in range(20):
        assert set(_parts(skeleton, list(subject.draw()))) <= set(known)
    with pytest.raises(LatencyError, match=rf"profile --skeleton {name} --family {_like(family)} "):
        latency_budget(table_for(skeleton), skeleton, references, "reference", vocabulary)


def _like(family: str) -> str:
    """The name that the message has: blocks of convolutions have the same parts."""
    return "resnet" if family in ("bottleneck", "convnext") else family


def test_cells_that_do_not_fit_a_skeleton_have_no_profile() -> None:
    with pytest.raises(SpaceError, match=r'"binary" at .*; allowed here: ofa'):
        of_skeleton(STAGED, random.Random(0), "binary")
    with pytest.raises(SpaceError, match=r'family: "resnt"; did you mean resnet'):
        of_skeleton(load_skeleton("digits"), random.Random(0), "resnt")
