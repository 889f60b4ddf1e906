"""A training of a language model in progress: SGD with clipping, then averaged SGD.

As in the code of AWD-LSTM (Merity et al., ICLR 2018), averaging begins when the validation loss is
above the lowest one of all but the last few epochs. From then on the mean of the weights after
every step is what is evaluated, and SGD goes on with the weights themselves.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import nn

from autospace.networks.network import placed
from autospace.networks.recurrent import Dropout, LanguageModel, Read, weights_of
from autospace.runs.errors import ConfigError
from autospace.seeds import derived_seed
from autospace.spaces.space import Architecture
from autospace.text.corpus import Corpus
from autospace.text.corpus import Split as Tokens
from autospace.text.passages import COLUMNS
from autospace.text.segments import Segments
from autospace.text.settings import TextTrainConfig
from autospace.training.session import Epoch
from autospace.training.short import Measured, measure
from autospace.training.task import LanguageModelling, perplexity

TASK = LanguageModelling()
PARTS: Final = 1000
"""Parts of a pass that progress is shown in."""


@dataclass(frozen=True, slots=True)
class TextEpoch(Epoch):
    """The record of one pass through the text.

    Attributes:
        averaged: whether the mean of weights was evaluated.
    """

    averaged: bool = False


class TextSession:
    """Trains one language model, a segment at a time; every step is a function of seed and place.

    Attributes:
        step: segments done, of all passes.
        epoch: passes done.
        number: segments of the present pass that are done.
        history: the epochs that are over.
        mean: of the weights since averaging began; empty before.
        averaged: how many steps are in it.
        best: weights of the epoch with the lowest validation loss.
    """

    def __init__(
        self,
        architecture: Architecture,
        corpus: Corpus,
        config: TextTrainConfig,
        device: torch.device,
    ) -> None:
        self.config, self.device, self.corpus = config, device, corpus
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(config.seed, "initial weights"))
            made = LanguageModel(architecture.skeleton, architecture.cells)
        self.network = placed(made, device)
        self.network.dropout = Dropout(**config.dropout.model_dump())
        varied = derived_seed(config.seed, "segments") if config.training.varied else None
        size, length = config.training.batch, corpus.source.bptt
        self.segments = Segments(corpus.train.tokens, size, length, device, seed=varied)
        options = config.optimizer
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), options.learning_rate, weight_decay=options.weight_decay
        )
        self.epoch = self.number = self.step = 0
        self.history: list[TextEpoch] = []
        self.mean: dict[str, torch.Tensor] = {}
        self.averaged = 0
        self.best: dict[str, torch.Tensor] = {}
        self.loss_sum = 0.0

    @property
    def pass_of(self) -> list[tuple[int, int]]:
        """The segments of the present pass."""
        return self.segments.pass_of(self.epoch if self.config.training.varied else 0)

    @property
    def progress(self) -> tuple[int, int]:
        """Thousandths of passes, done and in all: the number of segments may vary."""
        done = PARTS * (self.epoch + self.number / len(self.pass_of))
        return round(done), PARTS * self.config.training.epochs

    @property
    def units(self) -> int:
        """Tokens of the present pass that it has trained on."""
        return self.segments.columns * sum(length for _, length in self.pass_of[: self.number])

    @property
    def epoch_is_over(self) -> bool:
        """Whether the segments of a pass are done and its record is still to be made."""
        return self.number == len(self.pass_of)

    @property
    def is_over(self) -> bool:
        """Whether all passes are done."""
        return self.epoch == self.config.training.epochs

    def advance(self) -> None:
        """Trains on the next segment.

        Raises:
            ConfigError: the training diverged.
        """
        start, length = self.pass_of[self.number]
        inputs, targets = self.segments.segment(self.number, start, length)
        options = self.config.optimizer
        for group in self.optimizer.param_groups:
            group["lr"] = options.learning_rate * length / self.segments.length
        self.network.train()
        seed = derived_seed(self.config.seed, "dropout", self.epoch, self.number)
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seed)
            found = self.network.read(inputs, self.network.cell)
        loss = TASK.loss(found.logits, targets)
        self.optimizer.zero_grad(set_to_none=True)
        (loss + self._slowness(found)).backward()
        if options.clip:
            nn.utils.clip_grad_norm_(self.network.parameters(), options.clip)
        self.optimizer.step()
        self._average()
        if not math.isfinite(value := float(loss.detach())):
            raise self._diverged("loss")
        self.loss_sum += value * length
        self.number, self.step = self.number + 1, self.step + 1

    def close_epoch(self) -> TextEpoch:
        """Measures the validation text after the last segment of a pass, and begins the next.

        Raises:
            ConfigError: the training diverged.
        """
        loss = self.loss_sum / sum(length for _, length in self.pass_of)
        found = self.measured(self.corpus.validation)
        if not math.isfinite(perplexity(found.loss)):
            raise self._diverged("validation perplexity")
        rate = self.config.optimizer.learning_rate
        number = self.epoch + 1
        record = TextEpoch(number, rate, loss, found.loss, found.accuracy, self.averaged > 0)
        if self.kept is None or found.loss < (self.kept.validation_loss or 0.0):
            self.best = {name: each.clone() for name, each in self._evaluated().items()}
        self._begin_averaging(found.loss)
        self.history.append(record)
        self.epoch, self.number, self.loss_sum = number, 0, 0.0
        return record

    @property
    def kept(self) -> TextEpoch | None:
        """The epoch of the lowest validation loss; None before the first."""
        found = [each for each in self.history if each.validation_loss is not None]
        return min(found, key=lambda each: each.validation_loss or 0.0, default=None)

    def measured(self, split: Tokens) -> Measured:
        """Loss and accuracy on a text, of the mean of the weights if there is one."""
        return self._measured(split, self._evaluated())

    def tested(self) -> Measured:
        """Loss and accuracy of the best weights on the test text."""
        return self._measured(self.corpus.test, self.best)

    def _measured(self, split: Tokens, weights: dict[str, torch.Tensor]) -> Measured:
        segments = Segments(split.tokens, COLUMNS, self.corpus.source.bptt, self.device)
        held = {name: each.clone() for name, each in weights_of(self.network).items()}
        self.network.load_state_dict(weights, strict=False)
        found = measure(self.network, segments.evaluation_batches(), TASK)
        self.network.load_state_dict(held, strict=False)
        self.network.train()
        return found

    def _evaluated(self) -> dict[str, torch.Tensor]:
        return self.mean or weights_of(self.network)

    def _slowness(self, found: Read) -> torch.Tensor | float:
        """The penalty on how far the state moves in a step (Merity et al., ICLR 2018)."""
        weight = self.config.optimizer.slowness
        if not weight or len(found.states) < 2:
            return 0.0
        return weight * (found.states[1:] - found.states[:-1]).pow(2).mean()

    @torch.no_grad()
    def _average(self) -> None:
        if not self.averaged:
            return
        for name, weight in weights_of(self.network).items():
            self.mean[name] += (weight - self.mean[name]) / self.averaged
        self.averaged += 1

    def _begin_averaging(self, loss: float) -> None:
        """Begins to average if a validation loss is above all but the last few before it."""
        wait = self.config.optimizer.patience
        before = [each.validation_loss or 0.0 for each in self.history]
        if wait and not self.averaged and len(before) > wait and loss > min(before[:-wait]):
            self.mean = {name: each.clone() for name, each in weights_of(self.network).items()}
            # The first step replaces the weights that the mean begins with.
            self.averaged = 1

    def _diverged(self, what: str) -> ConfigError:
        rate = self.config.optimizer.learning_rate
        problem = f"the {what} was not finite in epoch {self.epoch + 1}"
        advice = "try a lower rate or a smaller optimizer.clip"
        return ConfigError(f"optimizer.learning_rate: {rate}; {problem}; {advice}")
