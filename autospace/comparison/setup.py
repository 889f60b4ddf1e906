"""What precedes the evaluations: loading spaces and images, drawing networks, matching them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from autospace.comparison.matching import (
    Matching,
    Pool,
    draw,
    match,
    matching_with_first,
    space_digest,
    unmatched,
)
from autospace.comparison.settings import CompareConfig
from autospace.comparison.verdict import not_comparable
from autospace.compute.execution import CPU
from autospace.compute.executor import HERE, Executor, Places
from autospace.data.examples import DataSet
from autospace.data.images import check_source
from autospace.evaluators.evaluator import SCORES_ONLY, EvaluationError, EvaluationMethod
from autospace.evaluators.make import Basis, Setup
from autospace.evaluators.supernet import check_families
from autospace.evaluators.tabular import Table
from autospace.evaluators.zero_cost import NO_FLOW
from autospace.progress import Tick
from autospace.runs.errors import ConfigError
from autospace.seeds import stream
from autospace.spaces.cells.cell import LayerShape
from autospace.spaces.cells.family import DEFAULT_KIND, FAMILIES, Prior, cell_key, family_of
from autospace.spaces.checks import MAX_NAME
from autospace.spaces.cost import Share
from autospace.spaces.errors import SpaceError, shown
from autospace.spaces.files.families import SKIP_ID
from autospace.spaces.files.library import load, skeleton_of
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Candidate, Layer, Origin, Space

RANDOM: Final = "random@"
RANDOM_CELLS: Final = 9
MAX_DRAWS: Final = 10_000


def load_source(source: str, seed: int) -> Space:
    """A space: whatever `autospace.spaces.load` takes, or random cells as `random@SKELETON`.

    A space or a run may also follow `random@`. Then each layer has as many random cells as there,
    made of the same operations, and none costs more than the most expensive cell of that layer.
    The choice to skip a layer counts as a cell of it and stays: no random cell would be that.

    Raises:
        SpaceError: there is nothing, or no valid space.
    """
    if not source.startswith(RANDOM):
        return load(source)
    place = source.removeprefix(RANDOM)
    name = f"{RANDOM}{Path(place).name}"[:MAX_NAME]
    try:
        like = load(place)
    except SpaceError:
        return random_space(skeleton_of(place), seed, name=name)
    cells = [each.cell for layer in like.layers for each in layer.candidates]
    # Binary cells have no MAdds; elsewhere OPs are MAdds.
    shares = [Share(ops=max(cost.whole("ops") for cost in layer.costs)) for layer in like.layers]
    return random_space(
        like.skeleton,
        seed,
        name=name,
        cells=[len(layer.candidates) for layer in like.layers],
        prior=FAMILIES[like.kind].prior(like.operations, cells),
        shares=shares,
        skips=[*map(_skips, like.layers)],
    )


def _skips(layer: Layer) -> bool:
    """Whether a layer offers to be skipped."""
    return cell_key(family_of(layer.candidates[0].cell).skipped, layer.shape) in layer.keys


def random_space(
    skeleton: Skeleton,
    seed: int,
    *,
    name: str,
    cells: Sequence[int] | None = None,
    prior: Prior | None = None,
    shares: Sequence[Share] | None = None,
    skips: Sequence[bool] | None = None,
) -> Space:
    """A space of random cells that differ in function within a layer: the baseline of learning.

    Args:
        skeleton: what the cells are for.
        seed: equal seeds give equal cells.
        name: of the space.
        cells: number of cells per layer; nine by default.
        prior: the distribution of the cells; all operations by default.
        shares: the limit on the cost of a cell, per layer.
        skips: whether one of the cells of a layer is to skip it; none by default.

    Raises:
        SpaceError: a layer has too few different cells, or too few within the cost limit.
    """
    default = FAMILIES[DEFAULT_KIND]
    chosen = prior or default.prior(default.usual)
    counts = cells or [RANDOM_CELLS] * len(skeleton.shapes)
    limits = shares or [Share()] * len(skeleton.shapes)
    skipped = Candidate(SKIP_ID, family_of(chosen).skipped)
    kept = [(skipped,) if skip else () for skip in skips or [False] * len(skeleton.shapes)]
    layers = tuple(
        Layer(shape, (*_random_cells(shape, count - len(own), share, chosen, seed), *own))
        for shape, count, share, own in zip(skeleton.shapes, counts, limits, kept, strict=True)
    )
    return Space(name, skeleton, chosen.vocabulary, layers)


def _random_cells(
    shape: LayerShape, count: int, share: Share, prior: Prior, seed: int
) -> tuple[Candidate, ...]:
    rng, family = stream(seed, "random space", shape.name), family_of(prior)
    found: dict[str, Candidate] = {}
    limit = ""
    for _ in range(MAX_DRAWS):
        if len(found) == count:
            break
        cell = family.at(family.random_cell(prior, rng), shape)
        key = family.key(cell, shape)
        if not share.allows(family.cost(cell, shape)):
            limit = " within the cost limit"
        elif key not in found:
            found[key] = Candidate(f"random_{len(found):02d}", cell, None, Origin("random"))
    if len(found) < count:
        problem = f"only {len(found)} of {count} different random cells found{limit}"
        raise SpaceError(shape.name, problem)
    return tuple(found.values())


def common_resolution(spaces: Sequence[Space]) -> int | None:
    """The resolution that all spaces were made for; None if they read text.

    Raises:
        SpaceError: they differ, so that one has to be chosen.
    """
    given = {space.skeleton.side: space.name for space in reversed(spaces)}
    found = {side: name for side, name in given.items() if side is not None}
    if len(found) > 1:
        sides = ", ".join(f"{name} has {side}" for side, name in sorted(found.items()))
        problem = (
            f"differs between the spaces: {sides}; choose one with data.resolution (--resolution)"
        )
        raise SpaceError("resolution", problem)
    return next(iter(found), None)


def labels_of(spaces: Sequence[Space]) -> tuple[str, ...]:
    """The names of the spaces; where equal, with the letter of their place."""
    count = Counter(space.name for space in spaces)
    return tuple(
        space.name if count[space.name] == 1 else f"{space.name} ({chr(ord('A') + place)})"
        for place, space in enumerate(spaces)
    )


@dataclass(frozen=True, eq=False)
class PreparedComparison:
    """Everything that a comparison needs before anything is evaluated.

    Attributes:
        spaces: fitted to the basis.
        labels: their names, made distinct.
        pools: networks drawn from each.
    """

    config: CompareConfig
    spaces: tuple[Space, ...]
    labels: tuple[str, ...]
    basis: Basis
    setup: Setup
    pools: tuple[Pool, ...]
    matching: Matching

    @property
    def paired(self) -> bool:
        """Whether the i-th networks of all spaces belong together."""
        return self.config.sampling.match != "none"

    def incomparable(self) -> tuple[str, ...]:
        """Why nothing can be compared, and what can be; see `not_comparable`."""
        cost = self.config.sampling.match
        costs = [pool.cost(cost) for pool in self.pools]
        spans = [(int(each.min()), int(each.max())) for each in costs]
        together = matching_with_first(costs, self.config.seed)
        return not_comparable(self.labels, spans, cost, together)


def prepare(
    config: CompareConfig,
    loaded: Sequence[Space],
    cache: Path,
    device: str | None,
    tick: Tick,
    given: DataSet | None = None,
    executor: Executor = HERE,
) -> PreparedComparison:
    """Reads the images or the table, fits the spaces to it, draws and matches networks.

    Args:
        config: the settings.
        loaded: the spaces, as their files have them.
        cache: folder for decoded images and the weights of a supernet.
        device: overrides the one in the settings.
        tick: receives the progress of reading.
        given: images in place of the source that the settings name.
        executor: who evaluates.

    Raises:
        DataError, SpaceError, ConfigError, RunError, EvaluationError: the settings cannot be
            carried out.
    """
    data, places = config.data, Places(CPU, (CPU,))
    if config.evaluator.table is None:
        places = executor.devices_of(device or config.device)
        for space in loaded:
            check_source(space.skeleton, data.source)
            check_evaluator(config.evaluator.method, space)
        if config.evaluator.method == "supernet":
            check_families(loaded)
        resolution = data.resolution or common_resolution(loaded)
        data = data.model_copy(update={"resolution": resolution})
    # One device is that of this process; of several, each worker has one.
    devices = tuple(map(str, places.workers)) if executor.shares_out(places.workers) else ()
    setup = Setup(config.evaluator, data, (), config.seed, str(places.own), cache, devices)
    basis = setup.basis(tick, given)
    spaces = tuple(map(basis.fitted, loaded))
    if isinstance(basis, Table):
        _check_scored(spaces, basis)
    if config.evaluator.method == "supernet":
        setup = replace(setup, spaces=spaces)
    pools = _drawn(spaces, config.seed)
    return PreparedComparison(
        config, spaces, labels_of(spaces), basis, setup, pools, _matched(pools, config)
    )


def _check_scored(spaces: Sequence[Space], table: Table) -> None:
    """Refuses networks without a score: to leave them out would favour the spaces they are in.

    Raises:
        EvaluationError: a space has such networks.
    """
    for space, label in zip(spaces, labels_of(spaces), strict=True):
        if missing := table.unscored(space):
            raise EvaluationError(
                f"{label}: table {table.name} has no score of {missing:,} of its "
                f"{shown(space.size)} networks; allowed in a comparison: spaces all of whose "
                "networks have scores"
            )


def check_evaluator(method: EvaluationMethod, space: Space) -> None:
    """Refuses an evaluator that does not measure such networks, before anything is drawn.

    Raises:
        SpaceError: it measures networks for images, or real weights.
    """
    skeleton, reads = space.skeleton, space.skeleton.reads
    scored = method in SCORES_ONLY and reads != "images"
    if scored or (method == "supernet" and reads in ("text", "captions")):
        problem = f"{method}, but {skeleton.name} reads {reads}"
        allowed = "train" if reads in ("text", "captions") else "train, supernet"
        raise SpaceError("evaluator.method", f"{problem}; allowed for {reads}: {allowed}")
    if method == "synflow" and FAMILIES[space.kind].binary:
        raise SpaceError("evaluator.method", f"{NO_FLOW}; allowed: train, supernet, naswot")


def _drawn(spaces: Sequence[Space], seed: int) -> tuple[Pool, ...]:
    seen: Counter[str] = Counter()
    pools = []
    for space in spaces:
        digest = space_digest(space)
        pools.append(draw(space, seed, seen[digest]))
        seen[digest] += 1
    return tuple(pools)


def _matched(pools: Sequence[Pool], config: CompareConfig) -> Matching:
    costs = [pool.cost(config.sampling.match) for pool in pools]
    found = unmatched(costs) if config.sampling.match == "none" else match(costs, config.seed)
    if found.comparable and (config.sampling.samples or 0) > len(found.tuples):
        problem = f"{config.sampling.samples}; allowed: up to {len(found.tuples)}"
        raise ConfigError(f"samples: {problem}, the number of networks that match at equal cost")
    return found
