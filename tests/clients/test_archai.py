"""archai runs on the module that we export, and reads architectures in the flat form."""

from pathlib import Path
from typing import Any

import pytest

from autospace.exporters.json_clients import to_flat as export_architecture
from autospace.spaces import Space
from tests.clients.exchange import (
    DRAWN,
    assert_all_return,
    awkward_space,
    ids_of,
    learned_space,
    module_for,
)

pytest.importorskip("archai", reason="make test-clients has it")

each_space = pytest.mark.parametrize("make", [learned_space, awkward_space])


def _search_space(space: Space, folder: Path) -> tuple[Any, Any]:
    """The exported module and its search space, over networks that only know their choices."""
    from torch import nn

    module = module_for("archai", space, folder)

    class Network(nn.Module):
        def __init__(self, config: Any) -> None:
            super().__init__()
            self.choices = module.choices_of(config)

    return module, module.search_space(Network)


@each_space
def test_layers_and_cells_arrive_in_order(make: Any, tmp_path: Path) -> None:
    space = make()
    _, found = _search_space(space, tmp_path)
    tree = found.arch_param_tree
    assert {name: list(each.choices) for name, each in tree.to_dict().items()} == ids_of(space)
    assert tree.num_archs == space.size


@each_space
def test_samples_are_our_architectures(make: Any, tmp_path: Path) -> None:
    space = make()
    module, found = _search_space(space, tmp_path)
    drawn = [found.random_sample().arch.choices for _ in range(DRAWN)]
    assert_all_return(space, drawn)
    assert all(module.madds(each) == space.cost(each).madds for each in drawn)


@each_space
def test_archai_reads_the_choices_of_an_architecture(make: Any, tmp_path: Path) -> None:
    space = make()
    last = {name: ids[-1] for name, ids in ids_of(space).items()}
    path = tmp_path / "choices.json"
    path.write_text(export_architecture(space.architecture(last)), encoding="utf-8")
    _, found = _search_space(space, tmp_path)
    assert found.load_arch(str(path)).arch.choices == last


def test_their_evolution_runs_on_it(tmp_path: Path) -> None:
    from archai.discrete_search.algos import EvolutionParetoSearch
    from archai.discrete_search.api import SearchObjectives
    from archai.discrete_search.evaluators.functional import EvaluationFunction

    space = learned_space()
    module, found = _search_space(space, tmp_path)
    seen: list[dict[str, str]] = []

    def madds(model: Any, budget: float | None) -> float:
        seen.append(model.arch.choices)
        return float(module.madds(model.arch.choices))

    objectives = SearchObjectives()
    objectives.add_objective(
        "madds", EvaluationFunction(madds), higher_is_better=False, compute_intensive=False
    )
    EvolutionParetoSearch(
        found,
        objectives,
        str(tmp_path / "run"),
        num_iters=2,
        init_num_models=10,
        # It asks the network for a method that torch's networks do not have.
        save_pareto_model_weights=False,
        seed=0,
    ).search()
    assert len(seen) > 10
    assert_all_return(space, seen, everything=False)
