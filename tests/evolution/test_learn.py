"""Whole runs in this process: what they leave, and what they refuse."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autospace.compute.device import resolve_device
from autospace.data.errors import DataError
from autospace.evolution.families import reference_cells
from autospace.evolution.folder import RunError, RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.preparation import PreparedRun, prepare
from autospace.evolution.settings import make_config
from autospace.progress import Event
from autospace.spaces import Space, SpaceError, from_json
from autospace.spaces.cells.variation import CellPrior
from autospace.spaces.cost import BudgetError, fixed_cost
from autospace.spaces.files.library import load
from tests.evolution.runs import ROOT, ROUNDS, Counting, settings


def _learned(run: Path, chosen: dict[str, Any], *, force: bool = False) -> Space:
    return learn(RunFolder.create(run, make_config(chosen), force=force), Counting())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    _learned(folder / "run", settings(folder))
    return folder / "run"


def _content(path: Path) -> dict[str, bytes]:
    return {
        each.relative_to(path).as_posix(): each.read_bytes()
        for each in sorted(path.rglob("*"))
        if each.is_file() and each.name != ".lock"
    }


def _prepared(folder: Path, **changes: Any) -> PreparedRun:
    config = make_config(settings(folder, **changes))
    return prepare(config, RunFolder(folder), Counting())


def test_a_run_returns_what_it_wrote(finished: Path) -> None:
    space = load(finished)
    assert space.name == "learned@two"
    assert [len(layer.candidates) for layer in space.layers] == [5, 5]
    assert set(space.reference.values()) == {"mbconv_k3_e1"}
    # The yardstick is as good as itself.
    for layer in space.layers:
        assert layer.by_id["mbconv_k3_e1"].fitness == pytest.approx(0, abs=1e-6)
    assert from_json((finished / "space.json").read_text()) == space


def test_by_default_no_architecture_exceeds_the_most_expensive_reference(finished: Path) -> None:
    space = load(finished)
    references = [
        [
            cost.madds
            for each, cost in zip(layer.candidates, layer.costs, strict=True)
            if each.origin.kind == "reference"
        ]
        for layer in space.layers
    ]
    limit = fixed_cost(space.skeleton).madds + sum(map(max, references))
    assert space.budget.max_madds == limit >= space.most_expensive.madds
    assert space.budget.max_params is None


def test_equal_seeds_give_equal_bytes_here_and_in_another_process(
    finished: Path, tmp_path: Path
) -> None:
    expected = (finished / "space.json").read_bytes()
    _learned(tmp_path / "again", settings(tmp_path))
    assert (tmp_path / "again" / "space.json").read_bytes() == expected
    code = (
        "import sys, json, torch; from pathlib import Path; "
        "from tests.evolution.test_learn import _learned\n"
        "torch.set_num_threads(1); _learned(Path(sys.argv[1]), json.loads(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "other")]
    command.append(json.dumps(settings(tmp_path)))
    environment = {"PYTHONHASHSEED": "5", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, env=environment, cwd=tmp_path)
    assert (tmp_path / "other" / "space.json").read_bytes() == expected


def test_other_seeds_give_other_spaces(finished: Path, tmp_path: Path) -> None:
    other = _learned(tmp_path / "run", settings(tmp_path, seed=1))
    assert other.layers != load(finished).layers


def test_a_space_says_how_it_came_about_but_not_where_or_when(
    finished: Path, tmp_path: Path
) -> None:
    text = (finished / "space.json").read_text()
    assert str(finished.parent) not in text
    provenance = json.loads(text)["provenance"]
    assert provenance["config"]["seed"] == 0
    assert provenance["config"]["skeleton"] == "two"
    assert provenance["config"]["device"] == "cpu"
    assert provenance["config"]["precision"] == "float32"
    assert provenance["data"]["name"] == "synthetic:gratings"
    assert len(provenance["data"]["sha256"]) == 64
    assert provenance["kernels"] in {"compiled", "PyTorch's"}
    assert provenance["versions"]["torch"] == torch.__version__.partition("+")[0] or (
        provenance["versions"]["torch"] == torch.__version__
    )
    del tmp_path


def test_the_log_has_a_line_a_round(finished: Path) -> None:
    events = [json.loads(line) for line in (finished / "events.jsonl").read_text().splitlines()]
    assert [event["round"] for event in events] == list(range(ROUNDS))
    phases = [event["phase"] for event in events]
    assert phases == ["initial"] * 3 + ["evolve"] * 3 + ["confirm"] * 2
    assert all(event["memory_mb"] > 0 for event in events)


def test_a_finished_run_is_returned_without_any_work(finished: Path) -> None:
    before = _content(finished)
    observer = Counting()
    assert learn(RunFolder.open(finished), observer) == load(finished)
    assert observer.phases == []
    assert _content(finished) == before


def test_the_work_is_done_in_as_many_threads_as_asked_for(tmp_path: Path) -> None:
    class Watching(Counting):
        def event(self, event: Event) -> None:
            seen.add(torch.get_num_threads())

    seen: set[int] = set()
    before = torch.get_num_threads()
    config = make_config(settings(tmp_path, threads=before + 1, evolution={"generations": 1}))
    learn(RunFolder.create(tmp_path / "run", config), Watching())
    assert seen == {before + 1}
    assert torch.get_num_threads() == before


def test_the_global_generators_are_left_alone(tmp_path: Path) -> None:
    random.seed(5)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = random.Random(5).random(), torch.Generator().manual_seed(5)
    numbers = np.random.RandomState(5).rand()
    _learned(tmp_path / "run", settings(tmp_path))
    assert random.random() == expected[0]
    assert torch.equal(torch.rand(3), torch.rand(3, generator=expected[1]))
    assert np.random.rand() == numbers  # noqa: NPY002


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"data": {"source": "folder:/no/such/folder"}}, DataError, "/no/such/folder"),
    ({"data": {"source": "pictures"}}, DataError, "is not a data source"),
    ({"skeleton": "huge"}, SpaceError, "huge: unknown skeleton"),
    ({"skeleton": "/no/such/skeleton.toml"}, SpaceError, "no such file"),
    ({"budget": {"max_madds": 10}}, BudgetError, "the limit is 10 MAdds"),
    ({"budget": {"max_params": 10}}, BudgetError, "the limit is 10 params"),
    ({"device": "cuda:99"}, RunError, "allowed: cpu or auto"),
]


@pytest.mark.parametrize(("changes", "error", "problem"), WRONG)
def test_a_run_that_cannot_start_says_why_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], problem: str
) -> None:
    chosen = settings(tmp_path)
    before = _content(tmp_path)
    with pytest.raises(error, match=problem) as caught:
        _learned(tmp_path / "runs" / "new", settings(tmp_path, **changes))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()
    assert _content(tmp_path) == before
    # Nothing is in the way of the next attempt.
    _learned(tmp_path / "runs" / "new", {**chosen, "evolution": {**chosen["evolution"]}})


def test_a_forced_run_that_cannot_start_leaves_the_earlier_one(
    finished: Path, tmp_path: Path
) -> None:
    before = _content(finished)
    for changes, error, _ in WRONG:
        with pytest.raises(error):
            _learned(finished, settings(tmp_path, **changes), force=True)
        assert _content(finished) == before


def test_a_forced_run_is_the_run_that_it_would_have_been(tmp_path: Path) -> None:
    _learned(tmp_path / "one", settings(tmp_path, seed=3))
    _learned(tmp_path / "two", settings(tmp_path, seed=4))
    _learned(tmp_path / "two", settings(tmp_path, seed=3), force=True)
    names = ("space.json", "config.toml", "checkpoint/state.json")
    one, two = _content(tmp_path / "one"), _content(tmp_path / "two")
    assert two.keys() - one.keys() == {"checkpoint/replaced"}  # by which loggers tell them apart
    assert all(one[name] == two[name] for name in names)


def test_data_that_changed_since_the_start_is_an_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    file = tmp_path / "images.npz"

    def write() -> None:
        images = rng.integers(0, 255, (60, 8, 8), dtype=np.uint8)
        np.savez(
            file,
            x_train=images,
            y_train=np.arange(60) % 3,
            x_test=images,
            y_test=images[:, 0, 0] % 3,
        )

    class StopError(Exception):
        pass

    def stop() -> None:
        raise StopError

    write()
    config = make_config(settings(tmp_path, data={"source": f"npz:{file}"}))
    with pytest.raises(StopError):
        learn(RunFolder.create(tmp_path / "run", config), Counting(6, stop))
    write()
    with pytest.raises(RunError, match="the data has changed since this run began"):
        learn(RunFolder.open(tmp_path / "run"), Counting())
    assert (tmp_path / "run" / "config.toml").is_file()


def test_the_plan_is_the_configuration(tmp_path: Path) -> None:
    evolution = {"write_back": 0.3, "crossover": 0.1, "objectives": ["fitness", "madds"]}
    plan = _prepared(tmp_path, seed=9, evolution=evolution, cells={"none_probability": 0.2}).plan
    assert (plan.seed, plan.generations, plan.candidates, plan.keep, plan.confirm) == (
        9,
        3,
        2,
        2,
        1,
    )
    assert (plan.write_back, plan.operators.crossover) == (0.3, 0.1)
    assert plan.operators.objectives == ("fitness", "madds")
    prior = plan.operators.prior
    assert isinstance(prior, CellPrior)
    assert prior.none_probability == 0.2
    assert "none" not in prior.operations
    assert plan.rounds == ROUNDS


def test_limits_are_numbers_the_reference_or_none(tmp_path: Path) -> None:
    free = _prepared(tmp_path, budget={"max_madds": "none", "max_params": "none"})
    assert (free.budget.max_madds, free.budget.max_params) == (None, None)
    tight = _prepared(tmp_path, budget={"max_madds": "reference", "max_params": "reference"})
    exact = _prepared(
        tmp_path,
        budget={"max_madds": tight.budget.max_madds, "max_params": tight.budget.max_params},
    )
    assert exact.plan.limits == tight.plan.limits


def test_reference_stands_for_a_multiple_of_the_reference_networks(tmp_path: Path) -> None:
    words = {"max_madds": "reference", "max_params": "reference"}
    once = _prepared(tmp_path, budget=words).budget
    wide = _prepared(tmp_path, budget={**words, "reference_factor": 1.1}).budget
    assert once.max_madds is not None
    assert once.max_params is not None
    # In whole numbers: a float would be off by one for some.
    assert (wide.max_madds, wide.max_params) == (
        once.max_madds * 11 // 10,
        once.max_params * 11 // 10,
    )
    given = _prepared(tmp_path, budget={"max_madds": 10**7, "reference_factor": 3.0}).budget
    assert given.max_madds == 10**7


def test_reference_cells_are_named_after_kernel_and_expansion() -> None:
    config = make_config({"cells": {"reference_kernels": [5, 3], "reference_expansion": 3}})
    assert [name for name, _ in reference_cells(config.cells)] == ["mbconv_k5_e3", "mbconv_k3_e3"]


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:-1", "meta", "cpu:0\n", "", "cuda:123"])
def test_an_unknown_device_is_refused(name: str) -> None:
    with pytest.raises(RunError, match=r"^device: \".*llowed: auto, cpu or cuda\[:n\]$"):
        resolve_device(name)


def test_the_cpu_is_a_device_and_auto_finds_one() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
