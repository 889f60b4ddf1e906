"""What a run is made of, settled before anything is trained: data, skeleton, budget and plan."""

from dataclasses import dataclass

from autospace.compute.device import make_execution, resolve_device
from autospace.compute.execution import Execution
from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.evolution.folder import RunFolder
from autospace.evolution.loop import Plan
from autospace.evolution.observer import Observer
from autospace.evolution.settings import Config, Limit
from autospace.evolution.toolbox import Operators
from autospace.latency.budget import LatencyBudget, read_latency_budget
from autospace.spaces.cells.cell import Cell, mbconv
from autospace.spaces.cells.variation import CellPrior
from autospace.spaces.files.library import load_skeleton
from autospace.spaces.shares import dearest_reference, layer_shares
from autospace.spaces.skeleton import Skeleton
from autospace.spaces.space import Budget

DEFAULT_SKELETONS = {"digits": "digits"}
LATENCY_TABLE = "latency.json"


@dataclass(frozen=True)
class Prepared:
    """All that a run is made of before anything is trained."""

    config: Config
    data: DataSet
    skeleton: Skeleton
    budget: Budget
    plan: Plan
    execution: Execution


def prepare(
    config: Config, folder: RunFolder, observer: Observer, device: str | None = None
) -> Prepared:
    """Reads the data and settles skeleton, budget and plan; trains nothing."""
    chosen = resolve_device(device or config.device)
    execution = make_execution(config, chosen, observer.say)
    name = config.skeleton
    if name == "auto":
        name = DEFAULT_SKELETONS.get(config.data.source.partition(":")[0], "cifar")
    skeleton = folder.skeleton or load_skeleton(name)
    data = load_data(
        config.data.source,
        resolution=config.data.resolution or skeleton.resolution,
        limit=config.data.limit,
        seed=config.seed,
        cache=folder.cache,
        progress=lambda _message, done, total: observer.tick("data", done, total),
    )
    channels, resolution = data.train.images.shape[1:3]
    skeleton = skeleton.fitted(
        in_channels=channels, resolution=resolution, classes=len(data.classes)
    )
    references = reference_cells(config)
    budget = _budget(config, skeleton, references)
    plan = _plan(config, skeleton, budget, _latency(config, skeleton, folder))
    # Last, so that what is wrong stands alone.
    for note in data.notes:
        observer.say(note)
    return Prepared(config, data, skeleton, budget, plan, execution)


def reference_cells(config: Config) -> tuple[tuple[str, Cell], ...]:
    """The reference cells under their ids; the first is the yardstick of fitness."""
    expansion, nodes = config.cells.reference_expansion, config.cells.nodes
    return tuple(
        (f"mbconv_k{kernel}_e{expansion}", mbconv(kernel, expansion, nodes=nodes))
        for kernel in config.cells.reference_kernels
    )


def _latency(config: Config, skeleton: Skeleton, folder: RunFolder) -> LatencyBudget | None:
    kept = None if folder.replacing else folder.checkpoint / LATENCY_TABLE
    cells = [cell for _, cell in reference_cells(config)]
    return read_latency_budget(config.budget, skeleton, cells, kept)


def _plan(
    config: Config, skeleton: Skeleton, budget: Budget, latency: LatencyBudget | None
) -> Plan:
    evolution, cells = config.evolution, config.cells
    references = reference_cells(config)
    prior = CellPrior(
        tuple(name for name in cells.operations if name != "none"),
        nodes=cells.nodes,
        none_probability=cells.none_probability,
        window=cells.window,
    )
    operators = Operators(
        evolution.population,
        evolution.tournament,
        evolution.crossover,
        evolution.ageing,
        evolution.objectives,
        prior,
    )
    return Plan(
        skeleton,
        references,
        layer_shares(skeleton, [cell for _, cell in references], budget),
        operators,
        config.seed,
        evolution.generations,
        evolution.candidates,
        evolution.keep,
        evolution.confirm,
        evolution.write_back,
        latency,
        evolution.founders == "references",
        evolution.references == "stay",
    )


def _budget(config: Config, skeleton: Skeleton, references: tuple[tuple[str, Cell], ...]) -> Budget:
    dearest = dearest_reference(skeleton, [cell for _, cell in references])

    def limit(setting: Limit, reference: int) -> int | None:
        if setting == "none":
            return None
        return reference if setting == "reference" else int(setting)

    return Budget(
        limit(config.budget.max_madds, dearest.madds),
        limit(config.budget.max_params, dearest.params),
    )
