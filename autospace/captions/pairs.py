"""A user's own images with captions: a captions file, and the image files that it names.

Read are tables with a header (`image,caption`, and other names that people give these columns),
lines of Flickr8k (`1.jpg#0<TAB>a dog`), JSON of COCO (`images`, `annotations`) and of Karpathy's
splits (`images` with `sentences`), and JSON objects, one a line or in a list. A file may say which
split its images are by its name or in a column; so may lists of image names beside it, as
`Flickr_8k.trainImages.txt`. What cannot be used is counted with its reason.
"""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from autospace.data.errors import DataError, name_few
from autospace.data.examples import Skipped
from autospace.data.plain_text import read_file
from autospace.data.readers.folder_scan import FoundFile, scan
from autospace.data.readers.image_opening import SUFFIXES
from autospace.data.splits import Role, role_of

IMAGE_COLUMNS: Final = frozenset({
    "image", "images", "image_name", "imagename", "image_path", "image_file", "img", "file",
    "file_name", "filename", "filepath", "file_path", "path", "name",
})  # fmt: skip
CAPTION_COLUMN: Final = re.compile(
    r"(caption|captions|comment|text|description|sentence|sentences|raw)[ _]?\d*"
)
SPLIT_COLUMNS: Final = frozenset({"split", "set", "subset", "partition"})
TABLES: Final = frozenset({".csv", ".tsv", ".txt", ".token"})
KINDS: Final = frozenset({*TABLES, ".json", ".jsonl"})
BESIDE: Final = "annotations"
"""A folder in which captions files may lie, as those of COCO do."""
FORMS: Final = "a table with the columns image and caption, lines of Flickr8k, or JSON of COCO"
_SEVERAL: Final = "captions of a name that several images have"
_NUMBERED: Final = re.compile(r"#\d+$")
_DELIMITERS: Final = ",\t|;"


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and its captions.

    Attributes:
        file: of the image.
        captions: as they were written.
        role: the split that something says it is; None if nothing does.
    """

    file: FoundFile
    captions: tuple[str, ...]
    role: Role | None


@dataclass(frozen=True, slots=True)
class Pairs:
    """What was read of a captions file.

    Attributes:
        pairs: in the order of the file.
        skipped: what was not used, and why.
        notes: remarks for the user.
    """

    pairs: tuple[Pair, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Tally:
    """What was not used, by its reason."""

    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, name: str) -> None:
        self.found.setdefault(reason, []).append(name)

    @property
    def why(self) -> str:
        """The reasons with their numbers."""
        return "; ".join(f"{reason}: {len(names)}" for reason, names in self.found.items())

    def done(self) -> tuple[Skipped, ...]:
        return tuple(
            Skipped(reason, len(names), tuple(names[:5])) for reason, names in self.found.items()
        )


@dataclass(frozen=True, slots=True)
class _Row:
    image: str
    caption: object
    role: Role | None = None


def read_pairs(path: Path) -> Pairs:
    """The pairs of a captions file, or of a folder that holds one for each split, or one for all.

    Raises:
        DataError: there is none, several may be meant, or it names no image that is there.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; allowed: {FORMS}")
    tally, notes = _Tally(), list[str]()
    folder = path if path.is_dir() else path.parent
    parsed = _in_folder(folder, tally) if path.is_dir() else {path: _only(path, tally)}
    roles: dict[Path, Role | None] = dict.fromkeys(parsed)
    if len(parsed) > 1:
        roles = _roles_of(path, parsed)
    rows = [
        _Row(row.image, row.caption, roles[file] or row.role)
        for file, found in parsed.items()
        for row in found
    ]
    images = scan(folder).every_image()
    if not images and not path.is_dir():
        folder = folder.resolve().parent
        images = scan(folder).every_image()
        notes.append(f"images are read from {folder}")
    listed = _lists(path.parent if not path.is_dir() else path)
    pairs = _joined(folder, rows, images, listed, tally)
    if not pairs:
        raise _unusable(path, folder, rows, images, tally)
    notes.append(f"captions of {', '.join(file.name for file in parsed)}")
    return Pairs(tuple(pairs), tally.done(), tuple(notes))


def _unusable(
    path: Path,
    folder: Path,
    rows: Sequence[_Row],
    images: Sequence[FoundFile],
    tally: _Tally,
) -> DataError:
    """The error where no caption is one of an image."""
    if tally.found.keys() & {"empty captions", _SEVERAL}:
        allowed = "captions that are texts, of image files that are there"
        return DataError(f"{path}: no caption can be used ({tally.why}); allowed: {allowed}")
    named = name_few([row.image for row in rows], 3) or "no image"
    have = name_few([Path(each.path).name for each in images], 3) or "no image"
    problem = f"captions are of {named}, but {folder} holds {have}"
    return DataError(f"{path}: {problem}; allowed: captions of image files that are there")


def _in_folder(folder: Path, tally: _Tally) -> dict[Path, list[_Row]]:
    """The captions files of a folder, with what they hold."""
    places = [folder, folder / BESIDE]
    files = [
        each
        for place in places
        if place.is_dir()
        for each in sorted(place.iterdir())
        if each.is_file() and each.suffix.lower() in KINDS and not each.name.startswith(".")
    ]
    parsed, left = {}, _Tally()
    for file in files:
        own = _Tally()
        rows = _rows_of(file, own)
        if rows:
            parsed[file] = rows
            for reason, names in own.found.items():
                tally.found.setdefault(reason, []).extend(names)
        elif _image_list(file) is None:
            tally.add("files without captions", file.name)
            for reason, names in own.found.items():
                left.found.setdefault(reason, []).extend(names)
    if not parsed:
        some = name_few([file.name for file in files])
        held = f"but {some}" if some else "and no file that may hold any"
        why = f" ({left.why})" if left.found else ""
        raise DataError(f"{folder}: no captions, {held}{why}; allowed: {FORMS}")
    return parsed


def _only(path: Path, tally: _Tally) -> list[_Row]:
    rows = _rows_of(path, tally)
    if not rows:
        problem = "holds no captions" + (f" ({tally.why})" if tally.found else "")
        raise DataError(f"{path}: {problem}; allowed: {FORMS}")
    return rows


def _roles_of(folder: Path, parsed: Mapping[Path, object]) -> dict[Path, Role | None]:
    """The split of each of several captions files, by its name."""
    roles = {file: role_of(file.stem) for file in parsed}
    found = [role for role in roles.values() if role is not None]
    if len(found) < len(roles) or len({*found}) < len(found) or "train" not in found:
        names = name_few([file.name for file in parsed])
        allowed = "one of them by its path, or names that say train, val and test"
        raise DataError(f"{folder}: several files hold captions: {names}; allowed: {allowed}")
    return roles


def _lists(folder: Path) -> dict[str, Role]:
    """The split of each image that a list of names beside the captions says."""
    found: dict[str, Role] = {}
    for file in sorted(folder.glob("*.txt")):
        names, role = _image_list(file), role_of(file.stem)
        if names is None or role is None:
            continue
        for name in names:
            if found.setdefault(name, role) != role:
                problem = f"{name} is {role} here, and {found[name]} in another list"
                raise DataError(f"{file}: {problem}; allowed: one split for an image")
    return found


def _image_list(file: Path) -> list[str] | None:
    """The names in a file that holds nothing but names of images; None for other files."""
    if file.suffix.lower() != ".txt":
        return None
    try:
        lines = [line.strip() for line in read_file(file)[0].split("\n") if line.strip()]
    except DataError:
        return None
    plain = all(_is_image(line) and not re.search(r"[,\t|;]", line) for line in lines)
    return lines if lines and plain else None


def _joined(
    folder: Path,
    rows: Sequence[_Row],
    images: Sequence[FoundFile],
    listed: Mapping[str, Role],
    tally: _Tally,
) -> list[Pair]:
    """Every image that has captions, once, in the order of its first caption."""
    find = _finder(folder, images)
    captions: dict[str, list[str]] = {}
    files: dict[str, FoundFile] = {}
    roles: dict[str, Role] = {}
    for row in rows:
        file = find(row.image)
        if not isinstance(file, FoundFile):
            tally.add(file, row.image)
            continue
        if not isinstance(row.caption, str) or not row.caption.strip():
            tally.add("empty captions", row.image)
            continue
        files.setdefault(file.path, file)
        own = captions.setdefault(file.path, [])
        if row.caption.strip() not in own:
            own.append(row.caption.strip())
        role = row.role or listed.get(row.image) or listed.get(Path(row.image).name)
        if role is not None and roles.setdefault(file.path, role) != role:
            problem = f"{row.image} is {roles[file.path]} and {role}"
            raise DataError(f"{folder}: {problem}; allowed: one split for an image")
    for each in images:
        if each.path not in files:
            tally.add("images without captions", Path(each.path).name)
    pairs = [Pair(file, tuple(captions[path]), roles.get(path)) for path, file in files.items()]
    if roles:
        for pair in pairs:
            if pair.role is None:
                tally.add("images of no split, though others have one", Path(pair.file.path).name)
        pairs = [pair for pair in pairs if pair.role is not None]
    return pairs


def _finder(folder: Path, images: Sequence[FoundFile]) -> Callable[[str], FoundFile | str]:
    """What finds the file of an image by its path below the folder, or by its name alone.

    It gives the reason where there is no such file, or several.
    """
    paths = {Path(each.path).relative_to(folder).as_posix(): each for each in images}
    names: dict[str, list[FoundFile]] = {}
    for each in images:
        for key in {Path(each.path).name, Path(each.path).stem}:
            names.setdefault(key, []).append(each)

    def find(name: str) -> FoundFile | str:
        plain = name.replace("\\", "/").removeprefix("./")
        if plain in paths:
            return paths[plain]
        found = names.get(plain.rpartition("/")[2], [])
        if len(found) > 1:
            return _SEVERAL
        return found[0] if found else "captions of images that are not there"

    return find


def _rows_of(file: Path, tally: _Tally) -> list[_Row]:
    """The captions in a file; none if it holds none."""
    text = read_file(file)[0]
    suffix = file.suffix.lower()
    if suffix in TABLES:
        return list(_table(file, text, tally))
    if suffix == ".jsonl":
        return list(_json_lines(text, tally))
    if suffix != ".json":
        raise DataError(f"{file}: {suffix or 'no suffix'}; allowed: {', '.join(sorted(KINDS))}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        tally.add("files that are not JSON", file.name)
        return []
    return list(_of_json(value, tally))


def _table(file: Path, text: str, tally: _Tally) -> Iterator[_Row]:
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "")
    for delimiter in _DELIMITERS:
        header = [part.strip().strip('"').lower() for part in first.split(delimiter)]
        image = next((i for i, name in enumerate(header) if name in IMAGE_COLUMNS), None)
        own = [i for i, name in enumerate(header) if CAPTION_COLUMN.fullmatch(name)]
        if image is not None and own:
            split = next((i for i, name in enumerate(header) if name in SPLIT_COLUMNS), None)
            # Spreadsheets may end all rows with delimiters, behind which there is nothing.
            size = 1 + max(i for i, name in enumerate(header) if name)
            return _columns(file, lines, delimiter, (image, own, split, size), tally)
    for delimiter in "\t,":
        if delimiter in first and _is_image(_bare(first.partition(delimiter)[0])):
            return _without_header(lines, delimiter, tally)
    return iter(())


def _columns(
    file: Path,
    lines: Sequence[str],
    delimiter: str,
    places: tuple[int, list[int], int | None, int],
    tally: _Tally,
) -> Iterator[_Row]:
    image, own, split, size = places
    quoting: Any = csv.QUOTE_NONE if delimiter == "|" else csv.QUOTE_MINIMAL
    # Quotes behind a blank are meant as quotes, and other blanks may belong to a caption.
    blank = any(f'{delimiter} "' in line for line in lines[:20])
    reader = csv.reader(
        (f"{line}\n" for line in lines),
        delimiter=delimiter,
        quoting=quoting,
        skipinitialspace=blank,
    )
    try:
        for number, cells in enumerate(reader):
            if not number or not any(cell.strip() for cell in cells):
                continue
            if any("\n" in cell for cell in cells):
                problem = "has a field of several lines, so a quote may not be closed"
                where = f"{file}: the row that ends in line {reader.line_num}"
                raise DataError(f"{where} {problem}; allowed: captions of one line")
            if len(cells) <= max(image, own[0]):
                tally.add("rows with too few fields", f"line {reader.line_num}")
                continue
            # A last column without quotes may have the delimiter in it; others would be moved.
            if own == [size - 1]:
                cells[own[0] :] = [delimiter.join(cells[own[0] :])]
            elif any(cell.strip() for cell in cells[size:]):
                problem = f"line {reader.line_num} has {len(cells)} fields"
                allowed = f"{size}, as the header, and quotes around captions with {delimiter!r}"
                raise DataError(f"{file}: {problem}; allowed: {allowed}")
            said = None if split is None or split >= len(cells) else _said(cells[split])
            for place in own:
                if place < len(cells) and (len(own) == 1 or cells[place].strip()):
                    yield _Row(_bare(cells[image]), cells[place], said)
    except csv.Error as error:
        problem = f"{file}: line {reader.line_num}: {error}"
        raise DataError(f"{problem}; allowed: {FORMS}") from None


def _without_header(lines: Sequence[str], delimiter: str, tally: _Tally) -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
        name, found, caption = line.partition(delimiter)
        if found and _is_image(_bare(name)):
            yield _Row(_bare(name), caption)
        elif line.strip():
            tally.add("lines without image and caption", f"line {number}")


def _json_lines(text: str, tally: _Tally) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        found = list(_of_object(value)) if isinstance(value, dict) else []
        if not found:
            tally.add("lines without image and caption", f"line {number}")
        yield from found


def _of_json(value: object, tally: _Tally) -> Iterator[_Row]:
    if isinstance(value, list):
        for number, each in enumerate(value):
            found = list(_of_object(each)) if isinstance(each, dict) else []
            if not found:
                tally.add("entries without image and caption", f"entry {number}")
            yield from found
    elif isinstance(value, dict) and isinstance(value.get("annotations"), list):
        yield from _of_coco(value, tally)
    elif isinstance(value, dict) and isinstance(value.get("images"), list):
        yield from _of_json(value["images"], tally)
    elif isinstance(value, dict):
        for name, said in value.items():
            captions = said if isinstance(said, list) else [said]
            if _is_image(name):
                yield from (_Row(name, each) for each in captions)


def _of_coco(value: Mapping[str, Any], tally: _Tally) -> Iterator[_Row]:
    images = value.get("images")
    names: dict[object, str] = {}
    for each in images if isinstance(images, list) else ():
        if not isinstance(each, dict) or not isinstance(each.get("file_name"), str):
            continue
        if isinstance(each.get("id"), int | str):
            names[each["id"]] = each["file_name"]
    for number, each in enumerate(value["annotations"]):
        known = isinstance(each, dict) and isinstance(each.get("image_id"), int | str)
        if known and each["image_id"] in names and "caption" in each:
            yield _Row(names[each["image_id"]], each["caption"])
        else:
            tally.add("annotations without image and caption", f"annotation {number}")


def _of_object(each: Mapping[str, Any]) -> Iterator[_Row]:
    """The captions of one image in an object with the keys that tables have as columns."""
    plain = {str(key).strip().lower(): value for key, value in each.items()}
    image = next((plain[key] for key in plain if key in IMAGE_COLUMNS), None)
    if not isinstance(image, str):
        return
    folder = plain.get("filepath")
    if isinstance(folder, str) and isinstance(plain.get("filename"), str):
        image = f"{folder}/{plain['filename']}"
    said = next((plain[key] for key in plain if key in SPLIT_COLUMNS), None)
    for key, value in plain.items():
        if CAPTION_COLUMN.fullmatch(key):
            for caption in value if isinstance(value, list) else [value]:
                raw = caption.get("raw") if isinstance(caption, dict) else caption
                yield _Row(image, raw, _said(said) if isinstance(said, str) else None)


def _said(text: str) -> Role | None:
    """The split that a column says; Karpathy's `restval` is for training."""
    return "train" if text.strip().lower() == "restval" else role_of(text)


def _bare(name: str) -> str:
    """The name of an image without quotes and the number of its caption."""
    return _NUMBERED.sub("", name.strip().strip('"').strip())


def _is_image(name: str) -> bool:
    return any(name.lower().endswith(suffix) for suffix in SUFFIXES)
