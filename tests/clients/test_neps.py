"""neps runs on our ConfigSpace file, and on its own kind of space."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.exchange import (
    assert_all_return,
    awkward_space,
    learned_space,
    module_for,
    text_for,
)

neps = pytest.importorskip("neps", reason="make test-clients has it")

EVALUATIONS = 12


@pytest.mark.parametrize("make", [learned_space, awkward_space])
@pytest.mark.parametrize("optimizer", ["random_search", "bayesian_optimization"])
def test_it_evaluates_our_architectures(make: Any, optimizer: str, tmp_path: Path) -> None:
    from ConfigSpace import ConfigurationSpace

    space = make()
    path = tmp_path / "space.json"
    path.write_text(text_for("configspace", space), encoding="utf-8")
    seen: list[dict[str, str]] = []

    def evaluate(**choices: str) -> float:
        seen.append(choices)
        return float(space.cost(choices).madds / space.madds.max)

    neps.run(
        evaluate,
        ConfigurationSpace.from_json(path),
        root_directory=tmp_path / "run",
        worker_evaluations_to_spend=EVALUATIONS,
        optimizer=optimizer,
    )
    assert len(seen) == EVALUATIONS
    assert_all_return(space, seen, everything=False)


@pytest.mark.parametrize("make", [learned_space, awkward_space])
def test_the_pipeline_space_gives_our_architectures(make: Any, tmp_path: Path) -> None:
    module = module_for("neps", make(), tmp_path)
    drawn: list[dict[str, str]] = []

    def evaluate(**choices: str) -> float:
        drawn.append(choices)
        return float(module.madds(choices))

    neps.run(
        evaluate,
        module.LearnedSpace(),
        root_directory=str(tmp_path / "results"),
        total_evaluations_to_spend=10,
    )
    assert_all_return(make(), drawn, everything=False)
    assert [module.madds(each) for each in drawn] == [make().cost(each).madds for each in drawn]
