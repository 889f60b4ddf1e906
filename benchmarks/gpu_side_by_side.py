"""Images a second of trainings that share a device, each in a process of its own.

    python benchmarks/gpu_side_by_side.py --device cuda:0 --processes 1 4 8 [--seconds 6]

Processes take turns on a GPU, unless NVIDIA's MPS runs: `nvidia-cuda-mps-control -d` starts it. The
network is MBConv k3 e6 on the skeleton `cifar`, trained as `compare` trains.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

START_SECONDS = (15.0, 0.5)
"""Until all processes train: of one, and of each further one."""


def images_per_s(device: str, precision: str, batch: int, end: float, seconds: float) -> float:
    """Trains until `end`, a time since the epoch; counts the images of the last seconds."""
    import torch

    from autospace.compute.cuda_graphs import make_graphs
    from autospace.compute.device import resolve_device
    from autospace.compute.execution import Execution
    from autospace.data.batches import Augment, Batches, Normaliser
    from autospace.data.load import load_data
    from autospace.networks.network import Network, placed
    from autospace.spaces import load, mbconv
    from autospace.training.short import Recipe, train

    where = resolve_device(device)
    skeleton = load("mbconv@cifar").skeleton
    source = "synthetic:classes=10,train=5000,test=20,channels=3"
    data = load_data(source, resolution=skeleton.resolution, seed=0)
    augment, norm = Augment(crop=4, flip=True), Normaliser.from_examples(data.train)
    batches = Batches(data.train, batch, 0, where, norm, augment)
    network = placed(Network(skeleton, [mbconv(3, 6)] * len(skeleton.layers)), where)
    marks: list[tuple[int, float]] = []

    class OverError(Exception):
        """The time is over."""

    def after(step: int, _: object) -> None:
        if where.type == "cuda":
            if step % 20 != 19:
                return  # Whoever waits after every step measures the waiting.
            torch.cuda.synchronize(where)
        marks.append((step, time.time()))
        if time.time() > end:
            raise OverError

    execution = Execution(where, getattr(torch, precision), make_graphs(where, print))
    with contextlib.suppress(OverError):
        train(network, batches, Recipe(10**6), after_step=after, execution=execution)
    late = [mark for mark in marks if mark[1] > end - seconds]
    if len(late) < 2:
        return 0.0
    (first, began), (last, ended) = late[0], late[-1]
    return (last - first) * batch / (ended - began)


def side_by_side(device: str, precision: str, batch: int, count: int, seconds: float) -> Any:
    """What processes that train at the same time do together, and the slowest of them alone."""
    end = time.time() + START_SECONDS[0] + START_SECONDS[1] * count + seconds
    words = [sys.executable, __file__, "--device", device, "--precision", precision]
    words += ["--batch", str(batch), "--seconds", str(seconds), "--end", str(end)]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    found = [float(each.communicate()[0].split()[-1]) for each in running]
    return {
        "processes": count,
        "precision": precision,
        "batch": batch,
        "images_per_s": sum(found),
        "slowest": min(found),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--end", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    setting = (given.device, given.precision, given.batch)
    if given.end is not None:
        print(images_per_s(*setting, given.end, given.seconds))
        return
    rows = []
    for count in given.processes:
        rows.append(side_by_side(*setting, count, given.seconds))
        print(json.dumps(rows[-1]), flush=True)
        if given.out:
            given.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
