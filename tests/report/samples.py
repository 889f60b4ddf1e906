"""Runs and comparisons without training: folders that a report can be written on."""

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autospace.evolution.folder import RunFolder, event_out
from autospace.evolution.loop import evolve, learned_space, start
from autospace.evolution.plan import Plan
from autospace.evolution.settings import make_config
from autospace.spaces import Budget, Cell, Skeleton
from tests.tiny import SKELETON, ClosedForm, plan

SETTINGS: dict[str, Any] = {
    "data": {"source": "synthetic:classes=4"},
    "evolution": {"generations": 4, "population": 8, "candidates": 3, "tournament": 3, "keep": 2},
    "cells": {"reference_expansion": 3},
}


def score(cell: Cell) -> float:
    """Rises with 5x5 depthwise edges, a little with expansion, and is 0 for the reference."""
    wide = sum(edge.operation == "dw_conv_5x5" for edge in cell.pruned().edges)
    return 0.1 * wide + 0.01 * (cell.expansion - 3)


def write_run(
    path: Path,
    *,
    rounds: int | None = None,
    cells: bool = True,
    name: str = "learned@tiny",
    skeleton: Skeleton = SKELETON,
    settings: Mapping[str, Any] = SETTINGS,
    scored: Callable[[Cell], float] = score,
    further: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Plan:
    """A run folder as evolution leaves it, after so many rounds or at its end.

    Args:
        cells: whether the event log holds the cells, as logs of old versions do not.
        further: provenance of the space.
    """
    folder = RunFolder.create(path, make_config(settings))
    some = plan(skeleton=skeleton, **changes)
    with folder.locked():
        folder.settle(skeleton, "0" * 64)
        state = start(some)
        for after in evolve(some, ClosedForm(scored)):
            if rounds is not None and after.round > rounds:
                break
            event = event_out(after) | {"seconds": 0.5 + after.round / 8, "memory_mb": 100}
            if not cells:
                event["layers"] = [
                    {key: value for key, value in layer.items() if key != "cells"}
                    for layer in event["layers"]
                ]
            folder.append_event(event)
            folder.save_state(state := after)
        if rounds is None:
            quality = state.archive and state.archive.predictor.quality
            told = {"predictor": quality._asdict()} if quality else {}
            told = provenance(name) | told | dict(further or {})
            found = learned_space(some, state, name=name, budget=Budget(), provenance=told)
            folder.save_space(found)
    return some


def provenance(name: str = "synthetic:gratings") -> dict[str, Any]:
    """What a real run says about itself."""
    return {
        "method": "AutoSpace, probe scoring",
        "data": {"name": name, "sha256": "ab" * 32, "classes": ["0", "1", "2", "3"]},
        "versions": {"autospace": "0.1.0", "python": "3.11"},
    }


def comparison(
    labels: tuple[str, ...] = ("mbconv@tiny", "learned@tiny"),
    *,
    samples: int = 24,
    unit: str = "share",
    comparable: bool = True,
) -> dict[str, Any]:
    """A comparison as docs/reference/comparison.md describes it, of errors from a generator."""
    rng = random.Random(5)
    spaces = [
        _space(label, 40.0 - 1.5 * place, samples if comparable else 0, rng)
        for place, label in enumerate(labels)
    ]
    pairs = [_pair(place, labels) for place in range(1, len(labels))] if comparable else []
    first = pairs[0] if pairs else None
    return {
        "format": "autospace.comparison",
        "version": 2,
        "comparable": comparable,
        "verdict": first["verdict"] if first else "none",
        "difference": first["difference"] if first else None,
        "interval": first["interval"] if first else None,
        "unit": unit,
        "level": 0.95,
        "sentence": first["sentence"] if first else f"{labels[0]}: no common range of cost.",
        "notes": [f"{labels[0]} stands on another skeleton."],
        "evaluator": {
            "method": "train" if unit == "share" else "naswot",
            "proxy": unit != "share",
            "description": "short training from scratch",
            "settings": {"steps": 200, "batch": 64, "learning_rate": 0.1, "flip": True},
        },
        "data": {
            "name": "digits",
            "sha256": "cd" * 32,
            "classes": 10,
            "train_images": 1438,
            "measured_images": 359,
            "measured_on": "test",
        },
        "matching": {
            "cost": "madds",
            "tolerance": 0.02,
            "draws": 1000,
            "range": [200_000, 500_000] if comparable else None,
            "tuples": 700,
        },
        "spaces": spaces,
        "pairs": pairs,
        "power": {
            "effect": 0.01,
            "power": 0.8,
            "samples": samples,
            "spread": 0.012,
            "detectable": 0.009,
            "pilot": 8,
        },
        "seed": 3,
        "samples": samples,
        "repeats": 1,
        "command": "autospace compare mbconv@tiny learned --data digits --seed 3",
        "versions": {"autospace": "0.1.0", "torch": "2.13.0", "python": "3.11"},
    }


def write_comparison(path: Path, found: Mapping[str, Any] | None = None) -> Path:
    """The folder of a finished comparison."""
    path.mkdir(parents=True, exist_ok=True)
    text = json.dumps(comparison() if found is None else found, sort_keys=True, indent=2)
    (path / "comparison.json").write_text(text + "\n", encoding="utf-8")
    return path


def _space(label: str, centre: float, samples: int, rng: random.Random) -> dict[str, Any]:
    errors = [round(rng.gauss(centre, 1.4) / 100, 5) for _ in range(samples)]
    madds = [rng.randrange(200_000, 500_000) for _ in range(samples)]
    ordered = sorted(errors)
    low = min(errors, default=0.0)
    mean = sum(errors) / max(1, samples)
    curve = [low + (mean - low) / (index + 1) ** 0.7 for index in range(samples)]
    return {
        "name": label,
        "label": label,
        "source": f"{label}.json",
        "skeleton": "tiny",
        "layers": 2,
        "architectures": "81",
        "overlap": 0.8,
        "drawn": _costs([*madds, 150_000, 600_000]),
        "matched": _costs(madds or [0]),
        "errors": errors,
        "madds": madds,
        "params": [each // 20 for each in madds],
        "losses": [each / 0.3 for each in errors],
        "repeats": [[each] for each in errors],
        "networks": [{"layer_00": f"c{index:04d}", "layer_01": "x"} for index in range(samples)],
        "n": samples,
        "mean": {"value": mean, "interval": [mean - 0.005, mean + 0.005]} if samples else None,
        "median": {"value": mean, "interval": [mean - 0.006, mean + 0.006]} if samples else None,
        "best": [{"of": 2, "value": curve[1], "interval": [curve[1] - 0.004, curve[1] + 0.004]}]
        if samples
        else [],
        "spread": 0.014 if samples else None,
        "curve": curve,
        "edf": {
            "error": ordered,
            "share": [round((place + 1) / samples, 8) for place in range(samples)],
        },
        "variance": {"architecture": 1.5e-4, "seed": 0.5e-4, "share": 0.75} if samples else None,
    }


def _costs(values: list[int]) -> dict[str, Any]:
    ordered = sorted(values)
    quantiles = [ordered[place * (len(ordered) - 1) // 20] for place in range(21)]
    spread = {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": sum(ordered) / len(ordered),
        "quantiles": quantiles,
    }
    return {"madds": spread, "params": spread}


def _pair(place: int, labels: tuple[str, ...]) -> dict[str, Any]:
    points = 1.5 * place
    return {
        "a": 0,
        "b": place,
        "verdict": "b",
        "difference": points / 100,
        "interval": [(points - 0.8) / 100, (points + 0.8) / 100],
        "level": 0.95,
        "sentence": f"{labels[place]} beats {labels[0]}: a random network of it is "
        f"{points:.1f} points better ({points - 0.8:.1f} to {points + 0.8:.1f}).",
        "test": "paired t",
        "p": 0.0004,
        "p_holm": 0.0008,
        "superiority": {"value": 0.77, "interval": [0.63, 0.87]},
        "kolmogorov_smirnov": {"statistic": 0.46, "p": 0.012},
        "mann_whitney": {"statistic": 131.0, "p": 0.001},
    }
