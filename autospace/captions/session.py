"""A training of a network for captions in progress: AdamW, teacher forcing, a cosine."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from autospace.captions.corpus import CaptionData, CaptionSplit
from autospace.captions.passages import CaptionBatches
from autospace.data.batches import Normaliser
from autospace.data.images import measured_at_once
from autospace.data.settings import Aspect, Ground
from autospace.networks.captions import CaptionModel, Described
from autospace.networks.network import placed
from autospace.runs.errors import ConfigError
from autospace.runs.settings import Section
from autospace.seeds import derived_seed
from autospace.spaces.space import Architecture
from autospace.training.captioning import Captioning, words_of
from autospace.training.session import Epoch
from autospace.training.settings import NetworkConfig
from autospace.training.short import rate, set_rate

TASK = Captioning()


class CaptionConfig(Section):
    """The images with captions."""

    source: Annotated[
        str, Field(max_length=4096, description="captions[:key=value,...][:PATH]")
    ] = "captions"
    resolution: Annotated[int, Field(ge=4, le=1024)] | None = None
    limit: Annotated[int, Field(ge=20, description="images of a split")] | None = None
    aspect: Aspect = "squash"
    ground: Ground = "white"


class AdamConfig(Section):
    """The optimiser; the rate follows a cosine to zero after a linear warm-up."""

    learning_rate: Annotated[float, Field(gt=0, le=10)] = 0.003
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 1e-4
    clip: Annotated[float, Field(gt=0, le=1000)] = 5.0
    warm_up: Annotated[float, Field(ge=0, lt=1, description="share of the steps")] = 0.05


class CaptionTrainingConfig(Section):
    """Duration, batches and dropout."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 20
    batch: Annotated[int, Field(ge=1, le=65_536, description="images")] = 64
    dropout: Annotated[float, Field(ge=0, lt=1, description="of tokens and outputs")] = 0.0


class CaptionTrainConfig(NetworkConfig):
    """Everything that determines the result of a training, except the architecture."""

    data: CaptionConfig = CaptionConfig()
    optimizer: AdamConfig = AdamConfig()
    training: CaptionTrainingConfig = CaptionTrainingConfig()


@dataclass(frozen=True, slots=True)
class CaptionEpoch(Epoch):
    """The record of one pass over the images.

    Attributes:
        validation_accuracy: the mean n-gram F score.
        validation_exact: the share of captions that are one of their references.
    """

    validation_exact: float = 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What a network writes of some images.

    Attributes:
        ngram_f: mean over the images.
        exact: share of the images.
        loss: nats per token of the first references.
        images: how many.
        written: some captions with the first reference of their image.
    """

    ngram_f: float
    exact: float
    loss: float
    images: int
    written: tuple[tuple[str, str], ...] = ()


class CaptionSession:
    """Trains one network, a batch at a time; every step is a function of seed and place.

    Attributes:
        step: steps done.
        history: the epochs that are over.
        best: weights of the epoch with the highest n-gram F score on validation images.
    """

    def __init__(
        self,
        architecture: Architecture,
        data: CaptionData,
        config: CaptionTrainConfig,
        device: torch.device,
    ) -> None:
        self.config, self.device, self.data = config, device, data
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(config.seed, "initial weights"))
            made = CaptionModel(architecture.skeleton, architecture.cells)
        self.network = placed(made, device)
        self.network.dropout = config.training.dropout
        self.normaliser = Normaliser.from_examples(data.train.images)
        seed = derived_seed(config.seed, "batches")
        self.batches = CaptionBatches(
            data.train, config.training.batch, seed, device, self.normaliser
        )
        options = config.optimizer
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), options.learning_rate, weight_decay=options.weight_decay
        )
        self.step = 0
        self.history: list[CaptionEpoch] = []
        self.best: dict[str, torch.Tensor] = {}
        self.loss_sum = 0.0

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return len(self.batches) * self.config.training.epochs

    @property
    def progress(self) -> tuple[int, int]:
        """Steps, done and in all."""
        return self.step, self.steps

    @property
    def units(self) -> int:
        """Images that the present epoch has trained on."""
        return (self.step - len(self.history) * len(self.batches)) * self.batches.size

    @property
    def epoch_is_over(self) -> bool:
        """Whether the steps of an epoch are done and its record is still to be made."""
        return self.step == (len(self.history) + 1) * len(self.batches)

    @property
    def is_over(self) -> bool:
        """Whether all epochs are over."""
        return len(self.history) == self.config.training.epochs

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        options = self.config.optimizer
        rise = max(1, round(options.warm_up * self.steps))
        return rate(self.step, self.steps, rise, options.learning_rate)

    def advance(self) -> None:
        """Trains on the next batch.

        Raises:
            ConfigError: the training diverged.
        """
        set_rate(self.optimizer, self.rate)
        inputs, references = self.batches.batch(self.step)
        self.network.train()
        seed = derived_seed(self.config.seed, "dropout", self.step)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            loss = TASK.loss(self.network(inputs), references)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.optimizer.clip)
        self.optimizer.step()
        if not math.isfinite(value := float(loss.detach())):
            raise self._diverged("loss")
        self.loss_sum += value
        self.step += 1

    def close_epoch(self) -> CaptionEpoch:
        """Measures validation images after the last step of an epoch, and begins the next.

        Raises:
            ConfigError: the training diverged.
        """
        found = self.judged(self.data.validation)
        if not math.isfinite(found.loss):
            raise self._diverged("validation loss")
        number, loss = len(self.history) + 1, self.loss_sum / len(self.batches)
        record = CaptionEpoch(
            number, self.rate if self.step < self.steps else 0.0, loss,
            found.loss, found.ngram_f, found.exact,
        )  # fmt: skip
        kept = self.kept
        if kept is None or found.ngram_f > (kept.validation_accuracy or 0.0):
            self.best = {name: each.clone() for name, each in self.network.state_dict().items()}
        self.history.append(record)
        self.loss_sum = 0.0
        return record

    @property
    def kept(self) -> CaptionEpoch | None:
        """The epoch of the highest validation score, the first of equals; None before any."""
        return max(self.history, key=lambda each: each.validation_accuracy or 0.0, default=None)

    def tested(self) -> Judged:
        """What the best weights write of the test images."""
        with self.with_best():
            return self.judged(self.data.test)

    @contextmanager
    def with_best(self) -> Iterator[None]:
        """The network has the best weights as long as this lasts."""
        held = {name: each.clone() for name, each in self.network.state_dict().items()}
        self.network.load_state_dict(self.best)
        try:
            yield
        finally:
            self.network.load_state_dict(held)

    def judged(self, split: CaptionSplit) -> Judged:
        """What the present weights write of some images."""
        size, norm = measured_at_once(split.images), self.normaliser
        batches = CaptionBatches(split, size, 0, self.device, norm, judged=True)
        return judge(self.network, batches, self.data)

    def _diverged(self, what: str) -> ConfigError:
        problem = f"the {what} was not finite in epoch {len(self.history) + 1}"
        found = self.config.optimizer.learning_rate
        return ConfigError(f"optimizer.learning_rate: {found}; {problem}; try a lower rate")


SHOWN = 5


@torch.no_grad()
def judge(network: nn.Module, batches: CaptionBatches, data: CaptionData) -> Judged:
    """What a network in evaluation mode writes of all images of some batches."""
    network.eval()
    sums, images = torch.zeros(3, dtype=torch.float64), 0
    written: list[tuple[str, str]] = []
    for inputs, references in batches.evaluation_batches():
        outputs = network(inputs)
        if not isinstance(outputs, Described):
            raise TypeError("a network that writes no captions")
        parts = (
            TASK.right(outputs, references).sum(),
            TASK.exact(outputs, references).sum(),
            TASK.loss(outputs, references, "sum"),
        )
        sums += torch.stack([each.double().cpu() for each in parts])
        images += len(references)
        for own, rows in zip(outputs.tokens.tolist(), references.tolist(), strict=True):
            if len(written) < SHOWN:
                written.append((data.said(words_of(own)), data.said(words_of(rows[0]))))
    f, exact, loss = (sums / images).tolist()
    return Judged(f, exact, loss, images, tuple(written))
