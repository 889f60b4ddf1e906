"""Warm-up: training the reference network, resumable after any step."""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, cast

import torch
from torch import nn

from autospace.captions.passages import CaptionBatches
from autospace.compute.execution import PLAIN, Execution
from autospace.data.batches import Batches, BatchSource, Normaliser
from autospace.data.examples import Examples
from autospace.data.images import measured_at_once
from autospace.data.splits import limit_indices
from autospace.evolution.folder import ReferenceDocument
from autospace.evolution.settings import WarmUpConfig
from autospace.networks.captions import PAD
from autospace.networks.network import Network, build_network, placed
from autospace.progress import Tick
from autospace.runs.errors import CheckpointError, ConfigError
from autospace.runs.state import load_sealed, save_sealed
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell
from autospace.spaces.skeleton import Skeleton
from autospace.text.segments import Segments
from autospace.training.short import Recipe, accuracy_interval, make_optimizer, measure, train
from autospace.training.task import perplexity, task_of

WEIGHTS = "reference.safetensors"
SECONDS_BETWEEN_CHECKPOINTS = 20.0
_MOMENTUM = "momentum."


def new_reference(
    skeleton: Skeleton, cells: Sequence[Cell], seed: int, device: torch.device
) -> Network:
    """The untrained reference network: the same for equal seeds on every device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derived_seed(seed, "reference"))
        return cast(Network, placed(build_network(skeleton, cells), device))


def warm_up(
    network: Network,
    batches: BatchSource,
    options: WarmUpConfig,
    folder: Path,
    tick: Tick,
    execution: Execution = PLAIN,
) -> None:
    """Trains the reference network in place, from the checkpoint in `folder` if there is one.

    If `tick` raises, the step just done is saved first.
    """
    recipe = Recipe(options.steps, options.learning_rate)
    optimizer = make_optimizer(network, recipe, execution)
    path = folder / WEIGHTS
    start = _load(path, network, optimizer, recipe.steps) if path.exists() else 0
    saved = time.monotonic()

    def after_step(step: int, loss: torch.Tensor) -> None:
        nonlocal saved
        done = step + 1
        try:
            tick(done, recipe.steps)
        except BaseException:
            _save(path, network, optimizer, done)
            raise
        late = time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS
        if late or done == recipe.steps:
            _check_finite(loss, done, options)
            _save(path, network, optimizer, done)
            saved = time.monotonic()

    train(
        network,
        batches,
        recipe,
        optimizer=optimizer,
        start=start,
        after_step=after_step,
        execution=execution,
        task=task_of(network.skeleton),
    )


MOST_MEASURED: Final = 5000
"""Images that the reference is measured on: its accuracy is then known to 1.4 points."""


def measured(
    network: Network, images: Examples, normaliser: Normaliser, seed: int, device: torch.device
) -> ReferenceDocument:
    """The accuracy of the trained reference network.

    Args:
        network: left in evaluation mode.
        images: that did not train it; at most `MOST_MEASURED` of them are used.
        normaliser: of the images that did.
        seed: chooses the images.
        device: of the network.
    """
    chosen = images.take(limit_indices(images.labels, max(MOST_MEASURED, _classes(images)), seed))
    batches = Batches(chosen, measured_at_once(chosen), 0, device, normaliser)
    found = measure(network, batches.evaluation_batches())
    return ReferenceDocument(
        accuracy=round(found.accuracy, 6),
        interval=[round(end, 6) for end in found.interval],
        images=found.images,
        chance=round(int(torch.bincount(chosen.labels).max()) / len(chosen), 6),
    )


def measured_tokens(
    network: Network, segments: Segments, tokens: torch.Tensor
) -> ReferenceDocument:
    """How often the trained reference network finds the next token most probable; perplexity.

    Args:
        network: left in evaluation mode.
        segments: of the text that did not train it.
        tokens: of that text, [tokens].
    """
    found = measure(network, segments.evaluation_batches(), task_of(network.skeleton))
    unsure = perplexity(found.loss)
    return ReferenceDocument(
        accuracy=round(found.accuracy, 6),
        interval=[round(end, 6) for end in found.interval],
        images=found.images,
        chance=round(int(torch.bincount(tokens).max()) / len(tokens), 6),
        unit="tokens",
        perplexity=round(unsure, 4) if math.isfinite(unsure) else None,
    )


def measured_captions(network: nn.Module, batches: CaptionBatches) -> ReferenceDocument:
    """How often the trained reference holds the next token of a caption most probable; perplexity.

    Args:
        network: left in evaluation mode; the tokens before are given.
        batches: of images that did not train it; their first captions count.
    """
    network.eval()
    right, nats = 0, 0.0
    found = torch.zeros(network.skeleton.classes, dtype=torch.int64)  # type: ignore[union-attr, arg-type]
    with torch.no_grad():
        for inputs, targets in batches.evaluation_batches():
            logits, first = network(inputs), targets[:, 0]
            there = first != PAD
            right += int((logits.argmax(-1) == first)[there].sum())
            likelihoods = logits[there].double().log_softmax(-1)
            nats -= float(likelihoods.gather(-1, first[there][:, None]).sum())
            found += torch.bincount(first[there].cpu(), minlength=len(found))
    count = int(found.sum())
    accuracy, unsure = right / count, perplexity(nats / count)
    return ReferenceDocument(
        accuracy=round(accuracy, 6),
        interval=[round(end, 6) for end in accuracy_interval(accuracy, count)],
        images=count,
        chance=round(int(found.max()) / count, 6),
        unit="tokens",
        perplexity=round(unsure, 4) if math.isfinite(unsure) else None,
    )


def _classes(images: Examples) -> int:
    return int(images.labels.max()) + 1


def _check_finite(loss: torch.Tensor, done: int, options: WarmUpConfig) -> None:
    # Only now and then: to look at a number on a GPU is to wait for it.
    if not math.isfinite(float(loss)):
        problem = f"the reference network diverged before step {done}; choose a lower learning rate"
        raise ConfigError(f"warm_up.learning_rate: {options.learning_rate}; {problem}")


def _save(path: Path, network: Network, optimizer: torch.optim.SGD, step: int) -> None:
    tensors = dict(network.state_dict())
    for name, parameter in network.named_parameters():
        buffer = optimizer.state.get(parameter, {}).get("momentum_buffer")
        if buffer is not None:
            tensors[_MOMENTUM + name] = buffer
    save_sealed(path, tensors, {"step": str(step)})


def _load(path: Path, network: Network, optimizer: torch.optim.SGD, steps: int) -> int:
    """Restores weights and momentum; returns the steps done."""
    device = next(network.parameters()).device
    tensors, texts = load_sealed(path, device)
    try:
        step = int(texts["step"])
        if not 0 < step <= steps:
            raise ValueError(f"step {step} of {steps}")
        weights = {k: v for k, v in tensors.items() if not k.startswith(_MOMENTUM)}
        network.load_state_dict(weights)
        for name, parameter in network.named_parameters():
            # The layout of a buffer follows its weight, as the optimiser itself would have it.
            buffer = torch.empty_like(parameter).copy_(tensors[_MOMENTUM + name])
            optimizer.state[parameter]["momentum_buffer"] = buffer
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0][:160]
        raise CheckpointError(f"{path}: damaged, or of another run: {problem}") from None
    return step
