"""Makes the document of a comparison; docs/reference/comparison.md explains every number."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np

from autospace.comparison import document as doc
from autospace.comparison import statistics as summary
from autospace.comparison.matching import TOLERANCE, Pool
from autospace.comparison.settings import CompareConfig
from autospace.comparison.setup import RANDOM, PreparedComparison
from autospace.comparison.statistics import LEVEL, Estimate, Tested
from autospace.comparison.verdict import ComparedPair
from autospace.evaluators.evaluator import PROXIES, SCORES_ONLY, Evaluation
from autospace.evaluators.tabular import Table
from autospace.spaces.cells.family import FAMILIES
from autospace.spaces.files.families import FAMILY_NAMES, OWN_NAMES
from autospace.spaces.space import Architecture, Space

_SAID: Final = {"data.source", "sampling.samples"}
_KINDS: Final = {RANDOM.removesuffix("@"), *FAMILY_NAMES, *OWN_NAMES}
"""What may stand in front of an @ in the name of a space."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One space and its networks.

    Attributes:
        rows: of the networks in the pool, in the order in which they were drawn.
        evaluations: per network, one per seed.
        errors: per network and seed, lower is better; a share (0 to 1), or minus the score.
        seeds: how many seeds have errors of their own; a table repeats its scores after that.
    """

    space: Space
    label: str
    source: str
    pool: Pool
    share: float
    rows: tuple[int, ...]
    evaluations: tuple[tuple[Evaluation, ...], ...]
    errors: tuple[tuple[float, ...], ...]
    seeds: int

    @property
    def means(self) -> list[float]:
        """Error per network, the mean over its seeds."""
        # Rounded, because means that are equal but for the order of a sum have to count as ties.
        return [round(float(np.mean(each)), 12) for each in self.errors]

    @property
    def diverged(self) -> list[int]:
        """Places of the networks whose training diverged, under some seed at least."""
        return [
            place
            for place, each in enumerate(self.evaluations)
            if any(evaluation.loss is None for evaluation in each)
        ]

    @property
    def networks(self) -> list[Architecture]:
        """The networks."""
        return [self.pool.architecture(row) for row in self.rows]


def document(
    prepared: PreparedComparison,
    samples: Sequence[Sample],
    pairs: Sequence[ComparedPair],
    power: doc.PowerDocument,
    *,
    sentence: str,
    notes: Sequence[str],
) -> doc.ComparisonDocument:
    """The content of `comparison.json`; it has no pairs if the spaces cannot be compared."""
    config = prepared.config
    documents = [_pair(each) for each in pairs]
    first = documents[0] if documents else None
    unit: doc.Unit = "dominance" if config.evaluator.method in SCORES_ONLY else "share"
    # One cost for all spaces: OPs are MAdds where no operation is binary.
    binary = any(FAMILIES[space.kind].binary for space in prepared.spaces)
    by_ops = binary or config.sampling.match == "ops"
    costs = ("madds", "params", "ops") if by_ops else ("madds", "params")
    return doc.ComparisonDocument(
        comparable=first is not None,
        verdict=first.verdict if first else "none",
        difference=first.difference if first else None,
        interval=first.interval if first else None,
        level=first.level if first else LEVEL,
        unit=unit,
        sentence=sentence,
        notes=list(notes),
        evaluator=_evaluator(prepared),
        data=_data(prepared),
        matching=_matching(prepared),
        spaces=[_space(each, config.seed, unit, costs) for each in samples],
        pairs=documents,
        power=power,
        seed=config.seed,
        samples=len(samples[0].rows),
        repeats=config.sampling.repeats,
        command=command(config, prepared.basis.name),
        versions=_versions(),
    )


def command(config: CompareConfig, data: str) -> str:
    """The command of the comparison; files and folders appear by their last name.

    A planned number of networks is not in it: a number that is given is tested at another level.

    Paths belong to a machine: whoever repeats the comparison puts them in.
    """
    words = ["autospace", "compare", *(local_name(source) for source in config.spaces)]
    if config.evaluator.table is None:
        words += ["--data", data]
    words += ["--seed", str(config.seed)]
    if config.sampling.samples is not None:
        words += ["--samples", str(config.sampling.samples)]
    plain = config.model_dump(mode="json")
    default = type(config)(spaces=config.spaces).model_dump(mode="json")
    for section in ("sampling", "data", "evaluator"):
        for name, value in plain[section].items():
            if value != default[section][name] and f"{section}.{name}" not in _SAID:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                text = local_name(text) if name == "table" else text
                words += ["--set", f"{section}.{name}={text}"]
    return shlex.join(words)


def local_name(source: str) -> str:
    """A source without the folders above it; their names may have an @, too."""
    kind, place = "", source
    while (name := place.partition("@")[0]) in _KINDS and name != place:
        kind, place = f"{kind}{name}@", place.removeprefix(f"{name}@")
    return f"{kind}{Path(place).name or place}"


def _evaluator(prepared: PreparedComparison) -> doc.EvaluatorDocument:
    config, basis = prepared.config, prepared.basis
    method = config.evaluator.method
    if isinstance(basis, Table):
        return doc.EvaluatorDocument(
            method=method, description=f"the accuracies of table {basis.cited}"
        )
    settings = config.evaluator.model_dump(mode="json", exclude={"method", "table"})
    augment = config.data.model_dump(mode="json", include={"crop", "flip", "cutout", "limit"})
    training = f"a training from scratch of {config.evaluator.steps} steps per network"
    return doc.EvaluatorDocument(
        method=method,
        proxy=method in PROXIES,
        description=PROXIES.get(method, training),
        settings={**settings, **{k: v for k, v in augment.items() if v is not None}},
    )


def _data(prepared: PreparedComparison) -> doc.DataDocument:
    images = prepared.basis
    if isinstance(images, Table):
        return doc.DataDocument(name=images.name, sha256=images.digest)
    return doc.DataDocument(
        name=images.name,
        sha256=images.digest,
        classes=images.outputs,
        train_images=len(images.training),
        measured_images=len(images.measured),
        measured_on=prepared.config.evaluator.split,
    )


def _matching(prepared: PreparedComparison) -> doc.MatchingDocument:
    matching = prepared.matching
    return doc.MatchingDocument(
        cost=prepared.config.sampling.match,
        tolerance=TOLERANCE,
        draws=matching.draws,
        # Spaces that are not comparable may have a few costs in common; nothing is compared there.
        range=list(matching.span) if matching.span and matching.comparable else None,
        tuples=len(matching.tuples),
    )


def _space(sample: Sample, seed: int, unit: doc.Unit, names: Sequence[str]) -> doc.SpaceDocument:
    rows = np.array(sample.rows, dtype=np.int64)
    pool, space = sample.pool, sample.space
    costs = {name: pool.cost(name) for name in names}
    return doc.SpaceDocument(
        name=space.name,
        label=sample.label,
        source=local_name(sample.source),
        skeleton=space.skeleton.name,
        layers=len(space.layers),
        architectures=str(space.size),
        overlap=sample.share,
        drawn=_costs(costs),
        matched=_costs({name: each[rows] for name, each in costs.items()}) if len(rows) else None,
        n=len(rows),
        **{name: each[rows].tolist() for name, each in costs.items()},
        networks=[network.choices for network in sample.networks],
        losses=[_mean_loss(each) for each in sample.evaluations],
        repeats=[list(network) for network in sample.errors],
        **(_figures(sample, seed, unit) if len(rows) else {}),
    )


def _figures(sample: Sample, seed: int, unit: doc.Unit) -> dict[str, Any]:
    errors = sample.means
    values, shares = summary.edf([round(error, doc.DIGITS) for error in errors])
    split = summary.variance([each[: sample.seeds] for each in sample.errors])
    best = {n: summary.best_of(errors, n) for n in summary.reported_counts(len(errors))}
    return {
        "errors": errors,
        "mean": _estimate(summary.mean(errors, shares=unit == "share")),
        "median": _estimate(summary.median(errors, seed)),
        "best": [
            doc.BestDocument(of=n, value=each.value, interval=list(each.interval))
            for n, each in best.items()
        ],
        "curve": summary.best_curve(errors),
        "edf": doc.EdfDocument(error=values, share=shares),
        "spread": float(np.std(errors, ddof=1)),
        "variance": split
        and doc.VarianceDocument(
            architecture=split.architecture, seed=split.seed, share=split.share
        ),
    }


def _pair(pair: ComparedPair) -> doc.PairDocument:
    win = pair.superiority
    return doc.PairDocument(
        a=0,
        b=pair.b,
        verdict=pair.verdict,
        difference=pair.effect.value,
        interval=list(pair.interval),
        level=pair.level,
        sentence=pair.sentence,
        test=pair.test,
        p=pair.effect.p,
        p_holm=pair.p_holm,
        superiority=_estimate(Estimate(win.probability, win.probability_interval(pair.level))),
        kolmogorov_smirnov=_tested(pair.kolmogorov_smirnov),
        mann_whitney=_tested(pair.mann_whitney),
    )


def _mean_loss(evaluations: Sequence[Evaluation]) -> float | None:
    losses = [each.loss for each in evaluations if each.loss is not None]
    return sum(losses) / len(losses) if losses and len(losses) == len(evaluations) else None


def _costs(costs: Mapping[str, np.ndarray]) -> doc.CostsDocument:
    return doc.CostsDocument(**{name: _distribution(each) for name, each in costs.items()})


def _distribution(cost: np.ndarray) -> doc.CostDocument:
    return doc.CostDocument(
        min=int(cost.min()),
        max=int(cost.max()),
        mean=round(float(cost.mean()), 1),
        quantiles=[int(q) for q in np.quantile(cost, np.linspace(0, 1, 21))],
    )


def _estimate(found: Estimate) -> doc.EstimateDocument:
    return doc.EstimateDocument(value=found.value, interval=list(found.interval))


def _tested(found: Tested) -> doc.TestedDocument:
    return doc.TestedDocument(statistic=found.statistic, p=found.p)


def _versions() -> dict[str, str]:
    names = ("autospace", "torch", "numpy", "scipy")
    python = ".".join(map(str, sys.version_info[:2]))
    return {**{name: metadata.version(name) for name in names}, "python": python}
