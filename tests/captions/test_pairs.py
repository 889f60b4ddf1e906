"""A user's own captions: the forms that people have, splits, what is skipped, and hostile files."""

import json
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from autospace.captions.corpus import CaptionData, load_captions, words
from autospace.captions.pairs import read_pairs
from autospace.data.errors import DataError
from autospace.data.request import Request

NAMES = [f"{index}.png" for index in range(12)]


def _images(folder: Path, names: Sequence[str] = NAMES) -> Path:
    for index, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (6, 6), (20 * index % 256, 9, 9)).save(folder / name)
    return folder


def _coco(names: Sequence[str], first: int = 0) -> str:
    images = [{"id": first + i, "file_name": name} for i, name in enumerate(names)]
    notes = [
        {"id": 9 * i + k, "image_id": first + i, "caption": f"Number {name[:-4]} {k}."}
        for i, name in enumerate(names)
        for k in range(2)
    ]
    return json.dumps({"images": images, "annotations": notes})


FORMS = {
    "captions.csv": "image,caption\n" + "".join(f'{n},"A dog, no {n[:-4]}."\n' for n in NAMES),
    "plain.csv": "image,caption\n" + "".join(f"{n},A dog, no {n[:-4]}.\n" for n in NAMES),
    "captions.tsv": "caption\tfile_name\n" + "".join(f"A dog {n[:-4]}\t{n}\n" for n in NAMES),
    "results.csv": "image_name| comment_number| comment\n"
    + "".join(f'{n}| 0| A "dog {n[:-4]}\n' for n in NAMES),
    "token.txt": "".join(f"{n}#{k}\tA dog {k} .\n" for n in NAMES for k in range(2)),
    "bare.txt": "".join(f"{n},a dog, {n[:-4]}\n" for n in NAMES),
    "metadata.jsonl": "".join(json.dumps({"file_name": n, "text": "a dog"}) + "\n" for n in NAMES),
    "coco.json": _coco(NAMES),
    "karpathy.json": json.dumps(
        {"images": [{"filename": n, "split": "train" if i < 9 else "val" if i < 10 else "test",
                     "sentences": [{"raw": "a dog"}]} for i, n in enumerate(NAMES)]}
    ),
    "plain.json": json.dumps({n: ["a dog", "two dogs"] for n in NAMES}),
    "list.json": json.dumps([{"image": n, "caption": "a dog"} for n in NAMES]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("named", [True, False])
def test_every_form_gives_all_pairs(name: str, named: bool, tmp_path: Path) -> None:
    _images(tmp_path)
    (tmp_path / name).write_text(FORMS[name])
    found = read_pairs(tmp_path / name if named else tmp_path)
    assert [Path(pair.file.path).name for pair in found.pairs] == NAMES
    assert not found.skipped
    assert all("dog" in said or "Number" in said for pair in found.pairs for said in pair.captions)
    data = load_captions(f"captions:{tmp_path}", Request())
    assert sum(map(len, data.splits.values())) == 12
    if name == "token.txt":
        assert int(data.train.counts.min()) == 2


def test_commas_in_a_last_column_belong_to_the_caption(tmp_path: Path) -> None:
    _images(tmp_path)
    for name in ("captions.csv", "plain.csv"):
        (tmp_path / name).write_text(FORMS[name])
        assert read_pairs(tmp_path / name).pairs[3].captions == ("A dog, no 3.",)


def test_what_stands_behind_a_caption_is_no_part_of_it(tmp_path: Path) -> None:
    _images(tmp_path)
    for header, more in (("image,caption,source", "flickr"), ("image,caption,", ""),
                         ("image,caption", ""), ("image,caption,source", "flickr,,")):  # fmt: skip
        rows = [f"{name},a dog no {name[:-4]},{more}\n" for name in NAMES]
        (tmp_path / "c.csv").write_text(f"{header}\n{''.join(rows)}")
        found = load(tmp_path)
        assert {"flickr", "source"}.isdisjoint(found.vocabulary)
        assert found.length == 5
    quoted = [f'{name},"a dog, black",train\n' for name in NAMES]
    (tmp_path / "c.csv").write_text("image,caption,split\n" + "".join(quoted))
    assert {pair.captions for pair in read_pairs(tmp_path).pairs} == {("a dog, black",)}


@pytest.mark.parametrize("header", ["image,caption,split", "image,caption_1,caption_2"])
def test_a_row_of_more_fields_than_the_header_is_refused(header: str, tmp_path: Path) -> None:
    _images(tmp_path)
    (tmp_path / "c.csv").write_text(f"{header}\n0.png,a dog,train\n1.png,a dog, black,train\n")
    with pytest.raises(DataError, match=r"c\.csv: line 3 has 4 fields; allowed: 3, as the header"):
        read_pairs(tmp_path)


def test_words_keep_their_marks_and_do_not_depend_on_how_these_are_written() -> None:
    spoken = "एक कुत्ता दौड़ता है।"
    assert words(spoken) == ("एक", "कुत्ता", unicodedata.normalize("NFC", "दौड़ता"), "है")
    for caption in (spoken, "Ein Kätzchen, über Å", "ὈΔΥΣΣΕΎΣ ΐ", "İzmir'de"):
        forms = {words(unicodedata.normalize(form, caption)) for form in ("NFC", "NFD")}
        assert len(forms) == 1
        assert len(forms.pop()) == len(caption.split())
    # A mark alone, or one on a sign, is no word.
    assert words("a \u0301 red\N{HEAVY BLACK HEART}\ufe0f dog-house, it's 2_0") == (
        "a", "red", "dog-house", "it's", "2", "0",
    )  # fmt: skip


def test_splits_by_lists_columns_and_files(tmp_path: Path) -> None:
    lists = _images(tmp_path / "lists")
    (lists / "f.token.txt").write_text(FORMS["token.txt"])
    for role, names in (("train", NAMES[:8]), ("dev", NAMES[8:10]), ("test", NAMES[10:])):
        (lists / f"F_8k.{role}Images.txt").write_text("\n".join(names))
    column = _images(tmp_path / "column")
    rows = [f"{n},a dog,{'train' if i < 8 else 'val' if i < 10 else 'test'}\n"
            for i, n in enumerate(NAMES)]  # fmt: skip
    (column / "c.csv").write_text("image,caption,split\n" + "".join(rows))
    files = _images(tmp_path / "files")
    (files / "annotations").mkdir()
    (files / "annotations/captions_train2014.json").write_text(_coco(NAMES[:8]))
    (files / "annotations/captions_val2014.json").write_text(_coco(NAMES[8:10]))
    (files / "annotations/captions_test2014.json").write_text(_coco(NAMES[10:], 3))
    for folder in (lists, column, files):
        found = load_captions(f"captions:{folder}", Request())
        assert [len(split) for split in found.splits.values()] == [8, 2, 2]
        assert "divided by what names their splits" in found.lines[0]


def test_images_without_a_split_are_divided_by_position(tmp_path: Path) -> None:
    _images(tmp_path, [f"{i:02d}.png" for i in range(30)])
    text = "image,caption\n" + "".join(f"{i:02d}.png,word{i}\n" for i in range(30))
    (tmp_path / "c.csv").write_text(text)
    found = load_captions(f"captions:{tmp_path}", Request())
    assert [len(split) for split in found.splits.values()] == [24, 3, 3]
    # The vocabulary is of the train split; words of the others are unknown, and counted.
    assert found.vocabulary[4:] == tuple(sorted(f"word{i}" for i in range(24)))
    assert (found.validation.unknown, found.test.unknown) == (3, 3)


def test_what_is_skipped_is_counted_with_its_reason(tmp_path: Path) -> None:
    _images(tmp_path, [*NAMES, "alone.png"])
    (tmp_path / "0.png").write_bytes(b"no image")
    long = " ".join(["dog"] * 31)
    more = f"gone.png,a dog\n1.png,\n2.png,{long}\n3.png,!!\n4.png\n"
    (tmp_path / "c.csv").write_text(FORMS["plain.csv"] + more)
    (tmp_path / "notes.txt").write_text("nothing of interest\n")
    found = load_captions(f"captions:{tmp_path}", Request())
    reasons = {each.reason.split(" (")[0]: each.count for each in found.skipped}
    assert reasons == {
        "files without captions": 1,
        "captions of images that are not there": 1,
        "empty captions": 1,
        "captions of more than 30 words": 1,
        "captions without a word": 1,
        "rows with too few fields": 1,
        "images without captions": 1,
        "unreadable images": 1,
    }
    text = "\n".join(found.lines)
    assert "skipped: 1 captions of images that are not there: gone.png" in text


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({}, "no captions, and no file that may hold any; allowed: a table"),
        ({"a.txt": "hello\n"}, "no captions, but a.txt"),
        ({"a.csv": FORMS["plain.csv"], "b.csv": FORMS["plain.csv"]}, "several files hold captions"),
        ({"a.csv": "image,caption\nx.png,a dog\n"}, "captions are of x.png, but .* holds 0.png"),
        ({"a.csv": 'image,caption\n0.png,"a dog\n1.png,a cat\n'}, "a quote may not be closed"),
        (
            {"a.csv": "image,caption\n0.png,a dog\n" + "gone.png,a cat\n" * 9},
            "1 images with captions, too few; captions of images that are not there: 9; ",
        ),
        (
            {"a.csv": f"image,caption\n0.png,a dog\n1.png,{'a ' * 50}\n"},
            "1 images with captions, too few; .*captions of more than 30 words: 1",
        ),
        ({"a.csv": "image,caption,split\n0.png,a,train\n0.png,b,test\n"}, "is train and test"),
        ({"a.json": "{"}, r"no captions, but a.json \(files that are not JSON: 1\)"),
        ({"a.json": "[1, 2]"}, r"a.json \(entries without image and caption: 2\)"),
        ({"a.json": '{"0.png": [1, null]}'}, r"no caption can be used \(empty captions: 2; "),
        ({"a.json": "[" * 100_000}, "no captions, but a.json"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    files: dict[str, str], problem: str, tmp_path: Path
) -> None:
    _images(tmp_path)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=problem) as found:
        load_captions(f"captions:{tmp_path}", Request())
    assert "\n" not in str(found.value)


def test_test_images_that_are_training_images_are_told(tmp_path: Path) -> None:
    _images(tmp_path, [f"{i:02d}.png" for i in range(30)])
    rows = [f"{i:02d}.png,word{i}\n" for i in range(30)]
    (tmp_path / "c.csv").write_text("image,caption\n" + "".join(rows))
    assert not any("training images" in note for note in load(tmp_path).notes)
    # By position, the last three are for test: the first ones of the train split.
    for place in range(3):
        shutil.copy(tmp_path / f"{place:02d}.png", tmp_path / f"{27 + place}.png")
    assert "3 of 3 test images are training images, too" in load(tmp_path).notes


def test_captions_that_are_all_the_same_are_told(tmp_path: Path) -> None:
    _images(tmp_path)
    texts = ["A dog.", "a dog"] * 6
    for changed, told in ((None, True), (3, False)):
        if changed is not None:
            texts[changed] = "a cat"
        rows = [f"{name},{text}\n" for name, text in zip(NAMES, texts, strict=True)]
        (tmp_path / "c.csv").write_text("image,caption\n" + "".join(rows))
        notes = [note for note in load(tmp_path).notes if 'the same caption, "a dog"' in note]
        assert bool(notes) is told


def load(folder: Path) -> CaptionData:
    """All splits of a folder."""
    return load_captions(f"captions:{folder}", Request())


def test_paths_that_hold_nothing_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path / "x.csv"):
        with pytest.raises(DataError, match="no such file or folder"):
            read_pairs(path)
    (tmp_path / "x.md").write_text("a")
    with pytest.raises(DataError, match=r"\.md; allowed: \.csv"):
        read_pairs(tmp_path / "x.md")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(NAMES),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["images", "annotations", "id", "image_id", "file_name", "caption",
                         "sentences", "raw", "split", "filename", "filepath", *NAMES[:2]]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    suffix=st.sampled_from([".csv", ".tsv", ".txt", ".jsonl", ".json"]),
    text=st.text(max_size=80),
    value=_JSON,
)
def test_any_file_is_read_or_refused_in_one_line(
    suffix: str, text: str, value: object, tmp_path: Path
) -> None:
    if not (tmp_path / "0.png").exists():
        _images(tmp_path)
    starts = ("image,caption\n", "0.png\t", "")
    for content in (*(start + text for start in starts), json.dumps(value)):
        path = tmp_path / f"given{suffix}"
        path.write_text(content.encode("utf-8", "replace").decode(), encoding="utf-8")
        found = _tried(path)
        assert found is None or "\n" not in found


def _tried(path: Path) -> str | None:
    """The error of reading a file; None if it is read, and holds a pair."""
    try:
        assert read_pairs(path).pairs
    except DataError as error:
        return str(error)
    return None


def test_names_that_several_images_have_are_told(tmp_path: Path) -> None:
    for below in ("one", "two"):
        _images(tmp_path / below)
    (tmp_path / "a.csv").write_text(FORMS["plain.csv"])
    with pytest.raises(DataError, match="captions of a name that several images have: 12"):
        load_captions(f"captions:{tmp_path}", Request())
