"""Scoring of recurrent cells: each is trained in the place of the reference's cell.

Embedding and decoder are those of the trained reference, and stay as they are. A cell is trained
from scratch on some segments of the text, and fitness is the loss of the reference's own cell,
trained likewise, minus the loss of the candidate: nats per token. Candidates are independent, so a
loss depends on cell and repeat alone. `autospace.scorers.pooled` turns losses into fitness.
"""

import copy
from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import nn

from autospace.networks.recurrent import LanguageModel, RecurrentModule
from autospace.scorers.context import ScoringContext
from autospace.seeds import derived_seed
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import cell_key, family_of
from autospace.training.short import Recipe, set_rate, sgd

CLIP: Final = 0.25
"""Largest norm of the gradient, as in ENAS and DARTS: chains of relu grow without a bound."""


class RecurrentScorer:
    """Trains every candidate of a recurrent cell alone, one after the other."""

    TENSORS_SEEN: ClassVar[int] = 0
    """No features of the reference are kept."""

    def __init__(self, context: ScoringContext) -> None:
        """Takes the trained reference, and segments of the text."""
        options = context.options
        self._context = context
        self._recipe = Recipe(options.steps, options.learning_rate, clip=CLIP)

    def losses(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """The validation losses of all candidates, after the training of a repeat."""
        (cells,) = candidates
        return [[self._loss(cell, repeat, (i, len(cells))) for i, cell in enumerate(cells)]]

    @property
    def _model(self) -> LanguageModel:
        model: nn.Module = self._context.reference
        if not isinstance(model, LanguageModel):
            raise TypeError(f"a {type(model).__name__}; allowed: a language model")
        return model

    def _loss(self, cell: Cell, repeat: int, place: tuple[int, int]) -> float:
        """The validation loss of a cell after its training, in nats per token.

        Args:
            cell: of a candidate.
            repeat: of the training.
            place: the number of the cell among those of the request, and how many these are.
        """
        context, model = self._context, copy.deepcopy(self._model)
        model.cell = self._fresh(cell, repeat)
        weights = list(model.cell.parameters())
        options, execution = self._recipe, context.execution
        optimizer = sgd(weights, 0.0, options.momentum, options.weight_decay, execution)
        model.train()
        first = context.training_steps(repeat, options.steps)
        for done, step in enumerate(first):
            context.tick((place[0] * options.steps + done) // place[1], options.steps)
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
