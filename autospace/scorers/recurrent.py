"""Scoring of recurrent cells: each is trained in the place of the reference's cell.

All else in the trained reference stays as it is: embedding and decoder, and of networks that
describe images the encoder and the other layers. A cell is trained from scratch on some segments of
the text, or some images with captions, and fitness is the loss of the reference's own cell, trained
likewise, minus the loss of the candidate: nats per token. Candidates are independent, so a loss
depends on layer, cell and repeat alone. `autospace.scorers.pooled` turns losses into fitness.
"""

import copy
from collections.abc import Sequence
from typing import ClassVar, Final

import torch
from torch import nn

from autospace.networks.captions import CaptionModel, initial_range
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
        """Takes the trained reference, and segments of the text or images with captions."""
        options = context.options
        self._context = context
        self._recipe = Recipe(options.steps, options.learning_rate, clip=CLIP)

    def losses(self, candidates: Sequence[Sequence[Cell]], repeat: int) -> list[list[float]]:
        """The validation losses of all candidates of all layers, after the training of a repeat."""
        found: list[list[float]] = [[] for _ in candidates]
        places = [(layer, cell) for layer, row in enumerate(candidates) for cell in row]
        for index, (layer, cell) in enumerate(places):
            model = self._trained(layer, cell, repeat, (index, len(places)))
            found[layer].append(self._measured(model, repeat))
        return found

    def _trained(self, layer: int, cell: Cell, repeat: int, place: tuple[int, int]) -> nn.Module:
        """The reference with a trained cell at a layer.

        Args:
            layer: of the cell.
            cell: a candidate.
            repeat: of the training.
            place: the number of the cell among those of the request, and how many these are.
        """
        context, module = self._context, self._fresh(layer, cell, repeat)
        model = _with(context.reference, layer, module)
        weights = list(module.parameters())
        options, execution = self._recipe, context.execution.alone()
        optimizer = sgd(weights, 0.0, options.momentum, options.weight_decay, execution)
        for done, step in enumerate(context.training_steps(repeat, options.steps)):
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
        return model.eval()

    @torch.no_grad()
    def _measured(self, model: nn.Module, repeat: int) -> float:
        """The validation loss, in nats per token."""
        context = self._context
        steps = context.validation_steps(repeat)
        losses = [
            context.task.loss(model(inputs), targets).double()
            for inputs, targets in map(context.validation.batch, steps)
        ]
        return float(torch.stack(losses).mean())

    def _fresh(self, layer: int, cell: Cell, repeat: int) -> RecurrentModule:
        """New matrices; cells that compute the same get the same ones."""
        skeleton = self._context.reference.skeleton
        shape = skeleton.cell_layers[layer]
        name = cell_key(cell, shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derived_seed(self._context.seed, "candidate", layer, repeat, name))
            made = RecurrentModule(family_of(cell).canonical(cell), shape)
            if skeleton.reads == "captions":
                for weight in made.parameters():
                    nn.init.uniform_(weight, *initial_range(shape.in_channels))
        return made.to(self._context.device)


def _with(reference: nn.Module, layer: int, module: RecurrentModule) -> nn.Module:
    """A copy of the reference with another cell at a layer, ready for its training."""
    model = copy.deepcopy(reference)
    if isinstance(model, LanguageModel):
        model.cell = module
        # In this mode the state goes on from segment to segment.
        return model.train()
    if not isinstance(model, CaptionModel):
        raise TypeError(f"a {type(model).__name__}; allowed: networks of recurrent cells")
    model.layers[layer] = module
    # The encoder stays as it is, with the statistics that it has.
    return model.eval()
