"""Language models are trained: a planted language, random text, averaging, resumption, errors."""

import copy
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace import train
from autospace.compute.device import threads
from autospace.data.errors import DataError
from autospace.progress import Silent
from autospace.runs.errors import ConfigError
from autospace.spaces import Architecture, SpaceError, load
from autospace.spaces.files.families import family_space
from autospace.spaces.sequence import SequenceSkeleton
from autospace.text.corpus import load_text
from autospace.text.folder import TextFolder, TextResult
from autospace.text.session import TextSession
from autospace.text.settings import TextTrainConfig
from autospace.training.task import LanguageModelling, bits_per_character, perplexity

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {"training": {"epochs": 4, "batch": 16}}


def even(length: int, seed: int = 0) -> str:
    """Text of an automaton of two states: of every run of b between two a's, the length is even.

    In the first state it writes a and stays, or b and leaves, equally often; in the second it
    writes b and comes back. It writes a bit in two steps of three: its perplexity is 2^(2/3).
    """
    rng, second, written = random.Random(seed), False, []
    for _ in range(length):
        letter = "b" if second or rng.random() < 0.5 else "a"
        second = letter == "b" and not second
        written.append(letter)
    return "".join(written)


def tiny(seed: int = 3) -> Architecture:
    space = family_space("enas-rnn", SequenceSkeleton.of("tiny", 2, 16, 2))
    return space.sample(random.Random(seed))


def _file(folder: Path, text: str) -> str:
    (folder / "t.txt").write_text(text)
    return f"text:bptt=10:{folder / 't.txt'}"


def _trained(text: str, folder: Path) -> TextResult:
    found = train(tiny(), _file(folder, text), settings=SETTINGS, out=folder / "run").result
    assert isinstance(found, TextResult)
    return found


@pytest.mark.slow
def test_a_planted_language_is_learned_to_its_floor(tmp_path: Path) -> None:
    text = even(10_000)
    found = _trained(text, tmp_path)
    floor = 2 ** (2 / 3)
    # The test text is a sample: its own floor is the number of free choices that it holds.
    second, choices = False, 0
    for letter in text[-1000:]:
        choices += not second
        second = letter == "b" and not second
    own = 2 ** (choices / 1000)
    assert abs(own - floor) < 0.05
    assert found.test_perplexity < 1.03 * own
    assert found.test_perplexity > 0.97 * own
    assert found.test_bits_per_character == pytest.approx(math.log2(found.test_perplexity))


def test_random_text_has_the_perplexity_of_its_alphabet(tmp_path: Path) -> None:
    rng = random.Random(1)
    text = "".join(rng.choice("abcdefgh") for _ in range(6000))
    found = _trained(text, tmp_path)
    assert found.test_perplexity == pytest.approx(8, rel=0.02)
    assert found.test_bits_per_character == pytest.approx(3, rel=0.01)
    assert found.data.vocabulary == 8


def test_perplexity_and_bits_by_hand() -> None:
    logits = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    task, targets = LanguageModelling(), torch.tensor([1, 0])
    loss = float(task.loss(logits, targets))
    assert perplexity(loss) == pytest.approx((0.75 * 0.5) ** -0.5)
    assert task.score(0.0, loss) == pytest.approx((0.75 * 0.5) ** 0.5)
    assert float(task.batch_score(logits, targets)) == pytest.approx((0.75 * 0.5) ** 0.5)
    # Shared weights that diverged are worth nothing, and an average of rewards is still a number.
    assert float(task.batch_score(logits * math.nan, targets)) == 0
    # Two words of ten characters together.
    assert bits_per_character(loss, 2, 10) == pytest.approx(-math.log2(0.75 * 0.5) / 10)
    assert task.score(0.0, float("nan")) == 0.0


class _Stops(Silent):
    def __init__(self, after: int) -> None:
        self.left = after

    def tick(self, phase: str, done: int, total: int) -> None:
        if phase == "train":
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


@pytest.mark.parametrize("after", [3, 20])
def test_a_training_that_was_stopped_ends_with_the_same_bytes(tmp_path: Path, after: int) -> None:
    source = _file(tmp_path, even(1500))
    settings = {
        "training": {"epochs": 5, "batch": 16},
        "dropout": {"state": 0.1, "output": 0.2, "words": 0.1},
        "optimizer": {"slowness": 0.1, "patience": 1},
    }
    train(tiny(), source, settings=settings, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), source, settings=settings, out=tmp_path / "half", observer=_Stops(after))
    train(resume=tmp_path / "half")
    for name in ("result.json", "model.safetensors", "architecture.json"):
        assert (tmp_path / "half" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_speed_counts_the_tokens_since_a_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    log = TextFolder.log

    def counted(self: TextFolder, epoch: Any, seconds: float, units: int) -> None:
        counts.append(units)
        log(self, epoch, seconds, units)

    monkeypatch.setattr(TextFolder, "log", counted)
    source = _file(tmp_path, even(1500))
    settings = {"training": {"epochs": 2, "batch": 16, "varied": False}}
    with pytest.raises(KeyboardInterrupt):
        train(tiny(), source, settings=settings, out=tmp_path / "run", observer=_Stops(3))
    train(resume=tmp_path / "run")
    # Three segments of ten tokens in sixteen columns were read before.
    assert counts[0] == counts[1] - 3 * 10 * 16


def test_averaging_is_that_of_torch(tmp_path: Path) -> None:
    corpus = load_text(_file(tmp_path, even(2000)))
    own = family_space("darts-rnn", SequenceSkeleton.of("tiny", 2, 6, 2))
    config = TextTrainConfig.model_validate(
        {
            "optimizer": {"learning_rate": 1.0, "clip": 0.0, "weight_decay": 1e-3},
            "training": {"epochs": 9, "batch": 4, "varied": False},
        }
    )
    session = TextSession(own.sample(random.Random(0)), corpus, config, CPU)
    other = TextSession(own.sample(random.Random(0)), corpus, config, CPU)
    names = [name for name, _ in other.network.named_parameters()]
    weights = [each for _, each in other.network.named_parameters()]
    averaged = torch.optim.ASGD(weights, 1.0, lambd=0.0, t0=0, weight_decay=1e-3)
    session.mean = {name: each.detach().clone() for name, each in zip(names, weights, strict=True)}
    for step in range(7):
        session.advance()
        # That of torch begins anew with its second step.
        session.averaged = session.averaged or 1
        inputs, targets = other.segments.batch(step)
        averaged.zero_grad()
        loss = torch.nn.functional.cross_entropy(other.network.train()(inputs), targets)
        loss.backward()
        averaged.step()
    for name, weight in zip(names, weights, strict=True):
        torch.testing.assert_close(session.network.state_dict()[name], weight.detach())
        torch.testing.assert_close(session.mean[name], averaged.state[weight]["ax"])


def test_a_step_by_hand(tmp_path: Path) -> None:
    """SGD on the clipped gradient of loss and slowness, the rate scaled by the segment's length."""
    corpus = load_text(_file(tmp_path, even(4000)))
    chosen = {"learning_rate": 2.0, "clip": 0.05, "slowness": 3.0, "weight_decay": 0.1}
    config = TextTrainConfig.model_validate({"training": {"batch": 8}, "optimizer": chosen})
    session = TextSession(tiny(), corpus, config, CPU)
    # The state moves too little, and the gradient is too small, at the weights of the beginning.
    with torch.no_grad():
        for weight in session.network.parameters():
            weight.mul_(10)
    scales, lengths = set(), set()
    for _ in range(6):
        start, length = session.pass_of[session.number]
        inputs, targets = session.segments.segment(session.number, start, length)
        copied = copy.deepcopy(session.network).train()
        read = copied.read(inputs, copied.cell)
        moved = read.states.diff(dim=0).square().mean()
        (torch.nn.functional.cross_entropy(read.logits, targets) + 3 * moved).backward()
        gradients = {name: _gradient(each) for name, each in copied.named_parameters()}
        norm = sum(float(each.square().sum()) for each in gradients.values()) ** 0.5
        scale, rate = min(1.0, 0.05 / norm), 2.0 * length / 10
        session.advance()
        for name, weight in session.network.named_parameters():
            before = dict(copied.named_parameters())[name].detach()
            wanted = before - rate * (gradients[name] * scale + 0.1 * before)
            torch.testing.assert_close(weight.detach(), wanted, rtol=1e-4, atol=1e-5)
        scales.add(scale < 1)
        lengths.add(length)
    assert True in scales
    assert len(lengths) > 1


def _gradient(weight: torch.Tensor) -> torch.Tensor:
    assert weight.grad is not None
    return weight.grad


def test_averaging_begins_when_the_validation_loss_does_not_fall(tmp_path: Path) -> None:
    corpus = load_text(_file(tmp_path, even(2000)))
    config = TextTrainConfig.model_validate({"optimizer": {"patience": 2}})
    session = TextSession(tiny(), corpus, config, CPU)
    losses = iter([3.0, 2.0, 1.0, 1.5, 2.5, 0.5])
    begun = []
    for loss in losses:
        session._begin_averaging(loss)
        begun.append(session.averaged > 0)
        session.history.append(_epoch(len(begun), loss))
    # The fifth is above the lowest of all but the last two before it: 2.5 > min(3, 2).
    assert begun == [False, False, False, False, True, True]


def _epoch(number: int, loss: float) -> Any:
    from autospace.text.session import TextEpoch

    return TextEpoch(number, 1.0, loss, loss, 0.5)


def test_what_does_not_fit_is_one_line(tmp_path: Path) -> None:
    source = _file(tmp_path, even(2000))
    with pytest.raises(DataError, match="reads text"):
        train(tiny(), "digits", out=tmp_path / "a")
    with pytest.raises(SpaceError, match="reads images, but the data are a text"):
        train("reference@digits", source, out=tmp_path / "b")
    with pytest.raises(ConfigError, match="recipe"):
        train(tiny(), source, recipe="cifar", out=tmp_path / "c")
    with pytest.raises(ConfigError, match="augment"):
        train(tiny(), source, settings={"augment": {"crop": 1}}, out=tmp_path / "d")
    with pytest.raises(SpaceError, match="no such space"):
        train("nothing", source, out=tmp_path / "e")
    assert not any((tmp_path / name).exists() for name in "abcde")
    settings = {"optimizer": {"learning_rate": 1000.0, "clip": 0.0}}
    with pytest.raises(ConfigError, match=r"optimizer\.learning_rate: 1000\.0; the .*not finite"):
        train(load("enas-rnn@rnn-small").sample(random.Random(3)), source, settings=settings,
              out=tmp_path / "f")  # fmt: skip


def test_a_path_holds_from_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _file(tmp_path, even(2000))
    monkeypatch.chdir(tmp_path)
    settings = {"training": {"epochs": 1}}
    train(tiny(), "text:bptt=7:t.txt", settings=settings, out=tmp_path / "run")
    kept = (tmp_path / "run" / "config.toml").read_text()
    assert f'source = "text:bptt=7:{tmp_path / "t.txt"}"' in kept
    found = json.loads((tmp_path / "run" / "result.json").read_text())
    assert found["recipe"]["data"]["source"] == "text:bptt=7"
    assert found["versions"]["python"].count(".") == 2


def test_a_perplexity_that_no_result_can_hold_is_a_divergence(tmp_path: Path) -> None:
    assert perplexity(229.0) <= 1e100 < perplexity(231.0) == perplexity(math.nan)
    corpus = load_text(_file(tmp_path, even(2000)))
    session = TextSession(tiny(), corpus, TextTrainConfig.model_validate(SETTINGS), CPU)
    while not session.epoch_is_over:
        session.advance()
    session.network.embedding.data.mul_(1e5)
    with pytest.raises(ConfigError, match="validation perplexity was not finite in epoch 1"):
        session.close_epoch()


class _Threads(Silent):
    def __init__(self) -> None:
        self.seen = set[int]()

    def tick(self, phase: str, done: int, total: int) -> None:
        if phase == "train":
            self.seen.add(torch.get_num_threads())


@pytest.mark.parametrize(("width", "used"), [(16, 1), (256, 3)])
def test_only_products_that_are_worth_it_wake_more_threads(
    width: int, used: int, tmp_path: Path
) -> None:
    watching, space = _Threads(), family_space("enas-rnn", SequenceSkeleton.of("s", 2, width, 1))
    settings = {"training": {"epochs": 1, "batch": 16}}
    with threads(3):
        train(
            space.sample(random.Random(0)),
            _file(tmp_path, even(400)),
            settings=settings,
            out=tmp_path / "run",
            observer=watching,
        )
        assert torch.get_num_threads() == 3
    assert watching.seen == {used}
