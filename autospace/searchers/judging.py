"""How good an architecture is with shared weights: recalibrated, measured, remembered."""

from collections.abc import Sequence

import torch
from torch import nn

from autospace.searchers.choices import Path
from autospace.searchers.problem import Problem
from autospace.searchers.state import State
from autospace.supernet import Supernet


@torch.no_grad()
def recalibrate(
    supernet: Supernet, path: Path, batches: Sequence[tuple[torch.Tensor, torch.Tensor]]
) -> None:
    """Sets the running statistics on a path to the mean over some training batches: in place.

    What a supernet's batch normalisation has seen belongs to all paths and to none (SPOS, Guo et
    al., ECCV 2020).
    """
    used = [supernet.network.stem, supernet.network.head]
    used += [modules[choice] for modules, choice in zip(supernet.choices, path, strict=True)]
    norms = [m for part in used for m in part.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches to come
    supernet.train()
    for images, _ in batches:
        supernet.single_path(images, path)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum


class Judge:
    """Validation accuracy of paths with the weights as they are; every path is judged once."""

    def __init__(self, problem: Problem, supernet: Supernet) -> None:
        self._problem, self._supernet = problem, supernet
        self.known: dict[Path, float] = {}

    @torch.no_grad()
    def accuracy(self, path: Path) -> float:
        """Share of validation images that a path labels rightly, from 0 to 1."""
        if path not in self.known:
            options = self._problem.config.supernet
            # The same images for every path, from behind those that trained the weights.
            first = options.steps
            batches = [
                self._problem.training.batch(first + i) for i in range(options.recalibration)
            ]
            recalibrate(self._supernet, path, batches)
            self._supernet.eval()
            right = images = 0
            for step in range(options.validation_batches):
                inputs, labels = self._problem.validation.batch(step)
                logits = self._supernet.single_path(inputs, path)
                right += int((logits.argmax(1) == labels).sum())
                images += len(labels)
            self.known[path] = right / images
        return self.known[path]

    def state(self) -> State:
        """What has been judged."""
        return State(plain={"known": [[list(path), v] for path, v in self.known.items()]})

    def restore(self, state: State) -> None:
        """Takes up what has been judged."""
        self.known = {tuple(path): value for path, value in state.plain["known"]}
