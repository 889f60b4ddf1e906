"""Whole runs of every command, with the default pool of workers, in processes that can be killed.

As a program, this file is the server of `tests.evolution.runs`. Every run leads a group of
processes of its own, so that a test can see whom it leaves behind.
"""

import os
import time
from pathlib import Path
from typing import Any, Final

from tests.evolution.runs import serve, settings

DATA: Final = "synthetic:classes=3,train=60,test=40"
IMAGES: Final = {"source": DATA, "resolution": 8}
COMPARE: Final[dict[str, Any]] = {
    "data": IMAGES,
    "sampling": {"samples": 4},
    "evaluator": {"steps": 2, "batch": 8},
}
SEARCH: Final[dict[str, Any]] = {
    "data": IMAGES,
    "evaluations": 6,
    "finalists": 2,
    "trial": {"steps": 2, "batch": 8},
    "supernet": {"steps": 6, "batch": 8},
}
TRAIN: Final[dict[str, Any]] = {
    "data": IMAGES,
    "training": {"epochs": 3, "batch": 8},
    "augment": {"crop": 1},
}


def _child(request: dict[str, Any]) -> dict[str, Any]:
    import torch

    from autospace import api

    os.setpgid(0, 0)
    torch.set_num_threads(1)
    command, path = request["command"], Path(request["path"])
    started = time.perf_counter()
    # Whether the process was killed before there was a run, or after it began.
    resumed: dict[str, Any] = {"resume": path} if (path / "config.toml").exists() else {}
    new: dict[str, Any] = {"out": path, "device": "cpu", "seed": 0}
    # Beside the folders of all runs, so that their settings are the same.
    chosen = settings(path.parent.parent)
    skeleton = chosen["skeleton"]
    spaces = [f"{name}@{skeleton}" for name in ("mbconv", "mnasnet")]
    reference = f"reference@{skeleton}"
    pool: dict[str, Any] = {"workers": None}
    try:
        match command:
            case "evolve":
                api.evolve(**(resumed or {**new, "settings": chosen}), **pool)
            case "compare":
                given: dict[str, Any] = {} if resumed else {"spaces": spaces, "settings": COMPARE}
                api.compare(**given, **(resumed or new), **pool)
            case "search":
                wanted: dict[str, Any] = {"space": spaces[0], "settings": SEARCH}
                api.search(**({} if resumed else wanted), **(resumed or new))
            case _:
                network: dict[str, Any] = {"settings": TRAIN, "architecture": reference}
                api.train(**({} if resumed else network), **(resumed or new))
    except ValueError as error:
        return {"code": 2, "error": f"{type(error).__name__}: {error}"}
    return {"code": 0, "seconds": time.perf_counter() - started}


if __name__ == "__main__":
    import autospace.comparison.compare
    import autospace.evolution.learn
    import autospace.searchers.driver
    import autospace.training.full  # noqa: F401

    serve(_child)
