"""What was read of a source, as lines for a person and as plain values for a program."""

from typing import Any, Final

from autospace.data.errors import name_few
from autospace.data.examples import DataSet, Size
from autospace.spaces.text import visible

MOST_CLASSES: Final = 20
FEW_OF_A_CLASS: Final = 20
"""Training examples of a class; with fewer, a network learns them by heart and nothing else."""
_ENDS = 5
_MOST_SIZES = 3


def lines_of(data: DataSet) -> tuple[str, ...]:
    """Lines that say what was read, the remarks of the data set last.

    Args:
        data: What was read.

    Returns:
        The splits; the classes with their numbers of images (all up to 20, else the first and the
        last); the sizes met, if they are not those of the result; the remarks.
    """
    train, test = sum(data.reading.train), sum(data.reading.test)
    splits = f"{train:,} training and {test:,} test {noun_of(data)}"
    about = f"{visible(data.name)}: {splits}, {len(data.classes)} classes"
    if data.vocabulary:
        size = f"{data.train.shape[0]} tokens each, a vocabulary of {len(data.vocabulary):,}"
        return (f"{about}, {size}", _class_line(data), *_skipped_lines(data), *data.notes)
    channels, height, width = data.train.shape
    kind = "grey" if channels == 1 else "colour"
    first = f"{about}, {width}x{height} pixels, {kind}"
    return (first, _class_line(data), *_size_line(data, (width, height)), *data.notes)


def noun_of(data: DataSet) -> str:
    """What the examples are."""
    return "sentences" if data.vocabulary else "images"


def _skipped_lines(data: DataSet) -> tuple[str, ...]:
    """What was not read of a source of sentences; readers of images have it among the remarks."""
    return tuple(
        f"skipped: {each.count:,} ({each.reason})"
        + (f": {name_few(each.examples, of=each.count)}" if each.examples else "")
        for each in data.reading.skipped
    )


def warnings_of(data: DataSet) -> tuple[str, ...]:
    """What makes it hopeless to learn from these images.

    Args:
        data: What was read.

    Returns:
        A line on classes with fewer than `FEW_OF_A_CLASS` training images; none if there are none.
    """
    counts = list(zip(data.reading.train, data.classes, strict=True))
    few = [count for count, _ in counts if count < FEW_OF_A_CLASS]
    if not few:
        return ()
    least, name = min(counts)
    have = "classes has" if len(few) == 1 else "classes have"
    problem = (
        f"{len(few)} of {len(counts)} {have} fewer than {FEW_OF_A_CLASS} training {noun_of(data)}"
    )
    return (f"{problem} (class {visible(name)} has {least}), too few to learn from",)


def told_of(data: DataSet) -> tuple[str, ...]:
    """What was read, and the warnings, as commands say them before they work."""
    return (*lines_of(data), *(f"warning: {each}" for each in warnings_of(data)))


def _class_line(data: DataSet) -> str:
    train, test = data.reading.train, data.reading.test
    parts = [
        f"{visible(name)} {of_train}+{of_test}"
        for name, of_train, of_test in zip(data.classes, train, test, strict=True)
    ]
    if len(parts) > MOST_CLASSES:
        left = len(parts) - 2 * _ENDS
        few, many = min(train), max(train)
        more = f"{left} more with {few} to {many} training {noun_of(data)}"
        parts = [*parts[:_ENDS], f"... {more} ...", *parts[-_ENDS:]]
    return f"classes (training+test): {', '.join(parts)}"


def _size_line(data: DataSet, shape: tuple[int, int]) -> tuple[str, ...]:
    sizes = data.reading.sizes
    if [(size.width, size.height) for size in sizes] in ([], [shape]):
        return ()
    listed = sorted(sizes, key=lambda size: -size.images)[:_MOST_SIZES]
    text = ", ".join(f"{_text(size)} ({size.images})" for size in listed)
    left = data.reading.distinct_sizes - len(listed)
    if left > 0:
        ends = [function(sizes, key=lambda size: size.width * size.height)
                for function in (min, max)]  # fmt: skip
        text += f" and {left} more from {_text(ends[0])} to {_text(ends[1])}"
    return (f"image sizes met: {text}",)


def _text(size: Size) -> str:
    return f"{size.width}x{size.height}"


def record(data: DataSet) -> dict[str, Any]:
    """What was read, as values that JSON can hold.

    Args:
        data: What was read.
    """
    return {
        "name": data.name,
        "sha256": data.digest,
        "train": sum(data.reading.train),
        "test": sum(data.reading.test),
        **_extent(data),
        "classes": [
            {"name": visible(name), "train": of_train, "test": of_test}
            for name, of_train, of_test in zip(
                data.classes, data.reading.train, data.reading.test, strict=True
            )
        ],
        "sizes": [
            {"width": size.width, "height": size.height, "images": size.images}
            for size in data.reading.sizes
        ],
        "distinct_sizes": data.reading.distinct_sizes,
        "skipped": [
            {"reason": each.reason, "count": each.count, "examples": list(each.examples)}
            for each in data.reading.skipped
        ],
        "notes": list(data.notes),
        "warnings": list(warnings_of(data)),
        "lines": list(lines_of(data)),
    }


def _extent(data: DataSet) -> dict[str, int]:
    if data.vocabulary:
        return {"length": data.train.shape[0], "vocabulary": len(data.vocabulary)}
    channels, height, width = data.train.shape
    return {"channels": channels, "height": height, "width": width}
