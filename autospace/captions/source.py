"""From the words of `--data captions` to what is to be read."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from autospace.data.errors import DataError
from autospace.data.plain_text import divided_source, home_path, whole_number

KIND: Final = "captions"
FORM: Final = "captions[:key=value,...][:PATH]"
OF_SCENES: Final = ("scenes", "digits", "seed")
OF_PAIRS: Final = ("vocabulary", "length")
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "scenes": (20, 1_000_000),
    "digits": (1, 3),
    "seed": (0, 2**63 - 1),
    "vocabulary": (8, 100_000),
    "length": (1, 200),
}


@dataclass(frozen=True, slots=True)
class CaptionSource:
    """What to read: a user's own pairs, or scenes that are drawn.

    Attributes:
        path: a captions file, or a folder that holds one; None for scenes.
        scenes: training scenes; a quarter as many are for validation, and for test.
        digits: the most digits of a scene.
        seed: of the scenes.
        vocabulary: largest number of different tokens.
        length: most words of a caption; longer ones are left out.

    Raises:
        DataError: a value is out of range.
    """

    path: Path | None = None
    scenes: int = 4000
    digits: int = 2
    seed: int = 0
    vocabulary: int = 10_000
    length: int = 30

    def __post_init__(self) -> None:
        """Checks the values."""
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise DataError(f"{name} {value} is out of bounds; allowed: {low:,} to {high:,}")

    @property
    def where(self) -> str:
        """What messages name: the path, or the kind where there is none."""
        return KIND if self.path is None else str(self.path)

    @property
    def name(self) -> str:
        """Short name of the data, without the folders above it."""
        return KIND if self.path is None else f"{KIND}:{self.path.resolve().name}"

    @property
    def text(self) -> str:
        """What `parse_captions` reads as this source."""
        usual = CaptionSource()
        given = [
            f"{name}={getattr(self, name)}"
            for name in BOUNDS
            if getattr(self, name) != getattr(usual, name)
        ]
        parts = [KIND, *([",".join(given)] if given else [])]
        return ":".join(parts if self.path is None else [*parts, str(self.path)])


def is_captions(source: str) -> bool:
    """Whether the text of `--data` names images with captions."""
    return source.partition(":")[0] == KIND


def parse_captions(source: str) -> CaptionSource:
    """Reads the text of `--data`; the path is not looked at yet.

    Options stand before the path: `captions:vocabulary=5000:flickr8k`. A path that looks like
    options is written `./a=b`.

    Raises:
        DataError: the text does not have the form.
    """
    known = [each.name for each in fields(CaptionSource) if each.name != "path"]
    options, text = divided_source(source, KIND, known)
    path = home_path(source, text, KIND)
    others = OF_SCENES if path is not None else OF_PAIRS
    wrong = [name for name in options if name in others]
    if wrong:
        of = "scenes that are drawn" if path is not None else "images of your own"
        allowed = OF_PAIRS if path is not None else OF_SCENES
        problem = f"data {source[:80]!r} has the option {wrong[0]!r}, which is for {of}"
        raise DataError(f"{problem}; allowed: {', '.join(allowed)}")
    values: dict[str, Any] = {
        name: whole_number(source, name, value) for name, value in options.items()
    }
    return CaptionSource(path, **values)
