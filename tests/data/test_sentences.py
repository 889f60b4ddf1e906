"""Sentences with labels: what is read of tables and folders, and what is refused."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autospace.data.batches import Batches, Normaliser
from autospace.data.errors import DataError
from autospace.data.examples import DataSet
from autospace.data.load import load_data
from autospace.data.readers.sentences import SPECIAL
from autospace.data.request import parse_source
from autospace.data.summary import lines_of, record

GOOD = ["a good film", "so good!", "Good, good.", "very good fun", "fine and good"]
BAD = ["a bad film", "so bad!", "Bad, bad.", "very bad fun", "dull and bad"]


def rows(separator: str = ",") -> list[str]:
    pairs = [(text, "pos") for text in GOOD] + [(text, "neg") for text in BAD]
    quoted = '"' if separator == "," else ""
    return [f"{quoted}{text}{quoted}{separator}{label}" for text, label in pairs]


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def texts_of(data: DataSet) -> list[list[str]]:
    """The tokens of the training sentences, padding left out, by number."""
    return [
        [data.vocabulary[number] for number in row.tolist() if number] for row in data.train.images
    ]


def test_the_help_topics_are_sentences_of_python_itself() -> None:
    from pydoc_data.topics import topics

    data = load_data("sentences:length=20")
    assert {*data.classes} <= {*topics}
    assert len(data.classes) >= 10
    assert data.vocabulary[:2] == SPECIAL
    assert data.train.images.dtype == torch.int32
    assert data.train.shape == (20,)
    # A passage is in the topic that it is a label of: by the text of the topic itself.
    for row, label in zip(texts_of(data)[:40], data.train.labels.tolist()[:40], strict=True):
        topic = " ".join(topics[data.classes[label]].lower().split())
        words = [token for token in row if token.isalpha() and len(token) > 3]
        assert all(word in topic for word in words)
    again = load_data("sentences:length=20")
    assert again.digest == data.digest
    assert load_data("sentences:length=21").digest != data.digest
    text = "\n".join(lines_of(data))
    assert "the help topics of Python" in text
    assert "skipped:" in text
    assert record(data)["vocabulary"] == len(data.vocabulary)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
@pytest.mark.parametrize("header", [None, "text,label", "Sentence,Class"])
def test_a_table_is_read_with_and_without_header(
    tmp_path: Path, name: str, header: str | None
) -> None:
    separator = "\t" if name.endswith("tsv") else ","
    first = [] if header is None else [header.replace(",", separator)]
    path = write(tmp_path / name, [*first, *rows(separator)])
    data = load_data(f"sentences:length=8:{path}")
    assert data.classes == ("neg", "pos")
    assert (len(data.train), len(data.test)) == (8, 2)
    for tokens, label in zip(texts_of(data), data.train.labels.tolist(), strict=True):
        assert (("good" in tokens), ("bad" in tokens)) == ((label == 1), (label == 0))


def test_columns_have_names(tmp_path: Path) -> None:
    lines = [
        "id,label,text,other",
        *(f"{n},{r.split(',')[-1]},x {n},y" for n, r in enumerate(rows())),
    ]
    path = write(tmp_path / "t.csv", ["id,mood,body,other", *lines[1:]])
    with pytest.raises(DataError, match="id, mood, body, other; allowed: sentences:text=NAME"):
        load_data(f"sentences:{path}")
    data = load_data(f"sentences:text=body,label=mood:{path}")
    assert data.classes == ("neg", "pos")
    assert all(tokens[0] == "x" for tokens in texts_of(data))
    with pytest.raises(DataError, match="0 columns are named 'nobody'"):
        load_data(f"sentences:text=nobody,label=mood:{path}")


def test_tables_of_splits_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", rows())
    write(tmp_path / "test.csv", rows()[3:7])
    write(tmp_path / "dev.csv", rows()[:2])
    write(tmp_path / "README.md", ["about"])
    data = load_data(f"sentences:{tmp_path}")
    assert (len(data.train), len(data.test)) == (10, 4)
    reasons = {each.reason for each in data.reading.skipped}
    assert "beside tables" in reasons
    assert any("validation" in reason for reason in reasons)
    one = load_data(f"sentences:{tmp_path / 'train.csv'}")
    assert any("not read: dev.csv, test.csv beside it" in note for note in one.notes)


@pytest.mark.parametrize("split", [False, True])
def test_folders_of_classes(tmp_path: Path, split: bool) -> None:
    for part in ("train", "test") if split else ("",):
        for label, texts in (("pos", GOOD), ("neg", BAD)):
            for number, text in enumerate(texts):
                write(tmp_path / part / label / f"{number}.txt", [text])
        write(tmp_path / part / "pos" / "notes.pdf", ["x"])
        write(tmp_path / part / "README.txt", ["x"])
    data = load_data(f"sentences:{tmp_path}")
    assert data.classes == ("neg", "pos")
    assert (len(data.train), len(data.test)) == ((10, 10) if split else (8, 2))
    counts = Counter[str]()
    for each in data.reading.skipped:
        counts[each.reason] += each.count
    assert counts["not .txt"] == (2 if split else 1)
    assert counts["beside folders of classes"] == (2 if split else 1)


def test_a_file_per_class(tmp_path: Path) -> None:
    write(tmp_path / "pos.txt", [*GOOD, "", "  "])
    write(tmp_path / "neg.txt", BAD)
    data = load_data(f"sentences:{tmp_path}")
    assert data.classes == ("neg", "pos")
    assert len(data.train) + len(data.test) == 10


@pytest.mark.parametrize("beside", [[], ["labels.txt"]])
def test_files_that_are_named_as_splits_are_no_classes(tmp_path: Path, beside: list[str]) -> None:
    for name in ("train.txt", "test.txt", *beside):
        write(tmp_path / name, GOOD)
    names = ", ".join(sorted(["train.txt", "test.txt", *beside]))
    with pytest.raises(DataError, match=f"{names} say splits, not classes; allowed: tables"):
        load_data(f"sentences:{tmp_path}")
    # Vehicles, one of which is also a word of splits.
    (tmp_path / "test.txt").rename(tmp_path / "bus.txt")
    assert "train" in load_data(f"sentences:{tmp_path}").classes


def test_tokens_vocabulary_and_length(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", ["text,label", *['"Be good, be!",1', "bb bb bb bb,0"] * 4])
    data = load_data(f"sentences:length=3,vocabulary=4:{path}")
    assert len(data.vocabulary) == 4
    # `bb` is the most frequent of the train split, and `be` comes next; the rest is unknown.
    assert data.vocabulary == (*SPECIAL, "bb", "be")
    kept = {tuple(row.tolist()) for row in torch.cat([data.train.images, data.test.images])}
    assert kept == {(2, 2, 2), (3, 1, 1)}
    assert any("cut: 8 of 8 sentences have more than 3" in note for note in data.notes)
    letters = load_data(f"sentences:tokens=characters,length=30:{path}")
    assert "B" in letters.vocabulary
    assert int(letters.train.images[:, -1].max()) == 0


def test_labels_that_are_numbers_are_in_their_order(tmp_path: Path) -> None:
    lines = [f"word{n} again,{n % 12}" for n in range(60)]
    data = load_data(f"sentences:{write(tmp_path / 't.csv', ['text,label', *lines])}")
    assert data.classes == tuple(map(str, range(12)))


def test_a_limit_keeps_every_class() -> None:
    data = load_data("sentences", limit=60)
    assert len(data.train) == 60
    assert len(set(data.train.labels.tolist())) == len(data.classes)
    again = load_data(data, limit=30)
    assert len(again.train) == 30
    assert again.vocabulary == data.vocabulary


def test_doubts_speak_of_sentences(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", rows())
    write(tmp_path / "test.csv", rows()[3:7])
    data = load_data(f"sentences:{tmp_path}")
    assert "4 of 4 test sentences are training sentences, too" in data.notes


def test_batches_are_the_numbers_of_tokens() -> None:
    data = load_data("sentences:length=12", limit=60)
    norm = Normaliser.from_examples(data.train)
    batches = Batches(data.train, 16, 0, "cpu", norm)
    given_, labels = batches.batch(3)
    assert given_.dtype == torch.int64
    assert given_.shape == (16, 12)
    again = Batches.unpacked(*batches.packed())
    assert torch.equal(again.batch(3)[0], given_)
    whole = torch.cat([inputs for inputs, _ in batches.evaluation_batches()])
    assert torch.equal(whole, data.train.images.long())
    assert len(labels) == 16


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "is empty"),
        (["text,label"], "a header and no rows"),
        (["one,two", "three"], "rows of different lengths"),
        (["a,b,c", "d,e,f"], "which column is the text"),
        (["a b,x", "c d,y"], "neither is the label"),
        (["utterance,intent_name", *rows()], "may be a header"),
        (["text,label", "hello,", "there,x"], "1 of 2 rows have no label in label"),
        (["text,label", "one,x", "two,x"], "the number of classes is 1"),
    ],
)
def test_a_table_that_is_not_clear_is_refused(
    tmp_path: Path, lines: list[str], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_data(f"sentences:{write(tmp_path / 't.csv', lines)}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("sentences:", "names no path"),
        ("sentences:length=x", "whole number"),
        ("sentences:length=0", "out of bounds"),
        ("sentences:vocabulary=2", "out of bounds; allowed: 3"),
        ("sentences:tokens=letters", "characters"),
        ("sentences:lenght=3", "unknown option 'lenght'.*length"),
        ("sentences:length=3,length=4", "twice"),
        ("sentences:text=a", "names columns; allowed: of a file"),
        ("sentences:/no/such/place", "no such file"),
        ("sentences:/dev/null", "no table"),
    ],
)
def test_a_source_that_is_wrong_is_refused(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_data(source)
    assert "\n" not in str(caught.value)


def test_test_labels_that_training_lacks_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", rows())
    write(tmp_path / "test.csv", [*rows()[3:7], "odd,strange", "odder,strange"])
    with pytest.raises(DataError, match="no training sentence has: 'strange'"):
        load_data(f"sentences:{tmp_path}")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_a_word_is_refused(tmp_path: Path, split: str) -> None:
    for name in ("train", "test"):
        write(tmp_path / f"{name}.csv", ["text,label", "  ,a", ",b"] if name == split else rows())
    with pytest.raises(DataError, match=f"none of the 2 {split} texts has a token; allowed"):
        load_data(f"sentences:{tmp_path}")


def test_splits_that_are_not_clear_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "first.csv", rows())
    write(tmp_path / "second.csv", rows())
    with pytest.raises(DataError, match=r"first.csv: of no split, second.csv: of no split"):
        load_data(f"sentences:{tmp_path}")


def test_settings_of_images_are_refused() -> None:
    with pytest.raises(DataError, match="resolution 8, of images"):
        load_data("sentences", resolution=8)
    with pytest.raises(DataError, match="aspect pad, of images"):
        load_data("sentences", aspect="pad")


@given(st.text(max_size=40))
@settings(max_examples=80)
def test_the_words_of_a_source_are_parsed_or_refused(text: str) -> None:
    try:
        found = parse_source(f"sentences:{text}")
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert parse_source(found.text) == found


@given(st.binary(max_size=200), st.sampled_from(["t.csv", "t.tsv"]))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path: Path, raw: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    try:
        data = load_data(f"sentences:length=5:{path}")
    except DataError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert len(data.classes) >= 2


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=12)


@given(st.lists(st.tuples(FIELD, st.sampled_from(["x", "y"])), min_size=6, max_size=20))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_csv_writes_is_read_as_it_was(tmp_path: Path, pairs: list[tuple[str, str]]) -> None:
    import csv
    import re

    path = tmp_path / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *pairs])
    wanted = [re.findall(r"\w+|[^\w\s]", text.lower())[:9] for text, _ in pairs]
    try:
        data = load_data(f"sentences:length=9,vocabulary=1000:{path}")
    except DataError:
        kept = [label for (_, label), tokens in zip(pairs, wanted, strict=True) if tokens]
        assert len(set(kept)) < 2 or len(kept) < 6  # too little to divide
        return
    both = torch.cat([data.train.images, data.test.images])
    lengths = sorted(int((row > 0).sum()) for row in both)
    assert lengths == sorted(len(tokens) for tokens in wanted if tokens)


@pytest.mark.parametrize("last", ["test", "validation", "dev"])
def test_a_column_says_the_split_of_every_row(tmp_path: Path, last: str) -> None:
    lines = [
        f"{number},{row},{'Train' if number % 5 else last}" for number, row in enumerate(rows())
    ]
    path = write(tmp_path / "a.csv", ["id,text,label,split", *lines])
    data = load_data(f"sentences:{path}")
    assert (len(data.train), len(data.test)) == (8, 2)
    said = "\n".join(lines_of(data))
    assert "label is label, split is split; not read: id" in said
    assert ("validation in split is the test split" in said) == (last != "test")
    # In a folder with nothing else, too.
    assert load_data(f"sentences:{tmp_path}").digest == data.digest


def test_beside_tables_of_splits_a_column_of_splits_is_not_read(tmp_path: Path) -> None:
    lines = [f"{row},{'train' if number % 5 else 'test'}" for number, row in enumerate(rows())]
    for name in ("train", "test"):
        write(tmp_path / f"{name}.csv", ["text,label,split", *lines])
    data = load_data(f"sentences:{tmp_path}")
    assert (len(data.train), len(data.test)) == (10, 10)
    said = "\n".join(lines_of(data))
    assert "label is label; not read: split" in said
    assert "split is split" not in said


def test_rows_of_validation_are_skipped_beside_a_test_split(tmp_path: Path) -> None:
    splits = ["train"] * 3 + ["val", "test"]
    lines = [f"{row},{splits[number % 5]}" for number, row in enumerate(rows())]
    data = load_data(f"sentences:{write(tmp_path / 'a.csv', ['text,label,Set', *lines])}")
    assert (len(data.train), len(data.test)) == (6, 2)
    assert "skipped: 2 (rows of validation in Set" in "\n".join(lines_of(data))


def test_a_column_of_other_values_says_no_split_and_is_named(tmp_path: Path) -> None:
    lines = [f"{row},{number % 3}" for number, row in enumerate(rows())]
    data = load_data(f"sentences:{write(tmp_path / 'a.csv', ['text,label,split', *lines])}")
    said = "\n".join(lines_of(data))
    assert "label is label; not read: split" in said
    assert "no test split: 2 of 10 sentences are held out" in said


@pytest.mark.parametrize("wrong", ["tets", ""])
def test_a_column_of_splits_with_another_value_is_refused(tmp_path: Path, wrong: str) -> None:
    """Otherwise one slip would send the test sentences into training."""
    splits = ["train"] * 3 + ["test"] * 2
    lines = [f"{row},{splits[number % 5]}" for number, row in enumerate(rows())]
    lines[-1] = f"{lines[-1].rpartition(',')[0]},{wrong}"
    path = write(tmp_path / "a.csv", ["text,label,split", *lines])
    problem = f"split is '{wrong}' in some rows and names a split in others; allowed: train,"
    with pytest.raises(DataError, match=problem):
        load_data(f"sentences:{path}")


def test_one_column_is_said_to_be_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", ["text", "good", "bad"])
    with pytest.raises(DataError, match=r"has one column, the first row is 'text'; allowed: two"):
        load_data(f"sentences:{path}")


@pytest.mark.parametrize("line", ['"wow {n},neg', 'wow {n},"neg'])
@pytest.mark.parametrize("every", [1, 25, 100])
def test_a_quote_that_is_not_closed_swallows_no_rows(tmp_path: Path, line: str, every: int) -> None:
    lines = [(line if n % every == 0 else "fine {n},pos").format(n=n) for n in range(100)]
    with pytest.raises(DataError, match=r"a\.csv: .*(quotes are closed|rows of different lengths)"):
        load_data(f"sentences:{write(tmp_path / 'a.csv', ['text,label', *lines])}")


def test_quotes_around_lines_and_around_single_words_are_read(tmp_path: Path) -> None:
    several = [f'"first {n}\nsecond, ""third""";{n % 2}' for n in range(20)]
    data = load_data(f"sentences:{write(tmp_path / 'a.csv', ['text;label', *several])}")
    assert len(data.train) + len(data.test) == 20
    assert {"first", "second", "third"} < {*data.vocabulary}
    single = [f'"wow" it is {n},{n % 2}' for n in range(20)]
    data = load_data(f"sentences:{write(tmp_path / 'b.csv', ['text,label', *single])}")
    assert len(data.train) + len(data.test) == 20
