"""The evaluator `train`: it trains a network from scratch for a short time and measures it."""

import math
from dataclasses import replace

import torch
from torch import nn

from autospace.compute.cuda_graphs import NO_GRAPHS, Graphs, make_graphs
from autospace.compute.device import resolve_precision
from autospace.compute.execution import Execution
from autospace.compute.timing import FORWARD_SHARE, seconds_of_step
from autospace.data.images import Halves
from autospace.evaluators.divergence import Guessing, LossPeak, has_diverged
from autospace.evaluators.evaluator import Evaluation, EvaluationError, EvaluatorConfig
from autospace.networks.network import Network, build_network, placed
from autospace.progress import no_message
from autospace.seeds import derived_seed
from autospace.spaces.space import Architecture
from autospace.training.short import Measured, Recipe, measure, train
from autospace.training.stages import StageError, train_in_stages
from autospace.training.task import CLASSIFICATION, Task, task_of


class StandAloneEvaluator:
    """Trains every architecture alone, under one recipe."""

    def __init__(self, images: Halves, config: EvaluatorConfig) -> None:
        self._images, self._config = images, config
        self._recipe = recipe_of(config)
        # Where a GPU does not record steps, they are called; the results are the same.
        graphs = make_graphs(images.device, no_message)
        self._execution = execution_of(config, images.device, graphs)
        self._guessing = Guessing.on(images)

    def evaluate(self, architecture: Architecture, seed: int) -> Evaluation:
        """Accuracy after training; see `autospace.evaluators.evaluator.Evaluator`."""
        try:
            network = untrained(architecture, seed, self._images.device)
            batches = self._images.batches(self._config.batch, seed)
            asked = self._config.precision_stage
            task = task_of(architecture.skeleton, self._config.label_smoothing)
            peak = LossPeak()
            train_in_stages(
                network,
                batches,
                self._recipe,
                asked,
                execution=self._execution,
                task=task,
                after_step=peak,
            )
            measured = self._images.measured_batches().evaluation_batches()
            found = measure(network, measured, task)
        except StageError as error:
            raise EvaluationError(str(error)) from None
        except torch.OutOfMemoryError:
            problem = f"there is too little memory on {self._images.device} to train a network"
            raise EvaluationError(f"{problem}; use fewer workers or a smaller batch") from None
        diverged = has_diverged(found, peak.value, self._guessing)
        return from_measured(found, task, diverged=diverged)


def seconds_of(images: Halves, config: EvaluatorConfig, architecture: Architecture) -> float:
    """About how long the evaluation of an architecture takes, by a few steps on a copy."""
    network = untrained(architecture, 0, images.device)
    batches = images.batches(config.batch, 0)
    execution = execution_of(config, images.device)

    def run(steps: int) -> None:
        task = task_of(architecture.skeleton, config.label_smoothing)
        recipe = replace(recipe_of(config), steps=steps)
        train(network, batches, recipe, execution=execution, task=task)

    measured = FORWARD_SHARE * len(images.measured) / (config.batch * images.row)
    return seconds_of_step(run, images.device) * (config.steps + measured)


def recipe_of(config: EvaluatorConfig) -> Recipe:
    """The recipe that the settings describe."""
    return Recipe(
        config.steps,
        config.learning_rate,
        weight_decay=config.weight_decay,
        label_smoothing=config.label_smoothing,
    )


def execution_of(
    config: EvaluatorConfig, device: torch.device, graphs: Graphs = NO_GRAPHS
) -> Execution:
    """How a device trains networks for an evaluation: in the precision of the settings."""
    return Execution(device, resolve_precision(config.precision, device), graphs)


def new_network(architecture: Architecture, seed: int, device: torch.device) -> Network:
    """An untrained network for images; see `untrained`.

    Raises:
        EvaluationError: the architecture reads something else.
    """
    network = untrained(architecture, seed, device)
    if not isinstance(network, Network):
        problem = f"{architecture.skeleton.name} reads {architecture.skeleton.reads}"
        raise EvaluationError(f"{problem}; allowed here: networks for images")
    return network


def untrained(architecture: Architecture, seed: int, device: torch.device) -> nn.Module:
    """An untrained network: the same for equal seeds, on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "initialise"))
        return placed(build_network(architecture.skeleton, architecture.cells), device)


def from_measured(
    found: Measured, task: Task = CLASSIFICATION, *, diverged: bool = False
) -> Evaluation:
    """The score is a share (0 to 1); there is no loss where it is not finite or means nothing."""
    known = math.isfinite(found.loss) and not diverged
    score = round(task.score(found.accuracy, found.loss), 8)
    return Evaluation(score, round(found.loss, 6) if known else None)
