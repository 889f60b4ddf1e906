"""Reads the data set that the text of `--data` names."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autospace.data.doubts import doubts
from autospace.data.errors import DataError, OtherKindError
from autospace.data.examples import DataSet
from autospace.data.meant import meant
from autospace.data.readers.arrays import read_python
from autospace.data.readers.builtin import read_digits, read_synthetic
from autospace.data.readers.cifar import read_cifar
from autospace.data.readers.convert import finish
from autospace.data.readers.idx import read_idx
from autospace.data.readers.image_folder import read_folder
from autospace.data.readers.npz import read_npz
from autospace.data.readers.sentences import limited, read_sentences
from autospace.data.readers.shards import read_shards
from autospace.data.request import Request, Source, parse_source, thinned
from autospace.data.settings import PYTHON, Aspect
from autospace.progress import Tick, no_tick

_READERS: dict[str, Callable[[Source, Request], DataSet]] = {
    "digits": read_digits,
    "folder": read_folder,
    "cifar10": read_cifar,
    "cifar100": read_cifar,
    "idx": read_idx,
    "npz": read_npz,
    "sentences": read_sentences,
    "shards": read_shards,
    PYTHON: read_python,
    "synthetic": read_synthetic,
}


def load_data(
    source: str | DataSet,
    *,
    resolution: int | None = None,
    channels: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    cache: Path | None = None,
    tick: Tick = no_tick,
    aspect: Aspect = "squash",
    ground: str = "white",
) -> DataSet:
    """Reads a data set.

    Args:
        source: `digits`, `folder:PATH`, `cifar10:PATH`, `cifar100:PATH`, `idx:PATH`, `npz:PATH`,
            `shards:PATTERN`, `synthetic[:key=value,...]` or `sentences[:key=value,...][:PATH]`; or
            images that a program passes.
        resolution: Side of the square images in pixels; `None` keeps the most common size.
        channels: 1 (grey) or 3 (RGB); `None` keeps what the source has.
        limit: Largest number of examples of each split, stratified by class; `None` for all.
        seed: Chooses the examples under a limit. A test split that the source lacks is held out
            the same way for every seed.
        cache: Folder where decoded image files are kept; `None` decodes every time.
        tick: Receives the number of items done and the total, at most about ten times a second.
        aspect: How images get other proportions: `squash`, `crop` or `pad`.
        ground: Colour below transparent images and around padded ones: `white`, `black`, `grey` or
            `#RRGGBB`.

    Returns:
        The data set.

    Raises:
        DataError: The source is malformed, missing, damaged, too large or wrongly labelled.
    """
    request = Request(resolution, channels, limit, seed, cache, thinned(tick), aspect, ground)
    if isinstance(source, DataSet) and source.vocabulary:
        found = limited(source, request)
    elif isinstance(source, DataSet):
        found = finish(
            source.name, request, source.train, source.test, source.classes, source.notes
        )
    else:
        parsed = parse_source(source)
        try:
            found = _READERS[parsed.kind](parsed, request)
        except OtherKindError:
            raise
        except DataError as error:
            hint = meant(parsed.kind, parsed.path)
            raise (DataError(f"{error}{hint}") if hint else error) from error
    new = [each for each in doubts(found.classes, found.train, found.test)
           if each not in found.notes]  # fmt: skip
    return replace(found, notes=(*found.notes, *new)) if new else found
