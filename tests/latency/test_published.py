"""Built-in latency tables: their sums are the published latencies of NAS-Bench-201's networks."""

import ast
import csv
from pathlib import Path
from typing import Any

import pytest

from autospace import search
from autospace.latency.budget import LatencyError, Prediction
from autospace.latency.table import TABLE_NAMES, LatencyTable, read_table
from autospace.spaces import Space, SpaceError, load

PUBLISHED = Path(__file__).parents[3] / "shared/data/tables/hw_cifar10.csv"
NASLIB = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
"""The operations in the order of the published numbers."""
KNOWN = {
    # All edges none; all 3x3 convolutions; and the first row of the published file, without zeros.
    "nasbench201-eyeriss": (1.67954, 10.5269, 3.64562 - 1.67954),
    "nasbench201-fpga": (1.13296, 8.67856, 2.57296 - 1.13296),
}


def _space() -> Space:
    return load("nasbench201@nasbench201")


def _milliseconds(space: Space, table: LatencyTable, names: tuple[str, ...]) -> float:
    prediction = Prediction(table, space.skeleton)
    total = prediction.fixed_ns
    for layer, name in zip(space.layers, names, strict=True):
        (cell,) = (each.cell for each in layer.candidates if each.id == name)
        total += prediction.cell_ns(cell, layer.shape)
    return total / 1e6


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_known_networks_have_their_published_latency(name: str) -> None:
    space, table = _space(), read_table(name)
    least, most, one_by_one = KNOWN[name]
    assert _milliseconds(space, table, ("none",) * 6) == pytest.approx(least, abs=1e-4)
    assert _milliseconds(space, table, ("nor_conv_3x3",) * 6) == pytest.approx(most, abs=1e-4)
    rest = ("avg_pool_3x3", "nor_conv_1x1", "nor_conv_1x1", *("skip_connect",) * 3)
    assert _milliseconds(space, table, rest) - least == pytest.approx(one_by_one, abs=1e-4)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published table is not at hand")
@pytest.mark.parametrize("name", TABLE_NAMES)
def test_all_published_latencies_are_predicted(name: str) -> None:
    space, table = _space(), read_table(name)
    prediction = Prediction(table, space.skeleton)
    times = [
        {each.id: prediction.cell_ns(each.cell, layer.shape) for each in layer.candidates}
        for layer in space.layers
    ]
    column = f"{name.removeprefix('nasbench201-')}_latency"
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15_625
    for row in rows:
        names = [NASLIB[code] for code in ast.literal_eval(row["net"])]
        cells = sum(edge[each] for edge, each in zip(times, names, strict=True))
        found = (prediction.fixed_ns + cells) / 1e6
        assert abs(found - float(row[column])) < 1e-4


def test_a_search_stays_within_a_limit_of_a_published_table(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "evaluator": {"method": "table", "table": "nasbench201-12epochs"},
        "budget": {"max_latency_ms": 3.0, "latency_table": "nasbench201-fpga"},
        "evaluations": 30,
    }
    found = search(_space(), method="random", settings=settings, out=tmp_path / "run")
    space, table = _space(), read_table("nasbench201-fpga")
    for each in found.result.ranked:
        names = tuple(each.architecture[layer.shape.name] for layer in space.layers)
        assert _milliseconds(space, table, names) <= 3.0


def test_a_slip_in_the_name_is_answered_by_the_name(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="did you mean nasbench201-fpga") as found:
        read_table(str(tmp_path / "nasbench201-fpg"))
    assert "\n" not in str(found.value)


def test_a_file_comes_before_the_built_in_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nasbench201-fpga").write_text("{}")
    with pytest.raises(SpaceError, match="no latency table"):
        read_table("nasbench201-fpga")


def test_a_published_table_is_for_its_skeleton(tmp_path: Path) -> None:
    limit = {"max_latency_ms": 3.0, "latency_table": "nasbench201-fpga"}
    with pytest.raises(LatencyError, match="latency table: no "):
        search(
            "mbconv@digits", "digits", settings={"budget": limit}, method="random",
            out=tmp_path / "run",
        )  # fmt: skip


@pytest.mark.parametrize("kind", ["folder", "link"])
def test_what_has_the_name_of_a_built_in_table_is_not_offered_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "nasbench201-fpga"
    place.mkdir() if kind == "folder" else place.symlink_to("nowhere")
    with pytest.raises(SpaceError) as found:
        read_table("nasbench201-fpga")
    assert "did you mean" not in str(found.value)
    assert "\n" not in str(found.value)
