"""Captions are judged by scores that are computed here by hand."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autospace.networks.captions import END, PAD, START, UNKNOWN, Described
from autospace.training.captioning import NO_REFERENCE, Captioning, exact, ngram_f, words_of

TASK = Captioning()


def test_a_score_by_hand() -> None:
    # Tokens: a, seven, a, two are shared, of 6 and 6: 4 in both, so 2 * 4 / 12 = 2/3.
    # Pairs: "a seven" and "a two" of 5 and 5: 2 * 2 / 10 = 2/5. No longer ones are shared.
    found = ngram_f(
        ["a", "seven", "left", "of", "a", "two"], [["a", "seven", "right", "on", "a", "two"]]
    )
    assert found == pytest.approx((2 / 3 + 2 / 5 + 0 + 0) / 4)
    # "a two": tokens 2 * 2 / 8, pairs 2 * 1 / 6; triples of the reference alone count as missed.
    found = ngram_f(["a", "two"], [["a", "seven", "left", "of", "a", "two"]])
    assert found == pytest.approx((2 * 2 / 8 + 2 * 1 / 6 + 0 + 0) / 4)
    # Neither caption has a triple: these are left out.
    assert ngram_f(["a", "two"], [["a", "six"]]) == pytest.approx((2 * 1 / 4 + 0) / 2)
    # A token counts as often as both have it: "a a" and "a b" share one of 2 and 2.
    assert ngram_f(["a", "a"], [["a", "b"]]) == pytest.approx((2 * 1 / 4 + 0) / 2)


def test_the_best_reference_counts() -> None:
    one, two = ["a", "b"], ["c"]
    assert ngram_f(two, [one, two]) == 1
    assert ngram_f([], [one]) == 0
    assert ngram_f([], [[]]) == 1


@given(st.lists(st.integers(4, 9), max_size=8), st.lists(st.integers(4, 9), max_size=8))
def test_scores_are_shares_and_alike_both_ways(one: list[int], two: list[int]) -> None:
    found = ngram_f(one, [two])
    assert 0 <= found <= 1
    assert found == pytest.approx(ngram_f(two, [one]))
    assert (found > 1 - 1e-12) == (one == two) == exact(one, [two])


def test_losses_leave_padding_out() -> None:
    logits = torch.randn(2, 4, 7, dtype=torch.float64)
    targets = torch.tensor([[[5, 6, END, PAD]], [[4, END, PAD, PAD]]])
    log_p = logits.log_softmax(-1)
    rows = [[-log_p[n, t, k] for t, k in enumerate(row) if k != PAD]
            for n, row in enumerate(targets[:, 0].tolist())]  # fmt: skip
    each = [sum(row) / len(row) for row in rows]
    mean = sum(map(sum, rows)) / 5
    assert float(TASK.loss(logits, targets)) == pytest.approx(float(mean))
    assert float(TASK.loss(logits, targets, "sum")) == pytest.approx(float(sum(each)))
    padded = logits.clone()
    padded[0, 3], padded[1, 2:] = 9, -9
    assert torch.equal(TASK.loss(padded, targets), TASK.loss(logits, targets))


def test_captions_are_judged_against_all_references_of_their_image() -> None:
    none = [NO_REFERENCE] * 4
    targets = torch.tensor([[[5, 6, END, PAD], [6, 5, END, PAD]], [[4, END, PAD, PAD], none]])
    written = torch.tensor([[6, 5, END, PAD], [5, END, PAD, PAD]])
    outputs = Described(torch.zeros(2, 4, 7), written)
    assert TASK.right(outputs, targets).tolist() == [1, 0]
    assert TASK.exact(outputs, targets).tolist() == [True, False]
    assert float(TASK.batch_score(outputs, targets)) == 0.5
    assert words_of([START, 5, 6, END, 7]) == [5, 6]
    with pytest.raises(TypeError, match="captions that were written"):
        TASK.right(outputs.logits, targets)


def test_a_word_outside_the_vocabulary_is_never_matched() -> None:
    # Both images are "a <unk>" to the network, which writes just that.
    written = torch.tensor([[4, UNKNOWN, END], [4, UNKNOWN, END]])
    targets = torch.tensor([[[4, UNKNOWN, END]], [[4, 5, END]]])
    outputs = Described(torch.zeros(2, 3, 6), written)
    assert TASK.exact(outputs, targets).tolist() == [False, False]
    # Tokens: "a" of 2 and 2; pairs: none of 1 and 1.
    assert TASK.right(outputs, targets).tolist() == pytest.approx([(2 * 1 / 4 + 0) / 2] * 2)
