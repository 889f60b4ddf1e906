"""Scoring of recurrent cells: each is trained in the place of the reference's cell.

Embedding and decoder are those of the trained reference, and stay as they are. A cell is trained
from scratch on some segments of the text, and fitness is the loss of the reference's own cell,
trained likewise, minus the loss of the candidate: nats per token. Candidates are independent, so a
fitness depends on cell and repeat alone.
"""

import copy
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import nn

from autospace.networks.recurrent import LanguageModel, RecurrentModule
from autospace.scorers.context import ScoringContext
from autospace.scorers.scorer import ScoringConfig, ScoringMethod
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import cell_key, family_of
from autospace.spaces.errors import SpaceError
from autospace.training.short import Recipe, set_rate, sgd

ON_TEXT: Final[ScoringMethod] = "in-place"
"""The method that works for networks that read text."""

CLIP: Final = 0.25
"""Largest norm of the gradient, as in ENAS and DARTS: chains of relu grow without a bound."""


def check_on_text(options: ScoringConfig) -> None:
    """Raises `SpaceError` for what does not work for networks that read text."""
    if options.method != ON_TEXT:
        problem = f"{options.method}, which compares features of images"
        raise SpaceError("scoring.method", f"{problem}; allowed for text: {ON_TEXT}")
    if options.cost_weight:
        problem = f"{options.cost_weight}, but all recurrent cells of a skeleton cost the same"
        raise SpaceError("scoring.cost_weight", f"{problem}; allowed for text: 0")
    if options.inherit:
        problem = "true, but recurrent cells have no weights in common with the reference"
        raise SpaceError("scoring.inherit", f"{problem}; allowed for text: false")


class RecurrentScorer:
    """Trains every candidate of a recurrent cell alone, in this process."""

    def __init__(self, context: ScoringContext) -> None:
        """Takes the trained reference, and segments of the text.

        Raises:
            SpaceError: the method is for images.
        """
        options = context.options
        check_on_text(options)
        self._context = context
        self._recipe = Recipe(options.steps, options.learning_rate, clip=CLIP)
        self._baselines: dict[int, float] = {}

    def score(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """Fitness of every candidate; see `autospace.scorers.scorer.Scorer`."""
        (cells,) = candidates
        own: Any = self._model.cell.cell
        rows = [*cells] if repeat in self._baselines else [*cells, own]
        steps = self._context.options.steps
        losses = []
        for index, cell in enumerate(rows):
            losses.append(self._loss(cell, repeat))
            self._context.tick(steps * (index + 1) // len(rows), steps)
        if len(rows) > len(cells):
            self._baselines[repeat] = losses.pop()
        return [[self._baselines[repeat] - loss for loss in losses]]

    @property
    def _model(self) -> LanguageModel:
        model: nn.Module = self._context.reference
        if not isinstance(model, LanguageModel):
            raise TypeError(f"a {type(model).__name__}; allowed: a language model")
        return model

    def _loss(self, cell: Cell, repeat: int) -> float:
        """The validation loss of a cell after its training, in nats per token."""
        context, model = self._context, copy.deepcopy(self._model)
        model.cell = self._fresh(cell, repeat)
        weights = list(model.cell.parameters())
        options, execution = self._recipe, context.execution
        optimizer = sgd(weights, 0.0, options.momentum, options.weight_decay, execution)
        model.train()
        first = context.training_steps(repeat, options.steps)
        for done, step in enumerate(first):
            set_rate(optimizer, options.rate(done))
            optimizer.zero_grad(set_to_none=True)
            execution.backward(
                lambda batch: context.task.loss(model(batch[0]), batch[1]),
                context.training.batch(step),
                weights,
            )
            nn.utils.clip_grad_norm_(weights, options.clip)
            optimizer.step()
        return self._measured(model, repeat)

    @torch.no_grad()
    def _measured(self, model: LanguageModel, repeat: int) -> float:
        context = self._context
        model.eval()
        steps = context.validation_steps(repeat)
        losses = [
            context.task.loss(model(inputs), targets).double()
            for inputs, targets in map(context.validation.batch, steps)
        ]
        return float(torch.stack(losses).mean())

    def _fresh(self, cell: Cell, repeat: int) -> RecurrentModule:
        """New matrices; cells that compute the same get the same ones."""
        (shape,) = self._context.reference.skeleton.cell_layers
        name = cell_key(cell, shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self._context.seed, "candidate", 0, repeat, name))
            return RecurrentModule(family_of(cell).canonical(cell), shape).to(self._context.device)
