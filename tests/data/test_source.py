"""The grammar of `--data`, the request and progress."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.data.errors import DataError
from autospace.data.load import load_data
from autospace.data.request import FORMS, Request, Source, parse_source, thinned
from autospace.data.settings import WITH_PATH
from autospace.spaces.text import visible

words = st.text(st.characters(codec="utf-8", exclude_characters=",=\0"), min_size=1).filter(
    lambda text: text == text.strip() != ""
)


@pytest.mark.parametrize("kind", sorted(WITH_PATH))
def test_a_path_may_hold_anything(kind: str) -> None:
    assert parse_source(f"{kind}:/a b:c,d=e") == Source(kind, Path("/a b:c,d=e"))


def test_the_kinds_with_a_path_are_those_whose_form_has_one() -> None:
    # Options may stand before the path of sentences, as before that of a text.
    assert {kind for kind, form in FORMS.items() if f"{kind}:P" in form} == WITH_PATH


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse_source("npz:~/x.npz").path == Path("/home/someone/x.npz")


@given(st.dictionaries(words, words, min_size=1, max_size=4))
def test_options_survive_the_round_trip(options: dict[str, str]) -> None:
    text = ",".join(f"{key}={value}" for key, value in options.items())
    assert parse_source(f"synthetic:{text}") == Source("synthetic", None, options)


@given(st.text(max_size=60))
def test_other_text_gets_one_line_that_names_every_form(text: str) -> None:
    if text.partition(":")[0] in FORMS:
        return
    with pytest.raises(DataError) as caught:
        parse_source(text)
    assert str(caught.value).isprintable()
    assert all(form in str(caught.value) for form in FORMS.values())


@pytest.mark.parametrize(
    "text",
    ["", "folder", "folder:", "folder: ", "pets", "digits:", "digits:x", "synthetic:", "Digits",
     "synthetic:a", "synthetic:a=", "synthetic:=b", "synthetic:a=1,", "synthetic:a=1,a=2",
     "npz:a\0b", "npz:" + "a" * 5000, "npz:~nosuchuser__/x"],
)  # fmt: skip
def test_malformed_sources_list_the_allowed_forms(text: str) -> None:
    with pytest.raises(DataError, match=r"llowed: digits, folder:PATH"):
        parse_source(text)


@pytest.mark.parametrize("kind", sorted(WITH_PATH))
def test_a_missing_path_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.*does not exist"):
        load_data(f"{kind}:{tmp_path}/nowhere/below")


def test_names_are_free_of_folders_above(tmp_path: Path) -> None:
    assert parse_source(f"folder:{tmp_path}/pets/").name == "folder:pets"
    assert parse_source(f"cifar10:{tmp_path}/c.tar.gz").name == "cifar10"
    assert parse_source("digits").name == "digits"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"resolution": 0}, "resolution 0"),
        ({"resolution": 5000}, "1 to 4096"),
        ({"channels": 2}, "1 or 3"),
        ({"limit": 0}, "limit 0"),
        ({"seed": -3}, "seed -3"),
    ],
)
def test_requests_are_checked(request_: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_data("digits", **request_)  # type: ignore[arg-type]
    assert Request().limit is None


def test_progress_is_thinned_out_but_ends() -> None:
    now = 0.0
    calls: list[tuple[int, int]] = []
    tick = thinned(lambda *call: calls.append(call), clock=lambda: now)
    for done in range(1, 101):
        now += 0.01
        tick(done, 100)
    assert 9 <= len(calls) <= 12
    assert calls[0] == (1, 100)
    assert calls[-1] == (100, 100)


@given(st.text())
def test_messages_are_one_printable_line(text: str) -> None:
    assert visible(text).isprintable()
    assert str(DataError(text)).isprintable()


def test_undecodable_file_names_can_be_shown() -> None:
    shown = str(DataError("a\udcff\nb"))
    assert shown == "a\\udcff\\nb"
    assert shown.encode()
