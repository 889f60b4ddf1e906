"""Named random streams."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from autospace.seeds import derived_seed, stream

names = st.lists(st.text(max_size=8) | st.integers(), max_size=4).map(tuple)


def test_seeds_are_the_same_on_every_machine_and_version() -> None:
    # Computed with sha256sum: the first eight bytes, shifted right by one.
    assert derived_seed(0) == 0x5FECEB66FFC86F38 >> 1
    assert derived_seed(1, "evolution", 2, 3) == 0x8F0A2EE7482157E4 >> 1
    assert derived_seed(7, "reference") == 0x418E12BEBF4E4E48 >> 1


def test_a_stream_draws_the_same_for_ever() -> None:
    # Mersenne Twister seeded by an integer: the same in all versions of Python since 2.3.
    rng = stream(0, "golden")
    assert [rng.random() for _ in range(2)] == [0.22054439878659926, 0.764901817006056]


@given(st.integers(0, 2**63 - 1), names)
def test_a_seed_fits_into_63_bits_and_depends_on_nothing_else(
    seed: int, name: tuple[str | int, ...]
) -> None:
    found = derived_seed(seed, *name)
    assert 0 <= found < 2**63
    assert found == derived_seed(seed, *name)


def test_streams_of_different_purposes_share_no_draws() -> None:
    seen = {
        derived_seed(seed, purpose, round_, layer)
        for seed in range(5)
        for purpose in ("evolution", "candidate", "batches")
        for round_ in range(20)
        for layer in range(5)
    }
    assert len(seen) == 5 * 3 * 20 * 5


def test_drawing_from_one_stream_leaves_another_as_it_was() -> None:
    first = stream(0, "a")
    alone = [first.random() for _ in range(5)]
    other, again = stream(0, "b"), stream(0, "a")
    mixed = []
    for _ in range(5):
        other.random()
        mixed.append(again.random())
    assert mixed == alone


def test_means_of_neighbouring_streams_are_not_correlated() -> None:
    # 400 uniform numbers: the mean is 0.5 with a standard error of 0.0144.
    draws = [stream(0, "layer", index).random() for index in range(400)]
    assert abs(sum(draws) / 400 - 0.5) < 4 * 0.0144
    pairs = pairwise(draws)
    covariance = sum((a - 0.5) * (b - 0.5) for a, b in pairs) / 399
    # Each product has standard deviation 1/12.
    assert abs(covariance) < 4 / 12 / 399**0.5
