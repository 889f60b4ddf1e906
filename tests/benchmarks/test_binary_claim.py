"""The benchmark of binary against real-valued search: what is there is skipped, and counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.scripts import script
from tests.docs.pages import ROOT

__all__ = ["script"]
TINY = ("--data", "synthetic:classes=3,train=60,test=20", "--steps", "2", "--train-steps", "2")


@pytest.mark.slow
def test_every_arm_is_searched_trained_and_compared_seed_by_seed(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim, out = script("binary_claim"), tmp_path / "claim.jsonl"
    given = (*TINY, "--batch", "8", "--seeds", "2", "--out", str(out))
    claim.main(given)
    lines = out.read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["key"]["arm"] for row in rows] == [*claim.ARMS] * 2
    assert all(len(row["accuracies"]) == 2 for row in rows)
    out.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    claim.main(given)
    assert out.read_text("utf-8").splitlines() == lines
    capsys.readouterr()
    claim.main((*given, "--report"))
    table = capsys.readouterr().out
    assert [line.split(" | ")[3] for line in table.splitlines() if line.startswith("| `")] == (
        ["2"] * 7
    )
    claim.main((*given, "--report", "--trainings", "3"))
    assert "0 seeds have all arms" in capsys.readouterr().out


def test_the_guide_shows_what_was_measured(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    measured = ROOT / "benchmarks" / "results" / "binary_claim.jsonl"
    script("binary_claim").main(("--out", str(measured), "--report"))
    page = (ROOT / "docs" / "guide" / "binary.md").read_text("utf-8")
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| `")]
    assert len(rows) == 7
    assert all(row in page for row in rows)
    chosen: dict[str, list[str]] = {}
    for line in measured.read_text("utf-8").splitlines():
        found = json.loads(line)
        chosen.setdefault(found["key"]["arm"], []).extend(found["choices"].values())
    poolings = {arm: sum("avg" in x or "max" in x for x in names) for arm, names in chosen.items()}
    assert f"in {poolings['binary']} of {len(chosen['binary'])} layers" in page
    assert f"with real numbers in {poolings['real']}." in page
