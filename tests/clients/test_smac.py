"""SMAC3 and DEHB search in the ConfigSpace that we export."""

from pathlib import Path
from typing import Any

import pytest

from autospace.spaces import Space
from tests.clients.exchange import assert_all_return, awkward_space, learned_space, text_for

ConfigSpace = pytest.importorskip("ConfigSpace")
pytestmark = pytest.mark.slow
each_space = pytest.mark.parametrize("make", [learned_space, awkward_space])


def _read(space: Space, folder: Path) -> Any:
    path = folder / "space.json"
    path.write_text(text_for("configspace", space), encoding="utf-8")
    return ConfigSpace.ConfigurationSpace.from_json(path)


def _madds(space: Space, choices: Any) -> float:
    return float(space.cost({name: str(each) for name, each in dict(choices).items()}).madds)


@each_space
def test_smac_finds_a_small_network(make: Any, tmp_path: Path) -> None:
    smac = pytest.importorskip("smac", reason="make test-clients has it")
    space, tried = make(), []

    def madds(config: Any, seed: int = 0) -> float:
        del seed
        tried.append(dict(config))
        return _madds(space, config)

    # SMAC stops with an error once it has tried nearly everything: these spaces are small.
    scenario = smac.Scenario(
        _read(space, tmp_path), n_trials=15, deterministic=True, output_directory=tmp_path, seed=0
    )
    facade = smac.HyperparameterOptimizationFacade(scenario, madds, logging_level=False)
    best = facade.optimize()
    assert_all_return(space, [*tried, dict(best)], everything=False)
    assert len(tried) == 15
    assert _madds(space, best) == min(_madds(space, each) for each in tried)


@each_space
def test_dehb_finds_a_small_network(make: Any, tmp_path: Path) -> None:
    dehb = pytest.importorskip("dehb", reason="make test-clients has it")
    space, tried = make(), []

    def madds(config: Any, fidelity: float, **rest: Any) -> dict[str, float]:
        del rest
        tried.append(dict(config))
        return {"fitness": _madds(space, config), "cost": fidelity}

    search = dehb.DEHB(
        f=madds,
        cs=_read(space, tmp_path),
        min_fidelity=1,
        max_fidelity=3,
        eta=3,
        n_workers=1,
        seed=0,
        output_path=str(tmp_path),
        log_level="ERROR",
    )
    search.run(fevals=30)
    assert_all_return(space, tried, everything=False)
    assert search.inc_score == min(_madds(space, each) for each in tried)
