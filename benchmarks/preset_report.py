"""The figures of docs/evidence/results.md on the preset `cifar-small`, from its comparisons.

    python benchmarks/preset_report.py

Reads `results/preset_*.json`, prints by how much the learned spaces are better than each rival, and
what the networks of `mbconv` have in common with their errors: expansions, kernels, skips.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import linregress, t

RESULTS: Final = Path(__file__).parent / "results"
SHORT: Final = ("preset_comparison", "preset_probe", "preset_depth")
"""Comparisons of networks that were trained for 1,000 steps."""
CHANGED: Final = ("preset_wide", "preset_limit", "preset_price", "preset_skips")
"""Those of settings that were tried in its place, trained for as many steps."""
LEARNED: Final = ("learned-", "wide-", "limit-", "price-", "skips-")
"""How the names of learned spaces begin."""
Space = dict[str, Any]


def spaces(name: str) -> list[Space]:
    """The compared spaces of a file.

    The file of three comparisons holds the same networks three times, in full only the first time.
    """
    found = json.loads((RESULTS / f"{name}.json").read_text())
    return found["spaces"] if "spaces" in found else next(iter(found.values()))["spaces"]


def errors(space: Space) -> np.ndarray:
    """In points."""
    return 100 * np.array(space["errors"])


def better(learned: Sequence[Space], rival: Space) -> tuple[float, float, float]:
    """How many points learned spaces are better, with a 95 % interval over the rival's networks.

    Each of these has the mean of its partners, one of every learned space.
    """
    differences = errors(rival) - np.mean([errors(each) for each in learned], axis=0)
    mean, count = float(differences.mean()), len(differences)
    half = float(t.ppf(0.975, count - 1) * differences.std(ddof=1) / count**0.5)
    return mean, mean - half, mean + half


def hand_made() -> dict[tuple[str, ...], float]:
    """The networks of `mbconv` after 1,000 steps: ids by layer, and the error in points."""
    return {
        tuple(network.values()): float(error)
        for name in SHORT
        for space in spaces(name)
        if space["source"].startswith("mbconv@")
        for network, error in zip(space["networks"], errors(space), strict=True)
    }


def slopes() -> dict[str, tuple[float, float, float]]:
    """Points of error per layer with a property: slope, standard error, p."""
    networks = hand_made()
    found = {}
    for name, part in (("expansion 6", "_e6"), ("kernel 7", "_k7_"), ("skipped", "skip")):
        counts = [sum(part in cell for cell in network) for network in networks]
        line = linregress(counts, list(networks.values()))
        found[name] = (float(line.slope), float(line.stderr), float(line.pvalue))
    return found


def of_all_comparisons() -> dict[str, tuple[int, float, float]]:
    """By kind of space, over all its networks of 1,000 steps: how many, mean error, its error."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for name in (*SHORT, *CHANGED):
        for space in spaces(name):
            hand_made = space["source"].startswith("mbconv@")
            if space["source"].endswith(".json") and not hand_made:
                continue  # was changed by hand
            kind = "mbconv" if hand_made else space["source"].partition("-")[0]
            for network, error in zip(space["networks"], errors(space), strict=True):
                # The hand-made cells are the same in all comparisons.
                key = (*([] if hand_made else [space["source"]]), *network.values())
                found.setdefault(kind, {})[key] = float(error)
    return {
        kind: (len(each), float(values.mean()), float(values.std(ddof=1) / len(each) ** 0.5))
        for kind, each in found.items()
        for values in [np.array([*each.values()])]
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    for name in (*SHORT, "preset_longer", *CHANGED):
        compared = spaces(name)
        learned = [each for each in compared if each["source"].startswith(LEARNED)]
        madds = np.mean([each["madds"] for each in compared]) / 1e6
        print(f"{name}: {len(compared[0]['errors'])} networks each, {madds:.2f}M MAdds")
        for rival in (each for each in compared if each not in learned):
            mean, low, high = better(learned, rival)
            ours = np.mean([errors(each) for each in learned])
            print(
                f"  {len(learned)} learned better than {rival['source']} by {mean:.2f}"
                f" ({low:.2f} to {high:.2f}), errors {ours:.1f} and {errors(rival).mean():.1f}"
            )
    for kind, (count, mean, deviation) in of_all_comparisons().items():
        print(f"{kind}: {count} networks, error {mean:.1f} (standard error {deviation:.1f})")
    print(f"{len(hand_made())} networks of mbconv, 1,000 steps; points of error per layer that has")
    for name, (slope, deviation, p) in slopes().items():
        print(f"  {name}: {slope:+.2f} (standard error {deviation:.2f}, p = {p:.3f})")


if __name__ == "__main__":
    main()
