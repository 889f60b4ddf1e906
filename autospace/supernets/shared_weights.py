"""Weights that the architectures of a space share, and the accuracy of architectures with them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn
from torch.nn import functional as F

from autospace.compute.execution import PLAIN, Execution
from autospace.data.batches import Batch, BatchSource
from autospace.data.images import Halves, Images, as_images
from autospace.networks.binary import PrecisionStage, has_signs, set_precision
from autospace.networks.cells import recompute_cells
from autospace.runs.state import Stateful
from autospace.seeds import derived_seed, stream
from autospace.spaces.choices import Choice, Choices, SearchError
from autospace.supernets.families import supernet_over
from autospace.supernets.settings import MagicConfig, SupernetConfig
from autospace.supernets.supernet import OnePath, Supernet
from autospace.training.short import Measured, Recipe, make_optimizer, measure
from autospace.training.task import CLASSIFICATION, Task, task_of


@torch.no_grad()
def recalibrate(
    parts: Iterable[nn.Module],
    network: Callable[[torch.Tensor], object],
    batches: Iterable[torch.Tensor],
) -> None:
    """Sets running statistics to the mean over some training batches, in place; weights stay.

    The running statistics of shared weights mix all networks and fit none (Yu
    and Huang, ICCV 2019; SPOS, Guo et al., ECCV 2020). The parts are in evaluation mode afterwards.

    Args:
        parts: what the network is made of.
        network: runs it on images [N, C, H, W].
        batches: images, batch by batch.
    """
    used = list(parts)
    norms = [each for part in used for each in part.modules() if isinstance(each, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    if not norms:
        batches = ()  # nothing would change
    for norm in norms:
        norm.reset_running_stats()
    for part in used:
        part.train()
    for number, images in enumerate(batches, 1):
        for norm in norms:
            # The plain mean of all batches. With momentum None, torch looks at its own counter,
            # and so waits for a GPU at every norm.
            norm.momentum = 1 / number
        network(images)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    for part in used:
        part.eval()


VALIDATION_BATCH = 128


@dataclass(frozen=True)
class Problem:
    """A space to search, and the two halves of the train split.

    Attributes:
        choices: the candidates and the limits.
        halves: one half trains weights, on the other architectures are evaluated; None where
            architectures are looked up in a table.
        supernet: how shared weights are trained and evaluated.
        magic: settings of the trainings of that name.
        seed: the root of every random stream.
    """

    choices: Choices
    halves: Halves | None
    supernet: SupernetConfig
    magic: MagicConfig
    seed: int

    @property
    def images(self) -> Images:
        """The images of both halves.

        Raises:
            SearchError: the problem has none.
            DataError: it has a text.
        """
        return as_images(self.data, "this method")

    @property
    def data(self) -> Halves:
        """The images or the text of both halves.

        Raises:
            SearchError: the problem has neither.
        """
        if self.halves is None:
            raise SearchError("there are no images to train on; allowed: what a table can evaluate")
        return self.halves

    @property
    def device(self) -> torch.device:
        """Where weights and images live."""
        return torch.device("cpu") if self.halves is None else self.halves.device

    @cached_property
    def task(self) -> Task:
        """What networks of the space are trained to do."""
        return task_of(self.choices.space.skeleton)

    @cached_property
    def training(self) -> BatchSource:
        """Batches that train weights; a pure function of the step."""
        return self.data.batches(self.supernet.batch, self.seed)

    @cached_property
    def validation(self) -> BatchSource:
        """Batches that evaluate architectures; a pure function of the step."""
        seed = derived_seed(self.seed, "batches", "judging")
        return self.data.judging_batches(VALIDATION_BATCH, seed)


Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(inputs, targets) of a batch -> what a step lowers, a scalar."""

OutputLoss = Callable[[Sequence[torch.Tensor], torch.Tensor], torch.Tensor]
"""(outputs of the layers that ran, then logits where there are any; targets) -> a scalar."""


class SharedWeights(Stateful):
    """A supernet over the whole space, trained by SGD with a cosine over a number of steps.

    Args:
        problem: the space, images and settings.
        steps: of the schedule; those of the settings unless given.
        task: what the weights are trained to do, by every method that trains them; that of the
            problem unless given.
        stage: of binary operations; that of the settings unless given.
        execution: its precision is that of the losses of a step; nothing else of it is used.

    Raises:
        SearchError: the settings name a stage, but the space has no binary operations.
    """

    remembered = ("supernet", "optimizer")

    def __init__(
        self,
        problem: Problem,
        steps: int | None = None,
        task: Task | None = None,
        stage: PrecisionStage | None = None,
        execution: Execution = PLAIN,
    ) -> None:
        options = problem.supernet
        self.problem, self.task = problem, task or problem.task
        self._execution = execution
        self.supernet: Supernet = supernet_over(
            problem.choices.space, problem.seed, problem.device, options.sampled
        )
        if has_signs(self.supernet):
            # BATS (Bulat et al., ECCV 2020) searches with signs for inputs and real weights.
            set_precision(self.supernet, stage or options.precision_stage or "binary_inputs")
        elif options.precision_stage is not None:
            asked = f"supernet.precision_stage: {options.precision_stage}"
            why = "but the space has no binary operations"
            raise SearchError(f"{asked}, {why}; allowed: leave it out")
        if options.recompute:
            recompute_cells(self.supernet)
        self.recipe = Recipe(
            steps or options.steps, options.learning_rate, weight_decay=options.weight_decay
        )
        self.optimizer = make_optimizer(self.supernet, self.recipe)

    def step(
        self,
        index: int,
        losses: Sequence[Loss],
        rate: float | None = None,
        batch: Batch | None = None,
        groups: Sequence[Sequence[nn.Parameter]] = (),
    ) -> None:
        """One step of the weights.

        Gradients of several losses are added up and their mean is applied at once (FairNAS, Chu
        et al., ICCV 2021). Weights off all paths keep no gradient: neither momentum nor decay
        moves them (as in SPOS's published code).

        Args:
            index: of the step, counted from 0.
            losses: of the batch, at least one.
            rate: learning rate; that of the schedule unless given.
            batch: inputs and targets; the training batch of step `index` unless given.
            groups: weights whose gradients are clipped each by itself; all together unless given.

        Raises:
            SearchError: the memory of the GPU is too small for it.
        """
        self.supernet.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(index) if rate is None else rate
        inputs, targets = batch or self.problem.training.batch(index)
        self.optimizer.zero_grad(set_to_none=True)
        try:
            for loss in losses:
                with self._execution.autocast():
                    value = loss(inputs, targets) / len(losses)
                value.backward()
        except torch.OutOfMemoryError:
            problem = f"there is too little memory on {inputs.device} for a step"
            advice = "allowed: a smaller batch, or supernet.recompute = true"
            raise SearchError(f"supernet.batch: {len(inputs)}; {problem}; {advice}") from None
        for weights in groups or [list(self.supernet.parameters())]:
            nn.utils.clip_grad_norm_(weights, self.recipe.clip)
        self.optimizer.step()

    @property
    def finite(self) -> bool:
        """Whether all weights are finite that every path goes through: those of stem and head."""
        own = self.supernet.network.parameters()
        return all(bool(each.detach().isfinite().all()) for each in own)

    def loss_of(self, path: Choice) -> Loss:
        """The loss of one path on a batch of images and labels."""
        return self.path_loss(path, self.output_loss)

    def output_loss(self, outputs: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """The loss of logits, which are the last of the outputs."""
        return self.task.loss(outputs[-1], labels)

    def path_loss(self, path: Choice, loss: OutputLoss, layers: range | None = None) -> Loss:
        """A loss of what the layers along a path give.

        Args:
            path: the active candidate of each layer of the whole network.
            loss: of the outputs and the targets.
            layers: only these run, on inputs that are the features entering the first of them;
                the outputs are theirs alone, without logits. By default images run through the
                whole network.
        """
        if layers is None:
            return lambda images, targets: loss(self.supernet.features(images, path), targets)
        cells = self.supernet.active(path)[layers.start : layers.stop]
        return lambda inputs, targets: loss(
            self.supernet.through(inputs, cells, layers.start), targets
        )

    @torch.no_grad()
    def batch_accuracies(self, paths: Sequence[Choice], batch: Batch) -> list[float]:
        """The scores of paths on one batch, by the statistics of that batch: their accuracies.

        As in training, so that nothing has to be recalibrated.
        """
        self.supernet.train()
        images, labels = batch
        # Looked at once: a look is a wait for a GPU.
        found = [
            self.task.batch_score(self.supernet.single_path(images, path), labels) for path in paths
        ]
        scores: list[float] = torch.stack(found).tolist() if found else []
        return scores

    def inherit(self, other: "SharedWeights", rows: Sequence[Sequence[int]]) -> None:
        """Takes up another's weights and momentum: per layer, the other's index of each cell."""
        pairs: list[tuple[nn.Module, nn.Module]] = [(self.supernet.network, other.supernet.network)]
        layers = zip(self.supernet.choices, other.supernet.choices, rows, strict=True)
        for modules, others, row in layers:
            pairs += zip(modules, (others[index] for index in row), strict=True)
        for ours, theirs in pairs:
            ours.load_state_dict(theirs.state_dict())
            for weight, source in zip(ours.parameters(), theirs.parameters(), strict=True):
                momentum = other.optimizer.state[source].get("momentum_buffer")
                if momentum is not None:
                    self.optimizer.state[weight]["momentum_buffer"] = momentum.clone()


class PathTraining(Stateful, ABC):
    """Trains shared weights step by step; remembers what it needs besides them."""

    @abstractmethod
    def step(self, index: int) -> None:
        """Trains the weights on the batch of a step."""


class Uniform(PathTraining):
    """One path a step, uniform over the allowed architectures (SPOS, Guo et al., ECCV 2020)."""

    def __init__(self, weights: SharedWeights) -> None:
        self.weights = weights

    def step(self, index: int) -> None:
        """Trains one path."""
        self.weights.step(index, [self.weights.loss_of(path) for path in self.paths(index)])

    def paths(self, index: int) -> list[Choice]:
        """The paths of a step; asked for once a step, in order."""
        problem = self.weights.problem
        return [problem.choices.draw(stream(problem.seed, "supernet path", index))]


def feature_distance(
    features: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Mean over pairs of their mean squared difference: the same weight for every layer."""
    pairs = zip(features, wanted, strict=True)
    return torch.stack([F.mse_loss(ours, theirs) for ours, theirs in pairs]).mean()


def evaluate_path(
    supernet: Supernet,
    path: Sequence[int],
    recalibration: Iterable[torch.Tensor],
    batches: Iterable[Batch],
    task: Task = CLASSIFICATION,
) -> Measured:
    """Accuracy and loss of a path, with batch statistics of its own.

    Args:
        supernet: whose weights stay, and whose running statistics change.
        path: the active candidate of each layer.
        recalibration: training images, batch by batch.
        batches: what is measured.
        task: what the weights were trained to do.
    """
    network = OnePath(supernet, path)
    recalibrate(network.parts, network, recalibration)
    return measure(network, batches, task)


class PathEvaluator(Stateful):
    """Validation accuracy of paths with the weights as they are; every path is evaluated once."""

    remembered = ("known",)

    def __init__(self, problem: Problem, supernet: Supernet) -> None:
        self._problem, self._supernet = problem, supernet
        self.known: dict[Choice, float] = {}

    def accuracy(self, path: Choice) -> float:
        """The score of a path on validation data, from 0 to 1; of images the accuracy."""
        if path not in self.known:
            options = self._problem.supernet
            # The same images for every path, from behind those that trained the weights.
            later = range(options.steps, options.steps + options.recalibration)
            images = (self._problem.training.batch(step)[0] for step in later)
            measured = map(self._problem.validation.batch, range(options.validation_batches))
            task = self._problem.task
            found = evaluate_path(self._supernet, path, images, measured, task)
            self.known[path] = task.score(found.accuracy, found.loss)
        return self.known[path]
