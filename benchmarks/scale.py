"""What learning a space at ImageNet's size takes: its units, measured on generated photographs.

    python benchmarks/scale.py --work FOLDER --part run
    python benchmarks/scale.py --work FOLDER --part plans --images 1000
    python benchmarks/scale.py --part whole

`run` writes photographs of noise in 1,000 classes as tar shards, as large as those of ImageNet;
prints the plan of the preset `imagenet-mobile` for them; and does the same run with fewer steps and
rounds. The memory of all processes is sampled. About 20 minutes of one core with one worker. Shards
that are there already are not written again. `plans` prints the plans of a comparison and of a
training at that size, from a few timed steps each. `whole` computes from these, and from the search
step of `results/gpu.json`, what everything takes on ImageNet: the table of docs/evidence/scale.md.
Each part adds to `results/scale.json`.
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

from autospace.bench.workload import CANDIDATES, FULL, REFERENCE
from autospace.charts.figure import Axis, Figure, LegendEntry, Line, Panel, Role
from autospace.charts.paper import render
from autospace.compute.machine import this_machine, versions
from autospace.evolution.settings import preset
from autospace.spaces import Cell, cell_cost, load, to_json
from autospace.spaces.cost import fixed_cost
from autospace.training.settings import RECIPES

HERE: Final = Path(__file__).resolve().parent
CLASSES: Final = 1000
SIZE: Final = (500, 375)
"""Pixels of a photograph, about the mean of ImageNet's."""
GRAIN: Final = 4
"""Side of the patches of noise; with it, a file has about the bytes of one of ImageNet."""
PER_SHARD: Final = 1000
AUTOSPACE: Final = (sys.executable, "-m", "autospace")
PRESET: Final = "imagenet-mobile"
COMMAND: Final = (*AUTOSPACE, "evolve", "--preset", PRESET)
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
IMAGENET: Final = 1_281_167
"""Training images of ImageNet-1k."""
COMPARED: Final = ("mbconv@mobile", "mnasnet@mobile")
EPOCHS: Final = 30
"""Of every network of a comparison, chosen here: a fifth of the recipe of `train`."""
BATCH: Final = 64
"""Of the timed steps of `plans`, a quarter of the recipe's: the time of an image is what counts."""
SPLIT: Final = ("--set", "data.aspect=crop", "--set", "data.resolution=224")
PASSES: Final = (5, 6)
"""Of a search step: forward, and backward for inputs and weights, on the batch of the weights; on
that of alpha the same, or without the gradients of the weights, which rest then."""
TRAINED: Final = 3
"""Passes of a training step."""
DOLLARS: Final = (2, 4)
"""An hour of such a GPU."""


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


def run(arguments: argparse.Namespace, found: dict[str, Any]) -> None:
    """The plan of the preset, and a short run of it."""
    data = ["--data", _shards(arguments, found), "--workers", str(arguments.workers)]
    plan = Watched([*COMMAND, *data, "--dry-run", "--format", "json"])
    found["plan"] = {**plan.record, "printed": json.loads(plan.printed)}
    _write(arguments.out, found)
    changes = [word for name, value in SHORT.items() for word in ("--set", f"{name}={value}")]
    folder = arguments.work / "run"
    short = Watched([*COMMAND, *data, *changes, "--out", str(folder), "--force"])
    found["short"] = {
        "changes": SHORT,
        **short.record,
        "bytes": {
            str(path.relative_to(folder)): path.stat().st_size
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
    arguments.out.with_suffix(".svg").write_bytes(render(picture(found["short"]), "svg"))


def plans(arguments: argparse.Namespace, found: dict[str, Any]) -> None:
    """The plans of a comparison and of a training of the reference, in one process each."""
    data = ["--data", _shards(arguments, {}), "--dry-run", "--format", "json"]
    steps = EPOCHS * IMAGENET // BATCH
    settings = ("--set", f"evaluator.steps={steps}", "--set", f"evaluator.batch={BATCH}")
    comparison = Watched(
        [*AUTOSPACE, "compare", *COMPARED, *data, "--workers", "1", *SPLIT, *settings]
    )
    space = load(COMPARED[0])
    architecture = arguments.work / "reference.json"
    architecture.write_text(to_json(space.architecture(space.reference)))
    own = ("--set", f"training.batch={BATCH}", "--set", "data.validation=0")
    training = Watched([*AUTOSPACE, "train", str(architecture), *data, *own])
    found["plans"] = {
        "machine": this_machine(torch.device("cpu")).model_dump(),
        "images": arguments.images + arguments.test_images,
        "batch": BATCH,
        **{
            name: {
                "processor_seconds": round(watched.processor, 1),
                "peak_own_mb": watched.record["peak_own_mb"],
                "printed": json.loads(watched.printed),
            }
            for name, watched in (("compare", comparison), ("train", training))
        },
    }


def whole(arguments: argparse.Namespace, found: dict[str, Any]) -> None:
    """What everything takes on ImageNet; see `taken`."""
    del arguments
    gpu = json.loads((HERE / "results" / "gpu.json").read_text())
    found["whole"] = taken(found, gpu["search_step"]["recorded bfloat16"]["seconds"])
    print("\n".join(table(found["whole"])))


def taken(found: dict[str, Any], gpu_seconds: float) -> dict[str, Any]:
    """Hours of a core and of a GPU, and dollars, for `evolve`, `compare` and `train`.

    Those of a core are the plans'. Those of a GPU follow from the ratio of MAdds to a search step
    alone. Every network has the MAdds of the reference, every cell those of its mean layer; what
    the reference shows of the batches, and measurements, are left out.

    Args:
        found: the parts `run` and `plans`.
        gpu_seconds: of the search step.
    """
    plan, plans = found["plan"]["printed"], found["plans"]
    settings, network = preset(PRESET), plan["network"]
    image = TRAINED * network["madds"]
    warm_up = plan["warm_up_steps"] * settings["warm_up"]["batch"] * image
    cell = plan["steps_of_a_cell"] * settings["scoring"]["batch"] * image // network["layers"]
    compared = plans["compare"]["printed"]
    images = compared["evaluations"] * compared["steps"] * plans["batch"]
    trained = plans["train"]["printed"]
    epochs = RECIPES["mobile"]["training"]["epochs"]
    per_image = trained["estimate"]["seconds"] / (trained["epochs"] * trained["images"]["train"])
    step = gpu_step(gpu_seconds)
    return {
        "gpu_step": step,
        "evolve": {
            "warm_up_share": round(warm_up / (warm_up + plan["cells"] * cell), 3),
            **_cost(warm_up + plan["cells"] * cell, plan["estimate"]["seconds"], step),
        },
        "compare": {
            "networks": compared["evaluations"],
            "epochs": EPOCHS,
            **_cost(images * image, compared["estimate"]["seconds"], step),
        },
        "train": {
            "epochs": epochs,
            **_cost(epochs * IMAGENET * image, epochs * IMAGENET * per_image, step),
        },
    }


def table(found: dict[str, Any]) -> list[str]:
    """The rows of docs/evidence/scale.md."""
    amounts = {
        "evolve": "the preset",
        "compare": f"{found['compare']['networks']} networks of {EPOCHS} epochs each",
        "train": f"{found['train']['epochs']} epochs",
    }

    def ends(values: list[float]) -> str:
        return f"{values[0]:,} to {values[1]:,}"

    return [
        f"| `{name}`: {amount} | {row['quadrillion_madds']:,} | {row['core_hours']:,} | "
        f"{ends(row['gpu_hours'])} | {ends(row['dollars'])} |"
        for name, amount in amounts.items()
        for row in (found[name],)
    ]


def gpu_step(seconds: float) -> dict[str, Any]:
    """The search step that was timed on a GPU: millions of MAdds of an image, billions of it all.

    The mixture holds the candidates and the reference of every layer.
    """
    skeleton = FULL.skeleton
    fixed = fixed_cost(skeleton).madds

    def of(cells: tuple[Cell, ...]) -> int:
        return sum(cell_cost(cell, shape).madds for shape in skeleton.shapes for cell in cells)

    parts = {"candidates": of(CANDIDATES), "reference": of((REFERENCE,)), "stem and head": fixed}
    return {
        "seconds": round(seconds, 4),
        "images": FULL.batch,
        "million_madds_an_image": {name: round(each / 1e6, 1) for name, each in parts.items()},
        "billion_madds": [
            round(passes * FULL.batch * sum(parts.values()) / 1e9, 1) for passes in PASSES
        ],
    }


def _cost(madds: float, core_seconds: float, step: dict[str, Any]) -> dict[str, Any]:
    hours = [
        madds / (1e9 * billions) * step["seconds"] / 3600
        for billions in reversed(step["billion_madds"])
    ]
    return {
        "quadrillion_madds": _rounded(madds / 1e15),
        "core_hours": round(core_seconds / 3600),
        "gpu_hours": [_rounded(each) for each in hours],
        "dollars": [round(each * price) for each, price in zip(hours, DOLLARS, strict=True)],
    }


def _rounded(value: float) -> float:
    return round(value) if value >= 100 else round(value, 1)


def _shards(arguments: argparse.Namespace, found: dict[str, Any]) -> str:
    """Writes the shards that are not there yet; returns their source, and notes what they hold."""
    shards = arguments.work / "shards"
    shards.mkdir(parents=True, exist_ok=True)
    photographs(shards, "train", arguments.images, 0)
    photographs(shards, "test", arguments.test_images, 1)
    size, count = sum(path.stat().st_size for path in shards.glob("*.tar")), arguments.images
    count += arguments.test_images
    found.update(
        machine=this_machine(torch.device("cpu")).model_dump(),
        versions=versions(),
        images=count,
        bytes_a_file=size // count,
    )
    return f"shards:{shards}"


def _write(path: Path, found: dict[str, Any]) -> None:
    path.write_text(json.dumps(found) + "\n")


PARTS: Final = {"run": run, "plans": plans, "whole": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/scale"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "scale.json")
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--test-images", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()
    found = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    PARTS[arguments.part](arguments, found)
    _write(arguments.out, found)


if __name__ == "__main__":
    main()
