"""The runs of docs/evidence/results.md: what is learned, how, and where it lies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from work_options import processor_seconds

from autospace.compute.executor import Executor
from autospace.evolution.folder import SPACE, RunFolder
from autospace.evolution.learn import learn
from autospace.evolution.loop import evolve, learned_space
from autospace.evolution.preparation import prepare
from autospace.evolution.settings import Config, make_config
from autospace.progress import Silent
from autospace.runs.files import write_atomically
from autospace.runs.folder import CONFIG
from autospace.runs.settings import read_config
from autospace.seeds import stream
from autospace.spaces import Cell, Space, canonical_key, load, to_json

HERE: Final = Path(__file__).resolve().parent
FULL: Final = "full method"
DOUBLE: Final = "double limit"
NO_COST: Final = "no cost term"
DOUBLE_NO_COST: Final = "double limit and no cost term"
FIRST: Final = "no cost term and references stay"
LIMIT: Final = 2_377_344
"""MAdds of the most expensive reference architecture: the limit of `small.toml`."""
TARGETS: Final = {"low": 1_700_000, "high": 3_400_000}
"""MAdds of the networks that are compared: about 70 % of the limit, and of twice the limit."""

HAND_MADE: Final = "hand-made"
ROWS: Final = 2
"""Version of the files in `drawn`: their accuracies are shares; those of version 1 were points."""
UNCHARGED: Final = "uncharged"
FIRST_TRY: Final = "first-try"


class Rivalry(NamedTuple):
    """A comparison: a variant of the method and its rivals.

    Networks are drawn where the MAdds of all of them meet.
    """

    variant: str
    rivals: tuple[str, ...]


Settings = Mapping[str, Mapping[str, Any]]

VARIANTS: Final[dict[str, Settings]] = {
    FULL: {},
    NO_COST: {"scoring": {"cost_weight": 0.0}},
    FIRST: {"scoring": {"cost_weight": 0.0}, "evolution": {"references": "stay"}},
    # The three references are scored as well, so that 64 cells a layer are scored in all.
    "no references": {"evolution": {"founders": "random", "population": 13}},
    "random fitness": {},
    "no evolution": {"evolution": {"founders": "random", "population": 61, "generations": 0}},
    "K = 2": {"evolution": {"candidates": 2, "generations": 24}},
    "K = 8": {"evolution": {"candidates": 8, "generations": 6}},
    "inherited weights": {"scoring": {"inherit": True}},
    "mixture": {"scoring": {"method": "mixture"}},
    DOUBLE: {"budget": {"max_madds": 2 * LIMIT}},
    DOUBLE_NO_COST: {"scoring": {"cost_weight": 0.0}, "budget": {"max_madds": 2 * LIMIT}},
}
"""What each variant changes in `small.toml`."""

BUDGETS: Final = ((FULL, DOUBLE), (NO_COST, DOUBLE_NO_COST))
"""Variants under the limit, and under twice the limit."""

COMPARISONS: Final = {
    HAND_MADE: Rivalry(FULL, ("mbconv", "mnasnet")),
    "random": Rivalry(FULL, ("random",)),
    UNCHARGED: Rivalry(NO_COST, ("mbconv", "mnasnet")),
    FIRST_TRY: Rivalry(FIRST, ("mbconv", "mnasnet", "random")),
}


@dataclass(frozen=True)
class Study:
    """Where things lie, and what is unlike the defaults.

    Attributes:
        data: as `--data` takes it.
        work: folder of runs, comparisons and evaluations.
        steps: of every training from scratch.
        changes: to the settings of every run, before those of the variant.
    """

    data: str
    work: Path
    steps: int = 1000
    changes: Settings | None = None

    @property
    def measured(self) -> Path:
        """The folder of what was measured by trainings of so many steps."""
        return self.work / f"steps-{self.steps}"

    def run_folder(self, variant: str, seed: int) -> Path:
        """The folder of a run."""
        return self.work / "runs" / f"{variant.replace(' = ', '').replace(' ', '-')}-{seed}"

    def space(self, variant: str, seed: int) -> Space:
        """What a run has learned."""
        return load(self.run_folder(variant, seed))

    def config(self, variant: str, seed: int) -> Config:
        """The settings of a run."""
        base = read_config(HERE / "small.toml")
        own = {
            "seed": seed,
            "device": "cpu",
            "skeleton": str(HERE / "small.json"),
            "data": {"source": self.data},
        }
        return make_config(base, own, self.changes or {}, VARIANTS[variant])

    def spent(self, what: str, seconds: float) -> None:
        """Notes CPU seconds of all processes of this machine."""
        self.work.mkdir(parents=True, exist_ok=True)
        with (self.work / "spent.tsv").open("a") as log:
            log.write(f"{what}\t{seconds:.1f}\n")


@dataclass(frozen=True)
class RandomFitness:
    """Scores that know nothing of the cells: what is left of evolution without a signal."""

    seed: int

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        return [
            [
                stream(self.seed, "random fitness", layer, repeat, canonical_key(cell)).gauss(0, 1)
                for cell in cells
            ]
            for layer, cells in enumerate(candidates)
        ]


def learn_all(study: Study, variant: str, seeds: Iterable[int], executor: Executor) -> None:
    """Learns the spaces of a variant that are not there yet; what was begun goes on.

    One after the other: a run stays where its folder is, and workers train its cells.
    """
    for seed in seeds:
        if not (study.run_folder(variant, seed) / SPACE).is_file():
            print(_learn(study, variant, seed, executor), flush=True)


def _learn(study: Study, variant: str, seed: int, executor: Executor) -> str:
    path, config = study.run_folder(variant, seed), study.config(variant, seed)
    started = processor_seconds()
    if variant == "random fitness":
        _learn_nothing(path, config)
    else:
        there = (path / CONFIG).is_file()
        folder = RunFolder.open(path) if there else RunFolder.create(path, config)
        learn(folder, Silent(), workers=executor)
    study.spent(path.name, processor_seconds() - started)
    return path.name


def _learn_nothing(path: Path, config: Config) -> None:
    """The space that evolution finds by random scores; takes no training."""
    folder = RunFolder(path)
    prepared = prepare(config, folder, Silent())
    *_, state = evolve(prepared.plan, RandomFitness(config.seed))
    space = learned_space(
        prepared.plan,
        state,
        name="random fitness",
        budget=prepared.budget,
        provenance={"method": "random fitness", "seed": config.seed},
    )
    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path / SPACE, to_json(space))
