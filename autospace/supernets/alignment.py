"""Alignment to an anchor (MAGIC-A, Xu et al., ICML 2022): layers of all paths give alike outputs.

Weights that two paths share are pulled in more alike directions the more alike their inputs and
outputs are. With the layers' outputs h_l of the path a that a step trains, and of an anchor path
a*, which is not trained by it, the loss is

    CE(a) + lambda mean_l MSE(h_l(a), stopgrad h_l(a*))

The published account leaves lambda, and whether layers are summed or averaged, open; the mean
makes lambda mean the same for networks of any depth.
"""

import torch
from torch.nn import functional as F

from autospace.runs.state import State
from autospace.seeds import stream
from autospace.spaces.choices import Path
from autospace.supernets.path_training import Uniform
from autospace.supernets.shared_weights import Loss

DECAY = 0.5


class Aligned:
    """Trains the paths that another training picks, aligned to an anchor.

    Every so often the path of a step challenges the anchor: the two are measured on one validation
    batch, and the challenger takes over if it is better than the anchor is there and has been on
    average. As the weights move, older measurements count ever less.
    """

    def __init__(self, source: Uniform) -> None:
        self.weights = source.weights
        self._source = source
        self._config = self.weights.problem.config.magic
        self._warm = round(self._config.warm_up * self.weights.recipe.steps)
        problem = self.weights.problem
        self.anchor = problem.choices.draw(stream(problem.seed, "anchor"))
        self._score: float | None = None

    def step(self, index: int) -> None:
        """Trains the paths of a step, then maybe replaces the anchor."""
        paths = self._source.paths(index)
        make = self.weights.task if index < self._warm else self.loss
        self.weights.step(index, [make(path) for path in paths])
        if (index + 1) % self._config.anchor_every == 0:
            self._challenged(paths[-1], index)

    def loss(self, path: Path) -> Loss:
        """Cross-entropy and distance to the anchor's features."""
        anchor, supernet = self.anchor, self.weights.supernet

        def aligned(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                *wanted, _ = supernet.features(images, anchor)
            *outputs, logits = supernet.features(images, path)
            pairs = zip(outputs, wanted, strict=True)
            distance = torch.stack([F.mse_loss(ours, theirs) for ours, theirs in pairs]).mean()
            return F.cross_entropy(logits, labels) + self._config.alignment * distance

        return aligned

    def _challenged(self, path: Path, index: int) -> None:
        now = self._accuracy(self.anchor, index)
        average = now if self._score is None else DECAY * self._score + (1 - DECAY) * now
        self._score = average
        challenger = now if path == self.anchor else self._accuracy(path, index)
        if challenger > max(now, average):
            self.anchor, self._score = path, challenger

    @torch.no_grad()
    def _accuracy(self, path: Path, index: int) -> float:
        # With the statistics of the batch, as in training: nothing has to be recalibrated.
        self.weights.supernet.train()
        images, labels = self.weights.problem.validation.batch(index)
        logits = self.weights.supernet.single_path(images, path)
        return float((logits.argmax(1) == labels).float().mean())

    def state(self) -> State:
        """The anchor, what it achieved, and what the other training remembers."""
        plain = {"anchor": list(self.anchor), "score": self._score}
        return State(plain=plain).joined(self._source.state().under("source"))

    def restore(self, state: State) -> None:
        """Takes up all that."""
        self.anchor, self._score = tuple(state.plain["anchor"]), state.plain["score"]
        self._source.restore(state.part("source"))
