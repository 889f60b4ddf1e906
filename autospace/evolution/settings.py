"""The settings of a run, with defaults, units and allowed values, and the named presets."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from autospace.data.settings import DataConfig
from autospace.runs.errors import ConfigError
from autospace.runs.settings import Devices, Precision, Section, make_settings
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces.cells.cell import MAX_EXPANSION, MIXES, Mix
from autospace.spaces.cells.family import CELLS
from autospace.spaces.cells.operations import DEFAULT_OPERATIONS, OPERATIONS, unknown_operation
from autospace.spaces.errors import offered, shown
from autospace.spaces.text import parse_count


def _no_boolean(value: Any) -> Any:
    # True == 1, and that is all that a Literal looks at.
    if isinstance(value, bool):
        raise ValueError(f"{shown(value)}; allowed: a number")
    return value


def _counted(value: Any) -> Any:
    """`5M` as a number; everything else stays for validation to judge."""
    count = parse_count(value) if isinstance(value, str) else None
    return value if count is None else count


BudgetLimit = Annotated[
    Annotated[int, Field(ge=1, le=10**15)] | Literal["reference", "none"],
    BeforeValidator(_counted),
]
LatencyLimit = (
    Annotated[float, Field(gt=0, le=10**6, description="milliseconds")]
    | Literal["reference", "none"]
)


BNAS_REFERENCE: Final = "bin_sep_conv_3x3"


class Block(NamedTuple):
    """A block that the cells of convolutions begin with: its operations, and the nodes it needs."""

    operations: tuple[str, ...]
    nodes: int


BLOCKS: Final = {
    "resnet": Block(("conv_3x3",), 3),
    "bottleneck": Block(("conv_3x3",), 2),
    "convnext": Block(("dw_conv_7x7", "mlp_4"), 3),
}
"""Values of `cells.family` for cells of convolutions, with the block that is the reference."""
OWN_OPERATIONS: Final = {name: operations for name, (_, operations) in CELLS.items()}
"""The operations of families that have other ones than the mobile cells."""
_DEFAULTS: Final = (DEFAULT_OPERATIONS, *OWN_OPERATIONS.values())


class CellsConfig(Section):
    """Which cells may exist, and how they vary."""

    family: Literal["auto", "binary", "bnas", "resnet", "bottleneck", "convnext"] = "auto"
    operations: tuple[Annotated[str, Field(description="names of operations")], ...] = (
        DEFAULT_OPERATIONS
    )
    nodes: Annotated[int, Field(ge=2, le=6)] = 4
    mixes: Annotated[tuple[Mix, ...], Field(min_length=1, max_length=len(MIXES))] = MIXES
    none_probability: Annotated[float, Field(ge=0, le=0.9)] = 0.4
    window: Annotated[int, Field(ge=1, le=15)] = 2
    reference_kernels: Annotated[tuple[Literal[3, 5, 7], ...], Field(min_length=1)] = (3, 5, 7)
    reference_expansion: Annotated[
        int, Field(ge=1, le=MAX_EXPANSION), BeforeValidator(_no_boolean)
    ] = 6

    @field_validator("operations", "reference_kernels", "mixes", mode="before")
    @classmethod
    def _lists_are_tuples(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="before")
    @classmethod
    def _operations_by_family(cls, given: Any) -> Any:
        # A family has operations of its own, which are those of its cells unless some are named.
        family = given.get("family") if isinstance(given, Mapping) else None
        if not isinstance(family, str):
            return given
        # Files of settings name all operations, so that the default of another family is none.
        named = given.get("operations")
        if named is None or (isinstance(named, list | tuple) and tuple(named) in _DEFAULTS):
            return {**given, "operations": OWN_OPERATIONS.get(family, DEFAULT_OPERATIONS)}
        return given

    @field_validator("operations")
    @classmethod
    def _known(cls, names: tuple[str, ...], found: ValidationInfo) -> tuple[str, ...]:
        family = found.data.get("family", "")
        for name in names:
            if family in OWN_OPERATIONS and name not in OWN_OPERATIONS[family]:
                known = offered(name, OWN_OPERATIONS[family])
                raise ValueError(f"unknown operation {shown(name)} of {family} cells; {known}")
            if family not in OWN_OPERATIONS and name not in OPERATIONS:
                others = [each for each, table in OWN_OPERATIONS.items() if name in table]
                hint = f"; cells.family={others[0]} knows it" if others else ""
                raise ValueError(unknown_operation(name) + hint)
        if len(set(names)) != len(names) or not set(names) - {"none"}:
            words = "each operation at most once, and at least one besides none"
            raise ValueError(f"{', '.join(names)}; allowed: {words}")
        return names

    @field_validator("mixes")
    @classmethod
    def _sums_among_them(cls, mixes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(mixes)) != len(mixes) or "sum" not in mixes:
            given = ", ".join(mixes)
            raise ValueError(f"{given}; allowed: sum, and each mix at most once")
        return mixes

    @field_validator("reference_kernels")
    @classmethod
    def _distinct(cls, kernels: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(kernels)) != len(kernels):
            given = ", ".join(map(str, kernels))
            raise ValueError(f"{given}; allowed: each kernel size at most once")
        return kernels

    @model_validator(mode="after")
    def _references_are_in_the_vocabulary(self) -> "CellsConfig":
        if self.family in BLOCKS:
            block = BLOCKS[self.family]
            if self.nodes < block.nodes:
                raise ValueError(f"nodes: {self.nodes}; {self.family} needs at least {block.nodes}")
            missing = [name for name in block.operations if name not in self.operations]
            if missing:
                problem = f"the reference of {self.family} requires {', '.join(missing)}"
                raise ValueError(f"operations: {problem} among them")
            return self
        if self.family == "bnas":
            if BNAS_REFERENCE not in self.operations:
                raise ValueError(f"operations: the reference requires {BNAS_REFERENCE} among them")
            return self
        if self.family == "binary" and (lacking := self.without_reference("bin")) is not None:
            raise ValueError(lacking)
        return self

    def without_reference(self, kind: str) -> str | None:
        """The problem of a reference whose operation is not among those of cells; else None.

        Args:
            kind: how the names of the operations begin.
        """
        for kernel in self.reference_kernels:
            name = f"{kind}_conv_{kernel}x{kernel}"
            if name not in self.operations:
                needed = (
                    f"the reference of kernel size {kernel} (reference_kernels) requires {name}"
                )
                return f"operations: {needed} among them"
        return None


class EvolutionConfig(Section):
    """Population, selection, and what is kept."""

    generations: Annotated[int, Field(ge=0, le=100_000)] = 20
    population: Annotated[int, Field(ge=2, le=10_000)] = 24
    founders: Literal["references", "random"] = "references"
    candidates: Annotated[int, Field(ge=1, le=256, description="K per layer and round")] = 4
    rescore: Annotated[int, Field(ge=0, le=255, description="old members among the K")] = 0
    tournament: Annotated[int, Field(ge=1, le=10_000)] = 6
    crossover: Annotated[float, Field(ge=0, le=1)] = 0.3
    ageing: bool = False
    objectives: Annotated[
        tuple[Literal["fitness", "madds"], ...], Field(min_length=1, max_length=2)
    ] = ("fitness",)
    stop_after: Annotated[int, Field(ge=0, le=100_000, description="rounds")] = 0
    tied: Annotated[int, Field(ge=1, le=128, description="layers that share a list")] = 1
    screen: Annotated[int, Field(ge=1, le=64, description="offspring for each that is scored")] = 1
    shrink: bool = False
    keep: Annotated[int, Field(ge=1, le=256, description="cells per layer, references apart")] = 6
    references: Literal["stay", "compete"] = "stay"
    skips: bool = False
    confirm: Annotated[int, Field(ge=0, le=8, description="times the best are scored again")] = 1
    write_back: Annotated[float, Field(gt=0, le=1, description="weight of a newer score")] = 0.5

    @field_validator("objectives", mode="before")
    @classmethod
    def _list_is_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _sizes_agree(self) -> "EvolutionConfig":
        if self.tournament > self.population:
            limit = f"at most the population, {self.population}"
            raise ValueError(f"tournament: {self.tournament}; allowed: {limit}")
        if self.tied > 1 and len(self.objectives) > 1:
            why = "because the cost of a cell differs from layer to layer"
            raise ValueError(f"tied: {self.tied}; allowed with the objective madds: 1, {why}")
        if self.rescore >= self.candidates:
            limit = f"less than the candidates, {self.candidates}"
            raise ValueError(f"rescore: {self.rescore}; allowed: {limit}")
        if self.objectives not in {("fitness",), ("fitness", "madds")}:
            raise ValueError("objectives: allowed: fitness, or fitness and madds in this order")
        if self.ageing and len(self.objectives) > 1:
            raise ValueError("ageing and the objectives fitness and madds exclude each other")
        return self


class WarmUpConfig(Section):
    """How the reference network is trained before anything is scored."""

    steps: Annotated[int, Field(ge=1, le=10**7)] = 1000
    batch: Annotated[int, Field(ge=2, le=65_536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.1


class BudgetConfig(Section):
    """Limits on every architecture of the learned space.

    `reference` is the cost of the most expensive reference architecture, times `reference_factor`;
    `none` means no limit.
    """

    max_madds: BudgetLimit = "reference"
    max_params: BudgetLimit = "none"
    max_ops: BudgetLimit = "none"
    max_latency_ms: LatencyLimit = "none"
    reference_factor: Annotated[float, Field(ge=1, le=100)] = 1.0
    latency_table: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=4096,
                description="a file of profile, or a published name",
            ),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _latency_has_a_table(self) -> "BudgetConfig":
        if self.max_latency_ms != "none" and self.latency_table is None:
            raise ValueError(
                "max_latency_ms requires latency_table: a file of profile, or a published name"
            )
        if self.max_latency_ms == "none" and self.latency_table is not None:
            raise ValueError("latency_table has no effect without max_latency_ms")
        return self


class Config(Section):
    """Everything that decides what a run computes."""

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    device: Devices = "auto"
    precision: Precision = "auto"
    cuda_graphs: bool = True
    threads: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    skeleton: Annotated[
        str,
        Field(
            min_length=1,
            max_length=4096,
            description="auto, the name of a skeleton, or a .json or .toml file",
        ),
    ] = "auto"
    data: DataConfig = DataConfig()
    cells: CellsConfig = CellsConfig()
    evolution: EvolutionConfig = EvolutionConfig()
    scoring: ScoringConfig = ScoringConfig()
    warm_up: WarmUpConfig = WarmUpConfig()
    budget: BudgetConfig = BudgetConfig()


COST_WEIGHT: Final = 0.1
"""The price of MAdds: docs/evidence/ranking.md, "What a unit of fitness is worth"."""
LARGE_SCORING: Final = {
    "steps": 50,
    "batch": 128,
    "validation_batches": 16,
    "cost_weight": COST_WEIGHT,
}
PRESETS: dict[str, dict[str, Any]] = {
    "demo": {
        "skeleton": "digits",
        "data": {"source": "digits", "crop": 1},
        "cells": {"reference_expansion": 3},
        "evolution": {"generations": 7, "population": 16, "candidates": 4, "tournament": 4},
        "scoring": {"steps": 40, "batch": 32, "validation_batches": 4, "cost_weight": COST_WEIGHT},
        "warm_up": {"steps": 400},
    },
    "cifar-small": {
        "skeleton": "cifar",
        "data": {"crop": 2, "flip": True, "resolution": 16},
        "cells": {"reference_expansion": 3},
        "evolution": {
            "generations": 12,
            "population": 16,
            "candidates": 4,
            "tournament": 4,
            "skips": True,
        },
        "scoring": {"cost_weight": COST_WEIGHT},
        "warm_up": {"steps": 1500},
        # Wide cells have room, and skipped layers pay for them: docs/evidence/results.md.
        "budget": {"reference_factor": 1.65},
    },
    "cifar": {
        "skeleton": "cifar",
        "data": {"crop": 4, "flip": True},
        "evolution": {"generations": 30, "population": 32, "candidates": 4, "tournament": 8},
        "scoring": LARGE_SCORING,
        "warm_up": {"steps": 8000, "batch": 128},
    },
    "imagenet-mobile": {
        "skeleton": "mobile",
        "data": {"aspect": "crop", "crop": 16, "flip": True},
        "evolution": {"generations": 30, "population": 32, "candidates": 4, "tournament": 8},
        "scoring": LARGE_SCORING,
        "warm_up": {"steps": 50_000, "batch": 256, "learning_rate": 0.2},
    },
    "text": {
        "skeleton": "rnn-small",
        "data": {"source": "text"},
        "evolution": {"generations": 12, "population": 16, "candidates": 4, "tournament": 4},
        "scoring": {"method": "in-place", "steps": 100, "batch": 16, "learning_rate": 1.0},
        "warm_up": {"steps": 1000, "batch": 16, "learning_rate": 1.0},
    },
    "captions": {
        "skeleton": "captions-small",
        "data": {"source": "captions"},
        "evolution": {"generations": 12, "population": 16, "candidates": 4, "tournament": 4},
        "scoring": {"method": "in-place", "steps": 100, "batch": 32, "learning_rate": 0.3},
        "warm_up": {"steps": 1000, "batch": 32, "learning_rate": 0.1},
    },
    "sentences": {
        "skeleton": "bert-small",
        "data": {"source": "sentences"},
        "evolution": {"generations": 4, "population": 16, "candidates": 4, "tournament": 4},
        "scoring": {"method": "calibrated", "steps": 100, "batch": 32, "learning_rate": 0.03},
        "warm_up": {"steps": 500, "batch": 32, "learning_rate": 0.03},
    },
    # The method of the paper as a whole: docs/reference/method.md, "The paper and this program".
    "paper": {
        "skeleton": "mobile",
        "data": {"aspect": "crop", "crop": 16, "flip": True},
        "evolution": {
            "generations": 200,
            "population": 32,
            "candidates": 4,
            "rescore": 2,
            "tournament": 8,
            "crossover": 0.0,
            "stop_after": 10,
            "tied": 2,
            "confirm": 0,
        },
        "scoring": {
            "method": "mixture",
            "weights": "kept",
            "batch": 128,
            "learning_rate": 0.05,
            "cost_weight": 0.0,
        },
        "warm_up": {"steps": 50_000, "batch": 256, "learning_rate": 0.2},
    },
}
NEEDS_DATA = {
    "cifar-small": "cifar10:PATH",
    "cifar": "cifar10:PATH",
    "imagenet-mobile": "folder:PATH",
    "paper": "folder:PATH",
}


def preset_values(section: str, name: str) -> list[Any]:
    """The values that presets give a setting of a section."""
    given = (each.get(section, {}) for each in PRESETS.values())
    return [settings[name] for settings in given if name in settings]


def make_config(*layers: Mapping[str, Any]) -> Config:
    """A validated configuration: later layers of nested settings override earlier ones.

    Raises:
        ConfigError: a setting is invalid; the message names it, its value and what is allowed.
    """
    return make_settings(Config, *layers)


def preset(name: str) -> dict[str, Any]:
    """The nested settings of a preset.

    Raises:
        ConfigError: there is no preset of this name.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset {shown(name)}: unknown; {offered(name, PRESETS)}")
    return PRESETS[name]
