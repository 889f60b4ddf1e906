"""Networks that read sentences: layers by hand, padding, order of the batch, and files."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from autospace.exporters.pytorch.export import export_architecture
from autospace.networks.encoder import (
    Attention,
    BertModule,
    EncoderNetwork,
    FeedForward,
    Separable,
    Tokens,
)
from autospace.networks.network import build_network
from autospace.networks.weights import load_weights, save_weights
from autospace.spaces import cell_cost
from autospace.spaces.cells.bert import SYMBOLS, BertCell
from autospace.supernets.encoder import EncoderSupernet
from autospace.supernets.families import supernet_over
from tests.spaces.bert.spaces import SKELETON, every_path, small_space

SPACE = small_space()


def network_of(seed: int, dtype: torch.dtype = torch.float64) -> EncoderNetwork:
    one = SPACE.sample(random.Random(seed))
    torch.manual_seed(seed)
    made = build_network(SKELETON, one.cells).to(dtype).eval()
    assert isinstance(made, EncoderNetwork)
    return made


def sentences(lengths: list[int], seed: int = 0, size: int = 6) -> torch.Tensor:
    rng = random.Random(seed)
    rows = [[rng.randrange(1, 12) for _ in range(n)] + [0] * (size - n) for n in lengths]
    return torch.tensor(rows)


def normalised(x: torch.Tensor) -> torch.Tensor:
    spread = ((x - x.mean(-1, keepdim=True)) ** 2).mean(-1, keepdim=True)
    return (x - x.mean(-1, keepdim=True)) / (spread + 1e-5).sqrt()


def test_attention_with_one_head_by_hand() -> None:
    torch.manual_seed(0)
    layer = Attention(4, 4).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    present = torch.tensor([[True, True, True], [True, True, False]])
    for weight in layer.parameters():
        weight.requires_grad_(False)
    found = layer(Tokens(x, present))
    for n, count in enumerate((3, 2)):
        values = x[n]
        q, k, v = (
            values @ part.weight.T + part.bias for part in (layer.query, layer.key, layer.value)
        )
        for t in range(count):
            scores = [float(q[t] @ k[s]) / 4**0.5 for s in range(count)]
            total = sum(torch.tensor(scores, dtype=torch.float64).exp())
            mixed = sum(
                torch.tensor(score, dtype=torch.float64).exp() / total * v[s]
                for s, score in enumerate(scores)
            )
            wanted = normalised(values[t] + layer.output.weight @ mixed + layer.output.bias)
            torch.testing.assert_close(found[n, t], wanted, rtol=1e-10, atol=1e-12)


def test_heads_attend_apart() -> None:
    torch.manual_seed(1)
    layer = Attention(4, 2).double()
    x = torch.randn(1, 3, 4, dtype=torch.float64)
    q, k, v = (part(x) for part in (layer.query, layer.key, layer.value))
    halves = []
    for head in (slice(0, 2), slice(2, 4)):
        weights = (q[..., head] @ k[..., head].transpose(1, 2) / 2**0.5).softmax(-1)
        halves.append(weights @ v[..., head])
    wanted = normalised(x + layer.output(torch.cat(halves, -1)))
    found = layer(Tokens(x, torch.ones(1, 3, dtype=torch.bool)))
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_feed_forward_and_separable_by_hand() -> None:
    torch.manual_seed(2)
    x = torch.randn(1, 4, 2, dtype=torch.float64)
    present = torch.tensor([[True, True, True, False]])
    feed = FeedForward(2).double()
    inner = x @ feed.widen.weight.T + feed.widen.bias
    gelu = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
    wanted = normalised(x + gelu @ feed.narrow.weight.T + feed.narrow.bias)
    torch.testing.assert_close(feed(Tokens(x, present)), wanted, rtol=1e-10, atol=1e-12)

    layer, given_ = Separable(2, 3).double(), x
    for half in (layer.first, layer.second):
        read = torch.zeros_like(given_)
        kernel = half.depthwise.weight[:, 0]
        for t in range(4):
            for offset in (-1, 0, 1):
                # Past the end of the sentence there are zeros, and at its padding too.
                if 0 <= t + offset < 3:
                    read[0, t] += kernel[:, offset + 1] * given_[0, t + offset]
        product = read @ half.pointwise.weight.T + half.pointwise.bias
        given_ = normalised(given_ + product.clamp_min(0))
    found = layer(Tokens(x, present))
    torch.testing.assert_close(found[:, :3], given_[:, :3], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", SYMBOLS)
def test_a_module_has_the_params_that_its_cell_costs(kind: str) -> None:
    module = BertModule(BertCell(kind, 8), SKELETON.shapes[1])
    count = sum(weight.numel() for weight in module.parameters())
    assert count == cell_cost(BertCell(kind, 8), SKELETON.shapes[1]).params


@given(st.integers(0, 500), st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=25)
def test_padding_has_no_influence(seed: int, lengths: list[int]) -> None:
    network = network_of(seed)
    padded = sentences(lengths, seed)
    shorter = padded[:, : max(lengths)]
    with torch.no_grad():
        logits = network(padded)
        torch.testing.assert_close(network(shorter), logits, rtol=1e-9, atol=1e-10)
        for row, length in enumerate(lengths):
            alone = network(padded[row : row + 1, :length])
            torch.testing.assert_close(alone[0], logits[row], rtol=1e-9, atol=1e-10)


def test_gradients_do_not_come_from_padding() -> None:
    network = network_of(4)
    network(sentences([2, 3])).sum().backward()
    assert not bool(network.embedding.weight.grad[0].any())  # type: ignore[index]
    assert not bool(network.positions.grad[3:].any())  # type: ignore[index]


@given(st.integers(0, 500), st.permutations(range(4)))
@settings(max_examples=20)
def test_the_order_of_a_batch_does_not_matter(seed: int, order: list[int]) -> None:
    network = network_of(seed)
    given_ = sentences([1, 6, 3, 4], seed)
    with torch.no_grad():
        logits = network(given_)
        torch.testing.assert_close(network(given_[order]), logits[order], rtol=1e-9, atol=1e-11)


def test_a_sentence_without_tokens_has_finite_logits() -> None:
    assert bool(network_of(0)(torch.zeros(2, 6, dtype=torch.int64)).isfinite().all())


def test_a_path_of_the_supernet_is_the_network_with_its_weights() -> None:
    supernet = supernet_over(SPACE, 3, "cpu").double()
    assert isinstance(supernet, EncoderSupernet)
    given_ = sentences([6, 2, 4])
    for path in random.Random(0).sample(every_path(SPACE), 12):
        one = SPACE.at(path)
        network = build_network(SKELETON, one.cells).double()
        held = supernet.frame.state_dict()
        for layer, module in enumerate(supernet.active(path)):
            held |= {f"layers.{layer}.{name}": each for name, each in module.state_dict().items()}
        network.load_state_dict({name: held[name] for name in network.state_dict()})
        with torch.no_grad():
            *blocks, logits = supernet.features(given_, path)
            torch.testing.assert_close(logits, network(given_), rtol=0, atol=1e-12)
        assert [tuple(block.shape) for block in blocks] == [(3, 6, 8)] * 2
        assert not any(bool(block[1, 2:].any()) for block in blocks)


def test_weights_come_back_from_a_file_and_load_into_the_exported_source(tmp_path: Path) -> None:
    one = SPACE.sample(random.Random(5))
    torch.manual_seed(5)
    network = build_network(SKELETON, one.cells).eval()
    path = tmp_path / "net.safetensors"
    save_weights(path, network, one)
    stored, tensors = load_weights(path)
    assert stored == one
    scope: dict[str, object] = {"__name__": "exported"}
    exec(export_architecture(one), scope)
    other = scope["build"]()  # type: ignore[operator]
    other.load_state_dict(load_file(path))
    given_ = sentences([6, 1, 4])
    with torch.no_grad():
        assert torch.equal(other.eval()(given_), network(given_))
    assert tensors.keys() == other.state_dict().keys()


@pytest.mark.slow
def test_the_exported_source_runs_as_a_program(tmp_path: Path) -> None:
    one = SPACE.sample(random.Random(6))
    path = tmp_path / "net.py"
    path.write_text(export_architecture(one), "utf-8")
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, check=True)
    assert f"{one.cost.params:,} params" in done.stdout


def test_recomputed_layers_give_the_same_gradients() -> None:
    from autospace.networks.cells import recompute_cells

    found = []
    for recomputes in (False, True):
        network = network_of(7)
        if recomputes:
            recompute_cells(network)
        network(sentences([6, 3])).square().sum().backward()
        found.append([weight.grad for weight in network.parameters()])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
