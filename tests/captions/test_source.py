"""The words of `--data captions`: read, written back, and refused in one line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.captions.source import BOUNDS, CaptionSource, is_captions, parse_captions
from autospace.data.errors import DataError
from autospace.data.request import parse_source


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("captions", CaptionSource()),
        ("captions:scenes=100,digits=3", CaptionSource(scenes=100, digits=3)),
        ("captions:vocabulary=500:", None),
    ],
)
def test_forms(text: str, wanted: CaptionSource | None) -> None:
    if wanted is None:
        with pytest.raises(DataError, match="names no path"):
            parse_captions(text)
    else:
        assert parse_captions(text) == wanted


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("captions:", "names no path"),
        ("captions:digits=4", "digits 4 is out of bounds; allowed: 1 to 3"),
        ("captions:digits=x", "digits 'x'; allowed: a whole number"),
        ("captions:digits=1,digits=2", "twice"),
        ("captions:digit=1", "did you mean digits"),
        ("captions:digits=1:folder", "for scenes that are drawn; allowed: vocabulary, length"),
        ("captions:length=9", "for images of your own; allowed: scenes, digits, seed"),
        ("captions:scenes=1", "out of bounds"),
    ],
)
def test_refusals(text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as found:
        parse_captions(text)
    assert "\n" not in str(found.value)


@given(st.fixed_dictionaries({name: st.integers(*BOUNDS[name]) for name in BOUNDS}), st.booleans())
def test_sources_are_read_back(values: dict[str, int], drawn: bool) -> None:
    names = ("scenes", "digits", "seed") if drawn else ("vocabulary", "length")
    own = {name: values[name] for name in names}
    source = CaptionSource(None if drawn else Path("x"), **own)
    assert parse_captions(source.text) == source


@given(st.text(max_size=60))
def test_any_words_are_a_source_or_one_line(text: str) -> None:
    found = _tried(f"captions:{text}")
    assert is_captions(found) or "\n" not in found


def _tried(source: str) -> str:
    """The source as it is written, or the error of reading it."""
    try:
        return parse_captions(source).text
    except DataError as error:
        return str(error)


def test_classifiers_say_that_they_do_not_read_captions() -> None:
    with pytest.raises(DataError, match="is images with captions, which networks for classes"):
        parse_source("captions:flickr")
