"""Syne Tune draws from what we export."""

from pathlib import Path
from typing import Any

import pytest

from tests.clients.exchange import (
    DRAWN,
    assert_all_return,
    awkward_space,
    ids_of,
    learned_space,
    module_for,
)

pytest.importorskip("syne_tune", reason="make test-clients has it")
pytestmark = pytest.mark.slow
each_space = pytest.mark.parametrize("make", [learned_space, awkward_space])


@each_space
def test_layers_and_cells_arrive_in_order(make: Any, tmp_path: Path) -> None:
    found = module_for("syne-tune", make(), tmp_path).config_space()
    assert {name: getattr(each, "categories", [each]) for name, each in found.items()} == ids_of(
        make()
    )


@each_space
def test_draws_are_our_architectures(make: Any, tmp_path: Path) -> None:
    module = module_for("syne-tune", make(), tmp_path)
    baselines = pytest.importorskip("syne_tune.optimizer.baselines")
    search = baselines.RandomSearch(module.config_space(), metrics=["error"], random_seed=0)
    # It never suggests what it has suggested, and the space has 120 architectures.
    drawn = [search.suggest().config for _ in range(min(DRAWN, make().size))]
    assert_all_return(make(), drawn)
    assert [module.madds(each) for each in drawn] == [make().cost(each).madds for each in drawn]
