"""Which batches processes can share."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.compute.ranks import Ranks
from autospace.runs.errors import ConfigError


@given(st.integers(2, 8), st.integers(1, 500), st.integers(1, 500))
def test_a_batch_is_refused_unless_all_that_is_used_of_it_has_equal_parts(
    count: int, batch: int, images: int
) -> None:
    ranks = Ranks(rank=0, count=count)
    if batch % count == 0 and min(batch, images) % count == 0:
        ranks.check_batch(batch, images)
        return
    with pytest.raises(ConfigError) as caught:
        ranks.check_batch(batch, images)
    text = str(caught.value)
    assert text.startswith(f"training.batch: {batch}")
    # Where the images are too few, the message says how many there are.
    assert (f"only {images} images" in text) == (batch % count == 0)
