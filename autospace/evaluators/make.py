"""Makes an evaluator from settings."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autospace.captions.passages import load_captioned
from autospace.captions.source import is_captions
from autospace.data.examples import DataSet
from autospace.data.images import Halves, Images, Split, as_images, load_images
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import Evaluator, EvaluatorConfig, skeleton_key
from autospace.evaluators.stand_alone import StandAloneEvaluator
from autospace.evaluators.supernet import (
    SharedWeightsEvaluator,
    to_trained_stage,
    train_supernet,
    union_of,
)
from autospace.evaluators.tabular import Table, TableEvaluator, read_table
from autospace.evaluators.zero_cost import SCORES_VERSION, ZERO_COST, ZeroCostEvaluator
from autospace.progress import Tick, no_tick
from autospace.runs.errors import CheckpointError
from autospace.runs.state import load_sealed, save_sealed
from autospace.spaces.cells.family import FAMILIES
from autospace.spaces.files.codec import from_json, to_json
from autospace.spaces.space import Space
from autospace.supernets.families import supernet_over
from autospace.supernets.supernet import Supernet
from autospace.text.passages import load_passages
from autospace.text.source import is_text

Basis = Halves | Table
"""What evaluations are based on; says its name, digest and notes, and fits spaces to itself."""


def load_halves(
    data: DataConfig,
    split: Split,
    seed: int,
    device: torch.device,
    cache: Path | None = None,
    tick: Tick = no_tick,
    given: DataSet | None = None,
) -> Halves:
    """Reads the images, the text or the captions that settings name; see `load_images`.

    Raises:
        DataError: they cannot be read or divided.
    """
    load: Callable[..., Halves] = load_images
    if given is None and is_text(data.source):
        load = load_passages
    elif given is None and is_captions(data.source):
        load = load_captioned
    return load(data, split, seed, device, cache, tick, given)


@dataclass(frozen=True)
class Setup:
    """Everything that an evaluator is made from, except its basis.

    Attributes:
        spaces: the spaces whose networks a supernet holds; other methods do not use them.
        seed: of what is drawn once for all architectures: splits, limits and a supernet.
        device: of this process: `cpu` or `cuda[:n]`.
        folder: where decoded images and a supernet's weights are kept.
        devices: those that workers compute on, in turn, `device` first, or on a cluster the kind
            that each of them has one of; empty for `device` alone.
    """

    config: EvaluatorConfig
    data: DataConfig
    spaces: tuple[Space, ...]
    seed: int
    device: str
    folder: Path
    devices: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """`cpu` or `cuda`: what evaluations are made on."""
        return torch.device(self._of_workers).type

    @property
    def _of_workers(self) -> str:
        return self.devices[0] if self.devices else self.device

    def packed(self) -> dict[str, Any]:
        """The setup as plain values, which `unpacked` takes."""
        return {
            "config": self.config.model_dump_json(),
            "data": self.data.model_dump_json(),
            "spaces": [to_json(space) for space in self.spaces],
            "seed": self.seed,
            "device": self._of_workers,
            "folder": str(self.folder.absolute()),
        }

    @classmethod
    def unpacked(cls, packed: Mapping[str, Any]) -> "Setup":
        """The setup that was packed, of one device: a worker computes on its own."""
        spaces = tuple(from_json(space) for space in packed["spaces"])
        return cls(
            EvaluatorConfig.model_validate_json(packed["config"]),
            DataConfig.model_validate_json(packed["data"]),
            tuple(space for space in spaces if isinstance(space, Space)),
            packed["seed"],
            packed["device"],
            Path(packed["folder"]),
        )

    def basis(self, tick: Tick = no_tick, given: DataSet | None = None) -> Basis:
        """Reads the table, or the images: those of the settings, or those that a program passes.

        Raises:
            DataError: the images cannot be read or divided.
            SpaceError: there is no valid table.
        """
        return read_table(self.config.table) if self.config.table else self.halves(tick, given)

    def images(self, tick: Tick = no_tick, given: DataSet | None = None) -> Images:
        """Reads the images, as `halves` does.

        Raises:
            DataError: they cannot be read or divided.
        """
        return as_images(self.halves(tick, given), "this evaluation")

    def halves(self, tick: Tick = no_tick, given: DataSet | None = None) -> Halves:
        """Reads the images or the text: those of the settings, or those that a program passes.

        Raises:
            DataError: they cannot be read or divided.
        """
        device = torch.device(self.device)
        return load_halves(
            self.data, self.config.split, self.seed, device, self.folder, tick, given
        )

    def conditions(self, basis: Basis) -> dict[str, Any]:
        """All that determines an evaluation, except architecture and seed, as plain values."""
        if isinstance(basis, Table):
            return {"method": "table", "table": basis.digest}
        found: dict[str, Any] = {
            "data": basis.digest,
            "device": self.kind,
            "method": self.config.method,
        }
        if self.config.method in ZERO_COST:
            used = {"split"}
            found["scores"] = SCORES_VERSION
        elif self.config.method == "supernet":
            used = set(EvaluatorConfig.model_fields) - {"table"}
            found["spaces"] = [_space_key(space) for space in self.spaces]
            if any(FAMILIES[space.kind].binary for space in self.spaces):
                # Before, such supernets were trained in one stage and measured in another.
                found["binary"] = 2
        else:
            used = set(EvaluatorConfig.model_fields) - {"table", "recalibration"}
        found["settings"] = self.config.model_dump(mode="json", include=used)
        if self.config.precision == "float32":
            # Evaluations from before there was a choice stay valid.
            found["settings"].pop("precision", None)
        if self.config.method not in ZERO_COST:
            augment = {"crop", "flip", "cutout"}
            found["augment"] = self.data.model_dump(mode="json", include=augment)
        if self.config.split == "validation" or self.config.method == "supernet":
            found["seed"] = self.seed
        if self.config.split == "validation":
            found["validation"] = self.data.validation
        return found


def make_evaluator(setup: Setup, basis: Basis, tick: Tick = no_tick) -> Evaluator:
    """The evaluator of a method; a supernet is trained, unless its weights are in the folder.

    Raises:
        EvaluationError: a supernet over spaces that do not share a skeleton.
    """
    if isinstance(basis, Table):
        return TableEvaluator(basis)
    name = setup.config.method
    if name in ZERO_COST:
        return ZeroCostEvaluator(as_images(basis, name), ZERO_COST[name])
    if name == "supernet":
        images = as_images(basis, name)
        supernet = _supernet(setup, images, tick)
        return SharedWeightsEvaluator(supernet, union_of(setup.spaces), images, setup.config)
    return StandAloneEvaluator(basis, setup.config)


def _supernet(setup: Setup, images: Images, tick: Tick) -> Supernet:
    path = supernet_file(setup, images)
    if path.is_file():
        supernet = supernet_over(union_of(setup.spaces), setup.seed, images.device)
        try:
            supernet.load_state_dict(load_sealed(path, images.device)[0])
            to_trained_stage(supernet, setup.config)
            return supernet
        except (CheckpointError, RuntimeError):
            path.unlink()  # damaged: it is only a cache
    supernet = train_supernet(
        setup.spaces,
        images,
        setup.config,
        setup.seed,
        tick,
    )
    save_sealed(path, supernet.state_dict(), {})
    return supernet


def supernet_file(setup: Setup, images: Halves) -> Path:
    """Where the weights of the supernet are kept."""
    return setup.folder / f"supernet-{_digest(setup.conditions(images))}.safetensors"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def _space_key(space: Space) -> str:
    """A digest of a space: its skeleton, and the functions of every layer in their order."""
    cells = [layer.keys for layer in space.layers]
    return _digest([skeleton_key(space.skeleton), cells])
