"""Stratified division, limits and the digest."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.data.errors import DataError
from autospace.data.examples import DataSet, Examples, content_digest, make_data_set
from autospace.data.splits import allocate, divide, limit_indices, split_test

labels_lists = st.lists(st.integers(0, 4), min_size=2, max_size=60)


def numbered(labels: list[int]) -> Examples:
    """Examples whose pixels spell their own index."""
    count = len(labels)
    index = torch.arange(count, dtype=torch.int32)
    pixels = torch.stack([index % 256, index // 256], dim=1).to(torch.uint8)
    return Examples(pixels.view(count, 1, 1, 2), torch.tensor(labels))


def indices_of(examples: Examples) -> list[int]:
    low, high = examples.images[:, 0, 0, 0].long(), examples.images[:, 0, 0, 1].long()
    return [int(value) for value in low + 256 * high]


@given(labels_lists, st.floats(0.05, 0.95), st.integers(0, 9))
def test_divide_is_disjoint_complete_and_stratified(
    labels: list[int], fraction: float, seed: int
) -> None:
    counts = Counter(labels)
    if max(counts.values()) < 2:
        with pytest.raises(DataError, match="empty part"):
            divide(numbered(labels), fraction, seed)
        return
    train, validation = divide(numbered(labels), fraction, seed)
    assert sorted(indices_of(train) + indices_of(validation)) == list(range(len(labels)))
    for part in (train, validation):
        assert [labels[i] for i in indices_of(part)] == part.labels.tolist()
    found = Counter(validation.labels.tolist())
    for label, count in counts.items():
        ideal = fraction * count
        assert found[label] <= max(count - 1, 0)
        assert found[label] >= min(1, count - 1)
        # The minimum of one example per class may take from the larger classes.
        assert found[label] <= max(1, np.ceil(ideal) + 1)


def test_divide_is_deterministic_and_depends_on_the_seed() -> None:
    examples = numbered([0, 1] * 50)
    first, again, other = (divide(examples, 0.3, seed)[1] for seed in (1, 1, 2))
    assert indices_of(first) == indices_of(again)
    assert indices_of(first) != indices_of(other)
    assert Counter(first.labels.tolist()) == {0: 15, 1: 15}


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_divide_refuses_fractions_out_of_range(fraction: float) -> None:
    with pytest.raises(DataError, match="out of range"):
        divide(numbered([0, 0, 1, 1]), fraction, 0)


def test_divide_refuses_a_negative_seed_and_nothing_to_divide() -> None:
    with pytest.raises(DataError, match="seed -1"):
        divide(numbered([0, 0, 1, 1]), 0.5, -1)
    with pytest.raises(DataError, match="no examples"):
        divide(numbered([0, 0]).take([]), 0.5, 0)


@given(labels_lists, st.integers(1, 70), st.integers(0, 3))
def test_limit_keeps_every_class_and_proportions(labels: list[int], limit: int, seed: int) -> None:
    tensor = torch.tensor(labels)
    counts = Counter(labels)
    if limit < len(labels) and limit < len(counts):
        with pytest.raises(DataError, match="below the"):
            limit_indices(tensor, limit, seed)
        return
    kept = limit_indices(tensor, limit, seed)
    assert len(kept) == min(limit, len(labels))
    assert len(set(kept.tolist())) == len(kept)
    assert kept.tolist() == sorted(kept.tolist())
    assert set(tensor[torch.from_numpy(kept)].tolist()) == set(counts)


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8).flatmap(
        lambda counts: st.tuples(st.just(counts), st.integers(0, sum(counts)))
    )
)
@settings(max_examples=60)
def test_allocate_sums_up_and_stays_within_one_of_the_ideal(case: tuple[list[int], int]) -> None:
    counts, total = np.array(case[0]), case[1]
    given_out = allocate(counts, total, 0, counts)
    assert given_out.sum() == total
    assert np.all(np.abs(given_out - counts * total / counts.sum()) < 1 + 1e-9)


def test_the_test_split_is_a_fixed_fifth() -> None:
    labels = torch.tensor([0] * 50 + [1] * 100)
    train, test = split_test(labels, "mine")
    assert len(test) == 30
    assert Counter(labels[torch.from_numpy(test)].tolist()) == {0: 10, 1: 20}
    assert sorted([*train, *test]) == list(range(150))
    assert test.tolist() == split_test(labels, "mine")[1].tolist()


def test_take_copies_in_the_order_asked_for() -> None:
    examples = numbered([0, 1, 2])
    taken = examples.take(np.array([2, 0, 2]))
    assert indices_of(taken) == [2, 0, 2]
    taken.images.zero_()
    assert indices_of(examples) == [0, 1, 2]
    with pytest.raises(DataError, match=r"allowed: 0\.\.2"):
        examples.take([3])
    with pytest.raises(DataError, match="indices -1"):
        examples.take([-1])


def test_examples_check_types_and_counts() -> None:
    images = torch.zeros(2, 1, 3, 3, dtype=torch.uint8)
    with pytest.raises(DataError, match="uint8"):
        Examples(images.float(), torch.tensor([0, 1]))
    with pytest.raises(DataError, match=r"int64 \[2\]"):
        Examples(images, torch.tensor([0]))


def test_a_data_set_checks_labels_classes_and_shapes() -> None:
    good = numbered([0, 1])
    with pytest.raises(DataError, match="2 or more"):
        make_data_set("x", ("a",), good, good)
    with pytest.raises(DataError, match=r"test label 7 is out of range; allowed: 0\.\.1"):
        make_data_set("x", ("a", "b"), good, numbered([0, 7]))
    with pytest.raises(DataError, match="split is empty"):
        make_data_set("x", ("a", "b"), good, good.take([]))
    wide = Examples(torch.zeros(1, 1, 1, 3, dtype=torch.uint8), torch.tensor([0]))
    with pytest.raises(DataError, match="give a resolution"):
        make_data_set("x", ("a", "b"), good, wide)


def test_the_digest_identifies_content() -> None:
    train, test = numbered([0, 1, 0, 1]), numbered([1, 0])
    digest = content_digest(("a", "b"), train, test)
    assert digest == content_digest(("a", "b"), train.take(range(4)), test)
    assert digest == make_data_set("other name", ("a", "b"), train, test, ("note",)).digest
    brighter = Examples(train.images.clone(), train.labels)
    brighter.images[3, 0, 0, 1] += 1
    relabelled = Examples(train.images, train.labels.flip(0))
    others = [
        content_digest(("a", "c"), train, test),
        content_digest(("a", "b"), brighter, test),
        content_digest(("a", "b"), relabelled, test),
        content_digest(("a", "b"), test, train),
    ]
    assert len({digest, *others}) == 5
    assert len(digest) == 64


def test_the_digest_does_not_depend_on_the_memory_format() -> None:
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8)
    plain = Examples(images, torch.tensor([0, 1, 0, 1]))
    strided = Examples(images.to(memory_format=torch.channels_last), plain.labels)
    assert content_digest(("a", "b"), plain, plain) == content_digest(("a", "b"), strided, strided)


def test_data_sets_are_values() -> None:
    data = make_data_set("x", ("a", "b"), numbered([0, 1]), numbered([0, 1]))
    with pytest.raises(AttributeError):
        data.name = "y"  # type: ignore[misc]
    assert isinstance(data, DataSet)


def test_what_cannot_be_split_is_named() -> None:
    with pytest.raises(DataError, match=r"^mine: 2 examples cannot be split into train and test; "):
        split_test(torch.tensor([0, 1]), "mine")
