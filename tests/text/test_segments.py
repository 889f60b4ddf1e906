"""Segments of a text: every row follows the one before it, in every column."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.text.segments import ALONE, Segments

CPU = torch.device("cpu")


def test_segments_by_hand() -> None:
    segments = Segments(torch.arange(14), 2, 3, CPU)
    # Columns 0..6 and 7..13; a segment of three rows, and the rest.
    inputs, targets = segments.batch(0)
    assert inputs.tolist() == [[0, 0], [0, 7], [1, 8], [2, 9]]
    assert targets.tolist() == [1, 8, 2, 9, 3, 10]
    inputs, targets = segments.batch(1)
    assert inputs.tolist() == [[1, 1], [3, 10], [4, 11], [5, 12]]
    assert targets.tolist() == [4, 11, 5, 12, 6, 13]
    # The next pass.
    assert torch.equal(segments.batch(2)[0], segments.batch(0)[0])


@settings(max_examples=30, deadline=None)
@given(st.integers(40, 400), st.integers(1, 7), st.integers(1, 9), st.booleans())
def test_a_pass_predicts_every_row_once(
    tokens: int, columns: int, length: int, varies: bool
) -> None:
    seed = 1 if varies else None
    segments = Segments(torch.arange(tokens), columns, length, CPU, seed=seed)
    rows = tokens // segments.columns - 1
    found = segments.pass_of(0)
    assert [start for start, _ in found] == [
        sum(each for _, each in found[:place]) for place in range(len(found))
    ]
    covered = sum(size for _, size in found)
    assert covered == rows if varies else rows - covered < length
    measured = [targets for _, targets in segments.evaluation_batches()]
    assert sum(map(len, measured)) == rows * segments.columns
    for inputs, targets in segments.evaluation_batches():
        assert torch.equal(inputs[1:].reshape(-1) + 1, targets)


def test_segments_alone_say_so() -> None:
    inputs, _ = Segments(torch.arange(20), 2, 3, CPU, alone=True).batch(1)
    assert inputs[0].tolist() == [ALONE, ALONE]
