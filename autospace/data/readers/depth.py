"""One rule that turns values of any depth into bytes, from the range found in a whole data set.

| values found | become |
|---|---|
| whole numbers from 0 | their upper 8 bits, of as many bits as the largest takes (8 at least) |
| floats from 0 to 1 | 255 times as much, rounded |
| floats from 0, the largest from 16 to 255 | themselves, rounded |
| any other range | bytes that rise evenly from the smallest to the largest value |

So 12-bit X-rays in 16-bit files keep their contrast, and small numbers in wide types stay what they
are. All images of a data set are scaled alike: a dark image stays dark.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from autospace.data.errors import DataError

_BYTE: Final = 255
_SMALLEST_OF_BYTES: Final = 16
_CHUNK: Final = 1024


@dataclass(frozen=True, slots=True)
class Scale:
    """How values become bytes.

    Attributes:
        low: Smallest value found.
        high: Largest value found.
        whole: The values are whole numbers.
    """

    low: float
    high: float
    whole: bool

    @property
    def guessed(self) -> bool:
        """The values have a range of their own, so they are stretched to that of bytes."""
        if self.whole:
            return self.low < 0
        bytes_as_floats = _SMALLEST_OF_BYTES <= self.high <= _BYTE
        return self.low < 0 or not (self.high <= 1 or bytes_as_floats)

    @property
    def changes(self) -> bool:
        """Values are changed, and not only stored in another type."""
        return not self.whole or self.low < 0 or self.high > _BYTE

    @property
    def described(self) -> str:
        """The range found and what is done with it."""
        return f"values from {_text(self.low)} to {_text(self.high)}, {self._rule()}"

    def _rule(self) -> str:
        if self.guessed:
            return "stretched to 0..255"
        if not self.whole:
            return "multiplied by 255" if self.high <= 1 else "rounded"
        return f"divided by {2**self._shift}" if self._shift else "taken as they are"

    @property
    def _shift(self) -> int:
        return max(0, int(self.high).bit_length() - 8)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Scales values.

        Args:
            values: Of any shape, within the range found.

        Returns:
            uint8, of the same shape.
        """
        if self.guessed:
            span = (float(self.high) - float(self.low)) or 1.0
            scaled = (values.astype(np.float64) - float(self.low)) * (_BYTE / span)
        elif self.whole:
            scaled = values >> np.asarray(self._shift, dtype=values.dtype)
        else:
            scaled = values.astype(np.float64) * (_BYTE if self.high <= 1 else 1)
        rounded = np.rint(scaled) if scaled.dtype.kind == "f" else scaled
        return np.clip(rounded, 0, _BYTE).astype(np.uint8)

    def joined(self, other: "Scale | None") -> "Scale":
        """The scale of these values and others of the same kind."""
        if other is None:
            return self
        return Scale(min(self.low, other.low), max(self.high, other.high), self.whole)


def measure(values: np.ndarray) -> Scale:
    """The scale of some values.

    Args:
        values: Whole numbers or floats, at least one.

    Raises:
        ValueError: A value is not a number, or infinite.
    """
    low, high = values.min().item(), values.max().item()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("values that are not finite")
    return Scale(low, high, values.dtype.kind in "ui")


def to_bytes(
    where: list[str], arrays: list[np.ndarray]
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The images of all splits as bytes, and what was done: all but uint8 are scaled alike.

    Args:
        where: Per split, what messages name.
        arrays: Per split its images, [N, ...].

    Returns:
        Per split uint8 of the same shape, and remarks.

    Raises:
        DataError: The types of the splits differ, or the rule would have to guess.
    """
    kinds = {array.dtype.kind for array in arrays}
    if kinds == {"b"}:
        return [array.astype(np.uint8) * np.uint8(255) for array in arrays], ()
    if "b" in kinds or ("f" in kinds and len(kinds) > 1):
        types = " and ".join(str(array.dtype) for array in arrays)
        raise DataError(f"{where[0]}: the splits have the types {types}; allowed: equal types")
    # Bytes are pixels already: by the scale of a split of 16 bits they would become black.
    deep = [pair for pair in zip(where, arrays, strict=True) if pair[1].dtype != np.uint8]
    if not deep or not all(map(np.size, arrays)):
        return [array.astype(np.uint8, copy=False) for array in arrays], ()
    scale = None
    for place, array in deep:
        try:
            scale = measure(array).joined(scale)
        except ValueError:
            raise DataError(f"{place}: values that are not finite; allowed: finite ones") from None
    if scale is None or scale.guessed:
        found = "" if scale is None else scale.described.partition(",")[0].removeprefix("values ")
        kind = "floats" if "f" in kinds else "whole numbers"
        allowed = "0 to 1, floats from 0 to 255, or whole numbers from 0"
        raise DataError(f"{deep[0][0]}: {kind} {found}; allowed: {allowed}")
    scaled = [array if array.dtype == np.uint8 else _by(scale, array) for array in arrays]
    which = "pixels" if len(deep) == len(arrays) else "pixels of the deeper split"
    return scaled, (f"{which} have {scale.described}",) if scale.high > 1 and scale.changes else ()


def _by(scale: Scale, array: np.ndarray) -> np.ndarray:
    out = np.empty(array.shape, dtype=np.uint8)
    for start in range(0, len(array), _CHUNK):
        out[start : start + _CHUNK] = scale(array[start : start + _CHUNK])
    return out


def _text(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
