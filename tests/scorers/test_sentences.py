"""Fitness of layers that read sentences, by hand and against what must be equal."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch.nn import functional as F

from autospace.compute.execution import PLAIN, Execution
from autospace.data.batches import Batches, Normaliser
from autospace.data.examples import Examples
from autospace.networks.encoder import EncoderNetwork, LoneLayer, Tokens, apart, beside
from autospace.networks.features import layer_inputs, layer_traces
from autospace.networks.network import placed
from autospace.scorers.context import ScoringContext, freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.probe import TokenProbe
from autospace.scorers.scorer import METHODS_ON, ScoringConfig, ScoringMethod
from autospace.spaces.cells.bert import BertCell
from autospace.spaces.cells.cell import Cell
from autospace.spaces.cells.family import family_of
from autospace.spaces.encoder import EncoderSkeleton
from autospace.spaces.errors import SpaceError
from autospace.training.short import Recipe, train
from autospace.training.task import CLASSIFICATION
from tests.scorers.test_pooled import Packed

LENGTH, KINDS, CLASSES = 6, 7, 3
SKELETON = EncoderSkeleton.of("tiny", KINDS, LENGTH, CLASSES, 8, (2, 1), heads=4).untied
OWN = cast(Cell, BertCell("attention", 8))
METHODS = METHODS_ON["sentences"]


def _cell(kind: str, width: int) -> Cell:
    return cast(Cell, BertCell(kind, width))


CELLS = [
    [_cell("conv1d_separable_3", 4), _cell("feed_forward", 8)],
    [_cell("conv1d_separable_7", 8)],
    [_cell("attention", 4), _cell("conv1d_separable_5", 8)],
]


def _examples(count: int, seed: int) -> Examples:
    """Sentences of different lengths, whose class is the most frequent of three tokens."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, KINDS, (count, LENGTH), generator=generator)
    lengths = torch.randint(2, LENGTH + 1, (count, 1), generator=generator)
    tokens[torch.arange(LENGTH) >= lengths] = 0
    counts = torch.stack([(tokens == each).sum(1) for each in (2, 3, 4)], 1)
    return Examples(tokens.int(), counts.argmax(1))


def sentence_context(
    method: ScoringMethod = "in-place", execution: Execution = PLAIN, **options: Any
) -> ScoringContext:
    """A trained reference of three layers, and sentences to score on."""
    torch.manual_seed(0)
    network: Any = EncoderNetwork(SKELETON, [BertCell("attention", 8)] * 3)
    norm, device = Normaliser((), ()), execution.device
    if device.type == "cpu":
        train(network, Batches(_examples(200, 0), 16, 0, device, norm), Recipe(20, 0.05))
    chosen = {"steps": 6, "batch": 16, "validation_batches": 2, "learning_rate": 0.05, **options}
    return ScoringContext(
        freeze(placed(network, device)),
        Batches(_examples(200, 1), 16, 3, device, norm),
        Batches(_examples(100, 2), 32, 4, device, norm),
        ScoringConfig(method=method, **chosen),
        seed=5,
        execution=execution,
    )


def _as_candidate(network: Any, layer: int) -> LoneLayer:
    """The reference's own layer in the form of a candidate."""
    made = LoneLayer(BertCell("attention", 8), SKELETON.shapes[layer])
    made.enter.load_state_dict(network.enters[layer]["8"].state_dict())
    made.layer.load_state_dict(network.layers[layer].state_dict())
    made.leave.load_state_dict(network.leaves[layer]["8"].state_dict())
    return made


def test_a_candidate_with_the_weights_of_the_reference_changes_nothing() -> None:
    context = sentence_context()
    network: Any = context.reference
    sentences, labels = context.training.batch(0)
    logits = network(sentences)
    for layer, seen in enumerate(layer_inputs(network, sentences, labels)):
        given = _as_candidate(network, layer)(seen.x)
        assert given.shape == (16, LENGTH, SKELETON.width)
        torch.testing.assert_close(
            network.rest(network.output(layer, seen.x, given), layer + 1), logits
        )
        torch.testing.assert_close(network.rest(seen.x, layer), logits)
        # Nothing is handed on at padding, and what is there does not count.
        assert not given[sentences == 0].any()
        noisy = seen.x.clone()
        noisy[..., :-1][sentences == 0] = 9.0
        torch.testing.assert_close(network.rest(noisy, layer), logits)


def test_traces_are_the_slopes_of_the_loss() -> None:
    context = sentence_context()
    network: Any = context.reference
    sentences, labels = context.training.batch(0)
    for layer, seen in enumerate(layer_traces(CLASSIFICATION.loss, network, sentences, labels)):
        assert not seen.g[sentences == 0].any()
        moved = 1e-3 * torch.randn(seen.y.shape, generator=torch.Generator().manual_seed(layer))
        both = [
            F.cross_entropy(
                network.double().rest(
                    network.output(layer, seen.x.double(), (seen.y + sign * moved).double()),
                    layer + 1,
                ),
                labels,
                reduction="sum",
            )
            for sign in (1, -1)
        ]
        network.float()
        slope = float((seen.g * moved).sum())
        assert float(both[0] - both[1]) / 2 == pytest.approx(slope, rel=0.02, abs=1e-5)


def test_a_probe_reads_the_mean_of_the_tokens_that_are_there() -> None:
    torch.manual_seed(1)
    shape = SKELETON.shapes[0]
    probe = TokenProbe(LoneLayer(BertCell("feed_forward", 4), shape), shape, CLASSES)
    values = torch.randn(2, LENGTH, 8)
    present = torch.arange(LENGTH) < torch.tensor([[2], [6]])
    x = beside(Tokens(values, present))
    assert torch.equal(apart(x).present, present)
    given = probe.module(x)
    means = torch.stack([given[0, :2].mean(0), given[1].mean(0)])
    torch.testing.assert_close(probe(x), probe.classifier(means))


@pytest.mark.parametrize("method", METHODS)
def test_what_holds_for_every_scorer(method: ScoringMethod, tmp_path: Path) -> None:
    context = sentence_context(method, cost_weight=0.1)
    before = {name: each.clone() for name, each in context.reference.state_dict().items()}
    scorer = make_scorer(context)
    found = scorer.score(CELLS, 0)
    assert [len(row) for row in found] == [2, 1, 2]
    assert all(value == value and abs(value) < 100 for row in found for value in row)
    assert scorer.score(CELLS, 1) != found
    # Alone, from a new scorer, and from files that a process was sent.
    assert make_scorer(context).score([[], [], [CELLS[2][1]]], 0) == [[], [], [found[2][1]]]
    assert make_scorer(context, Packed(tmp_path, 3)).score(CELLS, 0) == found
    after = context.reference.state_dict()
    assert all(torch.equal(each, after[name]) for name, each in before.items())
    assert make_scorer(sentence_context(method)).score([[OWN]] * 3, 0) == [[0.0]] * 3


def test_a_price_is_put_on_the_ways_to_a_hidden_size_and_back() -> None:
    """Fitness falls by lambda times the further MAdds, over those of all reference cells."""
    free, priced = (
        make_scorer(sentence_context(cost_weight=each)).score(CELLS, 0) for each in (0.0, 0.5)
    )
    tokens, around = LENGTH, 2 * 8 * LENGTH
    reference = 4 * 8**2 * tokens + 2 * tokens**2 * 8 + 8 * around
    candidate = 8 * 8**2 * tokens + 8 * around
    difference = 0.5 * (candidate - reference) / (3 * reference)
    assert free[0][1] - priced[0][1] == pytest.approx(difference, abs=1e-6)
    least = [
        [family_of(OWN).least(shape)] for shape in sentence_context().reference.skeleton.shapes
    ]
    worth = -make_scorer(sentence_context()).score(least, 0)[0][0]
    by_layer = make_scorer(sentence_context(layer_price=0.5)).score(CELLS, 0)
    share = 0.5 * max(0.0, worth) * (candidate / reference - 1)
    assert free[0][1] - by_layer[0][1] == pytest.approx(share, abs=1e-6)


def test_what_does_not_work_is_one_line() -> None:
    wanted = r"allowed for sentences: probe, calibrated, local, in-place$"
    for method in ("distilled", "gated", "mixture"):
        with pytest.raises(SpaceError, match=rf"scoring\.method: {method}, .*{wanted}"):
            make_scorer(replace(sentence_context(), options=ScoringConfig(method=method)))
    with pytest.raises(SpaceError, match=r"scoring\.inherit: true, .*sentences: false$"):
        make_scorer(sentence_context(inherit=True))
