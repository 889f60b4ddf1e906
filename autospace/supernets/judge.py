"""How good an architecture is with shared weights: recalibrated, measured, remembered."""

import torch

from autospace.runs.state import State
from autospace.spaces.choices import Path
from autospace.supernets.problem import Problem
from autospace.supernets.recalibration import recalibrate
from autospace.supernets.supernet import Supernet


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
            batches = (
                self._problem.training.batch(first + i)[0] for i in range(options.recalibration)
            )
            supernet = self._supernet
            recalibrate(
                supernet.parts(path), lambda images: supernet.single_path(images, path), batches
            )
            supernet.eval()
            right = images = 0
            for step in range(options.validation_batches):
                inputs, labels = self._problem.validation.batch(step)
                logits = supernet.single_path(inputs, path)
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
