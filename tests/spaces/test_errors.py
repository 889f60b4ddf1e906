"""Messages are one printable line of bounded length, whatever they quote."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.spaces import SpaceError
from autospace.spaces.errors import join_path, located, shown


@given(st.text(st.characters(), max_size=600), st.text(st.characters(), max_size=600))
def test_a_message_is_one_printable_line_of_bounded_length(path: str, problem: str) -> None:
    message = str(SpaceError(path, problem).under(path))
    assert message.isprintable()
    assert len(message) < 400


@given(st.text(st.characters(codec="ascii", categories=["L"]), min_size=1), st.text(max_size=5))
def test_short_printable_messages_are_left_as_they_are(path: str, problem: str) -> None:
    if problem.isprintable():
        assert str(SpaceError(path, problem)) == f"{path}: {problem}"


def test_a_long_message_keeps_both_ends() -> None:
    message = str(SpaceError("a" + "x" * 9999 + "b", "c" + "y" * 9999 + "d"))
    assert message.startswith("axxx")
    assert "xb: cyy" in message
    assert message.endswith("yyd")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", '"a"'),
        ("a\n\x1b[31m", '"a\\n\\u001b[31m"'),
        ("\ud800", '"\\ud800"'),
        ("x" * 100, '"' + "x" * 56 + "..."),
        (True, "true"),
        (None, "null"),
        (1.5, "1.5"),
        (float("nan"), "NaN"),
        ([1] * 10**6, "a list"),
        ({}, "an empty object"),
        (b"raw", "a bytes"),
    ],
)
def test_a_value_is_shown_as_json_if_it_is_short_and_simple(value: object, text: str) -> None:
    assert shown(value) == text


def test_integers_that_python_refuses_to_print_are_shown_by_their_length() -> None:
    assert shown(10**5000) == "an integer of about 5000 digits"


@pytest.mark.parametrize(
    ("prefix", "rest", "path"),
    [("a", "b", "a.b"), ("a", "[0].b", "a[0].b"), ("", "b", "b"), ("a", "", "a"), ("", "", "")],
)
def test_paths_are_joined_as_one_reads_them(prefix: str, rest: str, path: str) -> None:
    assert join_path(prefix, rest) == path


def test_an_error_inside_knows_where_it_is() -> None:
    with pytest.raises(SpaceError, match=r"^layers\[3\]\.id: bad$"), located("layers[3]"):
        raise SpaceError("id", "bad")


def test_an_error_survives_the_way_between_processes() -> None:
    error = SpaceError("id", "bad")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, again.problem) == ("id: bad", "id", "bad")
