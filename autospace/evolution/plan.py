"""The plan of an evolution run: its cells, limits and length, known before training begins."""

import math
from dataclasses import dataclass, replace
from typing import Protocol

from autospace.evolution.families import References, prior_on
from autospace.evolution.population import EvolutionState
from autospace.evolution.settings import BudgetConfig, BudgetLimit, Config
from autospace.evolution.toolbox import Operators
from autospace.runs.errors import ConfigError
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import FAMILIES
from autospace.spaces.cost import Budget, most_expensive_reference, times
from autospace.spaces.skeleton import Skeleton


class CellLimit(Protocol):
    """A limit on every network of the learned space, as a share for each layer."""

    def allows(self, cell: Cell, layer: int) -> bool:
        """Whether a cell may enter a layer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What evolution works on and for how long.

    Attributes:
        references: reference cells, the same at every layer; the first is the baseline.
        limits: a cell may enter a layer only if every limit allows it.
        operators: how parents are chosen and varied, and who survives.
        seed: the root of every random stream.
        generations: rounds of offspring.
        candidates: K, cells that each layer offers in a round.
        stop_after: the generations end when the best cells of all layers stayed the same for so
            many of them; 0 for never.
        tied: so many consecutive layers share one population, and so one list of cells.
        keep: evolved cells per layer of the learned space.
        rescore: how many of the K cells of a generation are old members, scored again.
        screen: so many offspring are drawn for each one that is scored; a predictor chooses.
        shrink: selection uses the posterior mean of fitness, not the mean of the scores.
        confirm: how many times the best cells are scored again at the end.
        write_back: weight of a newer score in the moving average.
        references_stay: whether reference cells are in the learned space whatever their fitness;
            if not, they compete for the `keep` places.
        skips: whether the learned space offers to skip each layer that may be skipped, where the
            skeleton has no stages that decide this.
        hand_made: whether the initial populations consist of the reference cells and mutations of
            them; if not, the references are only scored, for the learned space.
    """

    skeleton: Skeleton
    references: tuple[tuple[str, Cell], ...]
    limits: tuple[CellLimit, ...] = ()
    operators: Operators
    seed: int
    generations: int
    candidates: int
    keep: int
    rescore: int = 0
    stop_after: int = 0
    tied: int = 1
    screen: int = 1
    shrink: bool = False
    confirm: int = 1
    write_back: float = 0.5
    hand_made: bool = True
    references_stay: bool = True
    skips: bool = False

    def allows(self, cell: Cell, layer: int) -> bool:
        """Whether a cell may enter a layer."""
        return all(limit.allows(cell, layer) for limit in self.limits)

    @property
    def predicts(self) -> bool:
        """Whether a predictor of fitness is used, which needs an archive of all scores."""
        return self.shrink or self.screen > 1

    @property
    def groups(self) -> tuple[range, ...]:
        """Consecutive layers that share one population; each layer is in one group."""
        layers = range(len(self.skeleton.shapes))
        return tuple(layers[first : first + self.tied] for first in layers[:: self.tied])

    @property
    def founders(self) -> int:
        """Cells per layer that are scored before evolution; all references are among them."""
        if not self.hand_made:
            return self.operators.population + len(self.references)
        return max(self.operators.population, len(self.references))

    @property
    def founding_rounds(self) -> int:
        """Rounds in which the initial population is scored."""
        return -(-self.founders // self.candidates)

    @property
    def confirming_rounds(self) -> int:
        """Rounds in which the best cells are scored again."""
        return self.confirm * -(-self.finalists // self.candidates)

    @property
    def finalists(self) -> int:
        """Evolved cells per layer that are scored again."""
        return self.keep + max(2, self.keep // 2)

    @property
    def rounds(self) -> int:
        """All rounds of the run."""
        return self.founding_rounds + self.generations + self.confirming_rounds

    def shortened(self, state: EvolutionState) -> "Plan":
        """The plan without the generations to come, if the best cells stayed for long enough."""
        if not self.stop_after or state.still < self.stop_after:
            return self
        return replace(self, generations=sum(each.phase == "evolve" for each in state.history))

    def stop(self, state: EvolutionState) -> str:
        """Why a run has fewer generations than planned; empty if it does not."""
        ended = self.shortened(state)
        if ended.generations == self.generations:
            return ""
        last = ended.founding_rounds + ended.generations
        stayed = "1 round" if self.stop_after == 1 else f"{self.stop_after} rounds"
        why = f"because the best cells stayed for {stayed}"
        return f"stopped after round {last} of {self.rounds} {why}"

    def phase(self, index: int) -> str:
        """`initial`, `evolve` or `confirm`."""
        if index < self.founding_rounds:
            return "initial"
        return "evolve" if index < self.founding_rounds + self.generations else "confirm"


def make_plan(
    config: Config, skeleton: Skeleton, references: References, limits: tuple[CellLimit, ...]
) -> Plan:
    """The plan that the settings of a run ask for."""
    evolution = config.evolution
    operators = Operators(
        population=evolution.population,
        tournament=evolution.tournament,
        crossover=evolution.crossover,
        ageing=evolution.ageing,
        objectives=evolution.objectives,
        prior=prior_on(skeleton, config.cells),
    )
    return Plan(
        skeleton=skeleton,
        references=references,
        limits=limits,
        operators=operators,
        seed=config.seed,
        generations=evolution.generations,
        candidates=evolution.candidates,
        keep=evolution.keep,
        rescore=evolution.rescore,
        stop_after=evolution.stop_after,
        tied=evolution.tied,
        screen=evolution.screen,
        shrink=evolution.shrink,
        confirm=evolution.confirm,
        write_back=evolution.write_back,
        hand_made=evolution.founders == "references",
        references_stay=evolution.references == "stay",
        skips=evolution.skips,
    )


def make_budget(settings: BudgetConfig, skeleton: Skeleton, references: References) -> Budget:
    """The limits in numbers.

    `reference` is the cost of the most expensive reference network, times the factor of the
    settings, rounded down.

    Raises:
        ConfigError: OPs are limited, but no operation is binary.
    """
    most = most_expensive_reference(skeleton, [cell for _, cell in references])
    if settings.max_ops != "none" and not FAMILIES[references[0][1].kind].binary:
        problem = "no cell is binary; allowed: none, and max_madds, which is the same there"
        raise ConfigError(f"budget.max_ops: {settings.max_ops}, but {problem}")

    def limit(setting: BudgetLimit, reference: int) -> int | None:
        if setting == "none":
            return None
        if setting == "reference":
            return times(settings.reference_factor, reference)
        return int(setting)

    return Budget(
        limit(settings.max_madds, most.madds),
        limit(settings.max_params, most.params),
        limit(settings.max_ops, math.ceil(most.ops)),
    )
