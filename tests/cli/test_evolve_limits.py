"""`--max-madds` and `--max-params`: from text to a number, on the command line and in settings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.cli.options import limit_or_word
from autospace.cli.output import InputError
from autospace.evolution.settings import make_config
from autospace.runs.errors import ConfigError
from autospace.runs.settings import parse_settings
from autospace.spaces.text import parse_count

WORDS = ("none", "reference")


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
    assert limit_or_word("--max-madds", text, WORDS) == expected


@given(st.integers(1, 10**6), st.integers(1, 3), st.sampled_from(["", "k", "M", "G"]))
def test_a_decimal_is_exact(digits: int, places: int, unit: str) -> None:
    text = f"{digits // 10**places}.{digits % 10**places:0{places}}{unit}"
    exact = digits * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[unit] // 10**places
    assert parse_count(text) == exact


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4.1M", 4_100_000),
        ("1.0005k", 1000),
        ("0." + 40 * "9", 0),
        ("inf", None),
        ("nank", None),
        ("1e400", None),
        ("1e999999999999999999999", None),
        ("1e-999999999", 0),
        ("1.2.3", None),
    ],
)
def test_fractions_are_rounded_down_and_what_is_endless_is_refused(
    text: str, expected: int | None
) -> None:
    assert parse_count(text) == expected


@given(st.text() | st.from_regex(r"[0-9.eE+-]{1,30}[kMG]?", fullmatch=True))
def test_any_limit_is_in_range_or_refused(text: str) -> None:
    try:
        found = limit_or_word("--max-madds", text, WORDS)
    except InputError as error:
        assert "expected a number such as 5M" in str(error)  # noqa: PT017
    else:
        assert found in {"none", "reference"} or 1 <= int(str(found)) <= 10**15


@pytest.mark.parametrize(
    ("text", "expected"), [("5M", 5_000_000), ("none", "none"), ("300000", 300_000)]
)
def test_settings_take_the_same_limits(text: str, expected: int | str) -> None:
    config = make_config(parse_settings([f"budget.max_madds={text}"]))
    assert config.budget.max_madds == expected


def test_a_setting_that_is_no_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^budget.max_params: \"many\"; allowed: "):
        make_config(parse_settings(["budget.max_params=many"]))
