"""Decoders of captions: links by hand, teacher forcing, and the captions that they write."""

import random
from collections import Counter
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from autospace.networks.captions import (
    END,
    PAD,
    START,
    CaptionModel,
    Described,
    OneWord,
    packed,
)
from autospace.spaces import Architecture
from autospace.spaces.captions import CaptionSkeleton
from autospace.spaces.cells.recurrent_cell import RecurrentCell
from autospace.spaces.files.families import family_space

SKELETON = CaptionSkeleton.of("tiny", 9, 6, 2, depth=3, resolution=8, encoder=(4, 5))


def architecture(seed: int = 0) -> Architecture:
    """A random one of a small space."""
    return family_space("autocaption", SKELETON).sample(random.Random(seed))


def model(seed: int = 0) -> Any:
    """Its network, with weights that are large enough to matter."""
    torch.manual_seed(seed)
    own = architecture(seed)
    found = CaptionModel(own.skeleton, own.cells).double()
    with torch.no_grad():
        for weight in found.parameters():
            weight.normal_(0, 0.7)
    return found.eval()


def test_layers_read_what_their_links_name() -> None:
    cells = [
        RecurrentCell.of([(0, "tanh"), (0, "relu")], links=(0,)),
        RecurrentCell.of([(0, "relu"), (1, "tanh")], links=(0, 1)),
        RecurrentCell.of([(0, "identity"), (1, "sigmoid")], links=(1,)),
    ]
    torch.manual_seed(0)
    network: Any = CaptionModel(SKELETON, cells).double()
    x, states = torch.randn(2, 6).double(), torch.randn(3, 2, 6).double()
    one = network.layers[0](x, states[0])
    two = network.layers[1](torch.cat([x, one], 1), states[1])
    three = network.layers[2](one, states[2])
    torch.testing.assert_close(network.step(x, states), torch.stack([one, two, three]))
    # The root of the second layer, by its parts: token, layer 1, state.
    root = network.layers[1].root
    product = x @ root[:6] + one @ root[6:12] + states[1] @ root[12:]
    torch.testing.assert_close(torch.cat([x, one, states[1]], 1) @ root, product)


def test_costs_are_those_of_one_image_and_one_token() -> None:
    own = architecture()
    network = CaptionModel(own.skeleton, own.cells).eval()
    inputs = packed(torch.randn(1, 1, 8, 8), torch.zeros(1, 1, dtype=torch.int64))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(inputs)
    assert counter.get_total_flops() == 2 * own.cost.madds


def test_teacher_forcing_and_writing_agree_with_a_loop() -> None:
    network, images = model(), torch.randn(4, 1, 8, 8).double()
    given = torch.tensor([[START, 5, 6, 7], [START, 4, 4, 8]]).repeat(2, 1)
    outputs = network(packed(images, given, judged=True))
    assert isinstance(outputs, Described)
    assert torch.equal(network(packed(images, given)), outputs.logits)
    feature = torch.tanh(network.encoder.linear(network.encoder.convolutions(images).flatten(1)))
    states = feature.expand(3, -1, -1)
    for place, tokens in enumerate(given.T):
        states = network.step(network.embedding[tokens] + feature, states)
        wanted = states.mean(0) @ network.embedding.T + network.bias
        torch.testing.assert_close(outputs.logits[:, place], wanted)


def test_what_is_written_is_the_likeliest_token_at_every_step() -> None:
    """The image is added to every token, also to those that are written; an end is the end."""
    network, images = model(), torch.randn(60, 1, 8, 8).double()
    given = torch.full((60, 8), START)
    outputs = network(packed(images, given, judged=True)).tokens.tolist()
    ends = Counter(row.index(END) for row in outputs if END in row)
    # Some captions end early, and images matter.
    assert any(place < 7 for place in ends)
    assert len(set(map(tuple, outputs))) > 5
    for image, written in zip(images, outputs, strict=True):
        states = network.first(image[None])
        feature = states[0]
        token, found = START, list[int]()
        while len(found) < 8:
            states = network.step(network.embedding[[token]] + feature, states)
            token = int((states.mean(0) @ network.embedding.T + network.bias).argmax())
            found.append(token)
            if token in (END, PAD):
                break
        assert written == found + [PAD] * (8 - len(found))


def test_exported_parts_compute_the_same() -> None:
    network, images = model(1), torch.randn(2, 1, 8, 8).double()
    given = torch.tensor([[START, 5, 6], [START, 7, 8]])
    wanted = network(packed(images, given))
    feature = network.encoder(images)
    state = feature[:, None].expand(-1, 3, -1)
    for place, tokens in enumerate(given.T):
        logits, state = OneWord(network)(tokens, feature, state)
        torch.testing.assert_close(logits, wanted[:, place])


def test_every_weight_has_a_gradient() -> None:
    network = model().train()
    logits = network(packed(torch.randn(3, 1, 8, 8).double(), torch.tensor([[START, 5, 6]] * 3)))
    F.cross_entropy(logits.flatten(0, 1), torch.tensor([5, 6, END] * 3)).backward()
    lacking = [name for name, each in network.named_parameters() if each.grad is None]
    assert not lacking


def test_dropout_is_for_training_alone() -> None:
    network, inputs = model(), packed(torch.randn(1, 1, 8, 8).double(), torch.tensor([[START, 5]]))
    network.dropout = 0.5
    first = network(inputs)
    assert torch.equal(network(inputs), first)
    network.train()
    assert not torch.equal(network(inputs), network(inputs))


def test_other_skeletons_are_refused() -> None:
    from autospace.spaces import SpaceError, load

    with pytest.raises(SpaceError, match="reads text, but this network describes images"):
        CaptionModel(load("enas-rnn@rnn-small").skeleton, [])
