"""Where the pixels of a split lie: in memory or, if they are many, in a file that is mapped.

Pages of a mapped file are read when they are used, and the system drops them when memory is short.
Where it is not, they stay in memory, and take no more time than other memory.
"""

import errno
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch

from autospace.data.errors import DataError

IN_MEMORY: Final = 2**30
"""Bytes; more pixels than that lie in a file."""
_NO_RESERVE: Final = {errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems answer that cannot reserve room."""


class Mapped(NamedTuple):
    """Where pixels lie that are mapped from a file with a name, so that others can map them, too.

    Attributes:
        file: a file of safetensors, which stays as long as the run.
        entry: the name of the pixels in it, uint8 [N, H, W, C].
    """

    file: Path
    entry: str

    @property
    def pixels(self) -> torch.Tensor:
        """The pixels; processes that map the same file share one copy in memory."""
        from safetensors import safe_open

        with safe_open(self.file, "pt") as stream:
            found: torch.Tensor = stream.get_tensor(self.entry)
        return found


def is_large(size: int) -> bool:
    """Whether so many bytes of pixels lie in a file."""
    return size > IN_MEMORY


def zeros(where: str, shape: Sequence[int], folder: Path | None) -> np.ndarray:
    """Bytes of value 0, in memory or in a file that has no name and ends with the array.

    Args:
        where: the source of the images, for the message.
        shape: extent of every axis.
        folder: where the file is made; if that cannot be, where temporary files are made.

    Raises:
        DataError: the disk of the folder is too small.
    """
    # Extents come from untrusted headers: Python integers cannot overflow, numpy's can.
    size = math.prod(int(extent) for extent in shape)
    if not is_large(size):
        return np.zeros(shape, dtype=np.uint8)
    temporary = Path(tempfile.gettempdir())
    for place in [temporary] if folder is None else [folder, temporary]:
        try:
            place.mkdir(parents=True, exist_ok=True)
            _check_room(where, shape, size, place)
            with tempfile.TemporaryFile(dir=place) as file:
                file.truncate(size)
                _reserve(file.fileno(), size)
                return np.memmap(file, dtype=np.uint8, mode="r+", shape=tuple(shape))
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            refused = DataError(f"{place}: images cannot be kept there: {problem}")
    raise refused


def _reserve(file: int, size: int) -> None:
    """Takes the room on the disk: writing to a mapped file that finds none ends the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        if error.errno not in _NO_RESERVE:
            raise


def _check_room(where: str, shape: Sequence[int], size: int, place: Path) -> None:
    free = shutil.disk_usage(place).free
    # Twice: the images are copied from here to the file that is kept.
    if free < 2 * size:
        axes = "x".join(str(extent) for extent in shape)
        raise DataError(
            f"{where}: {axes} images take {size / 2**30:.1f} GiB, twice in all, but {place} has "
            f"{free / 2**30:.1f} GiB free; give a lower resolution or a limit"
        )
