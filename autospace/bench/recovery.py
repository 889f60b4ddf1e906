"""Suite `recovery`: whether evolution finds a cell that was hidden in every layer.

Every layer has a planted cell. A closed form scores a cell by how many genes (edges, mixes,
expansion) it shares with the planted one, plus noise that is fixed for each cell. Nothing is
trained, and a seed gives the same numbers on every machine. The suite measures whether the planted
cell is in the learned space, after how many scored cells, and the same for random cells.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from autospace.bench.document import Entry
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.plan import Plan
from autospace.evolution.population import EvolutionState
from autospace.evolution.settings import EvolutionConfig
from autospace.evolution.toolbox import Operators
from autospace.progress import Message
from autospace.scorers.scorer import Scorer
from autospace.seeds import stream
from autospace.spaces.cells.cell import Cell, mbconv
from autospace.spaces.cells.key import canonical, canonical_key
from autospace.spaces.cells.variation import CellPrior, random_cell
from autospace.spaces.cost import Budget
from autospace.spaces.skeleton import LayerSpec, Skeleton, Stem

SKELETON: Final = Skeleton("planted", 3, 16, 10, Stem(8, 1), (LayerSpec(8),) * 8)
OPERATIONS: Final = (
    "skip_connect",
    "dw_conv_3x3",
    "dw_conv_5x5",
    "dw_conv_7x7",
    "dw_conv_3x3_d2",
    "dw_conv_3x3_d3",
    "avg_pool_3x3",
    "max_pool_3x3",
)
PRIOR: Final = CellPrior(OPERATIONS, nodes=3)
REFERENCES: Final = (("mbconv_k3_e3", mbconv(3, 3, nodes=3)),)
NOISE: Final = 0.5
"""Standard deviation of the noise, in genes."""
SETTINGS: Final = EvolutionConfig()
GENERATIONS: Final = 40

MakeScorer = Callable[[Sequence[Cell], int], Scorer]


@dataclass(frozen=True, slots=True)
class Planted:
    """Scores cells by the genes that they share with the planted cell of their layer."""

    cells: Sequence[Cell]
    seed: int

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness relative to a cell that shares nothing; see `autospace.scorers.scorer.Scorer`."""
        return [
            [shared_genes(cell, planted) + self._noise(layer, cell, repeat) for cell in cells]
            for layer, (cells, planted) in enumerate(zip(candidates, self.cells, strict=True))
        ]

    def _noise(self, layer: int, cell: Cell, repeat: int) -> float:
        rng = stream(self.seed, "noise", layer, repeat, canonical_key(cell))
        return rng.gauss(0, NOISE)


def shared_genes(cell: Cell, planted: Cell) -> int:
    """Edges, mixes and expansion in which two cells agree, in their canonical form."""
    pairs = zip(_genes(cell), _genes(planted), strict=True)
    return sum(one == other for one, other in pairs)


def recovery(
    *,
    seeds: int,
    on_message: Message,
    make_scorer: MakeScorer = Planted,
    settings: EvolutionConfig = SETTINGS,
) -> list[Entry]:
    """The entries of the suite, over this many seeds.

    `make_scorer` turns the planted cells and a seed into what scores candidates; the generations of
    `settings` do not count.
    """
    searches = {"evolution": GENERATIONS, "random": 0}
    courses: dict[str, list[_Course]] = {name: [] for name in searches}
    for seed in range(seeds):
        on_message(f"recovery: seed {seed + 1} of {seeds}")
        for name, generations in searches.items():
            plan = _plan(settings, seed, generations)
            planted = _planted(seed)
            courses[name].append(_course(plan, planted, make_scorer(planted, seed)))
    ours, theirs = ([course.found for course in courses[name]] for name in searches)
    over = [one - other for one, other in zip(ours, theirs, strict=True)]
    deviation = _binomial(ours)
    evaluations = [course.evaluations for course in courses["evolution"]]
    spent = statistics.stdev(evaluations) if seeds > 1 else 0.0
    return [
        _entry("fraction_found", ours, deviation, "fraction"),
        _entry("over_random", over, math.hypot(deviation, _binomial(theirs)), "fraction"),
        _entry("evaluations", evaluations, spent, "cells", better="lower"),
    ]


@dataclass(frozen=True, slots=True)
class _Course:
    """Share of the layers whose planted cell is in the learned space; cells scored until then."""

    found: float
    evaluations: float


def _course(plan: Plan, planted: Sequence[Cell], scorer: Scorer) -> _Course:
    keys = [canonical_key(cell) for cell in planted]
    first: dict[int, int] = {}
    scored, last = 0, None
    for state in evolve(plan, scorer):
        last = state
        scored = max(layer.born for layer in state.layers)
        for layer, reached in enumerate(_reached(state, keys)):
            if reached:
                first.setdefault(layer, scored)
    if last is None:
        raise RuntimeError("a plan without rounds")
    space = learned_space(plan, last, name="planted", budget=Budget(), provenance={})
    kept = [
        any(canonical_key(each.cell) == key for each in layer.candidates)
        for layer, key in zip(space.layers, keys, strict=True)
    ]
    # If it was never scored, all evaluations of the run count: at least so many were needed.
    spent = [first.get(layer, scored) for layer in range(len(keys))]
    return _Course(sum(kept) / len(kept), statistics.mean(spent))


def _reached(state: EvolutionState, keys: Sequence[str]) -> Iterator[bool]:
    return (key in layer.seen for key, layer in zip(keys, state.layers, strict=True))


def _plan(settings: EvolutionConfig, seed: int, generations: int) -> Plan:
    """A run with this many generations; with 0, as many cells are scored, all drawn at random."""
    population = settings.population
    if not generations:
        population += GENERATIONS * settings.candidates
    operators = Operators(
        population=population,
        tournament=settings.tournament,
        crossover=settings.crossover,
        ageing=settings.ageing,
        objectives=settings.objectives,
        prior=PRIOR,
    )
    return Plan(
        skeleton=SKELETON,
        references=REFERENCES,
        operators=operators,
        seed=seed,
        generations=generations,
        candidates=settings.candidates,
        keep=settings.keep,
        confirm=settings.confirm,
        write_back=settings.write_back,
    )


def _planted(seed: int) -> list[Cell]:
    """Per layer a random cell with all its edges, which few random cells have."""
    rng = stream(seed, "planted")
    cells: list[Cell] = []
    while len(cells) < len(SKELETON.layers):
        cell = random_cell(PRIOR, rng)
        if len(cell.edges) == PRIOR.edges:
            cells.append(cell)
    return cells


def _genes(cell: Cell) -> tuple[object, ...]:
    first = canonical(cell)
    return (*first.operations, *first.mix, first.expansion)


def _binomial(fractions: Sequence[float]) -> float:
    """Standard deviation of one seed's fraction, by Laplace's rule: never 0, even if all agree."""
    layers = len(SKELETON.layers)
    found = (sum(fractions) * layers + 1) / (len(fractions) * layers + 2)
    return math.sqrt(found * (1 - found) / layers)


def _entry(
    metric: str,
    values: Sequence[float],
    spread: float,
    unit: str,
    better: Literal["higher", "lower"] = "higher",
) -> Entry:
    return Entry(
        suite="recovery",
        metric=metric,
        value=statistics.mean(values),
        unit=unit,
        better=better,
        spread=spread,
        n=len(values),
    )
