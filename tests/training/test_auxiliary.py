"""The auxiliary classifier of DARTS: its shape, what it changes, and what it leaves alone."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from autospace.data.batches import Batches, Normaliser
from autospace.data.load import load_data
from autospace.networks.network import Network
from autospace.runs.errors import ConfigError
from autospace.runs.settings import make_settings
from autospace.spaces import Architecture, load, load_skeleton
from autospace.training.auxiliary import AuxiliaryHead, check_auxiliary, place_of
from autospace.training.folder import TrainingFolder, load_session, save_session
from autospace.training.full import fitted, train_architecture
from autospace.training.session import Session
from autospace.training.settings import TrainConfig
from tests.slow import slowly
from tests.training.runs import Watcher

CPU = torch.device("cpu")
DATA: dict[str, Any] = {"source": "synthetic:classes=3,train=60,test=12", "validation": 0.2}
AUXILIARY: dict[str, Any] = {
    "device": "cpu",
    "data": DATA,
    "training": {"epochs": 2, "batch": 8, "auxiliary": 0.4, "drop_path": 0.2, "average": 0.8},
}


def _settings(*changes: dict[str, Any]) -> TrainConfig:
    return make_settings(TrainConfig, AUXILIARY, *changes)


def _architecture(name: str = "darts@darts-small") -> Architecture:
    space = load(name)
    return space.architecture(space.reference)


def _session(config: TrainConfig, name: str = "darts@darts-small") -> Session:
    data = load_data(config.data.source, resolution=8)
    train = Batches(data.train.take(range(32)), 8, 0, "cpu", Normaliser.from_examples(data.train))
    return Session(fitted(_architecture(name), data), train, None, config, CPU)


@pytest.mark.parametrize(
    ("name", "place", "channels", "side", "params"),
    [
        # By hand: 1x1 to 128, its normalisation, 2x2 to 768, its normalisation, and the classifier.
        ("darts", 13, 576, 8, 576 * 128 + 2 * 128 + 4 * 128 * 768 + 2 * 768 + 768 * 10 + 10),
        ("darts-imagenet", 9, 768, 7, 768 * 128 + 2 * 128 + 4 * 128 * 768 + 768 * 1000 + 1000),
    ],
)
def test_a_head_is_the_published_one(
    name: str, place: int, channels: int, side: int, params: int
) -> None:
    skeleton = load_skeleton(name)
    shape = skeleton.cell_layers[place]
    assert place_of(skeleton) == place
    assert (shape.out_channels, shape.out_resolution, shape.stride) == (channels, side, 2)
    head = AuxiliaryHead(skeleton)
    assert sum(each.numel() for each in head.parameters()) == params
    x = torch.randn(2, channels, side, side)
    assert head(x).shape == (2, skeleton.classes)
    # Pools of 5x5 pixels, with the strides of the paper's code.
    pooled = F.avg_pool2d(x.relu(), 5, {8: 3, 7: 2}[side])
    torch.testing.assert_close(head[1](head[0](x)), pooled)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 8, 12, 32])
def test_a_head_takes_images_of_any_size(side: int) -> None:
    skeleton = load_skeleton("darts-small").fitted(in_channels=1, resolution=4 * side, classes=5)
    shape = skeleton.cell_layers[place_of(skeleton)]
    assert shape.out_resolution == side
    assert AuxiliaryHead(skeleton)(torch.randn(2, shape.out_channels, side, side)).shape == (2, 5)


def test_its_loss_counts_with_its_weight_and_reaches_the_layers_before_it() -> None:
    session = _session(_settings({"training": {"drop_path": 0.0, "average": 0.0}}))
    network, head = session.network, session.auxiliary
    assert isinstance(network, Network)
    assert head is not None
    before = {name: each.clone() for name, each in network.state_dict().items()}
    images, labels = session._train.batch(0)
    seen: list[torch.Tensor] = []
    hook = network.layers[place_of(network.skeleton)].register_forward_hook(
        lambda module, given, found: seen.append(found)
    )
    loss = F.cross_entropy(network(images), labels)
    both = loss + 0.4 * F.cross_entropy(head(seen[0]), labels)
    hook.remove()
    (share,) = torch.autograd.grad(
        0.4 * F.cross_entropy(head(seen[0]), labels),
        [network.classifier.weight],
        allow_unused=True,
        retain_graph=True,
    )
    assert share is None
    early = next(network.layers[0].parameters())
    (plain,) = torch.autograd.grad(loss, [early], retain_graph=True)
    wanted, of_head = torch.autograd.grad(both, [early, next(head.parameters())])
    assert not torch.equal(plain, wanted)
    assert of_head.abs().sum() > 0
    network.load_state_dict(before)
    found = session._learned(session._given())
    torch.testing.assert_close(found, both.detach())
    # Gradients are clipped to a norm: their direction tells.
    assert early.grad is not None
    cosine = F.cosine_similarity(early.grad.flatten(), wanted.flatten(), 0)
    assert cosine == pytest.approx(1, abs=1e-5)


def test_nothing_of_it_is_in_the_network_or_its_costs(tmp_path: Path) -> None:
    config = _settings()
    folder = TrainingFolder.create(tmp_path / "run", config)
    result = train_architecture(folder, Watcher(), architecture=_architecture())
    own = folder.architecture
    network = Network(own.skeleton, own.cells)
    weights = load_file(tmp_path / "run" / "model.safetensors")
    assert weights.keys() == network.state_dict().keys()
    assert result.params == own.cost.params == sum(each.numel() for each in network.parameters())
    assert result.recipe["training"]["auxiliary"] == 0.4
    assert "auxiliary = 0.4" in (tmp_path / "run" / "config.toml").read_text()


def test_evaluation_does_not_ask_it() -> None:
    session = _session(_settings())
    session.advance()
    assert session.auxiliary is not None
    images, _ = session._train.batch(0)
    before = session.deployed.eval()(images)
    with torch.no_grad():
        for weight in session.auxiliary.parameters():
            weight.fill_(1e6)
    assert torch.equal(session.deployed.eval()(images), before)


@pytest.mark.parametrize("name", ["darts@darts-small", *slowly("bats@bats-small")])
def test_a_resumed_training_ends_with_the_same_bytes(name: str, tmp_path: Path) -> None:
    config = _settings()
    whole, first = _session(config, name), _session(config, name)
    steps = whole.steps
    for some, count in ((whole, steps), (first, 3)):
        for _ in range(count):
            some.advance()
            if some.epoch_is_over:
                some.close_epoch()
    save_session(tmp_path / "session", first)
    again = _session(config, name)
    load_session(tmp_path / "session", again)
    while not again.is_over:
        again.advance()
        if again.epoch_is_over:
            again.close_epoch()
    save_session(tmp_path / "whole", whole)
    save_session(tmp_path / "again", again)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "again").read_bytes()
    names = load_file(tmp_path / "whole").keys()
    assert any(each.startswith("auxiliary.") for each in names)


def test_it_changes_the_training_and_without_a_weight_nothing() -> None:
    weights = []
    for weight in (0.0, 0.0, 0.4):
        torch.manual_seed(random.randrange(100))
        session = _session(_settings({"training": {"auxiliary": weight, "drop_path": 0.0}}))
        assert (session.auxiliary is None) == (weight == 0)
        session.advance()
        weights.append(session.network.layers[0].state_dict())
    first, same, other = ([*each.values()] for each in weights)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "name", ["mbconv@digits", "nasbench201@nasbench201", "nas-bert@bert-small"]
)
def test_cells_with_one_input_are_refused(name: str) -> None:
    check_auxiliary(load(name).skeleton, 0.0)
    with pytest.raises(ConfigError, match=r"^training.auxiliary: 0.4; allowed: 0, as cells of "):
        check_auxiliary(load(name).skeleton, 0.4)


def test_a_training_of_cells_with_one_input_is_refused_before_it_begins(tmp_path: Path) -> None:
    space = load("mbconv@digits")
    folder = TrainingFolder.create(tmp_path / "run", _settings())
    with pytest.raises(ConfigError, match=r"training\.auxiliary"):
        train_architecture(folder, Watcher(), architecture=space.architecture(space.reference))
