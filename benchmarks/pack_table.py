"""Packs NAS-Bench-Macro's published accuracies as the built-in table `nasbench-macro`.

    python benchmarks/pack_table.py nas-bench-macro_cifar10.json

The file is data/nas-bench-macro_cifar10.json of xiusu/NAS-Bench-Macro, commit 61a2bfc2.
"""

import json
import sys
from itertools import product
from pathlib import Path

from autospace.spaces import load, to_json

TARGET = Path(__file__).parents[1] / "autospace" / "evaluators" / "data" / "nasbench-macro.json"
STEPS = 100
"""Steps in a point: published accuracies are multiples of 0.01 points."""


def main() -> None:
    published = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    space = load("nasbench-macro@nasbench-macro")
    digits = [[candidate.id for candidate in layer.candidates] for layer in space.layers]
    networks = ["".join(network) for network in product(*digits)]
    assert sorted(networks) == sorted(published)
    scores = [steps(value) for network in networks for value in published[network]["test_acc"]]
    table = {
        "format": "autospace.table",
        "version": 1,
        "name": "nasbench-macro",
        "description": "test accuracy on CIFAR-10 of all 6,561 networks of NAS-Bench-Macro",
        "source": "Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, "
        "CVPR 2021; https://github.com/xiusu/NAS-Bench-Macro, commit 61a2bfc2",
        "license": "Apache-2.0",
        "space": json.loads(to_json(space)),
        "unit": 1 / (100 * STEPS),
        "seeds": 3,
        "scores": scores,
    }
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(f"{text}\n", encoding="utf-8")
    print(f"{TARGET}: {len(scores)} scores, {TARGET.stat().st_size:,} bytes")


def steps(points: float) -> int:
    """A published accuracy in steps of 0.01 points; it is one of them up to its float's error."""
    found = round(points * STEPS)
    assert abs(points * STEPS - found) < 1e-3, points
    return found


if __name__ == "__main__":
    main()
