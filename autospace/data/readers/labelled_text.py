"""Texts with labels in files: a table (CSV or TSV), or a folder with something for every class.

A folder holds tables, one per split; or a folder for every class, with a text per file; or a file
for every class, with a text per line. Folders of classes may lie in folders of splits.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Final, Literal

from autospace.data.errors import DataError, name_few
from autospace.data.examples import Skipped
from autospace.data.plain_text import (
    MOST_BYTES,
    SUFFIX,
    bytes_of,
    decoded,
    few_notes,
    files_inside,
)
from autospace.data.splits import role_of
from autospace.spaces.text import visible

TABLES: Final = (".csv", ".tsv")
SEPARATORS: Final = (",", ";", "\t")
TEXTS: Final = frozenset(
    {"text", "sentence", "content", "review", "message", "comment", "question"}
)
LABELS: Final = frozenset({"label", "class", "category", "target", "sentiment", "topic", "intent"})
"""Names of columns that need not be told."""
SPLITS: Final = frozenset({"split", "set", "subset", "partition"})
"""Names of a column that says of which split a row is."""
LONGEST_FIELD: Final = 2**24
_LOOKED_AT: Final = 100
Role = Literal["train", "test"]
Pairs = list[tuple[str, str]]
"""Texts and their labels."""


@dataclass(frozen=True)
class Labelled:
    """Texts and labels, before they are tokens.

    Attributes:
        rows: of each split; `train` alone where it is to be divided.
        notes: remarks for the user.
        skipped: what was not read, and why.
    """

    rows: Mapping[str, Pairs]
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def read_path(path: Path, columns: Mapping[str, str]) -> Labelled:
    """The texts and labels of a file or folder.

    Args:
        path: of a table, or of a folder.
        columns: under `text` and `label`, the names of these columns of a table; without them, the
            usual names are looked for.

    Raises:
        DataError: nothing can be read, or it is not clear what is what.
    """
    if not path.is_dir():
        if path.suffix.lower() not in TABLES and path.exists():
            allowed = f"allowed: {' or '.join(TABLES)}, or a folder"
            raise DataError(f"{path}: is no table of texts and labels; {allowed}")
        found = _divided(path, columns)
        return replace(found, notes=(*found.notes, *_beside(path)))
    inside = sorted(path.iterdir())
    tables = [each for each in inside if each.suffix.lower() in TABLES and each.is_file()]
    if tables:
        return _tables(path, tables, inside, columns)
    if columns:
        raise DataError(f"{path}: no table, so it has no columns; allowed: {', '.join(TABLES)}")
    roles = {each: role_of(each.name) for each in inside if each.is_dir()}
    if "train" in roles.values():
        return _splits(path, {each: role for each, role in roles.items() if role}, inside)
    return _classes(path)


def _beside(path: Path) -> list[str]:
    """A remark on tables of other splits beside one of a split."""
    if role_of(path.stem) is None:
        return []
    others = [
        each.name
        for each in sorted(path.parent.iterdir())
        if each != path and each.suffix.lower() in TABLES and role_of(each.stem) is not None
    ]
    found = f"not read: {name_few(others)} beside it; name the folder to read all splits"
    return [found] if others else []


def _tables(
    folder: Path, tables: list[Path], inside: list[Path], columns: Mapping[str, str]
) -> Labelled:
    """A table per split, by its name; a single one is divided."""
    others = tuple(each.name for each in inside if each not in tables)
    skipped = (Skipped("beside tables", len(others), others[:5]),) if others else ()
    if len(tables) == 1:
        single = _divided(tables[0], columns)
        return replace(single, skipped=(*skipped, *single.skipped))
    roles = _roles(folder, {each: role_of(each.stem) for each in tables})
    found, notes = {}, list(roles.notes)
    for role, path in roles.paths.items():
        table = _table(path, columns, splits=False)
        found[role] = [(text, label) for text, label, _ in table.rows]
        notes += table.notes
    return Labelled(found, tuple(few_notes(notes)), (*skipped, *roles.skipped))


@dataclass(frozen=True)
class _Roles:
    paths: Mapping[str, Path]
    notes: tuple[str, ...] = ()
    skipped: tuple[Skipped, ...] = ()


def _roles(folder: Path, given: Mapping[Path, str | None]) -> _Roles:
    """What is the train and what the test split; validation stands in for a test split.

    Raises:
        DataError: that is not clear.
    """
    shown = ", ".join(f"{path.name}: {role or 'of no split'}" for path, role in given.items())
    by_role: dict[str, Path] = {}
    for path, role in given.items():
        if role is None or role in by_role:
            allowed = "allowed: one each of train, test and validation, or one alone"
            raise DataError(f"{folder}: {shown}; {allowed}")
        by_role[role] = path
    if "train" not in by_role:
        raise DataError(f"{folder}: {shown}; allowed: train, and test or validation beside it")
    validation = by_role.pop("validation", None)
    if validation is None:
        return _Roles(by_role)
    if "test" in by_role:
        reason = "validation splits, as every run divides its own from the train split"
        return _Roles(by_role, skipped=(Skipped(reason, 1, (validation.name,)),))
    note = f"no test split: {validation.name} is the test split"
    return _Roles({**by_role, "test": validation}, (note,))


def _splits(folder: Path, given: Mapping[Path, str], inside: list[Path]) -> Labelled:
    """Folders of splits, with folders or files of classes in each."""
    roles = _roles(folder, dict(given))
    others = tuple(each.name for each in inside if each not in given)
    skipped = (Skipped("beside folders of splits", len(others), others[:5]),) if others else ()
    parts = {role: _classes(path) for role, path in roles.paths.items()}
    notes = [note for part in parts.values() for note in part.notes]
    return Labelled(
        {role: part.rows["train"] for role, part in parts.items()},
        tuple(few_notes([*roles.notes, *notes])),
        (*skipped, *roles.skipped, *(each for part in parts.values() for each in part.skipped)),
    )


def _classes(folder: Path) -> Labelled:
    """A folder or a file for every class."""
    inside = sorted(folder.iterdir())
    below = [each for each in inside if each.is_dir() and not each.name.startswith(".")]
    single = [each for each in inside if each.is_file() and each.suffix.lower() == SUFFIX]
    if below:
        return _folders(folder, below, [each for each in inside if each not in below])
    if not single:
        names = name_few([each.name for each in inside]) or "is empty"
        allowed = f"a folder or a {SUFFIX} file for every class, or {', '.join(TABLES)}"
        raise DataError(f"{folder}: {names}; allowed: {allowed}")
    roles = {role_of(path.stem) for path in single}
    if "train" in roles and roles != {"train", None}:
        problem = f"{name_few([each.name for each in single])} say splits, not classes"
        allowed = "tables of such names, or folders train and test with classes in them"
        raise DataError(f"{folder}: {problem}; allowed: {allowed}")
    others = tuple(each.name for each in inside if each not in single)
    rows: Pairs = []
    notes: list[str] = [f"a class is a {SUFFIX} file, and a sentence is a line"]
    for path in single:
        text, remarks = decoded(path, bytes_of(path))
        rows += [(line, path.stem) for line in text.split("\n") if line.strip()]
        notes += remarks
    skipped = (Skipped(f"not {SUFFIX}", len(others), others[:5]),) if others else ()
    return Labelled({"train": rows}, tuple(few_notes(notes)), skipped)


def _folders(folder: Path, classes: list[Path], beside: list[Path]) -> Labelled:
    rows: Pairs = []
    notes: list[str] = []
    left: dict[str, list[str]] = {}
    if beside:
        left["beside folders of classes"] = [each.name for each in beside]
    size = 0
    for below in classes:
        for path in files_inside(below):
            shown = str(path.relative_to(folder))
            if path.name.startswith("."):
                left.setdefault("hidden", []).append(shown)
            elif path.suffix.lower() != SUFFIX:
                left.setdefault(f"not {SUFFIX}", []).append(shown)
            else:
                raw = bytes_of(path)
                size += len(raw)
                if size > MOST_BYTES:
                    raise DataError(f"{folder}: more than {MOST_BYTES:,} bytes; allowed: less text")
                text, remarks = decoded(path, raw)
                notes += remarks
                rows.append((text, below.name))
    skipped = tuple(Skipped(why, len(names), tuple(names[:5])) for why, names in left.items())
    if not rows:
        reasons = name_few([name for names in left.values() for name in names]) or "nothing"
        allowed = f"{SUFFIX} files in the folders of classes"
        raise DataError(f"{folder}: no {SUFFIX} file, but {reasons}; allowed: {allowed}")
    return Labelled({"train": rows}, tuple(few_notes(notes)), skipped)


@dataclass(frozen=True)
class _Table:
    """A table.

    Attributes:
        rows: text, label and what the column of splits holds, empty without one.
        notes: remarks for the user.
        splits: the name of the column of splits, if it holds nothing but names of splits.
    """

    rows: list[tuple[str, str, str]]
    notes: tuple[str, ...]
    splits: str | None = None


def _divided(path: Path, columns: Mapping[str, str]) -> Labelled:
    """The splits of a table, if a column says them."""
    table = _table(path, columns)
    rows: dict[str, Pairs] = {}
    for text, label, value in table.rows:
        rows.setdefault(role_of(value) or "train", []).append((text, label))
    notes = table.notes
    validation = rows.pop("validation", None)
    if validation is None:
        return Labelled(rows, notes)
    if "test" in rows:
        reason = f"rows of validation in {table.splits}, as every run divides its own"
        return Labelled(rows, notes, (Skipped(reason, len(validation), ()),))
    note = f"no test split: validation in {table.splits} is the test split"
    return Labelled({**rows, "test": validation}, (note, *notes))


def _table(path: Path, columns: Mapping[str, str], *, splits: bool = True) -> _Table:
    """Texts and labels of a table, and remarks; with `splits`, a column may say the splits."""
    text, notes = decoded(path, bytes_of(path))
    rows, separator = _parsed(path, text)
    header, places = _columns(path, rows, columns)
    names = header or [f"column {number}" for number in range(1, len(rows[0]) + 1)]
    kept = rows[1:] if header else rows
    divides = _column_of_splits(path, header, kept, places) if splits else None
    found = [
        (row[places[0]], row[places[1]].strip(), "" if divides is None else row[divides].strip())
        for row in kept
    ]
    blank = sum(not label for _, label, _ in found)
    if blank:
        problem = f"{blank} of {len(found)} rows have no label in {names[places[1]]}"
        raise DataError(f"{path}: {problem}; allowed: a label in every row")
    if not found:
        raise DataError(f"{path}: has a header and no rows; allowed: rows of texts and labels")
    said = {"\t": "tabs"}.get(separator, repr(separator))
    kind = "a header" if header else "no header"
    about = f"text is {names[places[0]]}, label is {names[places[1]]}"
    if divides is not None:
        about += f", split is {names[divides]}"
    unread = [name for at, name in enumerate(names) if at not in (*places, divides)]
    if unread:
        about += f"; not read: {name_few(unread)}"
    first = f"{path.name}: {len(found):,} rows, {kind}, divided by {said}; {about}"
    return _Table(found, (first, *notes), None if divides is None else names[divides])


def _column_of_splits(
    path: Path, header: list[str], rows: list[list[str]], taken: tuple[int, int]
) -> int | None:
    """The place of a column with the name of one of splits that holds nothing but splits.

    Raises:
        DataError: some of its rows are to train on and some to measure, and others are neither.
    """
    for at, name in enumerate(header):
        if at not in taken and name.lower() in SPLITS:
            roles = {role_of(row[at]) for row in rows}
            measured = roles & {"test", "validation"}
            if "train" not in roles or not measured:
                continue
            if None in roles:
                # Without the column, rows that are meant for the test would be trained on.
                other = visible(next(row[at] for row in rows if role_of(row[at]) is None)[:40])
                problem = f"{name} is {other!r} in some rows and names a split in others"
                raise DataError(f"{path}: {problem}; allowed: train, validation or test")
            return at
    return None


def _parsed(path: Path, text: str) -> tuple[list[list[str]], str]:
    """The rows of a table and what divides them; tabs alone in .tsv, where quotes mean nothing."""
    known = ("\t",) if path.suffix.lower() == ".tsv" else SEPARATORS
    seen = []
    for separator in known:
        rows = list(_rows(path, text, separator))
        sizes = Counter(map(len, rows[:_LOOKED_AT]))
        if len(sizes) == 1 and min(sizes) >= 2:
            wrong = next((row for row in rows if len(row) != len(rows[0])), None)
            if wrong is not None:
                problem = f"{visible(str(wrong)[:60])} has {len(wrong)} fields"
                raise DataError(f"{path}: {problem}; allowed: {len(rows[0])}, as the first row")
            # A quote that is not closed takes in rows up to the next quote.
            if any("\n" in value for row in rows for value in row):
                rows = list(_rows(path, text, separator, strict=True))
            return rows, separator
        seen += [f"{separator!r} gives {' or '.join(map(str, sorted(sizes)[:4]))} fields"]
    if not text.strip():
        raise DataError(f"{path}: is empty; allowed: rows of texts and labels")
    first = visible(text.lstrip().partition("\n")[0][:60])
    allowed = "two columns or more in every row"
    if all(each.endswith("gives 1 fields") for each in seen):
        raise DataError(f"{path}: has one column, the first row is {first!r}; allowed: {allowed}")
    raise DataError(
        f"{path}: rows of different lengths ({'; '.join(seen)}), the first is {first!r}; "
        f"allowed: {allowed}"
    )


def _rows(path: Path, text: str, separator: str, *, strict: bool = False) -> Iterator[list[str]]:
    """The rows that are not blank; with `strict`, quotes stand around whole fields or nowhere.

    Raises:
        DataError: a field is too long, or a quote stands elsewhere.
    """
    quoting: Final = csv.QUOTE_NONE if path.suffix.lower() == ".tsv" else csv.QUOTE_MINIMAL
    reader = csv.reader(
        StringIO(text, newline=""), delimiter=separator, quoting=quoting, strict=strict
    )
    before = csv.field_size_limit(LONGEST_FIELD)
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield row
    except csv.Error as error:
        problem = f"line {reader.line_num}: {error}"
        raise DataError(f"{path}: {problem}; allowed: a table whose quotes are closed") from None
    finally:
        csv.field_size_limit(before)


def _columns(
    path: Path, rows: list[list[str]], given: Mapping[str, str]
) -> tuple[list[str], tuple[int, int]]:
    """The header, empty if there is none, and the places of texts and labels.

    Raises:
        DataError: it is not clear which columns they are.
    """
    names = [value.strip() for value in rows[0]]
    shown = visible(", ".join(names))[:120]
    places = []
    for key, usual in (("text", TEXTS), ("label", LABELS)):
        wanted = {given[key]} if key in given else usual
        found = [at for at, name in enumerate(names)
                 if name in wanted or (key not in given and name.lower() in wanted)]  # fmt: skip
        places.append(found)
        if key in given and len(found) != 1:
            problem = f"{len(found)} columns are named {given[key]!r}; the first row is {shown}"
            raise DataError(f"{path}: {problem}; allowed: one of these names")
    if all(len(each) == 1 for each in places) and places[0] != places[1]:
        return names, (places[0][0], places[1][0])
    if given or any(places) or len(names) != 2:
        problem = f"which column is the text, and which the label? The first row is {shown}"
        raise DataError(f"{path}: {problem}; allowed: sentences:text=NAME,label=NAME:PATH")
    return [], _by_counts(path, rows, shown)


def _by_counts(path: Path, rows: list[list[str]], shown: str) -> tuple[int, int]:
    """Texts and labels of two columns without names: labels come again and again."""
    counts = [Counter(row[at].strip() for row in rows) for at in (0, 1)]
    label = min((0, 1), key=lambda at: len(counts[at]))
    fewer, more = len(counts[label]), len(counts[1 - label])
    if 2 * fewer > more:
        problem = f"{fewer} and {more} different values in its columns, so neither is the label"
        allowed = "a header with text and label"
        raise DataError(f"{path}: {problem}; the first row is {shown}; allowed: {allowed}")
    if counts[label][rows[0][label].strip()] == 1 and len(rows) > 2:
        problem = f"the first row, {shown}, may be a header: no other row has its label"
        allowed = "sentences:text=NAME,label=NAME:PATH, or a file without it"
        raise DataError(f"{path}: {problem}; allowed: {allowed}")
    return 1 - label, label
