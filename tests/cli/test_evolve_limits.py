"""`--max-madds` and `--max-params`: from text to a number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.cli.evolve import _limit
from autospace.cli.output import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("none", "none"),
        ("reference", "reference"),
        ("5M", 5_000_000),
        ("5m", 5_000_000),
        ("1.5k", 1500),
        ("0.25G", 250_000_000),
        ("999999999999999", 999_999_999_999_999),
        ("1e6", 1_000_000),
        # A promise is not rounded up.
        ("1.9", 1),
    ],
)
def test_limits_are_read(text: str | None, expected: int | str | None) -> None:
    assert _limit("--max-madds", text) == expected


@given(st.text() | st.from_regex(r"[0-9.eE+-]{1,30}[kMG]?", fullmatch=True))
def test_any_limit_is_in_range_or_refused(text: str) -> None:
    try:
        found = _limit("--max-madds", text)
    except InputError as error:
        assert "expected a number such as 5M" in str(error)  # noqa: PT017
    else:
        assert found in {"none", "reference"} or 1 <= int(str(found)) <= 10**15
