"""Nothing in a training loop looks at a number: on a GPU, that would wait for all work before."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from autospace.data.batches import Augment, Batches, Normaliser
from autospace.networks.network import Network
from autospace.scorers import local
from autospace.scorers.context import freeze
from autospace.scorers.make import make_scorer
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import Cell, mbconv
from autospace.training.short import Recipe, train
from tests.scorers.conftest import IN_REFERENCE, SKELETON, MakeSetting, examples

READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)


class Reads(TorchDispatchMode):
    """Counts what a GPU would have to be waited for; `tolist` does not pass through here."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in READS
        return func(*args, **(kwargs or {}))


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The tensors that were read as lists."""
    read: list[torch.Tensor] = []
    tolist = torch.Tensor.tolist

    def noted(tensor: torch.Tensor) -> Any:
        read.append(tensor)
        return tolist(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", noted)
    return read


def test_a_read_is_counted() -> None:
    with Reads() as reads:
        float(torch.ones(1).sum())
        bool(torch.ones(2).all())
        torch.ones(3).nonzero()
    assert reads.count == 3


@pytest.mark.parametrize("method", IN_REFERENCE)
def test_scoring_reads_numbers_only_at_its_end(
    method: ScoringMethod,
    make_setting: MakeSetting,
    cells: list[list[Cell]],
    lists: list[torch.Tensor],
) -> None:
    reads, found = Reads(), list[tuple[int, int]]()

    def tick(done: int, total: int) -> None:
        if done < total:  # at the end the numbers are there
            found.append((reads.count, len(lists)))

    setting = replace(make_setting(method, cost_weight=0.1), tick=tick)
    scorer = make_scorer(setting)
    scorer.score(cells, 0)
    found.clear()
    lists.clear()
    with reads:
        scorer.score(cells, 0)
    # Adam counts its steps in numbers of the host, one per alpha; only half of the steps have any.
    steps = len(found) // 2 if method == "mixture" else 0
    assert reads.count == steps * len(cells)
    assert found[: len(found) - steps] == [(0, 0)] * (len(found) - steps)
    assert {read for _, read in found} == {0}
    # What a layer's candidates got, and for the mixture the averaged gradients too.
    assert len(lists) <= 4 * len(cells)


def test_batches_and_training_read_nothing() -> None:
    drawn = examples(96, 0)
    normaliser = Normaliser.from_examples(drawn)
    batches = Batches(drawn, 16, 0, "cpu", normaliser, Augment(crop=1, flip=True, cutout=2))
    network = Network(SKELETON, [mbconv(3, 3)] * 3)
    with Reads() as reads:
        train(network, batches, Recipe(8))
    assert reads.count == 0


@pytest.mark.parametrize("method", IN_REFERENCE)
def test_scoring_runs_where_no_number_can_be_read(
    method: ScoringMethod,
    make_setting: MakeSetting,
    cells: list[list[Cell]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Tensors of the device `meta` have no numbers, and hardly mix with those of another device.
    read: list[torch.Tensor] = []

    def noted(tensor: torch.Tensor) -> list[float]:
        read.append(tensor)
        return [0.0] * len(tensor)

    monkeypatch.setattr(torch.Tensor, "tolist", noted)
    monkeypatch.setattr(local, "_positive", lambda _: 1.0)
    drawn = examples(96, 0)
    batches = Batches(drawn, 16, 0, "meta", Normaliser.from_examples(drawn), Augment(1, True, 2))
    setting = make_setting(method, steps=1, validation_batches=1, cost_weight=0.1)
    reference = freeze(copy.deepcopy(setting.reference).to("meta"))
    setting = replace(setting, reference=reference, training=batches, validation=batches)
    fitness = make_scorer(setting).score(cells, 0)
    assert [len(layer) for layer in fitness] == [len(layer) for layer in cells]
    assert {tensor.device.type for tensor in read} == {"meta"}
