"""ConfigSpace reads, samples and writes what we export."""

import math
from pathlib import Path
from typing import Any

import pytest

from autospace.spaces import Space, from_json
from autospace.spaces.files.codec import canonical_json
from tests.clients.exchange import (
    DRAWN,
    SPACES,
    assert_all_return,
    awkward_space,
    ids_of,
    learned_space,
    text_for,
)

ConfigSpace = pytest.importorskip("ConfigSpace", reason="make test-clients has it")

each_space = pytest.mark.parametrize("make", SPACES)


def _read(space: Space, folder: Path) -> Any:
    path = folder / "space.json"
    path.write_text(text_for("configspace", space), encoding="utf-8")
    return ConfigSpace.ConfigurationSpace.from_json(path)


def _choices(hyperparameter: Any) -> list[str]:
    if isinstance(hyperparameter, ConfigSpace.Constant):
        return [hyperparameter.value]
    return list(hyperparameter.choices)


@each_space
def test_layers_and_cells_arrive_in_order(make: Any, tmp_path: Path) -> None:
    space = make()
    found = _read(space, tmp_path)
    assert {name: _choices(found[name]) for name in found} == ids_of(space)
    assert found.name == space.name
    assert found.estimate_size() == space.size == math.prod(map(len, ids_of(space).values()))


@each_space
def test_samples_are_our_architectures(make: Any, tmp_path: Path) -> None:
    space = make()
    found = _read(space, tmp_path)
    found.seed(0)
    assert_all_return(space, map(dict, found.sample_configuration(DRAWN)))


def test_fitter_cells_are_drawn_more_often(tmp_path: Path) -> None:
    space = learned_space()
    found = _read(space, tmp_path)
    for layer in space.layers:
        odds = dict(zip(layer.by_id, found[layer.shape.name].probabilities, strict=True))
        scored = sorted(
            (candidate for candidate in layer.candidates if candidate.fitness is not None),
            key=lambda candidate: candidate.fitness or 0.0,
        )
        assert [odds[each.id] for each in scored] == sorted(odds[each.id] for each in scored)
        assert len(set(odds.values())) == len(odds)
        assert min(odds.values()) > 0.005


def test_without_fitness_all_cells_are_equally_likely(tmp_path: Path) -> None:
    space = awkward_space()
    plain = [
        type(layer)(layer.shape, tuple(type(c)(c.id, c.cell) for c in layer.candidates))
        for layer in space.layers
    ]
    found = _read(Space("plain", space.skeleton, space.operations, tuple(plain)), tmp_path)
    for layer in space.layers[1:]:
        assert set(found[layer.shape.name].probabilities) == {1 / len(layer.candidates)}


def test_the_default_is_the_reference(tmp_path: Path) -> None:
    space = learned_space()
    default = _read(space, tmp_path).get_default_configuration()
    assert dict(default) == dict(space.reference)


@each_space
def test_the_whole_space_survives_their_round_trip(make: Any, tmp_path: Path) -> None:
    space = make()
    first = _read(space, tmp_path)
    first.to_json(tmp_path / "again.json")
    again = ConfigSpace.ConfigurationSpace.from_json(tmp_path / "again.json")
    assert again == first
    metas = [again[name].meta for name in again]
    document = {**metas[0]["space"], "layers": [meta["layer"] for meta in metas]}
    assert from_json(canonical_json(document)) == space
