"""A limit on predicted latency is kept by searches, with the table with which they began."""

import random
from pathlib import Path

import pytest

from autospace.latency.budget import Prediction, latency_limit
from autospace.latency.table import to_json
from autospace.runs.errors import ConfigError
from autospace.searchers.driver import run_search
from autospace.searchers.folder import SearchFolder
from autospace.spaces.choices import SearchError
from autospace.spaces.files.families import family_space
from tests.latency.tables import network_ns, table_for
from tests.searchers.problems import SKELETON, settings
from tests.searchers.test_every_method import Stopping

SPACE = family_space("mbconv", SKELETON)
PREDICTION = Prediction(table_for(SKELETON), SKELETON)


def _milliseconds(choices: dict[str, str]) -> float:
    return network_ns(PREDICTION, SPACE.architecture(choices).cells) / 1e6


def _bounds() -> tuple[float, float]:
    layers = [
        [PREDICTION.cell_ns(each.cell, layer.shape) for each in layer.candidates]
        for layer in SPACE.layers
    ]
    fixed = PREDICTION.fixed_ns
    return (fixed + sum(map(min, layers))) / 1e6, (fixed + sum(map(max, layers))) / 1e6


@pytest.mark.parametrize("method", ["random", "random-ws", "spos", "proxyless"])
def test_every_network_is_within_the_limit(tmp_path: Path, method: str) -> None:
    fastest, slowest = _bounds()
    most = fastest + 0.3 * (slowest - fastest)
    table = tmp_path / "table.json"
    table.write_text(to_json(PREDICTION.table))
    limit = {"max_latency_ms": most, "latency_table": str(table)}
    folder = SearchFolder.create(tmp_path / "run", settings(method=method, budget=limit))
    with pytest.raises(KeyboardInterrupt):
        run_search(folder, SPACE, Stopping(2))
    # What becomes of the file is no matter: the search keeps what it began with.
    table.unlink()
    result = run_search(SearchFolder.open(tmp_path / "run"), None, Stopping())
    for each in (*result.ranked, *result.finalists):
        assert _milliseconds(each.architecture) <= most


def test_a_limit_admits_what_takes_exactly_as_long() -> None:
    rng = random.Random(0)
    for _ in range(50):
        drawn = SPACE.sample(rng)
        path = [
            layer.candidates.index(each)
            for layer, each in zip(SPACE.layers, drawn.candidates, strict=True)
        ]
        whole = network_ns(PREDICTION, drawn.cells)
        assert latency_limit(SPACE, PREDICTION.table, whole / 1e6).allows(path)
        assert not latency_limit(SPACE, PREDICTION.table, (whole - 1) / 1e6).allows(path)


def test_a_limit_below_the_fastest_network_is_refused(tmp_path: Path) -> None:
    fastest, _ = _bounds()
    table = tmp_path / "table.json"
    table.write_text(to_json(PREDICTION.table))
    limit = {"max_latency_ms": fastest * 0.99, "latency_table": str(table)}
    folder = SearchFolder.create(tmp_path / "run", settings(budget=limit))
    with pytest.raises(SearchError, match="max_latency_ms: the limit is"):
        run_search(folder, SPACE, Stopping())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("half", [{"max_latency_ms": 3.0}, {"latency_table": "x.json"}])
def test_limit_and_table_go_together(half: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="allowed: both, the table"):
        settings(budget=half)
