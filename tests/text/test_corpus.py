"""What is read of a text: splits, vocabulary, and errors that show what was seen."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autospace.data.errors import DataError
from autospace.text.corpus import END, UNKNOWN, load_text
from autospace.text.source import TextSource, parse_text


def written(folder: Path, **files: str | bytes) -> Path:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '.')}.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_characters_are_divided_by_position(tmp_path: Path) -> None:
    text = "ab" * 450 + "cd" * 50
    corpus = load_text(f"text:{written(tmp_path, t=text) / 't.txt'}")
    read = "".join(
        corpus.vocabulary[number] for split in corpus.splits.values() for number in split.tokens
    )
    # c and d stand only in the held-out parts: they are not in the vocabulary of the train split.
    assert read == "ab" * 450 + UNKNOWN["characters"] * 100
    assert [len(each) for each in corpus.splits.values()] == [800, 100, 100]
    assert [each.unknown for each in corpus.splits.values()] == [0, 0, 100]


def test_words_end_lines_with_a_token(tmp_path: Path) -> None:
    path = written(tmp_path, t="the cat\nsat\n" * 50) / "t.txt"
    corpus = load_text(f"text:tokens=words:{path}")
    words = [corpus.vocabulary[number] for number in corpus.train.tokens[:5]]
    assert words == ["the", "cat", END, "sat", END]
    # Two ends of lines per five tokens: the most frequent token has number 0.
    assert corpus.vocabulary[0] == END
    assert corpus.train.characters == 12 * 40


def test_a_vocabulary_keeps_the_most_frequent_words(tmp_path: Path) -> None:
    path = written(tmp_path, t="a a a b b c d\n" * 60) / "t.txt"
    corpus = load_text(f"text:tokens=words,vocabulary=4:{path}")
    assert corpus.vocabulary == ("a", "b", END, "<unk>")
    assert corpus.train.unknown == 2 * 60 * 8 // 10


def test_with_a_limit_only_unknown_tokens_that_are_kept_count(tmp_path: Path) -> None:
    # What stands for unknown words is in the text itself as well, and is in the vocabulary.
    path = written(tmp_path, t="a a <unk> b\n" * 40 + "a c d b\n" * 160) / "t.txt"
    source = f"text:tokens=words,vocabulary=4:{path}"

    def unknown(limit: int | None) -> list[int]:
        corpus = load_text(source, limit)
        assert corpus.vocabulary == ("a", END, "b", "<unk>")
        return [each.unknown for each in corpus.splits.values()]

    # Lines of five tokens: two of each behind the first forty lines are unknown.
    assert unknown(None) == unknown(10**6) == [2 * 120, 2 * 20, 2 * 20]
    assert unknown(300) == [2 * 20, 2 * 20, 2 * 20]
    assert unknown(50) == [0, 2 * 10, 2 * 10]


def test_files_say_which_split_they_are(tmp_path: Path) -> None:
    folder = written(
        tmp_path, ptb__train="a" * 60 + "b" * 60, ptb__valid="ba" * 20, ptb__test="ab" * 15
    )
    (folder / "notes.md").write_text("not a text")
    (folder / "other.txt").write_text("abc")
    corpus = load_text(f"text:{folder}")
    assert [len(each) for each in corpus.splits.values()] == [120, 40, 30]
    assert corpus.by_files
    assert {(reason[:6], count) for reason, count, _ in corpus.skipped} == {
        ("not .t", 1),
        ("of no ", 1),
    }


def test_folders_say_it_too(tmp_path: Path) -> None:
    for name, text in (("train", "ab" * 60), ("test", "ba" * 20)):
        (tmp_path / name).mkdir()
        written(tmp_path / name, one=text, two=text)
    corpus = load_text(f"text:{tmp_path}")
    assert len(corpus.test) == 81
    assert len(corpus.train) + len(corpus.validation) == 241
    assert any("no file is validation" in note for note in corpus.notes)


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"t": b"abc\xff"}, "not utf-8: byte 3 is 0xff"),
        ({"t": b"ab\0cd" * 99}, "character 2 is zero"),
        ({"t": ""}, "all 1 files are empty"),
        ({"t": "abc"}, "too little text"),
        ({"t": "a" * 1000}, "every one of the characters to train on is 'a'"),
        ({"valid": "ab" * 50}, "no text to train on"),
        ({"train": "ab" * 50, "a__train": "ab" * 50}, "several texts may be train"),
        ({"train": "ab" * 50, "test": ""}, "is empty"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    tmp_path: Path, files: dict[str, str | bytes], problem: str
) -> None:
    with pytest.raises(DataError) as found:
        load_text(f"text:{written(tmp_path, **files)}")
    assert problem in str(found.value)
    assert "\n" not in str(found.value)


def test_other_encodings_and_line_ends_are_read_alike(tmp_path: Path) -> None:
    text = "äb\nc\n" * 60
    same = {
        load_text(f"text:{written(tmp_path, **{name: raw}) / f'{name}.txt'}").digest
        for name, raw in (
            ("plain", text.encode()),
            ("mark", b"\xef\xbb\xbf" + text.encode()),
            ("wide", text.encode("utf-16")),
            ("ends", text.replace("\n", "\r\n").encode()),
        )
    }
    assert len(same) == 1


def test_the_text_of_python_says_its_version() -> None:
    from pydoc_data.topics import topics

    corpus = load_text("text")
    assert (
        sum(each.characters for each in corpus.splits.values())
        == sum(map(len, topics.values())) + len(topics) - 1
    )
    assert any("Python 3." in line for line in corpus.lines)
    assert corpus.digest == load_text("text").digest
    assert len(corpus.digest) == len(hashlib.sha256().hexdigest())


@given(st.text(max_size=40))
def test_any_words_are_a_source_or_one_line(rest: str) -> None:
    found = parsed(f"text:{rest}")
    if isinstance(found, TextSource):
        assert parse_text(found.text) == found
    else:
        assert "\n" not in found


def parsed(text: str) -> TextSource | str:
    try:
        return parse_text(text)
    except DataError as error:
        return str(error)


@given(
    st.sampled_from(["characters", "words"]),
    st.integers(2, 99),
    st.integers(1, 99),
    st.sampled_from([None, Path("a.txt"), Path("/b/c")]),
)
def test_sources_are_read_back(tokens: str, vocabulary: int, bptt: int, path: Path | None) -> None:
    source = TextSource(path, tokens, vocabulary, bptt)  # type: ignore[arg-type]
    assert parse_text(source.text) == source
