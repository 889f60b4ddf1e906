"""What scorers share: their context, fresh candidates, and a supernet that holds the reference."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from torch import nn

from autospace.compute.execution import PLAIN, Execution, ExecutionSettings
from autospace.data.batches import BatchSource
from autospace.networks.captions import CaptionModel
from autospace.networks.cells import CellModule, recompute_cells
from autospace.networks.network import Network, placed
from autospace.networks.operations import ConvNorm
from autospace.networks.recurrent import LanguageModel
from autospace.progress import Message, Tick, no_message, no_tick
from autospace.runs.state import Stateful
from autospace.scorers.scorer import SUPERNETS, ScoringConfig
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell, LayerShape
from autospace.spaces.cells.family import cell_cost, cell_key
from autospace.supernets.supernet import Supernet
from autospace.training.task import CLASSIFICATION, Task

KEPT_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class ScoringContext:
    """The trained reference network and the two halves of the fitness images.

    Attributes:
        reference: trained, frozen, in evaluation mode; scorers never change it.
        training: batches that train candidates.
        validation: batches on which fitness is measured; their images are not in `training`.
        task: what networks are trained to do.
        kept: the weights of the supernet of the rounds before; None if every round begins anew.
        kept_bytes: memory for features of the reference that are kept for later rounds, for each
            kind of batch.
        on_message: receives the messages of workers.
        elsewhere: how workers train that do not compute on the device of this process.
        candidates: the most that a layer has in a round; 0 if it has as many in all rounds.
        founders: per layer, the cells of the first populations, which `predicted` trains networks
            of; empty for the candidates that are scored first.
        networks: the file of the networks that it has trained; None to keep none.
    """

    reference: Network
    training: BatchSource
    validation: BatchSource
    options: ScoringConfig
    seed: int
    tick: Tick = no_tick
    execution: Execution = PLAIN
    task: Task = CLASSIFICATION
    kept: "KeptWeights | None" = None
    kept_bytes: int = KEPT_BYTES
    on_message: Message = no_message
    elsewhere: ExecutionSettings | None = None
    candidates: int = 0
    founders: Sequence[Sequence[Cell]] = ()
    networks: Path | None = None

    @property
    def device(self) -> torch.device:
        """The device of the reference network."""
        return next(self.reference.parameters()).device

    @property
    def of_workers(self) -> ExecutionSettings:
        """How workers train."""
        return self.elsewhere or self.execution.settings

    @property
    def own_cells(self) -> list[Cell]:
        """The cell of every layer of the reference."""
        network: nn.Module = self.reference
        if isinstance(network, LanguageModel):
            return [cast(Cell, network.cell.cell)]
        if isinstance(network, CaptionModel):
            return [cast(Cell, each.cell) for each in network.layers]
        return [self.reference.cell(layer).cell for layer in range(len(self.reference.layers))]

    def training_steps(self, repeat: int, count: int) -> range:
        """Steps of the training batches of a repeat; no two repeats share one.

        If weights are kept, no two rounds share one. A supernet of fewer candidates, as that of the
        last finalists, has fewer steps; so repeats are as far apart as the largest one is long.
        """
        if self.options.method in SUPERNETS:
            whole = max(count, self.options.steps * (self.candidates + 1))
        else:
            whole = count
        first = repeat * whole if self.kept is None else self.kept.steps
        return range(first, first + count)

    def validation_steps(self, repeat: int) -> range:
        """Steps of the validation batches of a repeat; no two repeats share one."""
        count = self.options.validation_batches
        return range(repeat * count, (repeat + 1) * count)

    def keep(self, supernet: "ReferenceSupernet", steps: int) -> None:
        """Leaves the weights of a supernet that was trained to the next round, if they are kept."""
        if self.kept is not None:
            self.kept.keep(supernet, steps)

    def candidate(self, layer: int, cell: Cell, repeat: int) -> CellModule:
        """A fresh module for a cell; cells that compute the same get the same weights."""
        shape = self.reference.skeleton.shapes[layer]
        name = cell_key(cell, shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self.seed, "candidate", layer, repeat, name))
            module = self.reference.candidate(layer, cell)
        if self.options.inherit:
            inherit(module, self.reference.cell(layer))
        return placed(module, self.device).train()


def freeze(network: Network) -> Network:
    """The network in evaluation mode, its weights without gradients."""
    return network.eval().requires_grad_(False)


@torch.no_grad()
def inherit(module: CellModule, donor: CellModule) -> None:
    """Copies the weights that a candidate shares with a donor, in place.

    Expansion and projection copy the channels that both have. If the donor has a convolution from
    its input straight to its last node, every depthwise convolution of the candidate gets its
    kernels, centred, plus a tenth of its own.
    """
    if isinstance(module.expand, ConvNorm) and isinstance(donor.expand, ConvNorm):
        _overlap_block(module.expand, donor.expand)
    if module.project is not None and donor.project is not None:
        _overlap_block(module.project, donor.project)
    direct = f"0_{donor.last}"
    if direct not in donor.operations:
        return
    given = donor.operations[direct]
    if not isinstance(given, ConvNorm):
        return
    for operation in module.operations.values():
        if isinstance(operation, ConvNorm):
            _centre(operation.convolution.weight, given.convolution.weight)


def _overlap_block(taken: ConvNorm, given: ConvNorm) -> None:
    _overlap(taken.convolution.weight, given.convolution.weight)
    for name in ("weight", "bias", "running_mean", "running_var"):
        _overlap(getattr(taken.norm, name), getattr(given.norm, name))


def _overlap(taken: torch.Tensor, given: torch.Tensor) -> None:
    shared = tuple(slice(0, min(pair)) for pair in zip(taken.shape, given.shape, strict=True))
    taken[shared] = given[shared]


def _centre(taken: torch.Tensor, given: torch.Tensor) -> None:
    """Adds depthwise kernels [C, 1, k, k] to the middle of others, cropped if they are larger."""
    channels = min(len(taken), len(given))
    margin = (taken.shape[-1] - given.shape[-1]) // 2
    if margin < 0:
        given = given[..., -margin:margin, -margin:margin]
        margin = 0
    stop = margin + given.shape[-1]
    taken[:channels] *= 0.1
    taken[:channels, :, margin:stop, margin:stop] += given[:channels]


class KeptWeights(Stateful):
    """The weights of one supernet that is trained through all rounds (`scoring.weights`).

    It consists of the reference network and, per layer, of every part that a candidate ever had:
    `CellModule.parts` names them. Candidates of one round that have a part in common share it, as
    paths of a supernet do. A part that no candidate of a round has keeps its weights.

    There are no more parts than expansions, times edges and operations of the vocabulary, plus
    expansion and projection: memory does not grow with the number of rounds.

    Attributes:
        parts: weights and statistics, by the names of parts.
        steps: how many steps the supernet was trained; the next round goes on from there.
    """

    remembered = ("parts", "steps")

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, torch.Tensor]] = {}
        self.steps = 0

    def lend(self, supernet: "ReferenceSupernet") -> None:
        """Gives a new supernet all weights that are kept; parts in common become one module."""
        for name, part in _parts(supernet).items():
            if name in self.parts:
                part.load_state_dict(self.parts[name])

    def keep(self, supernet: "ReferenceSupernet", steps: int) -> None:
        """Takes the weights of a supernet that was trained for so many steps more."""
        self.parts |= {name: part.state_dict() for name, part in _parts(supernet).items()}
        self.steps += steps


def _parts(supernet: "ReferenceSupernet") -> dict[str, nn.Module]:
    """The reference and the candidates' parts by name; those of one name become one module."""
    found: dict[str, nn.Module] = {"reference": supernet.network}
    for layer, modules in enumerate(map(supernet.cells, range(len(supernet.shapes)))):
        for module in modules:
            for name, path in module.parts.items():
                own = module.get_submodule(path)
                module.set_submodule(path, found.setdefault(f"{layer} {name}", own))
    return found


REFERENCE = -1


class ReferenceSupernet(Supernet):
    """A supernet of the candidates and the reference, which is the last choice of every layer."""

    def __init__(
        self, setting: ScoringContext, candidates: Sequence[Sequence[Cell]], repeat: int
    ) -> None:
        cells = [
            [setting.candidate(layer, cell, repeat) for cell in offered]
            for layer, offered in enumerate(candidates)
        ]
        super().__init__(copy.deepcopy(setting.reference).requires_grad_(True), cells)
        if setting.kept is not None:
            setting.kept.lend(self)
        self.train()
        if setting.options.recompute:
            recompute_cells(self)

    @property
    def choices(self) -> list[list[CellModule]]:
        """Per layer the candidates and, last, the reference."""
        return [[*self.cells(layer), self.network.cell(layer)] for layer in range(len(self.shapes))]


def relative_costs(
    shapes: Sequence[LayerShape], rows: Sequence[Sequence[Cell]]
) -> list[list[float]]:
    """Per layer, OPs of every choice over those of all reference cells, the last choices.

    Without binary operations, OPs are MAdds.
    """
    counts = [
        [cell_cost(cell, shape).whole("ops") for cell in cells]
        for shape, cells in zip(shapes, rows, strict=True)
    ]
    whole = max(1, sum(row[-1] for row in counts))
    return [[each / whole for each in row] for row in counts]
