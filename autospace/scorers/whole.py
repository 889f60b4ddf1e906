"""Whole networks: each is trained from scratch, and what came out is kept on disk.

The networks that a run trains are all trained on the same batches, by one recipe. What is kept does
not depend on the order in which workers finish.
"""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, cast

import torch
from pydantic import Field

from autospace.data.batches import Batches
from autospace.networks.network import Network, build_network, placed
from autospace.runs.errors import FORCE, CheckpointError
from autospace.runs.files import is_sealed, sealed, unlike_sealed, write_atomically
from autospace.runs.settings import Section
from autospace.scorers.context import ScoringContext
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import FAMILIES, family_of
from autospace.spaces.errors import SpaceError
from autospace.spaces.files.reading import parse_json, read_text, validated
from autospace.training.short import Recipe, measure
from autospace.training.stages import train_in_stages

MEASURED: Final = 10_000
"""Images on which a network is measured at most: its error then has a deviation of half a point."""
Row = tuple[Cell, ...]
"""The cell of every layer of a network."""


class WholeNetworks:
    """Trains networks from scratch in this process."""

    TENSORS_SEEN: Final = 0

    def __init__(self, setting: ScoringContext) -> None:
        self.setting = setting

    def losses(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """The error of one network in per cent, after its training.

        Args:
            candidates: one cell per layer.
            repeat: of its initial weights.
        """
        setting, options = self.setting, self.setting.options
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(setting.seed, "whole network", repeat))
            made = build_network(setting.reference.skeleton, [cells[0] for cells in candidates])
        network = placed(cast(Network, made), setting.device)

        def after_step(step: int, loss: torch.Tensor) -> None:
            del loss
            setting.tick(step + 1, options.network_steps)

        train_in_stages(
            network,
            setting.training,
            Recipe(options.network_steps),
            execution=setting.execution,
            task=setting.task,
            after_step=after_step,
        )
        source = cast(Batches, setting.validation)
        count = min(len(source), math.ceil(MEASURED / source.size))
        found = measure(network, (source.batch(step) for step in range(count)), setting.task)
        return [[100 * (1 - found.accuracy)]]


class _Network(Section):
    cells: list[dict[str, Any]]
    error: Annotated[float, Field(ge=0, le=100)]


class _Networks(Section):
    networks: list[_Network]
    sha256: str


class Trained:
    """The networks that were trained so far, and their errors, as they were asked for.

    Attributes:
        errors: in per cent, by network.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Reads what the file holds, if there is one.

        Raises:
            CheckpointError: it is damaged.
        """
        self._path = path
        self.errors: dict[Row, float] = {}
        if path is not None and path.exists():
            self._read(path)

    def add(self, wanted: Iterable[Row], network: Row, error: float) -> None:
        """Keeps the error of one of the networks that are asked for now.

        Args:
            wanted: all that are asked for now, in order: they come last.
            network: the one.
            error: of it, in per cent.
        """
        known = {**self.errors, network: error}
        last = [each for each in wanted if each in known]
        order = [each for each in known if each not in set(last)] + last
        self.errors = {each: known[each] for each in order}
        if self._path is not None:
            networks = [
                {"cells": [packed_cell(cell) for cell in row], "error": value}
                for row, value in self.errors.items()
            ]
            write_atomically(self._path, sealed(json.dumps({"networks": networks})))

    def _read(self, path: Path) -> None:
        text = read_text(path, bounded=False)
        try:
            if not is_sealed(text):
                raise SpaceError("", unlike_sealed(text))
            found = validated(_Networks, parse_json(text))
            self.errors = {
                tuple(unpacked_cell(cell) for cell in each.cells): each.error
                for each in found.networks
            }
        except (SpaceError, ValueError, LookupError) as error:
            problem = error.problem if isinstance(error, SpaceError) else str(error)
            raise CheckpointError(f"{path}: damaged: {problem}; start again with {FORCE}") from None


def packed_cell(cell: Cell) -> dict[str, Any]:
    """A cell as plain values."""
    return {"kind": cell.kind, "cell": family_of(cell).encoded(cell)}


def unpacked_cell(packed: Any) -> Cell:
    """The cell that was packed."""
    family = FAMILIES[packed["kind"]]
    cell: Cell = family.decoded(validated(family.document, packed["cell"]))
    return cell
