"""Whatever a file holds: a valid value or one `SpaceError`, in bounded time and memory."""

import json
import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autospace.spaces import (
    Architecture,
    Budget,
    Candidate,
    Cell,
    Layer,
    LayerSpec,
    Origin,
    Skeleton,
    Space,
    SpaceError,
    Stem,
    from_json,
    load,
    load_any,
    load_skeleton,
    mbconv,
    to_json,
)
from autospace.spaces.checks import MAX_BYTES, MAX_TOML_BYTES
from autospace.spaces.files.codec import read
from autospace.spaces.files.reading import parse_json, parse_toml

CORPUS = Path(__file__).parents[1] / "corpus"
MESSAGES: dict[str, str] = json.loads((CORPUS / "messages.json").read_text(encoding="utf-8"))
FILES = sorted(path.name for path in CORPUS.iterdir() if path.name != "messages.json")

SKELETON = Skeleton("t", 1, 3, 2, Stem(2, 1), (LayerSpec(2),))
CELL = Cell.from_edges([(0, 1, "dw_conv_3x3")], nodes=2, expansion=1)
OFFERED = (Candidate("a", CELL, 0.5, Origin("mutation", 1, ("b",))),)
LAYERS = (Layer(SKELETON.shapes[0], OFFERED),)
SMALL = Space("s", SKELETON, ("dw_conv_3x3",), LAYERS, {"layer_00": "a"}, Budget(10**4), {"n": 1})
TEXT = to_json(SMALL)


def refused(text: str) -> SpaceError:
    with pytest.raises(SpaceError) as caught:
        from_json(text)
    message = str(caught.value)
    assert message.isprintable()
    assert 0 < len(message) < 400
    return caught.value


def value_or_error(text: str) -> Space | Architecture | Skeleton | SpaceError:
    try:
        return from_json(text)
    except SpaceError as error:
        return error


@contextmanager
def bounded(seconds: float = 5.0) -> Iterator[None]:
    """Processor time, several times what it takes: the machine may be slow and busy."""
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


# Files of the corpus: messages.json says what each has to be refused with.


def test_every_file_of_the_corpus_has_a_message() -> None:
    assert sorted(MESSAGES) == FILES


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_with_the_recorded_message(name: str) -> None:
    with pytest.raises(SpaceError) as caught:
        read(CORPUS / name)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 400
    # Of text that is not a JSON or TOML at all, every Python version says something else.
    assert caught.value.problem.startswith(MESSAGES[name])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("reader", [load, load_any, load_skeleton])
def test_a_hostile_file_passes_no_entrance(name: str, reader: Callable[[str], object]) -> None:
    with pytest.raises(SpaceError):
        reader(str(CORPUS / name))


# Damage to a good file.


def test_a_space_cut_off_anywhere_is_refused() -> None:
    raw = TEXT.encode()
    for length in range(len(raw) - 1):  # without the last newline it is still whole
        refused(raw[:length].decode())


@given(st.data())
@settings(max_examples=300)
def test_changed_bytes_give_a_space_error_or_a_valid_value(data: st.DataObject) -> None:
    raw = bytearray(TEXT.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.integers(0, 2)):
            case 0:
                raw[place] = data.draw(st.integers(0, 255))
            case 1:
                del raw[place : place + data.draw(st.integers(1, 9))]
            case _:
                raw[place:place] = raw[place : place + data.draw(st.integers(1, 90))]
    text = bytes(raw).decode("utf-8", errors="surrogateescape")
    judged = value_or_error(text)
    if isinstance(judged, SpaceError):
        assert str(judged).isprintable()
        assert len(str(judged)) < 400
    else:
        assert from_json(to_json(judged)) == judged


def leaves(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs:
            yield from leaves(item, (*path, key))


PLACES = [path for path in leaves(json.loads(TEXT)) if path]
ODD: list[object] = [None, True, -1, 0, 1.5, 10**30, "", "x", "\n", [], [[]], {}, {"a": 1}]


@given(st.sampled_from(PLACES), st.sampled_from(ODD))
@settings(max_examples=300)
def test_an_odd_value_anywhere_gives_a_space_error_at_its_place_or_a_valid_value(
    place: tuple[str | int, ...], odd: object
) -> None:
    plain = json.loads(TEXT)
    inner = plain
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = odd
    judged = value_or_error(json.dumps(plain))
    if isinstance(judged, SpaceError):
        # What two values say together may be reported at either of them.
        assert judged.path.startswith((str(place[0]), "layers", "reference", "budget"))


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=5))
def test_any_json_value_that_is_no_space_is_refused(value: object) -> None:
    refused(json.dumps(value))


# Size: every reader is bounded in time, and so in memory.

HUGE = {
    "brackets": "[" * MAX_BYTES,
    "objects": '{"a":' * 10**5,
    "flat lists": "[" + "[]," * 249_998 + "[]]",
    "too many lists": "[" + "[]," * 10**6 + "[]]",
    "too many values": "[" + "0," * 10**7 + "0]",
    "keys": "{" + ",".join(f'"{n}":1' for n in range(3 * 10**5)) + "}",
    "a digit string": "1" * 10**7,
    "a long string": '"' + "a" * 10**7 + '"',
    "white space": " " * 10**7,
    "empty layers": TEXT.replace('"layers": [', '"layers": [' + "{}," * 3 * 10**5, 1),
    "empty candidates": TEXT.replace('"candidates": [', '"candidates": [' + "{}," * 4000, 1),
    "unknown keys": TEXT.replace("{", "{" + "".join(f'"{n}": 1,' for n in range(4000)), 1),
    "edges": TEXT.replace('"edges": [', '"edges": [' + "1," * 4000, 1),
    "many candidates": json.dumps(
        {
            "format": "autospace.space",
            "version": 1,
            "layers": [{"name": "l", "candidates": [{}] * 4096}] * 64,
        }
    ),
}


@pytest.mark.parametrize("what", HUGE)
def test_huge_text_is_refused_within_seconds(what: str) -> None:
    with bounded():
        refused(HUGE[what])


HUGE_TOML = {
    "a dotted key": "a" + ".a" * 10**5 + " = 1",
    "dotted keys": "\n".join(f"a.b.c{n} = 1" for n in range(15_000)),
    "tables": "\n".join(f"[a{n}]" for n in range(30_000)),
    "arrays of tables": "[[a]]\n" * 40_000,
    "inline tables": "a = {" * 40_000,
    "brackets": "a = " + "[" * 250_000,
    "a digit string": "a = " + "1" * 250_000,
    "quotes": "a = '''" + "'" * 250_000,
    "too large": "#" * (MAX_TOML_BYTES + 1),
}


@pytest.mark.parametrize("what", HUGE_TOML)
def test_huge_toml_is_refused_within_seconds(what: str) -> None:
    with bounded(), pytest.raises(SpaceError):
        parse_toml(HUGE_TOML[what])


def test_a_file_too_large_is_refused_without_reading_on(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    with path.open("wb") as stream:
        stream.truncate(10**12)  # a hole: takes no room on the disk
    tracemalloc.start()
    with (
        bounded(),
        pytest.raises(SpaceError, match=f"too large; allowed: up to {MAX_BYTES} bytes$"),
    ):
        load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_BYTES


# Things that are no readable files.


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "pipe.json"
    os.mkfifo(path)
    with pytest.raises(SpaceError, match=r"pipe\.json: is not a regular file; allowed: a file of"):
        load(path)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/stdin"])
def test_a_device_is_refused_at_once(device: str) -> None:
    with bounded(), pytest.raises(SpaceError):
        read(Path(device))


def test_a_folder_is_refused_where_a_file_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "folder.json"
    path.mkdir()
    with pytest.raises(SpaceError, match=r"folder\.json: is a folder; allowed: a file of JSON or"):
        load_skeleton(str(path))


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "loop.json"
    path.symlink_to(path)
    with pytest.raises(SpaceError, match=r"loop\.json: too many levels of symbolic links$"):
        load(path)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"^no\.json: no such file or directory$"):
        read(Path("no.json"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "space.json"
    path.write_text(TEXT, encoding="utf-8")
    path.chmod(0)
    with pytest.raises(SpaceError, match=r"space\.json: permission denied$"):
        load(path)


def test_an_error_of_the_file_system_becomes_a_space_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "space.json"
    path.write_text(TEXT, encoding="utf-8")
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(SpaceError, match=r"space\.json: permission denied$"):
        load(path)


def test_the_name_of_a_file_cannot_reach_the_terminal_raw(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31m\nspace.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(SpaceError, match=r"\\u001b\[31m\\u000aspace\.json: format: null; all"):
        load(path)


def test_plain_values_are_what_pythons_reader_gives() -> None:
    text = to_json(load("mnasnet@digits"))
    assert parse_json(text) == json.loads(text)


def test_the_small_space_of_this_file_is_valid() -> None:
    assert from_json(TEXT) == SMALL
    assert SMALL.reference == {"layer_00": "a"}
    assert mbconv(3, 1, nodes=2) == CELL


@pytest.mark.parametrize("wrong", [1, 0, "true", None, [], 1.5])
def test_a_value_that_is_neither_true_nor_false_is_told_what_is_allowed(
    wrong: object, tmp_path: Path
) -> None:
    document = json.loads(to_json(load_skeleton("ofa-small")))
    document["stages"][0]["attention"] = wrong
    file = tmp_path / "skeleton.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(SpaceError, match=r"stages\[0\]\.attention: .*; allowed: true or false$"):
        load_skeleton(str(file))
