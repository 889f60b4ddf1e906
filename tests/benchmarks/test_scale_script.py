"""The script behind docs/evidence/scale.md: the page says what follows from the measured units."""

import json
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autospace.bench.workload import CANDIDATES, FULL, REFERENCE
from autospace.networks.network import Network
from autospace.spaces.cost import fixed_cost
from tests.benchmarks.scripts import script
from tests.evolution.runs import ROOT

__all__ = ["script"]

RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "evidence" / "scale.md"


def _found() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / "scale.json").read_text())
    return found


def test_the_page_says_what_follows_from_the_units(script: Any) -> None:
    scale, found = script("scale"), _found()
    gpu = json.loads((RESULTS / "gpu.json").read_text())
    seconds = gpu["search_step"]["recorded bfloat16"]["seconds"]
    assert scale.taken(found, seconds) == found["whole"]
    page = PAGE.read_text("utf-8")
    for row in scale.table(found["whole"]):
        assert row in page
    assert f"{round(100 * found['whole']['evolve']['warm_up_share'])} % of its MAdds" in page
    assert f"{found['plans']['compare']['printed']['networks_per_space']} networks a space" in page
    step = found["whole"]["gpu_step"]
    for value in step["million_madds_an_image"].values():
        assert f" {value} " in page
    low, high = (round(each) for each in step["billion_madds"])
    assert f"that is {high} billion MAdds; {low} billion without" in page


def test_a_search_step_has_the_madds_that_torch_counts(script: Any) -> None:
    shapes, counts = FULL.skeleton.shapes, []
    for cell in (*CANDIDATES, REFERENCE):
        network = Network(FULL.skeleton, [cell] * len(shapes)).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, FULL.resolution, FULL.resolution))
        counts.append(counter.get_total_flops() / 2)
    # Stem and head were counted with every cell.
    whole = sum(counts) - (len(counts) - 1) * fixed_cost(FULL.skeleton).madds
    assert script("scale").gpu_step(0.045)["billion_madds"] == [
        pytest.approx(passes * FULL.batch * whole / 1e9, rel=0.01) for passes in (5, 6)
    ]


def test_hours_follow_from_the_ratio_of_madds(script: Any) -> None:
    step = {"seconds": 0.1, "billion_madds": [50.0, 100.0]}
    # 36 quadrillion MAdds are 360,000 or 720,000 such steps: 10 or 20 hours, at 2 to 4 dollars.
    assert script("scale")._cost(36e15, 7200.0, step) == {
        "quadrillion_madds": 36.0,
        "core_hours": 2,
        "gpu_hours": [10.0, 20.0],
        "dollars": [20, 80],
    }
