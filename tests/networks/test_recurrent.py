"""Recurrent cells and language models: nodes by hand, counted weights, state between segments."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks.network import build_network
from autospace.networks.recurrent import Dropout, LanguageModel, RecurrentModule, weights_of
from autospace.spaces import Architecture, load
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.sequence import SequenceSkeleton
from autospace.text.segments import Segments

SKELETON = SequenceSkeleton.of("tiny", 11, 6, 4)
CPU = torch.device("cpu")


def _model(seed: int = 0, skeleton: SequenceSkeleton = SKELETON) -> LanguageModel:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    pairs = [
        (rng.randrange(node), rng.choice(("tanh", "relu", "sigmoid", "identity")))
        for node in range(1, skeleton.nodes + 1)
    ]
    return LanguageModel(skeleton, [RecurrentCell.of(pairs)]).double()


@pytest.mark.parametrize("drops", [False, True])
def test_a_cell_by_hand(drops: bool) -> None:
    cell = RecurrentCell.of([(0, "relu"), (0, "sigmoid"), (1, "identity")])
    shape = SequenceSkeleton.of("tiny", 11, 5, 3).cell_layers[0]
    torch.manual_seed(0)
    module = RecurrentModule(cell, shape).double()
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(2, 3, 5))
    for weight in module.parameters():
        nn.init.normal_(weight)
    w0, w1, w2, w3 = (weight.detach().numpy() for weight in module.parameters())

    def gate(read: Any, product: Any, function: Any) -> Any:
        c, t = product[:, :5], product[:, 5:]
        return read + (function(c) - read) / (1 + np.exp(-t))

    # What matrices read is dropped: the input, the state, and the nodes with the state's mask.
    of_input, of_state = rng.normal(size=(2, 3, 5)) if drops else np.ones((2, 3, 5))
    s0 = gate(h, np.concatenate([x * of_input, h * of_state], 1) @ w0, np.tanh)
    s1 = gate(s0, (s0 * of_state) @ w1, lambda c: np.maximum(c, 0))
    s2 = gate(s0, (s0 * of_state) @ w2, lambda c: 1 / (1 + np.exp(-c)))
    s3 = gate(s1, (s1 * of_state) @ w3, lambda c: c)
    masks = map(torch.from_numpy, (of_input, of_state) if drops else ())
    found = module(torch.from_numpy(x), torch.from_numpy(h), *masks).detach().numpy()
    np.testing.assert_allclose(found, (s1 + s2 + s3) / 3, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["enas-rnn@rnn-small", "darts-rnn@rnn-small"])
def test_costs_are_those_of_the_module(name: str) -> None:
    architecture: Architecture = load(name).sample(random.Random(0))
    network = build_network(architecture.skeleton, architecture.cells)
    assert sum(each.numel() for each in network.parameters()) == architecture.cost.params
    tokens = torch.zeros(2, 1, dtype=torch.int64)  # one row of tokens behind the number
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(tokens)
    assert counter.get_total_flops() == 2 * architecture.cost.madds


def test_a_text_in_segments_gives_what_it_gives_in_one() -> None:
    model = _model().eval()
    tokens = torch.randint(0, 11, (61,))
    whole = Segments(tokens, 2, 29, CPU)
    parts = Segments(tokens, 2, 7, CPU)
    with torch.no_grad():
        (one,) = [model(inputs) for inputs, _ in whole.evaluation_batches()]
        several = torch.cat([model(inputs) for inputs, _ in parts.evaluation_batches()])
    torch.testing.assert_close(several, one, rtol=1e-12, atol=1e-12)


def test_no_gradient_passes_between_segments() -> None:
    model = _model().train()
    segments = Segments(torch.randint(0, 11, (61,)), 2, 7, CPU)
    model(segments.batch(0)[0])
    assert model.memory.after.abs().sum() > 0
    assert not model.memory.after.requires_grad
    inputs, targets = segments.batch(1)
    loss = nn.functional.cross_entropy(model(inputs), targets)
    loss.backward()
    # The same by hand, from a state that is a number and not a result.
    first = model.memory.before.clone().requires_grad_()
    other = _model()
    logits = other.run(inputs[1:], first, other.cell).logits
    nn.functional.cross_entropy(logits, targets).backward()
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_segments_of_other_columns_in_between_change_no_state(columns: int) -> None:
    """A search reads validation segments, twice as many at a time, between training ones."""
    tokens = torch.randint(0, 11, (80,))
    segments = Segments(tokens, 2, 7, CPU)
    others = Segments(tokens, columns, 7, CPU, alone=True)
    model, plain = _model().train(), _model().train()
    for index in range(4):
        assert torch.equal(model(segments.batch(index)[0]), plain(segments.batch(index)[0]))
        model(others.batch(index)[0])
    # As it would be saved after the next training segment.
    model(segments.batch(4)[0])
    plain(segments.batch(4)[0])
    for ours, theirs in zip(model.buffers(), plain.buffers(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_segment_that_is_read_twice_begins_with_the_same_state() -> None:
    model = _model().train()
    segments = Segments(torch.randint(0, 11, (80,)), 2, 7, CPU)
    model(segments.batch(0)[0])
    first, second = (model(segments.batch(1)[0]) for _ in range(2))
    assert torch.equal(first, second)
    # Another text that is read alone, and what is measured, leave the state as it is.
    model(Segments(torch.randint(0, 11, (80,)), 2, 7, CPU, alone=True).batch(1)[0])
    model.eval()(segments.batch(0)[0])
    third = model.train()(segments.batch(2)[0])
    again = _model().train()
    for index in range(3):
        wanted = again(segments.batch(index)[0])
    assert torch.equal(third, wanted)


def test_the_state_is_saved_but_is_no_weight() -> None:
    model = _model().train()
    segments = Segments(torch.randint(0, 11, (80,)), 3, 7, CPU)
    model(segments.batch(0)[0])
    other = _model(1).train()
    other.load_state_dict(model.state_dict())
    other.cell.cell = model.cell.cell
    assert torch.equal(other(segments.batch(1)[0]), model(segments.batch(1)[0]))
    names = {name for name, _ in model.named_parameters()}
    assert {*weights_of(model)} == names


def test_dropout_is_for_training_alone_and_the_same_for_all_steps() -> None:
    model = _model()
    inputs = Segments(torch.randint(0, 11, (61,)), 2, 9, CPU, alone=True).batch(0)[0]
    plain = model.eval()(inputs)
    model.dropout = Dropout(0.2, 0.2, 0.2, 0.2, 0.5)
    assert torch.equal(model(inputs), plain)
    found = model.train().read(inputs, model.cell)
    assert not torch.allclose(found.logits, plain)
    zero = found.dropped == 0
    assert zero.any()
    assert torch.equal(zero, zero[:1].expand_as(zero))


def test_every_share_of_dropout_goes_where_it_says() -> None:
    """Zeros as often as the share says; the rest is scaled so that the mean stays."""
    skeleton = SequenceSkeleton.of("wide", 400, 500, 2)
    model = LanguageModel(skeleton, [RecurrentCell.of([(0, "tanh"), (1, "relu")])])
    nn.init.ones_(model.embedding)
    tokens = torch.arange(40).view(10, 4)
    seen: list[tuple[torch.Tensor, ...]] = []

    def step(
        x: torch.Tensor,
        state: torch.Tensor,
        drop_input: torch.Tensor | None,
        drop_state: torch.Tensor | None,
    ) -> torch.Tensor:
        seen.append(tuple(torch.ones(1) if m is None else m for m in (x, drop_input, drop_state)))
        return state + 1

    def values(place: str, number: int) -> set[float]:
        seen.clear()
        torch.manual_seed(0)
        model.dropout = Dropout(**{place: 0.2})
        with torch.no_grad():
            found = model.train().run(tokens, torch.zeros(4, 500), step)
        parts = (
            [each[number] for each in seen] if number < 3 else list(found.dropped / found.states)
        )
        if place != "words":
            assert all(torch.equal(each, parts[0]) for each in parts)
            assert abs(float((parts[0] == 0).float().mean()) - 0.2) < 0.03
        else:
            # A whole token is dropped, in all of its units.
            rows = torch.stack(parts).flatten(0, 1)
            assert torch.equal(rows, rows[:, :1].expand_as(rows))
        return {round(float(each), 5) for part in parts for each in part.unique()}

    places = {"words": 0, "embedded": 0, "inputs": 1, "state": 2, "output": 3}
    assert {*places} == {*Dropout._fields}
    for place, number in places.items():
        assert values(place, number) == {0.0, 1.25}
        # Nothing else is dropped.
        rest = [part for each in seen for at, part in enumerate(each) if at != number]
        assert all(bool((part == 1).all()) for part in rest)
