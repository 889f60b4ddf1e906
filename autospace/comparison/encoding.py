"""A comparison as JSON text: docs/comparison.md says what every figure means."""

import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from autospace.comparison import statistics as summary
from autospace.comparison.matching import TOLERANCE
from autospace.comparison.result import Comparison, Sample
from autospace.comparison.sample_size import PILOT, POWER
from autospace.comparison.statistics import LEVEL, Interval, Tested
from autospace.comparison.verdict import ComparedPair
from autospace.evaluators.evaluator import PROXIES, SCORES_ONLY
from autospace.spaces.text import json_text

FORMAT: Final = "autospace.comparison"
VERSION: Final = 1
DIGITS: Final = 6
_SAID: Final = {"data.source", "sampling.samples", "sampling.effect"}


def to_text(comparison: Comparison) -> str:
    """The file: equal comparisons, equal bytes."""
    return json_text(to_plain(comparison))


def to_plain(comparison: Comparison) -> dict[str, Any]:
    """The file as plain values."""
    config = comparison.config
    first = comparison.pairs[0] if comparison.pairs else None
    return {
        "format": FORMAT,
        "version": VERSION,
        "comparable": comparison.comparable,
        "verdict": first.verdict if first else "none",
        "difference": _rounded(first.effect.value) if first else None,
        "interval": _span(first.interval) if first else None,
        "level": _rounded(first.level) if first else LEVEL,
        "unit": "dominance" if config.evaluator.method in SCORES_ONLY else "points",
        "sentence": comparison.sentence,
        "notes": list(comparison.notes),
        "evaluator": _evaluator(comparison),
        "data": _data(comparison),
        "matching": _matching(comparison),
        "spaces": [_space(each, config.seed) for each in comparison.samples],
        "pairs": [_pair(each) for each in comparison.pairs],
        "power": _power(comparison),
        "seed": config.seed,
        "samples": len(comparison.samples[0].rows),
        "repeats": config.sampling.repeats,
        "command": command(comparison),
        "versions": _versions(),
    }


def command(comparison: Comparison) -> str:
    """The command that does it again; files and folders go by their last name."""
    import shlex

    config = comparison.config
    words = ["autospace", "compare", *(local_name(source) for source in config.spaces)]
    words += ["--data", comparison.data.name, "--seed", str(config.seed)]
    words += ["--samples", str(len(comparison.samples[0].rows) or config.sampling.samples or PILOT)]
    plain = config.model_dump(mode="json")
    default = type(config)(spaces=config.spaces).model_dump(mode="json")
    for section in ("sampling", "data", "evaluator"):
        for name, value in plain[section].items():
            if value != default[section][name] and f"{section}.{name}" not in _SAID:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                words += ["--set", f"{section}.{name}={text}"]
    return shlex.join(words)


def local_name(source: str) -> str:
    """A source without the folders above it."""
    kind, at, place = source.rpartition("@")
    return f"{kind}{at}{Path(place).name or place}"


def _evaluator(comparison: Comparison) -> dict[str, Any]:
    config = comparison.config.evaluator
    settings = config.model_dump(mode="json", exclude={"method"})
    data = comparison.config.data
    augment = data.model_dump(mode="json", include={"crop", "flip", "cutout", "limit"})
    proxy = PROXIES.get(config.method)
    described = proxy or f"a training from scratch of {config.steps} steps per network"
    return {
        "method": config.method,
        "proxy": proxy is not None,
        "description": described,
        "settings": {**settings, **{k: v for k, v in augment.items() if v is not None}},
    }


def _data(comparison: Comparison) -> dict[str, Any]:
    facts = comparison.data
    return {
        "name": facts.name,
        "sha256": facts.digest,
        "classes": facts.classes,
        "train_images": facts.training,
        "measured_images": facts.measured,
        "measured_on": comparison.config.evaluator.split,
    }


def _matching(comparison: Comparison) -> dict[str, Any]:
    matching = comparison.matching
    return {
        "cost": comparison.config.sampling.match,
        "tolerance": TOLERANCE,
        "draws": matching.draws,
        "range": list(matching.span) if matching.span else None,
        "tuples": len(matching.tuples),
    }


def _power(comparison: Comparison) -> dict[str, Any]:
    power = comparison.power
    planned = power.effect is not None
    return {
        "effect": power.effect,
        "power": POWER,
        "samples": power.needed,
        "spread": _rounded(power.spread),
        "detectable": _rounded(power.detectable),
        "pilot": min(PILOT, len(comparison.samples[0].rows)) if planned else 0,
    }


def _space(sample: Sample, seed: int) -> dict[str, Any]:
    rows = np.array(sample.rows, dtype=np.int64)
    pool, space = sample.pool, sample.space
    costs = {"madds": pool.madds, "params": pool.params}
    return {
        "name": space.name,
        "label": sample.label,
        "source": local_name(sample.source),
        "skeleton": space.skeleton.name,
        "layers": len(space.layers),
        "architectures": str(space.size),
        "overlap": _rounded(sample.share),
        "drawn": {name: _distribution(cost) for name, cost in costs.items()},
        "matched": {name: _distribution(cost[rows]) for name, cost in costs.items()}
        if len(rows)
        else None,
        "n": len(rows),
        "madds": pool.madds[rows].tolist(),
        "params": pool.params[rows].tolist(),
        "networks": [network.choices for network in sample.networks],
        "losses": [_mean_loss(sample, place) for place in range(len(rows))],
        "repeats": [[_rounded(error) for error in network] for network in sample.errors],
        **_figures(sample, seed),
    }


def _figures(sample: Sample, seed: int) -> dict[str, Any]:
    errors = sample.means
    if not errors:
        empty = {"errors": [], "best": [], "curve": [], "edf": {"error": [], "share": []}}
        return empty | dict.fromkeys(("mean", "median", "spread", "variance"))
    values, shares = summary.edf([round(error, DIGITS) for error in errors])
    split = summary.variance(sample.errors)
    return {
        "errors": _all(errors),
        "mean": _estimate(summary.mean(errors)),
        "median": _estimate(summary.median(errors, seed)),
        "best": [
            {"of": count, **_estimate(summary.best_of(errors, count))}
            for count in summary.reported_counts(len(errors))
        ],
        "curve": _all(summary.best_curve(errors)),
        "edf": {"error": _all(values), "share": _all(shares)},
        "spread": _rounded(float(np.std(errors, ddof=1))),
        "variance": split
        and {
            "architecture": _rounded(split.architecture),
            "seed": _rounded(split.seed),
            "share": _rounded(split.share),
        },
    }


def _pair(pair: ComparedPair) -> dict[str, Any]:
    win = pair.superiority
    return {
        "a": 0,
        "b": pair.b,
        "verdict": pair.verdict,
        "difference": _rounded(pair.effect.value),
        "interval": _span(pair.interval),
        "level": _rounded(pair.level),
        "sentence": pair.sentence,
        "test": pair.test,
        "p": _significant(pair.effect.p),
        "p_holm": _significant(pair.p_holm),
        "superiority": {
            "value": _rounded(win.probability),
            "interval": _span(win.probability_interval(pair.level)),
        },
        "kolmogorov_smirnov": _tested(pair.kolmogorov_smirnov),
        "mann_whitney": _tested(pair.mann_whitney),
    }


def _mean_loss(sample: Sample, place: int) -> float | None:
    losses = [each.loss for each in sample.evaluations[place]]
    known = [loss for loss in losses if loss is not None]
    return _rounded(sum(known) / len(known)) if known and len(known) == len(losses) else None


def _distribution(cost: np.ndarray) -> dict[str, Any]:
    return {
        "min": int(cost.min()),
        "max": int(cost.max()),
        "mean": round(float(cost.mean()), 1),
        "quantiles": [int(q) for q in np.quantile(cost, np.linspace(0, 1, 21))],
    }


def _estimate(found: summary.Estimate) -> dict[str, Any]:
    return {"value": _rounded(found.value), "interval": _span(found.interval)}


def _tested(found: Tested) -> dict[str, Any]:
    return {"statistic": _rounded(found.statistic), "p": _significant(found.p)}


def _span(interval: Interval) -> list[float | None]:
    return [_rounded(interval.low), _rounded(interval.high)]


def _all(values: Sequence[float]) -> list[float | None]:
    return [_rounded(value) for value in values]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS) + 0.0


def _significant(value: float) -> float:
    return float(f"{value:.6g}")


def _versions() -> dict[str, str]:
    names = ("autospace", "torch", "numpy", "scipy")
    python = ".".join(map(str, sys.version_info[:2]))
    return {**{name: metadata.version(name) for name in names}, "python": python}
