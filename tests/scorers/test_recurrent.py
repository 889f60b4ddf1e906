"""Fitness of recurrent cells, against a training by hand and against what must be equal."""

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.nn import functional as F

from autospace.networks.recurrent import LanguageModel
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.recurrent import RecurrentScorer
from autospace.scorers.scorer import ScoringConfig
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.errors import SpaceError
from autospace.spaces.sequence import SequenceSkeleton
from autospace.text.corpus import load_text
from autospace.text.segments import Segments
from autospace.training.short import Recipe, train
from autospace.training.task import LanguageModelling
from tests.scorers.test_pooled import Packed

CPU, NODES, LENGTH = torch.device("cpu"), 2, 5
SKELETON = SequenceSkeleton.of("tiny", 3, 6, NODES, whole=True)
CHAIN = cast(Cell, RecurrentCell.of([(0, "tanh"), (1, "tanh")]))
OTHER = cast(Cell, RecurrentCell.of([(0, "relu"), (0, "sigmoid")]))
SAME = cast(Cell, RecurrentCell.of([(0, "sigmoid"), (0, "relu")]))
TASK = LanguageModelling()


def _text(folder: Path) -> str:
    rng = random.Random(0)
    (folder / "t.txt").write_text("".join(rng.choice("aab") for _ in range(3000)))
    return f"text:bptt={LENGTH}:{folder / 't.txt'}"


def _context(folder: Path, **options: Any) -> ScoringContext:
    corpus = load_text(_text(folder))
    skeleton = SKELETON.for_vocabulary(len(corpus.vocabulary))
    torch.manual_seed(0)
    model = LanguageModel(skeleton, [CHAIN])
    train(model, Segments(corpus.train.tokens, 4, LENGTH, CPU), Recipe(30, 0.5), task=TASK)
    given = {"method": "in-place", "steps": 4, "batch": 4, "validation_batches": 3, **options}
    return ScoringContext(
        cast(Any, freeze(cast(Any, model))),
        Segments(corpus.train.tokens, 4, LENGTH, CPU),
        Segments(corpus.validation.tokens, 2, LENGTH, CPU, alone=True),
        ScoringConfig(**given),
        seed=3,
        task=TASK,
    )


def _by_hand(context: ScoringContext, cell: Cell, repeat: int) -> float:
    """The loss of a cell that is trained in the reference's place, from the equations of ENAS."""
    model: Any = context.reference
    fresh = RecurrentScorer(context)._fresh(0, cell, repeat)
    recurrent: Any = fresh.cell
    weights = [each.detach().clone().requires_grad_() for each in fresh.parameters()]
    functions = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}

    def step(x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        c, t = (torch.cat([x, h], -1) @ weights[0]).chunk(2, -1)
        states = [h + torch.sigmoid(t) * (torch.tanh(c) - h)]
        for (source, name), weight in zip(recurrent.pairs, weights[1:], strict=True):
            c, t = (states[source] @ weight).chunk(2, -1)
            states.append(states[source] + torch.sigmoid(t) * (functions[name](c) - states[source]))
        return torch.stack(states[1:]).mean(0)

    def loss(tokens: torch.Tensor, targets: torch.Tensor, h: torch.Tensor) -> Any:
        logits = []
        for each in tokens:
            h = step(model.embedding[each], h)
            logits.append(h @ model.embedding.T)
        return F.cross_entropy(torch.cat(logits), targets), h.detach()

    options = context.options
    velocity = [torch.zeros_like(each) for each in weights]
    h = torch.zeros(4, SKELETON.width)
    for done in range(options.steps):
        inputs, targets = context.training.batch(repeat * options.steps + done)
        found, h = loss(inputs[1:], targets, h)
        grads = torch.autograd.grad(found, weights)
        # One step of rise, then half a cosine over all steps.
        share = (done - 1) / (options.steps - 1) if done else 0.0
        rate = options.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
        norm = torch.sqrt(sum((each.pow(2).sum() for each in grads), torch.zeros(())))
        scale = min(1.0, 0.25 / (float(norm) + 1e-6))
        with torch.no_grad():
            for weight, grad, moved in zip(weights, grads, velocity, strict=True):
                clipped = grad * scale + 5e-4 * weight
                moved.mul_(0.9).add_(clipped)
                weight -= rate * (clipped + 0.9 * moved)
    losses = []
    for number in range(3):
        inputs, targets = context.validation.batch(repeat * 3 + number)
        start = torch.zeros(inputs.shape[1], SKELETON.width)
        losses.append(float(loss(inputs[1:], targets, start)[0].detach()))
    return sum(losses) / len(losses)


def test_fitness_is_the_difference_of_losses_by_hand(tmp_path: Path) -> None:
    context = _context(tmp_path)
    ((found,),) = make_scorer(context).score([[OTHER]], 0)
    expected = _by_hand(context, CHAIN, 0) - _by_hand(context, OTHER, 0)
    assert found == pytest.approx(expected, abs=1e-5)
    assert abs(expected) > 1e-4


def test_the_reference_has_zero_and_equal_trees_are_equally_fit(tmp_path: Path) -> None:
    context = _context(tmp_path)
    before = {name: each.clone() for name, each in context.reference.state_dict().items()}
    scorer = make_scorer(context)
    ((own, one, other),) = scorer.score([[CHAIN, OTHER, SAME]], 0)
    assert own == 0.0
    assert one == other != 0.0
    # Alone, in another company, and from a new scorer.
    assert scorer.score([[OTHER]], 0) == [[one]]
    assert make_scorer(context).score([[OTHER, CHAIN]], 0) == [[one, 0.0]]
    assert scorer.score([[OTHER]], 1) != [[one]]
    after = context.reference.state_dict()
    assert all(torch.equal(each, after[name]) for name, each in before.items())


@pytest.mark.parametrize("kept_bytes", [0, 2**30])
def test_what_is_sent_to_processes_scores_as_what_is_here(tmp_path: Path, kept_bytes: int) -> None:
    # Not from the beginning of the text: the state of the reference travels, too.
    context = replace(_context(tmp_path), kept_bytes=kept_bytes)
    here, there = make_scorer(context), make_scorer(context, Packed(tmp_path / "pool", 2))
    for repeat in (1, 0):
        assert there.score([[OTHER, CHAIN]], repeat) == here.score([[OTHER, CHAIN]], repeat)


def test_what_is_for_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"scoring\.method: probe, .*allowed for text: in-place"):
        make_scorer(_context(tmp_path, method="probe"))
    with pytest.raises(SpaceError, match=r"scoring\.cost_weight: 0\.1, .*allowed for text: 0$"):
        make_scorer(_context(tmp_path, cost_weight=0.1))
    with pytest.raises(SpaceError, match=r"scoring\.layer_price: 0\.2, .*allowed for text: 0$"):
        make_scorer(_context(tmp_path, layer_price=0.2))
    with pytest.raises(SpaceError, match=r"scoring\.inherit: true, .*allowed for text: false$"):
        make_scorer(_context(tmp_path, inherit=True))
