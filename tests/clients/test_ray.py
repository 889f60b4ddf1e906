"""Ray Tune runs on what we export."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clients.exchange import (
    DRAWN,
    assert_all_return,
    awkward_space,
    ids_of,
    learned_space,
    text_for,
)

ray = pytest.importorskip("ray", reason="make test-clients has it")
pytestmark = pytest.mark.slow

each_space = pytest.mark.parametrize("make", [learned_space, awkward_space])


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    ray.init(num_cpus=1, include_dashboard=False, logging_level="ERROR")
    yield
    ray.shutdown()


@each_space
def test_layers_and_cells_arrive_in_order(make: Any) -> None:
    space = make()
    found = json.loads(text_for("ray", space))
    assert {name: each["grid_search"] for name, each in found.items()} == ids_of(space)


@each_space
def test_the_grid_is_all_architectures(make: Any) -> None:
    from ray.tune.search.variant_generator import generate_variants

    space = make()
    variants = [config for _, config in generate_variants(json.loads(text_for("ray", space)))]
    assert len(variants) == space.size
    assert_all_return(space, variants)


@each_space
def test_samples_are_our_architectures(make: Any) -> None:
    from ray import tune

    space = make()
    grid = json.loads(text_for("ray", space))
    domains = {name: tune.choice(each["grid_search"]) for name, each in grid.items()}
    drawn = [{name: each.sample() for name, each in domains.items()} for _ in range(DRAWN)]
    assert_all_return(space, drawn)


def test_a_tuner_runs_on_it(tmp_path: Path) -> None:
    from ray import tune

    space = learned_space()
    grid = json.loads(text_for("ray", space))
    # Two layers with a choice are enough to see that it is one.
    for name in list(grid)[2:]:
        grid[name] = {"grid_search": grid[name]["grid_search"][:1]}
    places = {
        name: {cell: index for index, cell in enumerate(ids)} for name, ids in ids_of(space).items()
    }

    def trial(config: dict[str, str]) -> dict[str, float]:
        return {"score": float(sum(places[name][choice] for name, choice in config.items()))}

    tuner = tune.Tuner(
        trial,
        param_space=grid,
        tune_config=tune.TuneConfig(metric="score", mode="max"),
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    )
    results = tuner.fit()
    assert len(results) == 2 * 3
    assert_all_return(space, (each.config for each in results), everything=False)
    most_expensive = {name: each["grid_search"][-1] for name, each in grid.items()}
    assert results.get_best_result().config == most_expensive


@each_space
def test_a_space_beyond_any_grid_is_sampled(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.tune.search.variant_generator import generate_variants

    monkeypatch.setattr("autospace.exporters.json_clients.LARGEST_GRID", 1)
    plain = json.loads(text_for("ray", make()))
    drawn = [config for _ in range(DRAWN) for _, config in generate_variants(dict(plain))]
    assert len(drawn) == DRAWN
    assert_all_return(make(), drawn)
