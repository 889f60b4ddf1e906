"""A training in progress: the network, its optimiser, its average and the step that comes next."""

import math
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from autospace.compute.execution import Execution
from autospace.compute.ranks import ALONE, Ranks
from autospace.data.batches import Batches
from autospace.networks.binary import set_precision
from autospace.networks.cells import recompute_cells
from autospace.networks.network import build_network, placed
from autospace.runs.errors import ConfigError
from autospace.seeds import derived_seed
from autospace.spaces.space import Architecture
from autospace.training.auxiliary import AuxiliaryHead, forward_both, new_head
from autospace.training.drop_path import as_scales, draw_rows, dropped_places, forward_dropped
from autospace.training.mixing import Mixing
from autospace.training.settings import TrainConfig
from autospace.training.short import make_scheduler, measure, optimizer_of, rate, set_rate
from autospace.training.stages import StageError, first_stage, in_stage
from autospace.training.task import Classification


@dataclass(frozen=True, slots=True)
class Epoch:
    """The record of one pass over the training images.

    Attributes:
        epoch: counted from 1.
        learning_rate: of its last step.
        train_loss: mean over its steps of the loss that was minimised, mixing and smoothing
            included; so it may lie above the validation loss.
        validation_loss: cross-entropy, of the average if there is one; None without validation.
        validation_accuracy: likewise.
    """

    epoch: int
    learning_rate: float
    train_loss: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None


PRECISIONS: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Session:
    """Trains one network, a step at a time; every step is a function of the seed and its number.

    Attributes:
        step: steps done.
        steps: steps in all.
        history: the epochs that are over.
        network: what is trained.
        auxiliary: its auxiliary classifier, which is trained with it and then forgotten, if any.
        average: its moving average, if there is one.
        best: weights of the best epoch so far, if these are to be kept.
    """

    def __init__(
        self,
        architecture: Architecture,
        train: Batches,
        validation: Batches | None,
        config: TrainConfig,
        device: torch.device,
        execution: Execution | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.config, self.device, self._ranks = config, device, ranks
        self._execution = execution or Execution(device, PRECISIONS[config.training.precision])
        self._train, self._validation = train, validation
        self.network = ranks.normalised(new_network(architecture, config.seed, device))
        if config.training.recompute:
            recompute_cells(self.network)
        self.auxiliary: AuxiliaryHead | None = None
        # All that has weights to train.
        self._whole: nn.Module = self.network
        if config.training.auxiliary:
            self.auxiliary = ranks.normalised(new_head(architecture.skeleton, config.seed, device))
            self._whole = nn.ModuleList([self.network, self.auxiliary])
        self._begin_stages(len(train))
        self._begin_learning()
        self._task = Classification(config.training.label_smoothing)
        decay = config.training.average
        self.average = Average(self.network, decay) if decay else None
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        self._first_bad = torch.full((), -1, device=device)
        self._skeleton, augment = architecture.skeleton, config.augment
        skeleton = self._skeleton
        self._mixing = Mixing(skeleton.classes, augment.mixup, augment.cutmix, augment.erasing)
        self._drop = dropped_places(architecture, config.training.drop_path)
        self._forward = ranks.joined(self._whole, self._passed, self._example)
        self._rise = max(1, round(config.optimizer.warm_up * len(train)))
        self.begin_at(0)

    def _begin_stages(self, epoch: int) -> None:
        """Divides the epochs between the stages, and goes to the first one."""
        training = self.config.training
        self.steps = training.epochs * epoch
        try:
            self._stage = first_stage(self.network, training.precision_stage)
        except StageError as error:
            raise ConfigError(f"training.{error}") from None
        two = self._stage not in (None, "binary")
        self._first_epochs = training.epochs // 2 if two else 0
        self._switch = self._first_epochs * epoch
        """The steps of the first stage; 0 where there is only one."""
        if self._stage is not None and self._switch:
            set_precision(self.network, self._stage)

    def _next_stage(self) -> None:
        """Goes to signs for inputs and weights, with another optimiser and average."""
        set_precision(self.network, "binary")
        self._begin_learning()
        if self.average is not None:
            self.average = Average(self.network, self.config.training.average)
        self._schedule(self._switch)

    def _begin_learning(self) -> None:
        self.optimizer = optimizer_of(self._whole, self.config.optimizer, self._execution)
        self._trained = [each for group in self.optimizer.param_groups for each in group["params"]]
        self._learn = self._execution.replayed(self._learned)

    def begin_at(self, step: int) -> None:
        """Sets the step that comes next; the schedule, and the stage, follow from it.

        The next stage begins with its first step, so that what was saved before is of the first.
        """
        self.step = step
        start = self._switch if step > self._switch else 0
        if self._stage is not None:
            stage = "binary" if start == self._switch else self._stage
            for network in (self.network, self.deployed):
                in_stage(network, stage)
        self._schedule(start)

    def _schedule(self, start: int) -> None:
        """Begins the schedule of the stage whose first step this is, at the step to come."""
        options = self.config.optimizer
        set_rate(self.optimizer, options.learning_rate)
        self._scheduler = make_scheduler(
            self.optimizer,
            steps=self._stage_steps(start),
            rise=self._rise,
            final=options.final,
            start=self.step - start,
        )
        if self.average is not None:
            self.average.begin_at(self.step - start)
        self.network.train()

    def _stage_steps(self, start: int) -> int:
        """The number of steps of the stage that begins at a step."""
        return self.steps - start if start == self._switch else self._switch

    @property
    def deployed(self) -> Any:
        """The network that is evaluated: the average if there is one, else the trained network."""
        return self.network if self.average is None else self.average.network

    @property
    def epoch_is_over(self) -> bool:
        """Whether an epoch's steps are done and its record is still to be made."""
        return self.step == (len(self.history) + 1) * len(self._train)

    @property
    def is_over(self) -> bool:
        """Whether all steps are done; the last epoch may still be without its record."""
        return self.step == self.steps

    @property
    def progress(self) -> tuple[int, int]:
        """Steps done and in all."""
        return self.step, self.steps

    @property
    def units(self) -> int:
        """Images that the present epoch has trained on."""
        return (self.step - len(self.history) * len(self._train)) * self._train.size

    def advance(self) -> None:
        """Does the next step.

        Raises:
            ConfigError: the memory of the GPU is too small for it.
        """
        if self._switch and self.step == self._switch:
            self._next_stage()
        given = self._given()
        try:
            loss = self._learn(given)
        except torch.OutOfMemoryError:
            problem = f"there is too little memory on {self.device} for a step"
            advice = "allowed: a smaller batch, or training.recompute = true"
            raise ConfigError(f"training.batch: {self._train.size}; {problem}; {advice}") from None
        self._scheduler.step()
        if self.average is not None:
            self.average.update(self.network)
        self._watch(self._ranks.mean(loss))
        self.step += 1

    def _given(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images, targets and factors of the step; of several processes, the part of this one."""
        size, part = self._train.size, None
        if self._ranks.count > 1:
            part = self._ranks.part(size)
        # Images may be mixed with any others of the batch.
        whole = part is None or self._mixing.changes
        images, labels = self._train.batch(self.step, None if whole else part)
        images, targets = self._mixing(images, labels, self._seed("mixing"))
        seed, share = self._seed("drop path"), self._dropped_share
        rows = draw_rows(self._drop, size, seed, self.device, share)
        if part is None:
            return images, targets, rows
        if whole:
            images, targets = images[part], targets[part]
        return images, targets, rows[:, part]

    @property
    def _dropped_share(self) -> float:
        """The share of the probability of drop-path that an epoch has: of its stage, as in DARTS.

        It rises only where operations of edges are dropped.
        """
        if self._skeleton.reads != "images" or self._skeleton.chain == 1:
            return 1.0
        start = self._switch if self.step >= self._switch else 0
        epoch = len(self._train)
        return (self.step - start) // epoch / max(1, self._stage_steps(start) // epoch)

    def _learned(self, given: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """One step of the weights; it may be recorded, so what changes is in the argument."""
        images, targets, rows = given
        with self._execution.autocast():
            logits = self._forward(images, rows)
        if self.auxiliary is None:
            loss = self._task.loss(logits, targets)
        else:
            own, others = (self._task.loss(each, targets) for each in logits.unbind())
            loss = own + self.config.training.auxiliary * others
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.optimizer.clip:
            nn.utils.clip_grad_norm_(self._trained, self.config.optimizer.clip)
        self.optimizer.step()
        return loss.detach()

    def close_epoch(self) -> Epoch:
        """Makes the record of the epoch whose last step was just done.

        Raises:
            ConfigError: the training diverged.
        """
        self.check()
        number = len(self.history) + 1
        loss = accuracy = None
        if self._validation is not None:
            ranks = self._ranks
            shown = self._validation.evaluation_batches(ranks.rank, ranks.count)
            found = measure(self.deployed, shown, ranks=ranks)
            self.network.train()
            loss, accuracy = found.loss, found.accuracy
            if not math.isfinite(loss):
                raise self._diverged(self.step, "validation loss")
        options = self.config.optimizer
        start = self._switch if self.step > self._switch else 0
        steps = self._stage_steps(start)
        last_rate = rate(self.step - 1 - start, steps, self._rise, 1.0, options.final)
        record = Epoch(
            number,
            options.learning_rate * last_rate,
            float(self.loss_sum) / len(self._train),
            loss,
            accuracy,
        )
        self.history.append(record)
        self.loss_sum.zero_()
        later = self.history[self._first_epochs :]
        if self.config.training.keep == "best" and later and best_of(later) is record:
            state = self.deployed.state_dict()
            self.best = {name: value.clone() for name, value in state.items()}
        return record

    def check(self) -> None:
        """Checks that every loss so far was finite; called rarely, because a GPU has to wait.

        Raises:
            ConfigError: one was not; the message names its step and what to try.
        """
        bad = int(self._first_bad)
        if bad >= 0:
            raise self._diverged(bad + 1, "loss")

    def kept(self) -> tuple[Any, Epoch]:
        """The network to keep after all steps, and the epoch that it comes from."""
        network = self.deployed
        if self.best:
            network.load_state_dict(self.best)
        later = self.history[self._first_epochs :]
        return network, best_of(later) if self.best else self.history[-1]

    def _example(self) -> tuple[torch.Tensor, torch.Tensor]:
        skeleton, side = self._skeleton, self._skeleton.resolution
        images = torch.zeros(2, skeleton.in_channels, side, side, device=self.device)
        if skeleton.side is None:
            images = torch.zeros(2, side, dtype=torch.int64, device=self.device)
        return images, draw_rows(self._drop, len(images), 0, self.device)

    def _passed(self, images: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if self.auxiliary is not None:
            scales = as_scales(self._drop, rows)
            return forward_both(self.network, self.auxiliary, images, scales)
        if not any(self._drop):
            logits: torch.Tensor = self.network(images)
            return logits
        return forward_dropped(self.network, images, as_scales(self._drop, rows))

    def _seed(self, purpose: str) -> int:
        return derived_seed(self.config.seed, purpose, self.step)

    def _watch(self, loss: torch.Tensor) -> None:
        # Without looking at the number: that would make a GPU wait in every step.
        self.loss_sum += loss
        bad = ~torch.isfinite(loss) & (self._first_bad < 0)
        self._first_bad.masked_fill_(bad, self.step)

    def _diverged(self, step: int, what: str) -> ConfigError:
        rate = self.config.optimizer.learning_rate
        problem = f"the {what} was not finite at step {step:,} of {self.steps:,}"
        advice = "try a lower rate, a longer optimizer.warm_up or a smaller optimizer.clip"
        return ConfigError(f"optimizer.learning_rate: {rate}; {problem}; {advice}")


def new_network(architecture: Architecture, seed: int, device: torch.device) -> Any:
    """An untrained network: the same for equal seeds, on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "initial weights"))
        return placed(build_network(architecture.skeleton, architecture.cells), device)


def best_of(history: list[Epoch]) -> Epoch:
    """The epoch of the highest validation accuracy; among equals, that of the lowest loss.

    Raises:
        ValueError: no epoch was validated.
    """
    return max(
        (each for each in history if each.validation_accuracy is not None),
        key=lambda each: (each.validation_accuracy, -(each.validation_loss or 0.0)),
    )


def decay_at(update: int, decay: float) -> float:
    """Decay of an update, counted from 1: small at first, so that the start is soon forgotten."""
    return min(decay, (1 + update) / (10 + update))


class Average:
    """Follows a network: average <- d * average + (1 - d) * network after every step.

    The running statistics of batch normalisation are averaged likewise, so the average can be
    evaluated at any time without a pass over the images.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self.model = AveragedModel(network, use_buffers=True)
        self._done = 0

    def begin_at(self, update: int) -> None:
        """Sets the number of updates that have been done; the model counts them too."""
        self._done = update

    @property
    def network(self) -> Any:
        """The network whose weights are the average."""
        return self.model.module

    def update(self, network: nn.Module) -> None:
        """Adds the current weights of the network to the average.

        As `AveragedModel.update_parameters`, which looks at its counter, and so waits for a GPU.
        """
        pairs = [
            (ours, theirs.detach())
            for ours, theirs in zip(_values(self.model.module), _values(network), strict=True)
        ]
        move = get_ema_multi_avg_fn(decay_at(self._done, self._decay))
        for chosen in (True, False):
            some = [pair for pair in pairs if pair[0].is_floating_point() == chosen]
            averages, values = ([pair[side] for pair in some] for side in (0, 1))
            if self._done and some:
                move(averages, values, None)
            elif some:
                torch._foreach_copy_(averages, values)
        self._done += 1
        self.model.n_averaged += 1


def _values(module: nn.Module) -> list[torch.Tensor]:
    return [value.detach() for value in (*module.parameters(), *module.buffers())]
