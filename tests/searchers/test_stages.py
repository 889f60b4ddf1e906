"""Searches of spaces with stages: no path is trained, ranked or returned that is not in them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.progress import Silent
from autospace.searchers.driver import run_search
from autospace.searchers.few_shot import NasLid, NasLidOptions
from autospace.searchers.folder import SearchFolder
from autospace.searchers.make import METHODS
from autospace.searchers.sampling.enas import Controller
from autospace.spaces.choices import Choices
from autospace.supernets.supernet import Supernet
from tests.searchers.problems import make_problem, settings
from tests.searchers.test_every_method import QUICKER
from tests.spaces.ofa.spaces import every_path, small_space

SPACE = small_space()
PATHS = set(every_path(SPACE))
# They compare single cells in the place of a layer, which are not trained there; or mix all cells.
COMPARING = ("gm", "nas-lid", "dna")


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_to_the_space(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: set[tuple[int, ...]] = set()
    plain = Supernet.active

    def watched(self: Supernet, path: Any) -> Any:
        sizes = [len(layer) for layer in self.candidates]  # type: ignore[arg-type]
        if sizes == [len(layer.candidates) for layer in SPACE.layers]:
            trained.add(tuple(path))
        return plain(self, path)

    monkeypatch.setattr(Supernet, "active", watched)
    config = settings(method=method, options=QUICKER.get(method, {}), evaluations=8, finalists=2)
    folder = SearchFolder.create(tmp_path / "run", config)
    result = run_search(folder, SPACE, Silent()).model_dump(mode="json")
    choices = Choices(SPACE)
    for each in (*result["ranked"], *result["finalists"], {"architecture": result["best"]}):
        # Building the architecture checks it.
        assert choices.path(SPACE.architecture(each["architecture"])) in PATHS
    if method not in COMPARING:
        assert trained <= PATHS


def test_the_controller_draws_nothing_else_and_its_probabilities_add_up() -> None:
    choices = Choices(SPACE)
    controller = Controller(choices, 8, 2.5, 0)
    drawn = {tuple(path) for path in controller.sample(500, 1).paths.tolist()}
    assert drawn <= PATHS
    with torch.no_grad():
        log_p = controller.log_prob(sorted(PATHS))
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-9)


def test_parts_of_a_split_supernet_hold_the_space_between_them() -> None:
    problem = make_problem(SPACE, method="nas-lid", supernet={"steps": 8}, evaluations=4)
    method = NasLid(problem, NasLidOptions(repeats=1))
    for index in range(8):
        method.split.train(index)
    assert len(method.split.parts) > 1
    sizes = [part.fitness.weights.problem.choices.space.size for part in method.split.parts]
    assert sum(sizes) == SPACE.size
