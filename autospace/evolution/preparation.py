"""What a run needs before anything is trained: data, skeleton, budget and plan."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, get_args

import torch

from autospace.captions.passages import fitted_skeleton, load_captioned
from autospace.captions.source import FORM as CAPTIONS_FORM
from autospace.captions.source import is_captions
from autospace.compute.device import (
    Hardware,
    described_use,
    make_execution,
    resolve_devices,
    thread_count,
)
from autospace.compute.execution import Execution, ExecutionSettings
from autospace.compute.executor import HERE, Executor, stays_here
from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.data.images import AUGMENTATIONS, check_augment, check_source, skeleton_for
from autospace.data.load import load_data
from autospace.data.settings import PYTHON, DataConfig
from autospace.data.splits import divide
from autospace.evolution.families import (
    check_effect,
    check_family,
    check_mobile,
    kind_on,
    prior_on,
    references_on,
)
from autospace.evolution.folder import RunFolder
from autospace.evolution.parts import CaptionParts, ImageParts, Parts, TextParts
from autospace.evolution.plan import CellLimit, Plan, make_budget, make_plan
from autospace.evolution.settings import PRESETS, Config
from autospace.latency.budget import LatencyBudget, latency_budget, limit_table
from autospace.progress import Message, Observer
from autospace.runs.errors import ConfigError
from autospace.scorers.pooled import INDEPENDENT, fitting_count
from autospace.scorers.scorer import ScoringMethod, check_scoring
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cost import Budget, layer_shares
from autospace.spaces.files.library import load_skeleton
from autospace.spaces.sequence import SequenceSkeleton
from autospace.spaces.skeleton import Skeleton
from autospace.text.corpus import load_text
from autospace.text.passages import check_settings
from autospace.text.source import FORM, is_text

DEFAULT_SKELETONS = {"digits": "digits"}
LATENCY_TABLE = "latency.json"
UNLIMITED: Final = "MAdds do not count binary operations; budget.max_ops limits them"


@dataclass(frozen=True)
class PreparedRun:
    """Everything that a run needs before anything is trained.

    Attributes:
        execution: on the device of this process.
        devices: that cells are trained on, if they are trained alone; see `Places.workers`.
    """

    config: Config
    parts: Parts
    skeleton: Skeleton
    budget: Budget
    latency: LatencyBudget | None
    plan: Plan
    execution: Execution
    devices: tuple[torch.device, ...]

    def settings_on(self, hardware: Hardware) -> ExecutionSettings:
        """How the workers of a cluster train cells."""
        return hardware.settings(self.config.precision, self.config.cuda_graphs)


@dataclass(frozen=True)
class Passed:
    """What a Python program passes to a run as a value, where settings hold a name.

    Attributes:
        images: in place of `data.source`.
        skeleton: in place of `skeleton`.
    """

    images: DataSet | None = None
    skeleton: Skeleton | None = None


NOTHING_PASSED: Final = Passed()


def prepare(
    config: Config,
    folder: RunFolder,
    observer: Observer,
    device: str | None = None,
    passed: Passed = NOTHING_PASSED,
    executor: Executor = HERE,
) -> PreparedRun:
    """Reads the data and determines skeleton, budget and plan; trains nothing."""
    own, devices = executor.devices_of(device or config.device)
    execution = make_execution(config.precision, config.cuda_graphs, own, observer.message)
    skeleton = folder.skeleton or passed.skeleton or _named_skeleton(config, folder)
    given = passed.images
    check_scoring(config.scoring, skeleton.reads, kind_on(skeleton, config.cells))
    check_mobile(skeleton, config.cells)
    if isinstance(skeleton, CaptionSkeleton):
        _check_captions(config)
        parts, skeleton = _captions(config, skeleton, folder, observer, own)
    elif isinstance(skeleton, SequenceSkeleton):
        parts, skeleton = _text(config, skeleton, given)
    else:
        check_source(skeleton, config.data.source)
        parts, skeleton = _images(config, skeleton, folder, observer, given)
    _check_blocks(skeleton, config)
    check_skips(skeleton, config)
    check_predicted(skeleton, config)
    check_tied(skeleton, config)
    check_family(skeleton, config.cells)
    check_effect(skeleton, config.cells)
    references = references_on(skeleton, config.cells)
    cells = [cell for _, cell in references]
    budget = make_budget(config.budget, skeleton, references)
    vocabulary = prior_on(skeleton, config.cells).vocabulary
    latency = _latency(config, skeleton, cells, vocabulary, folder)
    limits: tuple[CellLimit, ...] = (layer_shares(skeleton, cells, budget),)
    plan = make_plan(
        config, skeleton, references, limits if latency is None else (*limits, latency)
    )
    # Last, so that what is wrong stands alone.
    unlimited = plan.operators.family.binary and budget.max_ops is None
    for note in (*parts.lines, *parts.notes, *([UNLIMITED] if unlimited else [])):
        observer.message(note)
    warn(observer, parts.warnings)
    return PreparedRun(config, parts, skeleton, budget, latency, plan, execution, devices)


def _images(
    config: Config,
    skeleton: Skeleton,
    folder: RunFolder,
    observer: Observer,
    given: DataSet | None,
) -> tuple[Parts, Skeleton]:
    """The images or sentences in two parts, and the skeleton that fits them."""
    usual = None if skeleton.side is None else skeleton.resolution
    data = load_data(
        given or config.data.source,
        resolution=config.data.resolution or usual,
        limit=config.data.limit,
        seed=config.seed,
        cache=folder.cache,
        tick=partial(observer.tick, "data"),
        aspect=config.data.aspect,
        ground=config.data.ground,
    )
    check_augment(data, {f"data.{name}": getattr(config.data, name) for name in AUGMENTATIONS})
    weights, fitness = divide(data.train, config.data.validation, config.seed)
    return ImageParts(data, weights, fitness), skeleton_for(skeleton, data)


def _text(
    config: Config, skeleton: SequenceSkeleton, given: DataSet | None
) -> tuple[Parts, Skeleton]:
    """The text, and the skeleton with its vocabulary, whose whole cell is evolved.

    A choice of one node has four values at most: there is nothing to evolve.
    """
    source = config.data.source
    if given is not None or not is_text(source):
        raise DataError(f"data: {source[:80]}, but {skeleton.name} reads text; allowed: {FORM}")
    check_settings(config.data)
    corpus = load_text(source, config.data.limit)
    return TextParts(corpus), skeleton.for_vocabulary(len(corpus.vocabulary)).undivided


def _check_captions(config: Config) -> None:
    """Refuses what has another meaning where cells have links to layers.

    Raises:
        ConfigError: layers share a list, although each may read other layers; or a share of the
            images is asked for, although there is a validation split.
    """
    if config.evolution.tied > 1:
        problem = f"{config.evolution.tied}, but each layer of a decoder may read other layers"
        raise ConfigError(f"evolution.tied: {problem}; allowed: 1")
    if config.data.validation != DataConfig().validation:
        problem = f"{config.data.validation}, but captions have a validation split"
        raise ConfigError(f"data.validation: {problem}; allowed: leave it out")


def _check_blocks(skeleton: Skeleton, config: Config) -> None:
    """Refuses references that compete where blocks of layers have one hidden size.

    The first layer of a block could keep cells of a size that no later layer has, which would then
    only be skipped.

    Raises:
        ConfigError: they compete.
    """
    if skeleton.reads == "sentences" and config.evolution.references == "compete":
        why = "compete, but layers of a block share a hidden size, which the references keep"
        raise ConfigError(f"evolution.references: {why}; allowed on {skeleton.name}: stay")


def check_tied(skeleton: Skeleton, config: Config) -> None:
    """Refuses layers with one population where consecutive choices are parts of one cell.

    Raises:
        ConfigError: it is asked for there.
    """
    tied = config.evolution.tied
    if tied > 1 and skeleton.choices_per_cell > 1:
        why = f"but consecutive choices of {skeleton.name} are parts of one cell"
        raise ConfigError(f"evolution.tied: {tied}, {why}; allowed there: 1")


def check_predicted(skeleton: Skeleton, config: Config) -> None:
    """Refuses `predicted` where layers share cells, or where a choice is a part of a cell.

    Raises:
        ConfigError: it is asked for there.
    """
    if config.scoring.method == "predicted" and skeleton != skeleton.untied:
        problem = f"predicted, but layers of {skeleton.name} share cells"
        others = ", ".join(method for method in get_args(ScoringMethod) if method != "predicted")
        raise ConfigError(f"scoring.method: {problem}; allowed there: {others}")


def check_skips(skeleton: Skeleton, config: Config) -> None:
    """Refuses the choice to skip layers where no layer can offer it.

    Raises:
        ConfigError: it is asked for, but stages or blocks decide it, or no layer keeps its input.
    """
    if not config.evolution.skips or any(each.plain and each.shortcut for each in skeleton.shapes):
        return
    why = "but no layer of it has a shortcut that could stand alone"
    if any(shape.skippable for shape in skeleton.shapes):
        why = "but which layers may be skipped is a matter of the skeleton"
    raise ConfigError(f"evolution.skips: true, {why}; allowed on {skeleton.name}: false")


def _captions(
    config: Config,
    skeleton: CaptionSkeleton,
    folder: RunFolder,
    observer: Observer,
    device: torch.device,
) -> tuple[Parts, Skeleton]:
    """The images with captions, and the skeleton that fits them, whose whole cells are evolved."""
    if not is_captions(config.data.source):
        problem = f"data: {config.data.source[:80]}, but {skeleton.name} reads captions"
        raise DataError(f"{problem}; allowed: {CAPTIONS_FORM}")
    wanted = config.data.resolution or skeleton.resolution
    data = config.data.model_copy(update={"resolution": wanted})
    tick = partial(observer.tick, "data")
    halves = load_captioned(data, "validation", config.seed, device, folder.cache, tick)
    return CaptionParts(halves), fitted_skeleton(skeleton, halves.data).undivided


def warn(observer: Observer, problems: Sequence[str]) -> None:
    """Says what makes a run hopeless."""
    for problem in problems:
        observer.message(f"warning: {problem}")


_READERS: Final = {
    preset: str(settings["skeleton"])
    for preset, settings in PRESETS.items()
    if preset == settings.get("data", {}).get("source")
}
"""Kind of data that are no images -> the skeleton of the preset of that name."""


def _named_skeleton(config: Config, folder: RunFolder) -> Skeleton:
    name = config.skeleton
    if name == PYTHON and folder.reopened:
        raise folder.not_begun("skeleton, which was passed from Python")
    if name == "auto":
        kind = config.data.source.partition(":")[0]
        if kind in _READERS:
            allowed = f"allowed: a skeleton that reads them, such as {_READERS[kind]}"
            problem = f'"auto", which is for images, but the data are {kind}'
            raise ConfigError(f"skeleton: {problem}; {allowed}, or the preset {kind}")
        name = DEFAULT_SKELETONS.get(kind, "cifar")
    return load_skeleton(name)


def _latency(
    config: Config,
    skeleton: Skeleton,
    cells: Sequence[Cell],
    vocabulary: Sequence[str],
    folder: RunFolder,
) -> LatencyBudget | None:
    kept = None if folder.replacing else folder.checkpoint / LATENCY_TABLE
    budget = config.budget
    table = limit_table(budget.latency_table, kept)
    if table is None:
        return None
    most, factor = budget.max_latency_ms, budget.reference_factor
    return latency_budget(table, skeleton, cells, most, vocabulary, factor)


def scoring_threads(prepared: PreparedRun) -> int:
    """Independent candidates get a thread each: cores are used by several of them."""
    config = prepared.config
    if config.threads == "auto" and config.scoring.method in INDEPENDENT:
        return 1
    return thread_count(config.threads, prepared.skeleton.resolution)


def executor_of(prepared: PreparedRun, given: Executor, on_message: Message) -> Executor:
    """Who trains candidates: the executor that was given, or this process where it must.

    Raises:
        RunError: this process must, and has no such device.
        ConfigError: there are fewer workers than devices.
    """
    scoring, devices = prepared.config.scoring, prepared.devices
    kind, own = devices[0].type, prepared.execution.device
    read = isinstance(prepared.skeleton, SequenceSkeleton) and kind != "cpu"
    if scoring.method not in INDEPENDENT or read:
        what = "text or captions are read" if read else f"scoring.method {scoring.method} trains"
        for line in described_use(devices, "", f"{what} on one device"):
            on_message(line)
        cells = (
            "cells that write text or captions"
            if read
            else f"with scoring.method {scoring.method}, cells"
        )
        chosen = stays_here(given, f"{cells} are trained", on_message)
        if kind != own.type:  # Only a cluster has such a device.
            resolve_devices(kind)
        return chosen
    if given.shares_out(devices):
        chosen = given.on(devices)
        for line in chosen.described_use(own, "train cells", "trains the reference"):
            on_message(line)
        return chosen
    if kind != "cpu":
        return stays_here(given, "on a GPU, cells are trained", on_message)
    if given.sized(1) == given:
        return given
    row = scoring.batch * prepared.parts.row
    candidates, each = prepared.plan.candidates, scoring_threads(prepared)
    count = fitting_count(prepared.skeleton, candidates, row, each, scoring.method, on_message)
    return given.sized(count)
