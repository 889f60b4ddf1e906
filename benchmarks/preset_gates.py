"""Trains networks of learned spaces again, with every gate of their cells replaced by a sum.

    python benchmarks/preset_gates.py --data folder:PATH --out FILE.jsonl

Gates go with error among the networks of `results/preset_limit.json`. Are they the cause? Each
network that has one is trained as `autospace compare` trained it, with the same seed, but without
gates: the first of each space, then the second of each, and so on. The first question was about the
first four of each space, the second about those not trained by then. A second call skips what the
file already holds.

Without --out, prints what `results/preset_gates.jsonl` says.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from scipy.stats import linregress, t

from autospace.compute.machine import keep_freed_memory
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluatorConfig, architecture_key
from autospace.evaluators.make import Setup, make_evaluator
from autospace.seeds import derived_seed
from autospace.spaces import Architecture, Cell, load

RESULTS: Final = Path(__file__).parent / "results"
REGISTERED: Final = 4
"""Networks of each space that the first question was about, those without a gate among them."""
KNOWN: Final = 13
"""How many answers were known when the second question was asked, about the others."""
RESOLUTION: Final = 16


def networks() -> Iterator[tuple[str, int, Architecture, float]]:
    """Space, place, network and error of what the learned spaces were compared with."""
    compared = json.loads((RESULTS / "preset_limit.json").read_text())["spaces"]
    learned = [each for each in compared if not each["source"].startswith("mbconv@")]
    for place in range(len(learned[0]["networks"])):
        for each in learned:
            space = load(RESULTS / "preset_limit" / f"{each['source']}.json")
            network = space.architecture(each["networks"][place])
            yield each["source"], place, network, each["errors"][place]


def gates(network: Architecture) -> int:
    """How many nodes of all its cells mix by a gate."""
    return sum(mix == "gate" for cell in network.cells for mix in cell.pruned().mix)


def without_gates(network: Architecture) -> Architecture:
    """The network with a sum in place of each gate; it costs as much."""

    def plain(cell: Cell) -> Cell:
        mix = tuple("sum" if each == "gate" else each for each in cell.mix)
        return replace(cell, mix=mix).pruned()

    changed = (
        replace(each, cell=plain(each.cell), fitness=None, uncertainty=None)
        for each in network.candidates
    )
    return replace(network, candidates=tuple(changed))


def measure(data: str, out: Path) -> None:
    """Trains the networks and adds a line for each."""
    torch.set_num_threads(1)
    keep_freed_memory()
    lines = out.read_text().splitlines() if out.exists() else []
    done = {(each["space"], each["network"]) for each in map(json.loads, lines)}
    config = DataConfig(source=data, resolution=RESOLUTION)
    setup = Setup(EvaluatorConfig(), config, (), 0, "cpu", out.parent)
    evaluator = make_evaluator(setup, setup.basis())
    for space, place, network, error in networks():
        if (space, place) in done or not gates(network):
            continue
        seed = derived_seed(0, "evaluation", architecture_key(network), 0)
        found = evaluator.evaluate(without_gates(network), seed)
        row = {
            "space": space,
            "network": place,
            "gates": gates(network),
            "error": error,
            "without": round(1 - found.score, 8),
        }
        with out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def gains(rows: list[dict[str, Any]]) -> tuple[float, float, float]:
    """Points of error that go with the gates: the mean over networks, and its 95 % interval."""
    values = 100 * np.array([each["error"] - each["without"] for each in rows])
    half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return float(values.mean()), float(values.mean()) - half, float(values.mean()) + half


def asked(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the first question, and those of the second."""
    return [each for each in rows if each["network"] < REGISTERED], rows[KNOWN:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.out:
        measure(arguments.data, arguments.out)
        return
    text = (RESULTS / "preset_gates.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    first, then = asked(rows)
    for name, some in (
        ("asked first", first),
        ("asked next, 3 gates or more", [each for each in then if each["gates"] > 2]),
        ("asked next, up to 2 gates", [each for each in then if each["gates"] < 3]),
        ("all", rows),
        ("up to 2 gates", [each for each in rows if each["gates"] < 3]),
        ("3 gates or more", [each for each in rows if each["gates"] > 2]),
    ):
        mean, low, high = gains(some)
        print(f"{name}: {len(some)} networks, {mean:.2f} points better ({low:.2f} to {high:.2f})")
    line = linregress(
        [each["gates"] for each in rows],
        [100 * (each["error"] - each["without"]) for each in rows],
    )
    print(f"per gate: {line.slope:.2f} (standard error {line.stderr:.2f}, p = {line.pvalue:.3f})")


if __name__ == "__main__":
    main()
