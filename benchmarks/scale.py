"""What learning a space at ImageNet's size takes: its units, measured on generated photographs.

    python benchmarks/scale.py --work FOLDER --out benchmarks/results/scale.json

Writes photographs of noise in 1,000 classes as tar shards, as large as those of ImageNet; prints
the plan of the preset `imagenet-mobile` for them; and does the same run with fewer steps and
rounds. The memory of all processes is sampled. About 20 minutes of one core with one worker. Shards
that are there already are not written again.
"""

import argparse
import io
import json
import resource
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from autospace.charts.figure import Axis, Figure, LegendEntry, Line, Panel, Role
from autospace.charts.paper import render
from autospace.compute.machine import this_machine, versions

CLASSES: Final = 1000
SIZE: Final = (500, 375)
"""Pixels of a photograph, about the mean of ImageNet's."""
GRAIN: Final = 4
"""Side of the patches of noise; with it, a file has about the bytes of one of ImageNet."""
PER_SHARD: Final = 1000
COMMAND: Final = (sys.executable, "-m", "autospace", "evolve", "--preset", "imagenet-mobile")
EVERY: Final = 2.0
"""Seconds between two looks at the memory."""
SHORT: Final = {
    "warm_up.steps": 8,
    "evolution.generations": 1,
    "evolution.population": 4,
    "evolution.tournament": 2,
    "evolution.keep": 2,
    "evolution.confirm": 0,
    "scoring.steps": 2,
    "scoring.validation_batches": 1,
}
"""Changes of the preset that leave the size of images, batches, network and cells as they are."""


def photographs(folder: Path, split: str, count: int, seed: int) -> None:
    """Writes the shards of a split."""
    rng = np.random.default_rng(seed)
    for first in range(0, count, PER_SHARD):
        path = folder / f"{split}-{first // PER_SHARD:03d}.tar"
        if path.is_file():
            continue
        part = path.with_suffix(".part")
        with tarfile.open(part, "w") as tar:
            for index in range(first, min(first + PER_SHARD, count)):
                _add(tar, f"{index:07d}.jpg", _photograph(rng, index % CLASSES))
                _add(tar, f"{index:07d}.cls", str(index % CLASSES).encode())
        part.rename(path)


def _photograph(rng: np.random.Generator, label: int) -> bytes:
    """Patches of noise around a colour of the class."""
    width, height = SIZE
    colour = np.random.default_rng(label).integers(64, 192, 3)
    patches = rng.normal(colour, 48, (height // GRAIN, width // GRAIN, 3)).clip(0, 255)
    image = Image.fromarray(patches.astype(np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    noisy = np.asarray(image) + rng.normal(0, 6, (height, width, 3))
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


class Watched:
    """A command, and the memory of it and its children while it runs."""

    def __init__(self, command: list[str]) -> None:
        self.samples: list[tuple[float, int, int]] = []
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        self._started = time.perf_counter()
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._done = threading.Event()
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        self.printed, _ = self._process.communicate()
        self._done.set()
        watcher.join()
        self.seconds = time.perf_counter() - self._started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if self._process.returncode:
            raise SystemExit(f"{' '.join(command)}: exit code {self._process.returncode}")

    def _watch(self) -> None:
        while not self._done.wait(EVERY):
            at = round(time.perf_counter() - self._started, 1)
            self.samples.append((at, *_memory_of(self._process.pid)))

    @property
    def record(self) -> dict[str, Any]:
        """Seconds, and megabytes of memory over time: own ones, and those of mapped files."""
        return {
            "seconds": round(self.seconds, 1),
            "processor_seconds": round(self.processor, 1),
            "peak_own_mb": max(own for _, own, _ in self.samples),
            "samples": self.samples,
        }


def picture(record: dict[str, Any]) -> Figure:
    """The memory of a run over time."""
    lines, entries = [], []
    roles: tuple[tuple[int, str, Role], ...] = ((1, "own", "first"), (2, "mapped files", "faint"))
    for place, name, role in roles:
        points = tuple((row[0] / 60, row[place] / 1000) for row in record["samples"])
        lines.append(Line(points, role))
        entries.append(LegendEntry(name, role, "line"))
    panel = Panel(
        "Memory of a short run at 224x224",
        "Gigabytes of memory of all processes over the minutes of the run.",
        Axis.of("minutes", [0, record["samples"][-1][0] / 60]),
        Axis.of("GB", [0, record["peak_own_mb"] / 1000]),
        tuple(lines),
    )
    return Figure("scale", "", (panel,), tuple(entries), (520, 240))


def _memory_of(root: int) -> tuple[int, int]:
    """Megabytes of a process and its children: their own, and of mapped files in memory."""
    status: dict[int, dict[str, str]] = {}
    for path in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        status[int(path.parent.name)] = dict(line.split(":", 1) for line in lines if ":" in line)
    family = {root}
    for _ in status:
        more = {pid for pid, each in status.items() if int(each.get("PPid", "0")) in family}
        if more <= family:
            break
        family |= more

    def total(name: str) -> int:
        found = [status.get(pid, {}).get(name, "0 kB") for pid in family]
        return sum(int(each.split()[0]) for each in found) // 1024

    return total("RssAnon"), total("RssFile") + total("RssShmem")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--test-images", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    shards = arguments.work / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    photographs(shards, "train", arguments.images, 0)
    photographs(shards, "test", arguments.test_images, 1)
    size = sum(path.stat().st_size for path in shards.glob("*.tar"))
    data = ["--data", f"shards:{shards}", "--workers", str(arguments.workers)]
    found: dict[str, Any] = {
        "machine": this_machine(torch.device("cpu")).model_dump(),
        "versions": versions(),
        "images": arguments.images + arguments.test_images,
        "bytes_a_file": size // (arguments.images + arguments.test_images),
    }
    plan = Watched([*COMMAND, *data, "--dry-run", "--format", "json"])
    found["plan"] = {**plan.record, "printed": json.loads(plan.printed)}
    arguments.out.write_text(json.dumps(found) + "\n")
    changes = [word for name, value in SHORT.items() for word in ("--set", f"{name}={value}")]
    run = arguments.work / "run"
    short = Watched([*COMMAND, *data, *changes, "--out", str(run), "--force"])
    found["short"] = {
        "changes": SHORT,
        **short.record,
        "bytes": {
            str(path.relative_to(run)): path.stat().st_size
            for path in sorted(run.rglob("*"))
            if path.is_file()
        },
    }
    arguments.out.write_text(json.dumps(found) + "\n")
    arguments.out.with_suffix(".svg").write_bytes(render(picture(found["short"]), "svg"))


if __name__ == "__main__":
    main()
