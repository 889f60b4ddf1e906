"""Two stages of precision: what each trains, where the second begins, and resuming."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from autospace.data.batches import Batches, Normaliser
from autospace.data.images import load_images
from autospace.data.load import load_data
from autospace.data.settings import DataConfig
from autospace.evaluators.evaluator import EvaluationError, EvaluatorConfig
from autospace.evaluators.stand_alone import StandAloneEvaluator
from autospace.networks.binary import BinaryConvolution
from autospace.networks.network import Network
from autospace.runs.errors import ConfigError
from autospace.searchers.make import make_method
from autospace.spaces.choices import SearchError
from autospace.spaces.files.families import family_space
from autospace.spaces.space import Architecture
from autospace.training.folder import load_session, save_session
from autospace.training.session import Session
from autospace.training.short import Recipe, train
from autospace.training.stages import StageError, train_in_stages
from tests.searchers.problems import SKELETON, make_problem
from tests.training.runs import STEPS_PER_EPOCH, architecture, config

SPACE = family_space("binary", replace(SKELETON, head=0))
PLAIN = family_space("mbconv", SKELETON)


def binary() -> Architecture:
    chosen = tuple(layer.candidates[0] for layer in SPACE.layers)
    return Architecture(SPACE.skeleton, chosen)


def session(given: Architecture, **training: Any) -> Session:
    chosen = config({"training": {"epochs": 3, "average": 0.8, **training}})
    data = load_data(chosen.data.source, resolution=8)
    norm = Normaliser.from_examples(data.train)
    batches = Batches(data.train.take(range(48)), chosen.training.batch, 0, "cpu", norm)
    validation = Batches(data.train.take(range(48, 60)), 250, 0, "cpu", norm)
    return Session(given, batches, validation, chosen, torch.device("cpu"))


def stages(network: torch.nn.Module) -> set[str]:
    return {part.precision for part in network.modules() if isinstance(part, BinaryConvolution)}


def run(some: Session) -> Session:
    while some.step < some.steps:
        some.advance()
        if some.epoch_is_over:
            some.close_epoch()
    return some


def test_the_second_stage_begins_with_the_weights_of_the_first() -> None:
    some = session(binary(), keep="last")
    for _ in range(STEPS_PER_EPOCH):
        assert stages(some.network) <= {"binary_inputs"}
        some.advance()
    some.close_epoch()
    assert stages(some.network) == stages(some.deployed) == {"binary_inputs"}
    before = {name: value.clone() for name, value in some.network.state_dict().items()}
    some._next_stage()
    after = some.network.state_dict()
    for name, value in before.items():
        if name.endswith("alpha"):
            weights = before[name.replace("alpha", "weight")]
            torch.testing.assert_close(after[name], value * weights.abs().mean((1, 2, 3)))
        else:
            assert torch.equal(after[name], value)
    assert stages(some.network) == stages(some.deployed) == {"binary"}
    assert not some.optimizer.state


def test_each_stage_has_a_whole_schedule() -> None:
    some = session(binary(), epochs=4, keep="last", average=0.0)
    rates = []
    while some.step < some.steps:
        rates.append(some.optimizer.param_groups[0]["lr"])
        some.advance()
        if some.epoch_is_over:
            some.close_epoch()
    half = 2 * STEPS_PER_EPOCH
    # The rate of a stage's first step is set when it begins.
    assert rates[1:half] == rates[half + 1 :]
    ordinary = session(architecture_of_two(), epochs=2, keep="last", average=0.0)
    plain = []
    for _ in range(half):
        plain.append(ordinary.optimizer.param_groups[0]["lr"])
        ordinary.advance()
    assert plain[1:] == rates[1:half]


def architecture_of_two() -> Architecture:
    return Architecture(PLAIN.skeleton, tuple(layer.candidates[0] for layer in PLAIN.layers))


def test_only_epochs_of_the_last_stage_are_kept() -> None:
    some = run(session(binary(), keep="best"))
    network, epoch = some.kept()
    assert epoch.epoch > 1
    assert stages(network) == {"binary"}


@pytest.mark.parametrize("stop", [1, 5, 6, 7, 12])
def test_a_training_that_was_stopped_ends_with_the_same_bits(stop: int, tmp_path: Path) -> None:
    whole = run(session(binary(), keep="best"))
    parts = session(binary(), keep="best")
    while parts.step < stop:
        parts.advance()
        if parts.epoch_is_over:
            parts.close_epoch()
    save_session(tmp_path / "session", parts)
    later = session(binary(), keep="best")
    load_session(tmp_path / "session", later)
    run(later)
    assert later.history == whole.history
    for ours, theirs in ((later.network, whole.network), (later.kept()[0], whole.kept()[0])):
        for name, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[name]), name


def test_one_stage_if_it_is_asked_for() -> None:
    some = session(binary(), precision_stage="binary", keep="last")
    assert stages(some.network) == {"binary"}
    run(some)
    assert stages(some.network) == {"binary"}


def test_a_stage_of_a_network_without_signs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^training\.precision_stage: real, but the network has"):
        session(architecture(tmp_path), precision_stage="real")
    images = load_images(
        DataConfig(source="synthetic:classes=3,train=60,test=12", resolution=8),
        "test",
        0,
        torch.device("cpu"),
    )
    evaluator = StandAloneEvaluator(images, EvaluatorConfig(steps=2, precision_stage="binary"))
    with pytest.raises(EvaluationError, match="precision_stage: binary, but"):
        evaluator.evaluate(architecture_of_two(), 0)
    with pytest.raises(SearchError, match=r"^supernet\.precision_stage: real, but the space"):
        make_method(make_problem(PLAIN, method="spos", supernet={"precision_stage": "real"}))


class Watched:
    """Batches that keep the stage in which each of them was trained on."""

    def __init__(self, network: Network) -> None:
        self.network, self.seen = network, list[tuple[int, str]]()
        generator = torch.Generator().manual_seed(0)
        self._images = torch.randn(4, 1, 8, 8, generator=generator)

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        self.seen.append((step, *stages(self.network)))  # type: ignore[arg-type]
        return self._images, torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize("asked", [None, "real", "binary_inputs", "binary"])
def test_an_evaluation_trains_half_of_the_steps_in_each_stage(asked: Any) -> None:
    given = binary()
    torch.manual_seed(0)
    network = Network(given.skeleton, given.cells)
    watched = Watched(network)
    train_in_stages(network, watched, Recipe(5), asked)
    first = [] if asked == "binary" else [asked or "binary_inputs"] * 2
    wanted = [*first, *["binary"] * (5 - len(first))]
    assert watched.seen == list(enumerate(wanted))


def test_an_ordinary_network_is_trained_as_before() -> None:
    given = architecture_of_two()
    found = []
    for function in (train, train_in_stages):
        torch.manual_seed(0)
        network = Network(given.skeleton, given.cells)
        function(network, Watched(network), Recipe(4))
        found.append(network.state_dict())
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    with pytest.raises(StageError):
        train_in_stages(network, Watched(network), Recipe(4), "real")


@pytest.mark.parametrize(
    ("asked", "stage"), [(None, "binary_inputs"), ("real", "real"), ("binary", "binary")]
)
def test_shared_weights_are_trained_in_one_stage(asked: str | None, stage: str) -> None:
    given: dict[str, Any] = {} if asked is None else {"supernet": {"precision_stage": asked}}
    method = make_method(make_problem(SPACE, method="spos", **given))
    assert stages(method.supernets[0].supernet) == {stage}


@pytest.mark.parametrize("name", ["spos", "darts", "proxyless", "bnas"])
def test_a_search_of_a_binary_space_runs(name: str) -> None:
    method = make_method(make_problem(SPACE, method=name))
    for index in range(method.steps):
        method.step(index)
    assert method.ranked()
