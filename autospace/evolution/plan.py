"""The plan of an evolution run: its cells, limits and length, known before training begins."""

from dataclasses import dataclass, replace
from typing import Final, Protocol, cast

from autospace.evolution.population import EvolutionState
from autospace.evolution.settings import BudgetConfig, BudgetLimit, CellsConfig, Config
from autospace.evolution.toolbox import Operators
from autospace.spaces.cells.bats import BATS_USUAL, BatsCell, BatsPrior
from autospace.spaces.cells.cell import MIN_NODES, Cell, mbconv
from autospace.spaces.cells.darts import DartsPrior
from autospace.spaces.cells.darts_cell import USUAL, DartsCell
from autospace.spaces.cells.dense import DensePrior
from autospace.spaces.cells.dense_cell import NODES, DenseCell
from autospace.spaces.cells.dense_cell import OPERATIONS as DENSE
from autospace.spaces.cells.family import Prior
from autospace.spaces.cells.ofa import EXPANSIONS, VOCABULARY, Ofa, OfaCell
from autospace.spaces.cells.recurrent import RecurrentPrior
from autospace.spaces.cells.recurrent_cell import FUNCTIONS, RecurrentCell
from autospace.spaces.cells.variation import CellPrior
from autospace.spaces.cost import Budget, most_expensive_reference
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import reference_cells_of

DENSE_REFERENCE: Final = "nor_conv_3x3"
DARTS_REFERENCE: Final = "sep_conv_3x3"
BATS_REFERENCE: Final = "bin_conv_3x3"
RECURRENT_REFERENCE: Final = "tanh_chain"
References = tuple[tuple[str, Cell], ...]
"""Reference cells under their ids."""


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
    evolution, cells = config.evolution, config.cells
    operators = Operators(
        population=evolution.population,
        tournament=evolution.tournament,
        crossover=evolution.crossover,
        ageing=evolution.ageing,
        objectives=evolution.objectives,
        prior=_prior(cells, skeleton),
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
    )


def _prior(cells: CellsConfig, skeleton: Skeleton) -> Prior:
    # Of a whole cell: where single nodes are chosen, each takes its own part of it.
    if skeleton.kind == DartsCell.kind:
        return DartsPrior(USUAL, nodes=skeleton.concat)
    if skeleton.kind == BatsCell.kind:
        return BatsPrior(BATS_USUAL, nodes=skeleton.concat)
    if skeleton.kind == OfaCell.kind:
        return Ofa().prior(VOCABULARY)
    if isinstance(skeleton, SequenceSkeleton):
        return RecurrentPrior(tuple(FUNCTIONS), skeleton.nodes, skeleton.root)
    if is_dense(skeleton):
        # A graph of two nodes has one edge, whose operation goes where one is chosen.
        return DensePrior(tuple(DENSE), nodes=NODES if skeleton.nodes is None else MIN_NODES)
    return CellPrior(
        tuple(name for name in cells.operations if name != "none"),
        nodes=cells.nodes,
        none_probability=cells.none_probability,
        window=cells.window,
    )


def is_dense(skeleton: Skeleton) -> bool:
    """Whether cells of the family `dense` are evolved: those of family `mobile` do not fit."""
    return skeleton.kind == DenseCell.kind


def references_on(skeleton: Skeleton, cells: CellsConfig) -> References:
    """The reference cells; those that no setting names have 3x3 convolutions alone.

    Of DARTS cells, every node reads the two inputs. No layer of Once-for-All is skipped. The nodes
    of a recurrent cell are a chain of tanh: a recurrent highway network (Zilly et al., ICML 2017).
    """
    if isinstance(skeleton, SequenceSkeleton):
        chain = RecurrentCell.of([(node, "tanh") for node in range(skeleton.nodes)])
        return ((RECURRENT_REFERENCE, cast(Cell, chain)),)
    if skeleton.kind == DartsCell.kind:
        pairs = [(DARTS_REFERENCE, 0), (DARTS_REFERENCE, 1)]
        return ((DARTS_REFERENCE, cast(Cell, DartsCell.of(pairs * skeleton.concat))),)
    if skeleton.kind == BatsCell.kind:
        pairs = [(BATS_REFERENCE, 0), (BATS_REFERENCE, 1)]
        return ((BATS_REFERENCE, cast(Cell, BatsCell.of(pairs * skeleton.concat))),)
    if skeleton.kind == OfaCell.kind:
        cell = OfaCell.of(3, max(EXPANSIONS))
        return ((f"ofa_k3_e{cell.expansion}", cell),)
    if not is_dense(skeleton):
        return reference_cells(cells)
    edges = 1 if skeleton.nodes is not None else NODES * (NODES - 1) // 2
    return ((DENSE_REFERENCE, cast(Cell, DenseCell.of([DENSE_REFERENCE] * edges))),)


def reference_network(skeleton: Skeleton, cell: Cell) -> tuple[Skeleton, list[Cell]]:
    """The network that has a reference cell in every layer: where nothing is shared, and cells.

    Args:
        skeleton: whose layers may share cells.
        cell: a reference cell, or what a reference has on every edge.
    """
    shared = reference_cells_of(skeleton, cell)
    return skeleton.untied, [shared[group] for group in skeleton.groups]


def reference_cells(cells: CellsConfig) -> References:
    """The reference cells that the settings name; fitness is relative to the first."""
    expansion = cells.reference_expansion
    return tuple(
        (f"mbconv_k{kernel}_e{expansion}", mbconv(kernel, expansion, nodes=cells.nodes))
        for kernel in cells.reference_kernels
    )


def make_budget(settings: BudgetConfig, skeleton: Skeleton, references: References) -> Budget:
    """The limits in numbers; `reference` is the cost of the most expensive reference network."""
    most = most_expensive_reference(skeleton, [cell for _, cell in references])

    def limit(setting: BudgetLimit, reference: int) -> int | None:
        if setting == "none":
            return None
        return reference if setting == "reference" else int(setting)

    return Budget(
        limit(settings.max_madds, most.madds),
        limit(settings.max_params, most.params),
    )
