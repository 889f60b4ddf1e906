"""`evolve` under a limit on latency: the emitted space keeps it, and says with which table."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from autospace.evolution.folder import RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.settings import make_config
from autospace.latency.table import to_json
from autospace.runs.errors import ConfigError
from autospace.spaces import SpaceError, load_skeleton
from tests.evolution.runs import Counting, settings
from tests.latency.tables import table_for
from tests.latency.test_parts import parts_of
from tests.latency.test_prediction import nanoseconds


def limited(folder: Path, limit: Any, **changes: Any) -> dict[str, Any]:
    """Settings of a small run, and a table for its skeleton beside it."""
    some = settings(folder, budget={"max_latency_ms": limit, "latency_table": "table.json"})
    skeleton = load_skeleton(some["skeleton"])
    path = folder / "table.json"
    path.write_text(to_json(table_for(skeleton)))
    some["budget"]["latency_table"] = str(path)
    return {**some, **changes}


def learned(folder: Path, some: dict[str, Any]) -> Any:
    return learn(RunFolder.create(folder / "run", make_config(some)), Counting())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("latency")
    learned(folder, limited(folder, "reference"))
    return folder


def test_no_architecture_of_the_space_is_over_the_limit(finished: Path) -> None:
    space = RunFolder.open(finished / "run").load_space()
    limit = space.provenance["latency"]["max_ms"] * 1e6
    rng = random.Random(0)
    for _ in range(200):
        architecture = space.sample(rng)
        assert sum(map(nanoseconds, parts_of(architecture))) <= round(limit)


def test_cells_over_the_share_are_rejected_before_training(finished: Path) -> None:
    lines = (finished / "run" / "events.jsonl").read_text().splitlines()
    rejected = [layer["over_budget"] for line in map(json.loads, lines) for layer in line["layers"]]
    assert sum(rejected) > 0


def test_the_space_names_the_table_by_its_digest_and_not_by_its_place(finished: Path) -> None:
    import hashlib

    text = (finished / "run" / "space.json").read_text()
    provenance = json.loads(text)["provenance"]
    wanted = hashlib.sha256((finished / "table.json").read_bytes()).hexdigest()
    assert provenance["latency"]["sha256"] == wanted
    assert provenance["config"]["budget"]["latency_table"] == "table.json"
    assert str(finished) not in text


def test_a_run_goes_on_with_the_table_with_which_it_began(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for folder in (whole, stopped):
        folder.mkdir()
    learned(whole, limited(whole, "reference"))
    begun = RunFolder.create(stopped / "run", make_config(limited(stopped, "reference")))
    with pytest.raises(KeyboardInterrupt):
        learn(begun, Counting(20, stop))
    (stopped / "table.json").unlink()
    learn(RunFolder.open(stopped / "run"), Counting())
    texts = [(each / "run" / "space.json").read_text() for each in (whole, stopped)]
    assert texts[0] == texts[1]


def test_a_wrong_table_leaves_nothing_behind(tmp_path: Path) -> None:
    some = limited(tmp_path, 1.0)
    (tmp_path / "table.json").write_text("{}")
    with pytest.raises(SpaceError, match=r"table\.json"):
        learned(tmp_path, some)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("budget", "complaint"),
    [
        ({"max_latency_ms": 3.0}, "max_latency_ms requires latency_table"),
        ({"latency_table": "table.json"}, "latency_table has no effect without max_latency_ms"),
        ({"max_latency_ms": 0.0, "latency_table": "t"}, "max_latency_ms: 0.0"),
        ({"max_latency_ms": "fast", "latency_table": "t"}, "max_latency_ms: "),
        ({"max_latency_ms": True, "latency_table": "t"}, "max_latency_ms: "),
    ],
)
def test_settings_that_make_no_sense_are_refused(budget: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config({"budget": budget})
    assert complaint in str(caught.value)
