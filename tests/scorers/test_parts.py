"""Batches that memory is too small for are taken in parts, and the result stays what it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from autospace.compute.execution import Execution, Microbatches
from autospace.data.batches import Batches, Normaliser
from autospace.networks.network import Network, placed
from autospace.networks.operations import ConvNorm
from autospace.scorers.context import ReferenceSupernet
from autospace.scorers.local import LocalScorer
from autospace.scorers.make import make_scorer
from autospace.scorers.mixture import MixtureSearch
from autospace.scorers.scorer import ScoringMethod
from autospace.spaces import Cell, mbconv
from autospace.text.segments import Segments
from autospace.training.short import Recipe, measure, train
from tests.scorers.conftest import SKELETON, MakeSetting, examples
from tests.slow import slowly

MOST = 32
TOLERANCE = 0.1
"""Of fitness; random cells of this size differ by several times as much."""


@contextmanager
def memory_for(images: int) -> Iterator[None]:
    """As long as it lasts, convolutions of larger batches run out of memory."""
    plain: Callable[[ConvNorm, torch.Tensor], torch.Tensor] = ConvNorm.forward

    def forward(self: ConvNorm, x: torch.Tensor) -> torch.Tensor:
        if len(x) > images:
            raise torch.OutOfMemoryError(f"no room for {len(x)} images")
        return plain(self, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConvNorm, "forward", forward)
        yield


@given(
    images=st.integers(2, 33),
    memory=st.integers(2, 33),
    features=st.integers(1, 4),
)
def test_gradients_add_up_to_those_of_the_whole_batch(
    images: int, memory: int, features: int
) -> None:
    generator = torch.Generator().manual_seed(images)
    x = torch.randn(images, features, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 3, (images,), generator=generator)
    weight = torch.randn(3, features, generator=generator, dtype=torch.float64, requires_grad=True)
    whole = F.cross_entropy(x @ weight.T, labels)
    (expected,) = torch.autograd.grad(whole, weight)

    def loss(batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        if len(batch[0]) > memory:
            raise torch.OutOfMemoryError("no room")
        return F.cross_entropy(batch[0] @ weight.T, batch[1])

    said: list[str] = []
    execution = Execution(parts=Microbatches(said.append))
    if memory < 3 and images % 2:  # an odd batch cannot be cut into pairs
        return
    found = execution.backward(loss, (x, labels), [weight])
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, expected, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(found, whole.detach(), rtol=1e-12, atol=1e-14)
    assert bool(said) == (images > memory)
    torch.testing.assert_close(execution.mean(loss, (x, labels)), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "method", ["probe", "gated", *slowly("calibrated", "distilled", "in-place", "local")]
)
def test_scores_in_parts_are_close_to_those_of_whole_batches(
    method: ScoringMethod, make_setting: MakeSetting, cells: list[list[Cell]]
) -> None:
    training = examples(256, 1)
    batches = Batches(training, 2 * MOST, 3, "cpu", Normaliser.from_examples(training))
    setting = replace(make_setting(method, steps=12), training=batches)
    whole = make_scorer(setting).score(cells, 0)
    said: list[str] = []
    with memory_for(MOST):
        small = replace(setting, execution=Execution(parts=Microbatches(said.append)))
        found = make_scorer(small).score(cells, 0)
    pairs = [(a, b) for x, y in zip(whole, found, strict=True) for a, b in zip(x, y, strict=True)]
    # Batch normalisation sees fewer images at a time: close, not equal.
    assert max(abs(a - b) for a, b in pairs) < TOLERANCE, pairs
    assert [line.partition(";")[0] for line in said] == [
        "out of memory: batches of 64 are divided into 2 parts where necessary"
    ]


def test_the_slopes_of_the_mixture_add_up_exactly_while_batch_statistics_rest(
    make_setting: MakeSetting, cells: list[list[Cell]]
) -> None:
    # Adam turns the sign of a slope into a step of alpha, so that fitness itself is no yardstick.
    setting = make_setting("mixture", cost_weight=0.5)
    supernet = ReferenceSupernet(setting, cells, 0).eval()
    found = []
    for memory in (16, 4):
        parted = Execution(parts=Microbatches(lambda _: None))
        search = MixtureSearch(supernet, replace(setting, execution=parted))
        with memory_for(memory):
            search.train_alphas(setting.training.batch(0))
            search.train_weights(setting.training.batch(1))
        assert parted.parts.count == 16 // memory
        weights = [each.grad for each in supernet.parameters() if each.grad is not None]
        found.append([*(alpha.grad for alpha in search.alphas), *search.totals, *weights])
        supernet.load_state_dict(ReferenceSupernet(setting, cells, 0).state_dict())
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)


def test_what_the_frozen_reference_shows_is_the_same_in_parts(
    make_setting: MakeSetting, cells: list[list[Cell]]
) -> None:
    setting = make_setting("local")
    whole = LocalScorer(setting)._training.at(0, range(3))
    with memory_for(8):
        small = replace(setting, execution=Execution(parts=Microbatches(lambda _: None)))
        parted = LocalScorer(small)._training.at(0, range(3))
    for one, other in zip(whole, parted, strict=True):
        for expected, found in zip(one, other, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
            laid_out = [
                each.is_contiguous(memory_format=torch.channels_last) for each in (expected, found)
            ]
            assert laid_out != [True, False]


def test_a_network_is_warmed_up_in_parts() -> None:
    training = examples(256, 0)
    norm = Normaliser.from_examples(training)
    accuracy = []
    for images in (8, 32):
        torch.manual_seed(0)
        network = placed(Network(SKELETON, [mbconv(3, 3)] * 3), "cpu")
        batches = Batches(training, 32, 0, "cpu", norm)
        with memory_for(images):
            train(
                network,
                batches,
                Recipe(30, 0.05),
                execution=Execution(parts=Microbatches(lambda _: None)),
            )
        held_out = Batches(examples(120, 9), 40, 0, "cpu", norm)
        accuracy.append(measure(network, [held_out.batch(0)]).accuracy)
    assert min(accuracy) > 0.6
    assert abs(accuracy[0] - accuracy[1]) < 0.15


def test_memory_for_less_than_two_images_is_an_error() -> None:
    parts = Microbatches(lambda _: None)
    with pytest.raises(torch.OutOfMemoryError):
        parts.each(_refusing, (torch.zeros(8, 1),), lambda: None)
    assert parts.count == 4


def test_a_segment_of_text_is_not_divided() -> None:
    said: list[str] = []
    segment = Segments(torch.randint(0, 9, (80,)), 4, 7, torch.device("cpu")).batch(0)
    with pytest.raises(torch.OutOfMemoryError):
        Microbatches(said.append).each(_refusing, segment, lambda: None)
    assert said == []
    seen: list[int] = []
    Microbatches(said.append).at_least(4).each(
        lambda part, share: seen.append(len(part[0])), segment, lambda: None
    )
    assert seen == [len(segment[0])]


def test_by_default_running_out_of_memory_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Execution().parts.each(_refusing, (torch.zeros(8, 1),), lambda: None)


def test_other_errors_are_not_taken_for_it() -> None:
    def work(part: tuple[torch.Tensor], share: float) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    parts = Microbatches(lambda _: None)
    with pytest.raises(RuntimeError, match="mat1"):
        parts.each(work, (torch.zeros(8, 1),), lambda: None)
    assert parts.count == 1


def _refusing(part: tuple[torch.Tensor, ...], share: float) -> None:
    raise torch.OutOfMemoryError("no room")


def test_a_new_round_takes_batches_whole_again_and_says_nothing_twice() -> None:
    said: list[str] = []
    parts = Microbatches(said.append)
    seen: list[int] = []

    def work(part: tuple[torch.Tensor], share: float) -> None:
        seen.append(len(part[0]))
        if len(part[0]) > 4:
            raise torch.OutOfMemoryError("no room")

    for _ in range(2):
        parts.each(work, (torch.zeros(8, 1),), lambda: None)
        parts.begin_again()
    assert seen == [8, 4, 4, 8, 4, 4]
    assert len(said) == 1


@pytest.mark.parametrize("words", ["CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED"])
def test_libraries_run_out_of_memory_in_their_own_words(words: str) -> None:
    def work(part: tuple[torch.Tensor], share: float) -> None:
        if len(part[0]) > 4:
            raise RuntimeError(f"cuDNN error: {words} when calling cudnnCreate")

    parts = Microbatches(lambda _: None)
    parts.each(work, (torch.zeros(8, 1),), lambda: None)
    assert parts.count == 2
