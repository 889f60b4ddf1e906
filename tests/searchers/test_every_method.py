"""What holds for every method: the contract of its result, limits, equal seeds, resuming."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autospace.evolution.folder import RunFolder
from autospace.progress import Silent
from autospace.runs.errors import CheckpointError, RunError
from autospace.searchers.catalogue import CATALOGUE
from autospace.searchers.driver import run_search
from autospace.searchers.folder import SearchFolder
from autospace.searchers.make import METHODS
from autospace.searchers.settings import SearchConfig
from autospace.spaces import Space, load, load_architecture
from autospace.spaces.files.families import family_space
from tests.searchers.problems import SKELETON, settings
from tests.slow import slowly
from tests.tiny import fitted_space

SPACE = family_space("mbconv", SKELETON)
# Between the cheapest and the most expensive network: most random ones exceed it.
TIGHT = int(SPACE.madds.min + 0.3 * (SPACE.madds.max - SPACE.madds.min))

# Much time for nothing that is asked here.
QUICKER = {
    "gm": {"repeats": 1},
    "nas-lid": {"repeats": 1},
    "dna": {"teacher_steps": 2},
}


class Stopping(Silent):
    """An observer that stops the search after so many steps of any phase."""

    def __init__(self, after: int = -1) -> None:
        self.ticks, self._after = 0, after

    def tick(self, phase: str, done: int, total: int) -> None:
        del done, total
        if phase == "data":
            return
        self.ticks += 1
        if self.ticks == self._after:
            raise KeyboardInterrupt


def _settings(method: str, **changes: Any) -> SearchConfig:
    return settings(method=method, options=QUICKER.get(method, {}), **changes)


def _searched(path: Path, method: str, space: Space = SPACE, **changes: Any) -> dict[str, Any]:
    folder = SearchFolder.create(path, _settings(method, **changes))
    return run_search(folder, space, Stopping()).model_dump(mode="json")


def _timeless(result: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in result.items() if k not in {"seconds", "memory_mb", "trajectory"}}
    steps = [{k: v for k, v in e.items() if k != "seconds"} for e in result["trajectory"]]
    return kept | {"trajectory": steps}


class Whole(NamedTuple):
    """A search of a method that nothing stopped."""

    method: str
    path: Path
    result: dict[str, Any]


@pytest.fixture(scope="module", params=METHODS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    path = tmp_path_factory.mktemp(request.param) / "run"
    return Whole(request.param, path, _searched(path, request.param))


def test_every_method_is_in_the_catalogue() -> None:
    assert list(METHODS) == list(CATALOGUE)


def test_the_result_is_what_others_script_against(whole: Whole) -> None:
    result = whole.result
    assert json.loads((whole.path / "result.json").read_text()) == result
    best = load_architecture(whole.path / "best.json")
    assert best.choices == result["best"]
    assert (best.cost.madds, best.cost.params) == (result["madds"], result["params"])
    assert 0 <= result["accuracy"] <= 1
    assert result["evaluations"] >= 1
    assert result["seconds"] > 0
    scores = [point["score"] for point in result["trajectory"]]
    assert scores
    assert scores == sorted(scores)
    assert result["accuracy"] == max(each["accuracy"] for each in result["finalists"])
    for each in (*result["ranked"], *result["finalists"]):
        assert SPACE.cost(each["architecture"]).madds == each["madds"]


@pytest.mark.parametrize("method", METHODS)
def test_no_network_over_a_limit_is_ranked_or_returned(tmp_path: Path, method: str) -> None:
    result = _searched(tmp_path / "run", method, budget={"max_madds": TIGHT})
    assert result["madds"] <= TIGHT
    for each in (*result["ranked"], *result["finalists"]):
        assert each["madds"] <= TIGHT


@pytest.mark.parametrize("stops", [3, *slowly(10)])
def test_a_search_stopped_again_and_again_ends_as_if_it_never_was(
    tmp_path: Path, whole: Whole, stops: int
) -> None:
    folder = SearchFolder.create(tmp_path / "parts", _settings(whole.method))
    space: Space | None = SPACE
    for _ in range(stops):
        with pytest.raises(KeyboardInterrupt):
            run_search(folder, space, Stopping(1))
        folder, space = SearchFolder.open(tmp_path / "parts"), None
    last = SearchFolder.open(tmp_path / "parts")
    parts = run_search(last, None, Stopping()).model_dump(mode="json")
    assert _timeless(parts) == _timeless(whole.result)
    names = ("best.json", "config.toml", "checkpoint/space.json")
    for name in names:
        assert (tmp_path / "parts" / name).read_bytes() == (whole.path / name).read_bytes()


def test_another_seed_is_another_search(tmp_path: Path, whole: Whole) -> None:
    other = _searched(tmp_path / "run", whole.method, seed=2)
    assert other["ranked"] != whole.result["ranked"]


def test_a_built_in_space_is_fitted_to_the_images(tmp_path: Path) -> None:
    space = load("reference@cifar")
    result = _searched(
        tmp_path / "run", "random", space, data={"resolution": 8}, evaluations=1, finalists=1
    )
    fitted = fitted_space(space, in_channels=1, resolution=8, classes=3)
    assert result["madds"] == fitted.cost(result["best"]).madds


def test_other_commands_say_whose_folder_it_is(tmp_path: Path) -> None:
    _searched(tmp_path / "run", "random", evaluations=1, finalists=1)
    with pytest.raises(RunError, match="holds a run of autospace search"):
        RunFolder.open(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"version": 1}, "version: 1; allowed: 2"),
        ({"accuracy": 33.3}, "accuracy: 33.3; allowed: 1 or less"),
        ({"finalists": [{}]}, r"finalists\[0\]\.architecture: missing key"),
    ],
)
def test_a_result_that_is_none_is_one_line_that_names_the_place(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    result = _searched(tmp_path / "run", "random", evaluations=1, finalists=1)
    path = tmp_path / "run" / "result.json"
    path.write_text(json.dumps(result | change))
    with pytest.raises(CheckpointError, match=rf"result\.json: {problem}"):
        run_search(SearchFolder.open(tmp_path / "run"), None, Stopping())


@pytest.mark.parametrize("method", METHODS)
def test_every_method_searches_blocks_of_convolutions(method: str, tmp_path: Path) -> None:
    whole = family_space("conv", SKELETON)
    few = ("resnet", "bottleneck_r2", "skip")
    layers = tuple(
        replace(layer, candidates=tuple(each for each in layer.candidates if each.id in few))
        for layer in whole.layers
    )
    space = replace(whole, layers=layers)
    result = _searched(tmp_path / "run", method, space)
    assert set(result["best"].values()) <= {*few}
