"""Tar archives of WebDataset: what is read, what is counted, and what is refused."""

import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from autospace.data.errors import DataError
from autospace.data.load import load_data
from autospace.data.readers.shards import expanded, matching

Files = Mapping[str, bytes]


def png(shade: int, size: int = 6) -> bytes:
    """A square image whose pixels all have one value."""
    stream = io.BytesIO()
    Image.new("RGB", (size, size), (shade, shade, shade)).save(stream, "png")
    return stream.getvalue()


def shard(path: Path, files: Files) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, raw in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return path


def samples(labels: Sequence[object], first: int = 0) -> dict[str, bytes]:
    """Images whose shade is their number, with these labels."""
    files = {}
    for number, label in enumerate(labels, first):
        files[f"{number:06d}.png"] = png(number)
        files[f"{number:06d}.cls"] = str(label).encode()
    return files


def shades(images: torch.Tensor) -> list[int]:
    assert bool((images == images[:, :1, :1, :1]).all())
    return [int(each) for each in images[:, 0, 0, 0]]


def test_shards_are_read_in_order_with_their_labels(tmp_path: Path) -> None:
    shard(tmp_path / "train-000.tar", samples([0, 1, 0]))
    shard(tmp_path / "train-001.tar", samples([1, 10, 0], 3))
    shard(tmp_path / "test-000.tar", samples([10, 1, 0], 50))
    for pattern in ("{train-000,train-001,test-000}.tar", "*.tar", ""):
        data = load_data(f"shards:{tmp_path}/{pattern}")
        assert data.classes == ("0", "1", "10")
        assert data.train.labels.tolist() == [0, 1, 0, 1, 2, 0]
        assert shades(data.train.images) == [0, 1, 2, 3, 4, 5]
        assert data.test.labels.tolist() == [2, 1, 0]
        assert shades(data.test.images) == [50, 51, 52]


def test_they_are_what_a_folder_of_the_same_images_is(tmp_path: Path) -> None:
    labels = ["cat", "dog"] * 10
    shard(tmp_path / "pets.tar", samples(labels))
    for number, label in enumerate(labels):
        image = tmp_path / f"pets/{label}/{number:06d}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(png(number))
    folder, tar = load_data(f"folder:{tmp_path}/pets"), load_data(f"shards:{tmp_path}/pets.tar")
    assert tar.classes == folder.classes == ("cat", "dog")
    assert sorted(shades(tar.train.images)) != sorted(shades(tar.test.images))
    assert tar.reading.train == folder.reading.train == (8, 8)
    assert "no test shards: 4 of 20 images are held out" in tar.notes


def test_classes_are_in_the_order_of_numbers_if_all_are_numbers(tmp_path: Path) -> None:
    for name, labels, classes in (
        ("numbers", [10, 2, 0, 2, 10, 0], ("0", "2", "10")),
        ("names", [10, 2, "b", 2, 10, "b"], ("10", "2", "b")),
    ):
        path = shard(tmp_path / f"{name}.tar", samples(labels))
        assert load_data(f"shards:{path}").classes == classes


def test_a_limit_goes_for_both_splits(tmp_path: Path) -> None:
    shard(tmp_path / "train.tar", samples([0, 1] * 6))
    shard(tmp_path / "test.tar", samples([0, 1] * 5, 50))
    data = load_data(f"shards:{tmp_path}", limit=4)
    assert (data.reading.train, data.reading.test) == ((2, 2), (2, 2))


def test_labels_may_be_in_json_and_names_in_folders(tmp_path: Path) -> None:
    files = {}
    for number in range(4):
        files[f"a/b/{number}.seg.jpg.png"] = png(number)
        files[f"a/b/{number}.JSON"] = json.dumps({"id": 9, "label": f"k{number % 2}"}).encode()
    shard(tmp_path / "x.tar", files)
    data = load_data(f"shards:{tmp_path}/x.tar")
    assert data.classes == ("k0", "k1")


def test_what_is_incomplete_is_counted(tmp_path: Path) -> None:
    files = samples([0, 1] * 5) | {
        "no_label.png": png(1),
        "empty_label.png": png(1),
        "empty_label.cls": b" ",
        "steered.png": png(2),
        "steered.cls": b"a\x1b[2Jb",
        "long.png": png(3),
        "long.cls": b"a" * 201,
        "no_image.cls": b"1",
        "__pycache__/.hidden": b"",
    }
    shard(tmp_path / "train.tar", files)
    shard(tmp_path / "extra-test.tar", samples([0, 1], 30))
    shard(tmp_path / "val.tar", samples([0, 1], 40))
    data = load_data(f"shards:{tmp_path}")
    assert len(data.train) == 10
    assert {each.reason: each.count for each in data.reading.skipped} == {
        "samples without a label (.cls)": 4,
        "samples without an image": 1,
    }
    assert "not read: val.tar" in data.notes
    assert any("train.tar/no_image" in note for note in data.notes)


def test_a_validation_shard_is_the_test_split_if_there_is_no_other(tmp_path: Path) -> None:
    shard(tmp_path / "train.tar", samples([0, 1] * 3))
    shard(tmp_path / "val.tar", samples([0, 1], 40))
    data = load_data(f"shards:{tmp_path}")
    assert shades(data.test.images) == [40, 41]
    assert "val.tar: the test split" in data.notes


def test_a_validation_shard_is_the_test_split_if_no_test_image_has_a_label(tmp_path: Path) -> None:
    shard(tmp_path / "train.tar", samples([0, 1] * 3))
    shard(tmp_path / "test.tar", {f"{number}.png": png(number) for number in range(20, 24)})
    alone = load_data(f"shards:{tmp_path}")
    assert len(alone.train) + len(alone.test) == 6
    assert "test.tar: no labels" in alone.notes
    assert "no labelled test shards: 2 of 6 images are held out" in alone.notes
    shard(tmp_path / "val.tar", samples([0, 1], 40))
    data = load_data(f"shards:{tmp_path}")
    assert len(data.train) == 6
    assert shades(data.test.images) == [40, 41]
    assert "val.tar: the test split" in data.notes
    assert not any("held out" in note for note in data.notes)


@pytest.mark.parametrize(
    ("names", "train", "test", "note"),
    [
        # The shards of training and those of the test, by their place in `names`.
        (["train/0.tar", "train/1.tar", "val/0.tar"], [0, 1], [2], "val/0.tar: the test split"),
        (["train/0.tar", "test/0.tar", "val/0.tar"], [0], [1], "not read: val/0.tar"),
        (["Training/a/0.tar", "Training/b/0.tar", "test_set/a/0.tar"], [0, 1], [2], ""),
        # The nearest folder that names a split.
        (["test/train/0.tar", "test/dev/0.tar"], [0], [1], "dev/0.tar: the test split"),
        (["a/train/x/0.tar", "train/test/x/0.tar"], [0], [1], ""),
        # As among names, what names no split is not read beside what does.
        (["train/0.tar", "test/0.tar", "more/0.tar"], [0], [1], "not read: more/0.tar"),
        # A name that says its split comes before every folder.
        (["val/train-0.tar", "train/test-0.tar"], [0], [1], ""),
        (["a/train.tar", "test/x.tar"], [0], [], "not read: test/x.tar"),
    ],
)
def test_folders_say_the_split_if_no_name_does(
    tmp_path: Path, names: list[str], train: list[int], test: list[int], note: str
) -> None:
    for place, name in enumerate(names):
        shard(tmp_path / "d" / name, samples([0, 1] * 5, 10 * place))
    data = load_data(f"shards:{tmp_path}/d/{{{','.join(names)}}}")
    wanted = [
        [shade for place in places for shade in range(10 * place, 10 * place + 10)]
        for places in (train, test)
    ]
    found = [sorted(shades(split.images)) for split in (data.train, data.test)]
    if test:
        assert found == wanted
    else:  # a fifth is held out
        assert sorted(found[0] + found[1]) == wanted[0]
    assert not note or note in data.notes


@pytest.mark.parametrize("names", [["0.tar", "1.tar"], ["a/0.tar", "b/0.tar"]])
def test_a_folder_that_holds_all_shards_says_nothing(tmp_path: Path, names: list[str]) -> None:
    for place, name in enumerate(names):
        shard(tmp_path / "test" / name, samples([0, 1] * 5, 10 * place))
    data = load_data(f"shards:{tmp_path}/test/{{{','.join(names)}}}")
    assert sorted(shades(data.train.images) + shades(data.test.images)) == list(range(20))
    assert "no test shards: 4 of 20 images are held out" in data.notes


def test_folders_say_the_split_from_where_one_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, name in enumerate(("train/00000.tar", "val/00000.tar")):
        shard(tmp_path / name, samples([0, 1], 10 * place))
    (tmp_path / "test").mkdir()
    for folder, pattern in ((".", "{train,val}/*.tar"), ("test", "../*/00000.tar")):
        monkeypatch.chdir(tmp_path / folder)
        data = load_data(f"shards:{pattern}")
        assert shades(data.train.images) == [0, 1]
        assert shades(data.test.images) == [10, 11]


def test_folders_without_training_shards_are_refused(tmp_path: Path) -> None:
    for name in ("val/0.tar", "test/0.tar"):
        shard(tmp_path / name, samples([0, 1]))
    problem = (
        r"no shard is named as training \(test/0\.tar, val/0\.tar\); allowed: .*train/000\.tar"
    )
    with pytest.raises(DataError, match=problem):
        load_data(f"shards:{tmp_path}/{{val,test}}/*.tar")


def test_damaged_images_have_their_reason(tmp_path: Path) -> None:
    files = samples([0, 1] * 5)
    files["000003.png"] = b""
    files["000004.png"] = png(4)[:-30]
    shard(tmp_path / "x.tar", files)
    data = load_data(f"shards:{tmp_path}/x.tar")
    reasons = {each.reason for each in data.reading.skipped}
    assert reasons == {"unreadable: empty", "unreadable: truncated"}


def test_a_cache_is_used_and_depends_on_the_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shard(tmp_path / "x.tar", samples([0, 1] * 5))
    first = load_data(f"shards:{path}", cache=tmp_path / "cache")
    changed = samples([0, 1] * 5)
    changed["000000.png"] = png(200)
    shard(path, changed)
    second = load_data(f"shards:{path}", cache=tmp_path / "cache")
    assert first.digest != second.digest
    # Of the same sizes, and told apart by the time of the shard alone.
    changed["000000.png"] = png(201)
    size = path.stat().st_size
    shard(path, changed)
    assert (path.stat().st_size, len(png(200))) == (size, len(png(201)))
    os.utime(path, ns=(1, 1))
    third = load_data(f"shards:{path}", cache=tmp_path / "cache")
    assert third.digest not in (first.digest, second.digest)
    monkeypatch.setattr("autospace.data.readers.image_folder._decode", None)
    assert load_data(f"shards:{path}", cache=tmp_path / "cache").digest == third.digest


@pytest.mark.parametrize(
    ("names", "labels", "problem"),
    [
        (["x.tar"], [0, 0], "has one class"),
        (["train.tar", "test.tar"], None, "different classes: 2"),
        (["test.tar"], [0, 1], "no shard is named as training"),
        (["test.tar", "x.tar"], [0, 1], "no shard is named as training"),
    ],
)
def test_what_makes_no_data_set_is_an_error(
    tmp_path: Path, names: list[str], labels: list[int] | None, problem: str
) -> None:
    for place, name in enumerate(names):
        shard(tmp_path / name, samples(labels or [[0, 1, 2], [0, 1]][place]))
    with pytest.raises(DataError, match=problem):
        load_data(f"shards:{tmp_path}")


def test_archives_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", samples([0, 1] * 9))
    raw = path.read_bytes()
    for name, text in (("gz", gzip.compress(raw)), ("text", b"hello" * 200)):
        path.write_bytes(text)
        with pytest.raises(DataError, match=r"x\.tar: cannot be read as a tar.*not compressed"):
            load_data(f"shards:{path}")
        assert name
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"none: no \.tar files"):
        load_data(f"shards:{tmp_path}/none")
    with pytest.raises(DataError, match=r"x-1\.tar, .*x-2\.tar: does not exist"):
        load_data(f"shards:{tmp_path}/x-{{1..2}}.tar")


def test_no_part_of_an_archive_is_lost_in_silence(tmp_path: Path) -> None:
    path = shard(tmp_path / "x.tar", samples([0, 1] * 9))
    raw = path.read_bytes()
    damaged = bytearray(raw)
    damaged[512 * 4 * 9] ^= 0xFF
    for text, problem in (
        (raw[: 512 * 4 * 9], "its end is missing"),
        (raw[: 512 * 4 * 9 + 100], "its end is missing"),
        (bytes(damaged), "a header is damaged"),
        (raw + raw, "something lies behind its end"),
    ):
        path.write_bytes(text)
        with pytest.raises(DataError, match=f"x.tar: cannot be read as a tar archive: {problem}"):
            load_data(f"shards:{path}")


@pytest.mark.parametrize(
    "headers",
    [{"size": "9" * 30}, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, {"size": "-512"}],
)
def test_headers_that_hold_nonsense_are_our_own_error(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, raw in samples([0, 1] * 3).items():
            member = tarfile.TarInfo(name)
            member.size = len(raw)
            member.pax_headers = headers if name == "000003.png" else {}
            archive.addfile(member, io.BytesIO(raw))
    with pytest.raises(DataError, match=r"x\.tar: "):
        load_data(f"shards:{tmp_path}")


def test_a_sample_whose_files_lie_apart_is_refused(tmp_path: Path) -> None:
    """As `tar cf x.tar *.png *.cls` puts them: all images and labels would be lost."""
    files = samples([0, 1] * 5)
    ordered = sorted(files, key=lambda name: name.rpartition(".")[2])
    shard(tmp_path / "x.tar", {name: files[name] for name in ordered})
    problem = r"x\.tar: files of 10 samples do not follow .*: x\.tar/000000, x\.tar/000001 and 8"
    with pytest.raises(DataError, match=problem):
        load_data(f"shards:{tmp_path}/x.tar")


def test_samples_of_two_shards_are_not_taken_for_one(tmp_path: Path) -> None:
    for place, alone in (("a", {"100.png": png(1)}), ("b", {"100.cls": b"0"})):
        (tmp_path / place).mkdir()
        shard(tmp_path / place / "0.tar", samples([0, 1] * 3) | alone)
    data = load_data(f"shards:{tmp_path}/{{a,b}}/0.tar")
    assert len(data.train) + len(data.test) == 12


def test_the_image_of_a_sample_is_that_with_the_shortest_suffix(tmp_path: Path) -> None:
    files = {}
    for number, label in enumerate([0, 1] * 5):
        files[f"{number}.depth.png"] = png(200)
        files[f"{number}.jpeg"] = png(150)
        files[f"{number}.png"] = png(number)
        files[f"{number}.cls"] = str(label).encode()
    shard(tmp_path / "x.tar", files | {"z.a.png": png(99), "z.cls": b"0"})
    data = load_data(f"shards:{tmp_path}/x.tar")
    found = shades(torch.cat([data.train.images, data.test.images]))
    assert sorted(found) == [*range(10), 99]
    assert "10 samples with several images: the one with the shortest suffix is read" in data.notes


def test_names_of_many_dots_show_what_was_taken_for_a_sample(tmp_path: Path) -> None:
    files = {f"v1.2_{name}": raw for name, raw in samples([0, 1] * 3).items()}
    shard(tmp_path / "x.tar", files)
    with pytest.raises(DataError, match=r"no labelled images; .*: 1 \(x\.tar/v1\)"):
        load_data(f"shards:{tmp_path}/x.tar")


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("1.png", "1.cls", "1.png"):
            archive.addfile(tarfile.TarInfo(name))
    with pytest.raises(DataError, match=r"x\.tar: 1\.png: is there twice; allowed"):
        load_data(f"shards:{tmp_path}")


def test_only_names_and_numbers_are_labels(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    labels = [{"cls": None, "label": "a"}, {"cls": "b"}, {"cls": None}, {"cls": [1]}, {"cls": {}}]
    for number, label in enumerate(labels * 3):
        files |= {f"{number}.png": png(number), f"{number}.json": json.dumps(label).encode()}
    files |= {"mark.png": png(99), "mark.cls": "a".encode("utf-8-sig")}
    shard(tmp_path / "x.tar", files)
    data = load_data(f"shards:{tmp_path}")
    assert data.classes == ("a", "b")
    assert len(data.train) + len(data.test) == 7
    assert [each.count for each in data.reading.skipped] == [9]


def test_a_folder_of_shards_leaves_out_what_a_system_adds(tmp_path: Path) -> None:
    shard(tmp_path / "a.TAR", samples([0, 1] * 3))
    (tmp_path / "._a.tar").write_bytes(b"Mac OS X")
    assert load_data(f"shards:{tmp_path}").classes == load_data(f"shards:{tmp_path}/a.TAR").classes


def test_no_folder_around_the_shards_is_told(tmp_path: Path) -> None:
    for place in (0, 1):
        files = samples([0, 1] * 5) | {"000004.png": b""}
        shard(tmp_path / f"{place}/train-{place}.tar", files)
    data = load_data(f"shards:{tmp_path}/*/{{train-0,train-1}}.tar")
    (skipped,) = data.reading.skipped
    assert sorted(skipped.examples) == ["0/train-0.tar/000004.png", "1/train-1.tar/000004.png"]


@given(st.binary(max_size=3000), st.integers(0, 20_000))
def test_any_damage_ends_in_our_own_error(noise: bytes, place: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = shard(Path(folder) / "x.tar", samples([0, 1] * 3))
        raw = bytearray(path.read_bytes())
        raw[place % len(raw) : place % len(raw) + len(noise)] = noise
        path.write_bytes(bytes(raw))
        with suppress(DataError):
            assert len(load_data(f"shards:{path}").train)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a", ["a"]),
        ("a{0..2}", ["a0", "a1", "a2"]),
        ("a{08..11}b", ["a08b", "a09b", "a10b", "a11b"]),
        ("{x,yy}-{1..2}", ["x-1", "x-2", "yy-1", "yy-2"]),
        ("{x-{1..2},y{a,b}}.tar", ["x-1.tar", "x-2.tar", "ya.tar", "yb.tar"]),
        ("a{b", ["a{b"]),
        ("x{abc}.tar", ["x{abc}.tar"]),
        ("x{a{0..1}}", ["x{a0}", "x{a1}"]),
        ("{}", ["{}"]),
        ("s-{a..c}", ["s-a", "s-b", "s-c"]),
        ("s-{C..A}", ["s-C", "s-B", "s-A"]),
        ("s-{3..1}", ["s-3", "s-2", "s-1"]),
        ("s-{0..4..2}", ["s-0", "s-2", "s-4"]),
        ("s-{5..0..2}", ["s-5", "s-3", "s-1"]),
        ("s-{9..11}", ["s-9", "s-10", "s-11"]),
        ("s-{1..03}", ["s-01", "s-02", "s-03"]),
        ("s-{0..2..0}", ["s-0", "s-1", "s-2"]),
    ],
)
def test_braces_stand_for_names_as_in_a_shell(pattern: str, names: list[str]) -> None:
    assert expanded(pattern) == names
    if bash := shutil.which("bash"):
        said = subprocess.run([bash, "-c", f"echo {pattern}"], capture_output=True, check=True)
        assert said.stdout.decode().split() == names


@pytest.mark.parametrize("name", ["x[1].tar", "y{a,b}.tar", "q?.tar", "*.tar"])
def test_a_name_that_is_there_means_itself(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "[2020] {a,b}?"
    shard(folder / name, samples([0, 1] * 3))
    for pattern in (folder / name, folder, folder / "*.tar", folder / "*{.tar,.tar}"):
        assert matching(str(pattern)) == [folder / name]
    data = load_data(f"shards:{folder}/{name}")
    assert len(data.train) + len(data.test) == 6


def test_a_pattern_stands_for_names_below_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a[1]/x-0.tar", "a[1]/x-1.tar", "b/x-0.tar", "b/x[1].tar"):
        shard(tmp_path / name, samples([0, 1]))
    wanted = {
        "{a[1],b}/x-0.tar": ["a[1]/x-0.tar", "b/x-0.tar"],
        "*/x-{0..0}.tar": ["a[1]/x-0.tar", "b/x-0.tar"],
        "b/{x-0,x[1]}.tar": ["b/x-0.tar", "b/x[1].tar"],
        "./a[1]/x-[1].tar": ["a[1]/x-1.tar"],
    }
    for pattern, names in wanted.items():
        assert matching(pattern) == [Path(name) for name in names]
        whole = str(tmp_path / pattern)
        assert matching(whole) == [tmp_path / name for name in names]


@pytest.mark.parametrize("pattern", ["a{0..100000}", "a{100000..0}", "{0..99999}{0..99999}"])
def test_too_many_names_are_refused(pattern: str) -> None:
    with pytest.raises(DataError, match="allowed"):
        expanded(pattern)


def test_shards_of_the_library_itself_are_read(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.ShardWriter(str(tmp_path / "train-%03d.tar"), maxcount=4, verbose=0) as sink:
        for number in range(10):
            image = Image.new("RGB", (6, 6), (number, number, number))
            sink.write({"__key__": f"s{number:03d}", "png": image, "cls": number % 2})
    data = load_data(f"shards:{tmp_path}/train-{{000..002}}.tar")
    assert data.classes == ("0", "1")
    found = shades(torch.cat([data.train.images, data.test.images]))
    assert sorted(found) == list(range(10))
    labels = torch.cat([data.train.labels, data.test.labels]).tolist()
    assert all(shade % 2 == label for shade, label in zip(found, labels, strict=True))


def test_a_list_that_is_longer_than_a_name_can_be_is_expanded(tmp_path: Path) -> None:
    shard(tmp_path / "0.tar", samples([0, 1] * 3))
    names = ",".join(["0"] * 200)
    assert len(load_data(f"shards:{tmp_path}/{{{names}}}.tar").classes) == 2
