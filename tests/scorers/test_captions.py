"""Fitness of cells in layers of a network that describes images."""

import random
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.nn import functional as F

from autospace.captions.passages import CaptionBatches, fitted_skeleton, load_captioned
from autospace.data.batches import Augment
from autospace.data.settings import DataConfig
from autospace.networks.captions import CaptionModel
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.recurrent import RecurrentScorer
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.recurrent import Recurrent, RecurrentPrior
from autospace.spaces.cells.recurrent_cell import FUNCTIONS, RecurrentCell
from autospace.spaces.errors import SpaceError
from autospace.training.short import Recipe, train
from autospace.training.task import task_of
from tests.scorers.test_pooled import Packed

CPU = torch.device("cpu")
SKELETON = CaptionSkeleton.of("tiny", 9, 8, 2, depth=2, resolution=8, encoder=(4,), whole=True)


def _cell(first: str, second: str, *links: int) -> Cell:
    return cast(Cell, RecurrentCell.of([(0, first), (0, second)], links=links))


OWN = [_cell("tanh", "tanh", 0), _cell("tanh", "tanh", 0, 1)]
CELLS = [[_cell("relu", "sigmoid", 0)], [_cell("sigmoid", "tanh", 1), _cell("relu", "tanh", 0, 1)]]
SAME = _cell("tanh", "relu", 0, 1)


def _context(**options: Any) -> ScoringContext:
    data = DataConfig(source="captions:scenes=80", resolution=8)
    halves = load_captioned(data, "validation", 0, CPU)
    skeleton = fitted_skeleton(SKELETON, halves.data)
    torch.manual_seed(0)
    model = CaptionModel(skeleton, OWN)
    train(model, halves.batches(8, 0), Recipe(20, 0.1), task=task_of(skeleton))
    given = {"method": "in-place", "steps": 4, "batch": 8, "validation_batches": 2, **options}
    parts = (halves.training, 8, 1, CPU, halves.normaliser)
    return ScoringContext(
        cast(Any, freeze(cast(Any, model))),
        CaptionBatches(*parts, augment=Augment(1, False, 2)),
        CaptionBatches(halves.measured, 16, 2, CPU, halves.normaliser),
        ScoringConfig(**given),
        seed=3,
        task=task_of(skeleton),
    )


def test_what_holds_for_every_scorer(tmp_path: Path) -> None:
    context = _context(cost_weight=0.1, layer_price=0.2)
    before = {name: each.clone() for name, each in context.reference.state_dict().items()}
    scorer = make_scorer(context)
    found = scorer.score(CELLS, 0)
    assert [len(row) for row in found] == [1, 2]
    assert scorer.score(CELLS, 1) != found
    # Alone, written otherwise, and from files that a process was sent.
    assert make_scorer(context).score([[], [SAME]], 0) == [[], [found[1][1]]]
    assert make_scorer(context, Packed(tmp_path, 2)).score(CELLS, 0) == found
    assert make_scorer(context).score([[each] for each in OWN], 0) == [[0.0], [0.0]]
    after = context.reference.state_dict()
    assert all(torch.equal(each, after[name]) for name, each in before.items())


def test_a_cell_is_trained_and_nothing_else() -> None:
    context = _context()
    scorer, cell = RecurrentScorer(context), CELLS[1][0]
    made = scorer._trained(1, cell, 0, (0, 1))
    start = scorer._fresh(1, cell, 0).state_dict()
    for name, value in made.state_dict().items():
        if name.startswith("layers.1."):
            assert not torch.equal(value, start[name.removeprefix("layers.1.")])
        else:
            # Not even the statistics of the encoder.
            assert torch.equal(value, context.reference.state_dict()[name]), name


def test_fitness_is_the_difference_of_losses_per_token() -> None:
    context = _context()
    scorer = RecurrentScorer(context)

    def loss(cell: Cell) -> float:
        model, means = scorer._trained(1, cell, 1, (0, 1)), []
        for step in (2, 3):
            inputs, targets = context.validation.batch(step)
            logits, first = model(inputs).detach(), targets[:, 0]
            nats = [
                float(F.cross_entropy(logits[row, place], first[row, place]))
                for row in range(len(first))
                for place in range(first.shape[1])
                if first[row, place]
            ]
            means.append(sum(nats) / len(nats))
        return sum(means) / len(means)

    ((), (found, _)) = make_scorer(context).score([[], CELLS[1]], 1)
    assert found == pytest.approx(loss(OWN[1]) - loss(CELLS[1][0]), abs=1e-5)
    assert abs(found) > 1e-5


def test_a_cell_at_a_layer_reads_what_there_is() -> None:
    family, rng = Recurrent(), random.Random(0)
    prior = RecurrentPrior(tuple(FUNCTIONS), 2, "tanh", SKELETON.depth)
    for _ in range(50):
        cell = family.random_cell(prior, rng)
        for depth, shape in enumerate(SKELETON.shapes, 1):
            placed = family.at(cell, shape)
            family.check(placed, shape)
            kept = tuple(link for link in cell.links or () if link < depth)
            assert placed.links == (kept or (depth - 1,))
            assert placed.pairs == cell.pairs
            assert family.at(placed, shape) == placed


def test_what_does_not_work_is_one_line() -> None:
    with pytest.raises(SpaceError, match=r"method: probe, .*allowed for captions: in-place, which"):
        make_scorer(_context(method="probe"))
    with pytest.raises(SpaceError, match=r"scoring\.inherit: true, .*captions: false$"):
        make_scorer(_context(inherit=True))
