"""A training in progress: what a step is, what an epoch records, when it is given up."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from autospace.data.batches import Batches, Normaliser
from autospace.data.load import load_data
from autospace.runs.errors import CheckpointError, ConfigError
from autospace.spaces import load
from autospace.training.drop_path import draw_rows
from autospace.training.folder import load_session, save_session
from autospace.training.full import fitted
from autospace.training.session import Epoch, Session, best_of
from tests.training.runs import STEPS_PER_EPOCH, architecture, config

PLAIN: dict[str, Any] = {
    "augment": {"crop": 0, "erasing": 0.0, "mixup": 0.0, "cutmix": 0.0},
    "training": {"label_smoothing": 0.0, "drop_path": 0.0, "average": 0.0, "keep": "last"},
}


def session(folder: Path, *changes: dict[str, Any]) -> Session:
    chosen = config(*changes)
    data = load_data(chosen.data.source, resolution=8)
    norm = Normaliser.from_examples(data.train)
    train = Batches(data.train.take(range(48)), chosen.training.batch, 0, "cpu", norm)
    validation = Batches(data.train.take(range(48, 60)), 250, 0, "cpu", norm)
    return Session(architecture(folder), train, validation, chosen, torch.device("cpu"))


def _run(some: Session, epochs: int) -> None:
    for _ in range(epochs):
        for _ in range(STEPS_PER_EPOCH):
            some.advance()
        some.close_epoch()


def test_a_step_minimises_the_smoothed_cross_entropy_of_its_batch(tmp_path: Path) -> None:
    smoothed = {"training": {**PLAIN["training"], "label_smoothing": 0.2}}
    some = session(tmp_path, PLAIN, smoothed)
    losses = []
    for step in range(STEPS_PER_EPOCH):
        images, labels = some._train.batch(step)
        logs = some.network.train()(images).detach().log_softmax(1).double()
        own = logs[torch.arange(8), labels]
        losses.append(float(-(0.8 * own + 0.2 * logs.mean(1)).mean()))
        some.advance()
        # The look above has moved the running statistics, but those do not matter in training.
    record = some.close_epoch()
    assert record.train_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_recomputed_cells_are_trained_to_the_same_weights(tmp_path: Path) -> None:
    found = []
    for recompute in (False, True):
        some = session(tmp_path, {"training": {"recompute": recompute}})
        assert some.network.cell(0).recomputes == recompute
        some.advance()
        some.advance()
        found.append(some.network.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_an_epoch_is_validated_as_a_plain_loop_would(tmp_path: Path) -> None:
    some = session(tmp_path, PLAIN)
    _run(some, 1)
    if some._validation is None:
        raise RuntimeError
    ((images, labels),) = some._validation.evaluation_batches()
    with torch.no_grad():
        logits = some.network.eval()(images)
    record = some.history[0]
    assert record.validation_accuracy == float((logits.argmax(1) == labels).double().mean())
    assert record.validation_loss == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-5)
    assert (record.epoch, len(some.history)) == (1, 1)


def test_the_rate_of_an_epoch_is_that_of_its_last_step(tmp_path: Path) -> None:
    some = session(tmp_path, PLAIN)
    used = []
    for _ in range(STEPS_PER_EPOCH):
        used.append(some.optimizer.param_groups[0]["lr"])
        some.advance()
    assert some.close_epoch().learning_rate == used[-1]
    assert len(set(used)) > 3


def test_without_an_average_the_network_counts_and_else_the_average(tmp_path: Path) -> None:
    plain = session(tmp_path, PLAIN)
    assert plain.deployed is plain.network
    averaged = session(tmp_path, {"training": {"keep": "last"}})
    _run(averaged, 3)
    network, kept = averaged.kept()
    assert averaged.average is not None
    assert network is averaged.average.network
    assert kept is averaged.history[-1]


def test_the_weights_of_the_best_epoch_come_back(tmp_path: Path) -> None:
    some = session(tmp_path)
    states = []
    for _ in range(3):
        _run(some, 1)
        states.append({name: v.clone() for name, v in some.deployed.state_dict().items()})
    accuracies = [each.validation_accuracy for each in some.history]
    network, kept = some.kept()
    assert kept.validation_accuracy == max(filter(None, accuracies))
    for name, value in network.state_dict().items():
        assert torch.equal(value, states[kept.epoch - 1][name])


def test_the_best_of_equals_is_that_of_lower_loss_then_the_first() -> None:
    rows = [(0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.7, 0.8), (0.6, 0.1)]
    history = [Epoch(i, 0.1, 1.0, loss, right) for i, (right, loss) in enumerate(rows, 1)]
    assert best_of(history).epoch == 3


@pytest.mark.parametrize("method", ["sgd", "adamw"])
def test_a_diverging_training_names_the_step_and_what_to_try(tmp_path: Path, method: str) -> None:
    absurd = {"optimizer": {"method": method, "learning_rate": 100.0, "clip": 0.0, "warm_up": 0.0}}
    some = session(tmp_path, PLAIN, absurd)
    some.advance()
    with torch.no_grad():
        some.network.classifier.weight.fill_(float("inf"))
    some.advance()
    some.advance()
    with pytest.raises(ConfigError) as caught:
        some.check()
    assert str(caught.value) == (
        "optimizer.learning_rate: 100.0; the loss was not finite at step 2 of 18; "
        "try a lower rate, a longer optimizer.warm_up or a smaller optimizer.clip"
    )


def test_weights_that_broke_in_the_last_step_are_noticed_in_validation(tmp_path: Path) -> None:
    some = session(tmp_path, PLAIN)
    for _ in range(STEPS_PER_EPOCH):
        some.advance()
    with torch.no_grad():
        some.network.classifier.bias.fill_(float("nan"))
    with pytest.raises(ConfigError, match="validation loss was not finite at step 6 of 18"):
        some.close_epoch()


def test_gradients_are_clipped_to_the_norm_of_the_settings(tmp_path: Path) -> None:
    calm = {"optimizer": {"clip": 1e-6, "momentum": 0.0, "weight_decay": 0.0, "warm_up": 0.0}}
    some = session(tmp_path, PLAIN, calm)
    before = torch.cat([p.detach().flatten().clone() for p in some.network.parameters()])
    some.advance()
    after = torch.cat([p.detach().flatten() for p in some.network.parameters()])
    # Plain SGD moves by rate times gradient; floats of about 1 keep seven digits of such a step.
    assert float((after.double() - before.double()).norm()) <= 0.1 * 1e-6 * 2
    free = session(tmp_path, PLAIN, {"optimizer": {**calm["optimizer"], "clip": 0.0}})
    free.advance()
    moved = torch.cat([p.detach().flatten() for p in free.network.parameters()])
    assert float((moved - before).norm()) > 1e-3


def test_in_bfloat16_the_weights_stay_float32_and_still_learn(tmp_path: Path) -> None:
    some = session(tmp_path, PLAIN, {"training": {"precision": "bfloat16", "epochs": 12}})
    _run(some, 12)
    assert {p.dtype for p in some.network.parameters()} == {torch.float32}
    exact = session(tmp_path, PLAIN, {"training": {"epochs": 12}})
    _run(exact, 12)
    assert some.history[-1].train_loss != exact.history[-1].train_loss
    assert some.history[-1].train_loss == pytest.approx(exact.history[-1].train_loss, abs=0.2)
    assert some.history[-1].train_loss < 0.8 * some.history[0].train_loss


def test_too_little_memory_for_a_step_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = session(tmp_path, PLAIN)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr(some.network, "forward", full)
    with pytest.raises(ConfigError, match=r"training.batch: 8; .* memory on cpu .*; allowed: "):
        some.advance()
    assert some.step == 0


def test_of_cells_with_two_inputs_the_chance_to_drop_rises_from_epoch_to_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    def drawn_with(
        chances: list[float], images: int, seed: int, device: torch.device, share: float = 1.0
    ) -> torch.Tensor:
        shares.append(share)
        return draw_rows(chances, images, seed, device, share)

    monkeypatch.setattr("autospace.training.session.draw_rows", drawn_with)
    chosen = config(PLAIN, {"training": {"epochs": 4, "drop_path": 0.4}})
    data = load_data(chosen.data.source, resolution=8)
    train = Batches(data.train.take(range(16)), 8, 0, "cpu", Normaliser.from_examples(data.train))
    for name, wanted in (
        ("darts@darts-small", [0, 0.25, 0.5, 0.75]),
        # A binary network has two stages of two epochs.
        ("bats@bats-small", [0, 0.5, 0, 0.5]),
        ("mbconv@digits", [1, 1, 1, 1]),
    ):
        shares.clear()
        drawn = fitted(load(name).sample(random.Random(0)), data)
        some = Session(drawn, train, None, chosen, torch.device("cpu"))
        for _ in range(4):
            for _ in range(len(train)):
                some.advance()
            some.close_epoch()
        assert shares == [each for each in wanted for _ in range(len(train))]


def test_a_checkpoint_of_a_longer_training_is_refused(tmp_path: Path) -> None:
    short = session(tmp_path, PLAIN)
    steps = short.steps
    for step, problem in ((steps, None), (steps + 1, rf"step {steps + 1} of {steps}$")):
        short.step = step
        save_session(tmp_path / "session", short)
        again = session(tmp_path, PLAIN)
        if problem is None:
            load_session(tmp_path / "session", again)
            assert again.is_over
            continue
        with pytest.raises(CheckpointError, match=problem):
            load_session(tmp_path / "session", again)
